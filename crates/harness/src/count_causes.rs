//! Counts causes. Bench processes leave this to the `worthit` command, so that a timed binary never counts.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{
    interrupt,
    measuring::{NotReady, proven},
    queue, servers,
};
use worthit_pair::{
    case::CaseKey,
    case::fnv1a,
    cases::{self, Extent, NamedCase},
    causes::{self, Counts, NotCounting},
    family::{Entry, Family},
    pair::{BrokenClaim, Claim, Metric},
    paths,
    plans::Plan,
    trial::{Role, Unproven, Window, counts_of},
};

/// The counts of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedCase {
    /// The case.
    #[serde(flatten)]
    pub key: CaseKey,
    /// Inputs that the sides rotate through; 0 if the case cannot run on this machine.
    pub inputs: u64,
    /// Counts of each side for the causes that the pair names, summed over one iteration on each input; empty if the
    /// case cannot run on this machine.
    pub sides: Vec<(Role, Counts)>,
    /// The query plans of the statements that each side ran; empty where none asked a database that says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<(Role, Vec<Plan>)>,
    /// Why the case cannot run on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

impl CountedCase {
    /// Checks that the counts are as `entry` claims.
    ///
    /// # Errors
    /// If a claim does not hold.
    pub fn check(&self, entry: &Entry, case: &NamedCase) -> Result<(), BrokenClaim> {
        let of = |role| counts_of(&self.sides, role);
        let Some((naive, optimized)) = of(Role::Naive).zip(of(Role::Optimized)) else {
            return Ok(());
        };
        let check = |claim: &Claim| claim.check(&case.case, self.inputs, naive, optimized);
        entry.causes.iter().try_for_each(check)
    }
}

/// Failure to count the causes of a case.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {error}")]
pub struct CountingError {
    /// The case.
    key: CaseKey,
    /// Why.
    error: Unproven,
}

/// Counts the causes of every measured case of `entries` within `extent`.
///
/// # Errors
/// If this binary does not count, or a pair's proof on its input fails.
pub fn count_causes(
    entries: &[&Entry],
    extent: Extent,
    seed: u64,
) -> Result<Vec<CountedCase>, CountingError> {
    let mut counted = Vec::new();
    for entry in entries {
        for named in cases::measured(entry, extent, seed) {
            let key = named.key;
            let (sides, plans) = (Vec::new(), Vec::new());
            let mut case = CountedCase { key, inputs: 0, sides, plans, unavailable: None };
            match (entry.prepare)(&named.case) {
                Err(unavailable) => case.unavailable = Some(unavailable.to_string()),
                Ok(mut trial) => {
                    let counts = trial.prove_and_count(case.key.point);
                    let unproven = |error| CountingError { key: case.key.clone(), error };
                    case.sides = counts.map_err(unproven)?;
                    case.inputs = trial.inputs() as u64;
                    let named = entry.named_causes();
                    case.sides.iter_mut().for_each(|(_, counts)| counts.retain(&named));
                    let planned = trial.roles().into_iter().map(|role| (role, trial.plans(role)));
                    case.plans = planned.filter(|(_, plans)| !plans.is_empty()).collect();
                }
            }
            counted.push(case);
        }
    }
    Ok(counted)
}

/// Counts of a pair at its headline, or of a study at its last step, for the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadlineCounts {
    /// Id of the pair or study.
    pub id: String,
    /// Inputs that the sides rotate through; 0 if the case cannot run on this machine.
    pub inputs: u64,
    /// All counts of each side, even those that the pair does not name, summed over one iteration on each input; empty
    /// if the case cannot run on this machine.
    pub sides: Vec<(Role, Counts)>,
    /// Number of threads that the naive or the optimized side keeps busy, whichever is larger.
    pub threads: usize,
    /// FNV-1a hash of the answer as `Debug` prints it, to compare builds on the same input.
    pub answer: Option<u64>,
    /// Why the proof failed, if it did.
    pub problem: Option<String>,
}

impl HeadlineCounts {
    /// Returns an empty result, for a pair or study that was not counted.
    pub fn uncounted(id: &str) -> HeadlineCounts {
        HeadlineCounts {
            id: id.to_owned(),
            inputs: 0,
            sides: Vec::new(),
            threads: 1,
            answer: None,
            problem: None,
        }
    }
}

