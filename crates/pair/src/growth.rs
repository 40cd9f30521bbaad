//! Claims of how the time of a side grows along the axis. The harness checks them against measured sweeps.

use std::fmt;

/// Expected growth of the time of one iteration, as a function of the axis value `n`. A fixed cost may come on top.
///
/// A test checks the claim against the committed references.
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
    /// The given growth up to the point where something else sets the pace, and what that is. It is printed as
    /// "O(n) until the array leaves the cache".
    Until(&'static Growth, &'static str),
    /// Not monotonic, or set by something other than the axis; describe it in words. It is not checked.
    Other(&'static str),
}

impl Growth {
    /// Returns the function of `n` that time is claimed to grow with; `None` if the claim is in words.
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
