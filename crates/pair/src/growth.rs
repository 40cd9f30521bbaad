//! How a pair claims that the time of a side grows. The harness holds the claim against the sweeps.

use std::fmt;

/// Expected growth of the time of one iteration along the axis, in the axis value `n`, beside a fixed
/// cost; a test holds it against the committed references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// O(1)
    Constant,
    /// O(log n)
    Logarithmic,
    /// O(n)
    Linear,
    /// O(n²)
    Quadratic,
    /// As this, up to where something else sets the pace; what.
    Until(&'static Growth, &'static str),
    /// Not monotonic, or set by something other than the axis.
    Other(&'static str),
}

impl Growth {
    /// What time is claimed to grow with, at `n`; `None` if the claim is in words.
    pub fn at(&self, n: f64) -> Option<f64> {
        match self {
            Growth::Constant => Some(0.0),
            Growth::Logarithmic => Some((n + 1.0).log2()),
            Growth::Linear => Some(n),
            Growth::Quadratic => Some(n * n),
            Growth::Until(claim, _) => claim.at(n),
            Growth::Other(_) => None,
        }
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Growth::Constant => write!(f, "O(1)"),
            Growth::Logarithmic => write!(f, "O(log n)"),
            Growth::Linear => write!(f, "O(n)"),
            Growth::Quadratic => write!(f, "O(n²)"),
            Growth::Until(claim, reason) => write!(f, "{claim} until {reason}"),
            Growth::Other(words) => write!(f, "{words}"),
        }
    }
}
