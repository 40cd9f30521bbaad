//! `worthit expire`: lessons that this toolchain or machine has overtaken.

use std::{fmt::Write as _, path::Path};

use clap::Args;
use rayon::prelude::*;

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
    let (mut measured, mut unmeasured) = (Vec::new(), 0);
    for family in catalogue {
        for entry in family.pairs {
            match desk.figures(family.package, entry)? {
                Some(figures) => measured.push((entry, figures)),
                None => unmeasured += 1,
            }
        }
    }
    let looked_at = measured.len() as u64;
    let expired: Vec<Expired> = measured
        .par_iter()
        .filter_map(|(entry, figures)| expiry::expired(entry, figures, lints.as_ref()))
        .collect();
    match arguments.format {
        Format::Text => Ok(in_words(&expired, looked_at, unmeasured, lints.as_ref())),
        Format::Json => {
            let document = serde_json::json!({
                "expired": expired, "looked_at": looked_at, "not_measured": unmeasured,
            });
            Ok(json(&document)?)
        }
    }
}

fn in_words(
    expired: &[Expired],
    looked_at: u64,
    unmeasured: u64,
    lints: Option<&Result<Lints, String>>,
) -> String {
    let mut text = String::new();
    for Expired { pair, reasons, by } in expired {
        let _ = writeln!(text, "{pair} (by {by})");
        for reason in reasons {
            let _ = writeln!(text, "    {reason}");
        }
    }
    let _ = writeln!(
        text,
        "{} of {} no longer say what their cards do; {} measured by nobody",
        format::count(expired.len() as u64),
        format::counted(looked_at, "pairs"),
        format::count(unmeasured),
    );
    text += match lints {
        None => "lints were not looked at: `worthit expire --lints` runs clippy\n",
        Some(Ok(_)) => "",
        Some(Err(_)) => "lints were not looked at, as clippy did not run: try `cargo clippy`\n",
    };
    text
}
