//! Read what threads share under the lock that lets other readers in, not under the one for writers.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use foldhash::fast::FixedState;
use rand::{RngExt, seq::SliceRandom};

use crate::fixtures::watched_key::{Acquisitions, WatchedKey, acquisitions_during};
use worthit_pair::prelude::*;

/// Acquisitions that let nobody else in.
const EXCLUSIVE_LOCKS: Cause =
    Cause::new("exclusive_locks", "exclusive acquisitions of the lock").counted(WATCHED);
/// Acquisitions that let other readers in.
const SHARED_LOCKS: Cause =
    Cause::new("shared_locks", "shared acquisitions of the lock").counted(WATCHED);
const WATCHED: &str = "with keys that look at their lock when the map compares them";

/// Carts in the map.
const CARTS: u64 = 32;
/// Operations in one iteration, by all threads together; a multiple of [`WRITES_EVERY`].
const OPERATIONS: u64 = 2_000;
/// One operation in this many is a write.
const WRITES_EVERY: u64 = 100;

pub const PAIR: Pair = Pair {
    title: "Take the read lock to read",
    review: Review {
        smell: "`let carts = carts.write().unwrap();` where `carts` is only read afterwards, often because the function \
                once changed something. Nothing is wrong with the answers, so no test finds it.",
        remedy: "`carts.read().unwrap()`, which lets other readers in.",
        keep_naive_when: "The lock is held for a look-up and no longer: then the lock itself takes the time, and to \
                          take it for reading costs as much or more, because readers on all cores write one count. \
                          There, a `Mutex`, the alternative, does as well, and is simpler. Or most operations change \
                          something. Or a single thread uses the map.",
        costs: "A `RwLock` needs its content to be `Sync`, where a `Mutex` asks only for `Send`. A thread that takes \
                it for reading while it holds it can deadlock with a writer that waits in between, and an upgrade from reading to writing \
                does not exist: give the lock back, take it again, and look again.",
        lint: Lint::Default("clippy::readonly_write_lock"),
    },
    naive: Side { summary: "RwLock::write for each read", growth: Growth::Linear },
    optimized: Side {
        summary: "RwLock::read for each read",
        growth: Growth::Until(&Growth::Linear, "the carts no longer fit the near caches"),
    },
    input: "2,000 operations on a map of 32 shopping carts, split evenly among the threads. Exactly one in a hundred, \
            at a random place, is a write, which counts a view of a cart. The others add up the lines of a cart under \
            the lock, as many as the axis says, each 8 bytes. The threads do nothing else in between. All carts are \
            equally likely. Streams of operations alternate.",
    axis: Axis {
        name: "lines read under the lock",
        unit: "lines",
        is_size: true,
        points: Points::Fixed { default: &[1, 256, 2_048, 8_192], deep: &[] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "operation",
    headline: Headline::AllCoresOf(2_048),
    alternatives: &[SideBeside { name: "mutex", summary: "a Mutex instead of the RwLock" }],
    causes: &[
        Claim {
            cause: EXCLUSIVE_LOCKS,
            naive: Count::Exactly(|_| OPERATIONS),
            optimized: Count::Exactly(|_| OPERATIONS / WRITES_EVERY),
        },
        Claim {
            cause: SHARED_LOCKS,
            naive: Count::Exactly(|_| 0),
            optimized: Count::Exactly(|_| OPERATIONS - OPERATIONS / WRITES_EVERY),
        },
    ],
    explanation: Explanation {
        why: "Who takes the lock for writing is alone with what it protects, so the threads read one after another. \
              Readers are there at the same time, as many as there are threads. That gains the more, the longer they \
              read. A thread that waits for longer than it spins is put to sleep and must be woken, so threads that \
              take turns can get less done than one alone. But a reader also writes the lock, to say that it is there \
              and that it has gone, and the line of the lock moves from core to core each time. Where the reading is as \
              short as that, readers at the same time gain nothing. With one thread nobody waits, and both kinds of \
              acquisition cost about the same.",
        share_of_cause: ShareOfCause::NoRatio(
            "readers are as many at a time as there are threads, however few acquisitions are exclusive",
        ),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "one thread has nearly all operations",
            reason: "it would have the lock to itself, however it takes it",
            check: |inputs: &[Input]| {
                let is_uneven = |input: &Input| {
                    let fair = input.parts.iter().map(Vec::len).sum::<usize>() / input.parts.len();
                    input.parts.iter().any(|part| part.len().abs_diff(fair) > 1)
                };
                ensure(!inputs.iter().any(is_uneven), || "operations are split unevenly".to_owned())
            },
            sprung: || {
                let mut input = input(&Case::realistic(1, 1, 1), &carts(&Case::realistic(1, 1, 1)));
                input.parts.push(Vec::new());
                vec![input]
            },
        },
        &Trap {
            name: "all read the same cart",
            reason: "its lines would stay in each core's nearest cache, and cost less than they do in use",
            check: |inputs: &[Input]| {
                let read = inputs.iter().flat_map(|input| input.parts.iter().flatten());
                let keys: HashSet<u64> = read.map(|operation| operation.key()).collect();
                ensure(keys.len() > 16, || format!("{} carts are used", keys.len()))
            },
            sprung: || {
                let case = Case::realistic(1, 1, 1);
                let one = Arc::new(carts(&case)[..1].to_vec());
                vec![input(&case, &one)]
            },
        },
    ],
    // A lock is taken and given back with an atomic operation each, and every line is read.
    limit: Limit::Work(&[
        Work::Atomics(|case| 2 * OPERATIONS / case.level),
        Work::StreamedInTurn {
            bytes: |case| OPERATIONS / case.level * case.point * size_of::<Line>() as u64,
            within_bytes: |case| CARTS * case.point * size_of::<Line>() as u64,
        },
    ]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Clone, Copy, Debug)]
struct Line {
    cents: u32,
    count: u32,
}

/// A shopping cart. Views commute, and nothing that changes is read, so answers do not depend on the order of
/// operations.
#[derive(Clone, Debug)]
struct Cart {
    lines: Vec<Line>,
    views: u64,
}

type Carts<K = u64> = HashMap<K, Cart, FixedState>;

#[derive(Clone, Copy, Debug)]
enum Operation<K = u64> {
    /// Adds up the lines of this cart.
    Read(K),
    /// Counts a view of this cart.
    View(K),
}

impl Operation {
    fn key(self) -> u64 {
        match self {
            Operation::Read(key) | Operation::View(key) => key,
        }
    }
}

/// Performs the operations and returns the sum of all that was read.
#[expect(clippy::readonly_write_lock, reason = "a look-up does not change the map")]
fn naive<K: Eq + Hash>(carts: &RwLock<Carts<K>>, operations: &[Operation<K>]) -> u64 {
    let mut cents = 0;
    for operation in operations {
        match operation {
            Operation::Read(key) => {
                let carts = carts.write().unwrap();
                cents += total(carts.get(key));
            }
            Operation::View(key) => view(carts.write().unwrap().get_mut(key)),
        }
    }
    cents
}

/// Performs the operations and returns the sum of all that was read.
fn optimized<K: Eq + Hash>(carts: &RwLock<Carts<K>>, operations: &[Operation<K>]) -> u64 {
    let mut cents = 0;
    for operation in operations {
        match operation {
            Operation::Read(key) => {
                let carts = carts.read().unwrap();
                cents += total(carts.get(key));
            }
            Operation::View(key) => view(carts.write().unwrap().get_mut(key)),
        }
    }
    cents
}

/// The same under a lock that knows no readers.
fn mutex(carts: &Mutex<Carts>, operations: &[Operation]) -> u64 {
    let mut cents = 0;
    for operation in operations {
        match operation {
            Operation::Read(key) => {
                let carts = carts.lock().unwrap();
                cents += total(carts.get(key));
            }
            Operation::View(key) => view(carts.lock().unwrap().get_mut(key)),
        }
    }
    cents
}

fn total(cart: Option<&Cart>) -> u64 {
    let lines = cart.map_or(&[][..], |cart| &cart.lines);
    lines.iter().map(|line| u64::from(line.cents) * u64::from(line.count)).sum()
}

fn view(cart: Option<&mut Cart>) {
    if let Some(cart) = cart {
        cart.views += 1;
    }
}

struct Input {
    /// The carts; the same in each input of the rotation.
    carts: Arc<Vec<(u64, Cart)>>,
    /// The operations of each thread.
    parts: Vec<Vec<Operation>>,
}

fn carts(case: &Case) -> Arc<Vec<(u64, Cart)>> {
    let mut rng = case.rng("carts");
    let mut line = || Line { cents: rng.random_range(0..100_000), count: rng.random_range(1..10) };
    let mut cart = |key| {
        let lines = (0..case.point).map(|_| line()).collect();
        (key, Cart { lines, views: 0 })
    };
    Arc::new((0..CARTS).map(&mut cart).collect())
}

fn input(case: &Case, carts: &Arc<Vec<(u64, Cart)>>) -> Input {
    let values = case.values(case.items(OPERATIONS));
    let mut is_write: Vec<bool> =
        (0..values.len()).map(|i| (i as u64).is_multiple_of(WRITES_EVERY)).collect();
    is_write.shuffle(&mut case.rng("writes"));
    let operation = |(value, is_write): (&u64, &bool)| {
        // Keys of other shapes may be those of no cart.
        let key = match case.shape {
            Shape::Realistic => value % carts.len() as u64,
            _ => *value,
        };
        if *is_write { Operation::View(key) } else { Operation::Read(key) }
    };
    let operations: Vec<Operation> = values.iter().zip(&is_write).map(operation).collect();
    let threads = case.level as usize;
    let bound = |thread: usize| operations.len() * thread / threads;
    let part = |thread| operations[bound(thread)..bound(thread + 1)].to_vec();
    Input { carts: Arc::clone(carts), parts: (0..threads).map(part).collect() }
}

/// Lines of each cart.
fn lines(input: &Input) -> u64 {
    input.carts.first().map_or(0, |(_, cart)| cart.lines.len() as u64)
}

/// Carts in use by several threads.
struct Shared<L> {
    carts: L,
    /// Sum of what all threads have read.
    cents: AtomicU64,
}

/// The sum of what was read, and the views of each cart, by key.
type Outcome = (u64, Vec<(u64, u64)>);

/// A side whose threads share one copy of the carts for a whole batch.
fn side<L: Sync + 'static>(
    inputs: &Inputs<Input>,
    lock: impl Fn(Carts) -> L + 'static,
    work: impl Fn(&L, &[Operation]) -> u64 + Sync + 'static,
    views: impl Fn(&L) -> Vec<(u64, u64)> + 'static,
) -> impl Runner + 'static {
    let carts: Carts = inputs[0].carts.iter().cloned().collect();
    contended(
        inputs[0].parts.len(),
        inputs,
        move || Shared { carts: lock(carts.clone()), cents: AtomicU64::new(0) },
        move |shared, input, thread| {
            shared.cents.fetch_add(work(&shared.carts, &input.parts[thread]), Relaxed);
        },
        move |shared| -> Outcome { (shared.cents.load(Relaxed), views(&shared.carts)) },
    )
}

