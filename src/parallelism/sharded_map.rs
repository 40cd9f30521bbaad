//! A map that threads share, behind many locks instead of one.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use dashmap::DashMap;
use foldhash::fast::FixedState;
use rand::RngExt;

use crate::fixtures::zipf::Zipf;
use worthit_pair::prelude::*;

/// Times that all threads together take the busiest lock.
const BUSIEST_LOCK: Cause = Cause::new("busiest_lock", "acquisitions of the busiest lock")
    .modelled("from the keys of the operations and the shard that the map keeps each in");

/// Keys in the map: more than a core's first-level cache holds, like a table of sessions.
const KEYS: u64 = 65_536;
/// Operations in one iteration, by all threads together.
const OPERATIONS: u64 = 32_768;
/// Added to the share of reads to mark a level where all keys are equally likely.
const UNIFORM: u64 = 1_000;

const fn level(label: &'static str, value: u64) -> Level {
    Level { label, value, origin: Origin::Measured }
}

pub const PAIR: Pair = Pair {
    title: "Shard the map that threads share",
    review: Review {
        smell: "`Arc<Mutex<HashMap<K, V>>>` that every request of every thread goes through for one \
                short lookup or update.",
        remedy: "`DashMap<K, V>`: the key's hash chooses one of several maps, each with its own lock. Where nearly \
                 all operations are reads, `papaya`: its readers take no lock and write no shared line; its \
                 updates replace the value and cost more.",
        keep_naive_when: "Only one thread uses the map, or the threads spend most of their time elsewhere: an \
                          operation then costs no more under one lock, often less. Or several keys must change \
                          together or be read at one moment: one lock provides that.",
        costs: "A dependency. No consistent view of the whole map: iteration takes one shard after another. A \
                thread that keeps a guard and goes back into the map can deadlock. One hot key still has one lock.",
        lint: None,
    },
    naive: Side {
        summary: "Mutex<HashMap>",
        growth: Growth::Other("grows: threads queue for one lock"),
    },
    optimized: Side {
        summary: "DashMap",
        growth: Growth::Other("the locks' cache lines move between cores"),
    },
    input: "32,768 operations on a map of 65,536 keys, split evenly among the threads, which do nothing else in \
            between. Reads and updates are mixed at random in the stated shares. Keys follow Zipf's law, so that \
            some are wanted far more often, or are equally likely.",
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
    peer: Some("papaya"),
    causes: &[Claim {
        cause: BUSIEST_LOCK,
        naive: Count::Exactly(|_| OPERATIONS),
        // DashMap makes at least four shards. Of the operations on Zipf keys one in twelve is on the
        // first key and one in twenty-four on the second; the others spread evenly.
        optimized: Count::AtMost(|_| OPERATIONS * 2 / 5),
    }],
    explanation: "With more than one thread, the threads of the naive side take turns, sleeping and being woken. \
                  Those of the sharded side collide only as often as the busiest lock's share of the operations \
                  says. But collisions are not all: even an uncontended lock lies on a line that another core \
                  wrote last, and fetching that line costs more than the lookup. More shards do not help against \
                  that, so the gain stays below the ratio of acquisitions, and threads that do nothing else may \
                  together do fewer operations than one alone. Reads write their shard's lock too. With one thread \
                  nobody waits, and one mutex and one table are cheaper.",
    limit: Limit::Hashes(|case| OPERATIONS / case.point),
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

#[derive(Clone, Copy, Debug)]
enum Operation {
    /// Reads this key's limit.
    Read(u64),
    /// Counts one more use of this key.
    Update(u64),
}

/// Performs the operations and returns the sum of the limits read.
fn naive(map: &Mutex<HashMap<u64, Quota, FixedState>>, operations: &[Operation]) -> u64 {
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
fn optimized(map: &DashMap<u64, Quota, FixedState>, operations: &[Operation]) -> u64 {
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
    quotas: HashMap<u64, Quota, FixedState>,
    operations: Vec<Operation>,
}

fn input(case: &Case) -> Input {
    let keys = case.values(case.items(KEYS));
    let quota = |key: &u64| (*key, Quota { limit: key % 1_000, used: 0 });
    let (uniform, reads) = (case.level > UNIFORM, case.level % UNIFORM);
    let mut operations = Vec::new();
    if !keys.is_empty() {
        let zipf = Zipf::new(keys.len(), if uniform { 0 } else { 4 });
        let mut rng = case.rng("operations");
        operations.extend((0..case.items(OPERATIONS)).map(|_| {
            let key = keys[zipf.sample(&mut rng)];
            let read = rng.random_range(0..100) < reads;
            if read { Operation::Read(key) } else { Operation::Update(key) }
        }));
    }
    Input { quotas: keys.iter().map(quota).collect(), operations }
}

fn dash_map(quotas: &HashMap<u64, Quota, FixedState>) -> DashMap<u64, Quota, FixedState> {
    let map = DashMap::with_capacity_and_hasher(quotas.len(), FixedState::default());
    quotas.iter().for_each(|(key, quota)| assert!(map.insert(*key, *quota).is_none()));
    map
}

fn papaya_map(quotas: &HashMap<u64, Quota, FixedState>) -> papaya::HashMap<u64, Quota, FixedState> {
    let map = papaya::HashMap::with_capacity_and_hasher(quotas.len(), FixedState::default());
    quotas.iter().for_each(|(key, quota)| assert!(map.pin().insert(*key, *quota).is_none()));
    map
}

/// Number of operations for which each shard's lock is taken.
fn by_shard(map: &DashMap<u64, Quota, FixedState>, operations: &[Operation]) -> Vec<u64> {
    let mut shards = vec![0; map.shards().len()];
    for operation in operations {
        let (Operation::Read(key) | Operation::Update(key)) = operation;
        shards[map.determine_map(key)] += 1;
    }
    shards
}

/// A side whose threads share one `copy()` of the map for a whole batch.
fn side<M: Sync + 'static>(
    input: Arc<Input>,
    threads: usize,
    copy: impl Fn() -> M + 'static,
    work: impl Fn(&M, &[Operation]) -> u64 + Sync + 'static,
    entries: impl Fn(&M) -> Vec<(u64, Quota)> + 'static,
) -> impl Runner + 'static {
    contended(
        threads,
        move || Shared { map: copy(), limits: AtomicU64::new(0) },
        move |shared, thread| {
            let limits = work(&shared.map, part(&input.operations, thread, threads));
            shared.limits.fetch_add(limits, Relaxed);
        },
        move |shared| Outcome::new(entries(&shared.map), &shared.limits),
    )
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let threads = case.point as usize;
    let input = Arc::new(input(case));
    let naive_input = Arc::clone(&input);
    let dash_map = Arc::new(dash_map(&input.quotas));
    let counted = Arc::clone(&dash_map);
    let naive = side(
        Arc::clone(&input),
        threads,
        move || Mutex::new(naive_input.quotas.clone()),
        naive,
        |map| map.lock().expect("no side panics").iter().map(|(k, q)| (*k, *q)).collect(),
    );
    let optimized = side(
        Arc::clone(&input),
        threads,
        move || (*dash_map).clone(),
        optimized,
        |map| map.iter().map(|entry| (*entry.key(), *entry.value())).collect(),
    );
    let papaya_input = Arc::clone(&input);
    let papaya = on_first_use(threads, move || {
        let map = papaya_map(&papaya_input.quotas);
        Ok(side(
            papaya_input,
            threads,
            move || map.clone(),
            papaya,
            |map| map.pin().iter().map(|(key, quota)| (*key, *quota)).collect(),
        ))
    });
    let trial = Trial::new(naive.threads() as u64, naive, optimized).peer(papaya);
    Ok(trial.units(input.operations.len() as u64).counting(move |role, counts| {
        let busiest = match role {
            Role::Naive => input.operations.len() as u64,
            // Papaya's readers take no lock.
            Role::Peer => return,
            Role::Optimized => by_shard(&counted, &input.operations).into_iter().max().unwrap_or(0),
        };
        counts.set(BUSIEST_LOCK, busiest);
    }))
}

