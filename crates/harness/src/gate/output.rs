//! What a gate found, in the forms that others read: one file a form.

pub mod json;
mod junit;
mod markdown;
pub mod self_test;
mod terminal;

use super::verdict::GateReport;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people.
    Terminal,
    /// For a step's summary or a comment on a pull request.
    Markdown,
    /// For programs.
    Json,
    /// JUnit XML, for the test page of a CI server.
    Junit,
}

impl Format {
    /// Writes a report in this form.
    pub fn write(self, report: &GateReport) -> String {
        match self {
            Format::Terminal => terminal::text(report),
            Format::Markdown => markdown::text(report),
            Format::Json => json::text(report),
            Format::Junit => junit::text(report),
        }
    }
}
