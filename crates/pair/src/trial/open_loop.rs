//! Latency under open-loop load. Requests start when they are due, even if earlier ones have not ended. Latency
//! counts from the intended start, so a stalled server cannot hide its stall (Tene's "coordinated omission").
//!
//! Every other shape that calls a server is a closed loop: the next iteration starts when the one before has its answer.

mod load;
mod observed;
mod part;
mod rates;
mod schedule;

use std::{
    future::Future,
    num::NonZeroU64,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{Runner, Window};
use crate::{
    answer::{Answer, ErasedAnswer},
    inputs::Inputs,
    wait::spin_until,
};

pub use load::{Answered, LoadAtRate};
use observed::Observed;
pub use part::Part;
pub use rates::{Loads, at_leisure, at_rates};
use schedule::starts;

/// Smallest number of latencies that gives a usable 99th percentile: ten samples lie above it.
pub const MIN_LATENCY_SAMPLES: usize = 1_000;

/// The generator may send a request this long after it is due, as sending the ones before it takes time where requests
/// come in a bunch. A later request is counted as late.
const LATE_AFTER: Duration = Duration::from_micros(25);

/// A load is void if more than one request in a hundred is late and the 99th percentile of the generator's lag is more
/// than a tenth of that of latency.
const LAG_IN_LATENCY: u32 = 10;

/// A request that has no answer this long after the last one was due has failed. So a load ends by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a void load is repeated. If the last one is void too, its figure stands, and is counted as lagging.
const REPEATS: usize = 3;

/// An open-loop load: requests that start at random times, independently of each other and of the answers (a Poisson
/// process).
#[derive(Clone, Copy, Debug)]
pub struct OpenLoop {
    /// Mean time between intended starts.
    pub interval: Duration,
    /// Requests in one iteration. In a timed load, the latencies of at least [`MIN_LATENCY_SAMPLES`] must count.
    pub requests: u64,
    /// Seed of the schedule: the same seed gives the same intended starts.
    pub seed: u64,
}

/// A side that serves requests. One iteration is a whole load, and its "time" is the 99th percentile of the
/// latencies that *count*. Each input of the rotation has a schedule of its own, the same one for every side.
///
/// `request(&input, i)` returns whether the latency of request `i` counts, and the request's future. (A load may
/// include requests of another kind to show their effect on those that count.) The answer of the side is what the
/// requests returned, in the order of requests.
///
/// The calling thread generates the load: it spins until each request is due. The workers of `runtime` serve it. A load
/// in which the generator itself lagged is repeated; see [`Runner::observations`].
pub fn open_loop<I, A, F, R>(
    runtime: &Arc<Runtime>,
    inputs: &Inputs<Arc<I>>,
    load: OpenLoop,
    request: R,
) -> impl Runner + use<I, A, F, R>
where
    I: 'static,
    R: Fn(&Arc<I>, u64) -> (bool, F) + 'static,
    A: Answer + Send,
    F: Future<Output = A> + Send + 'static,
{
    OpenLoopRunner {
        runtime: Arc::clone(runtime),
        starts: (0..inputs.len()).map(|place| starts(load, place)).collect(),
        inputs: inputs.clone(),
        next: 0,
        request,
        observed: Observed::default(),
    }
}

struct OpenLoopRunner<I, R> {
    runtime: Arc<Runtime>,
    inputs: Inputs<Arc<I>>,
    /// For each input, when its requests are due, from the start of the load.
    starts: Vec<Vec<Duration>>,
    /// Place of the next input.
    next: usize,
    request: R,
    observed: Observed,
}

/// What one load showed.
struct Sent<A> {
    /// The latencies that count, in nanoseconds.
    latencies: Histogram<u64>,
    /// How late each request was sent, in nanoseconds.
    lags: Histogram<u64>,
    /// In the order of requests; `None` for one that was not answered in time, or panicked.
    answers: Vec<Option<A>>,
}

/// Returns an empty histogram of nanoseconds, whose error is at most a thousandth.
fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are supported")
}

/// Returns the 99th percentile of a histogram of nanoseconds.
fn p99(nanoseconds: &Histogram<u64>) -> Duration {
    Duration::from_nanos(nanoseconds.value_at_quantile(0.99))
}

fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    let nanoseconds = u64::try_from(duration.as_nanos()).expect("a load does not last centuries");
    histogram.record(nanoseconds).expect("a histogram grows");
}

impl<A> Sent<A> {
    /// Returns whether the generator lagged so much that the latencies are its own.
    fn is_void(&self) -> bool {
        is_void(&self.latencies, &self.lags)
    }
}

/// Returns whether generators that sent requests as late as `lags` say have lagged so much that the latencies are their own.
fn is_void(latencies: &Histogram<u64>, lags: &Histogram<u64>) -> bool {
    let lag = p99(lags);
    lag > LATE_AFTER && lag * LAG_IN_LATENCY > p99(latencies)
}

