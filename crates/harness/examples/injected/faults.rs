worthit_pair::family! {
    "faults": "Inject a fault";
    agrees,
    bounded,
    disagrees,
    panics,
    sweeps,
    unavailable,
    wrong_size,
}

use worthit_pair::{
    pair::{Axis, Case, Growth, Limit, Pair, Points, Proof, Resources, Review, Side, Unavailable},
    trial::Trial,
};

/// Returns a pair of which only `prepare` matters.
pub const fn injected(
    points: &'static [u64],
    prepare: fn(&Case) -> Result<Trial, Unavailable>,
) -> Pair {
    over(Points::Fixed { default: points, deep: &[] }, prepare)
}

/// Returns a pair over these points.
pub const fn over(points: Points, prepare: fn(&Case) -> Result<Trial, Unavailable>) -> Pair {
    Pair {
        title: "Inject a fault",
        review: Review {
            smell: "None.",
            remedy: "None.",
            keep_naive_when: "Always.",
            costs: "Nothing.",
            lint: None,
        },
        naive: Side { summary: "sum one by one", growth: Growth::Linear },
        optimized: Side { summary: "Gauss's formula", growth: Growth::Constant },
        axis: Axis { name: "n", unit: "", is_size: true, points },
        input: "The numbers from 1 to n.",
        unit: "sum",
        causes: &[],
        explanation: "None.",
        limit: Limit::None("injected"),
        proof: Proof { resources: Resources::Memory, max_size: 10 },
        prepare,
        ..Pair::DEFAULTS
    }
}
