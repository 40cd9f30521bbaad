//! Timing many cases within one time limit: all are screened before any is confirmed, and more time is
//! spent only on what is undecided.

use std::time::{Duration, Instant};

use super::{
    client::WorkerError,
    decision::{Next, Rule, Samples, TimeVerdict},
    timing::{self, PairedBatches, Program},
    verdict::Verdict,
};

/// Most time to spend on one case: what is undecided then is too noisy here.
const LONGEST: Duration = Duration::from_secs(15);

/// The timing of one case.
#[derive(Debug)]
pub struct PairedTiming<'a> {
    paired: PairedBatches<'a>,
    threads: usize,
    samples: Samples,
    restarts: usize,
    /// Restarts during which others held the CPU.
    pub disturbed: usize,
    cpu_shares: f64,
    spent: Duration,
    /// What the times say, in the end.
    pub found: Option<Result<TimeVerdict, WorkerError>>,
}

impl<'a> PairedTiming<'a> {
    /// A timing of two programs, on one core if neither keeps more than one thread busy. The base is
    /// tried first, to learn how many iterations make a batch; the head's batches are as many, or, of
    /// another side, as long.
    ///
    /// # Errors
    /// If a worker fails.
    pub fn new(
        mut base: Program<'a>,
        mut head: Program<'a>,
    ) -> Result<PairedTiming<'a>, WorkerError> {
        let of_base = timing::pace(base.path, base.case, base.role)?;
        let of_head = match base.role == head.role {
            true => of_base,
            false => timing::pace(head.path, head.case, head.role)?,
        };
        (base.iterations, head.iterations) = (of_base.iterations, of_head.iterations);
        let threads = of_base.threads.max(of_head.threads);
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

    /// Threads that the side keeps busy.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// CPU time of all threads ÷ wall time, over all restarts.
    pub fn cpu_share(&self) -> f64 {
        self.cpu_shares / self.restarts.max(1) as f64
    }

    /// Measures what is asked for next, unless `deadline` passes or the timing is decided.
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
                return self.give_up();
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

    /// Log ratios of so many restarts, undecided.
    ///
    /// # Errors
    /// If a worker fails.
    pub fn log_ratios(&self, restarts: usize) -> Result<Vec<f64>, WorkerError> {
        (0..restarts).map(|nth| Ok(timing::restart(&self.paired, nth)?.log_ratio)).collect()
    }

    /// Measures until this timing alone is decided or `deadline` passes.
    pub fn decide(&mut self, rule: &Rule, deadline: Instant) {
        decide_all(std::slice::from_mut(self), rule, deadline, &mut |_| ());
    }

    /// Goes on where the time was up.
    pub fn resume(&mut self) {
        if matches!(&self.found, Some(Ok(found)) if found.verdict == Verdict::Undecided) {
            self.found = None;
        }
    }

    /// What is known when the time is up.
    fn give_up(&mut self) {
        if self.found.is_none() {
            self.found = Some(Ok(self.samples.given_up()));
        }
    }
}

/// Measures all timings until each is decided or `deadline` passes; then the rest are undecided.
/// Tells `progress` how many are left after each round.
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
    timings.iter_mut().for_each(PairedTiming::give_up);
}
