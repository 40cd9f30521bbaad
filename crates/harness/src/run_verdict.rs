//! The verdict of a run: which of its pairs win, lose, cannot be told or are not measured, as one line and as JSON.
//!
//! It says what one run found on one machine. Whether a *change* made a pair worse is for [`crate::gate`].

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    calibration, report,
    results::{CaseResult, Measured, Outcome, PairResult, Run, RunIdentity},
    statistics::Interval,
    study::Whole,
};
use worthit_pair::family::{Entry, Family};

/// JSON Schema of [`RunVerdict::json`].
pub const SCHEMA: &str = include_str!("run_verdict/run_verdict.schema.json");
/// Version of the document: raised when a reader of the old one would misread it.
pub const VERSION: u64 = 1;

/// What the gain of a pair says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its interval lies above 1.
    Wins,
    /// Its interval lies below 1.
    Loses,
    /// Its interval contains 1, or other work disturbed the case at which the pair would have spoken.
    CannotTell,
    /// There is none.
    NotMeasured,
}

/// The verdict on a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairVerdict {
    /// Its id.
    pub pair: String,
    /// What its gain says.
    pub verdict: Standing,
    /// The case that speaks for it; `None` if it is not measured.
    pub case: Option<SpeakingCase>,
    /// Why it is not measured, or which mark its headline has.
    pub reason: Option<String>,
}

/// The case that speaks for a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpeakingCase {
    /// Its level; empty if the pair has no parameter.
    pub level: String,
    /// Its value on the axis.
    pub point: u64,
    /// Its gain; three equal values if it is computed.
    pub gain: Interval,
    /// Whether the gain is computed from a measured case and counted round trips.
    pub is_computed: bool,
}

/// The verdict of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunVerdict<'a> {
    /// The run.
    pub run: &'a Run,
    /// The pairs in the run: those of the catalogue in its order, then the others.
    pub pairs: Vec<PairVerdict>,
    /// How many pairs of the catalogue are not in the run: they were not asked for, or the run ended first.
    pub not_in_run: usize,
}

impl RunVerdict<'_> {
    /// Judges each pair of `run` by its headline, which the gate judges too. If that was not measured, the last case of its
    /// sweeps that has a gain speaks. If it is marked, the pair cannot be told: that other case may be one where the card
    /// says to keep the naive side. Pairs that measure the suite itself are left out.
    pub fn of<'a>(run: &'a Run, families: &[&Family]) -> RunVerdict<'a> {
        let is_technique = |entry: &&Entry| !calibration::is_instrument(entry.id);
        let catalogue: Vec<&Entry> =
            families.iter().flat_map(|family| family.pairs).filter(is_technique).collect();
        let known =
            catalogue.iter().filter_map(|entry| Some(judge(entry.id, run.pairs.get(entry.id)?)));
        let mut pairs: Vec<PairVerdict> = known.collect();
        let not_in_run = catalogue.len() - pairs.len();
        for (id, pair) in &run.pairs {
            let is_known = catalogue.iter().any(|entry| entry.id == id);
            if !is_known && !calibration::is_instrument(id) {
                pairs.push(judge(id, pair));
            }
        }
        RunVerdict { run, pairs, not_in_run }
    }

    /// Returns the ids of the pairs with this verdict.
    pub fn ids(&self, standing: Standing) -> Vec<&str> {
        let pairs = self.pairs.iter().filter(|pair| pair.verdict == standing);
        pairs.map(|pair| pair.pair.as_str()).collect()
    }

    /// Returns the verdict as a JSON document; its schema is [`SCHEMA`].
    pub fn json(&self) -> String {
        let count = |standing| self.ids(standing).len();
        let document = Document {
            schema: "worthit-verdict",
            version: VERSION,
            identity: self.run.identity(),
            counts: Counts {
                wins: count(Standing::Wins),
                loses: count(Standing::Loses),
                cannot_tell: count(Standing::CannotTell),
                not_measured: count(Standing::NotMeasured),
                not_in_run: self.not_in_run,
            },
            pairs: &self.pairs,
            studies: self
                .run
                .studies
                .iter()
                .filter(|(_, study)| !study.lacks_steps())
                .filter_map(|(id, study)| Some((id.as_str(), study.whole()?)))
                .collect(),
        };
        serde_json::to_string_pretty(&document).expect("every field has a JSON form") + "\n"
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    version: u64,
    #[serde(flatten)]
    identity: RunIdentity<'a>,
    counts: Counts,
    pairs: &'a [PairVerdict],
    /// What the fixes of each study bought together.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    studies: BTreeMap<&'a str, Whole>,
}

