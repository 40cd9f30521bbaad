//! Distinct ids of a log, in any order: sort, then drop equal neighbours.

use std::sync::Arc;

use rand::RngExt;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Make ids unique by sorting",
    review: Review {
        smell: "`if !seen.contains(&id) { seen.push(id) }` in a loop, where nobody relies on the order.",
        remedy: "`ids.sort_unstable(); ids.dedup();`",
        keep_naive_when: "Only a handful of ids are distinct.",
        costs: "The order of first occurrence, which a scan with a hash set would keep.",
        lint: None,
    },
    naive: Side { summary: "scan a Vec of the ids seen so far", growth: Growth::Quadratic },
    optimized: Side { summary: "sort_unstable and dedup", growth: Growth::Linear },
    contract: Some(
        "The same ids in any order: the scan keeps the order of first occurrence, the sort returns them ascending.",
    ),
    input: "Random 64-bit ids in random order. Each occurs in two records on average, so the scan passes more \
            and more ids as the log grows.",
    axis: Axis {
        name: "records",
        unit: "records",
        is_size: true,
        points: Points::Fixed { default: &[8, 64, 512, 4_096], deep: &[16_384] },
    },
    unit: "record",
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // About half of the records bring a new id, which is compared with all ids seen before it.
        naive: Count::AtLeast(|case| case.point * case.point / 16),
        // n log₂ n for the sort plus n for the dedup.
        optimized: Count::AtMost(|case| 2 * case.point * u64::from(case.point.ilog2() + 1)),
    }],
    explanation: "A scan compares each id with a quarter to a half of the ids on average, a sort with log₂ n of \
                  them. The scan's comparisons are vectorised and cost a third of the sort's, so at the far end the \
                  gain is a third of the ratio of comparisons. In the middle of the sweep the two are close. With few \
                  ids the scan loses because its Vec has to grow.",
    limit: Limit::BytesStreamed(|case| 8 * case.point),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// The distinct ids, in the order of first occurrence.
fn naive<T: Copy + Ord>(ids: Vec<T>) -> Unordered<T> {
    let mut seen = Vec::new();
    for id in ids {
        if !seen.contains(&id) {
            seen.push(id);
        }
    }
    Unordered(seen)
}

/// The distinct ids, ascending.
fn optimized<T: Copy + Ord>(mut ids: Vec<T>) -> Unordered<T> {
    ids.sort_unstable();
    ids.dedup();
    Unordered(ids)
}

/// Each id occurs in two records on average, at random places in the log.
fn input(case: &Case) -> Vec<u64> {
    let count = case.point;
    if case.shape != Shape::Realistic {
        return case.values(count as usize);
    }
    let (distinct, mut rng) = (case.values((count / 2).max(1) as usize), case.rng("records"));
    (0..count).map(|_| distinct[rng.random_range(0..distinct.len())]).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let ids = Arc::new(input(case));
    let counted: Vec<_> = ids.iter().copied().map(Counted).collect();
    let trial = Trial::new(ids.len() as u64, by_value(&ids, naive), by_value(&ids, optimized));
    Ok(trial.units(ids.len() as u64).counting(move |role, counts| {
        let ids = counted.clone();
        let comparisons = causes::comparisons_during(|| match role {
            Role::Naive => naive(ids),
            _ => optimized(ids),
        });
        counts.set(causes::COMPARISONS, comparisons);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for distinct in [naive, optimized] {
            assert_eq!(distinct(vec![3_u64, 1, 3, 2, 1, 3]), Unordered(vec![1, 2, 3]));
            assert_eq!(distinct(vec![]), Unordered(vec![]));
            assert_eq!(distinct(vec![7; 100]), Unordered(vec![7]));
        }
    }

    #[test]
    fn trap_the_scan_is_not_shortened_by_few_distinct_ids() {
        for point in [512, 4_096] {
            let ids = input(&Case::realistic(point, 0, 1));
            assert!(!ids.is_sorted(), "sorting a sorted log is almost free");
            let distinct = optimized(ids).0.len() as u64;
            assert!((point / 3..point / 2).contains(&distinct), "{distinct} of {point}");
        }
    }
}
