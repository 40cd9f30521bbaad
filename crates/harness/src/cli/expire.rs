//! `worthit expire`: cards whose claims no longer hold with this toolchain or on this machine.

use std::{fmt::Write as _, path::Path};

use clap::Args;
use rayon::prelude::*;
use serde::Serialize;

use super::{
    CliError,
    format::{Format, json},
};
use crate::{
    audit::lints::Lints,
    desk::{
        Desk,
        expiry::{self, Expired},
    },
};
use worthit_pair::{family::Family, format};

/// List pairs whose figures no longer say what their cards do: the gain is gone, a side grows otherwise, the explanation does
/// not hold, or the lint no longer fires.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  worthit expire\n  worthit expire --format json")]
pub(super) struct ExpireArguments {
    /// Also run clippy over the catalogue, to see whether each lint still fires. This takes minutes.
    #[arg(long)]
    lints: bool,
    /// What to print: `text`, or `json` for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Returns the text to print.
///
/// # Errors
/// If a result cannot be read.
pub(super) fn run(
    arguments: &ExpireArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let desk = Desk::open(catalogue)?;
    let lints = catalogue.first().filter(|_| arguments.lints);
    let lints = lints.map(|family| Lints::of_package(Path::new(family.folder), family.package));
    if let Some(Err(reason)) = lints {
        return Err(CliError::LintsUnknown(reason));
    }
    let mut entries = Vec::new();
    for family in catalogue {
        for entry in family.pairs {
            entries.push((entry, desk.figures(family.package, entry)?));
        }
    }
    let expired = entries
        .par_iter()
        .filter_map(|(entry, figures)| expiry::expired(entry, figures.as_ref(), lints.as_ref()));
    let found = Found {
        expired: expired.collect(),
        looked_at: entries.len(),
        not_measured: entries.iter().filter(|(_, figures)| figures.is_none()).count(),
        headline_only: entries
            .iter()
            .filter(|(entry, figures)| {
                figures.as_ref().is_some_and(|f| !expiry::tells_how_it_goes_on(entry, f))
            })
            .count(),
        lints_looked_at: arguments.lints,
    };
    match arguments.format {
        Format::Text => Ok(in_words(&found)),
        Format::Json => Ok(json(&found)?),
    }
}

/// What was found.
#[derive(Serialize)]
struct Found {
    expired: Vec<Expired>,
    /// Number of pairs.
    looked_at: usize,
    /// Number of those that nobody has measured.
    not_measured: usize,
    /// Number of those whose figures say nothing about the rest of the sweep.
    headline_only: usize,
    lints_looked_at: bool,
}

fn in_words(found: &Found) -> String {
    let Found { expired, looked_at, not_measured, headline_only, lints_looked_at } = found;
    let mut text = String::new();
    for Expired { pair, reasons, by } in expired {
        let _ = writeln!(text, "{pair} (by {by})");
        for reason in reasons {
            let _ = writeln!(text, "    {reason}");
        }
    }
    let count = |number: &usize| format::count(*number as u64);
    let _ = writeln!(
        text,
        "{} of {} no longer say what their cards do; {} measured by nobody; {} judged by the headline alone, as a whole sweep of \
         several processes is needed for more (`cargo bench -- --rounds 5`)",
        count(&expired.len()),
        format::counted(*looked_at as u64, "pairs"),
        count(not_measured),
        count(headline_only),
    );
    if !lints_looked_at {
        text += "lints were not looked at: `worthit expire --lints` runs clippy\n";
    }
    text
}
