//! Settings of a gate run.

use std::{path::PathBuf, time::Duration};

use super::{decision::Rule, verdict::Tolerances};

/// Settings of a gate run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base revision, with which the working tree is compared.
    pub against: String,
    /// Ids of the pairs to judge; all pairs if empty.
    pub ids: Vec<String>,
    /// Time limit for timing.
    pub time_limit: Duration,
    /// Growth of time above which a regression is relevant.
    pub relevant: f64,
    /// Maximum probability of a false alarm in a whole run without any change.
    pub false_alarms: f64,
    /// Tolerated growth of counts.
    pub tolerances: Tolerances,
    /// Whether to skip pairs that depend on nothing that has changed.
    pub skip: bool,
    /// Seed of all inputs.
    pub seed: u64,
    /// Budgets file; by default the one beside the package's manifest, if there is one.
    pub budgets: Option<PathBuf>,
    /// Additional arguments for `cargo build`.
    pub cargo_arguments: Vec<String>,
}

impl Settings {
    /// Returns the definition of a regression of time in a run with this many comparisons.
    pub fn rule(&self, comparisons: usize) -> Rule {
        Rule { relevant: self.relevant, false_alarms: self.false_alarms, comparisons }
    }
}
