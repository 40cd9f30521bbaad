//! The run in which causes are counted: made by the `worthit` command, asked for by bench
//! processes, so that nothing is counted in a timed binary.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{
    interrupt,
    measuring::{NotReady, proven},
};
use worthit_pair::{
    cases::{self, CaseKey, Extent},
    causes::{self, Counts, NotCounting},
    family::{Entry, Family},
    pair::{Metric, fnv1a},
    paths,
    trial::{Disagreement, Role, Window, WrongSize},
};

/// The counts of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedCase {
    /// The case.
    #[serde(flatten)]
    pub key: CaseKey,
    /// Counts of each side for the causes that the pair names; empty if the case cannot run here.
    pub sides: Vec<(Role, Counts)>,
}

/// Counting failed.
#[derive(Debug, thiserror::Error)]
pub enum CountingError {
    /// Counting in a timed binary.
    #[error(transparent)]
    NotCounting(#[from] causes::NotCounting),
    /// The sides disagree.
    #[error("{key}: {error}")]
    Disagreement {
        /// The case.
        key: CaseKey,
        /// Both answers.
        error: Disagreement,
    },
    /// The input is not of the size it claims.
    #[error("{key}: {error}")]
    WrongSize {
        /// The case.
        key: CaseKey,
        /// Both sizes.
        error: WrongSize,
    },
}

/// Counts the causes of every measured case of `entries` within `extent`.
///
/// # Errors
/// In a binary that does not count, and where a pair is not proven on its input.
pub fn count_causes(
    entries: &[&Entry],
    extent: Extent,
    seed: u64,
) -> Result<Vec<CountedCase>, CountingError> {
    causes::require_counting()?;
    let mut counted = Vec::new();
    for entry in entries {
        for named in cases::measured(entry, extent, seed) {
            let key = named.key;
            let mut sides = Vec::new();
            if let Ok(mut trial) = (entry.prepare)(&named.case) {
                let wrong_size = |error| CountingError::WrongSize { key: key.clone(), error };
                trial.check_size(key.point).map_err(wrong_size)?;
                let disagree = |error| CountingError::Disagreement { key: key.clone(), error };
                trial.verify().map_err(disagree)?;
                for role in trial.roles() {
                    let mut counts = trial.count(role)?;
                    counts.retain(&entry.named_causes());
                    sides.push((role, counts));
                }
            }
            counted.push(CountedCase { key, sides });
        }
    }
    Ok(counted)
}

/// What is counted of a pair's far end, for the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarEnd {
    /// Id of the pair.
    pub id: String,
    /// All counts of each side, named by the pair or not; empty if the case cannot run here.
    pub sides: Vec<(Role, Counts)>,
    /// Threads that the busier of the naive and the optimized side keeps busy.
    pub threads: usize,
    /// FNV-1a of the answer, as `Debug` writes it: what the same input gives in another build.
    pub answer: Option<u64>,
    /// Why the case is not proven, if it is not.
    pub problem: Option<String>,
}

/// Iterations that are counted for the gate: what an iteration does only now and then, as a map that
/// cleans up, is in hardly all of them.
const ITERATIONS: usize = 5;
/// Iterations of several threads: a queue that allocates when answers come out of order does not in one of ten.
const ITERATIONS_OF_THREADS: usize = 32;

/// Counts the least that an iteration of each side does at the far end of `entries`. `injected` is called
/// in each, for the gate's self-test.
///
/// # Errors
/// In a binary that does not count.
pub fn far_ends(
    entries: &[&Entry],
    seed: u64,
    injected: Option<fn()>,
) -> Result<Vec<FarEnd>, NotCounting> {
    causes::require_counting()?;
    let window = injected.map_or(Window::COUNTED, |injected| Window::COUNTED.with(injected));
    let far_end = |entry: &&Entry| {
        let case = cases::far_end(entry, seed)?;
        let (id, sides) = (entry.id.to_owned(), Vec::new());
        let mut found = FarEnd { id, sides, threads: 1, answer: None, problem: None };
        match proven(entry, &case) {
            Ok(mut trial) => {
                for role in trial.roles() {
                    let mut least = trial.count_in(role, &window).ok()?;
                    // An open load's counts are not judged, and an iteration of it is long.
                    let varies = trial.threads(role) > 1 && entry.metric != Metric::P99Latency;
                    let iterations = if varies { ITERATIONS_OF_THREADS } else { ITERATIONS };
                    for _ in 1..iterations {
                        least.lower_to(&trial.count_in(role, &window).ok()?);
                    }
                    found.sides.push((role, least));
                }
                found.threads = trial.threads(Role::Naive).max(trial.threads(Role::Optimized));
                found.answer = Some(fnv1a(trial.printed_answer().bytes()));
            }
            Err(NotReady::Unavailable(_)) => {}
            Err(NotReady::Unproven(problem)) => found.problem = Some(problem),
        }
        Some(found)
    };
    Ok(entries.iter().filter_map(far_end).collect())
}

/// Why causes are not there.
#[derive(Debug, thiserror::Error)]
pub enum Uncounted {
    /// There is no command that counts.
    #[error("there is no {} that could count them: build it (`cargo build --release`), or name one: WORTHIT_COUNTER=…", _0.display())]
    NoCommand(PathBuf),
    /// It failed.
    #[error("{}: {problem}", command.display())]
    Failed {
        /// The command.
        command: PathBuf,
        /// What it said.
        problem: String,
    },
}

/// The counts of the pairs `ids` of `family`, by the command beside this executable.
///
/// # Errors
/// If there is no such command, or it fails.
pub fn by_command(
    family: &Family,
    ids: &[&str],
    extent: Extent,
    seed: u64,
) -> Result<Vec<CountedCase>, Uncounted> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let command = counter();
    if !command.is_file() {
        return Err(Uncounted::NoCommand(command));
    }
    let failed = |problem: String| Uncounted::Failed { command: command.clone(), problem };
    let extent = match extent {
        Extent::Ends | Extent::Quick => "--quick",
        Extent::Default => "--default",
        Extent::Deep => "--deep",
    };
    let mut counting = Command::new(&command);
    counting.args(["causes", "--json", extent, "--seed", &seed.to_string()]).args(ids);
    let output = interrupt::output_of_child(counting.stdin(Stdio::null()).stderr(Stdio::piped()))
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("counting {} failed: {}", family.name, said.trim())));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// The command that counts: `$WORTHIT_COUNTER`, else `worthit` in the folder that cargo puts
/// binaries in, two above a bench executable.
fn counter() -> PathBuf {
    if let Some(named) = std::env::var_os("WORTHIT_COUNTER") {
        return PathBuf::from(named);
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let profile = exe.parent().and_then(Path::parent).map(Path::to_owned);
    profile.unwrap_or_else(|| paths::target().join("release")).join("worthit")
}
