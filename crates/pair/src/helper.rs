//! Helpers of studies: this program once more, as a process of its own, for a part of an application or of its users.
//!
//! A process may hold only some thousands of descriptors, so that many users need several. Only a program whose `main` calls
//! [`run`] first can be its own helper. That of a test is libtest's: there a study does the same on threads.

use std::{
    env,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

pub use worthit_servers::helper::{Control, Helper};

use crate::{family::Family, unavailable::Unavailable};

/// Variable of the environment with the id of the study whose helper a process is.
const STUDY: &str = "WORTHIT_HELPER";

/// Whether this program can run as a helper.
static CAN_HELP: AtomicBool = AtomicBool::new(false);

/// Does the work of a helper to its end, if this process is one of a study of the catalogue. Call it before anything else in
/// `main`.
pub fn run(catalogue: &[&'static Family]) -> Option<ExitCode> {
    CAN_HELP.store(true, Relaxed);
    let id = env::var(STUDY).ok()?;
    let mut studies = catalogue.iter().flat_map(|family| family.studies);
    let helper = studies.find(|study| study.id == id).and_then(|study| study.helper);
    let Some(helper) = helper else {
        eprintln!("{STUDY} names {id}, which has no helper");
        return Some(ExitCode::from(2));
    };
    match Control::connect() {
        Ok(control) => helper(control),
        Err(error) => {
            eprintln!("{STUDY}: {error}");
            return Some(ExitCode::FAILURE);
        }
    }
    Some(ExitCode::SUCCESS)
}

/// Returns whether [`start`] can start helpers.
pub fn is_available() -> bool {
    CAN_HELP.load(Relaxed)
}

/// Starts a helper of the study with this id, which runs [`Study::helper`](crate::study::Study::helper).
///
/// # Errors
/// If the process cannot be started.
pub fn start(id: &str) -> Result<Helper, Unavailable> {
    Helper::start(STUDY, id).map_err(Unavailable)
}
