//! `worthit lints`: what the findings of clippy are worth.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Read},
    process::ExitCode,
};

use clap::Args;

use super::{CliError, format::json, print};
use crate::{
    clippy,
    desk::{
        Desk, sarif,
        worth::{self, Worth},
    },
};
use worthit_pair::{family::Family, format};

/// Say what the findings of clippy are worth: reads `cargo clippy --message-format=json` of any project from standard input.
///
/// The findings that the catalogue has a pair for come with its gain, the largest first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo clippy --message-format=json | worthit lints\n  cargo clippy --message-format=json | worthit lints --format sarif > worthit.sarif"
)]
pub(super) struct LintsArguments {
    /// What to print: `text`, `json`, or `sarif` for code scanning on a pull request.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

/// Prints what the findings are worth, and fails after that if they are not all.
///
/// # Errors
/// If standard input is not what cargo writes, or a result cannot be read.
pub(super) fn run(
    arguments: &LintsArguments,
    catalogue: &[&'static Family],
) -> Result<ExitCode, CliError> {
    let mut messages = Vec::new();
    if io::stdin().is_terminal() {
        return Err(CliError::NoMessages);
    }
    io::stdin().lock().read_to_end(&mut messages)?;
    let messages = clippy::read(&String::from_utf8_lossy(&messages)).ok_or(CliError::NoMessages)?;
    let found = worth::of_findings(messages.findings, catalogue, &Desk::open(catalogue)?)?;
    print(&match arguments.format {
        Format::Text => in_words(&found, catalogue),
        Format::Json => json(&worth::json(&found))?,
        Format::Sarif => json(&sarif::document(&found.known))?,
    })?;
    if messages.unread > 0 {
        let unread = format::counted(messages.unread as u64, "messages");
        eprintln!(
            "worthit: {unread} of the compiler could not be read: is this cargo newer than worthit?"
        );
    }
    if messages.failed {
        eprintln!(
            "worthit: the build failed, so clippy has not seen all of the code (or a lint is denied): these findings are a part"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(found: &Worth, catalogue: &[&'static Family]) -> String {
    let mut text = String::new();
    for of_pair in found.known.chunk_by(|left, right| left.entry.id == right.entry.id) {
        let _ = writeln!(text, "{}: {}", of_pair[0].reported.lint, worth::in_words(&of_pair[0]));
        for valued in of_pair {
            let _ = writeln!(text, "    {}:{}", valued.reported.file, valued.reported.line);
        }
    }
    let others: usize = found.unknown.values().sum();
    let known = format::counted(found.known.len() as u64, "findings");
    let _ = writeln!(
        text,
        "{}{known} of {} with a pair in the catalogue",
        if text.is_empty() { "" } else { "\n" },
        format::count((found.known.len() + others) as u64),
    );
    if others > 0 {
        let mut lints: Vec<(&String, &usize)> = found.unknown.iter().collect();
        lints.sort_by_key(|(lint, count)| (std::cmp::Reverse(**count), *lint));
        let most: Vec<String> =
            lints.iter().take(5).map(|(lint, count)| format!("{lint} ({count})")).collect();
        let _ = writeln!(
            text,
            "without one: {}{}",
            most.join(", "),
            if lints.len() > 5 { ", …" } else { "" }
        );
    }
    let flags: Vec<String> =
        worth::lints_to_switch_on(catalogue).iter().map(|lint| format!("-W {lint}")).collect();
    let _ = writeln!(
        text,
        "\nclippy reports more of what the catalogue knows with:\n    cargo clippy --message-format=json -- {}",
        flags.join(" ")
    );
    text
}
