//! Two identical sides, whose gain must come out as 1.00×.

use std::hint::black_box;

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
        lint: Lint::None,
    },
    naive: Side { summary: "a chain of multiplications", growth: Growth::Linear },
    optimized: Side { summary: "a copy of it", growth: Growth::Linear },
    input: "The number of steps, and where the chain starts. Each step needs the result of the one before and no data \
            in memory, so neither caches nor branches can tell the sides apart: this is the easy case.",
    axis: Axis {
        name: "steps",
        unit: "steps",
        is_size: true,
        points: Points::Fixed { default: &[100, 10_000, 1_000_000], deep: &[] },
    },
    unit: "step",
    headline: Headline::At { level: "", point: 10_000 },
    causes: &[Claim {
        cause: STEPS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point),
    }],
    explanation: Explanation {
        why: "Equal work takes equal time: whatever else the table shows is measurement error.",
        share_of_cause: ShareOfCause::Within(0.97, 1.03),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Everywhere,
    },
    traps: &[&Trap {
        name: "the chain is stuck",
        reason: "zero times anything is zero, and a processor or compiler may know that",
        check: |chains: &[Chain]| {
            let stuck = chains.iter().find(|chain| naive(chain) == chain.start);
            ensure(stuck.is_none(), || format!("{stuck:?} ends where it starts"))
        },
        sprung: || vec![Chain { start: 0, steps: 100 }],
    }],
    exempt: &[Exempt { from: Check::Claims, reason: "the sides are the same" }],
    limit: Limit::None(
        "the chain waits for its own multiplications; it does not measure the machine",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug)]
struct Chain {
    start: u64,
    steps: u64,
}

/// Each step needs the one before, so that neither code layout nor memory matters much. The two sides differ
/// only in `COPY`, which keeps the compiler from merging them.
#[inline(always)]
fn follow<const COPY: u8>(chain: &Chain, mut count: impl FnMut()) -> u64 {
    black_box(COPY);
    let mut state = chain.start;
    for _ in 0..chain.steps {
        count();
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(17);
    }
    state
}

#[inline(never)]
fn naive(chain: &Chain) -> u64 {
    follow::<0>(chain, || ())
}

#[inline(never)]
fn optimized(chain: &Chain) -> u64 {
    follow::<1>(chain, || ())
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let turns = 4.max(4_096_u64.div_ceil(case.point.max(1)));
    let inputs =
        case.rotate(turns, |case| Chain { start: case.values(1)[0] | 1, steps: case.point });
    let (counted, also) = (inputs.clone(), inputs.clone());
    let count_of = |side: &dyn Fn(&mut dyn FnMut()) -> u64| {
        let mut count = 0;
        side(&mut || count += 1);
        count
    };
    Ok(Trial::new(
        inputs.measured(|chain| chain.steps),
        by_ref(&inputs, naive)
            .counting(STEPS, move |i| count_of(&|count| follow::<0>(&counted[i], count))),
        by_ref(&inputs, optimized)
            .counting(STEPS, move |i| count_of(&|count| follow::<1>(&also[i], count))),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(naive(&Chain { start: 7, steps: 0 }), 7);
        let once = 7_u64.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(17);
        let chain = Chain { start: 7, steps: 1 };
        assert_eq!((naive(&chain), optimized(&chain)), (once, once));
    }

    #[test]
    fn trap_the_sides_are_two_functions() {
        let sides: [fn(&Chain) -> u64; 2] = [naive, optimized];
        assert_ne!(sides[0] as usize, sides[1] as usize);
    }
}
