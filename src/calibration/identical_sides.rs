//! Two identical sides, whose gain must come out as 1.00×.

use std::{hint::black_box, sync::Arc};

use worthit_pair::prelude::*;

const STEPS: Cause = Cause::new("steps", "steps").counted("with a closure that counts");

pub const PAIR: Pair = Pair {
    title: "Compare a function with itself",
    review: Review {
        smell: "A method of comparing two builds or two functions that was never tried on equal ones.",
        remedy: "First run it on two copies of one function (a null comparison): differences as small as those it \
                 finds there are noise.",
        keep_naive_when: "Always: there is nothing to gain.",
        costs: "Nothing.",
        lint: None,
    },
    naive: Side { summary: "a chain of multiplications", growth: Growth::Linear },
    optimized: Side { summary: "a copy of it", growth: Growth::Linear },
    input: "Only the number of steps. Each step of the chain needs the result of the one before and no data in \
            memory, so neither caches nor branches can tell the sides apart.",
    axis: Axis {
        name: "steps",
        unit: "steps",
        is_size: true,
        points: Points::Fixed { default: &[100, 10_000, 1_000_000], deep: &[] },
    },
    unit: "step",
    causes: &[Claim {
        cause: STEPS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point),
    }],
    explanation: "Equal work takes equal time: whatever else the table shows is measurement error.",
    limit: Limit::None(
        "the chain waits for its own multiplications; it does not measure the machine",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Each step needs the one before, so that neither code layout nor memory matters much. The two sides differ
/// only in `COPY`, which keeps the compiler from merging them.
#[inline(always)]
fn chain<const COPY: u8>(steps: &u64, mut count: impl FnMut()) -> u64 {
    black_box(COPY);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..*steps {
        count();
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(17);
    }
    state
}

#[inline(never)]
fn naive(steps: &u64) -> u64 {
    chain::<0>(steps, || ())
}

#[inline(never)]
fn optimized(steps: &u64) -> u64 {
    chain::<1>(steps, || ())
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let steps = Arc::new(case.point);
    let trial = Trial::new(*steps, by_ref(&steps, naive), by_ref(&steps, optimized));
    Ok(trial.units(*steps).counting(move |role, counts| {
        let mut count = 0;
        match role {
            Role::Naive => chain::<0>(&steps, || count += 1),
            _ => chain::<1>(&steps, || count += 1),
        };
        counts.set(STEPS, count);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(naive(&0), 0x9e37_79b9_7f4a_7c15);
        let once = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(17);
        assert_eq!((naive(&1), optimized(&1)), (once, once));
    }

    #[test]
    fn trap_the_sides_are_two_functions() {
        let sides: [fn(&u64) -> u64; 2] = [naive, optimized];
        assert_ne!(sides[0] as usize, sides[1] as usize);
    }
}
