//! The harness's overhead per iteration.

use std::sync::Arc;

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Time x + 1 through the harness",
    review: Review {
        smell: "A harness that calls the measured code through a pointer, or reads the clock, in each iteration.",
        remedy: "Erase types per batch: the loop over iterations calls the side directly.",
        keep_naive_when: "Iterations last a microsecond or more.",
        costs: "One copy of the loop for each side, in code size.",
        lint: None,
    },
    naive: Side { summary: "a bare loop between two clock reads", growth: Growth::Constant },
    optimized: Side { summary: "the same through a trial", growth: Growth::Constant },
    input: "One number, to which each copy of the function adds a constant: the least work that an iteration can \
            do, so that what the harness adds is visible.",
    axis: Axis {
        name: "x",
        unit: "",
        is_size: true,
        points: Points::Fixed { default: &[1], deep: &[] },
    },
    unit: "addition",
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        naive: Count::Exactly(|_| 0),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: "The difference between the two times is what the harness adds to each iteration. Both loops are \
                  the same seven instructions; any difference left comes from where the linker put them.",
    limit: Limit::None("it measures the harness, not the machine"),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Copies of each loop. A loop of seven instructions takes half again as long where it straddles two cache
/// lines, on either side; eight copies lie in eight places.
const COPIES: u64 = 8;

fn optimized<const K: u64>(x: &u64) -> u64 {
    x.wrapping_add(K)
}

/// The copies add different numbers, which keeps the compiler from merging them.
macro_rules! copies {
    ($($k:literal)*) => {
        fn bare(x: &Arc<u64>) -> Vec<Box<dyn Runner>> {
            vec![$(Box::new(bare_loop::<$k>(x))),*]
        }

        fn through_trial(x: &Arc<u64>) -> Vec<Box<dyn Runner>> {
            vec![$(Box::new(by_ref(x, optimized::<$k>))),*]
        }
    };
}

copies!(1 2 3 4 5 6 7 8);

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let x = Arc::new(case.point);
    let trial = Trial::new(*x, in_turn(bare(&x)), in_turn(through_trial(&x)));
    Ok(trial.units(COPIES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(optimized::<1>(&1), 2);
        assert_eq!(optimized::<2>(&u64::MAX), 1);
        let x = Arc::new(1);
        assert_eq!((bare(&x).len() as u64, through_trial(&x).len() as u64), (COPIES, COPIES));
    }
}
