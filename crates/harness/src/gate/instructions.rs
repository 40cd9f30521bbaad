//! Counting the instructions of a case, in a worker under callgrind.
//!
//! The cheapest of some iterations counts: what depends on scheduling, waiting for a lock or being woken
//! for half an answer, only adds. How many are counted depends on counts alone, not on how long they take: a
//! process that had time for fewer would seem to do more.

use std::{path::Path, process::Command};

use super::{
    callgrind,
    client::{Worker, WorkerError},
    protocol::{CaseKey, Injected},
};
use worthit_pair::{paths, trial::Role};

/// Iterations of a side that are counted at first, if they are not dear…
const FEW: u64 = 3;
/// …and in all if those differ by more than this share, as what depends on scheduling does…
const VARIES: f64 = 0.001;
/// …that is so many…
const MANY: u64 = 48;
/// …or as many as make so many instructions.
const ENOUGH: u64 = 30_000_000;

/// Whether valgrind can be run.
pub fn is_available() -> bool {
    let asked = Command::new("valgrind").arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

/// Instructions of one iteration of each of `roles` of a case, without the allocator's.
///
/// # Errors
/// If the case cannot run, or the worker or valgrind fails.
pub fn count(
    program: &Path,
    case: &CaseKey,
    roles: &[Role],
    injected: Option<Injected>,
) -> Result<Vec<(Role, u64)>, WorkerError> {
    let failed = |said: String| WorkerError::Failed { program: program.to_owned(), said };
    // Gone also if this process is interrupted.
    let folder = paths::scratch().map_err(|error| failed(error.to_string()))?;
    let mut worker = Worker::start_counted(program, folder.path())?;
    worker.prepare(case, roles)?;
    worker.ready()?;
    let (mut found, mut known) = (Vec::new(), 0);
    for role in roles {
        let mut counted = |iterations: u64| -> Result<Vec<u64>, WorkerError> {
            worker.count(*role, iterations, injected)?;
            let totals = callgrind::totals(folder.path(), known)
                .map_err(|error| failed(error.to_string()))?;
            known += totals.len();
            Ok(totals)
        };
        let mut counts = counted(1)?;
        loop {
            match more(&counts) {
                0 => break,
                more => counts.extend(counted(more)?),
            }
        }
        let none = || failed("valgrind wrote no counts; is it built for this CPU?".to_owned());
        found.push((*role, counts.into_iter().min().ok_or_else(none)?));
    }
    Ok(found)
}

/// How many more iterations are counted after these.
fn more(counts: &[u64]) -> u64 {
    let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max()) else { return 0 };
    let (known, affordable) = (counts.len() as u64, ENOUGH / (*least).max(1));
    let varies = (most - least) as f64 > *least as f64 * VARIES;
    let wanted = if known < FEW && affordable > 0 {
        FEW
    } else if varies {
        MANY.min(affordable)
    } else {
        known
    };
    wanted.saturating_sub(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_counted_more_often_unless_it_is_dear() {
        assert_eq!(more(&[100_000]), 2);
        assert_eq!(more(&[30_000_000]), 2);
        assert_eq!(more(&[30_000_001]), 0);
        assert_eq!(more(&[100_000, 100_001, 100_100]), 0);
        assert_eq!(more(&[100_000, 100_101, 100_000]), 45);
        assert_eq!(more(&[0, 1, 0]), 45);
        assert_eq!(more(&[3_000_000, 3_100_000, 3_000_000]), 7);
        assert_eq!(more(&[20_000_000, 21_000_000, 20_000_000]), 0);
        let all = [100_000_u64, 100_101].repeat(24);
        assert_eq!(more(&all), 0, "it ends");
    }
}
