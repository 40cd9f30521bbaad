//! A comparison as JSON that follows the schema in `comparison.schema.json`.

use serde::Serialize;

use super::{CaseComparison, Change, ChangedCount, Comparison, Intervals, PairComparison};
use crate::{
    report,
    results::{CaseResult, Outcome, Run, RunIdentity},
    statistics::Interval,
};

/// JSON Schema of [`Comparison::json`].
pub const SCHEMA: &str = include_str!("comparison.schema.json");
/// Version of the document: raised when a reader of the old one would misread it.
const VERSION: u64 = 1;

impl Comparison<'_> {
    /// Returns the comparison as a JSON document; its schema is [`SCHEMA`].
    pub fn json(&self) -> String {
        let count = |change| self.ids(change).len();
        let [before, after] = self.runs.map(Run::identity);
        let document = Document {
            schema: "worthit-comparison",
            version: VERSION,
            before,
            after,
            same_machine: self.is_same_machine(),
            counts: Counts {
                better: count(Change::Better),
                worse: count(Change::Worse),
                cannot_tell: count(Change::CannotTell),
                not_comparable: count(Change::NotComparable),
                changed_counts: self.ids_with_changed_counts().len(),
                risen_counts: self.risen_counts().len(),
            },
            pairs: self.pairs.iter().map(PairDocument::of).collect(),
        };
        serde_json::to_string_pretty(&document).expect("every field has a JSON form") + "\n"
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    version: u64,
    before: RunIdentity<'a>,
    after: RunIdentity<'a>,
    same_machine: bool,
    counts: Counts,
    pairs: Vec<PairDocument<'a>>,
}

#[derive(Serialize)]
struct Counts {
    better: usize,
    worse: usize,
    cannot_tell: usize,
    not_comparable: usize,
    changed_counts: usize,
    risen_counts: usize,
}

#[derive(Serialize)]
struct PairDocument<'a> {
    pair: &'a str,
    change: Change,
    reason: Option<&'static str>,
    cases: Vec<CaseDocument<'a>>,
}

impl<'a> PairDocument<'a> {
    fn of(pair: &'a PairComparison<'a>) -> PairDocument<'a> {
        let cases = pair.cases.iter().map(CaseDocument::of).collect();
        PairDocument { pair: pair.id, change: pair.change, reason: pair.reason, cases }
    }
}

#[derive(Serialize)]
struct CaseDocument<'a> {
    level: &'a str,
    point: u64,
    before: Option<CaseOutcome<'a>>,
    after: Option<CaseOutcome<'a>>,
    ratio: Option<f64>,
    intervals: Option<Intervals>,
    decides: bool,
    changed_counts: &'a [ChangedCount],
}

impl<'a> CaseDocument<'a> {
    fn of(case: &'a CaseComparison<'a>) -> CaseDocument<'a> {
        let [before, after] = case.cases.map(|case| case.map(CaseOutcome::of));
        CaseDocument {
            level: &case.key.level,
            point: case.key.point,
            before,
            after,
            ratio: case.ratio,
            intervals: case.intervals,
            decides: case.decides,
            changed_counts: &case.changed_counts,
        }
    }
}

#[derive(Serialize)]
struct CaseOutcome<'a> {
    outcome: &'static str,
    gain: Option<Interval>,
    mark: Option<&'a str>,
    reason: Option<&'a str>,
}

impl CaseOutcome<'_> {
    fn of(case: &CaseResult) -> CaseOutcome<'_> {
        let (outcome, reason) = match &case.outcome {
            Outcome::Measured(_) => ("measured", None),
            Outcome::Computed(_) => ("computed", None),
            Outcome::Unavailable { reason } => ("unavailable", Some(reason.as_str())),
        };
        let mark = case.measured().and_then(|found| found.mark.as_deref());
        CaseOutcome { outcome, gain: report::gain(case), mark, reason }
    }
}
