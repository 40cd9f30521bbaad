//! Times of a case in two builds: interleaved batches in processes that are restarted often.
//!
//! A process keeps for its life where its code and data happen to lie, so one pair of processes
//! compares two accidents. Each restart is a new pair, whose batches alternate strictly, A B A B: each
//! begins with the caches that the other program has left, and with a few iterations that are not timed. (In the order
//! A B B A every second batch found its own data in the caches, which was worth up to 30 %.) A
//! restart's log ratio is the median of those of neighbours: a machine that is slower for some milliseconds is so
//! for both. Neighbours of which one met a burst of something else do not count, so a change that makes a few batches
//! much longer and leaves the others alone is not seen here.
//!
//! Where the system lets them, the programs go before all that others run.
//!
//! Beside compilers the log ratios of restarts scatter by 1.4 %, the geometric mean over the pairs, and by 1.6 to 2 %
//! where the system does not let them go first. (There, those of first quartiles by another fifth
//! more; with batches of 2 ms in the order A B B A, by twice as much.)

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    client::{Worker, WorkerError},
    protocol::{CaseKey, Injected, Times},
};
use crate::statistics::{median, quantile};
use worthit_pair::{cores, trial::Role};

/// The side runs about this long in a batch, or one iteration…
const BATCH: Duration = Duration::from_micros(500);
/// …but no longer than this with what is off the clock.
const LONGEST: Duration = Duration::from_millis(2);
/// A batch of so many iterations begins with one more, off the clock.
const PER_UNTIMED: u64 = 8;
/// Batches of each program in one restart, at least and at most.
const PAIRS: (u64, u64) = (4, 24);
/// Batches of which the quickest sets the pace.
const TRIES: usize = 5;
/// A restart has no more batches than the fewest once they have taken so long…
const RESTART: Duration = Duration::from_millis(32);
/// …and so long if they want several cores, which they seldom have to themselves.
const RESTART_OF_THREADS: Duration = Duration::from_millis(64);
/// A batch that took more than so many times what the program's fast ones do met something else.
const BURST: f64 = 1.5;
/// The share of a program's batches that are fast.
const FAST: f64 = 0.1;
/// So many neighbours that met nothing are enough to leave out the others…
const ENOUGH: usize = 5;
/// …and are waited for so many times as long.
const PATIENCE: u32 = 3;

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
    pub injected: Option<Injected>,
}

impl<'a> Program<'a> {
    /// One side of a case; a timing sets the iterations.
    pub fn new(path: &'a Path, case: &'a CaseKey, role: Role) -> Program<'a> {
        Program { path, case, role, iterations: 1, injected: None }
    }
}

/// Two programs, and how they are timed.
#[derive(Clone, Copy, Debug)]
pub struct PairedBatches<'a> {
    /// What is compared with…
    pub base: Program<'a>,
    /// …and what is compared.
    pub head: Program<'a>,
    /// Both on one core, a different one each restart; else each of their threads on a core of its own,
    /// as the scheduler leaves two threads on one core for longer than a restart lasts now and then.
    pub is_pinned: bool,
}

/// How a side is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Iterations in a batch.
    pub iterations: u64,
    /// Threads that the side keeps busy.
    pub threads: usize,
}

/// What a restart found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Restart {
    /// Median of ln(head ÷ base) of neighbouring batches.
    pub log_ratio: f64,
    /// Whether others held the CPU so often that hardly any batches are left.
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
    let threads = worker.prove(case)?.threads(role);
    worker.batch(role, 0, 1, None)?;
    let mut iterations = 1;
    loop {
        // What others take of the machine only adds.
        let mut quickest: Option<Times> = None;
        for _ in 0..TRIES {
            let times = worker.batch(role, 0, iterations, None)?;
            quickest = quickest.into_iter().chain([times]).min_by_key(|times| times.wall);
        }
        let times = quickest.expect("it was tried");
        let (batch, longest) = (BATCH.as_nanos() as u64, LONGEST.as_nanos() as u64);
        if times.elapsed >= batch / 2 || times.wall >= longest || iterations >= 1 << 24 {
            let within =
                |limit: u64, time: u64| limit as f64 * iterations as f64 / time.max(1) as f64;
            let most = within(batch, times.elapsed).round().min(within(longest, times.wall));
            return Ok(Pace { iterations: most.max(1.0) as u64, threads });
        }
        iterations *= 2;
    }
}

