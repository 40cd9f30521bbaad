//! The clock of the machine numbers, and how long each reading takes.

use std::{convert::Infallible, time::Duration, time::Instant};

/// Operations that are timed one by one for a 99th percentile.
pub(crate) const TIMED_ALONE: usize = 200;

/// How much time to spend on the numbers.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Passes over all numbers.
    pub passes: usize,
    /// Readings of each number in a pass.
    pub readings: usize,
    /// Least duration of a reading: far above the clock's own tens of nanoseconds.
    pub reading: Duration,
    /// Size of the file that device reads use.
    pub file_bytes: u64,
}

impl Effort {
    /// Measures all numbers in about ten seconds.
    pub const FULL: Effort =
        Effort { passes: 3, readings: 5, reading: Duration::from_millis(6), file_bytes: 64 << 20 };
    /// Measures a number of a process in a few milliseconds.
    pub const BRIEF: Effort =
        Effort { passes: 1, readings: 5, reading: Duration::from_micros(500), file_bytes: 0 };
    /// Measures all numbers in about two seconds.
    pub const QUICK: Effort =
        Effort { passes: 1, readings: 7, reading: Duration::from_millis(2), file_bytes: 8 << 20 };

    /// Returns the time of one operation in each reading, ns. `run(count)` performs the operation `count` times.
    pub(crate) fn ns_per_operation(&self, run: impl FnMut(u64)) -> Vec<f64> {
        self.ns_per_operation_after(|| (), run)
    }

    /// Like [`Effort::ns_per_operation`], with `prepare` before each reading, off the clock.
    pub(crate) fn ns_per_operation_after(
        &self,
        prepare: impl FnMut(),
        mut run: impl FnMut(u64),
    ) -> Vec<f64> {
        let run = |count| {
            run(count);
            Ok::<(), Infallible>(())
        };
        match self.readings(prepare, run) {
            Ok(readings) => readings,
        }
    }

    /// Like [`Effort::ns_per_operation`], for a loop with a clock of its own: `run(count)` returns how long `count`
    /// iterations took.
    pub(crate) fn ns_per_iteration(&self, mut run: impl FnMut(u64) -> Duration) -> Vec<f64> {
        let mut count = 1;
        while run(count).min(run(count)) < self.reading && count < 1 << 40 {
            count *= 2;
        }
        (0..self.readings).map(|_| run(count).as_nanos() as f64 / count as f64).collect()
    }

    /// Like [`Effort::ns_per_operation`], for an operation that may fail.
    pub(crate) fn try_ns_per_operation<E>(
        &self,
        run: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Vec<f64>, E> {
        self.readings(|| (), run)
    }

    fn readings<E>(
        &self,
        mut prepare: impl FnMut(),
        mut run: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Vec<f64>, E> {
        let mut timed = |count| {
            prepare();
            let start = Instant::now();
            run(count)?;
            Ok(start.elapsed())
        };
        // The shorter of two runs decides, so that one interruption does not make all readings too short.
        let mut count = 1;
        while timed(count)?.min(timed(count)?) < self.reading && count < 1 << 40 {
            count *= 2;
        }
        let mut reading = || Ok(timed(count)?.as_nanos() as f64 / count as f64);
        (0..self.readings).map(|_| reading()).collect()
    }
}

/// Returns one reading: the time that one operation in a hundred exceeds, ns.
pub(crate) fn slowest_in_a_hundred<E>(
    mut operation: impl FnMut() -> Result<(), E>,
) -> Result<Vec<f64>, E> {
    let mut times = Vec::with_capacity(TIMED_ALONE);
    for _ in 0..TIMED_ALONE {
        let start = Instant::now();
        operation()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(vec![times[TIMED_ALONE - TIMED_ALONE / 100 - 1].as_nanos() as f64])
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn all_readings_have_the_count_that_was_found_by_doubling() {
        let effort =
            Effort { passes: 1, readings: 5, reading: Duration::from_micros(50), file_bytes: 0 };
        let (mut prepared, mut counts) = (0, Vec::new());
        let run = |count| {
            counts.push(count);
            (0..count).for_each(|n| drop(black_box(vec![n])));
        };
        let readings = effort.ns_per_operation_after(|| prepared += 1, run);
        assert_eq!((readings.len(), prepared), (5, counts.len()));
        let settled = counts[counts.len() - 1];
        assert!(counts.is_sorted() && counts.iter().all(|count| count.is_power_of_two()));
        // Two runs to find the count, then five readings.
        assert!(counts.iter().filter(|count| **count == settled).count() >= 6, "{counts:?}");
        assert!(readings.iter().all(|ns| *ns > 0.0), "{readings:?}");
    }

    #[test]
    fn a_loop_with_its_own_clock_runs_until_a_reading_is_long_enough() {
        let reading = Duration::from_micros(64);
        let effort = Effort { passes: 1, readings: 3, reading, file_bytes: 0 };
        let readings = effort.ns_per_iteration(|count| Duration::from_nanos(count * 500));
        assert_eq!(readings, [500.0; 3]);
    }

    #[test]
    fn one_operation_in_a_hundred_is_slower_than_its_percentile() {
        let mut ran = 0;
        let reading = slowest_in_a_hundred(|| {
            ran += 1;
            Ok::<(), Infallible>(())
        });
        assert!(reading.unwrap()[0] > 0.0);
        assert_eq!(ran, TIMED_ALONE);
        assert!(slowest_in_a_hundred(|| Err("the disk is full")).is_err());
    }

    #[test]
    fn a_failing_operation_ends_the_readings() {
        let failing = |count| if count < 4 { Ok(()) } else { Err("gone") };
        assert_eq!(Effort::FULL.try_ns_per_operation(failing), Err("gone"));
    }
}