/// The views of each cart, by key.
fn views(carts: &Carts) -> Vec<(u64, u64)> {
    let mut views: Vec<_> = carts.iter().map(|(key, cart)| (*key, cart.views)).collect();
    views.sort_unstable();
    views
}

/// A side whose locks are counted.
type Watched = fn(&RwLock<Carts<WatchedKey>>, &[Operation<WatchedKey>]) -> u64;

/// The locks that a side takes for all operations.
fn locks(side: Watched, input: &Input) -> Acquisitions {
    let watched = |operation: &Operation| match operation {
        Operation::Read(key) => Operation::Read(WatchedKey(*key)),
        Operation::View(key) => Operation::View(WatchedKey(*key)),
    };
    let operations: Vec<_> = input.parts.iter().flatten().map(watched).collect();
    let carts = input.carts.iter().map(|(key, cart)| (WatchedKey(*key), cart.clone())).collect();
    let carts = Arc::new(RwLock::new(carts));
    let locked = Arc::clone(&carts);
    acquisitions_during(move |_| locked.try_read().is_err(), || side(&carts, &operations))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let carts = carts(case);
    let inputs = case.rotate(4, |case| input(case, &carts));
    let count = |side: Watched, count: fn(Acquisitions) -> u64| {
        let inputs = inputs.clone();
        move |i: usize| count(locks(side, &inputs[i]))
    };
    let views_of_rwlock = |carts: &RwLock<Carts>| views(&carts.read().unwrap());
    let naive = side(&inputs, RwLock::new, naive, views_of_rwlock)
        .counting(EXCLUSIVE_LOCKS, count(naive, |locks| locks.exclusive))
        .counting(SHARED_LOCKS, count(naive, |locks| locks.shared));
    let optimized = side(&inputs, RwLock::new, optimized, views_of_rwlock)
        .counting(EXCLUSIVE_LOCKS, count(optimized, |locks| locks.exclusive))
        .counting(SHARED_LOCKS, count(optimized, |locks| locks.shared));
    let mutex = side(&inputs, Mutex::new, mutex, |carts| views(&carts.lock().unwrap()));
    let units = inputs[0].parts.iter().map(|part| part.len() as u64).sum();
    let measured = inputs.measured(lines);
    Ok(Trial::new(measured, naive, optimized).alternative(mutex).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_carts() -> Carts {
        let cart = |lines: &[(u32, u32)]| Cart {
            lines: lines
                .iter()
                .map(|(cents, count)| Line { cents: *cents, count: *count })
                .collect(),
            views: 0,
        };
        [(7, cart(&[(250, 2), (1, 1)])), (8, cart(&[]))].into_iter().collect()
    }

    #[test]
    fn known_answers() {
        use Operation::{Read, View};
        let operations = [Read(7), View(7), Read(8), Read(9), View(9), Read(7), View(7)];
        let (one, many) = (RwLock::new(two_carts()), RwLock::new(two_carts()));
        let alternative = Mutex::new(two_carts());
        assert_eq!(naive(&one, &operations), 1_002);
        assert_eq!(optimized(&many, &operations), 1_002);
        assert_eq!(mutex(&alternative, &operations), 1_002);
        for carts in [&one, &many] {
            assert_eq!(views(&carts.read().unwrap()), [(7, 2), (8, 0)]);
        }
        assert_eq!(views(&alternative.lock().unwrap()), [(7, 2), (8, 0)]);
    }

    #[test]
    fn trap_a_write_is_exclusive_on_both_sides() {
        // A side that took the read lock for everything could not count views.
        let case = Case::realistic(3, 2, 1);
        let input = input(&case, &carts(&case));
        let writes = OPERATIONS / WRITES_EVERY;
        assert_eq!(locks(naive, &input), Acquisitions { exclusive: OPERATIONS, shared: 0 });
        let expected = Acquisitions { exclusive: writes, shared: OPERATIONS - writes };
        assert_eq!(locks(optimized, &input), expected);
    }
}
