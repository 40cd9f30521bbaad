//! What a pair asks of both sides under open-loop load, at its headline.

use std::time::Duration;

/// The loads that are sent to both sides of the headline case, and what they must hold.
#[derive(Clone, Copy, Debug)]
pub struct UnderLoad {
    /// The objective: the 99th percentile of latency, from the intended start, is at most this, and no request fails.
    pub p99: Duration,
    /// The rates at which loads are sent.
    pub rates: Rates,
}

/// At which rates loads are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rates {
    /// The highest rate that meets the objective is searched for: the capacity.
    Capacity,
    /// These, in requests a second: what a side could hold for longer is not the question.
    Stated(&'static [u64]),
}
