//! Latency under open-loop load. Requests start when they are due, even if earlier ones have not ended. Latency
//! counts from the intended start, so a stalled server cannot hide its stall (Tene's "coordinated omission").

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, sync::mpsc};

use super::{Answer, ErasedAnswer, Runner, Window};

/// Smallest number of latencies that gives a usable 99th percentile: ten samples lie above it.
pub const MIN_LATENCY_SAMPLES: usize = 1_000;

/// An open-loop load: `requests` requests, one every `interval`.
#[derive(Clone, Copy, Debug)]
pub struct OpenLoop {
    /// Time between intended starts.
    pub interval: Duration,
    /// Requests in one iteration. In a timed load, the latencies of at least [`MIN_LATENCY_SAMPLES`] must count.
    pub requests: u64,
}

/// A side that serves requests. One iteration is a whole load, and its "time" is the 99th percentile of the
/// latencies that *count*.
///
/// `request(&input, i)` returns whether the latency of request `i` counts, and the request's future. (A load may
/// include requests of another kind to show their effect on those that count.) The answer of the side is what the
/// requests returned, in the order of requests.
///
/// The calling thread generates the load: it spins until each request is due. The workers of `runtime` serve it.
pub fn open_loop<I, A, F, R>(
    runtime: &Arc<Runtime>,
    input: &Arc<I>,
    load: OpenLoop,
    request: R,
) -> impl Runner + use<I, A, F, R>
where
    I: 'static,
    R: Fn(&Arc<I>, u64) -> (bool, F) + 'static,
    A: Answer + Send,
    F: Future<Output = A> + Send + 'static,
{
    OpenLoopRunner { runtime: Arc::clone(runtime), input: Arc::clone(input), load, request }
}

struct OpenLoopRunner<I, R> {
    runtime: Arc<Runtime>,
    input: Arc<I>,
    load: OpenLoop,
    request: R,
}

impl<I, R> OpenLoopRunner<I, R> {
    /// Runs the load once. Returns the latencies that count, and the answers in the order of requests.
    fn run<A, F>(&self) -> (Vec<Duration>, Vec<A>)
    where
        R: Fn(&Arc<I>, u64) -> (bool, F),
        A: Answer + Send,
        F: Future<Output = A> + Send + 'static,
    {
        let count = self.load.requests as usize;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let start = Instant::now();
        for i in 0..self.load.requests {
            let due = start + self.load.interval * i as u32;
            let (counts, future) = (self.request)(&self.input, i);
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            let sender = sender.clone();
            self.runtime.spawn(async move {
                let answer = future.await;
                // The receiver outlives every request unless this thread panicked.
                let _ = sender.send((i as usize, counts.then(|| due.elapsed()), answer));
            });
        }
        drop(sender);
        let mut latencies = Vec::with_capacity(count);
        let mut answers: Vec<Option<A>> = (0..count).map(|_| None).collect();
        while let Some((i, latency, answer)) = receiver.blocking_recv() {
            latencies.extend(latency);
            answers[i] = Some(answer);
        }
        let answers = answers.into_iter().map(|answer| answer.expect("a request panicked"));
        (latencies, answers.collect())
    }
}

impl<I, A, F, R> Runner for OpenLoopRunner<I, R>
where
    A: Answer + Send,
    F: Future<Output = A> + Send + 'static,
    R: Fn(&Arc<I>, u64) -> (bool, F),
{
    fn measure(&mut self, iterations: u64) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let (mut latencies, answers) = self.run();
            drop(answers);
            assert!(
                latencies.len() >= MIN_LATENCY_SAMPLES,
                "a 99th percentile of {} latencies has too few samples; at least \
                 {MIN_LATENCY_SAMPLES} latencies of the load must count",
                latencies.len()
            );
            total += percentile(&mut latencies, 99);
        }
        total
    }

    fn answer(&mut self, window: &Window) -> Box<dyn ErasedAnswer> {
        let (_, answers) = window.around(|| self.run());
        Box::new(answers)
    }

    fn threads(&self) -> usize {
        self.runtime.metrics().num_workers() + 1
    }
}

/// Returns the `percent`-th percentile by the nearest-rank method: the smallest value that at least `percent` % of
/// `latencies` do not exceed. Sorts `latencies`.
///
/// # Panics
/// If `latencies` is empty or `percent` is not in 1..=100.
pub fn percentile(latencies: &mut [Duration], percent: usize) -> Duration {
    assert!((1..=100).contains(&percent), "no {percent}th percentile");
    latencies.sort_unstable();
    latencies[(latencies.len() * percent).div_ceil(100) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_latencies() {
        let mut latencies: Vec<Duration> = (1..=1_000).rev().map(Duration::from_micros).collect();
        assert_eq!(percentile(&mut latencies, 99), Duration::from_micros(990));
        assert_eq!(percentile(&mut latencies, 50), Duration::from_micros(500));
        assert_eq!(percentile(&mut latencies, 100), Duration::from_micros(1_000));
        assert_eq!(percentile(&mut [Duration::from_secs(1)], 1), Duration::from_secs(1));
    }

    fn runner(requests: u64) -> impl Runner {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        let runtime = Arc::new(builder.worker_threads(1).build().unwrap());
        let load = OpenLoop { interval: Duration::from_micros(1), requests };
        open_loop(&runtime, &Arc::new(10), load, |base, i| {
            let answer = **base + i;
            (i % 2 == 0, async move { answer })
        })
    }

    #[test]
    fn answers_come_in_the_order_of_requests() {
        assert!(runner(4).answer(&Window::UNOBSERVED).equals(&vec![10_u64, 11, 12, 13]));
    }

    #[test]
    fn half_of_two_thousand_requests_are_enough_samples() {
        assert!(runner(2_000).measure(1) > Duration::ZERO);
    }

    #[test]
    fn a_stall_delays_every_request_that_is_due_during_it() {
        const STALL: Duration = Duration::from_millis(60);
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        let runtime = Arc::new(builder.worker_threads(1).build().unwrap());
        let load = OpenLoop { interval: Duration::from_micros(10), requests: 2_000 };
        let mut runner = open_loop(&runtime, &Arc::new(()), load, |_: &Arc<()>, i| {
            let stall = async move {
                if i == 0 {
                    std::thread::sleep(STALL);
                }
            };
            (i > 0, stall)
        });
        // The load lasts 20 ms, all of it during the stall, so the last request waits 40 ms. If requests were
        // held back until the stall ended, none would wait.
        let p99 = runner.measure(1);
        assert!(p99 >= STALL - 2_000 * load.interval, "{p99:?}");
    }

    #[test]
    #[should_panic(expected = "a 99th percentile of 999 latencies")]
    fn too_few_samples_are_refused() {
        runner(1_998).measure(1);
    }
}
