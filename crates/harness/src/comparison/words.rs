//! A comparison in words: one line for people and scripts, and the cases behind it.

use std::fmt;

use super::{Change, Comparison, Intervals};
use crate::{machine::Relation, results::CaseResult};
use worthit_pair::format;

/// Prints the comparison on one line, which scripts may rely on:
///
/// ```text
/// comparison: B of N pairs better[, W worse (IDS)][, C cannot be told apart][, M not comparable (IDS)]
///     [; counts differ in P pairs (IDS)][; counts of the optimized side rose in R pairs (IDS)]
/// ```
///
/// `IDS` are ids between commas. Clauses that would say 0 are left out, except the first one. After 1, it says "pair". `N` is the number of
/// pairs in either result, and `N = B + W + C + M`. If the machine keys differ or are of an older kind, `M` is `N` and the keys stand in
/// the place of its `IDS`.
impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (better, all) = (self.ids(Change::Better).len(), self.pairs.len());
        write!(f, "comparison: {better} of {} better", pairs(all))?;
        for (change, words) in [
            (Change::Worse, "worse"),
            (Change::CannotTell, "cannot be told apart"),
            (Change::NotComparable, "not comparable"),
        ] {
            let ids = self.ids(change);
            if ids.is_empty() {
                continue;
            }
            write!(f, ", {} {words}", ids.len())?;
            match change {
                Change::CannotTell => {}
                Change::NotComparable if !self.is_same_machine() => {
                    let [before, after] = self.runs.map(|run| run.machine.key.as_str());
                    match self.machines {
                        Relation::OlderKey => {
                            let why =
                                "an older kind of machine key, which different machines share";
                            write!(f, " ({why}: {before})")?;
                        }
                        _ => write!(f, " (different machine keys: {before}, {after})")?,
                    }
                }
                _ => write!(f, " ({})", ids.join(", "))?,
            }
        }
        let mut risen: Vec<&str> =
            self.risen_counts().into_iter().map(|(key, _)| key.pair.as_str()).collect();
        risen.dedup();
        for (what, ids) in [
            ("counts differ", self.ids_with_changed_counts()),
            ("counts of the optimized side rose", risen),
        ] {
            if !ids.is_empty() {
                write!(f, "; {what} in {} ({})", pairs(ids.len()), ids.join(", "))?;
            }
        }
        Ok(())
    }
}

fn pairs(count: usize) -> String {
    format!("{count} {}", if count == 1 { "pair" } else { "pairs" })
}

impl Comparison<'_> {
    /// Returns a line for each case at which a pair is worse, and for each count of an optimized side that rose.
    pub fn worse_cases(&self) -> String {
        let mut text = String::new();
        for case in self.pairs.iter().flat_map(|pair| &pair.cases) {
            let measured = case.cases.map(|case| case.and_then(CaseResult::measured));
            if let [Some(before), Some(after)] = measured
                && case.decides
                && case.intervals == Some(Intervals::Below)
            {
                let [before, after] = [before, after].map(|found| found.gain.as_gain());
                text += &format!("worse: {}: gain {before} → {after}\n", case.key);
            }
        }
        for (key, count) in self.risen_counts() {
            let [before, after] = [count.before, count.after].map(format::count);
            text += &format!("count rose: {key}: {before} → {after} {}\n", count.cause);
        }
        text
    }
}
