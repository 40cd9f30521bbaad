//! Two identical sides that sort, branch and allocate, whose gain must come out as 1.00× too.

use std::hint::black_box;

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Compare a function that allocates with itself",
    review: Review {
        smell: "A method of comparing two builds or two functions that was tried only on a loop in registers.",
        remedy: "Try it on two copies of a function that sorts and allocates, too: where the linker put the code and \
                 what the heap looks like must not decide either.",
        keep_naive_when: "Always: there is nothing to gain.",
        costs: "Nothing.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "sort a copy, build a String an item",
        growth: Growth::Other("n log n, and an allocation an item"),
    },
    optimized: Side {
        summary: "a copy of that function",
        growth: Growth::Other("n log n, and an allocation an item"),
    },
    input: "Random 64-bit integers. Each side sorts a copy of them, with branches that cannot be predicted, and \
            builds a small `String` from each: the hard case, which depends on the layout of code and heap. Arrays \
            alternate.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[100, 2_000, 20_000], deep: &[] },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 2_000 },
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // A String for each item, the copy, and the Vec of Strings.
        naive: Count::Exactly(allocations),
        optimized: Count::Exactly(allocations),
    }],
    explanation: Explanation {
        why: "Equal work takes equal time. What else the table shows is where code and heap lie, which benchmark and \
              gate must not take for a gain.",
        share_of_cause: ShareOfCause::Within(0.95, 1.05),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Everywhere,
    },
    traps: &[&Trap {
        name: "the items are sorted",
        reason: "a sort that finds its input sorted takes neither time nor mispredicted branches",
        check: |inputs: &[Vec<u64>]| {
            ensure(!inputs.iter().any(|items| items.is_sorted()), || {
                "an input is sorted".to_owned()
            })
        },
        sprung: || vec![(0..100).collect()],
    }],
    exempt: &[Exempt { from: Check::Claims, reason: "the sides are the same" }],
    limit: Limit::None("it measures the harness, not the machine"),
    prepare,
    ..Pair::DEFAULTS
};

fn allocations(case: &Case) -> u64 {
    if case.point == 0 { 0 } else { case.point + 2 }
}

/// The two sides differ only in `COPY`, which keeps the compiler from merging them.
#[inline(always)]
fn labels<const COPY: u8>(items: &[u64]) -> Vec<String> {
    black_box(COPY);
    let mut sorted = items.to_vec();
    sorted.sort_unstable();
    sorted.iter().map(u64::to_string).collect()
}

#[inline(never)]
fn naive(items: &[u64]) -> Vec<String> {
    labels::<0>(items)
}

#[inline(never)]
fn optimized(items: &[u64]) -> Vec<String> {
    labels::<1>(items)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let turns = (40_000 / case.point.max(1)).clamp(4, 64);
    let inputs = case.rotate(turns, |case| case.values(case.point as usize));
    Ok(Trial::new(
        inputs.measured(|items| items.len() as u64),
        by_ref(&inputs, |items: &Vec<u64>| naive(items)),
        by_ref(&inputs, |items: &Vec<u64>| optimized(items)),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for side in [naive, optimized] {
            assert_eq!(side(&[30, 4, u64::MAX]), ["4", "30", "18446744073709551615"]);
            assert!(side(&[]).is_empty());
        }
    }

    #[test]
    fn trap_the_sides_are_two_functions() {
        type Sort = fn(&[u64]) -> Vec<String>;
        let sides: [Sort; 2] = [naive, optimized];
        assert_ne!(sides[0] as usize, sides[1] as usize);
    }
}
