//! Report of a gate run: a case per pair, notes, and the overall verdict.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    decision::Rule,
    protocol::GateCase,
    verdict::{Breach, CountChange, Time, Tolerances, Verdict, judge},
};

/// Report on a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The pair's headline in the head; in the base if the head lacks the pair.
    pub case: GateCase,
    /// Id of the pair in the base, if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// Outcome of the comparison.
    pub outcome: Outcome,
    /// Budgets that are not met.
    #[serde(default)]
    pub breaches: Vec<Breach>,
}

/// Outcome of comparing a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The pair was judged in both builds.
    Judged {
        /// Counts of both builds.
        counts: Vec<CountChange>,
        /// Time of the optimized side.
        time: Time,
    },
    /// The pair was neither counted nor timed, because nothing that it depends on has changed.
    Unaffected,
    /// The pair cannot be compared.
    NotComparable {
        /// Reason.
        reason: String,
    },
    /// Only one build has the pair.
    OnlyIn {
        /// Whether that build is the head.
        head: bool,
    },
    /// The pair cannot run here.
    Unavailable {
        /// Reason.
        reason: String,
    },
    /// The pair's sides disagree in the head, or the pair fails there.
    Broken {
        /// What is wrong.
        problem: String,
    },
}

impl CaseReport {
    /// Returns the verdict on the pair.
    pub fn verdict(&self) -> Verdict {
        let found = match &self.outcome {
            Outcome::Judged { counts, time } => judge(counts, time).verdict,
            Outcome::NotComparable { .. } => Verdict::Undecided,
            Outcome::Unaffected | Outcome::OnlyIn { .. } | Outcome::Unavailable { .. } => {
                Verdict::Unchanged
            }
            Outcome::Broken { .. } => Verdict::Regressed,
        };
        if self.breaches.is_empty() { found } else { Verdict::Regressed }
    }
}

/// Report of a gate run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Always `worthit-gate`.
    pub schema: String,
    /// Version of the schema.
    pub version: u64,
    /// Start of the run.
    pub when: Timestamp,
    /// Display name of the base.
    pub base: String,
    /// Display name of the head.
    pub head: String,
    /// Commit of the head, or the commit that a dirty head is based on.
    pub commit: String,
    /// Whether the head has uncommitted changes.
    pub dirty: bool,
    /// Machine key.
    pub machine: String,
    /// Version of the compiler.
    pub rustc: String,
    /// Definition of a regression of time.
    pub rule: Rule,
    /// Tolerated growth of counts.
    pub tolerances: Tolerances,
    /// Reports on the pairs.
    pub cases: Vec<CaseReport>,
    /// Notes for the reader: what was not counted, not built or left out.
    pub notes: Vec<String>,
    /// Result of the last self-test on this machine, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test: Option<String>,
    /// Duration of the run after the builds, s.
    pub seconds: f64,
}

/// Name of the schema of a [`GateReport`].
pub const SCHEMA: &str = "worthit-gate";
/// Version of the schema.
pub const SCHEMA_VERSION: u64 = 4;

impl GateReport {
    /// Returns the overall verdict, which is the worst of all pairs.
    pub fn verdict(&self) -> Verdict {
        self.cases.iter().map(CaseReport::verdict).max().unwrap_or(Verdict::Unchanged)
    }

    /// Returns the number of pairs with this verdict.
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
    fn a_breached_budget_or_the_worst_signal_is_the_verdict() {
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
        assert_eq!(report(vec![count("fsyncs", 2, 1)], missing()).verdict(), Verdict::Undecided);
        let breached = CaseReport {
            breaches: vec![Breach { what: "…".to_owned() }],
            ..report(vec![], skipped())
        };
        assert_eq!(breached.verdict(), Verdict::Regressed);
    }
}
