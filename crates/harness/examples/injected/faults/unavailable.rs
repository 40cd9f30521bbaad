//! It cannot run here.

use worthit_pair::prelude::*;

pub const PAIR: Pair =
    super::planted(&[1], |_| Err(Unavailable("no <planted> server & on PATH".to_owned())));
