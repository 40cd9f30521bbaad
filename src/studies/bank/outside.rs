//! The companies that are told of transfers, simulated: each answers after a stated delay.

use std::time::Duration;

use super::outbox;
use crate::fixtures::outside::Companies;
use worthit_pair::{pair::Unavailable, study::SimulatedWait};

/// The card network, as notices name it…
pub const CARD: &str = "card";
/// …and the mail provider.
pub const MAIL: &str = "mail";

/// What the transfer waits for, unless a worker does.
pub const WAITS: [SimulatedWait; 2] = [
    SimulatedWait { on: "the card network", ms: 800, only: "", until: &outbox::FIX },
    SimulatedWait { on: "the mail provider", ms: 400, only: "", until: &outbox::FIX },
];

/// Starts them. Their delays are `share` of those of [`WAITS`].
pub fn start(share: f64) -> Result<Companies, Unavailable> {
    Companies::start(&[CARD, MAIL], move |place, _| {
        Duration::from_millis(WAITS[place].ms).mul_f64(share)
    })
}
