//! The gate: decides whether a change made a pair worse, with few false alarms.
//!
//! Two consecutive runs do not find the machine in the same state, so the ratio of their times is as noisy as the
//! times. The gate therefore judges only the pairs that depend on something that has changed. It counts first: counts of
//! causes and instructions are exact and take seconds. It then times, with base and head interleaved in processes that
//! are restarted often. It confirms a suspect with fresh measurements before it says *regressed* or *improved*. A pair
//! that it cannot decide is *undecided*, which fails nothing.

mod artifacts;
pub mod budgets;
pub mod build;
mod build_key;
mod build_under_test;
pub mod callgrind;
pub mod client;
mod comparison;
mod counting;
pub mod counts;
pub mod decision;
mod dependencies;
mod error;
mod export;
mod gains;
pub mod instructions;
mod modules;
pub mod output;
mod outside;
pub mod package;
pub mod paired_timing;
pub mod pairing;
pub mod protocol;
pub mod realtime;
mod references;
pub mod report;
pub mod repository;
pub mod revision;
mod scratch;
pub mod self_test;
mod settings;
pub mod signed_rank;
mod stored_counts;
pub mod summary;
pub mod surroundings;
pub mod timing;
mod toolchain;
pub mod verdict;
pub mod worker;

use std::{fs, path::PathBuf, time::Instant};

use jiff::Timestamp;

use crate::{machine::Machine, result_file::write_atomically, run};
use worthit_pair::paths;

pub use self::{error::GateError, settings::Settings};

use self::{
    budgets::{Budgets, Enforced},
    build::Builder,
    build_under_test::BuildUnderTest,
    report::{GateReport, SCHEMA, SCHEMA_VERSION},
    revision::{Revision, RevisionError},
};

/// Compares the working tree with the base revision, and reports each step to `progress`.
///
/// # Errors
/// If no verdict is possible.
pub fn run(settings: &Settings, progress: &mut dyn FnMut(&str)) -> Result<GateReport, GateError> {
    let builder = Builder::here(&settings.cargo_arguments)?;
    let budgets = Budgets::of_package(&builder.package.folder, settings.budgets.as_deref())?;
    run::take_turn_here()?;
    let base = builder.repository.revision(&settings.against)?;
    let head = builder.repository.working_tree()?;
    let mut enforced = budgets.as_ref().map(|(file, budgets)| {
        let known = file.canonicalize().ok();
        let known = known.and_then(|file| {
            let path = file.strip_prefix(&builder.repository.top).ok()?;
            let text = builder.repository.file_of(&base, path)?;
            Budgets::parse(text.as_bytes(), path).ok()
        });
        Enforced { budgets: budgets.clone(), changed: budgets.changed_pairs(known.as_ref()) }
    });
    let mut notes = builder.notes();
    notes.extend(
        builder
            .repository
            .changed_submodules(&head)
            .into_iter()
            .map(|path| format!("uncommitted changes in the submodule {path} are not judged")),
    );
    let mut build = |revision: Revision| {
        progress(&format!("building {}", revision.name));
        let build = builder.build(&revision)?;
        let tested = BuildUnderTest::new(revision, build, settings.seed);
        match tested.silent.first() {
            Some((_, error)) if tested.cases.is_empty() => Err(GateError::Protocol {
                name: tested.revision.name.clone(),
                problem: error.to_string(),
            }),
            _ => Ok(tested),
        }
    };
    let built = match build(base.clone()) {
        // The change that adds the package, perhaps with the gate: nothing can have become worse.
        Err(GateError::Revision(missing @ RevisionError::PackageMissing { .. })) => Err(missing),
        built => Ok(built?),
    };
    let head = build(head)?;
    let base = built.unwrap_or_else(|missing| {
        notes.push(format!("{missing}: all pairs are new"));
        head.without_pairs(base)
    });
    if head.build.uses_outside_files {
        enforced.iter_mut().for_each(Enforced::enforce_all);
    }
    let (when, start) = (Timestamp::now(), Instant::now());
    let compilers = [base.build.rustc.clone(), head.build.rustc.clone()];
    let (commit, dirty) = (head.revision.commit.clone(), head.revision.dirty);
    let names = [base.revision.name.clone(), head.revision.name.clone()];
    let comparison = comparison::compare(&base, &head, enforced.as_ref(), settings, progress)?;
    let ([base, head], [base_rustc, rustc]) = (names, compilers);
    if base_rustc != rustc {
        notes.push(format!("the base is built by {base_rustc}, the head by {rustc}"));
    }
    if let Some((file, _)) = &budgets {
        let file = file.strip_prefix(&builder.repository.top).unwrap_or(file);
        notes.push(format!("budgets: {}", file.display()));
    }
    notes.extend(comparison.notes);
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
        rustc,
        rule: settings.rule(comparison.timed),
        tolerances: settings.tolerances,
        cases: comparison.cases,
        notes,
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
