//! Times many cases within one time limit.
//!
//! All cases are screened before any is confirmed. Only undecided cases get more time.

use std::time::{Duration, Instant};

use super::{
    client::WorkerError,
    decision::{Next, Rule, Samples},
    timing::{self, PairedBatches, Program},
    verdict::{TimeVerdict, Verdict},
};

/// Maximum time spent on one case; a case still undecided by then is too noisy on this machine.
const LONGEST: Duration = Duration::from_secs(15);

/// Timing of one case.
#[derive(Debug)]
pub struct PairedTiming<'a> {
    paired: PairedBatches<'a>,
    threads: usize,
    samples: Samples,
    restarts: usize,
    /// Number of restarts that other processes disturbed.
    pub disturbed: usize,
    cpu_shares: f64,
    spent: Duration,
    /// Verdict of the times, once there is one.
    pub found: Option<Result<TimeVerdict, WorkerError>>,
}

impl<'a> PairedTiming<'a> {
    /// Prepares the timing of two programs, which share a core unless one of them keeps several threads busy.
    ///
    /// The base is measured first, to find the number of iterations in a batch. The head gets the same number if it
    /// runs the same side, and otherwise the number that makes its batches as long as the base's.
    ///
    /// # Errors
    /// If a worker fails.
    pub fn new(
        mut base: Program<'a>,
        mut head: Program<'a>,
    ) -> Result<PairedTiming<'a>, WorkerError> {
        let base_pace = timing::pace(base.path, base.case, base.role)?;
        let head_pace = match base.role == head.role {
            true => base_pace,
            false => timing::pace(head.path, head.case, head.role)?,
        };
        (base.iterations, head.iterations) = (base_pace.iterations, head_pace.iterations);
        let threads = base_pace.threads.max(head_pace.threads);
        Ok(PairedTiming {
            paired: PairedBatches { base, head, is_pinned: threads <= 1 },
            threads,
            samples: Samples::default(),
            restarts: 0,
            disturbed: 0,
            cpu_shares: 0.0,
            spent: Duration::ZERO,
            found: None,
        })
    }

    /// Returns the number of threads that the busier program keeps busy.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Returns the CPU time of all threads ÷ wall time, averaged over the restarts.
    pub fn cpu_share(&self) -> f64 {
        self.cpu_shares / self.restarts.max(1) as f64
    }

    /// Runs the restarts that the decision needs next, until `deadline` passes.
    fn advance(&mut self, rule: &Rule, deadline: Instant) {
        let wanted = match self.samples.next(rule) {
            Next::Done(found) => {
                self.found = Some(Ok(found));
                return;
            }
            Next::Confirm => {
                self.samples.begin_confirmation();
                return;
            }
            Next::Measure(wanted) => wanted,
        };
        for _ in 0..wanted {
            let start = Instant::now();
            if self.spent > LONGEST {
                return self.give_up(rule);
            }
            if start >= deadline {
                return;
            }
            match timing::restart(&self.paired, self.restarts) {
                Ok(restart) => {
                    self.restarts += 1;
                    self.disturbed += usize::from(restart.is_disturbed);
                    self.cpu_shares += restart.cpu_share;
                    self.samples.add(&[restart.log_ratio]);
                    self.spent += start.elapsed();
                }
                Err(error) => {
                    self.found = Some(Err(error));
                    return;
                }
            }
        }
        if let Next::Done(found) = self.samples.next(rule) {
            self.found = Some(Ok(found));
        }
    }

    /// Measures the log ratios of `restarts` restarts, without deciding anything.
    ///
    /// # Errors
    /// If a worker fails.
    pub fn log_ratios(&self, restarts: usize) -> Result<Vec<f64>, WorkerError> {
        (0..restarts).map(|nth| Ok(timing::restart(&self.paired, nth)?.log_ratio)).collect()
    }

    /// Measures until this timing is decided or `deadline` passes.
    pub fn decide(&mut self, rule: &Rule, deadline: Instant) {
        decide_all(std::slice::from_mut(self), rule, deadline, &mut |_| ());
    }

    /// Reopens a timing that is undecided because its time was up.
    pub fn resume(&mut self) {
        if matches!(&self.found, Some(Ok(found)) if found.verdict == Verdict::Undecided) {
            self.found = None;
        }
    }

    /// Marks the timing as undecided, unless it has a verdict.
    fn give_up(&mut self, rule: &Rule) {
        if self.found.is_none() {
            self.found = Some(Ok(self.samples.given_up(rule)));
        }
    }
}

/// Measures until every timing is decided or `deadline` passes; the others are then undecided.
///
/// Reports to `progress` after each round how many timings are left.
pub fn decide_all(
    timings: &mut [PairedTiming<'_>],
    rule: &Rule,
    deadline: Instant,
    progress: &mut dyn FnMut(usize),
) {
    loop {
        let mut left = 0;
        for timing in timings.iter_mut().filter(|timing| timing.found.is_none()) {
            timing.advance(rule, deadline);
            left += usize::from(timing.found.is_none());
        }
        if left == 0 || Instant::now() >= deadline {
            break;
        }
        progress(left);
    }
    timings.iter_mut().for_each(|timing| timing.give_up(rule));
}
