//! A map that threads share, behind many locks instead of one.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use dashmap::DashMap;
use foldhash::fast::FixedState;
use rand::seq::SliceRandom;

use crate::fixtures::{
    watched_key::{Acquisitions, WatchedKey, acquisitions_during},
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Times that all threads together take the busiest lock.
const BUSIEST_LOCK: Cause = Cause::new("busiest_lock", "acquisitions of the busiest lock")
    .modelled("from the keys of the operations and the shard that the map keeps each in");
/// Acquisitions that let nobody else in.
const EXCLUSIVE_LOCKS: Cause =
    Cause::new("exclusive_locks", "exclusive acquisitions of a lock").counted(WATCHED);
/// Acquisitions that let other readers in.
const SHARED_LOCKS: Cause =
    Cause::new("shared_locks", "shared acquisitions of a lock").counted(WATCHED);
const WATCHED: &str = "with keys that look at their lock when the map compares them";

/// Keys in the map: more than a core's first-level cache holds, like a table of sessions.
const KEYS: u64 = 65_536;
/// Operations in one iteration, by all threads together; a multiple of 100, so that each share of reads is exact.
const OPERATIONS: u64 = 32_000;
/// Added to the share of reads to mark a level where all keys are equally likely.
const UNIFORM: u64 = 1_000;

const fn level(label: &'static str, value: u64) -> Level {
    Level { label, value, origin: Origin::Measured }
}

/// Updates in one iteration at a level.
const fn updates(level: u64) -> u64 {
    OPERATIONS / 100 * (100 - level % UNIFORM)
}

pub const PAIR: Pair = Pair {
    title: "Shard the map that threads share",
    review: Review {
        smell: "`Arc<Mutex<HashMap<K, V>>>` that every request of every thread goes through for one \
                short lookup or update.",
        remedy: "`DashMap`: the key's hash chooses one of several maps, each with its own lock.",
        keep_naive_when: "Only one thread uses the map, or the threads spend most of their time elsewhere: an \
                          operation then costs no more under one lock, often less. Or several keys must change \
                          together or be read at one moment: one lock provides that.",
        costs: "A dependency. No consistent view of the whole map: iteration takes one shard after another. A thread \
                that keeps a guard and goes back into the map can deadlock. One hot key still has one lock. Where \
                nearly all operations are reads, `papaya`, the peer, is the better map: its readers take no lock and \
                write no shared line; its updates replace the value and cost more.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "Mutex<HashMap>",
        growth: Growth::Other("grows: threads queue for one lock"),
    },
    optimized: Side {
        summary: "DashMap",
        growth: Growth::Other("the locks' cache lines move between cores"),
    },
    input: "32,000 operations on a map of 65,536 keys, split evenly among the threads, which do nothing else in \
            between. Reads and updates have exactly the stated shares and random places. Keys follow Zipf's law, so \
            that some are wanted far more often, or are equally likely. Streams of operations alternate.",
    axis: Axis { name: "threads", unit: "threads", is_size: false, points: Points::Threads },
    parameter: Some(Parameter {
        name: "reads and keys",
        levels: Levels::Fixed(&[
            level("50%-zipf", 50),
            level("90%-zipf", 90),
            level("99%-zipf", 99),
            level("90%-uniform", UNIFORM + 90),
        ]),
    }),
    unit: "operation",
    headline: Headline::AllCoresAt("90%-zipf"),
    peers: &[SideBeside { name: "papaya", summary: "a map whose readers take no lock" }],
    causes: &[
        Claim {
            cause: BUSIEST_LOCK,
            naive: Count::Exactly(|_| OPERATIONS),
            // DashMap makes at least four shards. Of the operations on Zipf keys one in twelve is on the
            // first key and one in twenty-four on the second; the others spread evenly.
            optimized: Count::AtMost(|_| OPERATIONS * 2 / 5),
        },
        Claim {
            cause: EXCLUSIVE_LOCKS,
            naive: Count::Exactly(|_| OPERATIONS),
            optimized: Count::Exactly(|case| updates(case.level)),
        },
        Claim {
            cause: SHARED_LOCKS,
            naive: Count::Exactly(|_| 0),
            optimized: Count::Exactly(|case| OPERATIONS - updates(case.level)),
        },
    ],
    explanation: Explanation {
        why: "With more than one thread, the threads of the naive side take turns, sleeping and being woken. Those of \
              the sharded side collide only as often as the busiest lock's share of the operations says. But \
              collisions are not all: even an uncontended lock lies on a line that another core wrote last, and \
              fetching that line costs more than the lookup. More shards do not help against that, so the gain stays \
              below the ratio of acquisitions, and threads that do nothing else may together do fewer operations than \
              one alone. A reader lets other readers in, but writes its shard's lock too, so shared acquisitions cost \
              as much. With one thread nobody waits, and one mutex and one table are cheaper.",
        share_of_cause: ShareOfCause::Within(0.15, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "most keys are in one shard",
            reason: "its lock would be the one lock of the naive side again",
            check: |inputs: &[Input]| {
                let map = dash_map(&quotas(&inputs[0].keys));
                let most = inputs.iter().map(|input| busiest_shard(&map, &input.parts)).max();
                let all: usize = inputs[0].parts.iter().map(Vec::len).sum();
                ensure(most.unwrap_or(0) * 5 < all as u64 * 2, || {
                    format!("{most:?} of {all} operations")
                })
            },
            sprung: || {
                vec![Input { keys: Arc::new(vec![7]), parts: vec![vec![Operation::Read(7); 100]] }]
            },
        },
        &Trap {
            name: "the keys in use fit in a first-level cache",
            reason: "a lookup would cost next to nothing, unlike in a table of sessions",
            check: |inputs: &[Input]| {
                let keys: HashSet<u64> = inputs
                    .iter()
                    .flat_map(|i| i.parts.iter().flatten())
                    .map(|op| op.key())
                    .collect();
                let bytes = keys.len() * size_of::<(u64, Quota)>();
                ensure(bytes > 128 << 10, || format!("{bytes} B in use"))
            },
            sprung: || {
                let case = Case::realistic(2, 90, 1);
                vec![input(&case, &Arc::new(case.values(100)))]
            },
        },
    ],
    // A lock is taken and given back with an atomic operation each.
    limit: Limit::Work(&[
        Work::Hashes(|case| OPERATIONS / case.point),
        Work::Atomics(|case| 2 * OPERATIONS / case.point),
    ]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// The value of a key. Updates commute, so the final map does not depend on their order.
#[derive(Clone, Copy, Debug, Hash)]
struct Quota {
    limit: u64,
    used: u64,
}

type Quotas = HashMap<u64, Quota, FixedState>;
type Dash = DashMap<u64, Quota, FixedState>;

#[derive(Clone, Copy, Debug)]
enum Operation<K = u64> {
    /// Reads this key's limit.
    Read(K),
    /// Counts one more use of this key.
    Update(K),
}

impl Operation {
    fn key(self) -> u64 {
        match self {
            Operation::Read(key) | Operation::Update(key) => key,
        }
    }
}

/// Performs the operations and returns the sum of the limits read.
fn naive<K: Eq + Hash>(
    map: &Mutex<HashMap<K, Quota, FixedState>>,
    operations: &[Operation<K>],
) -> u64 {
    let mut limits = 0;
    for operation in operations {
        let mut map = map.lock().expect("no side panics");
        match operation {
            Operation::Read(key) => limits += map.get(key).map_or(0, |quota| quota.limit),
            Operation::Update(key) => {
                if let Some(quota) = map.get_mut(key) {
                    quota.used += 1;
                }
            }
        }
    }
    limits
}

/// Performs the operations and returns the sum of the limits read.
fn optimized<K: Eq + Hash>(
    map: &DashMap<K, Quota, FixedState>,
    operations: &[Operation<K>],
) -> u64 {
    let mut limits = 0;
    for operation in operations {
        match operation {
            Operation::Read(key) => limits += map.get(key).map_or(0, |quota| quota.limit),
            Operation::Update(key) => {
                if let Some(mut quota) = map.get_mut(key) {
                    quota.used += 1;
                }
            }
        }
    }
    limits
}

/// The same on a map whose readers take no lock, and whose updates replace the value.
fn papaya(map: &papaya::HashMap<u64, Quota, FixedState>, operations: &[Operation]) -> u64 {
    let mut limits = 0;
    for operation in operations {
        let map = map.pin();
        match operation {
            Operation::Read(key) => limits += map.get(key).map_or(0, |quota| quota.limit),
            Operation::Update(key) => {
                map.update(*key, |quota| Quota { used: quota.used + 1, ..*quota });
            }
        }
    }
    limits
}

/// A map in use by several threads.
struct Shared<M> {
    map: M,
    /// Sum of the limits that all threads have read.
    limits: AtomicU64,
}

/// The final state, when all threads are done.
#[derive(Debug, PartialEq)]
struct Outcome {
    keys: usize,
    /// Digest of keys, limits and uses, in any order.
    digest: u64,
    limits: u64,
}

impl Found for Outcome {
    fn found(&self) -> u64 {
        self.limits
    }
}

impl Outcome {
    fn new(entries: Vec<(u64, Quota)>, limits: &AtomicU64) -> Outcome {
        let hashes = entries.iter().map(|entry| FixedState::default().hash_one(entry));
        Outcome {
            keys: entries.len(),
            digest: hashes.fold(0, u64::wrapping_add),
            limits: limits.load(Relaxed),
        }
    }
}

struct Input {
    /// The keys of the map; the same in each input of the rotation.
    keys: Arc<Vec<u64>>,
    /// The operations of each thread.
    parts: Vec<Vec<Operation>>,
}

fn quotas(keys: &[u64]) -> Quotas {
    keys.iter().map(|key| (*key, Quota { limit: key % 1_000, used: 0 })).collect()
}

fn keys(case: &Case) -> Arc<Vec<u64>> {
    Arc::new(case.values(case.items(KEYS)))
}

fn input(case: &Case, keys: &Arc<Vec<u64>>) -> Input {
    let count = if keys.is_empty() { 0 } else { case.items(OPERATIONS) };
    let mut rng = case.rng("operations");
    let mut reads = vec![false; count];
    reads[..count * (case.level % UNIFORM) as usize / 100].fill(true);
    reads.shuffle(&mut rng);
    let zipf = Zipf::new(keys.len().max(1), if case.level > UNIFORM { 0 } else { 4 });
    let mut operation = |is_read: &bool| {
        let key = keys[zipf.sample(&mut rng)];
        if *is_read { Operation::Read(key) } else { Operation::Update(key) }
    };
    let threads = case.point as usize;
    let bound = |thread: usize| count * thread / threads;
    let part =
        |thread| reads[bound(thread)..bound(thread + 1)].iter().map(&mut operation).collect();
    let parts = (0..threads).map(part).collect();
    Input { keys: Arc::clone(keys), parts }
}

fn dash_map(quotas: &Quotas) -> Dash {
    let map = DashMap::with_capacity_and_hasher(quotas.len(), FixedState::default());
    quotas.iter().for_each(|(key, quota)| assert!(map.insert(*key, *quota).is_none()));
    map
}

fn papaya_map(quotas: &Quotas) -> papaya::HashMap<u64, Quota, FixedState> {
    let map = papaya::HashMap::with_capacity_and_hasher(quotas.len(), FixedState::default());
    quotas.iter().for_each(|(key, quota)| assert!(map.pin().insert(*key, *quota).is_none()));
    map
}

/// Number of operations for which the busiest shard's lock is taken.
fn busiest_shard(map: &Dash, parts: &[Vec<Operation>]) -> u64 {
    let mut shards = vec![0; map.shards().len()];
    parts.iter().flatten().for_each(|operation| shards[map.determine_map(&operation.key())] += 1);
    shards.into_iter().max().unwrap_or(0)
}

/// The same operations, and the same map, with keys that look at their lock.
fn watched(input: &Input) -> (Vec<Operation<WatchedKey>>, Vec<(WatchedKey, Quota)>) {
    let of_operation = |operation: &Operation| match operation {
        Operation::Read(key) => Operation::Read(WatchedKey(*key)),
        Operation::Update(key) => Operation::Update(WatchedKey(*key)),
    };
    let operations = input.parts.iter().flatten().map(of_operation).collect();
    (operations, quotas(&input.keys).into_iter().map(|(k, quota)| (WatchedKey(k), quota)).collect())
}

/// The locks that the naive side takes for all operations.
fn locks_of_naive(input: &Input) -> Acquisitions {
    let (operations, quotas) = watched(input);
    let map: HashMap<_, _, FixedState> = quotas.into_iter().collect();
    let map = Arc::new(Mutex::new(map));
    let locked = Arc::clone(&map);
    acquisitions_during(move |_| locked.try_lock().is_err(), || naive(&map, &operations))
}

/// The locks that the optimized side takes for all operations.
fn locks_of_optimized(input: &Input) -> Acquisitions {
    let (operations, quotas) = watched(input);
    let map: DashMap<_, _, FixedState> = quotas.into_iter().collect();
    let map = Arc::new(map);
    let locked = Arc::clone(&map);
    let is_exclusive = move |key: u64| {
        let hash = FixedState::default().hash_one(key) as usize;
        locked.shards()[locked.determine_shard(hash)].is_locked_exclusive()
    };
    acquisitions_during(is_exclusive, || optimized(&map, &operations))
}

/// A side whose threads share one `copy()` of the map for a whole batch.
fn side<M: Sync + 'static>(
    inputs: &Inputs<Input>,
    copy: impl Fn() -> M + 'static,
    work: impl Fn(&M, &[Operation]) -> u64 + Sync + 'static,
    entries: impl Fn(&M) -> Vec<(u64, Quota)> + 'static,
) -> impl Runner + 'static {
    contended(
        inputs[0].parts.len(),
        inputs,
        move || Shared { map: copy(), limits: AtomicU64::new(0) },
        move |shared, input, thread| {
            let limits = work(&shared.map, &input.parts[thread]);
            shared.limits.fetch_add(limits, Relaxed);
        },
        move |shared| Outcome::new(entries(&shared.map), &shared.limits),
    )
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let keys = keys(case);
    let quotas = Arc::new(quotas(&keys));
    let inputs = case.rotate(4, |case| input(case, &keys));
    let dash_map = Arc::new(dash_map(&quotas));
    let all = inputs.clone();
    let operations = move |i: usize| all[i].parts.iter().map(|part| part.len() as u64).sum();
    let locks = |of: fn(&Input) -> Acquisitions, count: fn(Acquisitions) -> u64| {
        let inputs = inputs.clone();
        move |i: usize| count(of(&inputs[i]))
    };
    let (one, shards, streams) = (Arc::clone(&quotas), Arc::clone(&dash_map), inputs.clone());
    let naive = side(
        &inputs,
        move || Mutex::new((*one).clone()),
        naive,
        |map| map.lock().expect("no side panics").iter().map(|(k, q)| (*k, *q)).collect(),
    )
    .counting(BUSIEST_LOCK, operations)
    .counting(EXCLUSIVE_LOCKS, locks(locks_of_naive, |locks| locks.exclusive))
    .counting(SHARED_LOCKS, locks(locks_of_naive, |locks| locks.shared));
    let optimized = side(
        &inputs,
        move || (*dash_map).clone(),
        optimized,
        |map| map.iter().map(|entry| (*entry.key(), *entry.value())).collect(),
    )
    .counting(BUSIEST_LOCK, move |i| busiest_shard(&shards, &streams[i].parts))
    .counting(EXCLUSIVE_LOCKS, locks(locks_of_optimized, |locks| locks.exclusive))
    .counting(SHARED_LOCKS, locks(locks_of_optimized, |locks| locks.shared));
    let lock_free = papaya_map(&quotas);
    let papaya = side(
        &inputs,
        move || lock_free.clone(),
        papaya,
        |map| map.pin().iter().map(|(key, quota)| (*key, *quota)).collect(),
    );
    let measured = inputs.measured(|input| input.parts.len() as u64);
    let units = inputs[0].parts.iter().map(|part| part.len() as u64).sum();
    Ok(Trial::new(measured, naive, optimized).peer(papaya).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        use Operation::{Read, Update};
        let quotas: HashMap<_, _, FixedState> =
            [(7, Quota { limit: 100, used: 0 }), (8, Quota { limit: 10, used: 5 })]
                .into_iter()
                .collect();
        let operations = [Update(7), Read(7), Read(8), Update(7), Update(9), Read(9)];
        let (one, many, peer) =
            (Mutex::new(quotas.clone()), dash_map(&quotas), papaya_map(&quotas));
        assert_eq!(naive(&one, &operations), 110);
        assert_eq!(optimized(&many, &operations), 110);
        assert_eq!(papaya(&peer, &operations), 110);
        for (key, used) in [(7, 2), (8, 5)] {
            assert_eq!(one.lock().unwrap()[&key].used, used);
            assert_eq!(many.get(&key).unwrap().used, used);
            assert_eq!(peer.pin().get(&key).unwrap().used, used);
        }
        assert_eq!((many.len(), peer.len()), (2, 2));
    }
}
