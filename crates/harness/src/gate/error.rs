//! Why the gate cannot judge.

use super::{
    budgets::BudgetsError, counts::CountError, pairing::UnknownPair, revision::RevisionError,
};
use crate::run;

/// Why the gate cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A revision cannot be had or built.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// Causes cannot be counted.
    #[error(transparent)]
    Count(#[from] CountError),
    /// A filter selects nothing.
    #[error(transparent)]
    UnknownPair(#[from] UnknownPair),
    /// The file of budgets cannot be used.
    #[error(transparent)]
    Budgets(#[from] BudgetsError),
    /// Another run is measuring, or the home folder cannot be used.
    #[error(transparent)]
    Turn(#[from] run::JoinError),
    /// No bench binary of a build serves a gate of this version.
    #[error(
        "no bench of {name} can be compared: {problem}. If it was built with an older worthit, compare with a revision that has this one"
    )]
    Protocol {
        /// The revision.
        name: String,
        /// What the first of them said.
        problem: String,
    },
}
