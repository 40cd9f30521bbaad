//! `worthit list`: the catalogue, or a part of it.

use clap::Args;

use super::{CliError, format::Format};
use crate::{
    cards,
    readme::{catalogue_table, has_cause},
};
use worthit_pair::family::Family;

/// List the pairs and studies by family.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  worthit list --family queries\n  worthit list --cause allocations\n  worthit list --format json"
)]
pub(super) struct ListArguments {
    /// Only this family.
    #[arg(long)]
    family: Option<String>,
    /// Only pairs and studies that count this: `allocations`, `round trips`.
    #[arg(long)]
    cause: Option<String>,
    /// What to print: `text`, or `json`: the cards, for programs.
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "cause")]
    format: Format,
}

/// Returns the text to print.
///
/// # Errors
/// If there is no such family, or nothing in it counts this.
pub(super) fn run(
    arguments: &ListArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let mut families = catalogue.to_vec();
    if let Some(asked) = &arguments.family {
        families.retain(|family| family.name == asked);
        if families.is_empty() {
            let known: Vec<&str> = catalogue.iter().map(|family| family.name).collect();
            return Err(CliError::UnknownFamily { asked: asked.clone(), known: known.join(", ") });
        }
    }
    if let Some(asked) = &arguments.cause {
        families.retain(|family| has_cause(family, asked));
        if families.is_empty() {
            return Err(CliError::NobodyCounts(asked.clone()));
        }
    }
    Ok(match arguments.format {
        Format::Text => catalogue_table(&families, &[], arguments.cause.as_deref()),
        Format::Json => cards::document(&families),
    })
}
