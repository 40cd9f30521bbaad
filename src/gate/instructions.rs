//! Counting the instructions of a case, in a worker under callgrind.

use std::{path::Path, process::Command};

use super::{
    callgrind,
    client::{Worker, WorkerError},
    protocol::{CaseKey, Planted},
};
use crate::{places, trial::Role};

/// Iterations of a side that are counted.
const ITERATIONS: u64 = 3;

/// Whether valgrind can be run.
pub fn is_available() -> bool {
    let asked = Command::new("valgrind").arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

/// Instructions of one iteration of each of `roles` of a case.
///
/// # Errors
/// If the case cannot run, or the worker or valgrind fails.
pub fn count(
    program: &Path,
    case: &CaseKey,
    roles: &[Role],
    planted: Option<Planted>,
) -> Result<Vec<(Role, u64)>, WorkerError> {
    let failed = |said: String| WorkerError::Failed { program: program.to_owned(), said };
    // Gone also if this process is interrupted.
    let folder = places::scratch().map_err(|error| failed(error.to_string()))?;
    let mut worker = Worker::start_counted(program, folder.path())?;
    worker.prepare(case, roles)?;
    worker.ready()?;
    let mut found = Vec::new();
    let mut before = 0;
    for role in roles {
        worker.count(*role, ITERATIONS, planted)?;
        let totals = callgrind::totals(folder.path()).map_err(|error| failed(error.to_string()))?;
        // The cheapest iteration: what is made lazily is in the first, if it is anywhere.
        let counts = totals.get(before..).and_then(|own| own.iter().min().copied());
        let none = || failed("valgrind wrote no counts; is it built for this CPU?".to_owned());
        found.push((*role, counts.ok_or_else(none)?));
        before = totals.len();
    }
    Ok(found)
}