#[derive(Serialize)]
struct Counts {
    wins: usize,
    loses: usize,
    cannot_tell: usize,
    not_measured: usize,
    not_in_run: usize,
}

/// Prints the verdict on one line, which scripts may rely on:
///
/// ```text
/// verdict: W of N pairs win[, L lose (IDS)][, C cannot be told (IDS)][, M not measured (IDS)][, R not in this run]
/// ```
///
/// `IDS` are ids between commas. Clauses that would say 0 are left out, except the first one. Nouns and verbs are singular after
/// 1 ("1 loses"). `N` is the number of pairs in the run, and `N = W + L + C + M`; `R` counts the other pairs of the catalogue.
impl fmt::Display for RunVerdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = |count, one, several| if count == 1 { one } else { several };
        let wins = self.ids(Standing::Wins).len();
        let all = self.pairs.len();
        write!(
            f,
            "verdict: {wins} of {all} {} {}",
            verb(all, "pair", "pairs"),
            verb(wins, "wins", "win")
        )?;
        for (standing, one, several) in [
            (Standing::Loses, "loses", "lose"),
            (Standing::CannotTell, "cannot be told", "cannot be told"),
            (Standing::NotMeasured, "not measured", "not measured"),
        ] {
            let ids = self.ids(standing);
            if !ids.is_empty() {
                let count = ids.len();
                write!(f, ", {count} {} ({})", verb(count, one, several), ids.join(", "))?;
            }
        }
        match self.not_in_run {
            0 => Ok(()),
            count => write!(f, ", {count} not in this run"),
        }
    }
}

fn judge(id: &str, pair: &PairResult) -> PairVerdict {
    let speaking = report::headline_of_pair(pair)
        .and_then(|(sweep, case)| Some((&sweep.level, case, report::gain(case)?)));
    let case = speaking.map(|(level, case, gain)| SpeakingCase {
        level: level.clone(),
        point: case.point,
        gain,
        is_computed: matches!(case.outcome, Outcome::Computed(_)),
    });
    let mark = mark_of_headline(pair);
    let verdict = match &case {
        None => Standing::NotMeasured,
        Some(_) if mark.is_some() => Standing::CannotTell,
        Some(case) => standing(&case.gain),
    };
    PairVerdict {
        pair: id.to_owned(),
        verdict,
        reason: mark.or_else(|| case.is_none().then(|| why_not_measured(pair))),
        case,
    }
}

fn standing(gain: &Interval) -> Standing {
    if gain.low > 1.0 {
        Standing::Wins
    } else if gain.high < 1.0 {
        Standing::Loses
    } else {
        Standing::CannotTell
    }
}

/// The mark of the case that the pair chose to speak for it, if that is measured and has one.
fn mark_of_headline(pair: &PairResult) -> Option<String> {
    let place = pair.headline.as_ref()?;
    marked(pair.case(&place.level, place.point)?.measured()?)
}

fn marked(found: &Measured) -> Option<String> {
    found.mark.as_ref().map(|mark| format!("marked: {mark}"))
}

/// Returns why no case speaks for a pair: the reason at its headline, or at the last case that has one.
pub(crate) fn why_not_measured(pair: &PairResult) -> String {
    let reason = |case: &CaseResult| match &case.outcome {
        Outcome::Unavailable { .. } => case.outcome.reason().map(str::to_owned),
        Outcome::Measured(found) => marked(found),
        Outcome::Computed(_) => None,
    };
    let chosen = pair.headline.as_ref().and_then(|place| pair.case(&place.level, place.point));
    let cases = pair.sweeps.iter().rev().flat_map(|sweep| sweep.cases.iter().rev());
    let found = chosen.into_iter().chain(cases).find_map(reason);
    found.unwrap_or_else(|| "the run recorded no case of it".to_owned())
}

#[cfg(test)]
mod tests;
