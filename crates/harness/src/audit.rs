//! The audit: what every pair must pass, checked by machine, so that a pair cannot be honest in form and hollow in
//! substance.
//!
//! One file of `audit/` per kind of evidence. A check finds problems, or says why it could not look; it never decides
//! whether a problem is excused: only [`Pair::exempt`](worthit_pair::pair::Pair::exempt) does, with a reason. An exception
//! from a check that finds nothing is itself a problem.

mod claims;
mod explanation;
mod inputs;
mod limit;
pub mod lints;
mod peers;
mod prose;
mod remedy;
mod table;
mod technique;

use std::{borrow::Cow, cmp::Reverse, collections::BTreeSet};

use serde::{Deserialize, Serialize};

use crate::results::{Measured, PairResult, Run, Sweep};
use lints::Lints;
use worthit_pair::{
    audited::Check,
    causes::{self, NotCounting},
    family::Entry,
};

/// What the audit reads in addition to the pairs.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Seed of the timed inputs.
    pub seed: u64,
    /// Committed references of several machines.
    pub references: &'a [Run],
    /// What clippy reports; the text says why nothing is known.
    pub lints: Result<Lints, String>,
}

/// The audit of some pairs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Audit {
    /// The pairs, in the order of the catalogue.
    pub pairs: Vec<PairAudit>,
}

/// The audit of one pair.
#[derive(Debug, Serialize, Deserialize)]
pub struct PairAudit {
    /// Its id.
    pub pair: String,
    /// What each check found, in the order of [`Check::ALL`].
    pub checks: Vec<Checked>,
}

/// What one check found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Checked {
    /// Name of the check.
    pub check: Cow<'static, str>,
    /// What it found.
    #[serde(flatten)]
    pub standing: Standing,
}

/// What a check found in a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// Nothing is wrong.
    Passed,
    /// Something is wrong.
    Failed {
        /// What, each in a clause.
        problems: Vec<String>,
    },
    /// Something is wrong, or it could not look, and the pair says why that is right.
    Exempt {
        /// The pair's reason.
        reason: String,
        /// What is wrong, or why it could not look.
        problems: Vec<String>,
    },
    /// It could not look.
    NotChecked {
        /// Why, and what to do.
        why: String,
    },
}

/// What a check returns: its problems, or why it could not look.
type Findings = Result<Vec<String>, String>;

/// Audits `entries`.
///
/// # Errors
/// If this binary does not count causes.
pub fn audit(entries: &[&Entry], evidence: &Evidence<'_>) -> Result<Audit, NotCounting> {
    causes::require_counting()?;
    Ok(Audit { pairs: entries.iter().map(|entry| audit_pair(entry, evidence)).collect() })
}

fn audit_pair(entry: &Entry, evidence: &Evidence<'_>) -> PairAudit {
    let seen = inputs::Seen::of(entry, evidence.seed);
    let headlines = Headlines::of(entry, evidence.references);
    let checked = |check: Check| {
        let findings = match check {
            Check::Answers => seen.answers(),
            Check::Rotation => seen.rotation(),
            Check::Traps => seen.traps(),
            Check::Claims => claims::find(entry, evidence.seed),
            Check::Explanation => explanation::find(entry, &headlines),
            Check::Remedy => Ok(remedy::find(entry)),
            Check::Technique => technique::find(entry, &headlines),
            Check::Lint => lints::find(entry, &evidence.lints),
            Check::Limit => limit::find(entry, &headlines),
            Check::Peers => peers::find(entry, &headlines),
        };
        Checked { check: check.name().into(), standing: standing(entry, check, findings) }
    };
    PairAudit { pair: entry.id.to_owned(), checks: Check::ALL.into_iter().map(checked).collect() }
}

/// Says what the lint check finds in a pair, for an audit that was made without lints.
pub fn lint_of(entry: &Entry, lints: &Result<Lints, String>) -> Standing {
    standing(entry, Check::Lint, lints::find(entry, lints))
}

