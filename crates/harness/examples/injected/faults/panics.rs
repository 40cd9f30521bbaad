//! Preparing it panics, as with a server that died.

use worthit_pair::prelude::*;

pub const PAIR: Pair = super::planted(&[1], |_| panic!("the planted server died"));
