//! `worthit gate` and `worthit budgets`: flags, outputs and exit status.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    count_causes,
    gate::{
        self, GateError, Settings,
        budgets::Budgets,
        output::{self, Format},
        report::GateReport,
        self_test,
        verdict::{Tolerances, Verdict},
    },
    machine::Machine,
    result_file::{ResultError, write_atomically},
    results::Run,
    study,
};
use worthit_pair::{
    causes::injected::Injection,
    family::{Entry, Family},
};

use super::CliError;
#[cfg(feature = "history")]
use crate::history::{History, HistoryError, Recorded};

/// Exit status if a pair regressed.
const REGRESSED: u8 = 1;
/// Exit status if there is no verdict.
const NOT_JUDGED: u8 = 2;

/// Compare the working tree (head) with another revision (base), and fail if a pair regressed.
///
/// Judges the pairs that depend on something that has changed. First counts instructions, allocations, SQL statements
/// and other causes per iteration in both builds. Then times the pairs, with base and head interleaved.
///
/// Exit status: 0 no pair regressed (undecided pairs pass), 1 a pair regressed, 2 no verdict was possible.
#[derive(Debug, Args)]
pub struct GateArguments {
    /// Base revision: a branch, tag or commit.
    #[arg(long, value_name = "REV", required_unless_present = "self_test")]
    against: Option<String>,
    /// Test the gate itself, with the working tree on this machine: how often it raises a false alarm, and which
    /// injected slowdowns and causes it detects.
    #[arg(long, conflicts_with = "against")]
    self_test: bool,
    /// Self-test: number of null (A/A) runs over all pairs, for each kind of null comparison.
    #[arg(long, default_value_t = 1, requires = "self_test")]
    nulls: usize,
    /// Self-test: number of times that each size of slowdown is injected into each pair; with 0, causes are not injected
    /// either.
    #[arg(long, default_value_t = 1, requires = "self_test")]
    trials: usize,
    /// Pairs to judge (default: all).
    ids: Vec<String>,
    /// Time limit for timing, such as 90s or 5m; builds and counts are not included.
    #[arg(long, alias = "budget", default_value = "5m", value_name = "DURATION")]
    time_limit: Span,
    /// Increase in time above which a slowdown is relevant.
    #[arg(long, default_value = "3%", value_name = "PERCENT")]
    relevant: Percent,
    /// Tolerated increase in instructions, excluding the allocator's.
    #[arg(long, default_value = "0.5%", value_name = "PERCENT")]
    tolerance: Percent,
    /// Upper bound on the probability that the times of a whole run without any change are called regressed or improved.
    #[arg(long, default_value = "1%", value_name = "PERCENT")]
    false_alarms: Percent,
    /// Count and time all pairs, even those that depend on nothing that has changed.
    #[arg(long)]
    no_skip: bool,
    /// Budgets to enforce (default: `budgets.toml` beside the package's manifest, if it exists); `worthit budgets`
    /// writes the file.
    #[arg(long, value_name = "FILE")]
    budgets: Option<PathBuf>,
    /// Seed for all inputs.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Format of the printed report.
    #[arg(long, value_enum, default_value = "terminal")]
    format: Format,
    /// Also write the report to a file: `markdown=summary.md`; may be repeated.
    #[arg(long, value_name = "FORMAT=FILE")]
    output: Vec<Output>,
    /// History file to add the head's counts to.
    #[cfg(feature = "history")]
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Arguments for `cargo build`: `-- --features x`.
    #[arg(last = true)]
    cargo_arguments: Vec<String>,
}

/// An output format and the file to write it to.
#[derive(Clone, Debug)]
struct Output {
    format: Format,
    path: PathBuf,
}

impl FromStr for Output {
    type Err = String;
    fn from_str(text: &str) -> Result<Output, String> {
        let (format, path) = text.split_once('=').ok_or("expected FORMAT=FILE")?;
        Ok(Output { format: clap::ValueEnum::from_str(format, true)?, path: PathBuf::from(path) })
    }
}

/// A percentage as a fraction: `3%`, `0.5 %`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Percent(f64);

impl FromStr for Percent {
    type Err = String;
    fn from_str(text: &str) -> Result<Percent, String> {
        let number = text.strip_suffix('%').ok_or("expected a percentage such as 3%")?.trim();
        match number.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Percent(percent / 100.0)),
            _ => Err("expected a percentage from 0% to 100%".to_owned()),
        }
    }
}

/// A duration: `90s`, `5m`, `5m 30s`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span(Duration);

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Span, String> {
        let span: jiff::SignedDuration = text
            .parse()
            .map_err(|error| format!("{error}; expected a duration such as 90s or 5m"))?;
        Duration::try_from(span).map(Span).map_err(|error| error.to_string())
    }
}

