//! The gate: whether a change made a pair worse, judged by what does not cry wolf.
//!
//! Two runs one after the other do not share a machine, and their ratio is no steadier than they are.
//! So the gate counts first (causes, instructions: exact, in seconds), then times what the counts do
//! not settle, base and head interleaved in processes that are restarted often, and confirms a suspect
//! afresh before it fails a build. What it cannot tell is *undecided*, which fails nothing.

pub mod budgets;
mod build_under_test;
pub mod callgrind;
pub mod client;
mod comparison;
pub mod counts;
pub mod decision;
pub mod instructions;
pub mod output;
pub mod paired_timing;
pub mod pairing;
pub mod protocol;
pub mod realtime;
pub mod revision;
mod scratch;
pub mod self_test;
pub mod signed_rank;
pub mod summary;
pub mod timing;
pub mod verdict;
pub mod worker;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    machine::{Machine, Toolchain},
    results::write_atomically,
    run,
};
use worthit_pair::paths;

use self::{
    budgets::{Budgets, BudgetsError},
    build_under_test::BuildUnderTest,
    counts::CountError,
    decision::Rule,
    revision::{Repository, RevisionError},
    verdict::{GateReport, SCHEMA, SCHEMA_VERSION, Tolerances},
};

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

/// Why the gate cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A revision cannot be had or built.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// Causes cannot be counted.
    #[error(transparent)]
    Count(#[from] CountError),
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
    /// A filter selects nothing.
    #[error("neither revision has a pair called `{asked}`{hint}; `worthit list` names all")]
    UnknownPair {
        /// What was asked for.
        asked: String,
        /// What may have been meant.
        hint: String,
    },
}

/// Compares the working tree with the revision, and tells `progress` what is being done.
///
/// # Errors
/// If it cannot judge.
pub fn run(settings: &Settings, progress: &mut dyn FnMut(&str)) -> Result<GateReport, GateError> {
    let repository = Repository::here(&settings.cargo_arguments)?;
    run::take_turn_here()?;
    let base = repository.revision(&settings.against)?;
    let head = repository.working_tree()?;
    let mut build = |revision: revision::Revision| {
        progress(&format!("building {}", revision.name));
        let build = repository.build(&revision)?;
        let tested = BuildUnderTest::new(revision, build, settings.seed);
        match tested.silent.first() {
            Some((_, error)) if tested.cases.is_empty() => Err(GateError::Protocol {
                name: tested.revision.name.clone(),
                problem: error.to_string(),
            }),
            _ => Ok(tested),
        }
    };
    let (base, head) = (build(base)?, build(head)?);
    let (when, start) = (Timestamp::now(), Instant::now());
    let prefix = repository.prefix();
    let (commit, dirty) = (head.revision.commit.clone(), head.revision.dirty);
    let names = [base.revision.name.clone(), head.revision.name.clone()];
    let found = comparison::compare(base, head, &prefix, settings, progress)?;
    let [base, head] = names;
    let machine = Machine::current().key;
    Ok(GateReport {
        schema: SCHEMA.to_owned(),
        version: SCHEMA_VERSION,
        when,
        base,
        head,
        commit,
        dirty,
        self_test: self_test::last(&machine).map(|last| last.in_words()),
        machine,
        rustc: Toolchain::current().rustc,
        rule: settings.rule(found.timed),
        tolerances: settings.tolerances,
        cases: found.cases,
        notes: found.notes,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Where the last report is kept.
fn path() -> PathBuf {
    paths::home().join("gate/last.json")
}

/// Keeps a report for the site's page of the gate.
pub(crate) fn save(report: &GateReport) {
    // It is printed all the same.
    let _ = write_atomically(&path(), output::json::text(report).as_bytes());
}

/// The last report on this machine.
pub fn last(machine: &str) -> Option<GateReport> {
    let report: GateReport = serde_json::from_slice(&fs::read(path()).ok()?).ok()?;
    (report.machine == machine && report.version == SCHEMA_VERSION).then_some(report)
}

impl Settings {
    /// What counts as a regression of time where so many pairs are timed.
    fn rule(&self, comparisons: usize) -> Rule {
        Rule { relevant: self.relevant, false_alarms: self.false_alarms, comparisons }
    }
}
