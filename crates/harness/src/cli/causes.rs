//! `worthit causes`: counts what each side does.

use std::io;

use clap::{ArgGroup, Args};

use super::{CliError, chosen, find_study};
use crate::{count_causes, study};
use worthit_pair::{
    cases::{self, Extent},
    causes::injected::Injection,
    family::{Entry, Family},
    format,
    study::StudyEntry,
};

/// Count causes: how many comparisons, allocations, SQL statements, … each side needs per iteration.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("extent").multiple(false),
    after_help = "Examples:\n  worthit causes --quick algorithms/hash_dedup\n  worthit causes --quick --json queries/index"
)]
pub(super) struct CausesArguments {
    /// Pairs to count (default: all).
    ids: Vec<String>,
    /// Count only at the near end and the headline of each sweep.
    #[arg(long, group = "extent")]
    quick: bool,
    /// Count at all regular points (the default).
    #[arg(long, group = "extent")]
    default: bool,
    /// Count at the larger points too.
    #[arg(long, group = "extent")]
    deep: bool,
    /// Seed for all inputs.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print all counts at the headlines as JSON, for the gate.
    #[arg(long, group = "extent", hide = true)]
    headlines: bool,
    /// Do one more of this in each iteration, for the gate's self-test.
    #[arg(long, hide = true, requires = "headlines")]
    inject: Option<String>,
}

/// Returns the text to print.
///
/// # Errors
/// If a pair is unknown, or this binary does not count.
pub(super) fn run(
    arguments: &CausesArguments,
    catalogue: &[&'static Family],
    injections: &[Injection],
) -> Result<String, CliError> {
    let CausesArguments { ids, quick, deep, seed, json, headlines, inject, .. } = arguments;
    if *headlines {
        return at_headlines(ids, *seed, inject.as_deref(), catalogue, injections);
    }
    let extent = match (quick, deep) {
        (true, _) => Extent::Quick,
        (_, true) => Extent::Deep,
        _ => Extent::Default,
    };
    count(&chosen(catalogue, ids)?, extent, *seed, *json)
}

fn at_headlines(
    ids: &[String],
    seed: u64,
    inject: Option<&str>,
    catalogue: &[&'static Family],
    injections: &[Injection],
) -> Result<String, CliError> {
    let injected = inject.map(|name| injected(name, injections)).transpose()?;
    let (entries, studies) = chosen_for_gate(catalogue, ids)?;
    let mut found = count_causes::at_headlines(&entries, seed, injected)?;
    // No injection reaches what a study counts.
    if injected.is_none() {
        found.extend(studies.iter().map(|entry| study::counts_of_last_step(entry, seed)));
    }
    Ok(serde_json::to_string(&found).map_err(io::Error::other)?)
}

/// Returns the pairs and the studies with these ids; all of both if there are none.
fn chosen_for_gate(
    catalogue: &[&'static Family],
    ids: &[String],
) -> Result<(Vec<&'static Entry>, Vec<&'static StudyEntry>), CliError> {
    if ids.is_empty() {
        let studies = catalogue.iter().flat_map(|family| family.studies);
        return Ok((chosen(catalogue, ids)?, studies.collect()));
    }
    let (mut entries, mut studies) = (Vec::new(), Vec::new());
    for id in ids {
        match find_study(catalogue, id) {
            Some(study) => studies.push(study),
            None => entries.push(super::find(catalogue, id)?),
        }
    }
    Ok((entries, studies))
}

fn injected(name: &str, injections: &[Injection]) -> Result<fn(), CliError> {
    let known = injections.iter().find(|known| known.name == name);
    known.map(|known| known.run).ok_or_else(|| CliError::NotInjectable(name.to_owned()))
}

fn count(entries: &[&Entry], extent: Extent, seed: u64, json: bool) -> Result<String, CliError> {
    let counted = count_causes::count_causes(entries, extent, seed)?;
    if json {
        return Ok(serde_json::to_string(&counted).map_err(io::Error::other)?);
    }
    let mut text = String::new();
    for case in &counted {
        text += &format!("{} at {}\n", case.key.group(), format::count(case.key.point));
        if let Some(reason) = &case.unavailable {
            text += &format!("    cannot run here: {reason}\n");
        }
        let entry = entries.iter().find(|entry| entry.id == case.key.pair);
        for (role, counts) in case.sides.iter().filter(|(_, counts)| counts.iter().count() > 0) {
            let name = entry.map_or("", |entry| cases::side_name(entry, *role));
            let mean = |(id, count)| format!("{} {id}", format::mean(count, case.inputs));
            let counts: Vec<String> = counts.iter().map(mean).collect();
            text += &format!("    {name}: {}\n", counts.join(", "));
        }
    }
    Ok(text)
}
