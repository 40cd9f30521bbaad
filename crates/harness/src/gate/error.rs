//! Error of the gate.

use super::{
    budgets::BudgetsError, counts::CountError, pairing::UnknownPair, revision::RevisionError,
};
use crate::run;

/// Reason why the gate cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A revision cannot be exported or built.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// Causes cannot be counted.
    #[error(transparent)]
    Count(#[from] CountError),
    /// A requested pair does not exist.
    #[error(transparent)]
    UnknownPair(#[from] UnknownPair),
    /// The budgets file cannot be used.
    #[error(transparent)]
    Budgets(#[from] BudgetsError),
    /// Another run is measuring, or the home folder cannot be used.
    #[error(transparent)]
    Turn(#[from] run::JoinError),
    /// No bench binary of a build speaks this version of the gate's protocol.
    #[error(
        "no bench of {name} can be compared: {problem}. \
         If it uses an older worthit, compare with a revision that uses this version"
    )]
    Protocol {
        /// Name of the revision.
        name: String,
        /// Error of the first bench binary.
        problem: String,
    },
}
