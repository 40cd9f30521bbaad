//! A counter that threads share: an atomic integer, not an integer behind a lock.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use rayon::ThreadPool;

use crate::fixtures::pool::pool;
use worthit_pair::prelude::*;

/// Times that a lock is taken.
const LOCKS: Cause =
    Cause::new("locks", "acquisitions of a lock").counted("with a lock that counts");

/// Answers whose sizes are added up in one iteration, by all threads together.
const ANSWERS: u64 = 32_768;

pub const PAIR: Pair = Pair {
    title: "Count in an atomic integer",
    review: Review {
        smell: "`Mutex<u64>` or `RwLock<usize>` around a single number that is added to, set or read: \
                `*bytes.lock().unwrap() += size`.",
        remedy: "`AtomicU64::new(0)` and `bytes.fetch_add(size, Relaxed)`. `Relaxed` is enough for a number that says \
                 nothing about other memory: no addition is lost in any order.",
        keep_naive_when: "The number must change together with something else, so that nobody sees one without the \
                          other: then the lock holds both. Or somebody waits for it with a `Condvar`. Or it is changed \
                          so rarely that nothing shows.",
        costs: "`fetch_add` wraps at the end of the range and never panics. A change that depends on the value takes a \
                loop (`fetch_update`). And all threads still write one cache line: threads that add often are better \
                off with counters of their own, which the pair about local counters shows.",
        lint: Lint::Switched("clippy::mutex_integer", "clippy::restriction"),
    },
    naive: Side {
        summary: "Mutex<u64>",
        growth: Growth::Other("grows: threads queue, sleep and are woken"),
    },
    optimized: Side {
        summary: "AtomicU64, fetch_add",
        growth: Growth::Other("grows: threads fetch one line from each other"),
    },
    input: "The sizes of 32,768 answers, split evenly among the threads. Each thread adds its sizes to one total, one \
            after another, and does nothing else in between, so the total is always in demand. Lists of sizes \
            alternate.",
    axis: Axis { name: "threads", unit: "threads", is_size: false, points: Points::Threads },
    unit: "addition",
    headline: Headline::AllCoresAt(""),
    causes: &[Claim {
        cause: LOCKS,
        naive: Count::Exactly(|_| ANSWERS),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "To take a lock and to give it back are an atomic operation each, with the addition between them; an \
              atomic addition is one. So even a single thread gains. With more threads, each of these operations needs \
              the line that the others want too. A thread that finds the lock taken spins, and then sleeps until a \
              system call wakes it, while an atomic addition only waits for the line and can never find it taken: no \
              thread that the scheduler stops in the middle holds the others up.",
        share_of_cause: ShareOfCause::NoRatio("no lock is left"),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "one thread adds nearly all sizes",
        reason: "it would have the lock to itself",
        check: |inputs: &[Vec<Vec<u32>>]| {
            let is_uneven = |parts: &Vec<Vec<u32>>| {
                let fair = parts.iter().map(Vec::len).sum::<usize>() / parts.len();
                parts.iter().any(|part| part.len().abs_diff(fair) > 1)
            };
            ensure(!inputs.iter().any(is_uneven), || "sizes are split unevenly".to_owned())
        },
        sprung: || vec![vec![vec![1; 100], vec![]]],
    }],
    // Additions to one word follow one another, whichever thread makes them.
    limit: Limit::Work(&[Work::Atomics(|_| ANSWERS)]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Adds up all sizes, a part on each thread of the pool in which it is called.
#[expect(clippy::mutex_integer, reason = "the integer could be atomic")]
fn naive(parts: &[Vec<u32>], lock: impl Fn(&Mutex<u64>) -> MutexGuard<'_, u64> + Sync) -> u64 {
    let bytes = Mutex::new(0);
    rayon::broadcast(|thread| {
        for size in &parts[thread.index()] {
            *lock(&bytes) += u64::from(*size);
        }
    });
    bytes.into_inner().expect("no side panics")
}

/// Adds up all sizes, a part on each thread of the pool in which it is called.
fn optimized(parts: &[Vec<u32>]) -> u64 {
    let bytes = AtomicU64::new(0);
    rayon::broadcast(|thread| {
        for size in &parts[thread.index()] {
            bytes.fetch_add(u64::from(*size), Relaxed);
        }
    });
    bytes.into_inner()
}

fn lock(bytes: &Mutex<u64>) -> MutexGuard<'_, u64> {
    bytes.lock().expect("no side panics")
}

/// The sizes of each thread: uniform up to 64 KiB. The size does not change the cost of adding it.
fn input(case: &Case) -> Vec<Vec<u32>> {
    let values = case.values(case.items(ANSWERS));
    let threads = case.point as usize;
    let size = |value: &u64| match case.shape {
        Shape::Realistic => (value % 65_536) as u32,
        _ => *value as u32,
    };
    let bound = |thread: usize| values.len() * thread / threads;
    let part = |thread| values[bound(thread)..bound(thread + 1)].iter().map(size).collect();
    (0..threads).map(part).collect()
}

/// The locks that the naive side takes.
fn locks_of_naive(pool: &ThreadPool, parts: &[Vec<u32>]) -> u64 {
    let locks = AtomicU64::new(0);
    let count = || {
        naive(parts, |bytes| {
            locks.fetch_add(1, Relaxed);
            lock(bytes)
        })
    };
    pool.install(count);
    locks.into_inner()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let pool = pool(case.point)?;
    let inputs = case.rotate(4, input);
    let (of_naive, workers) = (inputs.clone(), Arc::clone(&pool));
    let naive = pooled(&pool, &inputs, |parts: &Vec<Vec<u32>>| naive(parts, lock))
        .counting(LOCKS, move |i| locks_of_naive(&workers, &of_naive[i]));
    let workers = Arc::clone(&pool);
    let optimized = pooled(&pool, &inputs, |parts: &Vec<Vec<u32>>| optimized(parts))
        .counting(LOCKS, noting(&inputs, move |parts| workers.install(|| optimized(parts))));
    let units = inputs[0].iter().map(|part| part.len() as u64).sum();
    let measured = inputs.measured(|parts| parts.len() as u64);
    Ok(Trial::new(measured, naive, optimized).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let parts = [vec![1, u32::MAX], vec![], vec![5]];
        let pool = pool(3).unwrap();
        assert_eq!(pool.install(|| naive(&parts, lock)), (1 << 32) + 5);
        assert_eq!(pool.install(|| optimized(&parts)), (1 << 32) + 5);
        assert_eq!(locks_of_naive(&pool, &parts), 3);
    }

    #[test]
    fn no_addition_of_any_thread_is_lost() {
        let parts = vec![vec![3; 10_000]; 8];
        let pool = pool(8).unwrap();
        assert_eq!(pool.install(|| naive(&parts, lock)), 240_000);
        assert_eq!(pool.install(|| optimized(&parts)), 240_000);
    }
}
