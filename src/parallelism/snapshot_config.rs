//! Read a configuration that seldom changes: from a pointer that is swapped, not from behind a lock.

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use arc_swap::{ArcSwap, cache::Cache};
use rand::seq::SliceRandom;

use worthit_pair::prelude::*;

/// Requests that keep the configuration from being changed.
const LOCKING_REQUESTS: Cause =
    Cause::new("locking_requests", "requests that lock the configuration")
        .counted("with requests that try to change the configuration meanwhile");

/// Operations in one iteration, by all threads together; a multiple of [`UPDATES_EVERY`].
const OPERATIONS: u64 = 32_000;
/// One operation in this many changes the configuration.
const UPDATES_EVERY: usize = 1_000;

pub const PAIR: Pair = Pair {
    title: "Swap the pointer to a configuration",
    review: Review {
        smell: "`config.read().unwrap()` of an `RwLock<Config>` or `RwLock<Arc<Config>>` in every request, where the \
                configuration changes once an hour, if at all.",
        remedy: "`ArcSwap<Config>` of the arc-swap crate: `config.load()` in each request, and `config.rcu(…)` where it \
                 changes. A request takes one snapshot and uses that to its end.",
        keep_naive_when: "One thread reads it, or requests take far longer than the lock: then the lock does not show. \
                          Or it is changed about as often as it is read. Or a reader must see a change at once and hold \
                          off the next one: a snapshot stays what it was.",
        costs: "A dependency. Each change makes a new configuration, and the old one lives until its last reader has \
                gone. A guard that is kept long, or many of them in one thread, fall back to counting references: use \
                `load_full` for those. `Cache`, the alternative, saves still more in a thread that reads often, and \
                keeps the old configuration alive until the thread reads again.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "RwLock<Config>, read in each request",
        growth: Growth::Other("grows: readers on all cores write the lock"),
    },
    optimized: Side {
        summary: "ArcSwap<Config>, load in each request",
        growth: Growth::Other("shrinks as 1/threads"),
    },
    input: "32,000 operations, split evenly among the threads. Each is a request that converts an amount by a rate of \
            the configuration, which has 16 of them; exactly one in a thousand, at a random place of the first thread, \
            changes the configuration instead. The threads do nothing else in between. Streams of operations alternate.",
    axis: Axis { name: "threads", unit: "threads", is_size: false, points: Points::Threads },
    unit: "operation",
    headline: Headline::AllCoresAt(""),
    alternatives: &[
        SideBeside {
            name: "thread_cache",
            summary: "arc-swap's Cache in each thread, which only looks whether the pointer has changed",
        },
        SideBeside {
            name: "cloned_arc",
            summary: "RwLock<Arc<Config>>, cloned in each request, so that no guard is held",
        },
    ],
    causes: &[Claim {
        cause: LOCKING_REQUESTS,
        naive: Count::Exactly(|_| OPERATIONS - updates(OPERATIONS as usize) as u64),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "Readers do not keep each other out, and yet they wait for each other: each writes the lock, to say that \
              it is there and that it has gone, and the line of the lock moves from core to core each time. A reader of \
              the swapped pointer says which snapshot it uses in a place of its own thread, which no other core needs, \
              and reads the pointer from its own cache until a change takes it away. With one thread the lock's line \
              stays, and to take it costs about as much as to say what is in use.",
        share_of_cause: ShareOfCause::NoRatio("no request locks the configuration any more"),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "one thread has nearly all operations",
            reason: "it would have the lock to itself",
            check: |inputs: &[Vec<Vec<Operation>>]| {
                let is_uneven = |parts: &Vec<Vec<Operation>>| {
                    let fair = parts.iter().map(Vec::len).sum::<usize>() / parts.len();
                    parts.iter().any(|part| part.len().abs_diff(fair) > 1)
                };
                ensure(!inputs.iter().any(is_uneven), || "operations are split unevenly".to_owned())
            },
            sprung: || {
                let request = Operation::Convert(Request { amount: 1, currency: 1 });
                vec![vec![vec![request; 100], vec![]]]
            },
        },
        &Trap {
            name: "nobody changes the configuration",
            reason: "a plain reference would do, and no cache would ever lose the pointer",
            check: |inputs: &[Vec<Vec<Operation>>]| {
                let changes = |parts: &Vec<Vec<Operation>>| {
                    parts.iter().flatten().filter(|op| matches!(op, Operation::Change)).count()
                };
                let fewest = inputs.iter().map(changes).min();
                ensure(fewest > Some(9), || format!("{fewest:?} changes"))
            },
            sprung: || {
                let request = Operation::Convert(Request { amount: 1, currency: 1 });
                vec![vec![vec![request; 1_000]; 2]]
            },
        },
    ],
    // To say what is in use, and that it no longer is, are an atomic operation each.
    limit: Limit::Work(&[Work::Atomics(|case| 2 * OPERATIONS / case.point)]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

const CURRENCIES: usize = 16;

/// Changes among this many operations.
const fn updates(operations: usize) -> usize {
    operations.div_ceil(UPDATES_EVERY)
}

/// Rates of currencies in a unit that a change replaces. Every version converts alike, and a mixture of two does not,
/// so answers show whether a reader saw one.
#[derive(Clone, Debug)]
struct Config {
    version: u64,
    unit: u64,
    rates: [u64; CURRENCIES],
}

impl Config {
    fn new(version: u64) -> Config {
        let unit = 1 + version % 9;
        Config { version, unit, rates: std::array::from_fn(|i| (i as u64 * 37 + 11) * unit) }
    }

    fn next(&self) -> Config {
        Config::new(self.version + 1)
    }
}

#[derive(Clone, Copy, Debug)]
struct Request {
    amount: u32,
    currency: u32,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    /// Serves a request with the configuration.
    Convert(Request),
    /// Replaces the configuration with its next version.
    Change,
}

/// Performs the operations and returns the sum of the answers.
fn naive(
    config: &RwLock<Config>,
    operations: &[Operation],
    convert: impl Fn(&Config, Request) -> u64,
) -> u64 {
    let mut sum = 0;
    for operation in operations {
        match operation {
            Operation::Convert(request) => {
                sum += convert(&config.read().expect("no side panics"), *request);
            }
            Operation::Change => {
                let mut config = config.write().expect("no side panics");
                *config = config.next();
            }
        }
    }
    sum
}

/// Performs the operations and returns the sum of the answers.
fn optimized(
    config: &ArcSwap<Config>,
    operations: &[Operation],
    convert: impl Fn(&Config, Request) -> u64,
) -> u64 {
    let mut sum = 0;
    for operation in operations {
        match operation {
            Operation::Convert(request) => sum += convert(&config.load(), *request),
            Operation::Change => {
                config.rcu(|config| config.next());
            }
        }
    }
    sum
}

/// The same, and this thread keeps the pointer until it has changed.
fn thread_cache(config: &ArcSwap<Config>, operations: &[Operation]) -> u64 {
    let mut cache = Cache::new(config);
    let mut sum = 0;
    for operation in operations {
        match operation {
            Operation::Convert(request) => sum += convert(cache.load(), *request),
            Operation::Change => {
                config.rcu(|config| config.next());
            }
        }
    }
    sum
}

/// The same with a lock that is given back before the request is served.
fn cloned_arc(config: &RwLock<Arc<Config>>, operations: &[Operation]) -> u64 {
    let mut sum = 0;
    for operation in operations {
        match operation {
            Operation::Convert(request) => {
                let config = Arc::clone(&config.read().expect("no side panics"));
                sum += convert(&config, *request);
            }
            Operation::Change => {
                let mut config = config.write().expect("no side panics");
                *config = Arc::new(config.next());
            }
        }
    }
    sum
}

/// The amount in the base currency.
fn convert(config: &Config, request: Request) -> u64 {
    let rate = config.rates[request.currency as usize % CURRENCIES];
    u64::from(request.amount) * rate / config.unit
}

/// The operations of each thread. All changes are made by the first, as a configuration is loaded by one.
fn input(case: &Case) -> Vec<Vec<Operation>> {
    let values = case.values(case.items(OPERATIONS));
    let mut operations: Vec<Operation> = values
        .iter()
        .map(|value| {
            let amount = match case.shape {
                Shape::Realistic => (value >> 32) as u32 % 1_000_000,
                _ => (value >> 32) as u32,
            };
            Operation::Convert(Request { amount, currency: *value as u32 % CURRENCIES as u32 })
        })
        .collect();
    let threads = case.point as usize;
    let bound = |thread: usize| values.len() * thread / threads;
    // With few operations, the first thread has none.
    let changes = updates(values.len()).min(bound(1));
    operations[..changes].fill(Operation::Change);
    operations[..bound(1)].shuffle(&mut case.rng("changes"));
    (0..threads).map(|thread| operations[bound(thread)..bound(thread + 1)].to_vec()).collect()
}

/// A configuration in use by several threads.
struct Shared<C> {
    config: C,
    /// Sum of the answers of all threads.
    answers: AtomicU64,
}

/// A side whose threads share the configuration for a whole batch. Its answer is the sum of all answers, and the
/// version that the last change has left.
fn side<C: Sync + 'static>(
    inputs: &Inputs<Vec<Vec<Operation>>>,
    new: fn(Config) -> C,
    work: impl Fn(&C, &[Operation]) -> u64 + Sync + 'static,
    version: fn(&C) -> u64,
) -> impl Runner + 'static {
    contended(
        inputs[0].len(),
        inputs,
        move || Shared { config: new(Config::new(0)), answers: AtomicU64::new(0) },
        move |shared, parts, thread| {
            shared.answers.fetch_add(work(&shared.config, &parts[thread]), Relaxed);
        },
        move |shared| (shared.answers.load(Relaxed), version(&shared.config)),
    )
}

