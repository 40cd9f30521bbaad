//! Compute on all cores from an asynchronous handler: handed over to the pool, not waited for on a worker.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::FutureExt;
use rand::seq::SliceRandom;
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::spawn_blocking,
};

use crate::fixtures::share;
use worthit_pair::prelude::*;

/// Computations for which a worker of the runtime waits.
const WAITS_OF_WORKERS: Cause =
    Cause::new("waits_of_workers", "computations that a worker waits for")
        .counted("with a pool that notes who waits for it");

pub const PAIR: Pair = Pair {
    title: "Hand a parallel computation over to its pool",
    review: Review {
        smell: "`rows.par_iter()…`, `pool.install(…)` or `rayon::join` inside an `async fn`. It looks as if the pool \
                did the work, and it does; but the worker that called it sleeps until the last item is done, and polls \
                no other task meanwhile.",
        remedy: "`pool.spawn(move || sender.send(…))` (or `spawn` of rayon's own pool) with the sender of a \
                 `oneshot::channel()`, and `receiver.await`. What is spawned runs in the pool, so that `par_iter` in it \
                 uses all of it.",
        keep_naive_when: "The computation ends sooner than handing it over and being woken takes. Or nobody waits for \
                          anything else on the runtime, as at a program's start.",
        costs: "The closure owns what it uses: an `Arc` of the rows, not a reference. It cannot be cancelled, and goes \
                on when its request has gone. The pool queues without bound, so take a semaphore where many come at \
                once. A panic in it aborts the process unless the pool has a `panic_handler`. The pool's threads still \
                compete with the workers for the cores: have fewer of them than cores, or lower their priority in the \
                pool's `start_handler`, as the alternative `yielding_pool` does.",
        lint: Lint::Switched("clippy::unused_async", "clippy::pedantic"),
    },
    naive: Side {
        summary: "wait for the pool on the worker",
        growth: Growth::Other(
            "a queue: a multiple of the computation's time, and without bound once computations arrive faster than they end",
        ),
    },
    optimized: Side {
        summary: "spawn in the pool, await a oneshot",
        growth: Growth::Other("constant while there are cores for the threads that wake up"),
    },
    input: "An open loop: 1,300 requests at random times (a Poisson process), one every 45 µs on average, to a runtime \
            with one worker. Exactly the stated percentage of them, at random places, wants a report: a computation on \
            32,768 rows in a pool with a thread for each core, but for one core that generates the load and one for the \
            worker. (The pool has at least one thread: on two cores, it shares the worker's.) Only the latency of the \
            others counts, each of which is a microsecond of work or less. At all timed shares the pool gets through \
            the load.",
    axis: Axis {
        name: "reporting share of requests",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 2, 4], deep: &[] },
    },
    unit: "request",
    metric: Metric::P99Latency,
    headline: Headline::At { level: "", point: 2 },
    alternatives: &[
        SideBeside {
            name: "blocking_thread",
            summary: "spawn_blocking: another thread waits for the pool",
        },
        SideBeside {
            name: "yielding_pool",
            summary: "the same hand-over to a pool whose threads have a lower priority",
        },
    ],
    causes: &[Claim {
        cause: WAITS_OF_WORKERS,
        naive: Count::Exactly(|case| REQUESTS * case.point / 100),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "Requests that are due while the only worker waits for the pool wait for the rest of that computation, and \
              of those queued behind it. Even at the smallest share these are more than one in a hundred, so the 99th \
              percentile is a wait. When the computation is handed over, the worker polls the others meanwhile, as far \
              as the system gives it a core. Where there are fewer cores than threads that want one, a worker that \
              wakes up waits until the system takes a core from the pool, and that wait is what remains. A pool whose \
              threads have a lower priority, the last alternative, gives its cores up at once. Where nothing is \
              computed, the sides do the same.",
        share_of_cause: ShareOfCause::NoRatio("no worker waits for a computation any more"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "too few of the other requests for a percentile",
            reason: "the 99th percentile would be the slowest few of them",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let others =
                    |load: &Arc<Vec<Request>>| load.iter().filter(|r| !is_report(r)).count();
                let fewest = inputs.iter().map(others).min();
                ensure(fewest >= Some(MIN_LATENCY_SAMPLES), || format!("{fewest:?} of them"))
            },
            sprung: || vec![Arc::new(vec![Request::Other(1); 100])],
        },
        &Trap {
            name: "reports arrive faster than they are computed",
            reason: "the queue would grow for as long as the load lasts, and the figure would be its length",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let is_busy = |load: &Arc<Vec<Request>>| {
                    let reports = load.iter().filter(|r| is_report(r)).count();
                    REPORT_AT_MOST * reports as u32 > INTERVAL * load.len() as u32
                };
                ensure(!inputs.iter().any(is_busy), || {
                    "reports keep the pool busy for longer than the load lasts".to_owned()
                })
            },
            sprung: || vec![Arc::new(requests(&Case::realistic(10, 0, 1)))],
        },
        &Trap {
            name: "reports come at regular places",
            reason: "they would never queue behind each other",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let gaps: HashSet<usize> = inputs.iter().flat_map(|load| gaps(load)).collect();
                let any = inputs.iter().flat_map(|load| load.iter()).any(is_report);
                ensure(!any || gaps.len() > 10, || format!("{} distances", gaps.len()))
            },
            sprung: || {
                let request = |i| if i % 50 == 0 { Request::Report(i) } else { Request::Other(i) };
                vec![Arc::new((0..REQUESTS).map(request).collect())]
            },
        },
    ],
    limit: Limit::None("the latency of waking a worker, which the scheduler sets"),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Requests in one load, of which enough want no report for a 99th percentile.
