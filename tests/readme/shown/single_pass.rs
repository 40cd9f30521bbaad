//! Sum while filtering, not after collecting.

use std::sync::Arc;

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Sum while filtering",
    review: Review {
        smell: "`collect()` into a `Vec` that is read once and dropped.",
        remedy: "One chain of iterators: `items.iter().filter(…).sum()`.",
        keep_naive_when: "The `Vec` is read more than once.",
        costs: "Nothing.",
        lint: None,
    },
    naive: Side { summary: "collect, then sum", growth: Growth::Linear },
    optimized: Side { summary: "sum the filtered iterator", growth: Growth::Linear },
    input: "Random integers, of which about half are even. How many pass the filter decides how much the naive \
            side stores.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[64, 1_024, 16_384], deep: &[] },
    },
    unit: "item",
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        naive: Count::AtLeast(|_| 1),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: "The naive side allocates, writes and reads the items that pass the filter.",
    limit: Limit::BytesStreamed(|case| case.point * 8),
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
    let items = Arc::new(case.values(case.point as usize));
    let (naive, optimized) = (|items: &Vec<u64>| naive(items), |items: &Vec<u64>| optimized(items));
    let trial = Trial::new(items.len() as u64, by_ref(&items, naive), by_ref(&items, optimized));
    Ok(trial.units(items.len() as u64))
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

    #[test]
    fn trap_half_of_the_items_pass() {
        let items = Case::realistic(1_024, 0, 42).values(1_024);
        let even = items.iter().filter(|item| *item % 2 == 0).count();
        assert!((400..624).contains(&even), "{even}");
    }
}