/// Sends a request at each of `starts` and waits for the answers. `request(i)` returns whether the latency of request `i`
/// counts, and its future.
fn send<A, F>(
    runtime: &Runtime,
    starts: &[Duration],
    wait: Wait,
    request: impl Fn(u64) -> (bool, F),
) -> Sent<A>
where
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    // If it cannot be changed, sleeps end later, and the lag shows it.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).ok();
    let (mut latencies, mut lags) = (histogram(), histogram());
    let (sender, receiver) = mpsc::channel();
    let mut tasks: Vec<JoinHandle<()>> = Vec::with_capacity(starts.len());
    let start = Instant::now();
    for (i, due) in starts.iter().map(|due| start + *due).enumerate() {
        let (counts, future) = request(i as u64);
        let sender = sender.clone();
        let request = async move {
            let answer = future.await;
            // The receiver outlives every request unless this thread has stopped waiting.
            let _ = sender.send((i, counts.then(|| due.elapsed()), answer));
        };
        let lag = wait(due);
        tasks.push(runtime.spawn(request));
        record(&mut lags, lag);
    }
    drop(sender);
    let end = Instant::now() + PATIENCE;
    let mut answers: Vec<Option<A>> = starts.iter().map(|_| None).collect();
    while let Ok((i, latency, answer)) =
        receiver.recv_timeout(end.saturating_duration_since(Instant::now()))
    {
        if let Some(latency) = latency {
            record(&mut latencies, latency);
        }
        answers[i] = Some(answer);
    }
    // Does nothing to those that have ended.
    tasks.iter().for_each(JoinHandle::abort);
    Sent { latencies, lags, answers }
}

/// How a generator waits until a request is due; it returns how late it is. One that spins lets no core go idle before a
/// short load's next request. Where servers need the cores of a machine that has two, it sleeps.
type Wait = fn(Instant) -> Duration;

/// Only sleeps.
fn doze_until(due: Instant) -> Duration {
    thread::sleep(due.saturating_duration_since(Instant::now()));
    Instant::now().saturating_duration_since(due)
}

impl<I: 'static, R> OpenLoopRunner<I, R> {
    /// Runs the load of the input at a place in the rotation once, whose generator waits by `wait`.
    ///
    /// # Panics
    /// If a request has no answer.
    fn load<A, F>(&self, place: usize, wait: Wait) -> Sent<A>
    where
        R: Fn(&Arc<I>, u64) -> (bool, F),
        A: Answer + Send,
        F: Future<Output = A> + Send + 'static,
    {
        let (input, starts) = (&self.inputs[place], &self.starts[place]);
        let sent = send(&self.runtime, starts, wait, |i| (self.request)(input, i));
        let seconds = PATIENCE.as_secs();
        assert!(
            sent.answers.iter().all(Option::is_some),
            "a request panicked (see above), or had no answer for {seconds} s"
        );
        sent
    }

    /// Runs the load again while it is void, and notes what was observed.
    fn valid_load<A, F>(&mut self, place: usize) -> Sent<A>
    where
        R: Fn(&Arc<I>, u64) -> (bool, F),
        A: Answer + Send,
        F: Future<Output = A> + Send + 'static,
    {
        for _ in 0..REPEATS {
            let load = self.load(place, spin_until);
            if !load.is_void() {
                self.observed.add(&load.latencies, &load.lags);
                return load;
            }
            self.observed.void_loads += 1;
        }
        let load = self.load(place, spin_until);
        self.observed.lagging_loads += u64::from(load.is_void());
        self.observed.add(&load.latencies, &load.lags);
        load
    }
}

