//! `worthit report`: writes the pages of a result, and says what the result shows or how two results compare.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};

#[cfg(feature = "history")]
use super::history;
use super::{CliError, print};
use crate::{
    cargo,
    comparison::Comparison,
    criterion_pages::CriterionPages,
    history::TrendLine,
    printing::say,
    reference,
    report::{self, Last, Material},
    results::Run,
    run_verdict::RunVerdict,
    samples,
};
use worthit_pair::{family::Family, format, paths};

/// Write the HTML report of a result, or compare two results.
///
/// Without a result, reports the latest run that has a case. With two results, the pages show the second, and one
/// page compares it with the first. The last line printed is the verdict of the result, or the comparison.
///
/// Two runs do not meet the same machine state. To judge whether a change made a pair worse, use `worthit gate`.
/// Exit status: 0, or 1 if two results have no case in common.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// Result files; `cargo bench` prints their paths.
    #[arg(num_args = 0..=2)]
    results: Vec<PathBuf>,
    /// Folder for the pages [default: reports beside the package's manifest].
    #[arg(long)]
    into: Option<PathBuf>,
    /// What to print to standard output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Exit with 1 if a pair is worse or an optimized side does more work, with 2 if no pair could be compared.
    ///
    /// A pair is worse if the interval of its gain lies below the earlier one at a case that no other process
    /// disturbed. That happens by chance too: to judge a change, use `worthit gate`.
    #[arg(long)]
    fail_if_worse: bool,
    /// History file; adds a page with its trends.
    #[cfg(feature = "history")]
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

/// What `worthit report` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The path of the pages, and one line on the result or the comparison.
    Text,
    /// One document; the path of the pages goes to standard error.
    Json,
}

/// Writes the pages, and prints the verdict or the comparison.
///
/// # Errors
/// If a result cannot be read, or a page cannot be written. With `--fail-if-worse`, any of it means that nothing was
/// compared.
pub(super) fn run(
    arguments: &ReportArguments,
    catalogue: &[&'static Family],
) -> Result<ExitCode, CliError> {
    if !arguments.fail_if_worse {
        return write(arguments, catalogue);
    }
    if arguments.results.len() < 2 {
        return Err(CliError::NeedsTwoResults);
    }
    write(arguments, catalogue).map_err(|error| CliError::NotCompared(Box::new(error)))
}

fn write(arguments: &ReportArguments, catalogue: &[&'static Family]) -> Result<ExitCode, CliError> {
    #[cfg(feature = "history")]
    let trends = arguments.history.as_deref().map(history::all_lines).transpose()?;
    #[cfg(not(feature = "history"))]
    let trends: Option<Vec<TrendLine>> = None;
    let (other, path, run) = match arguments.results.as_slice() {
        [other, path] => (Some(Run::load(other)?), path.clone(), Run::load(path)?),
        [path] => (None, path.clone(), Run::load(path)?),
        _ => {
            let (path, run) = latest_run(&paths::home().join("runs"), package(catalogue))?;
            (None, path, run)
        }
    };
    let page = write_pages(arguments, catalogue, (&path, &run), other.as_ref(), trends.as_deref())?;
    let written = format!("{} from {}\n", page.display(), path.display());
    let Some(other) = &other else {
        let verdict = RunVerdict::of(&run, catalogue);
        match arguments.format {
            Format::Text => print(&format!("{written}{verdict}\n"))?,
            Format::Json => print_json(&written, &verdict.json())?,
        }
        return Ok(ExitCode::SUCCESS);
    };
    let comparison = Comparison::of(other, &run);
    match arguments.format {
        Format::Text => {
            print(&format!("{written}{}{comparison}\n", comparison.worse_cases()))?;
        }
        Format::Json => print_json(&written, &comparison.json())?,
    }
    if !comparison.has_common_case() {
        eprintln!("worthit: the results have no case in common, so nothing is compared");
    }
    Ok(ExitCode::from(status(&comparison, arguments.fail_if_worse)))
}

fn write_pages(
    arguments: &ReportArguments,
    catalogue: &[&'static Family],
    (path, run): (&Path, &Run),
    other: Option<&Run>,
    trends: Option<&[TrendLine]>,
) -> Result<PathBuf, CliError> {
    let last = Last::here(&run.machine.key);
    let own = cargo::package_folder(package(catalogue)).join("reports");
    let references =
        reference::readable(&own, |error| say(&format!("the pages lack a reference: {error}")));
    let folder = arguments.into.clone().unwrap_or(own);
    let page = report::write(&Material {
        run,
        samples: &samples::load(&samples::path_of(path))?,
        other,
        references: &references,
        gate: (!last.is_empty()).then_some(&last),
        trends,
        families: catalogue,
        criterion: Some(&CriterionPages::here()),
        folder: &folder,
    })?;
    Ok(page)
}

fn print_json(written: &str, document: &str) -> Result<(), CliError> {
    eprint!("worthit: {written}");
    print(document)
}

fn status(comparison: &Comparison<'_>, fail_if_worse: bool) -> u8 {
    match fail_if_worse {
        true if comparison.is_worse() => 1,
        true if !comparison.is_comparable() => 2,
        false if !comparison.has_common_case() => 1,
        _ => 0,
    }
}

/// Returns the latest run that has recorded a case: file names sort by start time. A run that was stopped before its
/// first case would replace the pages of a good one by rows that say nothing. The packages of a workspace share a folder.
pub(super) fn latest_run(folder: &Path, package: Option<&str>) -> Result<(PathBuf, Run), CliError> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let is_result =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "jsonl" || end == "json");
    let mut results: Vec<PathBuf> = files.filter(is_result).collect();
    results.sort_unstable();
    let mut skipped = 0;
    for path in results.into_iter().rev() {
        let run = Run::load(&path)?;
        if run.package.is_some() && run.package.as_deref() != package {
            continue;
        }
        if run.pairs.values().any(|pair| !pair.sweeps.is_empty()) {
            if skipped > 0 {
                let runs = if skipped == 1 { "run has" } else { "runs have" };
                let skipped = format::count(skipped);
                eprintln!(
                    "worthit: {skipped} later {runs} recorded no case; reporting {}",
                    run.key
                );
            }
            return Ok((path, run));
        }
        skipped += 1;
    }
    Err(CliError::NoRun(folder.to_owned()))
}

/// The package of a catalogue.
pub(super) fn package(catalogue: &[&Family]) -> Option<&'static str> {
    catalogue.first().map(|family| family.package)
}
