//! `worthit scale`: measures a pair on several numbers of threads and shows how it scales.

use std::process::{Command, ExitCode};

use clap::Args;

use super::{CliError, find, print, report::latest_run};
use crate::{
    cargo, interrupt,
    strong_scaling::{self, Shown, Strong},
    table, terminal,
};
use worthit_pair::{family::Family, paths, threads};

/// Measure a pair on several numbers of threads, and show speedup, efficiency and the laws that describe them.
///
/// Runs `cargo bench` for the pair, so its pages are made again too.
#[derive(Debug, Args)]
pub(super) struct ScaleArguments {
    /// A pair that varies its number of threads.
    id: String,
    /// Numbers of threads, ascending [default: those of `cargo bench`].
    #[arg(long, value_name = "LIST", value_parser = list)]
    threads: Option<String>,
    /// Repeat the run in R processes, one after another.
    #[arg(long, value_name = "R")]
    rounds: Option<u32>,
}

/// Checks a list of numbers of threads.
fn list(text: &str) -> Result<String, String> {
    threads::parse(text).map(|_| text.to_owned())
}

/// Measures the pair and prints the table.
///
/// # Errors
/// If the pair does not vary its number of threads, or cargo cannot be run.
pub(super) fn run(
    arguments: &ScaleArguments,
    catalogue: &[&'static Family],
) -> Result<ExitCode, CliError> {
    let entry = find(catalogue, &arguments.id)?;
    if !entry.uses_threads() {
        return Err(CliError::NoThreads(entry.id));
    }
    let package = super::report::package(catalogue);
    let folder = cargo::package_folder(package);
    let mut bench = Command::new(cargo::program());
    bench.arg("bench");
    if !folder.as_os_str().is_empty() {
        bench.arg("--manifest-path").arg(folder.join("Cargo.toml"));
    }
    bench.arg("--").arg(format!("^{}/", entry.id));
    let rounds = arguments.rounds.map(|rounds| rounds.to_string());
    for (flag, value) in [("--threads", &arguments.threads), ("--rounds", &rounds)] {
        bench.args(value.as_ref().map(|value| format!("{flag}={value}")));
    }
    let status = interrupt::run_child(&mut bench)?;
    if !status.success() {
        return Ok(ExitCode::from(
            status.code().and_then(|code| code.try_into().ok()).unwrap_or(1),
        ));
    }
    let (path, run) = latest_run(&paths::home().join("runs"), package)?;
    let Some(pair) = run.pairs.get(entry.id) else { return Err(CliError::NoRun(path)) };
    for strong in strong_scaling::sweeps(pair) {
        print(&in_words(entry.id, &strong, &Shown::of(&strong, &run)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(id: &str, strong: &Strong<'_>, shown: &Shown) -> String {
    let what = if strong.what.is_empty() { String::new() } else { format!(", {}", strong.what) };
    let table = table::of_scaling(shown, terminal::width());
    let mut text = format!("\nscaling of {id}{what}\n{table}\n");
    let sentences = shown.wall_in_words().into_iter().chain(shown.laws_in_words());
    sentences.for_each(|sentence| text += &format!("{sentence}\n"));
    text
}
