//! It cannot run here.

use worthit::pair::{Pair, Unavailable};

pub const PAIR: Pair =
    super::planted(&[1], |_| Err(Unavailable("no <planted> server & on PATH".to_owned())));