const REQUESTS: u64 = 1_300;

/// Loads in the rotation. One lasts 60 ms.
const TURNS: u64 = 5;

/// Interval between requests: 22,000 a second, which one worker serves with ease.
const INTERVAL: Duration = Duration::from_micros(45);

/// A report takes less than this, even on one core.
const REPORT_AT_MOST: Duration = Duration::from_millis(1);

/// Rows that a report is computed from.
const ROWS: u64 = 32_768;

#[derive(Clone, Copy, Debug)]
enum Request {
    /// Wants a report for this key.
    Report(u64),
    /// Wants what takes a microsecond or less.
    Other(u64),
}

fn is_report(request: &Request) -> bool {
    matches!(request, Request::Report(_))
}

/// A pool of threads for computations, as far as the sides need it, so that one that notes who waits can stand in.
trait Pool {
    /// Computes in the pool, and waits for it.
    fn install<T: Send>(&self, compute: impl FnOnce() -> T + Send) -> T;

    /// Has the pool compute, and goes on.
    fn spawn(&self, compute: impl FnOnce() + Send + 'static);
}

impl Pool for ThreadPool {
    fn install<T: Send>(&self, compute: impl FnOnce() -> T + Send) -> T {
        ThreadPool::install(self, compute)
    }

    fn spawn(&self, compute: impl FnOnce() + Send + 'static) {
        ThreadPool::spawn(self, compute);
    }
}

/// Computes at once, on the calling thread, and notes if that waits.
struct NotingPool;

impl Pool for NotingPool {
    fn install<T: Send>(&self, compute: impl FnOnce() -> T + Send) -> T {
        note();
        compute()
    }

