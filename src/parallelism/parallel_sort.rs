//! Sort a long list on all cores.

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rayon::prelude::*;

use crate::fixtures::pool::pool;
use worthit_pair::prelude::*;

/// Comparisons that a worker makes when all workers make equally many.
const LONGEST_SHARE: Cause = Cause::new("longest_share", "comparisons one after another").modelled(
    "from the comparisons of all workers and the number of these, as if they made equally many",
);

/// Keys from which a list is split among workers.
const WORTH_SPLITTING: usize = 4_096;

pub const PAIR: Pair = Pair {
    title: "Sort a long list on all cores",
    review: Review {
        smell: "`keys.sort_unstable()` of a long list, while the other cores are idle.",
        remedy: "Split the list at its middle key with `keys.select_nth_unstable(middle)`, sort both parts with \
                 `rayon::join`, and split these again while there are more workers; each worker sorts its part with \
                 `part.sort_unstable()`. `keys.par_sort_unstable()` of `rayon`, the peer, is one call.",
        keep_naive_when: "The list is short, as the pool must be woken and the caller sent to sleep. Or the cores are \
                          busy already. Or the keys are integers and a radix sort will do.",
        costs: "A dependency; all the cores for one caller; a comparison that panics or locks now concerns several \
                threads. All workers together compare more than one alone, as splitting at the middle costs more than \
                splitting anywhere.",
        lint: Lint::None,
    },
    naive: Side { summary: "sort_unstable", growth: Growth::Linear },
    optimized: Side {
        summary: "split at the middle, each part with sort_unstable",
        growth: Growth::Linear,
    },
    input: "Random `u64` keys, like ids or hashes, of which no two are alike. Each sort gets a fresh copy of one of several \
            lists. The caller is no worker of the pool: it hands the list over and sleeps until it is sorted, as in most \
            programs.",
    axis: Axis {
        name: "keys",
        unit: "keys",
        is_size: true,
        points: Points::Fixed { default: &[1_000, 20_000, 100_000, 300_000], deep: &[1_000_000] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "key",
    headline: Headline::AllCoresOf(300_000),
    peers: &[SideBeside { name: "rayon", summary: "par_sort_unstable" }],
    causes: &[Claim {
        cause: LONGEST_SHARE,
        naive: Count::AtLeast(|case| comparisons(case.point, 8)),
        optimized: Count::AtMost(|case| comparisons(case.point, 14) / case.level),
    }],
    explanation: Explanation {
        why: "t workers sort t parts at once, and each part is shorter. But somebody must split the list first, and at \
              the first split there is only one worker at work, so the gain stays below t, and the more so the more \
              workers there are. The peer splits at a key that it guesses, in one pass, but sorts with an older \
              algorithm than `sort_unstable` has today, which mispredicts more branches: one worker of it is slower than \
              the naive side.",
        share_of_cause: ShareOfCause::Within(0.4, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(20_000),
    },
    traps: &[
        &Trap {
            name: "a list is in order already",
            reason: "a sort that notices only looks through it",
            check: |inputs: &[Vec<u64>]| {
                let descents = |keys: &Vec<u64>| keys.windows(2).filter(|k| k[0] > k[1]).count();
                let in_order = inputs.iter().filter(|keys| descents(keys) * 3 < keys.len()).count();
                ensure(in_order == 0, || format!("{in_order} lists ascend for long"))
            },
            sprung: || vec![(0..10_000).collect()],
        },
        &Trap {
            name: "few distinct keys",
            reason: "equal keys are sorted in one pass, however many there are",
            check: |inputs: &[Vec<u64>]| {
                let repeats = |keys: &Vec<u64>| {
                    let mut sorted = keys.clone();
                    sorted.sort_unstable();
                    sorted.windows(2).filter(|pair| pair[0] == pair[1]).count()
                };
                let most = inputs.iter().map(repeats).max();
                ensure(most <= Some(10), || format!("{most:?} keys repeat"))
            },
            sprung: || vec![(0..10_000).map(|i| (i * 7_919) % 1_000).collect()],
        },
    ],
    limit: Limit::Cores,
    proof: Proof { resources: Resources::System, max_size: 30_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Sorts the keys.
fn naive<K: Ord>(mut keys: Vec<K>) -> Vec<K> {
    keys.sort_unstable();
    keys
}

/// Sorts the keys. Call it on a worker of a rayon pool.
fn optimized<K: Ord + Send>(mut keys: Vec<K>) -> Vec<K> {
    sort_on(&mut keys, rayon::current_num_threads());
    keys
}

/// Sorts the keys on as many workers.
fn sort_on<K: Ord + Send>(keys: &mut [K], workers: usize) {
    if workers == 1 || keys.len() < WORTH_SPLITTING {
        keys.sort_unstable();
        return;
    }
    let (of_low, of_high) = (workers / 2, workers - workers / 2);
    let middle = keys.len() * of_low / workers;
    let (low, _, high) = keys.select_nth_unstable(middle);
    rayon::join(|| sort_on(low, of_low), || sort_on(high, of_high));
}

/// Sorts the keys. Call it on a worker of a rayon pool.
fn rayon<K: Ord + Send>(mut keys: Vec<K>) -> Vec<K> {
    keys.par_sort_unstable();
    keys
}

/// This many tenths of n · log₂ n, about as many comparisons as a sort makes.
fn comparisons(keys: u64, tenths: u64) -> u64 {
    keys * u64::from(keys.max(1).ilog2()) * tenths / 10
}

/// A key that counts its comparisons, whichever thread makes them.
#[derive(Clone, Debug)]
struct Compared {
    key: u64,
    comparisons: Arc<AtomicU64>,
}

impl Ord for Compared {
    fn cmp(&self, other: &Self) -> Ordering {
        self.comparisons.fetch_add(1, Relaxed);
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Compared {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Compared {}

impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

/// Comparisons of a side, divided among the workers.
fn share(keys: &[u64], workers: usize, side: impl FnOnce(Vec<Compared>) -> Vec<Compared>) -> u64 {
    let comparisons = Arc::new(AtomicU64::new(0));
    let compared = |key: &u64| Compared { key: *key, comparisons: Arc::clone(&comparisons) };
    drop(side(keys.iter().map(compared).collect()));
    comparisons.load(Relaxed).div_ceil(workers as u64)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let pool = pool(case.level)?;
    let turns = (65_536 / case.point.max(1)).clamp(4, 64);
    let inputs = case.rotate(turns, |case| case.values(case.point as usize));
    let on_pool = |side: fn(Vec<u64>) -> Vec<u64>| {
        let (pool, inputs) = (Arc::clone(&pool), inputs.clone());
        // Says that as many threads are busy.
        on_first_use(pool.current_num_threads(), move || {
            Ok(by_value(&inputs, move |keys| pool.install(|| side(keys))))
        })
    };
    let counted = |side: fn(Vec<Compared>) -> Vec<Compared>, is_alone: bool| {
        let (pool, inputs) = (Arc::clone(&pool), inputs.clone());
        let workers = if is_alone { 1 } else { pool.current_num_threads() };
        move |i: usize| share(&inputs[i], workers, |keys| pool.install(|| side(keys)))
    };
    Ok(Trial::new(
        inputs.measured(|keys| keys.len() as u64),
        by_value(&inputs, naive).counting(LONGEST_SHARE, counted(naive, true)),
        on_pool(optimized).counting(LONGEST_SHARE, counted(optimized, false)),
    )
    .peer(on_pool(rayon).counting(LONGEST_SHARE, counted(rayon, false)))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn known_answers() {
        let pool = pool(3).unwrap();
        for side in [naive, optimized, rayon] {
            let sorted = |keys: &[u64]| pool.install(|| side(keys.to_vec()));
            assert!(sorted(&[]).is_empty());
            assert_eq!(sorted(&[5]), [5]);
            assert_eq!(sorted(&[3, u64::MAX, 0, 3, 1]), [0, 1, 3, 3, u64::MAX]);
            let descending: Vec<u64> = (0..50_000).rev().collect();
            assert!(sorted(&descending).into_iter().eq(0..50_000));
            assert_eq!(sorted(&[7; 20_000]), [7; 20_000]);
        }
    }

    #[test]
    fn lists_are_sorted_by_any_number_of_workers() {
        for workers in 1..=9 {
            let pool = pool(workers).unwrap();
            for count in [0, 1, WORTH_SPLITTING - 1, WORTH_SPLITTING, 3 * WORTH_SPLITTING + 1] {
                let keys = Case::realistic(count as u64, workers, 1).values(count);
                let sorted = pool.install(|| optimized(keys.clone()));
                assert_eq!(sorted, naive(keys), "{count} keys on {workers} workers");
            }
        }
    }

    /// A key that cannot be compared with 0.
    #[derive(PartialEq, Eq, Clone, Copy)]
    struct Fragile(u64);

    impl PartialOrd for Fragile {
        fn partial_cmp(&self, other: &Fragile) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Fragile {
        fn cmp(&self, other: &Fragile) -> Ordering {
            assert!(self.0 != 0 && other.0 != 0, "0 cannot be compared");
            self.0.cmp(&other.0)
        }
    }

    #[test]
    fn a_comparison_that_panics_ends_the_sort_and_leaves_the_pool_in_order() {
        let pool = pool(4).unwrap();
        for side in [naive, optimized, rayon] {
            for place in [0, 10_000, 19_999] {
                let mut keys: Vec<Fragile> = (1..=20_000).rev().map(Fragile).collect();
                keys[place] = Fragile(0);
                let sort = || pool.install(|| side(keys));
                assert!(catch_unwind(AssertUnwindSafe(sort)).is_err());
            }
            assert_eq!(pool.install(|| side(vec![Fragile(2), Fragile(1)])).len(), 2);
        }
    }
}
