//! Sum while filtering, not after collecting.

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Sum while filtering",
    review: Review {
        smell: "`collect()` into a `Vec` that is read once and dropped.",
        remedy: "One chain of iterators: `items.iter().copied().filter(…)`, then the sum.",
        keep_naive_when: "The `Vec` is read more than once.",
        costs: "Nothing.",
        lint: Lint::None,
    },
    naive: Side { summary: "collect, then sum", growth: Growth::Linear },
    optimized: Side { summary: "sum the filtered iterator", growth: Growth::Linear },
    input: "Random integers, of which about half are even. How many pass the filter decides how much the naive \
            side stores.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[100, 1_000, 10_000], deep: &[] },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 1_000 },
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        naive: Count::AtLeast(|_| 1),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "The naive side allocates, writes and reads the items that pass the filter.",
        share_of_cause: ShareOfCause::NoRatio("no allocation is left"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "nearly all items pass, or nearly none",
        reason: "a branch predictor would know, and the `Vec` would be full or empty",
        check: |inputs: &[Vec<u64>]| {
            let items = inputs.concat();
            let even = items.iter().filter(|item| **item % 2 == 0).count();
            let third = items.len() / 3;
            ensure((third..=2 * third).contains(&even), || format!("{even} of {}", items.len()))
        },
        sprung: || vec![vec![2; 64]],
    }],
    limit: Limit::Work(&[Work::BytesStreamed(|case| case.point * 8)]),
    prepare,
    ..Pair::DEFAULTS
};

fn naive(items: &[u64]) -> u64 {
    let even: Vec<u64> = items.iter().copied().filter(|item| item % 2 == 0).collect();
    even.into_iter().fold(0, u64::wrapping_add)
}

fn optimized(items: &[u64]) -> u64 {
    items.iter().copied().filter(|item| item % 2 == 0).fold(0, u64::wrapping_add)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    // Several inputs, so that a branch predictor does not learn which items pass.
    let inputs = case.rotate(256, |case| case.values(case.point as usize));
    let size = |items: &Vec<u64>| items.len() as u64;
    let trial = Trial::new(
        inputs.measured(size),
        by_ref(&inputs, |items| naive(items)),
        by_ref(&inputs, |items| optimized(items)),
    );
    Ok(trial.units(size(&inputs[0])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for sum in [naive, optimized] {
            assert_eq!(sum(&[]), 0);
            assert_eq!(sum(&[1, 2, 3, 4]), 6);
        }
    }
}