fn standing(entry: &Entry, check: Check, findings: Findings) -> Standing {
    let exempt = entry.exempt.iter().find(|exempt| exempt.from == check);
    match (findings, exempt) {
        (Err(why), None) => Standing::NotChecked { why },
        (Ok(problems), None) if problems.is_empty() => Standing::Passed,
        (Ok(problems), None) => Standing::Failed { problems },
        (Ok(problems), Some(_)) if problems.is_empty() => Standing::Failed {
            problems: vec![format!(
                "it is exempt, but passes: remove the exception from `{}`",
                check.name()
            )],
        },
        (Ok(problems), Some(exempt)) => {
            Standing::Exempt { reason: exempt.reason.to_owned(), problems }
        }
        (Err(why), Some(exempt)) => {
            Standing::Exempt { reason: exempt.reason.to_owned(), problems: vec![why] }
        }
    }
}

/// Returns how a run contradicts what a pair explains; nothing if the run has no usable case at the headline.
pub fn contradictions_of(entry: &Entry, run: &Run) -> Vec<String> {
    let headlines = Headlines::of(entry, std::slice::from_ref(run));
    let found = headlines.found.first();
    found.map_or(Vec::new(), |headline| explanation::contradictions(entry, *headline))
}

impl Audit {
    /// Returns whether no check failed.
    pub fn passes(&self) -> bool {
        self.standings().all(|(_, _, standing)| !matches!(standing, Standing::Failed { .. }))
    }

    /// Returns whether every check could look.
    pub fn is_whole(&self) -> bool {
        self.standings().all(|(_, _, standing)| !matches!(standing, Standing::NotChecked { .. }))
    }

    /// Returns every pair, check and standing.
    fn standings(&self) -> impl Iterator<Item = (&str, &str, &Standing)> {
        self.pairs.iter().flat_map(|pair| {
            let id = pair.pair.as_str();
            pair.checks.iter().map(move |checked| (id, &*checked.check, &checked.standing))
        })
    }
}

/// The case at a pair's headline in each reference that has it.
struct Headlines<'a> {
    found: Vec<AtHeadline<'a>>,
    /// Why the others say nothing.
    missing: Vec<String>,
}

/// A headline in one reference.
#[derive(Clone, Copy)]
struct AtHeadline<'a> {
    run: &'a Run,
    pair: &'a PairResult,
    sweep: &'a Sweep,
    measured: &'a Measured,
}

impl<'a> Headlines<'a> {
    fn of(entry: &Entry, references: &'a [Run]) -> Headlines<'a> {
        let mut headlines = Headlines { found: Vec::new(), missing: Vec::new() };
        for run in references {
            // On another machine, all cores are another number: the result says which case it speaks of. One of an older
            // version does not.
            let pair = run.pairs.get(entry.id);
            let headline = pair.and_then(|pair| {
                let place = pair.headline.as_ref()?;
                let sweep = pair.sweeps.iter().find(|sweep| sweep.level == place.level)?;
                let measured = pair.case(&place.level, place.point)?.measured()?;
                let is_unmarked = measured.mark.is_none();
                is_unmarked.then_some(AtHeadline { run, pair, sweep, measured })
            });
            match headline {
                Some(headline) => headlines.found.push(headline),
                None => headlines.missing.push(run.machine.key.clone()),
            }
        }
        // Of the runs of a machine, the latest speaks for it.
        headlines.found.sort_by_key(|found| Reverse(found.run.started));
        let mut machines = BTreeSet::new();
        headlines.found.retain(|found| machines.insert(&found.run.machine.key));
        headlines.missing.dedup();
        headlines
    }

    /// Runs a check over every reference that has the headline.
    fn check(&self, problems: impl Fn(AtHeadline<'a>) -> Vec<String>) -> Findings {
        if self.found.is_empty() {
            let missing = match self.missing.is_empty() {
                true => "there is no reference".to_owned(),
                false => format!("no case at the headline in {}", self.missing.join(", ")),
            };
            return Err(format!("{missing}: record one with `worthit reference`"));
        }
        let of_one = |headline: &AtHeadline<'a>| {
            let key = headline.run.machine.key.clone();
            problems(*headline).into_iter().map(move |problem| format!("{problem} (on {key})"))
        };
        Ok(self.found.iter().flat_map(of_one).collect())
    }
}