/// Passes through the inputs to count for the gate. Occasional work, such as a map's cleanup, hardly ever occurs in
/// all of them.
const PASSES: usize = 5;
/// Passes to count if a side uses several threads. More are needed: a queue that allocates when answers arrive out
/// of order skips the allocation in only one pass of ten.
const PASSES_OF_THREADS: usize = 32;

/// Counts each side several times at the headline of its pair, and returns the minimum of each count. Each
/// iteration calls `injected`, which the gate's self-test passes.
///
/// # Errors
/// If this binary does not count.
pub fn at_headlines(
    entries: &[&Entry],
    seed: u64,
    injected: Option<fn()>,
) -> Result<Vec<HeadlineCounts>, NotCounting> {
    causes::require_counting()?;
    let window = injected.map_or(Window::COUNTED, |injected| Window::COUNTED.with(injected));
    let count = |entry: &&Entry| {
        let case = cases::headline(entry, seed);
        let mut found = HeadlineCounts::uncounted(entry.id);
        match proven(entry, &case) {
            Ok(mut trial) => {
                for role in trial.roles() {
                    let mut least = trial.count_in(role, &window).ok()?;
                    // Counts under open-loop load are not judged, and its iterations are long.
                    let varies = trial.threads(role) > 1 && entry.metric != Metric::P99Latency;
                    let passes = if varies { PASSES_OF_THREADS } else { PASSES };
                    for _ in 1..passes {
                        least.lower_to(&trial.count_in(role, &window).ok()?);
                    }
                    found.sides.push((role, least));
                }
                found.inputs = trial.inputs() as u64;
                found.threads = trial.most_threads();
                found.answer = Some(fnv1a(trial.printed_answers().bytes()));
            }
            Err(NotReady::Unavailable(_)) => {}
            Err(NotReady::Unproven(problem)) => found.problem = Some(problem),
        }
        Some(found)
    };
    Ok(entries.iter().filter_map(count).collect())
}

/// Reason why causes were not counted.
#[derive(Debug, thiserror::Error)]
pub enum Uncounted {
    /// The command that counts does not exist.
    #[error("{} does not exist: build it (`cargo build --release`), or set WORTHIT_COUNTER to another command that counts", _0.display())]
    NoCommand(PathBuf),
    /// The command failed.
    #[error("{}: {problem}", command.display())]
    Failed {
        /// The command.
        command: PathBuf,
        /// What it reported.
        problem: String,
    },
}

/// Returns the counts of the pairs `ids` of `family`, from the command that counts: a process for each pair, as many at once as
/// there are cores, since counts do not depend on what else runs.
///
/// # Errors
/// If that command does not exist or fails.
pub fn by_command(
    family: &Family,
    ids: &[&str],
    extent: Extent,
    seed: u64,
) -> Result<Vec<CountedCase>, Uncounted> {
    let command = counter();
    if !ids.is_empty() && !command.is_file() {
        return Err(Uncounted::NoCommand(command));
    }
    let counted =
        queue::on_all_cores(ids, |id| by_one_process(&command, family, id, extent, seed))?;
    Ok(counted.into_iter().flatten().collect())
}

fn by_one_process(
    command: &Path,
    family: &Family,
    id: &str,
    extent: Extent,
    seed: u64,
) -> Result<Vec<CountedCase>, Uncounted> {
    let failed = |problem: String| Uncounted::Failed { command: command.to_owned(), problem };
    let extent = match extent {
        Extent::Quick | Extent::Ends => "--quick",
        Extent::Default => "--default",
        Extent::Deep => "--deep",
    };
    let mut counting = Command::new(command);
    counting.args(["causes", "--json", extent, "--seed", &seed.to_string(), id]);
    let counting = servers::hand_on(&mut counting).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = interrupt::output_of_child(counting).map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("counting {} failed: {}", family.name, message.trim())));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// Returns the path of the command that counts: `$WORTHIT_COUNTER`, which a bench process sets where it starts, or else
/// `worthit` in the target folder.
fn counter() -> PathBuf {
    let named = std::env::var_os("WORTHIT_COUNTER").map(PathBuf::from);
    named.unwrap_or_else(|| paths::target().join("release/worthit"))
}
