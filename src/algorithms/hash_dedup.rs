//! Remove duplicates, keeping first occurrences: look items up in a hash set of those seen, do not scan them.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash, RandomState},
};

use rand::{RngExt, seq::SliceRandom};

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Remember what was seen in a hash set",
    review: Review {
        smell: "`if !seen.contains(&x) { seen.push(x) }` in a loop, where `seen` is a `Vec`.",
        remedy: "Make `seen` a `HashSet` with room for all items, and `items.retain(|item| seen.insert(*item))`.",
        keep_naive_when: "There are few *distinct* values, however long the input: a scan of some cache lines costs \
                          less than a hash. Or the order does not matter: then `sort_unstable` and `dedup` need no \
                          set.",
        costs: "A table of all distinct values, and room to spare. Std's hasher withstands clients who choose keys \
                that collide (HashDoS). Where no client chooses the keys, most of its time can be saved with a \
                quicker one, such as foldhash, the alternative.",
        lint: Lint::None,
    },
    naive: Side { summary: "scan a Vec of what was seen", growth: Growth::Quadratic },
    optimized: Side { summary: "insert into std's HashSet", growth: Growth::Linear },
    input: "Random 64-bit integers in shuffled order. Nine in ten are distinct and the others repeat one of those, so \
            the naive scan grows with the input. Inputs alternate: a branch predictor that had learnt one would end \
            each scan for free.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[8, 50, 500, 2_000, 7_000], deep: &[60_000] },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 2_000 },
    alternatives: &[SideBeside {
        name: "foldhash",
        summary: "the same with the hasher foldhash::fast",
    }],
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // Nine in ten items are new and are compared with all before them.
        naive: Count::AtLeast(|case| case.point * case.point / 4),
        // A tag of each hash is compared first; only equal ones lead to a comparison of items.
        optimized: Count::AtMost(|case| case.point),
    }],
    explanation: Explanation {
        why: "A scan makes about n²/2 comparisons of items, a hash set about one for each duplicate. A comparison in a \
              scan is vectorised and costs a small fraction of a hash, so the gain is far below the ratio of \
              comparisons; but the scan grows with the items and the hash does not.",
        share_of_cause: ShareOfCause::Within(0.0005, 0.02),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(50),
    },
    traps: &[
        &Trap {
            name: "few values are distinct",
            reason: "the scan would stay short, however long the input",
            check: |inputs: &[Vec<u64>]| {
                let distinct = |items: &Vec<u64>| items.iter().collect::<HashSet<_>>().len();
                let short = inputs.iter().find(|items| distinct(items) * 10 < items.len() * 9);
                ensure(short.is_none(), || format!("{} distinct values", short.map_or(0, distinct)))
            },
            sprung: || vec![(0..3_000).map(|i| i % 100).collect()],
        },
        &Trap {
            name: "the branch predictor learns the items",
            reason: "it then knows where each scan ends, which is most of a short one's time",
            check: |inputs: &[Vec<u64>]| {
                let distinct: HashSet<&Vec<u64>> = inputs.iter().collect();
                let items: usize = distinct.iter().map(|items| items.len()).sum();
                ensure(items >= 16_384, || format!("{items} items before they repeat"))
            },
            sprung: || vec![input(&Case::realistic(50, 0, 1)); 1_000],
        },
    ],
    limit: Limit::Work(&[Work::Hashes(|case| case.point)]),
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

/// The first occurrences, in order. `S` is std's default when timed.
fn optimized<T: Copy + Eq + Hash, S: BuildHasher + Default>(mut items: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::with_capacity_and_hasher(items.len(), S::default());
    items.retain(|item| seen.insert(*item));
    items
}

/// Nine in ten items are distinct and the others repeat one of them, like a feed with some repeats.
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

/// The same with another hasher.
fn foldhash(items: Vec<u64>) -> Vec<u64> {
    optimized::<_, foldhash::fast::RandomState>(items)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    // Short scans end where a predictor must not have learnt it; long ones take long.
    let turns = (32_768 / case.point.max(1)).clamp(2, 4_096);
    let inputs = case.rotate(turns, input);
    let counted =
        inputs.map(|items| items.iter().copied().map(Counted).collect::<Vec<Counted<u64>>>());
    Ok(Trial::new(
        inputs.measured(|items| items.len() as u64),
        by_value(&inputs, naive)
            .counting(causes::COMPARISONS, noting(&counted, |items| naive(items.clone()))),
        by_value(&inputs, optimized::<_, RandomState>).counting(
            causes::COMPARISONS,
            noting(&counted, |items| optimized::<_, FixedSipHash>(items.clone())),
        ),
    )
    .alternative(by_value(&inputs, foldhash))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let optimized = optimized::<u64, RandomState>;
        for dedup in [naive, optimized] {
            assert_eq!(dedup(vec![3_u64, 1, 3, 2, 1, 3]), [3, 1, 2]);
            assert!(dedup(vec![]).is_empty());
            assert_eq!(dedup(vec![7; 100]), [7]);
        }
    }
}
