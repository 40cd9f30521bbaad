//! A bounded cache that threads share, behind many locks instead of one.

use std::{
    collections::HashSet,
    hash::BuildHasher,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use crossbeam_utils::CachePadded;
use foldhash::fast::FixedState;
use lru::LruCache;
use moka::ops::compute::Op as Change;
use quick_cache::UnitWeighter;
use rand::seq::SliceRandom;

use crate::fixtures::zipf::Zipf;
use worthit_pair::prelude::*;

const BUSIEST_LOCK: Cause = Cause::new("busiest_lock", "acquisitions of the busiest lock")
    .counted("with a closure that is told of each lock it takes");

/// Users whose permissions are cached; requests for them follow Zipf's law.
const USERS: u64 = 16_384;
/// Users that a cache holds: a quarter of all.
const CAPACITY: usize = USERS as usize / 4;
/// Caches, each with a lock: more than there are threads, so that two seldom want the same.
const SHARDS: usize = 64;
/// Operations in one iteration, by all threads together.
const OPERATIONS: u64 = 32_000;
/// One operation in this many is a write.
const WRITES_EVERY: usize = 100;

pub const PAIR: Pair = Pair {
    title: "Shard the cache that threads share",
    review: Review {
        smell: "`Mutex<LruCache<K, V>>` in front of every request. A `RwLock` does not help: an LRU cache moves the key \
                to the front of its list when it is read, so `get` takes `&mut self`.",
        remedy: "Several caches, each with its own lock, on its own cache line: `CachePadded<Mutex<Lru>>`. The hash of \
                 the key chooses one. Or take a concurrent cache, such as quick_cache, a peer: a read that hits takes a \
                 lock that lets other readers in, and marks the entry instead of moving it.",
        keep_naive_when: "One thread uses the cache, or the threads spend most of their time elsewhere: then an operation \
                          costs no more under one lock. Or the bound must hold exactly the keys that were used last, of \
                          all keys: each shard evicts on its own.",
        costs: "The bound is divided among the shards, so a shard with many wanted keys evicts some while another has \
                room. One hot key still has one lock. A miss that computes under its lock holds up its shard; one that \
                computes outside it may put back what a write has just dropped, unless something compares versions. \
                The peers solve both, `quick_cache` with a placeholder and `moka` with a lock for each key.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "Mutex<LruCache>",
        growth: Growth::Other("grows: threads queue for one lock"),
    },
    optimized: Side {
        summary: "64 × Mutex<LruCache>, by hash",
        growth: Growth::Other("the locks' cache lines move between cores"),
    },
    input: "32,000 operations on a cache of 4,096 users' permissions, split evenly among the threads, which do nothing \
            else in between. The 16,384 users are asked for by Zipf's law, so that some four reads in five hit. A miss \
            hashes a document of 128 bytes; one operation in a hundred changes a user and drops the entry. Streams \
            alternate, and a cache has seen one before.",
    axis: Axis { name: "threads", unit: "threads", is_size: false, points: Points::Threads },
    unit: "operation",
    headline: Headline::AllCoresAt(""),
    peers: &[
        SideBeside { name: "quick_cache", summary: "a sharded cache whose hits share a lock" },
        SideBeside { name: "moka", summary: "a cache whose hits take no lock and are logged" },
    ],
    causes: &[Claim {
        cause: BUSIEST_LOCK,
        naive: Count::Exactly(|_| OPERATIONS),
        // One request in ten is for the first user; the others spread evenly.
        optimized: Count::AtMost(|_| OPERATIONS / 4),
    }],
    explanation: Explanation {
        why: "With more than one thread, the threads of the naive side take turns at the lock, and the list's ends and the \
              table move from core to core with it. The sharded side collides only as often as the busiest lock's share \
              of the operations says. But even a lock that is free lies on a line that another core may have written \
              last, and so do the entries of its shard; fetching these lines costs more than the lookup. So the gain \
              stays far below the ratio of acquisitions. With one thread nobody waits, and the choice of a shard costs one \
              more hash.",
        share_of_cause: ShareOfCause::Within(0.05, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the cache holds every user",
        reason: "none would be evicted, and a map without a bound would do",
        check: |inputs: &[Input]| {
            let asked = inputs.iter().flat_map(|input| input.parts.iter().flatten());
            let users: HashSet<usize> = asked.map(|op| op.user).collect();
            ensure(users.len() > 2 * CAPACITY, || format!("{} users", users.len()))
        },
        sprung: || {
            let case = Case { proof_size: Some(200), ..Case::realistic(2, 0, 1) };
            vec![input(&case, &users(&case))]
        },
    }],
    // A lock is taken and given back with an atomic operation each. A shard and an entry are found with a hash each, and an
    // operation reads a line of the table and one of the entry.
    limit: Limit::Work(&[
        Work::Hashes(|case| 2 * OPERATIONS / case.point),
        Work::Atomics(|case| 2 * OPERATIONS / case.point),
        Work::IndependentReads {
            reads: |case| 2 * OPERATIONS / case.point,
            within_bytes: |_| CAPACITY as u64 * 80,
        },
    ]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// What is cached of a user.
#[derive(Clone, Copy, Debug)]
struct Permissions {
    bits: u64,
    /// How often the user was changed before.
    version: u64,
}

/// A user, as a database has them.
struct User {
    document: Vec<u8>,
    /// How often they were changed.
    version: AtomicU64,
}

impl User {
    fn new(document: Vec<u8>) -> User {
        User { document, version: AtomicU64::new(0) }
    }

    fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    fn compute(&self) -> Permissions {
        let version = self.version();
        assert!(!self.document.is_empty(), "a user has a document");
        Permissions { bits: FixedState::default().hash_one(&self.document), version }
    }

    fn change(&self) {
        self.version.fetch_add(1, Release);
    }
}

/// Needs the permissions of a user, or changes the user.
#[derive(Clone, Copy)]
struct Op {
    user: usize,
    is_write: bool,
}

type Lru = LruCache<usize, Permissions, FixedState>;

/// Answers a read, or makes a change. `taking` is told the number of the lock that it takes.
fn naive(
    cache: &Mutex<Lru>,
    users: &[User],
    op: Op,
    mut taking: impl FnMut(usize),
) -> Option<Permissions> {
    taking(0);
    through(cache, users, op)
}

/// Answers a read, or makes a change. `taking` is told the number of the lock that it takes.
fn optimized(
    shards: &[CachePadded<Mutex<Lru>>],
    users: &[User],
    op: Op,
    mut taking: impl FnMut(usize),
) -> Option<Permissions> {
    let shard = shard_of(op.user);
    taking(shard);
    through(&shards[shard], users, op)
}

/// The shard of a user, by a hash of its own: the table within a shard looks at all bits of its hash.
fn shard_of(user: usize) -> usize {
    FixedState::with_seed(1).hash_one(user) as usize % SHARDS
}

/// Reads through a cache, or changes a user and drops the entry.
fn through(cache: &Mutex<Lru>, users: &[User], Op { user, is_write }: Op) -> Option<Permissions> {
    if is_write {
        users[user].change();
        lock(cache).pop(&user);
        return None;
    }
    // A computation holds the lock, so a change that comes meanwhile drops what it inserts.
    Some(*lock(cache).get_or_insert(user, || users[user].compute()))
}

/// Locks a cache. A computation that panicked has changed nothing in it: an entry is inserted after its computation.
fn lock(cache: &Mutex<Lru>) -> MutexGuard<'_, Lru> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

type Quick = quick_cache::sync::Cache<usize, Permissions, UnitWeighter, FixedState>;

/// The same. The cache lets one of the threads that miss compute, and drops what it computed if a change came meanwhile.
fn quick_cache(cache: &Quick, users: &[User], Op { user, is_write }: Op) -> Option<Permissions> {
    if is_write {
        users[user].change();
        cache.remove(&user);
        return None;
    }
    cache.get_or_insert_with(&user, || Ok::<_, ()>(users[user].compute())).ok()
}

type Moka = moka::sync::Cache<usize, Permissions, FixedState>;

/// The same. A computation and a removal of the same key take turns.
fn moka(cache: &Moka, users: &[User], Op { user, is_write }: Op) -> Option<Permissions> {
    if is_write {
        users[user].change();
        cache.entry(user).and_compute_with(|_| Change::Remove);
        return None;
    }
    cache.get(&user).or_else(|| {
        let computed = cache.entry(user).and_compute_with(|entry| match entry {
            Some(_) => Change::Nop,
            None => Change::Put(users[user].compute()),
        });
        computed.into_entry().map(|entry| entry.into_value())
    })
}

struct Input {
    /// The same in each input of the rotation.
    users: Arc<Vec<User>>,
    /// The operations of each thread.
    parts: Vec<Vec<Op>>,
}

fn users(case: &Case) -> Arc<Vec<User>> {
    let case = Case { point: 0, ..case.clone() };
    let user = |value: u64| User::new(value.to_le_bytes().repeat(16));
    Arc::new(case.values(case.items(USERS).max(1)).into_iter().map(user).collect())
}

fn input(case: &Case, users: &Arc<Vec<User>>) -> Input {
    let (threads, count) = (case.point as usize, case.items(OPERATIONS));
    let wanted = if case.shape == Shape::DuplicateHeavy { users.len().min(3) } else { users.len() };
    let zipf = Zipf::new(wanted, if case.shape == Shape::Random { 0 } else { 4 });
    let mut rng = case.rng("operations");
    let op = |place| Op { user: zipf.sample(&mut rng), is_write: place < count / WRITES_EVERY };
    let mut ops: Vec<Op> = (0..count).map(op).collect();
    ops.shuffle(&mut case.rng("writes"));
    let part = |thread| ops[count * thread / threads..count * (thread + 1) / threads].to_vec();
    Input { users: Arc::clone(users), parts: (0..threads).map(part).collect() }
}

type Locks = Vec<CachePadded<Mutex<Lru>>>;

/// Empty caches, each behind a lock, which hold `capacity` users together.
fn locks(count: usize, capacity: usize) -> Locks {
    // The crate's default hasher is the same, but seeded anew by each process.
    let capacity = NonZeroUsize::new(capacity / count).unwrap_or(NonZeroUsize::MIN);
    let empty = |_| CachePadded::new(Mutex::new(Lru::with_hasher(capacity, FixedState::default())));
    (0..count).map(empty).collect()
}

fn quick(capacity: usize) -> Quick {
    let (bound, hasher) = (capacity as u64, FixedState::default());
    Quick::with(capacity, bound, UnitWeighter, hasher, Default::default())
}

fn moka_cache(capacity: usize) -> Moka {
    let builder = moka::sync::Cache::builder().max_capacity(capacity as u64);
    builder.build_with_hasher(FixedState::default())
}

type Entries = Vec<(usize, Permissions)>;

fn entries_of_locks(locks: &[CachePadded<Mutex<Lru>>]) -> Entries {
    let entries = |cache: &CachePadded<Mutex<Lru>>| -> Entries {
        lock(cache).iter().map(|(user, cached)| (*user, *cached)).collect()
    };
    locks.iter().flat_map(entries).collect()
}

fn entries_of_moka(cache: &Moka) -> Entries {
    // It evicts in batches, from time to time.
    cache.run_pending_tasks();
    cache.iter().map(|(user, cached)| (*user, cached)).collect()
}

/// Number of entries that are older than their user's last change.
fn stale(users: &[User], entries: &[(usize, Permissions)]) -> usize {
    entries.iter().filter(|(user, cached)| cached.version != users[*user].version()).count()
}

/// A side whose threads share one cache for a whole batch. Its answer is the sum of what was read, and how much of what is
/// cached in the end is stale.
fn side<C: Sync + 'static>(
    inputs: &Inputs<Input>,
    empty: impl Fn(usize) -> C + 'static,
    serve: impl Fn(&C, &[User], Op) -> Option<Permissions> + Copy + Sync + 'static,
    entries: impl Fn(&C) -> Entries + 'static,
) -> impl Runner + 'static {
    let all_of = move |cache: &C, users: &[User], ops: &[Op]| {
        let reads = ops.iter().filter_map(|op| serve(cache, users, *op));
        reads.fold(0_u64, |sum, read| sum.wrapping_add(read.bits))
    };
    let (before, users) = (inputs.clone(), Arc::clone(&inputs[0].users));
    contended(
        inputs[0].parts.len(),
        inputs,
        move || {
            let Input { users, parts } = &before[before.len() - 1];
            let cache = empty((users.len() / 4).max(1));
            all_of(&cache, users, &parts.concat());
            (cache, AtomicU64::new(0))
        },
        move |(cache, bits), input, thread| {
            bits.fetch_add(all_of(cache, &input.users, &input.parts[thread]), Relaxed);
        },
        move |(cache, bits)| (bits.load(Relaxed), stale(&users, &entries(cache))),
    )
}

/// How often a side takes the lock that it takes most, by performing all operations.
fn busiest(
    input: &Input,
    serve: impl Fn(&[User], Op, &mut dyn FnMut(usize)) -> Option<Permissions>,
) -> u64 {
    let mut taken = [0; SHARDS];
    for op in input.parts.iter().flatten() {
        serve(&input.users, *op, &mut |lock| taken[lock] += 1);
    }
    taken.into_iter().max().unwrap_or(0)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let users = users(case);
    let inputs = case.rotate(4, |case| input(case, &users));
    let (one, many) = (inputs.clone(), inputs.clone());
    let naive = side(
        &inputs,
        |capacity| locks(1, capacity),
        |locks: &Locks, users: &[User], op| naive(&locks[0], users, op, |_| {}),
        |locks: &Locks| entries_of_locks(locks),
    )
    .counting(BUSIEST_LOCK, move |i| {
        let cache = locks(1, CAPACITY);
        busiest(&one[i], |users, op, taking| naive(&cache[0], users, op, taking))
    });
    let optimized = side(
        &inputs,
        |capacity| locks(SHARDS, capacity),
        |locks: &Locks, users: &[User], op| optimized(locks, users, op, |_| {}),
        |locks: &Locks| entries_of_locks(locks),
    )
    .counting(BUSIEST_LOCK, move |i| {
        let cache = locks(SHARDS, CAPACITY);
        busiest(&many[i], |users, op, taking| optimized(&cache, users, op, taking))
    });
    let units = inputs[0].parts.iter().map(Vec::len).sum::<usize>() as u64;
    Ok(Trial::new(inputs.measured(|input| input.parts.len() as u64), naive, optimized)
        .peer(side(&inputs, quick, quick_cache, |cache: &Quick| cache.iter().collect()))
        .peer(side(&inputs, moka_cache, moka, entries_of_moka))
        .units(units))
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Barrier,
        thread,
    };

    use super::*;

    /// Most users that each cache of [`each`] holds.
    const BOUND: usize = 64;

    fn read(user: usize) -> Op {
        Op { user, is_write: false }
    }

    fn change(user: usize) -> Op {
        Op { user, is_write: true }
    }

    /// Runs a test with each side on an empty cache, and with what the cache holds.
    fn each(
        test: impl Fn(&(dyn Fn(&[User], Op) -> Option<Permissions> + Sync), &dyn Fn() -> Entries),
    ) {
        let (one, many) = (locks(1, BOUND), locks(SHARDS, BOUND));
        let (quick, cache) = (quick(BOUND), moka_cache(BOUND));
        test(&|users, op| naive(&one[0], users, op, |_| {}), &|| entries_of_locks(&one));
        test(&|users, op| optimized(&many, users, op, |_| {}), &|| entries_of_locks(&many));
        test(&|users, op| quick_cache(&quick, users, op), &|| quick.iter().collect::<Entries>());
        test(&|users, op| moka(&cache, users, op), &|| entries_of_moka(&cache));
    }

    #[test]
    fn known_answers() {
        each(|serve, entries| {
            let users = [7, 8].map(|byte| User::new(vec![byte]));
            let [zero, one] = [0, 1].map(|user: usize| {
                let bits = users[user].compute().bits;
                move |version: u64| Some((bits, version))
            });
            let answer = |op| serve(&users, op).map(|read| (read.bits, read.version));
            let answers = [read(0), read(0), read(1), change(0), read(0)].map(answer);
            assert_eq!(answers, [zero(0), zero(0), one(0), None, zero(1)]);
            let answers = [change(0), change(0), read(0), read(1)].map(answer);
            assert_eq!(answers, [None, None, zero(3), one(0)]);
            assert_eq!(entries().len(), 2);
        });
    }

    #[test]
    fn four_reads_in_five_hit_and_shards_cost_few_hits() {
        let case = Case::realistic(1, 0, 42);
        let Input { users, parts } = input(&case, &users(&case));
        let before = input(&Case { turn: 1, ..case }, &users);
        let (one, many) = (locks(1, CAPACITY), locks(SHARDS, CAPACITY));
        let (mut reads, mut hits) = (0, [0, 0]);
        for (place, op) in before.parts[0].iter().chain(&parts[0]).enumerate() {
            if !op.is_write && place >= parts[0].len() {
                reads += 1;
                hits[0] += usize::from(lock(&one[0]).contains(&op.user));
                hits[1] += usize::from(lock(&many[shard_of(op.user)]).contains(&op.user));
            }
            naive(&one[0], &users, *op, |_| {});
            optimized(&many, &users, *op, |_| {});
        }
        assert!(hits.iter().all(|hits| (78..86).contains(&(hits * 100 / reads))), "{hits:?}");
        assert!(hits[0].abs_diff(hits[1]) * 100 < reads, "{hits:?} of {reads}");
    }

    #[test]
    fn under_contention_each_thread_reads_what_it_wrote_and_panics_leave_nothing_behind() {
        let has_document = |user: usize| user % 20 != 19;
        each(|serve, entries| {
            let user = |user| User::new(vec![1; usize::from(has_document(user))]);
            let users: Vec<User> = (0..200).map(user).collect();
            let barrier = Barrier::new(8);
            let work = || {
                barrier.wait();
                for i in 0..1_000 {
                    // All change and read a few users, and read others, which evict entries.
                    let (mine, other) = (i % 10, 10 + i * 7 % 190);
                    let before = users[mine].version();
                    serve(&users, change(mine));
                    let computed = catch_unwind(AssertUnwindSafe(|| serve(&users, read(other))));
                    assert_eq!(computed.is_ok(), has_document(other));
                    assert!(serve(&users, read(mine)).unwrap().version > before);
                }
            };
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(work);
                }
            });
            let entries = entries();
            assert!((1..=BOUND).contains(&entries.len()), "{} entries", entries.len());
            assert!(entries.iter().all(|(user, _)| has_document(*user)));
            assert_eq!(stale(&users, &entries), 0);
        });
    }
}
