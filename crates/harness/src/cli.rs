//! The `worthit` command: everything except measuring the pairs, which is `cargo bench`.

mod audit;
mod causes;
mod cite;
mod expire;
mod format;
mod gate;
#[cfg(feature = "history")]
mod history;
mod lints;
mod list;
mod machine;
mod manual;
mod matter;
mod reference;
mod report;
mod scale;
mod search;
mod show;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    cargo,
    count_causes::CountingError,
    desk::{
        Desk, Figures,
        profile::ProfileError,
        sweep_point::{Asked, NothingKnown},
    },
    gate::budgets::BudgetsError,
    interrupt,
    nearest::nearest_id,
    readme,
    result_file::ResultError,
    run::JoinError,
    servers,
};
use worthit_pair::{
    causes::{
        NotCounting,
        injected::{self, Injection},
    },
    family::{Entry, Family},
    helper, paths,
    study::StudyEntry,
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
    Show(show::ShowArguments),
    Cite(cite::CiteArguments),
    Lints(lints::LintsArguments),
    Matter(matter::MatterArguments),
    Expire(expire::ExpireArguments),
    Causes(causes::CausesArguments),
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
    Reference(reference::ReferenceArguments),
    Readme(reference::ReadmeArguments),
    Completions(manual::CompletionsArguments),
    Man(manual::ManArguments),
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
    #[error(
        "nobody has measured {id}: no run in {}, and no committed reference{tried}; run `cargo bench -- '^{id}/'`", runs.display()
    )]
    NotMeasured { id: &'static str, runs: PathBuf, tried: String },
    #[error("{0}: {1}")]
    NothingKnown(&'static str, NothingKnown),
    #[error("lints cannot be looked at: {0}")]
    LintsUnknown(String),
    #[error(
        "the gain of {0} is one of {1}, so a share of time says nothing about it: `worthit cite {0}` has its figures"
    )]
    NotOfTime(&'static str, &'static str),
    #[error(
        "standard input has no message of cargo: pipe it in, `cargo clippy --message-format=json | worthit lints`"
    )]
    NoMessages,
    #[error(
        "the gain of {0} is computed there, so nobody knows the time of a unit, which `--rate` needs: leave it out, or take a measured `--level`"
    )]
    NoTimes(&'static str),
    #[error("{}: {error}", path.display())]
    Profile { path: PathBuf, error: ProfileError },
    #[error("{0} was not audited: {1}")]
    NotAudited(&'static str, String),
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
    NotCounting(#[from] NotCounting),
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
    Reference(#[from] crate::reference::ReferenceError),
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
    if needs_cargo(&arguments.command) {
        cargo::settle_target();
    } else if paths::own_target().is_none() {
        // This executable was installed elsewhere. `cargo bench` measures where the catalogue is.
        let folder = catalogue.first().map_or("", |family| family.folder);
        paths::settle(cargo::likely_target(Path::new(folder)));
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
                | CliError::NotOfTime(..)
                | CliError::NoTimes(_)
                | CliError::NoMessages
                | CliError::NotCompared(_) => 2,
                CliError::Gate(error) => error.status(),
                _ => 1,
            })
        }
    }
}

/// Whether a command uses folders whose location only cargo knows, which takes as long to ask as most others run.
fn needs_cargo(command: &Command) -> bool {
    use Command::{Audit, Budgets, Causes, Gate, Machine, Reference, Report, Scale};
    match command {
        Audit(_) | Budgets(_) | Causes(_) | Gate(_) | Machine(_) | Reference(_) | Report(_)
        | Scale(_) => true,
        #[cfg(feature = "history")]
        Command::History(_) => true,
        _ => false,
    }
}

fn run(
    command: &Command,
    catalogue: &[&'static Family],
    injections: &[Injection],
) -> Result<ExitCode, CliError> {
    let done: Result<(), CliError> = match command {
        Command::List(arguments) => print(&list::run(arguments, catalogue)?),
        Command::Search(arguments) => print(&search::run(arguments, catalogue)?),
        Command::Show(arguments) => print(&show::run(arguments, catalogue)?),
        Command::Cite(arguments) => print(&cite::run(arguments, catalogue)?),
        Command::Lints(arguments) => return lints::run(arguments, catalogue),
        Command::Matter(arguments) => print(&matter::run(arguments, catalogue)?),
        Command::Expire(arguments) => print(&expire::run(arguments, catalogue)?),
        Command::Causes(arguments) => print(&causes::run(arguments, catalogue, injections)?),
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
        Command::Reference(arguments) => print(&reference::save(arguments, catalogue)?),
        Command::Readme(arguments) => reference::readme(arguments, catalogue),
        Command::Completions(arguments) => print(&manual::completions(arguments)?),
        Command::Man(arguments) => print(&manual::run(arguments)?),
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
    find_with_family(catalogue, asked).map(|(_, entry)| entry)
}

fn find_with_family(
    catalogue: &[&'static Family],
    asked: &str,
) -> Result<(&'static Family, &'static Entry), CliError> {
    let entries = || {
        let of_family = |family: &&'static Family| {
            let family = *family;
            family.pairs.iter().map(move |entry| (family, entry))
        };
        catalogue.iter().flat_map(of_family)
    };
    if let Some(found) = entries().find(|(_, entry)| entry.is_named(asked)) {
        return Ok(found);
    }
    if let Some(study) = find_study(catalogue, asked) {
        return Err(CliError::IsStudy(study.id));
    }
    let hint = nearest_id(asked, catalogue);
    let hint = hint.map_or(String::new(), |id| format!("; did you mean `{id}`?"));
    Err(CliError::UnknownPair { asked: asked.to_owned(), hint })
}

/// Finds the figures of a pair that say something of the point that is asked for.
fn figures_at(
    family: &'static Family,
    entry: &'static Entry,
    asked: &Asked,
) -> Result<Figures, CliError> {
    if let Some(figures) = Desk::figures_at(family, entry, asked)? {
        return Ok(figures);
    }
    let tried = Desk::why_silent(family, entry)?;
    let tried = tried.map_or(String::new(), |why| format!(" ({why})"));
    Err(CliError::NotMeasured { id: entry.id, runs: paths::home().join("runs"), tried })
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_parser_is_sound() {
        Arguments::command().debug_assert();
    }
}
