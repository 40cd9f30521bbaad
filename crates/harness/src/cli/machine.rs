//! `worthit machine`: measures the machine numbers.

use clap::Args;
use serde::Serialize;

use crate::{
    machine::Machine,
    numbers::{self, Numbers},
    run::{self, JoinError},
    scaling, table, terminal,
};
use worthit_machine::Effort;
use worthit_pair::format;

/// Measure the machine itself: memory, arithmetic, system calls, disk, loopback, SQLite.
#[derive(Debug, Args)]
pub(super) struct MachineArguments {
    /// Take fewer and shorter readings.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Content of the JSON output.
#[derive(Debug, Serialize)]
struct MachineOutput {
    machine: Machine,
    ceiling: Vec<scaling::Point>,
    #[serde(flatten)]
    numbers: Numbers,
}

/// Measures the machine and returns the text to print.
///
/// # Errors
/// If another run is measuring, or the run folder is unusable.
pub(super) fn run(arguments: &MachineArguments) -> Result<String, JoinError> {
    run::take_turn_here()?;
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let numbers = numbers::measure(&effort);
    let output =
        MachineOutput { machine: Machine::current(), ceiling: scaling::ceiling(), numbers };
    if arguments.json {
        let text = serde_json::to_string_pretty(&output).expect("every field has a JSON form");
        return Ok(format!("{text}\n"));
    }
    Ok(in_words(&output))
}

fn in_words(output: &MachineOutput) -> String {
    let Machine { key, cpu, .. } = &output.machine;
    let part = |(name, part): (&str, String)| format!("  {name}: {part}\n");
    let parts: String = output.machine.parts().into_iter().map(part).collect();
    let speedup = |point: &scaling::Point| {
        format!("{} on {}", point.speedup.as_gain(), format::count(point.threads))
    };
    let ceiling: Vec<String> = output.ceiling.iter().map(speedup).collect();
    format!(
        "{key}\n  sold as: {cpu}\n{parts}{}\nceiling of threads (speedup of a kernel that stays in registers): {}\n{}\n",
        table::of_numbers(&output.numbers, terminal::width()),
        ceiling.join("; "),
        output.numbers.load_in_words()
    )
}
