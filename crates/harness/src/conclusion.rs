//! The end of a bench process: the table of its family, the report, and, after the last family, the run's summary and
//! the exit status.
//!
//! The exit status says whether what was asked happened: whether cases were measured and recorded. The pages are a
//! by-product, which can be made again from the recorded result.

use std::path::{Path, PathBuf};

use crate::{
    criterion_pages::CriterionPages,
    desk,
    flags::Flags,
    printing::{print, print_aside, say},
    reference,
    report::{self, Material},
    results::Run,
    run::RunFile,
    run_summary, samples,
    selection::Selection,
    table, terminal,
};
use worthit_pair::{family::Family, paths};

/// A bench process that has measured what it could.
pub struct Ended<'a> {
    /// The run that it belongs to.
    pub run: &'a RunFile,
    /// What it was asked for.
    pub selection: &'a Selection<'a>,
    /// All families.
    pub catalogue: &'a [&'static Family],
    /// Its flags.
    pub flags: &'a Flags,
    /// What stopped it, if it was not finished.
    pub problem: Option<String>,
}

/// Prints the table of the family, writes the report, and after the last family prints the run's summary. Returns the
/// exit status.
pub fn conclude(ended: &Ended<'_>) -> i32 {
    let path = ended.run.path();
    let recorded = match ended.run.load() {
        Ok(recorded) => recorded,
        Err(error) => {
            say(&error.to_string());
            return 1;
        }
    };
    let width = terminal::width();
    let mut text = format!("\n{}", table::of_family(&recorded, ended.selection.family, width));
    for study in ended.selection.studies() {
        let result = recorded.studies.get(study.id);
        text += &result.map_or(String::new(), |result| result.in_text(study.id, width));
    }
    let site = write_pages(ended, &recorded);
    let is_last = ended.selection.is_last() || ended.problem.is_some();
    if is_last {
        // The commands for code review then find it at once.
        desk::remember_runs();
        let result = path.display().to_string();
        let site = site.as_ref().map(|site| site.display().to_string());
        let report = site.iter().map(|site| ("report", site.as_str()));
        let next: Vec<(&str, &str)> = report.chain([("result", result.as_str())]).collect();
        text += "\n";
        text += &run_summary::summary(&recorded, ended.catalogue, &next, width);
    }
    if ended.flags.is_for_bencher() {
        print_aside(&text);
    } else {
        print(&text);
    }
    if let Some(problem) = &ended.problem {
        say(&format!("{problem}\nThe run ends here; what was measured before is in the result."));
        return 1;
    }
    if is_last && let Some(reason) = nothing_measured(&recorded) {
        say(&format!("nothing was measured: {reason}"));
        return 1;
    }
    i32::from(is_last && site.is_none())
}

/// Returns why a run has no measured case or study; `None` if it has one.
fn nothing_measured(run: &Run) -> Option<String> {
    let cases = || run.pairs.values().flat_map(|pair| &pair.sweeps).flat_map(|sweep| &sweep.cases);
    let has_measured = cases().any(|case| case.measured().is_some())
        || run.studies.values().any(|study| !study.steps.is_empty());
    let of_study = || run.studies.values().find_map(|study| study.unavailable.as_deref());
    let reason = || cases().find_map(|case| case.outcome.reason()).or_else(of_study);
    (!has_measured).then(|| reason().unwrap_or("no case was recorded").to_owned())
}

/// Writes the report beside the package's manifest, or, where that cannot be written, into the suite's own folder.
/// Returns its front page; `None`, with a line that says why, if neither can be written.
fn write_pages(ended: &Ended<'_>, recorded: &Run) -> Option<PathBuf> {
    // Without the samples, the pages still have their quartiles.
    let samples = samples::load(&samples::path_of(ended.run.path())).unwrap_or_else(|error| {
        say(&format!("the pages lack the raw samples: {error}"));
        Vec::new()
    });
    let reports = Path::new("reports");
    // Every family's process makes the pages; only the last one says which reference is broken.
    let references = reference::readable(reports, |error| {
        if ended.selection.is_last() {
            say(&format!("the pages lack a reference: {error}"));
        }
    });
    let last = report::Last::here(&recorded.machine.key);
    let material = Material {
        samples: &samples,
        references: &references,
        gate: (!last.is_empty()).then_some(&last),
        families: ended.catalogue,
        criterion: Some(&CriterionPages::here()),
        ..Material::of(recorded, reports)
    };
    let failed = match report::write(&material) {
        Ok(page) => return Some(page),
        Err(error) => error,
    };
    let own = paths::home().join("reports");
    match report::write(&Material { folder: &own, ..material }) {
        Ok(page) => {
            if ended.selection.is_last() {
                say(&format!("{failed}\nThe pages are in {} instead.", own.display()));
            }
            Some(page)
        }
        Err(error) => {
            say(&format!(
                "{failed}\n{error}\nThe result is in {}; `cargo run --release -- report --into FOLDER` generates the \
                 pages from it.",
                ended.run.path().display()
            ));
            None
        }
    }
}
