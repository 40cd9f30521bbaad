//! Output formats of a gate's report, one file each.

pub mod json;
mod junit;
mod markdown;
pub mod self_test;
mod terminal;

use super::report::GateReport;

/// Output format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for the terminal.
    Terminal,
    /// Markdown, for the summary of a CI step or a comment on a pull request.
    Markdown,
    /// JSON, for programs.
    Json,
    /// JUnit XML, for the test page of a CI server.
    Junit,
}

impl Format {
    /// Returns a report in this format.
    pub fn write(self, report: &GateReport) -> String {
        match self {
            Format::Terminal => terminal::text(report),
            Format::Markdown => markdown::text(report),
            Format::Json => json::text(report),
            Format::Junit => junit::text(report),
        }
    }
}
