//! Look up in a sorted slice: halve, do not walk.

use std::sync::Arc;

use rand::RngExt;

use crate::{
    causes::{self, Counted},
    pair::{
        Axis, Case, Claim, Count, Growth, Limit, Metric, Pair, Points, Proof, Resources, Review,
        Side, Unavailable,
    },
    trial::{Role, Trial, by_ref},
};

/// Lookups in one iteration, each of another key.
const LOOKUPS: u64 = 256;

pub const PAIR: Pair = Pair {
    title: "Search a sorted slice by halving",
    review: Review {
        smell: "`sorted.iter().position(|x| *x >= key)`, or `find` on a slice that is known to be sorted.",
        remedy: "`sorted.partition_point(|x| *x < key)` or `binary_search`.",
        keep_naive_when: "The slice has a few dozen elements: the scan is predictable, and the halving is not.",
        costs: "The slice must stay sorted; a forgotten sort gives wrong answers, not slow ones.",
        lint: None,
    },
    naive: Side { summary: "walk until an element is not less", growth: Growth::Linear },
    optimized: Side {
        summary: "partition_point",
        growth: Growth::Until(&Growth::Logarithmic, "the slice leaves the first cache"),
    },
    contract: None,
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[4, 16, 128, 2_048, 65_536], deep: &[4_194_304] },
    },
    parameter: None,
    unit: "lookup",
    peer: None,
    metric: Metric::Time,
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // Keys are uniform, so a walk ends half way; an eighth is far below chance.
        naive: Count::AtLeast(|case| LOOKUPS * case.point / 8),
        // ⌈log₂ n⌉ + 1
        optimized: Count::AtMost(|case| LOOKUPS * u64::from(case.point.ilog2() + 2)),
    }],
    explanation: "n/2 comparisons became log₂ n + 1. A halving's comparison depends on the one \
                  before and waits for memory, so it costs several of a walk's, which the processor \
                  overlaps: the gain is a tenth to a half of the ratio.",
    limit: Limit::RandomReads {
        reads: |case| LOOKUPS * u64::from(case.point.ilog2() + 1),
        within_bytes: |case| case.point * 8,
    },
    proof: Proof { resources: Resources::Memory, max_size: 500 },
    prepare,
};

struct Input<T> {
    /// Ascending.
    sorted: Vec<T>,
    /// In no order, about half of them present.
    keys: Vec<T>,
}

/// For each key the number of elements less than it.
fn naive<T: Ord>(input: &Input<T>) -> Vec<usize> {
    let rank = |key| input.sorted.iter().position(|x| x >= key).unwrap_or(input.sorted.len());
    input.keys.iter().map(rank).collect()
}

/// For each key the number of elements less than it.
fn optimized<T: Ord>(input: &Input<T>) -> Vec<usize> {
    input.keys.iter().map(|key| input.sorted.partition_point(|x| x < key)).collect()
}

fn input(case: &Case) -> Input<u64> {
    let mut sorted = case.values(case.point as usize);
    sorted.sort_unstable();
    let mut rng = case.rng("keys");
    let keys = (0..case.items(LOOKUPS))
        .map(|_| {
            // One in two is present; without elements none can be.
            if sorted.is_empty() || rng.random() {
                rng.random()
            } else {
                sorted[rng.random_range(0..sorted.len())]
            }
        })
        .collect();
    Input { sorted, keys }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let input = Arc::new(input(case));
    let counted = Input {
        sorted: input.sorted.iter().copied().map(Counted).collect(),
        keys: input.keys.iter().copied().map(Counted).collect(),
    };
    let trial =
        Trial::new(input.sorted.len() as u64, by_ref(&input, naive), by_ref(&input, optimized));
    Ok(trial.units(input.keys.len() as u64).counting(move |role, counts| {
        let comparisons = causes::comparisons_during(|| match role {
            Role::Naive => naive(&counted),
            _ => optimized(&counted),
        });
        counts.set(causes::COMPARISONS, comparisons);
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn known_answers() {
        let input = Input { sorted: vec![10, 20, 20, 30], keys: vec![5, 10, 20, 25, 30, 31] };
        assert_eq!(naive(&input), [0, 0, 1, 3, 3, 4]);
        assert_eq!(optimized(&input), [0, 0, 1, 3, 3, 4]);
        let nothing = Input { sorted: vec![], keys: vec![1] };
        assert_eq!((naive(&nothing), optimized(&nothing)), (vec![0], vec![0]));
    }

    #[test]
    fn trap_the_branch_predictor_cannot_learn_one_key() {
        let input = input(&Case::realistic(2_048, 0, 1));
        let distinct: HashSet<_> = input.keys.iter().collect();
        assert!(distinct.len() as u64 > LOOKUPS * 3 / 4, "{} distinct keys", distinct.len());
        assert!(!input.keys.is_sorted());
    }
}
