//! What both builds do, counted: causes by the command of each build, instructions by its bench
//! binaries under callgrind. What was counted of a build is kept beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{
    client::WorkerError,
    instructions,
    protocol::{GateCase, Injected},
    revision::Build,
    verdict::{Counted, INSTRUCTIONS},
};
use crate::{count_causes::FarEnd, interrupt, results::write_atomically};
use worthit_pair::trial::Role;

/// Sides whose counts are compared; a peer crate is not ours to judge.
pub const JUDGED: [Role; 2] = [Role::Naive, Role::Optimized];

/// Raised whenever a count becomes one of something else, so that those kept before are not read.
const COUNTING: u64 = 2;

/// Counts of a case by side and cause.
pub type CaseCounts = BTreeMap<(Role, String), Counted>;

/// The counts of one build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildCounts {
    /// By pair.
    pub by_pair: BTreeMap<String, CaseCounts>,
    /// Threads that pairs keep busy.
    pub threads: BTreeMap<String, usize>,
    /// FNV-1a of the answers of pairs: several, if a pair answers otherwise each time.
    pub answers: BTreeMap<String, BTreeSet<u64>>,
    /// Why pairs are not proven.
    pub problems: BTreeMap<String, String>,
}

/// The command of a build cannot count.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot count causes: {problem}", command.display())]
pub struct CountError {
    /// The command.
    command: std::path::PathBuf,
    /// What is wrong.
    problem: String,
}

impl BuildCounts {
    /// Adds what another process counted.
    pub fn add(&mut self, id: &str, role: Role, cause: &str, count: u64) {
        let counts = self.by_pair.entry(id.to_owned()).or_default();
        let new = Counted::once(count);
        counts
            .entry((role, cause.to_owned()))
            .and_modify(|known| *known = known.and(new))
            .or_insert(new);
    }

    /// Adds all that others have counted of the same build.
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
    }

    /// The instructions of a pair, if both sides are counted.
    pub fn has_instructions(&self, id: &str) -> bool {
        let counts = self.by_pair.get(id);
        let has = |role| counts.is_some_and(|of| of.contains_key(&(role, INSTRUCTIONS.to_owned())));
        JUDGED.into_iter().all(has)
    }

    /// Whether the causes of a pair are counted.
    pub fn has_causes(&self, id: &str) -> bool {
        self.problems.contains_key(id)
            || self
                .by_pair
                .get(id)
                .is_some_and(|of| of.keys().any(|(_, cause)| cause != INSTRUCTIONS))
    }

    /// Whether a pair gives the same answer in another build, as far as it always gives the same.
    pub fn agrees_on(&self, id: &str, other: &BuildCounts, other_id: &str) -> bool {
        let (Some(own), Some(others)) = (self.answers.get(id), other.answers.get(other_id)) else {
            return true;
        };
        let varies = own.len() > 1 || others.len() > 1;
        varies || own.is_empty() || others.is_empty() || !own.is_disjoint(others)
    }

    /// Counts the causes of pairs in a process of its own.
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

    /// Counts the instructions of sides of a pair in a process of its own.
    ///
    /// # Errors
    /// If the case cannot run, or the worker or valgrind fails.
    pub fn add_instructions(
        &mut self,
        program: &Path,
        case: &GateCase,
        roles: &[Role],
        injected: Option<Injected>,
    ) -> Result<(), WorkerError> {
        for (role, count) in instructions::count(program, case, roles, injected)? {
            self.add(&case.key.pair, role, INSTRUCTIONS, count);
        }
        Ok(())
    }

    /// What was counted of a build before, with this seed.
    pub fn load(build: &Build, seed: u64) -> BuildCounts {
        let text = fs::read(build.folder.join(file_name(seed))).unwrap_or_default();
        // What cannot be read is counted anew.
        let Kept { rows, answers, threads } = serde_json::from_slice(&text).unwrap_or_default();
        let mut counts = BuildCounts { answers, threads, ..BuildCounts::default() };
        for Row { id, role, cause, counted } in rows {
            counts.by_pair.entry(id).or_default().insert((role, cause), counted);
        }
        counts
    }

    /// Keeps what was counted of a build.
    pub fn save(&self, build: &Build, seed: u64) {
        let rows = self
            .by_pair
            .iter()
            .flat_map(|(id, counts)| {
                counts.iter().map(|((role, cause), counted)| Row {
                    id: id.clone(),
                    role: *role,
                    cause: cause.clone(),
                    counted: *counted,
                })
            })
            .collect();
        let (answers, threads) = (self.answers.clone(), self.threads.clone());
        let kept = Kept { rows, answers, threads };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        // What is not kept is counted again.
        let _ = write_atomically(&build.folder.join(file_name(seed)), &text);
    }
}

fn file_name(seed: u64) -> String {
    format!("counts-{COUNTING}-{seed}.json")
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    rows: Vec<Row>,
    answers: BTreeMap<String, BTreeSet<u64>>,
    threads: BTreeMap<String, usize>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    id: String,
    role: Role,
    cause: String,
    counted: Counted,
}

fn causes(
    command: &Path,
    ids: &[&str],
    seed: u64,
    injected: Option<&str>,
) -> Result<Vec<FarEnd>, CountError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |problem: String| CountError { command: command.to_owned(), problem };
    let mut counting = Command::new(command);
    counting.args(["causes", "--far-ends", "--seed", &seed.to_string()]).args(ids);
    counting.args(injected.iter().flat_map(|injected| ["--inject", injected]));
    let output = interrupt::output_of_child(counting.stdin(Stdio::null()).stderr(Stdio::piped()))
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}
