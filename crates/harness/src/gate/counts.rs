//! Counts of what a build does.
//!
//! The build's command counts causes. Its bench binaries count instructions, under callgrind. The counts are stored
//! beside the build (`stored_counts`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
};

use super::{
    build::Build,
    client::WorkerError,
    instructions,
    protocol::{GateCase, Injected},
    stored_counts::{self, Conditions},
    verdict::{Counted, INSTRUCTIONS},
};
use crate::{count_causes::HeadlineCounts, interrupt, servers};
use worthit_pair::trial::Role;

/// Sides whose counts are judged; a peer crate is not ours to judge.
pub const JUDGED: [Role; 2] = [Role::Naive, Role::Optimized];

/// Counts of a case, by side and cause.
pub type CaseCounts = BTreeMap<(Role, String), Counted>;

/// Counts of one build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildCounts {
    /// Counts by pair id.
    pub by_pair: BTreeMap<String, CaseCounts>,
    /// Number of inputs that each pair rotates through; the counts of causes are sums over them.
    pub inputs: BTreeMap<String, u64>,
    /// Number of threads that each pair keeps busy.
    pub threads: BTreeMap<String, usize>,
    /// FNV-1a hashes of each pair's answers; several if its answer varies.
    pub answers: BTreeMap<String, BTreeSet<u64>>,
    /// Reasons why pairs are not proven.
    pub problems: BTreeMap<String, String>,
}

/// Failure of a build's command to count.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot count causes: {problem}", command.display())]
pub struct CountError {
    /// Path of the command.
    command: std::path::PathBuf,
    /// What went wrong.
    problem: String,
}

impl BuildCounts {
    /// Adds a count from another process.
    pub fn add(&mut self, id: &str, role: Role, cause: &str, count: u64) {
        let counts = self.by_pair.entry(id.to_owned()).or_default();
        let new = Counted::once(count);
        counts
            .entry((role, cause.to_owned()))
            .and_modify(|known| *known = known.and(new))
            .or_insert(new);
    }

    /// Adds all counts of the same build from other processes.
    pub fn merge(&mut self, other: BuildCounts) {
        for (id, counts) in other.by_pair {
            let own = self.by_pair.entry(id).or_default();
            for (key, counted) in counts {
                own.entry(key).and_modify(|known| *known = known.and(counted)).or_insert(counted);
            }
        }
        for (id, answers) in other.answers {
            self.answers.entry(id).or_default().extend(answers);
        }
        self.problems.extend(other.problems);
        self.threads.extend(other.threads);
        self.inputs.extend(other.inputs);
    }

    /// Returns over how many iterations a count of a pair is summed: instructions are those of one.
    pub fn iterations(&self, id: &str, cause: &str) -> u64 {
        match cause {
            INSTRUCTIONS => 1,
            _ => self.inputs.get(id).map_or(1, |inputs| (*inputs).max(1)),
        }
    }

    /// Returns whether the instructions of both sides of a pair have been counted.
    pub fn has_instructions(&self, id: &str) -> bool {
        let counts = self.by_pair.get(id);
        let has_role = |role| {
            counts.is_some_and(|counts| counts.contains_key(&(role, INSTRUCTIONS.to_owned())))
        };
        JUDGED.into_iter().all(has_role)
    }

    /// Returns whether the causes of a pair have been counted, or cannot be because it is not proven.
    pub fn has_causes(&self, id: &str) -> bool {
        self.problems.contains_key(id)
            || self
                .by_pair
                .get(id)
                .is_some_and(|counts| counts.keys().any(|(_, cause)| cause != INSTRUCTIONS))
    }

    /// Returns whether a pair gives the same answer in another build; true if an answer varies or is unknown.
    pub fn agrees_on(&self, id: &str, other: &BuildCounts, other_id: &str) -> bool {
        let (Some(own), Some(others)) = (self.answers.get(id), other.answers.get(other_id)) else {
            return true;
        };
        let varies = own.len() > 1 || others.len() > 1;
        varies || own.is_empty() || others.is_empty() || !own.is_disjoint(others)
    }

    /// Counts the causes of pairs in a new process.
    ///
    /// # Errors
    /// If the command of the build fails.
    pub fn add_causes(
        &mut self,
        build: &Build,
        ids: &[&str],
        seed: u64,
        injected: Option<&str>,
    ) -> Result<(), CountError> {
        for found in causes(&build.counter, ids, seed, injected)? {
            self.answers.entry(found.id.clone()).or_default().extend(found.answer);
            self.threads.insert(found.id.clone(), found.threads);
            self.inputs.insert(found.id.clone(), found.inputs);
            if let Some(problem) = found.problem {
                self.problems.insert(found.id.clone(), problem);
            }
            for (role, counts) in found.sides.iter().filter(|(role, _)| JUDGED.contains(role)) {
                for (cause, count) in counts.iter() {
                    self.add(&found.id, *role, cause, count);
                }
            }
        }
        Ok(())
    }

    /// Counts the instructions of a pair's sides in a new process, whose heap is moved by `shift`; see
    /// [`instructions::count`].
    ///
    /// # Errors
    /// If the case cannot run, or the worker or valgrind fails.
    pub fn add_instructions(
        &mut self,
        program: &Path,
        case: &GateCase,
        roles: &[Role],
        injected: Option<Injected>,
        shift: usize,
    ) -> Result<(), WorkerError> {
        for (role, count) in instructions::count(program, case, roles, injected, shift)? {
            self.add(&case.key.pair, role, INSTRUCTIONS, count);
        }
        Ok(())
    }

    /// Loads the stored counts of a build for this seed; those that hold under the conditions here.
    pub fn load(build: &Build, seed: u64) -> BuildCounts {
        stored_counts::load(&build.folder, seed, &Conditions::here())
    }

    /// Stores the counts of a build for this seed.
    pub fn save(&self, build: &Build, seed: u64) {
        stored_counts::save(self, &build.folder, seed, &Conditions::here());
    }
}

/// Runs a build's command to count the causes of pairs at their headlines.
fn causes(
    command: &Path,
    ids: &[&str],
    seed: u64,
    injected: Option<&str>,
) -> Result<Vec<HeadlineCounts>, CountError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |problem: String| CountError { command: command.to_owned(), problem };
    let mut counting = Command::new(command);
    counting.args(["causes", "--headlines", "--seed", &seed.to_string()]).args(ids);
    counting.args(injected.iter().flat_map(|injected| ["--inject", injected]));
    let counting = servers::hand_on(&mut counting).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = interrupt::output_of_child(counting).map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}