/// Starts both programs once and times them; `nth` decides which is first, and on which core.
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
        // Untimed: what is lazily made, and the CPU's guesses.
        worker.batch(program.role, 0, program.iterations, None)?;
    }
    let enough = if paired.is_pinned { RESTART } else { RESTART_OF_THREADS };
    let (start, mut batches) = (Instant::now(), Vec::new());
    let (mut cpu_ns, mut wall_ns) = (0, 0);
    for pair in 0..PAIRS.1 {
        let spent = start.elapsed();
        let is_calm = || Compared::of(&batches).is_some_and(|compared| compared.is_calm);
        if pair >= PAIRS.0 && spent > enough && (spent > enough * PATIENCE || is_calm()) {
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
    let compared = Compared::of(&batches).expect("there are batches of both");
    let by_first = compared.second_by_first.ln();
    Ok(Restart {
        log_ratio: if head_first { -by_first } else { by_first },
        is_disturbed: !compared.is_calm && batches.iter().any(|batch| batch.disturbed),
        cpu_share: cpu_ns as f64 / wall_ns.max(1) as f64,
    })
}

/// A batch of a restart.
#[derive(Clone, Copy, Debug)]
struct Batch {
    /// Time of an iteration.
    ns: f64,
    /// Whether others held the CPU meanwhile.
    disturbed: bool,
}

/// What batches of two programs in turn say.
#[derive(Clone, Copy, Debug)]
struct Compared {
    /// Time of the second program ÷ time of the first.
    second_by_first: f64,
    /// Whether enough of them met nothing else.
    is_calm: bool,
}

impl Compared {
    /// The median of the ratios of neighbours that met neither others on the CPU nor a burst of something
    /// else; if hardly any did not, the ratio of the quickest of each. `None` without batches of both.
    fn of(batches: &[Batch]) -> Option<Compared> {
        let sorted = [0, 1].map(|which| {
            let own = batches.iter().skip(which).step_by(2);
            let mut own: Vec<f64> = own.map(|batch| batch.ns).collect();
            own.sort_unstable_by(f64::total_cmp);
            own
        });
        let quickest = sorted[1].first()? / sorted[0].first()?;
        let limits = sorted.map(|own| BURST * quantile(&own, FAST));
        let is_calm = |nth: usize| !batches[nth].disturbed && batches[nth].ns <= limits[nth % 2];
        let calm = (1..batches.len()).filter(|nth| is_calm(nth - 1) && is_calm(*nth));
        let logs: Vec<f64> = calm
            .map(|nth| {
                let log_ratio = (batches[nth].ns / batches[nth - 1].ns).ln();
                if nth % 2 == 1 { log_ratio } else { -log_ratio }
            })
            .collect();
        let is_calm = logs.len() >= ENOUGH;
        let of_calm = median(&logs).filter(|_| is_calm).map(f64::exp);
        Some(Compared { second_by_first: of_calm.unwrap_or(quickest), is_calm })
    }
}

/// Iterations off the clock at the beginning of a batch; one iteration that makes a batch is long
/// enough to warm itself.
fn untimed(iterations: u64) -> u64 {
    if iterations > 1 { iterations.div_ceil(PER_UNTIMED) } else { 0 }
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
    fn a_batch_begins_with_an_eighth_of_its_iterations_off_the_clock() {
        assert_eq!([1, 2, 8, 9, 800].map(untimed), [0, 1, 1, 2, 100]);
    }

    fn compared(times: &[f64]) -> Compared {
        let batches: Vec<Batch> =
            times.iter().map(|ns| Batch { ns: *ns, disturbed: false }).collect();
        Compared::of(&batches).unwrap()
    }

    /// The second takes 10 % longer; the machine slows down by a fifth meanwhile.
    fn drifting() -> Vec<f64> {
        let time = |nth: usize| {
            let second = if nth % 2 == 1 { 1.1 } else { 1.0 };
            second * (1.0 + 0.2 * nth as f64 / 47.0)
        };
        (0..48).map(time).collect()
    }

    fn assert_a_tenth(compared: Compared, within: f64) {
        assert!((compared.second_by_first - 1.1).abs() < within, "{compared:?}");
    }

    #[test]
    fn neighbours_cancel_a_drift_and_leave_bursts_out() {
        let mut times = drifting();
        assert_a_tenth(compared(&times), 0.005);
        times[10..20].iter_mut().for_each(|time| *time *= 1.7);
        times[30] *= 40.0;
        assert_a_tenth(compared(&times), 0.005);
        // Two of three batches of the first meet something that the second does not.
        times.iter_mut().step_by(6).for_each(|time| *time *= 3.0);
        times.iter_mut().skip(2).step_by(6).for_each(|time| *time *= 4.0);
        assert_a_tenth(compared(&times), 0.01);
        assert!(compared(&times).is_calm);
    }

    #[test]
    fn batches_during_which_others_held_the_cpu_do_not_count() {
        let of = |disturbed: bool| -> Compared {
            let batch = |(nth, ns): (usize, f64)| {
                // They take a fifth longer in the second program's, too little for a burst.
                let held = nth % 4 == 1;
                Batch { ns: if held { ns * 1.2 } else { ns }, disturbed: held && disturbed }
            };
            let batches: Vec<Batch> = drifting().into_iter().enumerate().map(batch).collect();
            Compared::of(&batches).unwrap()
        };
        assert_a_tenth(of(true), 0.005);
        assert!(of(false).second_by_first > 1.12, "else the test shows nothing");
    }

    #[test]
    fn programs_that_hardly_ever_have_the_cores_to_themselves_are_compared_by_their_quickest() {
        let found = compared(&[1.0, 4.0, 8.0, 32.0, 3.0, 1.1]);
        assert_a_tenth(found, 1e-9);
        assert!(!found.is_calm);
        assert!(Compared::of(&[Batch { ns: 1.0, disturbed: false }]).is_none());
    }
}
