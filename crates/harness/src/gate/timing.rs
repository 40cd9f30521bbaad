//! Times a case in two builds, with interleaved batches in processes that are restarted often.
//!
//! A process gets a random memory layout and keeps it for its lifetime. A single pair of processes would compare two
//! such layouts, so each restart starts a new pair.
//!
//! The batches of the two programs alternate strictly, A B A B. Each batch finds the caches as the other program left
//! them and begins with a few untimed iterations. (In the order A B B A, every second batch found its own data in the
//! caches, which made it up to 30 % faster.)
//!
//! A restart's log ratio is the median over neighbouring batches: if the machine is slow for some milliseconds, both
//! neighbours are slow. Neighbours are left out if one of them was hit by a burst of other activity. The gate
//! therefore misses a change that makes a few batches much longer and leaves the others as they were.
//!
//! Workers run at real-time priority where the system permits. While compilers run on the same machine, the log
//! ratios of restarts have a spread of 1.4 % (geometric mean over the pairs). Without real-time priority, the spread
//! is 1.6 to 2 %. (There, alternatives were worse: ratios of first quartiles had a spread larger by a fifth, and 2 ms
//! batches in the order A B B A had twice the spread.)

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    client::{Worker, WorkerError},
    protocol::{GateCase, Injected, Times},
};
use crate::statistics::{median, quantile};
use worthit_pair::{cores, trial::Role};

/// Target time of a side in a batch; a single iteration may take longer.
const BATCH: Duration = Duration::from_micros(500);
/// Maximum wall time of a batch of several iterations, including what is off the clock.
const LONGEST: Duration = Duration::from_millis(2);
/// Number of timed iterations for each untimed iteration at the start of a batch.
const TIMED_PER_UNTIMED: u64 = 8;
/// Minimum and maximum number of batches of each program in a restart.
const BATCHES: (u64, u64) = (4, 24);
/// Number of calibration batches, of which the quickest sets the pace.
const TRIES: usize = 5;
/// Target duration of the batches of a restart.
const RESTART: Duration = Duration::from_millis(32);
/// Target duration for sides with several threads, which seldom have their cores to themselves.
const RESTART_OF_THREADS: Duration = Duration::from_millis(64);
/// A batch was hit by a burst if it took more than this many times as long as the program's fast batches.
const BURST: f64 = 1.5;
/// Quantile of a program's batch times that defines its fast batches.
const FAST: f64 = 0.1;
/// Number of calm neighbours at which all others are left out; calm means undisturbed and without a burst.
const MIN_CALM: usize = 5;
/// A restart may last this many times its target duration to collect that many calm neighbours.
const PATIENCE: u32 = 3;

/// One of the two programs that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// Path of the bench binary.
    pub path: &'a Path,
    /// The case, as this build names it.
    pub case: &'a GateCase,
    /// Side that is timed.
    pub role: Role,
    /// Number of iterations in a batch.
    pub iterations: u64,
    /// Extra work, for the self-test.
    pub injected: Option<Injected>,
}

impl<'a> Program<'a> {
    /// Describes one side of a case; the number of iterations is set later.
    pub fn new(path: &'a Path, case: &'a GateCase, role: Role) -> Program<'a> {
        Program { path, case, role, iterations: 1, injected: None }
    }
}

/// Two programs that are timed in alternating batches.
#[derive(Clone, Copy, Debug)]
pub struct PairedBatches<'a> {
    /// The program to compare with.
    pub base: Program<'a>,
    /// The program that is judged.
    pub head: Program<'a>,
    /// Whether both run on one core, which changes from restart to restart.
    ///
    /// Otherwise each thread is pinned to a core of its own, because the scheduler sometimes leaves two threads on the
    /// same core for longer than a restart lasts.
    pub is_pinned: bool,
}

/// Size of a side's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Number of iterations in a batch.
    pub iterations: u64,
    /// Number of threads that the side keeps busy.
    pub threads: usize,
}

/// Result of one restart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Restart {
    /// Median of ln(head ÷ base) over neighbouring batches.
    pub log_ratio: f64,
    /// Whether other processes held the CPU so often that hardly any calm neighbours are left.
    pub is_disturbed: bool,
    /// CPU time of all threads ÷ wall time of the batches.
    pub cpu_share: f64,
}