    fn spawn(&self, compute: impl FnOnce() + Send + 'static) {
        compute();
    }
}

/// The answer to `request`.
#[expect(clippy::unused_async, reason = "it waits where it should await")]
async fn naive(request: Request, rows: Arc<[u64]>, pool: &impl Pool) -> u64 {
    match request {
        Request::Report(key) => pool.install(|| report(&rows, key)),
        Request::Other(value) => answer(value),
    }
}

/// The answer to `request`.
async fn optimized(request: Request, rows: Arc<[u64]>, pool: &impl Pool) -> u64 {
    match request {
        Request::Report(key) => {
            let (sender, receiver) = oneshot::channel();
            // If the request has gone, nobody receives the report.
            pool.spawn(move || sender.send(report(&rows, key)).unwrap_or_default());
            receiver.await.expect("a report does not panic")
        }
        Request::Other(value) => answer(value),
    }
}

/// The answer to `request`, for which a thread that may block waits.
async fn blocking_thread(request: Request, rows: Arc<[u64]>, pool: Arc<ThreadPool>) -> u64 {
    match request {
        Request::Report(key) => {
            let report = spawn_blocking(move || pool.install(|| report(&rows, key)));
            report.await.expect("a report does not panic")
        }
        Request::Other(value) => answer(value),
    }
}

/// The answer to `request`, for which a pool computes whose threads let others go first.
async fn yielding_pool(request: Request, rows: Arc<[u64]>, pool: Arc<ThreadPool>) -> u64 {
    optimized(request, rows, &*pool).await
}

/// Computes a report from all rows, which takes some hundred microseconds on one core.
fn report(rows: &[u64], key: u64) -> u64 {
    rows.par_iter().with_min_len(512).map(|row| score(*row, key)).reduce(|| 0, u64::wrapping_add)
}

/// How well a row fits a key: a computation that depends on nothing else.
fn score(row: u64, key: u64) -> u64 {
    (0..12).fold(row ^ key, mixed)
}

/// A microsecond of work or less, like a lookup and its rendering.
fn answer(value: u64) -> u64 {
    (0..200).fold(value, mixed)
}

fn mixed(x: u64, i: u64) -> u64 {
    (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i)
}

/// The requests of a load. `case.point` percent of them want a report, at random places.
fn requests(case: &Case) -> Vec<Request> {
    let (count, reports) = share::exact(case, REQUESTS);
    let mut kinds: Vec<bool> = (0..count).map(|i| i < reports).collect();
    kinds.shuffle(&mut case.rng("kinds"));
    let requests = case.values(count).into_iter().zip(kinds);
    let request = |(value, is_report)| match is_report {
        true => Request::Report(value),
        false => Request::Other(value),
    };
    requests.map(request).collect()
}

/// Distances between neighbouring requests that want a report.
fn gaps(requests: &[Request]) -> Vec<usize> {
    let places: Vec<usize> = (0..requests.len()).filter(|i| is_report(&requests[*i])).collect();
    places.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Starts a pool whose threads are this much nicer to others than usual.
fn pool(threads: usize, nice: i32) -> Result<Arc<ThreadPool>, Unavailable> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).start_handler(move |_| {
        // If it is not allowed, they compete as others do.
        rustix::process::nice(nice).ok();
    });
    let pool = pool.build();
    pool.map(Arc::new).map_err(|error| {
        Unavailable(format!("cannot start a pool of {threads} threads: {error}; raise `ulimit -u`"))
    })
}

