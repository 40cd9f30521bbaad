//! Preparing it panics, as with a server that died.

use worthit_pair::prelude::*;

pub const PAIR: Pair = super::injected(&[1], |_| panic!("the injected server died"));
