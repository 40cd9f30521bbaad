//! What a gate reports: a case per pair, the notes, and the verdict on the whole.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    decision::Rule,
    protocol::GateCase,
    verdict::{Breach, CountChange, Time, Tolerances, Verdict},
};

/// What came of a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The pair's far end, as the head knows it (the base, if the head does not).
    pub case: GateCase,
    /// What the base calls the pair, if otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Budgets that do not hold.
    #[serde(default)]
    pub breaches: Vec<Breach>,
}

/// What came of a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Both builds have it, and it was judged.
    Judged {
        /// Counts of both builds.
        counts: Vec<CountChange>,
        /// Time of the optimized side.
        time: Time,
    },
    /// It cannot be compared.
    NotComparable {
        /// Why.
        reason: String,
    },
    /// In one build only.
    OnlyIn {
        /// Whether that is the head.
        head: bool,
    },
    /// It cannot run here.
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The head's sides do not agree, or it fails.
    Broken {
        /// What is wrong.
        problem: String,
    },
}

impl CaseReport {
    /// The verdict on the pair.
    pub fn verdict(&self) -> Verdict {
        let found = match &self.outcome {
            Outcome::Judged { counts, time } => {
                let counted = counts.iter().map(|count| count.verdict).max();
                counted.unwrap_or(Verdict::Unchanged).max(time.verdict())
            }
            Outcome::NotComparable { .. } => Verdict::Undecided,
            Outcome::OnlyIn { .. } | Outcome::Unavailable { .. } => Verdict::Unchanged,
            Outcome::Broken { .. } => Verdict::Regressed,
        };
        if self.breaches.is_empty() { found } else { Verdict::Regressed }
    }
}

/// What a gate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Always `worthit-gate`.
    pub schema: String,
    /// Version of the schema.
    pub version: u64,
    /// When it began.
    pub when: Timestamp,
    /// The base, as it is shown.
    pub base: String,
    /// The head, as it is shown.
    pub head: String,
    /// Commit that the head is, or is based on.
    pub commit: String,
    /// Whether the head has changes that are not committed.
    pub dirty: bool,
    /// Machine key.
    pub machine: String,
    /// Compiler.
    pub rustc: String,
    /// What counts as a regression of time.
    pub rule: Rule,
    /// By how much counts may grow.
    pub tolerances: Tolerances,
    /// One a pair.
    pub cases: Vec<CaseReport>,
    /// What the reader must know besides: what was not counted, left out, not built.
    pub notes: Vec<String>,
    /// What the last self-test on this machine found, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test: Option<String>,
    /// Duration after the builds, s.
    pub seconds: f64,
}

/// Name of the schema of a [`GateReport`].
pub const SCHEMA: &str = "worthit-gate";
/// Its version.
pub const SCHEMA_VERSION: u64 = 2;

impl GateReport {
    /// The verdict on the whole.
    pub fn verdict(&self) -> Verdict {
        self.cases.iter().map(CaseReport::verdict).max().unwrap_or(Verdict::Unchanged)
    }

    /// How many pairs have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|case| case.verdict() == verdict).count()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::verdict::tests::{case, count},
        *,
    };

    #[test]
    fn the_worst_signal_is_the_verdict() {
        let report = |counts: Vec<CountChange>, time| CaseReport {
            case: case("a/b", &[]),
            renamed_from: None,
            outcome: Outcome::Judged { counts, time },
            breaches: vec![],
        };
        let skipped = || Time::Skipped { reason: "identical".to_owned() };
        let missing = || Time::Missing { reason: "time limit".to_owned() };
        assert_eq!(report(vec![], skipped()).verdict(), Verdict::Unchanged);
        assert_eq!(report(vec![], missing()).verdict(), Verdict::Undecided);
        assert_eq!(report(vec![count("fsyncs", 1, 2)], missing()).verdict(), Verdict::Regressed);
        assert_eq!(report(vec![count("fsyncs", 2, 1)], skipped()).verdict(), Verdict::Improved);
        assert_eq!(report(vec![count("fsyncs", 2, 1)], missing()).verdict(), Verdict::Undecided);
        let breached = CaseReport {
            breaches: vec![Breach { what: "…".to_owned() }],
            ..report(vec![], skipped())
        };
        assert_eq!(breached.verdict(), Verdict::Regressed);
    }
}
