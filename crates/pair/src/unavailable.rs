//! The reason why something cannot run, or cannot be measured, on this machine.

/// The reason why a case cannot run on this machine, and how to fix that. The report shows it as a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);
