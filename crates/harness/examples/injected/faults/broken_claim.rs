//! A pair whose sides agree, and whose counts are not as it claims.

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        naive: Count::AtLeast(|case| case.point),
        optimized: Count::Exactly(|_| 0),
    }],
    ..super::injected(&[1_000], super::sums)
};
