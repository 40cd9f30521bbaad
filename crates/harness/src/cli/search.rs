//! `worthit search`: the pairs that words are about.

use clap::Args;

use super::{
    CliError,
    format::{Format, json},
};
use crate::{
    search::{Found, search},
    terminal,
};
use worthit_pair::family::Family;

/// Find pairs and studies by a smell, a symptom, a lint or the name of a function.
///
/// The words need not be spelt as on the card. The best come first; `worthit show` shows a whole card.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  worthit search query in a loop\n  worthit search clippy::map_entry\n  worthit search Vec::contains --format json"
)]
pub(super) struct SearchArguments {
    /// What to look for.
    #[arg(required = true)]
    words: Vec<String>,
    /// What to print: `text`, or `json` for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Returns the text to print.
///
/// # Errors
/// If no card has any of the words.
pub(super) fn run(
    arguments: &SearchArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let asked = arguments.words.join(" ");
    let found = search(catalogue, &asked);
    if found.is_empty() {
        return Err(CliError::NothingFound(asked));
    }
    Ok(match arguments.format {
        Format::Text => in_words(&found),
        Format::Json => json(&found)?,
    })
}

fn in_words(found: &[Found]) -> String {
    let width = terminal::width();
    let card = |Found { id, title, smell, lint, .. }: &Found| {
        let lint = lint.as_ref().map_or(String::new(), |lint| format!("    lint: {lint}\n"));
        let smell = terminal::wrapped(&format!("    {smell}"), width, 4);
        format!("{id}: {title}\n{smell}\n{lint}")
    };
    found.iter().map(card).collect::<Vec<_>>().join("\n")
}
