//! Remove duplicates, keeping first occurrences: look items up in a hash set of those seen, do not scan them.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use foldhash::fast::FixedState;
use rand::{RngExt, seq::SliceRandom};

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Remember what was seen in a hash set",
    review: Review {
        smell: "`if !seen.contains(&x) { seen.push(x) }` in a loop, where `seen` is a `Vec`.",
        remedy: "`let mut seen = HashSet::with_capacity(items.len()); items.retain(|x| seen.insert(*x))`; \
                 if the order does not matter, `sort_unstable` and `dedup` need no set at all.",
        keep_naive_when: "There are at most a few dozen *distinct* values, however long the input: \
                          a scan of two cache lines costs less than a hash.",
        costs: "A table of up to twice the distinct values. The timed set uses foldhash with a fixed seed, so that \
                counts repeat; where untrusted clients choose the keys, use a randomly seeded hasher.",
        lint: None,
    },
    naive: Side { summary: "scan a Vec of what was seen", growth: Growth::Quadratic },
    optimized: Side { summary: "insert into a hash set", growth: Growth::Linear },
    input: "Random 64-bit integers in shuffled order. Nine in ten are distinct and the others repeat one of \
            those, so the naive scan grows with the input.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[8, 64, 512, 4_096, 8_192], deep: &[65_536] },
    },
    unit: "item",
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // Nine in ten items are new and are compared with all before them.
        naive: Count::AtLeast(|case| case.point * case.point / 4),
        // Full hashes are compared first; only equal ones lead to a comparison of items.
        optimized: Count::AtMost(|case| case.point),
    }],
    explanation: "A scan makes about n²/2 comparisons of items, a hash set about one for each duplicate. A \
                  comparison in a scan is vectorised and costs a fraction of a hash, so the gain is only about a \
                  tenth to a hundredth of the ratio of comparisons.",
    limit: Limit::Hashes(|case| case.point),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// The first occurrences, in order.
fn naive<T: Copy + Eq>(items: Vec<T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// The first occurrences, in order.
fn optimized<T: Copy + Eq + Hash>(mut items: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::with_capacity_and_hasher(items.len(), FixedState::default());
    items.retain(|item| seen.insert(*item));
    items
}

/// Nine in ten items are distinct and the others repeat one of them, like a feed with some repeats. (With few
/// distinct values the naive scan would be short and the sweep misleading.)
fn input(case: &Case) -> Vec<u64> {
    let count = case.point as usize;
    let mut items = case.values(count);
    if case.shape == Shape::Realistic {
        let mut rng = case.rng("repeats");
        let distinct = count - count / 10;
        for i in distinct..count {
            items[i] = items[rng.random_range(0..distinct)];
        }
        items.shuffle(&mut rng);
    }
    items
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let items = Arc::new(input(case));
    let counted: Vec<_> = items.iter().copied().map(Counted).collect();
    let trial =
        Trial::new(items.len() as u64, by_value(&items, naive), by_value(&items, optimized));
    Ok(trial.units(items.len() as u64).counting(move |role, counts| {
        let items = counted.clone();
        let comparisons = causes::comparisons_during(|| match role {
            Role::Naive => naive(items),
            _ => optimized(items),
        });
        counts.set(causes::COMPARISONS, comparisons);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for dedup in [naive, optimized] {
            assert_eq!(dedup(vec![3_u64, 1, 3, 2, 1, 3]), [3, 1, 2]);
            assert!(dedup(vec![]).is_empty());
            assert_eq!(dedup(vec![7; 100]), [7]);
        }
    }

    #[test]
    fn trap_the_scan_is_not_shortened_by_few_distinct_values() {
        for point in [512, 4_096] {
            let distinct = optimized(input(&Case::realistic(point, 0, 1))).len() as u64;
            assert_eq!(distinct, point - point / 10);
        }
    }
}