fn runtime() -> Result<Arc<Runtime>, Unavailable> {
    // One worker takes one core's load on any machine. A runtime of N workers behaves the same at N times the load,
    // which one generating thread could not make.
    let runtime = Builder::new_multi_thread().worker_threads(1).build();
    runtime.map(Arc::new).map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    if logical_cores() < 2 {
        return Err(Unavailable(
            "not measured: a spinning thread generates the load beside the worker, which needs two cores"
                .to_owned(),
        ));
    }
    let threads = (logical_cores() as usize - 2).max(1);
    let (runtime, yielding, pool) = (runtime()?, pool(threads, 10)?, pool(threads, 0)?);
    let rows: Arc<[u64]> = Case { turn: 0, ..case.clone() }.values(case.items(ROWS)).into();
    let inputs = case.rotate(TURNS, |case| Arc::new(requests(case)));
    let load = OpenLoop { interval: INTERVAL, requests: inputs[0].len() as u64, seed: case.seed };
    let setup = || (Arc::clone(&pool), Arc::clone(&rows));
    // Only the latency of the requests that want no report counts.
    let (workers, all) = setup();
    let naive_side = open_loop(&runtime, &inputs, load, move |requests, i| {
        let (request, rows, pool) = (requests[i as usize], Arc::clone(&all), Arc::clone(&workers));
        (!is_report(&request), async move { naive(request, rows, &*pool).await })
    });
    let (workers, all) = setup();
    let optimized_side = open_loop(&runtime, &inputs, load, move |requests, i| {
        let (request, rows, pool) = (requests[i as usize], Arc::clone(&all), Arc::clone(&workers));
        (!is_report(&request), async move { optimized(request, rows, &*pool).await })
    });
    let (workers, all) = setup();
    let blocking_thread = open_loop(&runtime, &inputs, load, move |requests, i| {
        let request = requests[i as usize];
        (!is_report(&request), blocking_thread(request, Arc::clone(&all), Arc::clone(&workers)))
    });
    let all = Arc::clone(&rows);
    let yielding_pool = open_loop(&runtime, &inputs, load, move |requests, i| {
        let request = requests[i as usize];
        (!is_report(&request), yielding_pool(request, Arc::clone(&all), Arc::clone(&yielding)))
    });
    let counting = |side: fn(Request) -> u64| {
        noting(&inputs, move |requests: &Arc<Vec<Request>>| {
            requests.iter().map(|request| side(*request)).fold(0, u64::wrapping_add)
        })
    };
    const READY: &str = "this pool computes at once";
    let naive_side = naive_side.counting(
        WAITS_OF_WORKERS,
        counting(|request| naive(request, Arc::new([]), &NotingPool).now_or_never().expect(READY)),
    );
    let optimized_side = optimized_side.counting(
        WAITS_OF_WORKERS,
        counting(|request| {
            optimized(request, Arc::new([]), &NotingPool).now_or_never().expect(READY)
        }),
    );
    let measured = inputs.measured(|requests| share::percent(requests, is_report));
    Ok(Trial::new(measured, naive_side, optimized_side)
        .alternative(blocking_thread)
        .alternative(yielding_pool))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn known_answers() {
        let (runtime, pool) = (runtime().unwrap(), pool(2, 0).unwrap());
        let rows: Arc<[u64]> = (0..3_000).collect();
        let expected = (0..3_000).map(|row| score(row, 7)).fold(0, u64::wrapping_add);
        assert_eq!((mixed(1, 2), score(0, 0) == score(0, 1)), (0x9e37_79b9_7f4a_7c17, false));
        runtime.block_on(async {
            for (request, expected) in
                [(Request::Report(7), expected), (Request::Other(7), answer(7))]
            {
                assert_eq!(naive(request, Arc::clone(&rows), &*pool).await, expected);
                assert_eq!(optimized(request, Arc::clone(&rows), &*pool).await, expected);
                let waited = blocking_thread(request, Arc::clone(&rows), Arc::clone(&pool));
                assert_eq!(waited.await, expected);
            }
            assert_eq!(optimized(Request::Report(7), Arc::new([]), &*pool).await, 0);
        });
    }

    #[test]
    fn trap_the_optimized_side_awaits_a_busy_pool_and_may_be_cancelled_meanwhile() {
        let pool = pool(1, 0).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        // The pool is busy until the request has gone.
        ThreadPool::spawn(&pool, move || assert!(wait.recv().is_err()));
        let rows: Arc<[u64]> = [1].into();
        assert!(optimized(Request::Report(7), Arc::clone(&rows), &*pool).now_or_never().is_none());
        drop(go);
        assert_eq!(pool.install(|| report(&rows, 7)), score(1, 7));
    }

    #[test]
    fn trap_only_the_threads_of_the_yielding_pool_have_a_lower_priority() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let (usual, yielding) = (pool(1, 0).unwrap(), pool(1, 10).unwrap());
        assert_eq!(usual.install(priority), priority());
        assert_eq!(yielding.install(priority), (priority() + 10).min(19));
    }
}
