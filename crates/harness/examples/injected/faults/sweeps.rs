//! A pair without a fault whose sweep has points that a quick run leaves out and points that only a deep run has.

use worthit_pair::prelude::*;

pub const PAIR: Pair =
    super::over(Points::Fixed { default: &[100, 200, 300, 400, 500], deep: &[600] }, super::sums);
