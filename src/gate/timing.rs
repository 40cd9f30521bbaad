//! Times of a case in two builds: interleaved batches in processes that are restarted often.
//!
//! A process keeps for its life where its code and data happen to lie, so one pair of processes
//! compares two accidents. Each restart is a new pair, whose batches alternate A B B A. A side's time in
//! a restart is the first quartile of its batches: what others take of the machine only adds, in bursts. (On a
//! machine with other load the log ratios of quartiles scattered half as much as the medians of paired
//! ratios; those of minima less still, but two threads that happen not to meet made minima of two kinds.)

use std::{path::Path, time::Duration};

use super::{
    client::{Worker, WorkerError},
    protocol::{CaseKey, Planted, Times},
};
use crate::{cores, statistics::Summary, trial::Role};

/// A batch lasts about this long, or one iteration.
const BATCH: Duration = Duration::from_millis(2);
/// Batches of each program in one restart: twelve, fewer where one iteration is long.
const PAIRS: (u64, u64) = (4, 12);
/// Wall time of the batches of a restart, about.
const RESTART: Duration = Duration::from_millis(48);
/// Batches during which others held the CPU are repeated so often in a restart, at most.
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
    /// Iterations in a batch.
    pub iterations: u64,
    /// Extra work, for the self-test.
    pub planted: Option<Planted>,
}

impl<'a> Program<'a> {
    /// One side of a case; a contest sets the iterations.
    pub fn new(path: &'a Path, case: &'a CaseKey, role: Role) -> Program<'a> {
        Program { path, case, role, iterations: 1, planted: None }
    }
}

/// Two programs, and how they are timed.
#[derive(Clone, Copy, Debug)]
pub struct Bout<'a> {
    /// What is compared with…
    pub base: Program<'a>,
    /// …and what is compared.
    pub head: Program<'a>,
    /// Both on one core, a different one each restart; else each of their threads on a core of its own,
    /// as the scheduler leaves two threads on one core for longer than a restart lasts now and then.
    pub is_pinned: bool,
    /// Paired batches in a restart.
    pub pairs: u64,
}

/// How a side is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Iterations in a batch.
    pub iterations: u64,
    /// Wall time of a batch, ns.
    pub batch_ns: f64,
    /// Threads that the side keeps busy.
    pub threads: usize,
}

/// What a restart found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Restart {
    /// ln(head ÷ base) of the first quartiles of their batches.
    pub log_ratio: f64,
    /// Whether others held the CPU during batches that could not be repeated.
    pub is_disturbed: bool,
    /// CPU time of all threads ÷ wall time of the batches.
    pub cpu_share: f64,
}

/// Finds out how long an iteration takes, and with it how many make a batch.
///
/// # Errors
/// If a worker fails.
pub fn pace(path: &Path, case: &CaseKey, role: Role) -> Result<Pace, WorkerError> {
    let mut worker = Worker::start(path)?;
    let threads = worker.prepare(case, true)?.threads(role);
    worker.batch(role, 1, None)?;
    let mut iterations = 1;
    loop {
        let wall = worker.batch(role, iterations, None)?.wall;
        if wall > 500_000 || iterations > 1 << 24 {
            let iteration_ns = wall as f64 / iterations as f64;
            let iterations = (BATCH.as_nanos() as f64 / iteration_ns).round().max(1.0) as u64;
            return Ok(Pace { iterations, batch_ns: iterations as f64 * iteration_ns, threads });
        }
        iterations *= 4;
    }
}

/// Paired batches in a restart, of two programs' paces.
pub fn pairs(paces: [Pace; 2]) -> u64 {
    let pair_ns = paces[0].batch_ns + paces[1].batch_ns;
    let pairs = (RESTART.as_nanos() as f64 / pair_ns).round() as u64;
    pairs.clamp(PAIRS.0, PAIRS.1)
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
    let mut workers = [Worker::start(programs[0].path)?, Worker::start(programs[1].path)?];
    for (worker, program) in workers.iter_mut().zip(programs) {
        worker.begin_to_prepare(program.case, false)?;
    }
    for (worker, program) in workers.iter_mut().zip(programs) {
        worker.ready()?;
        match core {
            Some(core) => worker.pin(core)?,
            None => worker.spread()?,
        }
        // Untimed: what is lazily made, and the CPU's guesses.
        worker.batch(program.role, program.iterations, None)?;
    }
    let mut found = Found { repetitions: REPETITIONS, ..Found::default() };
    let mut times = [Vec::new(), Vec::new()];
    for pair in 0..bout.pairs {
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let batch = found.batch(&mut workers[which], programs[which])?;
            times[which].push(batch.elapsed.max(1) as f64 / programs[which].iterations as f64);
        }
    }
    let [first, second] = times.map(|times| lower_quartile(&times));
    let (base, head) = if head_first { (second, first) } else { (first, second) };
    Ok(Restart {
        log_ratio: (head / base).ln(),
        is_disturbed: found.disturbed > 0,
        cpu_share: found.cpu_ns as f64 / found.wall_ns.max(1) as f64,
    })
}

#[derive(Default)]
struct Found {
    repetitions: u64,
    disturbed: u64,
    cpu_ns: u64,
    wall_ns: u64,
}

impl Found {
    fn batch(&mut self, worker: &mut Worker, program: Program<'_>) -> Result<Times, WorkerError> {
        loop {
            let times = worker.batch(program.role, program.iterations, program.planted)?;
            if !times.disturbed || self.repetitions == 0 {
                self.disturbed += u64::from(times.disturbed);
                self.cpu_ns += times.cpu;
                self.wall_ns += times.wall;
                return Ok(times);
            }
            self.repetitions -= 1;
        }
    }
}

fn lower_quartile(times: &[f64]) -> f64 {
    Summary::of(times).map_or(f64::NAN, |summary| summary.lower_quartile)
}

/// The cores of this process in turn.
fn core(nth: usize) -> usize {
    let cores = cores::allowed();
    // Two restarts on each: either program is first on every core.
    cores[nth / 2 % cores.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_has_twelve_batches_of_two_milliseconds_and_fewer_of_longer_ones() {
        let pace = |batch_ms: f64| Pace { iterations: 1, batch_ns: batch_ms * 1e6, threads: 1 };
        assert_eq!(pairs([pace(2.0), pace(2.0)]), 12);
        assert_eq!(pairs([pace(0.1), pace(0.1)]), 12);
        assert_eq!(pairs([pace(5.0), pace(3.0)]), 6);
        assert_eq!(pairs([pace(20.0), pace(20.0)]), 4);
    }
}