/// Measures how long an iteration takes, and derives how many iterations make a batch.
///
/// # Errors
/// If a worker fails.
pub fn pace(path: &Path, case: &GateCase, role: Role) -> Result<Pace, WorkerError> {
    let mut worker = Worker::start(path)?;
    let threads = worker.prove(case)?.threads(role);
    worker.batch(role, 0, 1, None)?;
    let mut iterations = 1;
    loop {
        // Interference only adds time, so the quickest batch is the least disturbed.
        let mut quickest: Option<Times> = None;
        for _ in 0..TRIES {
            let times = worker.batch(role, 0, iterations, None)?;
            quickest = quickest.into_iter().chain([times]).min_by_key(|times| times.wall);
        }
        let times = quickest.expect("at least one try");
        let (batch, longest) = (BATCH.as_nanos() as u64, LONGEST.as_nanos() as u64);
        if times.elapsed >= batch / 2 || times.wall >= longest || iterations >= 1 << 24 {
            let iterations_within =
                |limit: u64, time: u64| limit as f64 * iterations as f64 / time.max(1) as f64;
            let most = iterations_within(batch, times.elapsed)
                .round()
                .min(iterations_within(longest, times.wall));
            return Ok(Pace { iterations: most.max(1.0) as u64, threads });
        }
        iterations *= 2;
    }
}

/// Starts both programs once and times them; `nth` decides which one runs first, and on which core.
///
/// # Errors
/// If a worker fails.
pub fn restart(paired: &PairedBatches<'_>, nth: usize) -> Result<Restart, WorkerError> {
    let core = paired.is_pinned.then(|| core(nth));
    let mut programs = [paired.base, paired.head];
    let head_first = nth % 2 == 1;
    if head_first {
        programs.reverse();
    }
    let mut workers = [Worker::start(programs[0].path)?, Worker::start(programs[1].path)?];
    for (worker, program) in workers.iter_mut().zip(programs) {
        worker.prepare(program.case, &[program.role])?;
    }
    for (worker, program) in workers.iter_mut().zip(programs) {
        worker.ready()?;
        match core {
            Some(core) => worker.pin(core)?,
            None => worker.spread()?,
        }
        // An untimed warm-up, for lazy initialization and branch prediction.
        worker.batch(program.role, 0, program.iterations, None)?;
    }
    let target = if paired.is_pinned { RESTART } else { RESTART_OF_THREADS };
    let (start, mut batches) = (Instant::now(), Vec::new());
    let (mut cpu_ns, mut wall_ns) = (0, 0);
    for round in 0..BATCHES.1 {
        let spent = start.elapsed();
        let is_calm = || BatchComparison::new(&batches).is_some_and(|compared| compared.is_calm);
        if round >= BATCHES.0 && spent > target && (spent > target * PATIENCE || is_calm()) {
            break;
        }
        for (worker, program) in workers.iter_mut().zip(programs) {
            let (role, iterations) = (program.role, program.iterations);
            let times = worker.batch(role, untimed(iterations), iterations, program.injected)?;
            (cpu_ns, wall_ns) = (cpu_ns + times.cpu, wall_ns + times.wall);
            let ns = times.elapsed.max(1) as f64 / iterations as f64;
            batches.push(Batch { ns, disturbed: times.disturbed });
        }
    }
    let compared = BatchComparison::new(&batches).expect("there are batches of both");
    let log_ratio = compared.second_by_first.ln();
    Ok(Restart {
        log_ratio: if head_first { -log_ratio } else { log_ratio },
        is_disturbed: !compared.is_calm && batches.iter().any(|batch| batch.disturbed),
        cpu_share: cpu_ns as f64 / wall_ns.max(1) as f64,
    })
}

/// A timed batch.
#[derive(Clone, Copy, Debug)]
struct Batch {
    /// Time of an iteration, ns.
    ns: f64,
    /// Whether other processes held the CPU during the batch.
    disturbed: bool,
}

/// Comparison of two programs by their alternating batches.
#[derive(Clone, Copy, Debug)]
struct BatchComparison {
    /// Time of the second program ÷ time of the first.
    second_by_first: f64,
    /// Whether enough neighbours were calm.
    is_calm: bool,
}