/// Counts the requests of the naive side during which nobody can change the configuration.
fn locking_requests_of_naive(operations: &[Operation]) {
    let config = RwLock::new(Config::new(0));
    naive(&config, operations, |_, _| {
        if config.try_write().is_err() {
            note();
        }
        0
    });
}

/// Counts the requests of the optimized side during which nobody can change the configuration.
fn locking_requests_of_optimized(operations: &[Operation]) {
    let config = ArcSwap::from_pointee(Config::new(0));
    optimized(&config, operations, |before, _| {
        config.store(Arc::new(before.next()));
        if config.load().version != before.version + 1 {
            note();
        }
        0
    });
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(4, input);
    let counted = |requests: fn(&[Operation])| {
        noting(&inputs, move |parts: &Vec<Vec<Operation>>| requests(&parts.concat()))
    };
    let naive = side(
        &inputs,
        RwLock::new,
        |config, operations| naive(config, operations, convert),
        |config| config.read().expect("no side panics").version,
    )
    .counting(LOCKING_REQUESTS, counted(locking_requests_of_naive));
    let optimized = side(
        &inputs,
        ArcSwap::from_pointee,
        |config, operations| optimized(config, operations, convert),
        |config| config.load().version,
    )
    .counting(LOCKING_REQUESTS, counted(locking_requests_of_optimized));
    let thread_cache =
        side(&inputs, ArcSwap::from_pointee, thread_cache, |config| config.load().version);
    let cloned_arc = side(
        &inputs,
        |config| RwLock::new(Arc::new(config)),
        cloned_arc,
        |config| config.read().expect("no side panics").version,
    );
    let units = inputs[0].iter().map(|part| part.len() as u64).sum();
    let measured = inputs.measured(|parts| parts.len() as u64);
    Ok(Trial::new(measured, naive, optimized)
        .alternative(thread_cache)
        .alternative(cloned_arc)
        .units(units))
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, thread};

    use super::*;

    const CONVERT: Operation = Operation::Convert(Request { amount: 100, currency: 2 });

    /// A side with a configuration of its own.
    type Side = Box<dyn Fn(&[Operation]) -> u64 + Sync>;

    fn sides() -> [Side; 4] {
        let (locked, swapped) =
            (RwLock::new(Config::new(0)), ArcSwap::from_pointee(Config::new(0)));
        let cached = ArcSwap::from_pointee(Config::new(0));
        let cloned = RwLock::new(Arc::new(Config::new(0)));
        [
            Box::new(move |operations| naive(&locked, operations, convert)),
            Box::new(move |operations| optimized(&swapped, operations, convert)),
            Box::new(move |operations| thread_cache(&cached, operations)),
            Box::new(move |operations| cloned_arc(&cloned, operations)),
        ]
    }

    #[test]
    fn known_answers() {
        for side in sides() {
            // The rate is 85 in every version.
            assert_eq!(side(&[CONVERT, Operation::Change, CONVERT, CONVERT]), 25_500);
            assert_eq!(side(&[]), 0);
        }
    }

    #[test]
    fn a_reader_sees_a_change_that_was_made_before() {
        let operations = [CONVERT, Operation::Change, CONVERT, Operation::Change, CONVERT];
        let (one, other) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let see = |versions: &RefCell<Vec<u64>>, config: &Config| {
            versions.borrow_mut().push(config.version);
            0
        };
        naive(&RwLock::new(Config::new(0)), &operations, |config, _| see(&one, config));
        let swapped = ArcSwap::from_pointee(Config::new(0));
        optimized(&swapped, &operations, |config, _| see(&other, config));
        assert_eq!((one.into_inner(), other.into_inner()), (vec![0, 1, 2], vec![0, 1, 2]));
    }

    #[test]
    fn no_reader_ever_sees_a_mixture_of_two_versions() {
        for side in sides() {
            thread::scope(|scope| {
                let writer = scope.spawn(|| side(&[Operation::Change; 2_000]));
                let readers: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| side(&[CONVERT; 20_000]))).collect();
                assert_eq!(writer.join().unwrap(), 0);
                for reader in readers {
                    assert_eq!(reader.join().unwrap(), 8_500 * 20_000);
                }
            });
        }
    }

    #[test]
    fn no_change_is_lost_when_several_threads_make_them() {
        let (locked, swapped) =
            (RwLock::new(Config::new(0)), ArcSwap::from_pointee(Config::new(0)));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| naive(&locked, &[Operation::Change; 500], convert));
                scope.spawn(|| optimized(&swapped, &[Operation::Change; 500], convert));
            }
        });
        assert_eq!((locked.read().unwrap().version, swapped.load().version), (2_000, 2_000));
    }

    #[test]
    fn trap_a_mixture_of_two_versions_converts_to_something_else() {
        // Else no proof would notice one.
        let (old, new) = (Config::new(3), Config::new(4));
        let mixed = Config { unit: new.unit, ..old.clone() };
        let request = Request { amount: 100, currency: 2 };
        assert_eq!(convert(&old, request), convert(&new, request));
        assert_ne!(convert(&old, request), convert(&mixed, request));
    }
}
