//! `worthit completions` and `worthit man`: what a shell and a reader of manuals want to know, from the definition of the
//! commands.

use std::{io, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::CliError;

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  worthit completions bash > worthit.bash\n  worthit completions fish > worthit.fish"
)]
pub(super) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

/// Print the manual page, or write one for each command into a folder.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  worthit man > worthit.1\n  worthit man --into .")]
pub(super) struct ManArguments {
    /// Folder for the pages.
    #[arg(long)]
    into: Option<PathBuf>,
}

/// Returns the completions.
///
/// # Errors
/// If the shell's script is no text.
pub(super) fn completions(arguments: &CompletionsArguments) -> Result<String, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut super::Arguments::command(),
        "worthit",
        &mut script,
    );
    Ok(String::from_utf8(script).map_err(io::Error::other)?)
}

/// Returns the manual page; nothing if the pages were written into a folder.
///
/// # Errors
/// If a page cannot be written.
pub(super) fn run(arguments: &ManArguments) -> Result<String, CliError> {
    let command = super::Arguments::command();
    if let Some(folder) = &arguments.into {
        let failed = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot write pages into {}: {error}", folder.display()),
            )
        };
        clap_mangen::generate_to(command, folder).map_err(failed)?;
        return Ok(String::new());
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(String::from_utf8(page).map_err(io::Error::other)?)
}
