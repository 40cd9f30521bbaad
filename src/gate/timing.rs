//! Times of a case in two builds: interleaved batches in processes that are restarted often.
//!
//! A process keeps for its life where its code and data happen to lie, so one pair of processes
//! compares two accidents. Each restart is a new pair, whose batches alternate A B B A; the log ratio of a
//! restart is the median of theirs.

use std::{path::Path, time::Duration};

use rustix::thread::{CpuSet, sched_getaffinity};

use super::{
    client::{Worker, WorkerError},
    protocol::{CaseKey, Planted, Times},
};
use crate::{statistics::median, trial::Role};

/// A batch lasts about this long, or one iteration.
const BATCH: Duration = Duration::from_millis(2);
/// Batches of both programs in one restart: six pairs, fewer where one iteration is long.
const PAIRS: (u64, u64) = (2, 6);
/// Wall time of the batches of a restart, about.
const RESTART: Duration = Duration::from_millis(24);
/// A batch during a larger share of which its thread waited for a CPU is repeated…
const DISTURBED: f64 = 0.05;
/// …so often in a restart, at most.
const REPETITIONS: u64 = 12;

/// One of two programs that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The bench binary.
    pub path: &'a Path,
    /// The case, by the name that it has there.
    pub case: &'a CaseKey,
    /// The side that is timed.
    pub role: Role,
    /// Extra work, for the self-test.
    pub planted: Option<Planted>,
}

/// Two programs, and how they are timed.
#[derive(Clone, Copy, Debug)]
pub struct Bout<'a> {
    /// What is compared with…
    pub base: Program<'a>,
    /// …and what is compared.
    pub head: Program<'a>,
    /// Both on one core, a different one each restart; else wherever they run.
    pub is_pinned: bool,
    /// How many batches of how many iterations.
    pub pace: Pace,
}

/// How a case is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Iterations in a batch.
    pub iterations: u64,
    /// Paired batches in a restart.
    pub pairs: u64,
    /// Threads that the side keeps busy.
    pub threads: usize,
}

/// What a restart found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Restart {
    /// Median over paired batches of ln(head ÷ base).
    pub log_ratio: f64,
    /// Whether others held the CPU during batches that could not be repeated.
    pub is_disturbed: bool,
    /// Share of the batches' wall time that the program's own code had, all threads.
    pub user_share: f64,
}

/// Finds out how long an iteration takes, and with it how many make a batch.
///
/// # Errors
/// If a worker fails.
pub fn pace(program: Program<'_>) -> Result<Pace, WorkerError> {
    let mut worker = Worker::start(program.path)?;
    let threads = worker.prepare(program.case, true, None)?.threads(program.role);
    worker.batch(program.role, 1, None)?;
    let mut iterations = 1;
    loop {
        let wall = worker.batch(program.role, iterations, None)?.wall;
        if wall > 500_000 || iterations > 1 << 24 {
            let (iterations, pairs) = batches(wall as f64 / iterations as f64);
            return Ok(Pace { iterations, pairs, threads });
        }
        iterations *= 4;
    }
}

/// Iterations in a batch and paired batches in a restart.
fn batches(iteration_ns: f64) -> (u64, u64) {
    let iterations = (BATCH.as_nanos() as f64 / iteration_ns).round().max(1.0) as u64;
    let pair_ns = 2.0 * iterations as f64 * iteration_ns;
    let pairs = (RESTART.as_nanos() as f64 / pair_ns).round() as u64;
    (iterations, pairs.clamp(PAIRS.0, PAIRS.1))
}

/// Starts both programs once and times them; `nth` decides which is first, and on which core.
///
/// # Errors
/// If a worker fails.
pub fn restart(bout: &Bout<'_>, nth: usize) -> Result<Restart, WorkerError> {
    let core = bout.is_pinned.then(|| core(nth));
    let mut programs = [bout.base, bout.head];
    let head_first = nth % 2 == 1;
    if head_first {
        programs.reverse();
    }
    let start = |program: Program<'_>| {
        let mut worker = Worker::start(program.path)?;
        worker.prepare(program.case, false, core)?;
        // Untimed: what is lazily made, and the CPU's guesses.
        worker.batch(program.role, bout.pace.iterations, None)?;
        Ok::<_, WorkerError>(worker)
    };
    let mut workers = [start(programs[0])?, start(programs[1])?];
    let mut found = Found { repetitions: REPETITIONS, ..Found::default() };
    let mut log_ratios = Vec::new();
    for pair in 0..bout.pace.pairs {
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut elapsed = [0.0; 2];
        for which in order {
            let times = found.batch(&mut workers[which], programs[which], bout)?;
            elapsed[which] = times.elapsed.max(1) as f64;
        }
        let (base, head) =
            if head_first { (elapsed[1], elapsed[0]) } else { (elapsed[0], elapsed[1]) };
        log_ratios.push((head / base).ln());
    }
    Ok(Restart {
        log_ratio: median(&log_ratios).unwrap_or(0.0),
        is_disturbed: found.disturbed > 0,
        user_share: found.user_ns as f64 / found.wall_ns.max(1) as f64,
    })
}

#[derive(Default)]
struct Found {
    repetitions: u64,
    disturbed: u64,
    user_ns: u64,
    wall_ns: u64,
}

impl Found {
    fn batch(
        &mut self,
        worker: &mut Worker,
        program: Program<'_>,
        bout: &Bout<'_>,
    ) -> Result<Times, WorkerError> {
        loop {
            let times = worker.batch(program.role, bout.pace.iterations, program.planted)?;
            // Threads of one side wait for each other, which is no disturbance.
            let waited = times.waited as f64 > DISTURBED * times.wall as f64;
            if !(bout.is_pinned && waited) || self.repetitions == 0 {
                self.disturbed += u64::from(bout.is_pinned && waited);
                self.user_ns += times.user;
                self.wall_ns += times.wall;
                return Ok(times);
            }
            self.repetitions -= 1;
        }
    }
}

/// The cores of this process in turn.
fn core(nth: usize) -> usize {
    let cores: Vec<usize> = sched_getaffinity(None).map_or_else(
        |_| vec![0],
        |set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
    );
    // Two restarts on each: either program is first on every core.
    cores[nth / 2 % cores.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_last_two_milliseconds_and_restarts_twelve_of_them() {
        assert_eq!(batches(1_000.0), (2_000, 6));
        assert_eq!(batches(1_900_000.0), (1, 6));
        assert_eq!(batches(5_000_000.0), (1, 2));
        assert_eq!(batches(20_000_000.0), (1, 2));
    }
}
