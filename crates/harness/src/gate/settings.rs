//! What the gate is asked for.

use std::time::Duration;

use super::{budgets::Budgets, decision::Rule, verdict::Tolerances};

/// What the gate is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Revision that the working tree is compared with.
    pub against: String,
    /// Pairs to judge, by their ids; all if there are none.
    pub ids: Vec<String>,
    /// Time to spend on timing.
    pub time_limit: Duration,
    /// Growth of time above which a regression is relevant.
    pub relevant: f64,
    /// Probability that a whole run without any change alarms, at most.
    pub false_alarms: f64,
    /// By how much counts may grow.
    pub tolerances: Tolerances,
    /// Whether pairs whose code and counts are the same are not timed.
    pub skip: bool,
    /// Seed of all inputs.
    pub seed: u64,
    /// What must hold whatever the base was.
    pub budgets: Option<Budgets>,
    /// What cargo is told besides when it builds.
    pub cargo_arguments: Vec<String>,
}

impl Settings {
    /// What counts as a regression of time where so many pairs are timed.
    pub fn rule(&self, comparisons: usize) -> Rule {
        Rule { relevant: self.relevant, false_alarms: self.false_alarms, comparisons }
    }
}
