//! Why something cannot run or be measured here.

/// Why a case cannot run here; it becomes a row of the report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);
