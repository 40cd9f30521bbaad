//! `worthit machine`: what this machine can do.

use clap::Args;
use serde::Serialize;

use crate::{
    machine::Machine,
    numbers::{self, Numbers},
    run::{self, JoinError},
    scaling, table,
};
use worthit_machine::Effort;
use worthit_pair::format;

/// Measure what this machine can do: memory, arithmetic, system calls, disk, loopback, SQLite.
#[derive(Debug, Args)]
pub(super) struct MachineArguments {
    /// Fewer and shorter readings.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Found {
    machine: Machine,
    ceiling: Vec<scaling::Point>,
    #[serde(flatten)]
    numbers: Numbers,
}

/// Measures, in the turn of this process, and returns what is to be printed.
///
/// # Errors
/// If another run is measuring, or the folder of runs cannot be used.
pub(super) fn run(arguments: &MachineArguments) -> Result<String, JoinError> {
    run::take_turn_here()?;
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let numbers = numbers::measure(&effort);
    let found = Found { machine: Machine::current(), ceiling: scaling::ceiling(), numbers };
    if arguments.json {
        let text = serde_json::to_string_pretty(&found).expect("it has nothing that JSON has not");
        return Ok(format!("{text}\n"));
    }
    Ok(in_words(&found))
}

fn in_words(found: &Found) -> String {
    let Machine { key, cpu, caches, .. } = &found.machine;
    let worth = |point: &scaling::Point| {
        format!("{} on {}", point.speedup.as_gain(), format::count(point.threads))
    };
    let ceiling: Vec<String> = found.ceiling.iter().map(worth).collect();
    format!(
        "{key}: {cpu}; {caches}\n{}\nceiling of threads, cores' worth of a kernel in registers: {}\n{}\n",
        table::of_numbers(&found.numbers),
        ceiling.join("; "),
        found.numbers.load_in_words()
    )
}
