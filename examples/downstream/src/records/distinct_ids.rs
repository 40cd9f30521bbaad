//! Distinct ids of a log, in any order: sort, then drop equal neighbours.

use std::collections::HashSet;

use rand::RngExt;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Make ids unique by sorting",
    review: Review {
        smell: "`if !seen.contains(&id) { seen.push(id) }` in a loop, where nobody relies on the order.",
        remedy: "`ids.sort_unstable(); ids.dedup();`",
        keep_naive_when: "Only a handful of ids are distinct.",
        costs: "The order of first occurrence, which a scan with a hash set would keep.",
        lint: Lint::None,
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
        points: Points::Fixed { default: &[8, 64, 500, 4_000], deep: &[16_000] },
    },
    unit: "record",
    headline: Headline::At { level: "", point: 4_000 },
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // About half of the records bring a new id, which is compared with all ids seen before it.
        naive: Count::AtLeast(|case| case.point * case.point / 16),
        // n log₂ n for the sort plus n for the dedup.
        optimized: Count::AtMost(|case| 2 * case.point * u64::from(case.point.ilog2() + 1)),
    }],
    explanation: Explanation {
        why: "A scan compares each id with a growing share of the ids, a sort with the logarithm of their number. The \
              scan's comparisons are vectorised and cost less than the sort's, which end in branches that no predictor \
              knows. In the middle of the sweep the two are close. With few ids the scan loses because its Vec has to \
              grow.",
        share_of_cause: ShareOfCause::Within(0.1, 0.5),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "few distinct ids",
            reason: "the scan would end after a few comparisons",
            check: |inputs: &[Vec<u64>]| {
                let count = |ids: &Vec<u64>| ids.iter().collect::<HashSet<_>>().len();
                let distinct: usize = inputs.iter().map(count).sum();
                let records: usize = inputs.iter().map(Vec::len).sum();
                ensure(3 * distinct > records, || format!("{distinct} ids in {records} records"))
            },
            sprung: || vec![vec![1, 2, 1, 2, 1, 2, 1, 2]],
        },
        &Trap {
            name: "the records are sorted",
            reason: "sorting them again would cost nearly nothing",
            check: |inputs: &[Vec<u64>]| {
                let sorted = inputs.iter().filter(|ids| ids.is_sorted()).count();
                ensure(sorted * 2 <= inputs.len(), || {
                    format!("{sorted} of {} inputs", inputs.len())
                })
            },
            sprung: || vec![(0..64).collect()],
        },
    ],
    limit: Limit::Work(&[Work::BytesStreamed(|case| 8 * case.point)]),
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

/// Logs in the rotation: more ids than a branch predictor remembers.
fn turns(records: u64) -> u64 {
    if records <= 500 { 128 } else { 8 }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let counted = inputs.map(|ids| ids.iter().copied().map(Counted).collect::<Vec<_>>());
    let size = |ids: &Vec<u64>| ids.len() as u64;
    Ok(Trial::new(
        inputs.measured(size),
        by_value(&inputs, naive)
            .counting(causes::COMPARISONS, noting(&counted, |ids| naive(ids.clone()))),
        by_value(&inputs, optimized)
            .counting(causes::COMPARISONS, noting(&counted, |ids| optimized(ids.clone()))),
    )
    .units(size(&inputs[0])))
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
}