impl<I, A, F, R> Runner for OpenLoopRunner<I, R>
where
    I: 'static,
    A: Answer + Send,
    F: Future<Output = A> + Send + 'static,
    R: Fn(&Arc<I>, u64) -> (bool, F),
{
    fn measure(&mut self, iterations: u64) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let place = self.next;
            self.next = (place + 1) % self.inputs.len();
            let Sent { latencies, .. } = self.valid_load(place);
            assert!(
                latencies.len() >= MIN_LATENCY_SAMPLES as u64,
                "a 99th percentile of {} latencies has too few samples; at least \
                 {MIN_LATENCY_SAMPLES} latencies of the load must count",
                latencies.len()
            );
            total += p99(&latencies);
        }
        total
    }

    fn inputs(&self) -> usize {
        self.inputs.len()
    }

    fn answer(&mut self, input: usize, window: &Window) -> Box<dyn ErasedAnswer> {
        // No answer depends on when its request is sent.
        let Sent { answers, .. } = window.around(|| self.load(input, |_| Duration::ZERO));
        Box::new(answers.into_iter().flatten().collect::<Vec<A>>())
    }

    /// Returns, if a load was measured: `late_requests_percent`, the share sent more than 25 µs after they were due;
    /// `generator_lag_p99_us` and `generator_lag_max_us`, how late requests were sent; `latency_max_us`, the longest
    /// latency; `void_loads`, repeated because the generator lagged; `lagging_loads`, whose figure stands although it
    /// lagged again and again.
    fn observations(&mut self) -> Vec<(&'static str, f64)> {
        std::mem::take(&mut self.observed).named()
    }

    fn threads(&self) -> usize {
        self.runtime.metrics().num_workers() + 1
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::BTreeMap};

    use super::*;

    fn runtime() -> Arc<Runtime> {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        Arc::new(builder.worker_threads(1).build().unwrap())
    }

    fn runner(requests: u64) -> impl Runner {
        let load = OpenLoop { interval: Duration::from_micros(1), requests, seed: 1 };
        open_loop(&runtime(), &Inputs::one(Arc::new(10)), load, |base, i| {
            let answer = **base + i;
            (i % 2 == 0, async move { answer })
        })
    }

    #[test]
    fn percentiles_of_known_latencies() {
        let mut known = histogram();
        (1..=1_000)
            .rev()
            .map(Duration::from_micros)
            .for_each(|latency| record(&mut known, latency));
        let within = |found: Duration, exact: u64| {
            let exact = Duration::from_micros(exact);
            found >= exact && found <= exact + exact / 1_000
        };
        assert!(within(p99(&known), 990), "{:?}", p99(&known));
        assert!(within(Duration::from_nanos(known.max()), 1_000), "{}", known.max());
        record(&mut known, Duration::from_secs(3_600));
        assert!(within(Duration::from_nanos(known.max()), 3_600_000_000), "it has no upper bound");
    }

    #[test]
    fn answers_come_in_the_order_of_requests() {
        assert!(runner(4).answer(0, &Window::UNOBSERVED).equals(&vec![10_u64, 11, 12, 13]));
    }

    #[test]
    fn half_of_two_thousand_requests_are_enough_samples() {
        assert!(runner(2_000).measure(1) > Duration::ZERO);
    }

    #[test]
    fn a_stall_delays_every_request_that_is_due_during_it() {
        const STALL: Duration = Duration::from_millis(60);
        let load = OpenLoop { interval: Duration::from_micros(10), requests: 2_000, seed: 1 };
        let mut runner =
            open_loop(&runtime(), &Inputs::one(Arc::new(())), load, |_: &Arc<()>, i| {
                let stall = async move {
                    if i == 0 {
                        std::thread::sleep(STALL);
                    }
                };
                (i > 0, stall)
            });
        // The load lasts about 20 ms, all of it during the stall, so the last request waits 40 ms. If requests were
        // held back until the stall ended, none would wait.
        let p99 = runner.measure(1);
        assert!(p99 >= STALL / 2, "{p99:?}");
    }

    /// Spins, as a generator does that has lost its core.
    fn stall(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_load_in_which_the_generator_lags_is_void_and_repeated() {
        const STALL: Duration = Duration::from_millis(60);
        let load = OpenLoop { interval: Duration::from_micros(10), requests: 2_000, seed: 1 };
        let stalls = Cell::new(2);
        let mut runner =
            open_loop(&runtime(), &Inputs::one(Arc::new(())), load, move |_: &Arc<()>, i| {
                if i == 0 && stalls.get() > 0 {
                    stalls.set(stalls.get() - 1);
                    stall(STALL);
                }
                (true, async {})
            });
        assert!(runner.observations().is_empty(), "nothing was measured");
        runner.measure(1);
        let observed: BTreeMap<_, _> = runner.observations().into_iter().collect();
        assert!(observed["void_loads"] >= 2.0, "{observed:?}");
        assert!(runner.observations().is_empty(), "they were taken");
    }

    #[test]
    fn a_generator_that_always_lags_is_not_repeated_for_ever_and_its_requests_are_late() {
        let load = OpenLoop { interval: Duration::from_micros(1), requests: 1_000, seed: 1 };
        let mut runner =
            open_loop(&runtime(), &Inputs::one(Arc::new(())), load, |_: &Arc<()>, _| {
                stall(Duration::from_micros(20));
                (true, async {})
            });
        let p99 = runner.measure(1);
        let observed: BTreeMap<_, _> = runner.observations().into_iter().collect();
        assert_eq!((observed["void_loads"], observed["lagging_loads"]), (REPEATS as f64, 1.0));
        assert!(observed["late_requests_percent"] > 90.0, "{observed:?}");
        // The last of a thousand requests is due after a millisecond and sent after twenty.
        assert!(observed["generator_lag_max_us"] > 10_000.0, "{observed:?}");
        assert!(observed["generator_lag_p99_us"] <= observed["generator_lag_max_us"]);
        assert!(observed["latency_max_us"] >= p99.as_secs_f64() * 1e6);
    }

    #[test]
    #[should_panic(expected = "a 99th percentile of 999 latencies")]
    fn too_few_samples_are_refused() {
        runner(1_998).measure(1);
    }
}
