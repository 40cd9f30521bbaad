//! A pair without a fault that has two levels, and an alternative beside its sides.

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    parameter: Some(Parameter {
        name: "repetition",
        levels: Levels::Fixed(&[
            Level { label: "first", value: 1, origin: Origin::Measured },
            Level { label: "second", value: 2, origin: Origin::Measured },
        ]),
    }),
    headline: Headline::At { level: "second", point: 200 },
    alternatives: &[SideBeside { name: "sum", summary: "sum by the iterator" }],
    ..super::over(Points::Fixed { default: &[100, 200, 300], deep: &[] }, prepare)
};

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = Inputs::one(case.point);
    Ok(super::sums(case)?.alternative(by_ref(&inputs, |n| (1..=*n).sum::<u64>())))
}