impl BatchComparison {
    /// Compares by the median ratio of calm neighbours; `None` unless there are batches of both programs.
    ///
    /// Neighbours are calm if neither was disturbed by other processes or hit by a burst. If too few are calm, the
    /// ratio is that of each program's quickest batch.
    fn new(batches: &[Batch]) -> Option<BatchComparison> {
        let sorted = [0, 1].map(|which| {
            let own = batches.iter().skip(which).step_by(2);
            let mut own: Vec<f64> = own.map(|batch| batch.ns).collect();
            own.sort_unstable_by(f64::total_cmp);
            own
        });
        let quickest = sorted[1].first()? / sorted[0].first()?;
        let limits = sorted.map(|own| BURST * quantile(&own, FAST));
        let is_batch_calm =
            |nth: usize| !batches[nth].disturbed && batches[nth].ns <= limits[nth % 2];
        let calm = (1..batches.len()).filter(|nth| is_batch_calm(nth - 1) && is_batch_calm(*nth));
        let logs: Vec<f64> = calm
            .map(|nth| {
                let log_ratio = (batches[nth].ns / batches[nth - 1].ns).ln();
                if nth % 2 == 1 { log_ratio } else { -log_ratio }
            })
            .collect();
        let is_calm = logs.len() >= MIN_CALM;
        let calm_ratio = median(&logs).filter(|_| is_calm).map(f64::exp);
        Some(BatchComparison { second_by_first: calm_ratio.unwrap_or(quickest), is_calm })
    }
}

/// Returns the number of untimed iterations at the start of a batch.
///
/// A single iteration needs none: if it fills a batch, it is long enough to warm itself up.
fn untimed(iterations: u64) -> u64 {
    if iterations > 1 { iterations.div_ceil(TIMED_PER_UNTIMED) } else { 0 }
}

/// Returns the core of a restart, taking the cores of this process in turn.
fn core(nth: usize) -> usize {
    let cores = cores::allowed();
    // Two restarts use each core, so that either program runs first on it.
    cores[nth / 2 % cores.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_begins_with_an_eighth_of_its_iterations_off_the_clock() {
        assert_eq!([1, 2, 8, 9, 800].map(untimed), [0, 1, 1, 2, 100]);
    }

    fn compared(times: &[f64]) -> BatchComparison {
        let batches: Vec<Batch> =
            times.iter().map(|ns| Batch { ns: *ns, disturbed: false }).collect();
        BatchComparison::new(&batches).unwrap()
    }

    /// Batches whose second program takes 10 % longer, while the machine slows down by a fifth.
    fn drifting() -> Vec<f64> {
        let time = |nth: usize| {
            let second = if nth % 2 == 1 { 1.1 } else { 1.0 };
            second * (1.0 + 0.2 * nth as f64 / 47.0)
        };
        (0..48).map(time).collect()
    }

    fn assert_slower_by_a_tenth(compared: BatchComparison, within: f64) {
        assert!((compared.second_by_first - 1.1).abs() < within, "{compared:?}");
    }

    #[test]
    fn neighbours_cancel_drift_and_bursts_are_left_out() {
        let mut times = drifting();
        assert_slower_by_a_tenth(compared(&times), 0.005);
        times[10..20].iter_mut().for_each(|time| *time *= 1.7);
        times[30] *= 40.0;
        assert_slower_by_a_tenth(compared(&times), 0.005);
        // Bursts hit two of three batches of the first program, and none of the second.
        times.iter_mut().step_by(6).for_each(|time| *time *= 3.0);
        times.iter_mut().skip(2).step_by(6).for_each(|time| *time *= 4.0);
        assert_slower_by_a_tenth(compared(&times), 0.01);
        assert!(compared(&times).is_calm);
    }

    #[test]
    fn disturbed_batches_do_not_count() {
        let compared_if_marked = |is_marked: bool| -> BatchComparison {
            let batch = |(nth, ns): (usize, f64)| {
                // Every other batch of the second program takes a fifth longer, too little for a burst.
                let is_slowed = nth % 4 == 1;
                Batch {
                    ns: if is_slowed { ns * 1.2 } else { ns },
                    disturbed: is_slowed && is_marked,
                }
            };
            let batches: Vec<Batch> = drifting().into_iter().enumerate().map(batch).collect();
            BatchComparison::new(&batches).unwrap()
        };
        assert_slower_by_a_tenth(compared_if_marked(true), 0.005);
        assert!(
            compared_if_marked(false).second_by_first > 1.12,
            "unmarked, the slow batches count"
        );
    }

    #[test]
    fn without_calm_neighbours_the_quickest_batches_are_compared() {
        let found = compared(&[1.0, 4.0, 8.0, 32.0, 3.0, 1.1]);
        assert_slower_by_a_tenth(found, 1e-9);
        assert!(!found.is_calm);
        assert!(BatchComparison::new(&[Batch { ns: 1.0, disturbed: false }]).is_none());
    }
}
