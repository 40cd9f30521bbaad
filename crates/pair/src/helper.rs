//! Helpers of studies and pairs: this program once more, as a process of its own, for a part of an application or of its users, or
//! for what only a whole process has, such as its standard output.
//!
//! A process may hold only some thousands of descriptors, so that many users need several. Only a program whose `main` calls
//! [`run`] first can be its own helper. That of a test is libtest's: there a study does the same on threads, and a pair has a test
//! that is the helper ([`start_in_test`]).

use std::{
    env,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

pub use worthit_servers::helper::{Control, Helper};

use crate::{family::Family, unavailable::Unavailable};

/// Variable of the environment with the id of the study or pair whose helper a process is.
const WHOSE: &str = "WORTHIT_HELPER";

/// Whether this program can run as a helper.
static CAN_HELP: AtomicBool = AtomicBool::new(false);

/// Does the work of a helper to its end, if this process is one of the catalogue's. Call it before anything else in
/// `main`.
pub fn run(catalogue: &[&'static Family]) -> Option<ExitCode> {
    CAN_HELP.store(true, Relaxed);
    let id = env::var(WHOSE).ok()?;
    let studies = catalogue.iter().flat_map(|family| family.studies);
    let of_studies = studies.map(|study| (study.id, study.helper));
    let of_pairs =
        catalogue.iter().flat_map(|family| family.pairs).map(|pair| (pair.id, pair.helper));
    let helper =
        of_studies.chain(of_pairs).find(|(whose, _)| *whose == id).and_then(|(_, helper)| helper);
    let Some(helper) = helper else {
        eprintln!("{WHOSE} names {id}, which has no helper");
        return Some(ExitCode::from(2));
    };
    match Control::connect() {
        Ok(control) => helper(control),
        Err(error) => {
            eprintln!("{WHOSE}: {error}");
            return Some(ExitCode::FAILURE);
        }
    }
    Some(ExitCode::SUCCESS)
}

/// Returns whether [`start`] can start helpers.
pub fn is_available() -> bool {
    CAN_HELP.load(Relaxed)
}

/// Starts a helper of the study or pair with this id, which runs [`Study::helper`](crate::study::Study::helper) or
/// [`Pair::helper`](crate::pair::Pair::helper).
///
/// # Errors
/// If the process cannot be started, or this program's `main` does not call [`run`].
pub fn start(id: &str) -> Result<Helper, Unavailable> {
    if !is_available() {
        return Err(Unavailable(
            "not measured: this program cannot start itself as a helper".into(),
        ));
    }
    Helper::start(&[], WHOSE, id).map_err(Unavailable)
}

/// Starts the program of a test as a helper, in which libtest runs one test: the one of this name, which does the helper's work
/// if [`Control::connect`] connects it.
///
/// # Errors
/// If the process cannot be started.
pub fn start_in_test(id: &str, test: &str) -> Result<Helper, Unavailable> {
    Helper::start(&["--exact", test, "--nocapture"], WHOSE, id).map_err(Unavailable)
}
