//! Make a blocking call from an asynchronous handler: on a thread for blocking calls, not on a worker.

use std::{
    collections::HashSet,
    num::NonZeroU64,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rand::seq::SliceRandom;

use crate::fixtures::share;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Keep blocking calls off the runtime's workers",
    review: Review {
        smell: "A synchronous client, `std::fs`, `std::thread::sleep`, a contended `std::sync::Mutex` or a long \
                computation inside an `async fn`: a call that holds the thread and has no `.await`.",
        remedy: "`tokio::task::spawn_blocking(move || call(request.value))`, and await its handle.",
        keep_naive_when: "The call ends sooner than handing it over and being woken takes. Or nobody waits for \
                          anything else on the runtime. Or there is an asynchronous client, which needs no thread for \
                          each call.",
        costs: "A hand-over and a thread for each call in progress (tokio makes up to 512, then calls queue: \
                bound them with a semaphore, and long computations with a pool of as many threads as cores). The \
                closure owns what it uses, and cannot be cancelled once it has begun.",
        lint: Lint::Switched("clippy::unused_async", "clippy::pedantic"),
    },
    naive: Side {
        summary: "block the worker",
        growth: Growth::Other(
            "a queue: a multiple of the blocking call's time, and without bound once calls arrive \
             faster than the worker can complete them",
        ),
    },
    optimized: Side {
        summary: "spawn_blocking",
        growth: Growth::Other("constant while there are cores for the threads that wake up"),
    },
    input: "An open loop: 1,300 requests at random times (a Poisson process), one every 45 µs on average, to a runtime \
            with one worker. Exactly the stated percentage of them, at random places, blocks its thread for 500 µs; \
            only the latency of the others counts, each of which is a microsecond of work or less. At all timed \
            shares the worker gets through the load, so that no queue grows for as long as the load lasts.",
    axis: Axis {
        name: "blocking share of requests",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 2, 4], deep: &[] },
    },
    unit: "request",
    metric: Metric::P99Latency,
    headline: Headline::At { level: "", point: 2 },
    causes: &[Claim {
        cause: CALLS_ON_WORKERS,
        naive: Count::Exactly(|case| REQUESTS * case.point / 100),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "Requests that are due while a blocking call holds the only worker wait for the rest of that call, and of \
              those queued behind it. Even at the smallest share these are more than one in a hundred, so the 99th \
              percentile is a wait. With no call on the worker, nobody waits behind one. Where nothing blocks, the \
              sides do the same. The share stays below the one at which calls arrive faster than they end: from there \
              on the figure would be the length of the load.",
        share_of_cause: ShareOfCause::NoRatio("no blocking call is left on a worker"),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "too few of the other requests for a percentile",
            reason: "the 99th percentile would be the slowest few of them",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let others =
                    |load: &Arc<Vec<Request>>| load.iter().filter(|r| !r.is_blocking).count();
                let fewest = inputs.iter().map(others).min();
                ensure(fewest >= Some(MIN_LATENCY_SAMPLES), || format!("{fewest:?} of them"))
            },
            sprung: || vec![Arc::new(vec![Request { value: 1, is_blocking: false }; 100])],
        },
        &Trap {
            name: "calls arrive faster than they end",
            reason: "the queue would grow for as long as the load lasts, and the figure would be its length",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let blocking =
                    |load: &Arc<Vec<Request>>| load.iter().filter(|r| r.is_blocking).count();
                let busy = |load| CALL * blocking(load) as u32;
                let half = |load: &Arc<Vec<Request>>| INTERVAL * load.len() as u32 / 2;
                ensure(inputs.iter().all(|load| busy(load) <= half(load)), || {
                    "calls keep the worker busy for more than half of the load".to_owned()
                })
            },
            sprung: || vec![Arc::new(requests(&Case::realistic(10, 0, 1)))],
        },
        &Trap {
            name: "blocking calls come at regular places",
            reason: "they would never queue behind each other",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let gaps: HashSet<usize> = inputs.iter().flat_map(|load| gaps(load)).collect();
                let any_blocks = inputs.iter().flat_map(|load| load.iter()).any(|r| r.is_blocking);
                ensure(!any_blocks || gaps.len() > 10, || format!("{} distances", gaps.len()))
            },
            sprung: || {
                let request = |i| Request { value: i, is_blocking: i % 50 == 0 };
                vec![Arc::new((0..REQUESTS).map(request).collect())]
            },
        },
    ],
    limit: Limit::None("the latency of waking a worker, which the scheduler sets"),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Blocking calls made on a worker's thread.
const CALLS_ON_WORKERS: Cause =
    Cause::new("blocking_calls_on_workers", "blocking calls on workers")
        .counted("with a call that notes its thread");

/// Requests in one load, of which enough do not block for a 99th percentile.
const REQUESTS: u64 = 1_300;

/// Loads in the rotation. One lasts 60 ms.
const TURNS: u64 = 5;

/// Interval between requests: 22,000 a second, which one worker serves with ease.
const INTERVAL: Duration = Duration::from_micros(45);

/// One worker takes one core's load on any machine. A runtime of N workers behaves the same at N times the
/// load, which one generating thread could not make.
const WORKERS: usize = 1;

/// Time that a blocking call holds its thread. A sleep stands in for a synchronous client that waits for a
/// database.
const CALL: Duration = Duration::from_micros(500);

