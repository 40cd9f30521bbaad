//! The comparison of two results: their gains case by case, and the counts that differ.
//!
//! Two consecutive runs do not meet the same machine state, so this never says *regressed*; only [`crate::gate`] does,
//! because it interleaves. Results of different machine keys, or of an older kind of key, get no ratio and no verdict;
//! their counts are compared.

mod document;
mod words;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    machine::Relation,
    report,
    results::{CaseResult, Measured, PairResult, Run},
    statistics::Interval,
};
use worthit_pair::{case::CaseKey, trial::Role};

pub use document::SCHEMA;

/// Two results, compared.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    /// The earlier and the later result, in the order in which they were named.
    pub runs: [&'a Run; 2],
    /// How their machines relate. Only gains of the same machine are compared.
    pub machines: Relation,
    /// The pairs of either result, by id.
    pub pairs: Vec<PairComparison<'a>>,
}

/// A pair in two results.
#[derive(Clone, Debug)]
pub struct PairComparison<'a> {
    /// Its id.
    pub id: &'a str,
    /// What each result has of it.
    pub pairs: [Option<&'a PairResult>; 2],
    /// How its gains compare.
    pub change: Change,
    /// Why they cannot be compared.
    pub reason: Option<&'static str>,
    /// The cases of either result, in the order of the sweeps.
    pub cases: Vec<CaseComparison<'a>>,
}

/// How the gains of a pair compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The later interval lies above the earlier one at a case, and below it at none.
    Better,
    /// The later interval lies below the earlier one at a case.
    Worse,
    /// The intervals overlap at each case.
    CannotTell,
    /// No case is measured and unmarked in both results, or the machines differ.
    NotComparable,
}

/// A case in two results.
#[derive(Clone, Debug)]
pub struct CaseComparison<'a> {
    /// Its name.
    pub key: CaseKey,
    /// What each result has of it.
    pub cases: [Option<&'a CaseResult>; 2],
    /// Gain of the later result ÷ gain of the earlier one; `None` if either has no gain, or the machines differ.
    pub ratio: Option<f64>,
    /// Where the later interval lies; `None` if either gain is not measured, or the machines differ.
    pub intervals: Option<Intervals>,
    /// Whether the case counts for the pair: measured and unmarked in both results.
    pub decides: bool,
    /// Counts that differ. Counts are exact on any machine: the code, the input or the seed differs.
    pub changed_counts: Vec<ChangedCount>,
}

/// Where the later interval of a gain lies relative to the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Intervals {
    /// They have a value in common.
    Overlap,
    /// The later one lies wholly above.
    Above,
    /// The later one lies wholly below.
    Below,
}

/// A count that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedCount {
    /// The role of the side.
    pub role: Role,
    /// `naive`, `optimized`, or the name of the peer.
    pub side: String,
    /// Key of the count.
    pub cause: String,
    /// Count of the earlier result.
    pub before: u64,
    /// Count of the later result.
    pub after: u64,
}

impl<'a> Comparison<'a> {
    /// Compares two results: cases are matched by their keys.
    pub fn of(before: &'a Run, after: &'a Run) -> Comparison<'a> {
        let machines = before.machine.relation_to(&after.machine);
        let is_same_machine = machines == Relation::Same;
        let ids: BTreeSet<&str> =
            before.pairs.keys().chain(after.pairs.keys()).map(String::as_str).collect();
        let compare = |id: &'a str| {
            let pairs = [before.pairs.get(id), after.pairs.get(id)];
            let cases: Vec<_> = keys(id, pairs)
                .into_iter()
                .map(|key| compare_case(key, pairs, is_same_machine))
                .collect();
            let (change, reason) = match why_not_comparable(pairs, &cases, machines) {
                Some(reason) => (Change::NotComparable, Some(reason)),
                None => (judge(&cases), None),
            };
            PairComparison { id, pairs, change, reason, cases }
        };
        let pairs = ids.into_iter().map(compare).collect();
        Comparison { runs: [before, after], machines, pairs }
    }

    /// Returns whether both results are of the same machine.
    pub fn is_same_machine(&self) -> bool {
        self.machines == Relation::Same
    }

    /// Returns the ids of the pairs whose gains compare like this.
    pub fn ids(&self, change: Change) -> Vec<&'a str> {
        self.pairs.iter().filter(|pair| pair.change == change).map(|pair| pair.id).collect()
    }

    /// Returns the ids of the pairs in which a count of any side differs.
    pub fn ids_with_changed_counts(&self) -> Vec<&'a str> {
        let differs = |case: &CaseComparison<'_>| !case.changed_counts.is_empty();
        let pairs = self.pairs.iter().filter(|pair| pair.cases.iter().any(differs));
        pairs.map(|pair| pair.id).collect()
    }

    /// Returns the cases in which a count of the optimized side rose, with these counts; empty if the seeds differ:
    /// other inputs may need more work.
    pub fn risen_counts(&self) -> Vec<(&CaseKey, &ChangedCount)> {
        if self.runs[0].seed != self.runs[1].seed {
            return Vec::new();
        }
        let cases = self.pairs.iter().flat_map(|pair| &pair.cases);
        let counts =
            cases.flat_map(|case| case.changed_counts.iter().map(move |count| (&case.key, count)));
        counts
            .filter(|(_, count)| count.role == Role::Optimized && count.after > count.before)
            .collect()
    }

    /// Returns whether any case is in both results.
    pub fn has_common_case(&self) -> bool {
        let mut cases = self.pairs.iter().flat_map(|pair| &pair.cases);
        cases.any(|case| case.cases.iter().all(Option::is_some))
    }

    /// Returns whether a pair is worse, or does more work on its optimized side.
    pub fn is_worse(&self) -> bool {
        !self.ids(Change::Worse).is_empty() || !self.risen_counts().is_empty()
    }

    /// Returns whether the gains of any pair could be compared.
    pub fn is_comparable(&self) -> bool {
        self.pairs.iter().any(|pair| pair.change != Change::NotComparable)
    }
}

