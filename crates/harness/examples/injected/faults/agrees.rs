//! A pair without a fault.

use worthit_pair::prelude::*;

pub const PAIR: Pair = super::injected(&[1_000, 10_000], super::sums);
