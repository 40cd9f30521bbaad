//! What the harness adds to an iteration.

use std::sync::Arc;

use crate::{
    causes,
    pair::{
        Axis, Case, Claim, Count, Growth, Limit, Metric, Pair, Points, Proof, Resources, Review,
        Side, Unavailable,
    },
    trial::{Trial, bare_loop, by_ref},
};

pub const PAIR: Pair = Pair {
    title: "Time x + 1 through the harness",
    review: Review {
        smell: "A harness that calls the measured code through a pointer, or reads the clock, each iteration.",
        remedy: "Erase types per batch: the loop over iterations calls the side directly.",
        keep_naive_when: "Iterations last a microsecond or more.",
        costs: "One copy of the loop for each side, in code size.",
        lint: None,
    },
    naive: Side { summary: "a bare loop between two clock reads", growth: Growth::Constant },
    optimized: Side { summary: "the same through a trial", growth: Growth::Constant },
    axis: Axis {
        name: "x",
        unit: "",
        is_size: true,
        points: Points::Fixed { default: &[1], deep: &[] },
    },
    parameter: None,
    unit: "iteration",
    peer: None,
    metric: Metric::Time,
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        naive: Count::Exactly(|_| 0),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: "The difference of the two times is what the harness adds to each iteration.",
    limit: Limit::None("it measures the harness, not the machine"),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
};

fn optimized(x: &u64) -> u64 {
    x.wrapping_add(1)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let x = Arc::new(case.point);
    Ok(Trial::new(*x, bare_loop(&x), by_ref(&x, optimized)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(optimized(&1), 2);
        assert_eq!(optimized(&u64::MAX), 0);
    }
}
