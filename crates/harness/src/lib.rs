//! Runs pairs and reports on them: benches, statistics, results, pages, the gate, the history and the `worthit`
//! command.
//!
//! ARCHITECTURE.md has the code map. The crate `worthit-pair` defines what a pair consists of.

pub mod audit;
pub mod bench;
mod calibration;
pub mod capacity;
pub mod cards;
mod cargo;
mod checks;
pub mod cli;
pub mod clippy;
pub mod comparison;
mod conclusion;
pub mod count_causes;
mod criterion_output;
pub mod criterion_pages;
pub mod desk;
pub mod flags;
pub mod gate;
pub mod growth;
pub mod history;
pub mod interleave;
pub mod interrupt;
pub mod limit;
pub mod lines;
pub mod load;
pub mod machine;
#[cfg(test)]
mod made;
pub mod measuring;
pub mod nearest;
pub mod numbers;
pub mod portability;
mod printing;
mod process;
mod progress;
pub mod queue;
pub mod readme;
pub mod reference;
pub mod report;
pub mod result_file;
pub mod results;
pub mod run;
pub mod run_summary;
pub mod run_verdict;
pub mod samples;
pub mod scaling;
pub mod search;
mod selection;
pub mod servers;
mod startup;
pub mod statistics;
mod strong_scaling;
pub mod study;
pub mod table;
pub mod terminal;
