//! Update what threads share: several items under one lock, not one.

use std::{
    ops::DerefMut,
    sync::{Mutex, MutexGuard},
};

use crate::fixtures::zipf::Zipf;
use worthit_pair::prelude::*;

/// Times that a lock is taken.
const LOCKS: Cause =
    Cause::new("locks", "acquisitions of the lock").counted("with a lock that counts");

/// Requests in one iteration, of all threads together.
const REQUESTS: u64 = 16_384;
/// Routes of the service.
const ROUTES: usize = 512;

pub const PAIR: Pair = Pair {
    title: "Update several items under one lock",
    review: Review {
        smell: "`shared.lock().unwrap().add(item)` in a loop over items that the thread already has.",
        remedy: "`for chunk in requests.chunks(requests_per_lock)`: take the lock once with `lock()`, add the whole chunk, \
                 and give the lock back before the next chunk.",
        keep_naive_when: "Items come one at a time and each must be seen by the others at once. Or the work under the lock \
                          takes far longer than the lock itself, so that a chunk would only keep the others waiting.",
        costs: "Others wait for as long as a chunk takes, so a chunk should be short, and nothing in it may block. Where \
                items do not come as a list, each thread must collect them first, and what it has collected is not in \
                the shared state yet. If nobody reads the state meanwhile, a state for each thread that is merged at \
                the end needs no lock at all.",
        lint: Lint::None,
    },
    naive: Side { summary: "a lock for each request", growth: Growth::Constant },
    optimized: Side {
        summary: "a lock for each chunk of requests",
        growth: Growth::Other("shrinks as 1/chunk until the updates themselves take the time"),
    },
    input: "16,384 finished requests to 512 routes, split evenly among the threads, which add each to the count, the \
            bytes and the longest duration of its route, and do nothing else in between. So the lock is always in \
            demand. A few routes have most of the requests (Zipf's law). Lists of requests alternate.",
    axis: Axis {
        name: "requests per lock",
        unit: "requests",
        is_size: false,
        points: Points::Fixed { default: &[2, 8, 32, 128, 512], deep: &[] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "request",
    headline: Headline::AllCoresOf(32),
    causes: &[Claim {
        cause: LOCKS,
        naive: Count::Exactly(|_| REQUESTS),
        // Each thread's last chunk may be short.
        optimized: Count::AtMost(|case| REQUESTS / case.point + case.level),
    }],
    explanation: Explanation {
        why: "n updates take the lock once. An update is a few instructions on memory that is near, and to take and give \
              back a lock are two atomic operations, which cost more even if nobody else wants it: so a single thread \
              gains, too. With more threads, the lock and the lines that it protects move from core to core again and \
              again, waiting threads spin, and some sleep and must be woken. Then threads that do nothing else \
              get less done together than one alone. Longer chunks make that rare, until the updates themselves and \
              the lines that they touch take the time.",
        share_of_cause: ShareOfCause::Within(0.03, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "one thread has nearly all requests",
        reason: "it would have the lock to itself",
        check: |inputs: &[Input]| {
            let is_uneven = |input: &Input| {
                let fair = input.parts.iter().map(Vec::len).sum::<usize>() / input.parts.len();
                input.parts.iter().any(|part| part.len().abs_diff(fair) > 1)
            };
            ensure(!inputs.iter().any(is_uneven), || "requests are split unevenly".to_owned())
        },
        sprung: || {
            let request = Request { route: 1, took_us: 5, bytes: 9 };
            vec![Input { parts: vec![vec![request; 100], vec![]], requests_per_lock: 4 }]
        },
    }],
    // Under one lock, updates follow one another, whichever thread makes them. The lock is taken and given back with an
    // atomic operation each.
    limit: Limit::Work(&[
        Work::Atomics(|case| 2 * REQUESTS / case.point),
        Work::StreamedInTurn {
            bytes: |_| REQUESTS * size_of::<Request>() as u64,
            within_bytes: |_| TURNS * REQUESTS * size_of::<Request>() as u64,
        },
    ]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Lists in the rotation.
const TURNS: u64 = 4;

#[derive(Clone, Copy, Debug)]
struct Request {
    route: u16,
    took_us: u32,
    bytes: u32,
}

/// What is known of a route. Updates commute, so the final state does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Route {
    requests: u64,
    bytes: u64,
    longest_us: u32,
}

impl Found for Route {
    fn found(&self) -> u64 {
        self.requests
    }
}

struct Input {
    /// The requests of each thread.
    parts: Vec<Vec<Request>>,
    requests_per_lock: usize,
}

/// Adds each request to its route.
fn naive<G: DerefMut<Target = [Route; ROUTES]>>(lock: impl Fn() -> G, requests: &[Request]) {
    for request in requests {
        add(&mut lock(), request);
    }
}

/// Adds each request to its route.
fn optimized<G: DerefMut<Target = [Route; ROUTES]>>(
    lock: impl Fn() -> G,
    requests: &[Request],
    requests_per_lock: usize,
) {
    for chunk in requests.chunks(requests_per_lock) {
        let mut routes = lock();
        for request in chunk {
            add(&mut routes, request);
        }
    }
}

fn add(routes: &mut [Route; ROUTES], request: &Request) {
    let route = &mut routes[usize::from(request.route) % ROUTES];
    route.requests += 1;
    route.bytes += u64::from(request.bytes);
    route.longest_us = route.longest_us.max(request.took_us);
}

/// A few routes have most of the requests. Sizes and durations do not change the cost of adding them.
fn input(case: &Case) -> Input {
    let values = case.values(case.items(REQUESTS));
    let threads = case.level as usize;
    let (popularity, mut rng) = (Zipf::new(ROUTES, 4), case.rng("routes"));
    let mut request = |value: &u64| {
        let (took_us, bytes) = ((value >> 16) as u32, (value >> 32) as u32);
        match case.shape {
            Shape::Realistic => Request {
                route: popularity.sample(&mut rng) as u16,
                took_us: 80 + took_us % 40_000,
                bytes: bytes % 65_536,
            },
            _ => Request { route: *value as u16 % ROUTES as u16, took_us, bytes },
        }
    };
    let bound = |thread: usize| values.len() * thread / threads;
    let mut part =
        |thread| values[bound(thread)..bound(thread + 1)].iter().map(&mut request).collect();
    Input { parts: (0..threads).map(&mut part).collect(), requests_per_lock: case.point as usize }
}

type Shared = Mutex<[Route; ROUTES]>;

/// A side whose threads share the routes for a whole batch.
fn side(
    inputs: &Inputs<Input>,
    work: impl Fn(&Shared, &Input, usize) + Sync + 'static,
) -> impl Runner + 'static {
    contended(
        inputs[0].parts.len(),
        inputs,
        || Mutex::new([Route::default(); ROUTES]),
        work,
        |routes| lock(routes).to_vec(),
    )
}

fn lock(routes: &Shared) -> MutexGuard<'_, [Route; ROUTES]> {
    routes.lock().expect("no side panics")
}

/// The same lock, and the acquisition is noted.
fn counted_lock(routes: &Shared) -> MutexGuard<'_, [Route; ROUTES]> {
    note();
    lock(routes)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, input);
    let routes = || Mutex::new([Route::default(); ROUTES]);
    let naive_side = side(&inputs, |routes, input, thread| {
        naive(|| lock(routes), &input.parts[thread]);
    });
    let naive_side = naive_side.counting(
        LOCKS,
        noting(&inputs, move |input| {
            let routes = routes();
            input.parts.iter().for_each(|part| naive(|| counted_lock(&routes), part));
        }),
    );
    let optimized_side = side(&inputs, |routes, input, thread| {
        optimized(|| lock(routes), &input.parts[thread], input.requests_per_lock);
    });
    let optimized_side = optimized_side.counting(
        LOCKS,
        noting(&inputs, move |input| {
            let (routes, at_once) = (routes(), input.requests_per_lock);
            input.parts.iter().for_each(|part| optimized(|| counted_lock(&routes), part, at_once));
        }),
    );
    let units = inputs[0].parts.iter().map(|part| part.len() as u64).sum();
    let measured = inputs.measured(|input| input.requests_per_lock as u64);
    Ok(Trial::new(measured, naive_side, optimized_side).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let request = |route, took_us, bytes| Request { route, took_us, bytes };
        let requests = [request(0, 30, u32::MAX), request(511, 5, 7), request(0, 20, 1)];
        let (each, chunks) =
            (Mutex::new([Route::default(); ROUTES]), Mutex::new([Route::default(); ROUTES]));
        naive(|| lock(&each), &requests);
        naive(|| lock(&each), &[]);
        optimized(|| lock(&chunks), &requests, 2);
        optimized(|| lock(&chunks), &[], 2);
        for routes in [lock(&each), lock(&chunks)] {
            assert_eq!(routes[0], Route { requests: 2, bytes: 1 << 32, longest_us: 30 });
            assert_eq!(routes[511], Route { requests: 1, bytes: 7, longest_us: 5 });
            assert_eq!(routes.to_vec().found(), 3);
        }
    }

    #[test]
    fn a_chunk_takes_the_lock_once_and_gives_it_back() {
        let requests = [Request { route: 1, took_us: 1, bytes: 1 }; 10];
        let routes = Mutex::new([Route::default(); ROUTES]);
        for (requests_per_lock, locks) in [(1, 10), (4, 3), (10, 1), (100, 1)] {
            let counted =
                noted_during(|| optimized(|| counted_lock(&routes), &requests, requests_per_lock));
            assert_eq!(counted, locks);
            assert!(routes.try_lock().is_ok());
        }
    }
}