/// Runs the gate; returns the text to print and the exit status.
///
/// # Errors
/// If there is no verdict, or an output cannot be written.
pub fn gate(
    arguments: &GateArguments,
    injections: &[Injection],
) -> Result<(String, ExitCode), GateCommandError> {
    let start = Instant::now();
    let settings = Settings {
        against: arguments.against.clone().unwrap_or_default(),
        ids: arguments.ids.clone(),
        time_limit: arguments.time_limit.0,
        relevant: arguments.relevant.0,
        false_alarms: arguments.false_alarms.0,
        tolerances: Tolerances { instructions: arguments.tolerance.0, ..Tolerances::default() },
        skip: !arguments.no_skip,
        seed: arguments.seed,
        budgets: arguments.budgets.clone(),
        cargo_arguments: arguments.cargo_arguments.clone(),
    };
    let progress = &mut |what: &str| {
        eprintln!("worthit gate [{} s] {what}", start.elapsed().as_secs());
    };
    if arguments.self_test {
        let extent = self_test::Extent { nulls: arguments.nulls, trials: arguments.trials };
        let found = self_test::run(&settings, extent, injections, progress)?;
        return Ok((output::self_test::text(&found), ExitCode::SUCCESS));
    }
    let failed = |path: &Path, error| ResultError::Write { path: path.to_owned(), error };
    for Output { path, .. } in &arguments.output {
        require_writable(path).map_err(|error| failed(path, error))?;
    }
    #[cfg(feature = "history")]
    let history = arguments.history.as_deref().map(History::open).transpose()?;
    let report = gate::run(&settings, progress)?;
    gate::save(&report);
    for Output { format, path } in &arguments.output {
        let written = write_atomically(path, format.write(&report).as_bytes());
        written.map_err(|error| failed(path, error))?;
    }
    #[cfg(feature = "history")]
    if let Some(mut history) = history {
        history.append(&Recorded::of_gate(&report))?;
    }
    Ok((arguments.format.write(&report), status(&report)))
}

/// Detects an unwritable output before the gate spends minutes on it.
fn require_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder).map(drop)
}

fn status(report: &GateReport) -> ExitCode {
    match report.verdict() {
        Verdict::Regressed => ExitCode::from(REGRESSED),
        _ => ExitCode::SUCCESS,
    }
}

/// Reason for having no verdict.
#[derive(Debug, thiserror::Error)]
pub enum GateCommandError {
    /// The comparison failed.
    #[error("the gate cannot judge: {0}")]
    Gate(#[from] GateError),
    /// An output cannot be written.
    #[error(transparent)]
    Output(#[from] ResultError),
    /// The history cannot be used.
    #[cfg(feature = "history")]
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl GateCommandError {
    /// The exit status.
    pub fn status(&self) -> u8 {
        NOT_JUDGED
    }
}

/// Flags of `worthit budgets`.
#[derive(Debug, Args)]
pub struct BudgetsArguments {
    /// Result measured on this machine, whose gains at the headlines become budgets too.
    #[arg(long, value_name = "RESULT")]
    gains: Option<PathBuf>,
    /// Margin between the lower end of a gain's confidence interval and its budget.
    #[arg(long, default_value = "10%", value_name = "PERCENT")]
    margin: Percent,
    /// Seed for all inputs.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Budgets file (default: `budgets.toml` beside the package's manifest).
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Counts the headlines of all pairs and writes the counts as budgets; returns the text to print.
///
/// # Errors
/// If the file is malformed or cannot be written, or causes cannot be counted.
pub(super) fn budgets(
    arguments: &BudgetsArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let file = arguments.file.clone().map_or_else(Budgets::default_path, Ok)?;
    let gains = arguments.gains.as_deref().map(measured_here).transpose()?;
    let known = Budgets::load(&file)?;
    let entries: Vec<&Entry> = catalogue.iter().flat_map(|family| family.pairs).collect();
    let cases =
        catalogue.iter().flat_map(|family| gate::worker::gate_cases(family, arguments.seed));
    let cases: Vec<_> = cases.collect();
    let mut found = count_causes::at_headlines(&entries, arguments.seed, None)?;
    let studies = catalogue.iter().flat_map(|family| family.studies);
    found.extend(studies.map(|entry| study::counts_of_last_step(entry, arguments.seed)));
    let mut budgets = Budgets::of_counts(known, &cases, &found);
    if let Some(run) = gains {
        budgets.set_gains(&run, &cases, arguments.margin.0);
    }
    budgets.save(&file)?;
    let (counts, gains) = (budgets.count.len(), budgets.gain.len());
    Ok(format!("{}: budgets for {counts} counts and {gains} gains\n", file.display()))
}

/// Reads a result, which must be of this machine.
fn measured_here(result: &Path) -> Result<Run, CliError> {
    let run = Run::load(result)?;
    let here = Machine::current().key;
    if run.machine.key == here {
        return Ok(run);
    }
    Err(CliError::OtherMachine { result: result.to_owned(), machine: run.machine.key, here })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_and_durations() {
        assert_eq!("3%".parse(), Ok(Percent(0.03)));
        assert_eq!("0.5 %".parse(), Ok(Percent(0.005)));
        assert!("3".parse::<Percent>().is_err());
        assert!("-1%".parse::<Percent>().is_err());
        assert!("NaN%".parse::<Percent>().is_err());
        assert_eq!("5m".parse(), Ok(Span(Duration::from_secs(300))));
        assert_eq!("1m 30s".parse(), Ok(Span(Duration::from_secs(90))));
        assert!("5".parse::<Span>().unwrap_err().contains("90s or 5m"));
        assert!("-5m".parse::<Span>().is_err());
        assert!("html=x".parse::<Output>().is_err());
        assert!("markdown".parse::<Output>().is_err());
    }
}
