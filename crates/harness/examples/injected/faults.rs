worthit_pair::family! {
    "faults": "Inject a fault";
    agrees,
    bounded,
    broken_claim,
    disagrees,
    levels,
    panics,
    sweeps,
    threads,
    unavailable,
    wrong_size,
}

use worthit_pair::prelude::*;

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
            lint: Lint::None,
        },
        naive: Side { summary: "sum one by one", growth: Growth::Linear },
        optimized: Side { summary: "Gauss's formula", growth: Growth::Constant },
        input: "The numbers from 1 to n.",
        unit: "sum",
        headline: Headline::At { level: "", point: first(&points) },
        axis: Axis { name: "n", unit: "", is_size: true, points },
        causes: &[],
        explanation: Explanation {
            why: "None.",
            share_of_cause: ShareOfCause::NoRatio("nothing is counted"),
            far_end: FarEnd::Rises,
            keep_naive: KeepNaive::Nowhere,
        },
        limit: Limit::None("injected"),
        proof: Proof { resources: Resources::Memory, max_size: 10 },
        prepare,
        ..Pair::DEFAULTS
    }
}

const fn first(points: &Points) -> u64 {
    match points {
        Points::Fixed { default, .. } => default[0],
        Points::Threads => 1,
    }
}

/// Returns a trial of the sum from 1 to n, which is right on both sides.
pub fn sums(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = Inputs::one(case.point);
    Ok(Trial::new(
        inputs.measured(|n| *n),
        by_ref(&inputs, |n| (1..=*n).map(std::hint::black_box).sum::<u64>()),
        by_ref(&inputs, |n| n * (n + 1) / 2),
    ))
}
