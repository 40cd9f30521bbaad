//! `worthit cite`: a citation for a pull request.

use std::path::Path;

use clap::Args;

use super::{CliError, figures_at, find_with_family};
use crate::desk::{
    citation, forge,
    sweep_point::{self, Asked},
};
use worthit_pair::family::Family;

/// Print a citation of a pair in Markdown, to paste into a pull request.
///
/// It has the finding at one size, with its cause, when to leave the code alone, where the figures are from, and the command
/// that measures them again. Between two measured sizes the finding is interpolated; outside them it is refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  worthit cite queries/n_plus_one\n  worthit cite hash_dedup --size 3000"
)]
pub(super) struct CiteArguments {
    /// Id of a pair, in full or only its name.
    pair: String,
    #[command(flatten)]
    asked: Asked,
}

/// Returns the citation.
///
/// # Errors
/// If the pair is unknown, nobody measured it, or nothing is known at that size.
pub(super) fn run(
    arguments: &CiteArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let (family, entry) = find_with_family(catalogue, &arguments.pair)?;
    let figures = figures_at(family, entry, &arguments.asked)?;
    let point = sweep_point::find(figures.pair(), &arguments.asked, entry.axis.is_size)
        .map_err(|error| CliError::NothingKnown(entry.id, error))?;
    let revision = figures.run.revision.commit.as_deref();
    // The file had the id under which it was measured.
    let file = format!("src/{}.rs", figures.id());
    let link =
        revision.and_then(|revision| forge::address(Path::new(family.folder), revision, &file));
    Ok(citation::markdown(entry, &figures, &point, link.as_deref()))
}
