//! A pair without a fault whose sweep has points that a quick run leaves out and points that only a deep run has.

use std::sync::Arc;

use worthit_pair::prelude::*;

pub const PAIR: Pair =
    super::over(Points::Fixed { default: &[100, 200, 300, 400, 500], deep: &[600] }, |case| {
        let n = Arc::new(case.point);
        Ok(Trial::new(
            *n,
            by_ref(&n, |n| (1..=*n).map(std::hint::black_box).sum::<u64>()),
            by_ref(&n, |n| n * (n + 1) / 2),
        ))
    });
