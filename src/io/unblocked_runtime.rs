//! Make a blocking call from an asynchronous handler: on a thread for blocking calls, not on a worker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rand::seq::SliceRandom;

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Keep blocking calls off the runtime's workers",
    review: Review {
        smell: "A synchronous client, `std::fs`, `std::thread::sleep`, a contended `std::sync::Mutex` or a long \
                computation inside an `async fn`: a call that holds the thread and has no `.await`.",
        remedy: "`tokio::task::spawn_blocking(move || call()).await?`, or an asynchronous client. For long \
                 computations, a rayon pool, so that they do not outnumber the cores.",
        keep_naive_when: "The call ends within some ten microseconds: handing it over and being woken costs about \
                          as much. Or nobody waits for anything else on the runtime.",
        costs: "A hand-over and a thread for each call in progress (tokio makes up to 512, then calls queue: \
                bound them with a semaphore). The closure owns what it uses, and cannot be cancelled once \
                it has begun.",
        lint: None,
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
    input: "1,300 requests, one every 45 µs, to a runtime with one worker. Exactly the stated percentage of \
            them, at random places, blocks its thread for 500 µs; only the latency of the others counts, each of \
            which is a microsecond of work or less.",
    axis: Axis {
        name: "blocking share of requests",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 2, 5, 10], deep: &[20] },
    },
    unit: "request",
    metric: Metric::P99Latency,
    causes: &[Claim {
        cause: CALLS_ON_WORKERS,
        naive: Count::Exactly(|case| REQUESTS * case.point / 100),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: "Requests that are due while a blocking call holds the only worker wait for the rest of that \
                  call. At 1 % these are some ten requests behind each call, a tenth of all, so the 99th \
                  percentile is a whole call. From about 8 % on, calls arrive faster than they end, and the queue \
                  grows for as long as the load lasts. There the figure says how long the load was, and the gain \
                  has no settled value. With no call on the worker, nobody waits behind one. At 0 % the sides do \
                  the same. A 99th percentile of microseconds needs two quiet cores: one time slice lost to \
                  another process outlasts a blocking call.",
    limit: Limit::None("the latency of waking a worker, which the scheduler sets"),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Blocking calls made on a worker's thread.
const CALLS_ON_WORKERS: Cause =
    Cause::new("blocking_calls_on_workers", "blocking calls on workers")
        .counted("with a call that notes its thread");

/// Requests in one load. Even at 20 % blocking, enough others remain for a 99th percentile.
const REQUESTS: u64 = 1_300;

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
    let count = case.items(REQUESTS).next_multiple_of(100);
    let blocking = count * case.point as usize / 100;
    let mut kinds: Vec<bool> = (0..count).map(|i| i < blocking).collect();
    kinds.shuffle(&mut case.rng("kinds"));
    let requests = case.values(count).into_iter().zip(kinds);
    requests.map(|(value, is_blocking)| Request { value, is_blocking }).collect()
}

/// Percentage of blocking requests; `None` for an empty load.
fn share(requests: &[Request]) -> Option<u64> {
    let blocking = requests.iter().filter(|request| request.is_blocking).count();
    (blocking * 100).checked_div(requests.len()).map(|share| share as u64)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    if logical_cores() < 2 {
        return Err(Unavailable(
            "not measured: a spinning thread generates the load beside the worker, which needs two cores"
                .to_owned(),
        ));
    }
    let requests = Arc::new(requests(case));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).build();
    let runtime =
        Arc::new(runtime.map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))?);
    let load = OpenLoop { interval: INTERVAL, requests: requests.len() as u64 };
    let counted = Arc::clone(&requests);
    // An empty load (tried by proofs) stands for any share of blocking requests.
    let size = share(&requests).unwrap_or(case.point);
    // Only the latency of the requests that do not block counts.
    Ok(Trial::new(
        size,
        open_loop(&runtime, &requests, load, |requests: &Arc<Vec<Request>>, i| {
            let request = requests[i as usize];
            (!request.is_blocking, naive(request, blocking_call))
        }),
        open_loop(&runtime, &requests, load, |requests: &Arc<Vec<Request>>, i| {
            let request = requests[i as usize];
            (!request.is_blocking, optimized(request, blocking_call))
        }),
    )
    .counting(move |role, counts| counts.set(CALLS_ON_WORKERS, calls_on_worker(&counted, role))))
}

/// Number of calls that a side makes on the thread that polls it. The call used here only notes its thread.
fn calls_on_worker(requests: &[Request], role: Role) -> u64 {
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
        runtime.block_on(async {
            match role {
                Role::Naive => naive(*request, call).await,
                _ => optimized(*request, call).await,
            }
        });
    }
    calls.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::trial::MIN_LATENCY_SAMPLES;

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
    fn trap_there_are_enough_samples_of_the_other_requests_for_a_percentile() {
        for point in PAIR.axis.points.default_points() {
            let requests = requests(&Case::realistic(point, 0, 1));
            let others = requests.iter().filter(|request| !request.is_blocking).count();
            assert!(others >= MIN_LATENCY_SAMPLES, "{others} at {point} %");
            assert_eq!(share(&requests), Some(point));
        }
    }

    #[test]
    fn trap_the_load_does_not_wait_for_answers() {
        // A load that waited for each answer would have nobody in the queue behind a blocking call,
        // and the 99th percentile of the others would be that of an idle worker.
        for point in [1, 10] {
            let mut trial = prepare(&Case::realistic(point, 0, 1)).unwrap();
            let p99 = trial.measure(Role::Naive, 1);
            assert!(p99 >= CALL / 2, "{p99:?} at {point} %");
        }
    }

    #[test]
    fn trap_blocking_calls_come_at_irregular_times() {
        let requests = requests(&Case::realistic(5, 0, 1));
        let places = (0..requests.len()).filter(|i| requests[*i].is_blocking).collect::<Vec<_>>();
        let gaps = places.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.collect::<std::collections::HashSet<_>>().len() > 10);
    }
}