#[derive(Clone, Copy, Debug)]
struct Request {
    value: u64,
    is_blocking: bool,
}

/// The answer to `request`. A blocking request makes `call`.
#[expect(clippy::unused_async, reason = "it blocks where it should await")]
async fn naive(request: Request, call: impl FnOnce(u64) -> u64) -> u64 {
    if request.is_blocking { call(request.value) } else { answer(request.value) }
}

/// The answer to `request`. A blocking request makes `call`.
async fn optimized(request: Request, call: impl FnOnce(u64) -> u64 + Send + 'static) -> u64 {
    if request.is_blocking {
        let call = tokio::task::spawn_blocking(move || call(request.value));
        call.await.expect("the call does not panic")
    } else {
        answer(request.value)
    }
}

fn blocking_call(value: u64) -> u64 {
    thread::sleep(CALL);
    answer(value)
}

/// A microsecond of work or less, like a lookup and its rendering.
fn answer(value: u64) -> u64 {
    (0..200).fold(value, |x, i| (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i))
}

/// The requests of a load. `case.point` percent of them block, at random places.
fn requests(case: &Case) -> Vec<Request> {
    let (count, blocking) = share::exact(case, REQUESTS);
    let mut kinds: Vec<bool> = (0..count).map(|i| i < blocking).collect();
    kinds.shuffle(&mut case.rng("kinds"));
    let requests = case.values(count).into_iter().zip(kinds);
    requests.map(|(value, is_blocking)| Request { value, is_blocking }).collect()
}

/// Percentage of blocking requests.
fn share(requests: &[Request]) -> u64 {
    let blocking = requests.iter().filter(|request| request.is_blocking).count();
    (blocking * 100 / requests.len()) as u64
}

/// Distances between neighbouring requests that block.
fn gaps(requests: &[Request]) -> Vec<usize> {
    let places: Vec<usize> = (0..requests.len()).filter(|i| requests[*i].is_blocking).collect();
    places.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    if logical_cores() < 2 {
        return Err(Unavailable(
            "not measured: a spinning thread generates the load beside the worker, which needs two cores"
                .to_owned(),
        ));
    }
    let inputs = case.rotate(TURNS, |case| Arc::new(requests(case)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .on_thread_start(|| {
            // The kernel may end a sleep late by the timer slack, 50 µs by default. If it cannot be changed, calls last
            // that much longer.
            rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).ok();
        })
        .build();
    let runtime =
        Arc::new(runtime.map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))?);
    let load = OpenLoop { interval: INTERVAL, requests: inputs[0].len() as u64, seed: case.seed };
    // Only the latency of the requests that do not block counts.
    let naive_side = open_loop(&runtime, &inputs, load, |requests, i| {
        let request = requests[i as usize];
        (!request.is_blocking, naive(request, blocking_call))
    });
    let optimized_side = open_loop(&runtime, &inputs, load, |requests, i| {
        let request = requests[i as usize];
        (!request.is_blocking, optimized(request, blocking_call))
    });
    let (of_naive, of_optimized) = (inputs.clone(), inputs.clone());
    Ok(Trial::new(
        inputs.measured(|requests| share(requests)),
        naive_side.counting(CALLS_ON_WORKERS, move |i| {
            calls_on_worker(&of_naive[i], |request, call| Box::pin(naive(request, call)))
        }),
        optimized_side.counting(CALLS_ON_WORKERS, move |i| {
            calls_on_worker(&of_optimized[i], |request, call| Box::pin(optimized(request, call)))
        }),
    ))
}

/// A call that notes whether it is made on the thread that polls the side.
type NotingCall = Box<dyn FnOnce(u64) -> u64 + Send>;

/// Number of calls that a side makes on the thread that polls it.
fn calls_on_worker(
    requests: &[Request],
    side: impl Fn(Request, NotingCall) -> Pin<Box<dyn Future<Output = u64>>>,
) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("there was one for the timed sides");
    let worker = thread::current().id();
    let calls = Arc::new(AtomicU64::new(0));
    for request in requests {
        let calls = Arc::clone(&calls);
        let call = move |value| {
            calls.fetch_add(u64::from(thread::current().id() == worker), Relaxed);
            value
        };
        runtime.block_on(side(*request, Box::new(call)));
    }
    calls.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use worthit_pair::trial::Role;

    use super::*;

    #[test]
    fn known_answers() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let quick = Request { value: 7, is_blocking: false };
        let blocking = Request { value: 7, is_blocking: true };
        let call = |value| value + 1;
        runtime.block_on(async {
            assert_eq!(naive(quick, call).await, answer(7));
            assert_eq!(optimized(quick, call).await, answer(7));
            assert_eq!(naive(blocking, call).await, 8);
            assert_eq!(optimized(blocking, call).await, 8);
        });
    }

    #[test]
    fn trap_the_load_does_not_wait_for_answers() {
        // A load that waited for each answer would have nobody in the queue behind a blocking call,
        // and the 99th percentile of the others would be that of an idle worker.
        for point in [1, 4] {
            let mut trial = prepare(&Case::realistic(point, 0, 1)).unwrap();
            let p99 = trial.measure(Role::Naive, 1);
            assert!(p99 >= CALL / 2, "{p99:?} at {point} %");
        }
    }
}
