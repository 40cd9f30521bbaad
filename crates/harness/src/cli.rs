//! The `worthit` command: everything except measuring the pairs, which is `cargo bench`.

mod audit;
mod gate;
#[cfg(feature = "history")]
mod history;
mod list;
mod machine;
mod report;
mod scale;
mod search;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{ArgGroup, Parser, Subcommand};

use crate::{
    cargo,
    count_causes::{self, CountingError},
    gate::budgets::BudgetsError,
    interrupt,
    nearest::nearest_id,
    readme, reference,
    result_file::ResultError,
    results::Run,
    run::JoinError,
    servers, study,
};
use worthit_pair::{
    cases::{self, Extent},
    causes::{
        self, Cause,
        injected::{self, Injection},
    },
    contract,
    family::{Entry, Family},
    format, helper,
    pair::Count,
    proof::Tried,
    study::{Fix, SimulatedWait, StudyEntry},
};

/// Is this optimization worth it? Compares naive and optimized implementations on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "worthit",
    version,
    after_help = "To measure, run `cargo bench`. It writes its report to reports/index.html."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::ListArguments),
    Search(search::SearchArguments),
    /// Show the review card of a pair, or what a study does and fixes.
    Show {
        /// Id of a pair or a study, in full or only its name: `queries/n_plus_one` or `n_plus_one`.
        id: String,
    },
    /// Count causes: how many comparisons, allocations, SQL statements, … each side needs per iteration.
    #[command(group = ArgGroup::new("extent").multiple(false))]
    Causes {
        /// Pairs to count (default: all).
        ids: Vec<String>,
        /// Count only at the near end and the headline of each sweep.
        #[arg(long, group = "extent")]
        quick: bool,
        /// Count at all regular points (the default).
        #[arg(long, group = "extent")]
        default: bool,
        /// Count at the larger points too.
        #[arg(long, group = "extent")]
        deep: bool,
        /// Seed for all inputs.
        #[arg(long, default_value_t = 42)]
        seed: u64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Print all counts at the headlines as JSON, for the gate.
        #[arg(long, group = "extent", hide = true)]
        headlines: bool,
        /// Do one more of this in each iteration, for the gate's self-test.
        #[arg(long, hide = true, requires = "headlines")]
        inject: Option<String>,
    },
    Audit(audit::AuditArguments),
    Machine(machine::MachineArguments),
    Gate(gate::GateArguments),
    /// Write the current counts, and optionally gains, as budgets that the gate enforces.
    ///
    /// A budget on a count holds on every machine. A budget on a gain (`--gains`) holds only on this machine.
    /// The gate fails if one is violated.
    Budgets(gate::BudgetsArguments),
    Report(report::ReportArguments),
    Scale(scale::ScaleArguments),
    /// Track runs over time: add results to a history, show trends and where levels changed.
    #[cfg(feature = "history")]
    History(history::HistoryArguments),
    /// Make a result the committed reference of its machine key, and update the Markdown files.
    Reference {
        /// Result of `cargo bench -- --rounds 5`.
        result: PathBuf,
        /// Path of README.md; references are kept in reports/ next to it.
        #[arg(long, default_value = "README.md")]
        file: PathBuf,
    },
    /// Update the generated parts of README.md and reports/README.md.
    Readme {
        /// Fail if they are out of date, and write nothing.
        #[arg(long)]
        check: bool,
        /// Path of README.md.
        #[arg(long, default_value = "README.md")]
        file: PathBuf,
    },
}

