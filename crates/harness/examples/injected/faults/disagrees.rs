//! A pair whose sides disagree.

use std::sync::Arc;

use worthit_pair::prelude::*;

pub const PAIR: Pair = super::injected(&[1_000], |case| {
    let n = Arc::new(case.point);
    Ok(Trial::new(*n, by_ref(&n, |n| (1..=*n).sum::<u64>()), by_ref(&n, |n| n * n / 2)))
});
