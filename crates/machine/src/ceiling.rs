//! The thread ceiling: how many cores' worth of work this machine does with N threads at once.
//!
//! Each thread runs the same kernel, which stays in registers: it touches no memory and shares nothing. Any shortfall
//! from N is therefore the machine's own: a hypervisor that gives less than whole cores, hardware threads that share
//! a core, a clock that slows under load. Apart from cache effects, no pair on this machine can scale better.

use std::{hint::black_box, sync::Barrier, thread, time::Instant};

use worthit_pair::threads;

/// Steps of the kernel in one reading, about 5 ms.
const STEPS: u64 = 4_000_000;
/// Readings of each thread count. The counts take turns, so that all of them run under the same conditions.
const READINGS: usize = 9;

/// Returns the speedups at each of [`threads::points`] that has a core for each thread, nine readings each. Takes about
/// 50 ms per thread count.
pub fn speedups() -> Vec<(u64, Vec<f64>)> {
    let mut counts = threads::points();
    // Threads that take turns on a core would each be timed as if they had it.
    counts.retain(|count| !threads::is_oversubscribed(*count));
    let mut readings = vec![Vec::with_capacity(READINGS); counts.len()];
    let run = |_| {
        black_box(kernel(STEPS));
    };
    run(0);
    for _ in 0..READINGS {
        let alone = seconds_of_each(1, run)[0];
        for (count, readings) in counts.iter().zip(&mut readings) {
            let together = seconds_of_each(*count as usize, run);
            readings.push(together.iter().map(|seconds| alone / seconds).sum());
        }
    }
    counts.into_iter().zip(readings).collect()
}

/// Runs `work` on `threads` threads at once and passes each its number. Returns the time of each thread by its own
/// clock, which starts after a barrier.
pub(crate) fn seconds_of_each(threads: usize, work: impl Fn(usize) + Sync) -> Vec<f64> {
    let barrier = Barrier::new(threads);
    let timed = |thread| {
        barrier.wait();
        let start = Instant::now();
        work(thread);
        start.elapsed().as_secs_f64()
    };
    let timed = &timed;
    thread::scope(|scope| {
        let handles: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || timed(thread))).collect();
        handles.into_iter().map(|handle| handle.join().expect("the work does not panic")).collect()
    })
}

/// One multiplication and one addition per step, each of which depends on the last (Knuth's MMIX generator). The
/// compiler can neither vectorise nor fold it.
fn kernel(steps: u64) -> u64 {
    (0..black_box(steps)).fold(black_box(1), |state: u64, _| {
        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const FIRST: u64 = 7_806_831_264_735_756_412;
    const THIRD: u64 = 11_960_119_808_228_829_710;

    #[test]
    fn every_thread_does_the_whole_kernel() {
        // The generator's first numbers from 1, computed with Python's integers.
        assert_eq!([0, 1, 3].map(kernel), [1, FIRST, THIRD]);
        let done = Mutex::new(Vec::new());
        assert_eq!(seconds_of_each(3, |thread| done.lock().unwrap().push(thread)).len(), 3);
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2]);
    }

    #[test]
    fn there_are_readings_for_each_thread_count() {
        let speedups = speedups();
        let threads: Vec<u64> = speedups.iter().map(|(threads, _)| *threads).collect();
        assert_eq!(threads.last(), Some(&threads::logical_cores()));
        for (_, readings) in speedups {
            assert_eq!(readings.len(), READINGS);
            assert!(readings.iter().all(|speedup| *speedup > 0.0 && speedup.is_finite()));
        }
    }
}
