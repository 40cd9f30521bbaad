//! A pair whose limit is computed from a machine number.

use std::sync::Arc;

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    limit: Limit::Hashes(|case| case.point),
    ..super::injected(&[1_000], |case| {
        let n = Arc::new(case.point);
        Ok(Trial::new(
            *n,
            by_ref(&n, |n| (1..=*n).map(std::hint::black_box).sum::<u64>()),
            by_ref(&n, |n| n * (n + 1) / 2),
        ))
    })
};
