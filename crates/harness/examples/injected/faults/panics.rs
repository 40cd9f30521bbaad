//! A pair whose preparation panics, as if a server had died.

use worthit_pair::prelude::*;

pub const PAIR: Pair = super::injected(&[1], |_| panic!("the injected server died"));
