//! Text for people or JSON for programs, as most commands print either.

use std::io;

use serde::Serialize;

/// What to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// Writes a document as JSON that people can read, too.
///
/// # Errors
/// If it holds something that JSON lacks.
pub(super) fn json(document: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(document).map_err(io::Error::other)? + "\n")
}