/// Keys of all cases of either result, in the order of the sweeps.
fn keys(id: &str, pairs: [Option<&PairResult>; 2]) -> Vec<CaseKey> {
    let mut keys: Vec<CaseKey> = Vec::new();
    for sweep in pairs.into_iter().flatten().flat_map(|pair| &pair.sweeps) {
        for case in &sweep.cases {
            let (pair, level) = (id.to_owned(), sweep.level.clone());
            let key = CaseKey { pair, level, point: case.point };
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

fn compare_case<'a>(
    key: CaseKey,
    pairs: [Option<&'a PairResult>; 2],
    is_same_machine: bool,
) -> CaseComparison<'a> {
    let cases = pairs.map(|pair| pair?.case(&key.level, key.point));
    let measured = cases.map(|case| case.and_then(CaseResult::measured));
    let ratio = match cases.map(|case| case.and_then(report::gain)) {
        [Some(before), Some(after)] if is_same_machine => Some(after.estimate / before.estimate),
        _ => None,
    };
    let intervals = match measured {
        [Some(before), Some(after)] if is_same_machine => Some(place(&before.gain, &after.gain)),
        _ => None,
    };
    let is_unmarked = |found: Option<&Measured>| found.is_some_and(|found| found.mark.is_none());
    let decides = intervals.is_some() && measured.into_iter().all(is_unmarked);
    let changed_counts = match measured {
        [Some(before), Some(after)] => changed_counts(before, after),
        _ => Vec::new(),
    };
    CaseComparison { key, cases, ratio, intervals, decides, changed_counts }
}

fn place(before: &Interval, after: &Interval) -> Intervals {
    if after.low > before.high {
        Intervals::Above
    } else if after.high < before.low {
        Intervals::Below
    } else {
        Intervals::Overlap
    }
}

fn why_not_comparable(
    pairs: [Option<&PairResult>; 2],
    cases: &[CaseComparison<'_>],
    machines: Relation,
) -> Option<&'static str> {
    match pairs {
        [Some(_), None] => Some("only the first result has it"),
        [None, Some(_)] => Some("only the second result has it"),
        _ if machines == Relation::DifferentKeys => Some("the machine keys differ"),
        _ if machines == Relation::OlderKey => {
            Some("the machine key is of an older kind, which different machines share")
        }
        _ if !cases.iter().any(|case| case.decides) => {
            Some("no case is measured and unmarked in both results")
        }
        _ => None,
    }
}

fn judge(cases: &[CaseComparison<'_>]) -> Change {
    let any = |wanted| cases.iter().any(|case| case.decides && case.intervals == Some(wanted));
    if any(Intervals::Below) {
        Change::Worse
    } else if any(Intervals::Above) {
        Change::Better
    } else {
        Change::CannotTell
    }
}

/// Counts of the same side and cause that differ.
fn changed_counts(before: &Measured, after: &Measured) -> Vec<ChangedCount> {
    let mut changed = Vec::new();
    for role in before.sides.iter().map(|side| side.role) {
        let (Some(before), Some(after)) = (before.side(role), after.side(role)) else { continue };
        for (cause, count) in before.causes.iter() {
            let Some(now) = after.causes.get_by_id(cause).filter(|now| *now != count) else {
                continue;
            };
            let (side, cause) = (before.name.clone(), cause.to_owned());
            changed.push(ChangedCount { role, side, cause, before: count, after: now });
        }
    }
    changed
}

#[cfg(test)]
mod tests;
