//! Counts the instructions of a case in a worker under callgrind.
//!
//! Several iterations are counted, and the minimum is the result. Scheduling can only add instructions, for example
//! when a thread waits for a lock or is woken up before its answer is complete.
//!
//! The number of iterations depends on their counts, not on their duration. Otherwise a process that had time for
//! fewer iterations would seem to execute more instructions.

use std::{path::Path, process::Command};

use super::{
    callgrind,
    client::{Worker, WorkerError},
    protocol::{GateCase, Injected},
};
use worthit_pair::{paths, trial::Role};

/// Number of iterations that are always counted, unless a single one exceeds [`INSTRUCTION_LIMIT`].
const MIN_ITERATIONS: u64 = 3;
/// Relative spread up to which counts are considered stable; scheduling causes a larger spread.
const STABLE_SPREAD: f64 = 0.001;
/// Maximum number of iterations when the counts vary.
const MAX_ITERATIONS: u64 = 48;
/// Total number of instructions beyond which varying counts are not repeated.
const INSTRUCTION_LIMIT: u64 = 30_000_000;

/// Returns whether valgrind can be run.
pub fn is_available() -> bool {
    valgrind_version().is_some()
}

/// Returns what `valgrind --version` prints; `None` if valgrind cannot be run.
pub(super) fn valgrind_version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(version)
}

/// Counts the instructions of one iteration of each of `roles`, excluding the allocator's.
///
/// `shift` moves the heap, by 16 bytes a unit. Code that compares or copies memory takes more steps where its data begins
/// at an odd address or crosses a page, and where data lies differs between builds. Valgrind does not randomize addresses:
/// counts of one shift repeat, and those of several show how much they depend on the place.
///
/// # Errors
/// If the case cannot run, or the worker or valgrind fails.
pub fn count(
    program: &Path,
    case: &GateCase,
    roles: &[Role],
    injected: Option<Injected>,
    shift: usize,
) -> Result<Vec<(Role, u64)>, WorkerError> {
    let failed = |output: String| WorkerError::Failed { program: program.to_owned(), output };
    // Removed even if this process is interrupted.
    let folder = paths::scratch().map_err(|error| failed(error.to_string()))?;
    let mut worker = Worker::start_counted(program, folder.path(), shift)?;
    worker.prepare(case, roles)?;
    worker.ready()?;
    let (mut counts_by_role, mut dumps_read) = (Vec::new(), 0);
    for role in roles {
        let mut count_more = |iterations: u64| -> Result<Vec<u64>, WorkerError> {
            worker.count(*role, iterations, injected)?;
            let totals = callgrind::totals(folder.path(), dumps_read)
                .map_err(|error| failed(error.to_string()))?;
            dumps_read += totals.len();
            Ok(totals)
        };
        let mut counts = count_more(1)?;
        loop {
            match iterations_left(&counts) {
                0 => break,
                left => counts.extend(count_more(left)?),
            }
        }
        let none = || failed("valgrind wrote no counts; is it built for this CPU?".to_owned());
        counts_by_role.push((*role, counts.into_iter().min().ok_or_else(none)?));
    }
    Ok(counts_by_role)
}

/// Returns how many more iterations to count after these.
fn iterations_left(counts: &[u64]) -> u64 {
    let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max()) else { return 0 };
    let (counted, affordable) = (counts.len() as u64, INSTRUCTION_LIMIT / (*least).max(1));
    let varies = (most - least) as f64 > *least as f64 * STABLE_SPREAD;
    let wanted = if counted < MIN_ITERATIONS && affordable > 0 {
        MIN_ITERATIONS
    } else if varies {
        MAX_ITERATIONS.min(affordable)
    } else {
        counted
    };
    wanted.saturating_sub(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varying_counts_are_repeated_unless_they_cost_too_much() {
        assert_eq!(iterations_left(&[100_000]), 2);
        assert_eq!(iterations_left(&[30_000_000]), 2);
        assert_eq!(iterations_left(&[30_000_001]), 0);
        assert_eq!(iterations_left(&[100_000, 100_001, 100_100]), 0);
        assert_eq!(iterations_left(&[100_000, 100_101, 100_000]), 45);
        assert_eq!(iterations_left(&[0, 1, 0]), 45);
        assert_eq!(iterations_left(&[3_000_000, 3_100_000, 3_000_000]), 7);
        assert_eq!(iterations_left(&[20_000_000, 21_000_000, 20_000_000]), 0);
        let all = [100_000_u64, 100_101].repeat(24);
        assert_eq!(iterations_left(&all), 0, "counting ends");
    }
}
