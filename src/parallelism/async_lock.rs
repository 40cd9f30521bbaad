//! A lock in asynchronous code under which nothing is awaited: std's, not the runtime's.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex},
};

use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use worthit_pair::prelude::*;

/// Times that a task takes an asynchronous lock.
const ASYNC_LOCKS: Cause = Cause::new("async_locks", "acquisitions of an asynchronous lock")
    .counted("with an update that asks whether the asynchronous lock is held");
/// Times that a runtime polls the tasks, one task at a time, so that none waits for another.
const POLLS: Cause = Cause::new("polls", "polls of tasks that never wait")
    .counted("one task at a time, in a future that notes each poll");

/// Requests in one iteration, of all tasks together.
const REQUESTS: u64 = 16_384;
/// Clients whose use is added up.
const CLIENTS: usize = 512;

pub const PAIR: Pair = Pair {
    title: "Take std's lock where nothing is awaited under it",
    review: Review {
        smell: "`tokio::sync::Mutex` around a map or a counter, and `let mut used = used.lock().await;` with no other \
                `.await` while the guard lives.",
        remedy: "`std::sync::Mutex`, and a guard that has gone before the next `.await`: `let mut used = \
                 used.lock().expect(POISONED);` in a block or a function of its own.",
        keep_naive_when: "The guard must live across an `.await` (a connection that one task at a time may use). Or \
                          what is done under the lock may take long: a thread that waits for std's lock serves no other \
                          task. Or tasks must get the lock in the order in which they asked.",
        costs: "A lock is poisoned by a panic, and somebody must decide what that means. A waiting task holds its \
                thread, so the section must stay short, as nobody can await in it: the compiler refuses to spawn a task \
                whose guard lives across an `.await`, since std's guard is not `Send`.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "tokio::sync::Mutex",
        growth: Growth::Other("grows: tasks queue, and each is woken on some thread"),
    },
    optimized: Side {
        summary: "std::sync::Mutex",
        growth: Growth::Other("grows: threads queue for one lock"),
    },
    input: "16,384 requests of 512 clients, split evenly among as many tasks as the runtime has worker threads. Each \
            adds what it costs to its client's use, under one lock, and the tasks do nothing else in between, so the \
            lock is always in demand. Clients are equally likely. Lists of requests alternate.",
    axis: Axis { name: "threads", unit: "threads", is_size: false, points: Points::Threads },
    unit: "request",
    headline: Headline::AllCoresAt(""),
    causes: &[
        Claim {
            cause: ASYNC_LOCKS,
            naive: Count::Exactly(|_| REQUESTS),
            optimized: Count::Exactly(|_| 0),
        },
        Claim {
            cause: POLLS,
            // The runtime stops a task after so many operations on it, whether or not it would have to wait.
            naive: Count::AtLeast(|_| REQUESTS / 256),
            optimized: Count::Exactly(|case| case.point),
        },
    ],
    explanation: Explanation {
        why: "An asynchronous lock is a queue of tasks, and a blocking lock protects that queue: to give the lock back, \
              a task takes the blocking one and looks for somebody to wake. So the asynchronous lock does all that \
              std's does and more, even where nobody waits. A task that finds it taken is put into the queue and off \
              its thread, and is scheduled again when its turn comes, which may wake another thread. As the lock is \
              handed to the task that asked first, nobody else can use it until that task runs. Under std's lock a \
              thread spins for the moment that the section lasts, and takes it whenever it is free.",
        share_of_cause: ShareOfCause::NoRatio("no asynchronous lock is left"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "one task has nearly all requests",
            reason: "it would have the lock to itself",
            check: |inputs: &[Arc<Tasks>]| {
                let is_uneven = |tasks: &Arc<Tasks>| {
                    let fair = tasks.iter().map(Vec::len).sum::<usize>() / tasks.len();
                    tasks.iter().any(|requests| requests.len().abs_diff(fair) > 1)
                };
                ensure(!inputs.iter().any(is_uneven), || "requests are split unevenly".to_owned())
            },
            sprung: || vec![Arc::new(vec![vec![Request { client: 1, cost: 1 }; 100], vec![]])],
        },
        &Trap {
            name: "all requests are of one client",
            reason: "each addition would wait for the one before, and the section would take longer than it does in use",
            check: |inputs: &[Arc<Tasks>]| {
                let requests = inputs.iter().flat_map(|tasks| tasks.iter().flatten());
                let mut is_client = [false; CLIENTS];
                requests.for_each(|request| is_client[usize::from(request.client)] = true);
                let clients = is_client.iter().filter(|is_client| **is_client).count();
                ensure(clients * 2 > CLIENTS, || format!("{clients} clients"))
            },
            sprung: || vec![Arc::new(vec![vec![Request { client: 1, cost: 1 }; 1_000]; 2])],
        },
    ],
    // A lock is taken and given back with an atomic operation each, and these follow one another, whichever thread
    // makes them.
    limit: Limit::Work(&[Work::Atomics(|_| 2 * REQUESTS)]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

const POISONED: &str = "no side panics";

#[derive(Clone, Copy, Debug)]
struct Request {
    client: u16,
    cost: u16,
}

/// The requests of each task.
type Tasks = Vec<Vec<Request>>;

/// What each client has used.
type Used = [u64; CLIENTS];

/// Adds the cost of each request to what its client has used.
async fn naive(
    used: &tokio::sync::Mutex<Used>,
    requests: &[Request],
    add: impl Fn(&mut Used, Request),
) {
    for request in requests {
        let mut used = used.lock().await;
        add(&mut used, *request);
    }
}

/// Adds the cost of each request to what its client has used.
async fn optimized(
    used: &std::sync::Mutex<Used>,
    requests: &[Request],
    add: impl Fn(&mut Used, Request),
) {
    for request in requests {
        let mut used = used.lock().expect(POISONED);
        add(&mut used, *request);
    }
}

fn add(used: &mut Used, request: Request) {
    used[usize::from(request.client) % CLIENTS] += u64::from(request.cost);
}

/// Serves the requests of each task in a task of its own.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    tasks: &Arc<Tasks>,
    requests: impl Fn(Arc<Tasks>, usize) -> F,
) {
    let spawn = |nth| tokio::spawn(requests(Arc::clone(tasks), nth));
    let spawned: Vec<_> = (0..tasks.len()).map(spawn).collect();
    for task in spawned {
        task.await.expect("no task panics");
    }
}

async fn serve_naive(tasks: &Arc<Tasks>) -> Used {
    let used = Arc::new(tokio::sync::Mutex::new([0; CLIENTS]));
    serve(tasks, |tasks, nth| {
        let used = Arc::clone(&used);
        async move { naive(&used, &tasks[nth], add).await }
    })
    .await;
    *used.lock().await
}

async fn serve_optimized(tasks: &Arc<Tasks>) -> Used {
    let used = Arc::new(Mutex::new([0; CLIENTS]));
    serve(tasks, |tasks, nth| {
        let used = Arc::clone(&used);
        async move { optimized(&used, &tasks[nth], add).await }
    })
    .await;
    *used.lock().expect(POISONED)
}

/// Runs each of these to its end, one after another, on a runtime of one thread, and notes how often it polls them.
fn poll_to_the_end<F: Future<Output = ()>>(tasks: impl Iterator<Item = F>) {
    let runtime = Builder::new_current_thread().build();
    let runtime = runtime.expect("there was one for the timed sides");
    for task in tasks {
        let mut task = pin!(task);
        runtime.block_on(poll_fn(|context| {
            note();
            task.as_mut().poll(context)
        }));
    }
}

fn polls_of_naive(tasks: &Tasks) {
    let used = tokio::sync::Mutex::new([0; CLIENTS]);
    poll_to_the_end(tasks.iter().map(|requests| naive(&used, requests, add)));
}

fn polls_of_optimized(tasks: &Tasks) {
    let used = Mutex::new([0; CLIENTS]);
    poll_to_the_end(tasks.iter().map(|requests| optimized(&used, requests, add)));
}

/// Notes the acquisitions of an asynchronous lock: each update asks whether it is held.
fn async_locks_of_naive(tasks: &Tasks) {
    let used = tokio::sync::Mutex::new([0; CLIENTS]);
    let ask = |_: &mut Used, _| {
        if used.try_lock().is_err() {
            note();
        }
    };
    let served = |requests| naive(&used, requests, ask).now_or_never();
    assert!(tasks.iter().all(|requests| served(requests).is_some()), "nobody else holds the lock");
}

/// The same on a side that has no asynchronous lock to ask.
fn async_locks_of_optimized(tasks: &Tasks) {
    let used = Mutex::new([0; CLIENTS]);
    let served = |requests| optimized(&used, requests, add).now_or_never();
    assert!(tasks.iter().all(|requests| served(requests).is_some()), "it never waits");
}

/// The requests of each task, as many tasks as threads.
fn input(case: &Case) -> Arc<Tasks> {
    let values = case.values(case.items(REQUESTS));
    let request = |value: &u64| Request {
        client: (value % CLIENTS as u64) as u16,
        cost: (value >> 32) as u16,
    };
    let tasks = case.point as usize;
    let bound = |task: usize| values.len() * task / tasks;
    let part = |task| values[bound(task)..bound(task + 1)].iter().map(request).collect();
    Arc::new((0..tasks).map(part).collect())
}

fn runtime(threads: usize) -> Result<Arc<Runtime>, Unavailable> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).build();
    runtime.map(Arc::new).map_err(|e| {
        Unavailable(format!("cannot start a runtime of {threads} threads: {e}; raise `ulimit -u`"))
    })
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let runtime = runtime(case.point as usize)?;
    let inputs = case.rotate(4, input);
    let counted = |count: fn(&Tasks)| noting(&inputs, move |tasks: &Arc<Tasks>| count(tasks));
    let naive = asynchronous(&runtime, &inputs, serve_naive)
        .counting(ASYNC_LOCKS, counted(async_locks_of_naive))
        .counting(POLLS, counted(polls_of_naive));
    let optimized = asynchronous(&runtime, &inputs, serve_optimized)
        .counting(ASYNC_LOCKS, counted(async_locks_of_optimized))
        .counting(POLLS, counted(polls_of_optimized));
    let units = inputs[0].iter().map(|requests| requests.len() as u64).sum();
    let measured = inputs.measured(|tasks| tasks.len() as u64);
    Ok(Trial::new(measured, naive, optimized).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let request = |client, cost| Request { client, cost };
        let last = CLIENTS as u16 - 1;
        let tasks = vec![
            vec![request(0, u16::MAX), request(last, 7)],
            vec![],
            vec![request(0, 2), request(3, 5)],
        ];
        let mut expected = [0; CLIENTS];
        (expected[0], expected[3], expected[usize::from(last)]) = (65_537, 5, 7);
        let (runtime, tasks) = (runtime(2).unwrap(), Arc::new(tasks));
        assert_eq!(runtime.block_on(serve_naive(&tasks)), expected);
        assert_eq!(runtime.block_on(serve_optimized(&tasks)), expected);
    }

    #[test]
    fn no_request_of_any_task_is_lost() {
        let (runtime, request) = (runtime(4).unwrap(), Request { client: 9, cost: 3 });
        let tasks = Arc::new(vec![vec![request; 5_000]; 8]);
        for used in
            [runtime.block_on(serve_naive(&tasks)), runtime.block_on(serve_optimized(&tasks))]
        {
            assert_eq!((used[9], used.iter().sum::<u64>()), (120_000, 120_000));
        }
    }

    #[test]
    fn trap_nothing_is_awaited_under_the_lock() {
        // Then a task would never have to wait while it is alone: outside of a runtime, one poll takes it to its end.
        let requests = [Request { client: 1, cost: 1 }; 1_000];
        let (one, other) = (tokio::sync::Mutex::new([0; CLIENTS]), Mutex::new([0; CLIENTS]));
        assert!(naive(&one, &requests, add).now_or_never().is_some());
        assert!(optimized(&other, &requests, add).now_or_never().is_some());
        assert_eq!((one.into_inner()[1], other.into_inner().unwrap()[1]), (1_000, 1_000));
    }
}
