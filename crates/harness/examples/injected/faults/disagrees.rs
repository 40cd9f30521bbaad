//! A pair whose sides disagree.

use worthit_pair::prelude::*;

pub const PAIR: Pair = super::injected(&[1_000], |case| {
    let inputs = Inputs::one(case.point);
    Ok(Trial::new(
        inputs.measured(|n| *n),
        by_ref(&inputs, |n| (1..=*n).sum::<u64>()),
        by_ref(&inputs, |n| n * n / 2),
    ))
});
