//! `worthit audit`: what every pair must pass, by machine.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{CliError, chosen, print};
use crate::{
    audit::{self, Evidence, lints::Lints},
    reference,
    results::Run,
};
use worthit_pair::family::Family;

/// Check that no pair is hollow: its answers, inputs, traps, claims, explanation, remedy, lint, limit and peers.
///
/// Exits with 1 if a check fails, and with 2 if one could not look.
#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    /// Pairs to check (default: all).
    ids: Vec<String>,
    /// Path of README.md; references are in reports/ next to it, and clippy checks the package there.
    #[arg(long, default_value = "README.md")]
    file: PathBuf,
    /// Check claims against this result, rather than the committed references.
    #[arg(long)]
    result: Option<PathBuf>,
    /// Leave out the lints, which take a run of clippy.
    #[arg(long)]
    no_lints: bool,
    /// Seed of the timed inputs.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    arguments: &AuditArguments,
    catalogue: &[&'static Family],
) -> Result<ExitCode, CliError> {
    let entries = chosen(catalogue, &arguments.ids)?;
    let references = match &arguments.result {
        Some(result) => vec![Run::load(result)?],
        None => reference::all(&arguments.file.with_file_name("reports"))?,
    };
    let lints = if arguments.no_lints {
        Err("left out with --no-lints".to_owned())
    } else {
        let package = catalogue.first().map_or("", |family| family.package);
        let folder = arguments.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        Lints::of_package(folder.unwrap_or(".".as_ref()), package)
    };
    let evidence = Evidence { seed: arguments.seed, references: &references, lints };
    let audit = audit::audit(&entries, &evidence)?;
    if arguments.json {
        print(&(serde_json::to_string_pretty(&audit).map_err(std::io::Error::other)? + "\n"))?;
    } else {
        print(&audit.to_string())?;
    }
    Ok(match (audit.passes(), audit.is_whole()) {
        (false, _) => ExitCode::from(1),
        (true, false) => ExitCode::from(2),
        (true, true) => ExitCode::SUCCESS,
    })
}
