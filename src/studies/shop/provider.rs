//! The company that sends the shop's mail, simulated: it answers after a stated delay.

use std::time::Duration;

use crate::fixtures::outside::Companies;
use worthit_pair::{case::fnv1a, pair::Unavailable};

/// The provider, as notices name it.
pub const MAIL: &str = "mail";

/// The provider answers after a time between these, which depends on the order, ms.
pub const DELAY_MS: (u64, u64) = (100, 150);

/// Starts the provider. Its delays are `share` of the stated ones.
pub fn start(share: f64) -> Result<Companies, Unavailable> {
    let (least, most) = DELAY_MS;
    Companies::start(&[MAIL], move |_, order| {
        let delay = least + fnv1a(order.to_le_bytes().into_iter()) % (most - least + 1);
        Duration::from_millis(delay).mul_f64(share)
    })
}
