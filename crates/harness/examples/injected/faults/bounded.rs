//! A pair whose limit is computed from a machine number.

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    limit: Limit::Work(&[Work::Hashes(|case| case.point)]),
    ..super::injected(&[1_000], super::sums)
};