/// The operations of one thread out of `threads`. Together they do each operation once.
fn part(operations: &[Operation], thread: usize, threads: usize) -> &[Operation] {
    let bound = |thread: usize| operations.len() * thread / threads;
    &operations[bound(thread)..bound(thread + 1)]
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

    #[test]
    fn trap_the_keys_are_not_all_in_one_shard() {
        for level in worthit_pair::cases::levels(&PAIR).iter().map(|level| level.value) {
            let input = input(&Case::realistic(2, level, 1));
            let map = dash_map(&input.quotas);
            let fair = OPERATIONS / map.shards().len() as u64;
            // The first Zipf key alone has a twelfth of all operations, whichever shard it lies in.
            let most = if level > UNIFORM { fair * 5 / 4 } else { fair + OPERATIONS / 4 };
            let shards = by_shard(&map, &input.operations);
            assert_eq!(shards.iter().sum::<u64>(), OPERATIONS);
            assert!(shards.iter().all(|n| (fair / 2..most).contains(n)), "{level}: {shards:?}");
        }
    }

    #[test]
    fn trap_the_map_and_its_use_are_of_a_realistic_size_and_mix() {
        for level in worthit_pair::cases::levels(&PAIR).iter().map(|level| level.value) {
            let input = input(&Case::realistic(2, level, 1));
            assert_eq!(input.quotas.len() as u64, KEYS);
            // Far more than a first-level cache holds, even counting only the keys in use.
            let key = |operation: &Operation| match operation {
                Operation::Read(key) | Operation::Update(key) => *key,
            };
            let used: std::collections::HashSet<_> = input.operations.iter().map(key).collect();
            let used_bytes = used.len() * size_of::<(u64, Quota)>();
            assert!(used_bytes > 128 << 10, "{level}: {used_bytes} B in use");
            let reads = input.operations.iter().filter(|op| matches!(op, Operation::Read(_)));
            let expected = OPERATIONS * (level % UNIFORM) / 100;
            assert!((reads.count() as u64).abs_diff(expected) < OPERATIONS / 100);
        }
    }
}
