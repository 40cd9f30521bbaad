//! The gate: decides whether a change made a pair worse, with few false alarms.
//!
//! Two consecutive runs do not find the machine in the same state, so the ratio of their times is as noisy as the
//! times. The gate therefore counts first: counts of causes and instructions are exact and take seconds. It then times
//! the pairs that the counts do not settle, with base and head interleaved in processes that are restarted often. It
//! confirms a suspect with fresh measurements before it fails a build. A pair that it cannot decide is *undecided*,
//! which fails nothing.

pub mod budgets;
mod build_under_test;
pub mod callgrind;
pub mod client;
mod comparison;
mod counting;
pub mod counts;
pub mod decision;
mod error;
mod gains;
pub mod instructions;
pub mod output;
pub mod paired_timing;
pub mod pairing;
pub mod protocol;
pub mod realtime;
pub mod report;
pub mod revision;
mod scratch;
pub mod self_test;
mod settings;
pub mod signed_rank;
pub mod summary;
pub mod timing;
pub mod verdict;
pub mod worker;

use std::{fs, path::PathBuf, time::Instant};

use jiff::Timestamp;

use crate::{
    machine::{Machine, Toolchain},
    result_file::write_atomically,
    run,
};
use worthit_pair::paths;

pub use self::{error::GateError, settings::Settings};

use self::{
    build_under_test::BuildUnderTest,
    report::{GateReport, SCHEMA, SCHEMA_VERSION},
    revision::Repository,
};

/// Compares the working tree with the base revision, and reports each step to `progress`.
///
/// # Errors
/// If no verdict is possible.
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
    let comparison = comparison::compare(&base, &head, &prefix, settings, progress)?;
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
        rule: settings.rule(comparison.timed),
        tolerances: settings.tolerances,
        cases: comparison.cases,
        notes: comparison.notes,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Returns the path of the last report.
fn path() -> PathBuf {
    paths::home().join("gate/last.json")
}

/// Stores a report for the gate's page on the site.
pub(crate) fn save(report: &GateReport) {
    // An error does no harm here: the report is printed anyway.
    let _ = write_atomically(&path(), output::json::text(report).as_bytes());
}

/// Returns the last report on this machine, unless another version wrote it.
pub fn last(machine: &str) -> Option<GateReport> {
    let report: GateReport = serde_json::from_slice(&fs::read(path()).ok()?).ok()?;
    (report.machine == machine && report.version == SCHEMA_VERSION).then_some(report)
}
