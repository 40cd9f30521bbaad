//! A pair that cannot run here.

use worthit_pair::prelude::*;

pub const PAIR: Pair =
    super::injected(&[1], |_| Err(Unavailable("no <injected> server & on PATH".to_owned())));