/// Failure of a command.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("no pair is named `{asked}`{hint} (`worthit list` lists all pairs and studies)")]
    UnknownPair { asked: String, hint: String },
    #[error(
        "`{0}` is a study, not a pair: `worthit show {0}` shows it, `cargo bench -- {0}` measures and counts it"
    )]
    IsStudy(&'static str),
    #[error(
        "`{0}` does not vary its number of threads; the family `parallelism` in `worthit list` has pairs that do"
    )]
    NoThreads(&'static str),
    #[error("there is no family `{asked}`; the families are {known}")]
    UnknownFamily { asked: String, known: String },
    #[error("nothing that was asked for counts `{0}`: `worthit list` has a column of causes")]
    NobodyCounts(String),
    #[error(
        "no card has a word like `{0}`: try other words, or see `worthit list`, which has all pairs and studies"
    )]
    NothingFound(String),
    #[error("no run with a recorded case found in {}: run `cargo bench`, or name a result file", _0.display())]
    NoRun(PathBuf),
    #[error("`--fail-if-worse` compares two results: name the earlier and the later one")]
    NeedsTwoResults,
    #[error(transparent)]
    NotCompared(Box<CliError>),
    #[cfg(feature = "history")]
    #[error("no history given: pass `--history FILE`, or set WORTHIT_HISTORY to the file")]
    NoHistoryNamed,
    #[cfg(feature = "history")]
    #[error("the history {} has no reading of `{id}` yet: import a run that measured it (`--import RESULT`)", path.display())]
    NotInHistory { id: String, path: PathBuf },
    #[cfg(feature = "history")]
    #[error(transparent)]
    History(#[from] crate::history::HistoryError),
    #[error(transparent)]
    Result(#[from] ResultError),
    #[error(transparent)]
    CountedCase(#[from] CountingError),
    #[error(transparent)]
    NotCounting(#[from] causes::NotCounting),
    #[error(transparent)]
    Gate(#[from] gate::GateCommandError),
    #[error(transparent)]
    Budgets(#[from] BudgetsError),
    #[error("{} was measured on the machine {machine}, and a budget on a gain holds only there; this machine is {here}: run `cargo bench` here and name its result", result.display())]
    OtherMachine { result: PathBuf, machine: String, here: String },
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("there is no injection named `{0}`")]
    NotInjectable(String),
    #[error(transparent)]
    Readme(#[from] readme::ReadmeError),
    #[error(transparent)]
    Reference(#[from] reference::ReferenceError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs the command with the process's arguments: the `main` of a `worthit` binary over `catalogue`.
///
/// The binary must also invoke [`counting_binary!`](worthit_pair::counting_binary). `injections` are the catalogue's
/// own, in addition to the built-in ones, for the gate's self-test.
pub fn main(catalogue: &[&'static Family], injections: &[Injection]) -> ExitCode {
    if let Some(status) = helper::run(catalogue) {
        return status;
    }
    let injections = injected::all(injections);
    let arguments = Arguments::parse();
    if needs_folders(&arguments.command) {
        cargo::settle_target();
    }
    let done = interrupt::handle()
        .map_err(CliError::from)
        .and_then(|()| run(&arguments.command, catalogue, &injections));
    servers::clean_up();
    match done {
        Ok(status) => status,
        Err(error) => {
            eprintln!("worthit: {error}");
            ExitCode::from(match error {
                CliError::UnknownPair { .. }
                | CliError::UnknownFamily { .. }
                | CliError::NobodyCounts(_)
                | CliError::IsStudy(_)
                | CliError::NoThreads(_)
                | CliError::NeedsTwoResults
                | CliError::NotCompared(_) => 2,
                CliError::Gate(error) => error.status(),
                _ => 1,
            })
        }
    }
}

/// Whether a command uses folders whose location cargo decides.
fn needs_folders(command: &Command) -> bool {
    !matches!(
        command,
        Command::List(_) | Command::Search(_) | Command::Show { .. } | Command::Readme { .. }
    )
}

fn run(
    command: &Command,
    catalogue: &[&'static Family],
    injections: &[Injection],
) -> Result<ExitCode, CliError> {
    let done: Result<(), CliError> = match command {
        Command::List(arguments) => print(&list::run(arguments, catalogue)?),
        Command::Search(arguments) => print(&search::run(arguments, catalogue)?),
        Command::Show { id } => match find_study(catalogue, id) {
            Some(study) => print(&card_of_study(study)),
            None => print(&card(find(catalogue, id)?)),
        },
        Command::Causes { ids, headlines: true, seed, inject, .. } => {
            let injected = inject.as_deref().map(|name| injected(name, injections)).transpose()?;
            let (entries, studies) = chosen_for_gate(catalogue, ids)?;
            let mut found = count_causes::at_headlines(&entries, *seed, injected)?;
            // No injection reaches what a study counts.
            if injected.is_none() {
                found.extend(studies.iter().map(|entry| study::counts_of_last_step(entry, *seed)));
            }
            print(&serde_json::to_string(&found).map_err(io::Error::other)?)
        }
        Command::Causes { ids, quick, deep, seed, json, .. } => {
            let extent = match (quick, deep) {
                (true, _) => Extent::Quick,
                (_, true) => Extent::Deep,
                _ => Extent::Default,
            };
            count(&chosen(catalogue, ids)?, extent, *seed, *json)
        }
        Command::Audit(arguments) => return audit::run(arguments, catalogue),
        Command::Machine(arguments) => print(&machine::run(arguments)?),
        Command::Budgets(arguments) => print(&gate::budgets(arguments, catalogue)?),
        Command::Gate(arguments) => {
            let (text, status) = gate::gate(arguments, injections)?;
            print(&text)?;
            return Ok(status);
        }
        Command::Report(arguments) => return report::run(arguments, catalogue),
        Command::Scale(arguments) => return scale::run(arguments, catalogue),
        #[cfg(feature = "history")]
        Command::History(asked) => print(&history::run(asked, catalogue)?),
        Command::Reference { result, file } => {
            let kept = reference::save(&Run::load(result)?, &file.with_file_name("reports"))?;
            readme::update(file, catalogue)?;
            print(&format!("{}\n", kept.display()))
        }
        Command::Readme { check: true, file } => Ok(readme::check(file, catalogue)?),
        Command::Readme { check: false, file } => Ok(readme::update(file, catalogue)?),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Prints to standard output; a closed pipe (`| head`) is not an error.
fn print(text: &str) -> Result<(), CliError> {
    match io::Write::write_all(&mut io::stdout().lock(), text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

fn find(catalogue: &[&'static Family], asked: &str) -> Result<&'static Entry, CliError> {
    let entries = || catalogue.iter().flat_map(|family| family.pairs);
    if let Some(entry) = entries().find(|entry| entry.id == asked || entry.name() == asked) {
        return Ok(entry);
    }
    if let Some(study) = find_study(catalogue, asked) {
        return Err(CliError::IsStudy(study.id));
    }
    let hint = nearest_id(asked, catalogue);
    let hint = hint.map_or(String::new(), |id| format!("; did you mean `{id}`?"));
    Err(CliError::UnknownPair { asked: asked.to_owned(), hint })
}

fn find_study(catalogue: &[&'static Family], asked: &str) -> Option<&'static StudyEntry> {
    let mut studies = catalogue.iter().flat_map(|family| family.studies);
    studies.find(|study| study.id == asked || study.name() == asked)
}

fn chosen(catalogue: &[&'static Family], ids: &[String]) -> Result<Vec<&'static Entry>, CliError> {
    if ids.is_empty() {
        return Ok(catalogue.iter().flat_map(|family| family.pairs).collect());
    }
    ids.iter().map(|id| find(catalogue, id)).collect()
}

/// Returns the pairs and the studies with these ids; all of both if there are none.
fn chosen_for_gate(
    catalogue: &[&'static Family],
    ids: &[String],
) -> Result<(Vec<&'static Entry>, Vec<&'static StudyEntry>), CliError> {
    if ids.is_empty() {
        let studies = catalogue.iter().flat_map(|family| family.studies);
        return Ok((chosen(catalogue, ids)?, studies.collect()));
    }
    let (mut entries, mut studies) = (Vec::new(), Vec::new());
    for id in ids {
        match find_study(catalogue, id) {
            Some(study) => studies.push(study),
            None => entries.push(find(catalogue, id)?),
        }
    }
    Ok((entries, studies))
}

fn injected(name: &str, injections: &[Injection]) -> Result<fn(), CliError> {
    let known = injections.iter().find(|known| known.name == name);
    known.map(|known| known.run).ok_or_else(|| CliError::NotInjectable(name.to_owned()))
}

fn count(entries: &[&Entry], extent: Extent, seed: u64, json: bool) -> Result<(), CliError> {
    let counted = count_causes::count_causes(entries, extent, seed)?;
    if json {
        return print(&serde_json::to_string(&counted).map_err(io::Error::other)?);
    }
    let mut text = String::new();
    for case in &counted {
        text += &format!("{} at {}\n", case.key.group(), format::count(case.key.point));
        if let Some(reason) = &case.unavailable {
            text += &format!("    cannot run here: {reason}\n");
        }
        let entry = entries.iter().find(|entry| entry.id == case.key.pair);
        for (role, counts) in case.sides.iter().filter(|(_, counts)| counts.iter().count() > 0) {
            let name = entry.map_or("", |entry| cases::side_name(entry, *role));
            let mean = |(id, count)| format!("{} {id}", format::mean(count, case.inputs));
            let counts: Vec<String> = counts.iter().map(mean).collect();
            text += &format!("    {name}: {}\n", counts.join(", "));
        }
    }
    print(&text)
}

/// Review card of a pair, as text.
fn card(entry: &Entry) -> String {
    let review = &entry.review;
    let kind = |count: &Count| match count {
        Count::Exactly(_) => "exact",
        Count::AtMost(_) => "an upper bound",
        Count::AtLeast(_) => "a lower bound",
    };
    let causes: Vec<String> = entry
        .causes
        .iter()
        .map(|claimed| {
            let (naive, optimized) = (kind(&claimed.naive), kind(&claimed.optimized));
            let Cause { label, counting, .. } = claimed.cause;
            let counted = counting.in_words();
            format!("{label}, {counted} (claims: naive {naive}, optimized {optimized})")
        })
        .collect();
    let lines = [
        ("naive", entry.naive.summary.to_owned()),
        ("optimized", entry.optimized.summary.to_owned()),
        ("smell", review.smell.to_owned()),
        ("remedy", review.remedy.to_owned()),
        ("keep the naive side when", review.keep_naive_when.to_owned()),
        ("costs", review.costs.to_owned()),
        ("input", entry.input.to_owned()),
        ("proven equal", Tried::by(entry).in_words()),
        ("answers", entry.contract.unwrap_or(contract::EQUAL).to_owned()),
        ("clippy lint", review.lint.to_string()),
        ("sweep", format!("{} ({} per {})", entry.axis.name, entry.metric.heading(), entry.unit)),
        ("causes", causes.join("; ")),
        ("why", entry.explanation.why.to_owned()),
    ];
    let body: String =
        lines.iter().map(|(name, text)| format!("\n{name}:\n    {text}\n")).collect();
    format!("{}: {}\n{body}\nreproduce: cargo bench -- {}\n", entry.id, entry.title, entry.id)
}

/// What a study does, simulates and fixes, as text.
fn card_of_study(study: &StudyEntry) -> String {
    let wait = |wait: &SimulatedWait| {
        let request = if wait.only.is_empty() { study.unit } else { wait.only };
        format!("{} ({} ms a {request}, until the fix {})", wait.on, wait.ms, wait.until.name)
    };
    let waits: Vec<String> = study.waits.iter().map(wait).collect();
    let causes: Vec<String> = study
        .counters()
        .map(|cause| format!("{}, {}", cause.label, cause.counting.while_serving()))
        .collect();
    let servers: Vec<String> = study.servers.iter().map(|program| program.to_string()).collect();
    let instead = study.instead.map_or(String::new(), |instead| {
        format!("; {} {} where that is not installed", instead.name, (instead.version)())
    });
    let lines = [
        ("story", study.story.to_owned()),
        ("workload", study.workload.to_owned()),
        ("every step keeps", study.contract.to_owned()),
        ("runs on", servers.join(", ") + &instead),
        ("simulated", waits.join("; ")),
        ("causes", causes.join("; ")),
    ];
    let lines = lines.into_iter().filter(|(_, text)| !text.is_empty());
    let fixes = study.fixes.iter().zip(1..).map(|(fix, place)| {
        let Fix { name, title, why, costs, .. } = fix;
        (format!("fix {place}, {name}"), format!("{title}.\n    Why: {why}\n    Costs: {costs}"))
    });
    let body: String = lines
        .map(|(name, text)| (name.to_owned(), text))
        .chain(fixes)
        .map(|(name, text)| format!("\n{name}:\n    {text}\n"))
        .collect();
    format!("{id}: {}\n{body}\nmeasure: cargo bench -- {id}\n", study.title, id = study.id)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_parser_is_sound() {
        Arguments::command().debug_assert();
    }
}
