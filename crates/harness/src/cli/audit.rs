//! `worthit audit`: what every pair must pass, by machine.

use std::{
    path::PathBuf,
    process::{ExitCode, Stdio},
};

use clap::Args;

use super::{CliError, chosen, format::json, print};
use crate::{
    audit::{self, Audit, Evidence, PairAudit, lints::Lints},
    interrupt,
    process::own_executable,
    queue, reference,
    results::Run,
    servers,
};
use worthit_pair::{
    audited::Check,
    causes,
    family::{Entry, Family},
};

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
    let audit = match entries.as_slice() {
        [_] => {
            let evidence = Evidence { seed: arguments.seed, references: &references, lints };
            audit::audit(&entries, &evidence)?
        }
        several => in_processes(arguments, several, &lints)?,
    };
    if arguments.json {
        print(&json(&audit)?)?;
    } else {
        print(&audit.to_string())?;
    }
    Ok(match (audit.passes(), audit.is_whole()) {
        (false, _) => ExitCode::from(1),
        (true, false) => ExitCode::from(2),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// Audits each pair in a process of its own, as many at once as there are cores: nothing that is looked at depends on what else
/// runs. Clippy has run once for all of them.
fn in_processes(
    arguments: &AuditArguments,
    entries: &[&'static Entry],
    lints: &Result<Lints, String>,
) -> Result<Audit, CliError> {
    causes::require_counting()?;
    servers::start_for(entries.iter().copied());
    let of_pair = |entry: &&'static Entry| -> Result<PairAudit, CliError> {
        let failed = |problem: String| CliError::NotAudited(entry.id, problem);
        let mut command = own_executable();
        command.args(["audit", "--json", "--no-lints", entry.id]);
        command.args(["--seed", &arguments.seed.to_string(), "--file"]).arg(&arguments.file);
        command.args(
            arguments.result.iter().flat_map(|result| ["--result".as_ref(), result.as_os_str()]),
        );
        let command = servers::hand_on(&mut command).stdin(Stdio::null()).stderr(Stdio::piped());
        let output =
            interrupt::output_of_child(command).map_err(|error| failed(error.to_string()))?;
        let audit = serde_json::from_slice::<Audit>(&output.stdout);
        let pair = audit.ok().and_then(|mut audit| audit.pairs.pop());
        let mut pair =
            pair.ok_or_else(|| failed(String::from_utf8_lossy(&output.stderr).into_owned()))?;
        for checked in pair.checks.iter_mut().filter(|checked| checked.check == Check::Lint.name())
        {
            checked.standing = audit::lint_of(entry, lints);
        }
        Ok(pair)
    };
    Ok(Audit { pairs: queue::on_all_cores(entries, of_pair)? })
}
