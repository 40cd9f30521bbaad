//! `worthit reference` and `worthit readme`: committed results, and the files that are made from them.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::{readme, reference, results::Run};
use worthit_pair::family::Family;

/// Make a result the committed reference of its machine key, and update the generated files.
#[derive(Debug, Args)]
pub(super) struct ReferenceArguments {
    /// Result of `cargo bench -- --rounds 5`.
    result: PathBuf,
    /// Path of README.md; references are kept in reports/ next to it.
    #[arg(long, default_value = "README.md")]
    file: PathBuf,
}

/// Update the generated files: parts of README.md and reports/README.md, the cards and the catalogue.
#[derive(Debug, Args)]
pub(super) struct ReadmeArguments {
    /// Fail if they are out of date, and write nothing.
    #[arg(long)]
    check: bool,
    /// Path of README.md.
    #[arg(long, default_value = "README.md")]
    file: PathBuf,
}

/// Saves a reference and returns its path as a line.
///
/// # Errors
/// If the result does not qualify, or a file cannot be written.
pub(super) fn save(
    arguments: &ReferenceArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let ReferenceArguments { result, file } = arguments;
    let kept = reference::save(&Run::load(result)?, &file.with_file_name("reports"))?;
    readme::update(file, catalogue)?;
    Ok(format!("{}\n", kept.display()))
}

/// Updates the generated files, or checks them.
///
/// # Errors
/// If a file cannot be written, or with `--check` is out of date.
pub(super) fn readme(
    arguments: &ReadmeArguments,
    catalogue: &[&'static Family],
) -> Result<(), CliError> {
    match arguments.check {
        true => readme::check(&arguments.file, catalogue)?,
        false => readme::update(&arguments.file, catalogue)?,
    }
    Ok(())
}
