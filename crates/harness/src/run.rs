//! The run file. A run consists of several processes: cargo starts one bench binary per family, and each appends its
//! finished cases to the file of the run.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jiff::Timestamp;
use procfs::{Current, Uptime, process::Process};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
    cargo::Invocation,
    interrupt, lines,
    machine::Machine,
    result_file::{CaseRecord, Record, ResultError},
    results::{PairResult, Revision, Run},
    samples::{self, Sample},
};
use worthit_pair::paths;

/// The run that this process belongs to, and its file.
#[derive(Debug)]
pub struct RunFile {
    path: PathBuf,
    run: Run,
}

/// The process that identifies a run. No clock is part of it: the system may adjust the clock between two processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leader {
    pid: i32,
    /// Start time in ticks since boot, which distinguishes it from a later process with the same id.
    start_ticks: u64,
    /// The boot and the namespace that its id belongs to. Containers may share a folder, but their process ids mean
    /// nothing to each other.
    #[serde(default)]
    scope: String,
    /// Its command line: `cargo bench` and the arguments.
    command: Vec<String>,
}

/// Contents of `measuring.json`: who may measure, and into which files.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Turn {
    #[serde(flatten)]
    leader: Leader,
    /// Key of the run of each package. One cargo command may measure several packages of a workspace.
    #[serde(default)]
    runs: BTreeMap<String, String>,
}

/// Another run is measuring.
#[derive(Debug, thiserror::Error)]
#[error(
    "another run is measuring in this checkout (process {pid}: {command}), and two runs at once disturb each other. \
     Wait until it ends, stop it, or set WORTHIT_HOME to another folder for this run"
)]
pub struct Busy {
    pid: i32,
    command: String,
}

/// Reason why this process cannot join a run.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Another run is measuring.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The file of the run cannot be used.
    #[error(transparent)]
    File(#[from] ResultError),
    /// The folder of runs cannot be used.
    #[error("cannot use {}: {error}; make it writable, or set WORTHIT_HOME to another folder", path.display())]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Leader {
    fn of(pid: i32) -> Option<Leader> {
        let process = Process::new(pid).ok()?;
        let stat = process.stat().ok()?;
        // A zombie measures nothing.
        let ended = matches!(stat.state, 'Z' | 'X');
        let command = process.cmdline().unwrap_or_default();
        let scope = scope();
        (!ended).then_some(Leader { pid, start_ticks: stat.starttime, scope, command })
    }

    /// Returns the cargo that started this process, or else this process. `$WORTHIT_LEADER`, which is set for the
    /// processes of `--rounds`, overrides both.
    fn of_this_run() -> Leader {
        let named =
            std::env::var("WORTHIT_LEADER").ok().and_then(|pid| Leader::of(pid.parse().ok()?));
        let parent = || {
            let parent = Leader::of(std::os::unix::process::parent_id() as i32);
            parent.filter(|leader| Invocation::of(&leader.command).is_some())
        };
        let own = || Leader::of(std::process::id() as i32);
        named.or_else(parent).or_else(own).unwrap_or(Leader {
            pid: 0,
            start_ticks: 0,
            scope: String::new(),
            command: vec![],
        })
    }

    /// Returns whether both are the same process, whatever its command line says by now.
    fn is(&self, other: &Leader) -> bool {
        let identity = |leader: &Leader| (leader.pid, leader.start_ticks, leader.scope.clone());
        identity(self) == identity(other)
    }

    fn is_alive(&self) -> bool {
        Leader::of(self.pid).is_some_and(|now| now.is(self))
    }

    /// Returns how long it has been running, by the system's monotonic clock.
    fn age(&self) -> Option<Duration> {
        let started = self.start_ticks as f64 / procfs::ticks_per_second() as f64;
        let age = Uptime::current().ok()?.uptime - started;
        Duration::try_from_secs_f64(age).ok()
    }
}

/// Returns a text that is the same for all processes that see each other's ids, until the system restarts.
fn scope() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), namespace.display())
}

/// Returns the id of the process that identifies this run, for `WORTHIT_LEADER`.
pub fn leader_pid() -> i32 {
    Leader::of_this_run().pid
}

/// Returns how long the cargo command that measures has been running.
pub fn age() -> Option<Duration> {
    Leader::of_this_run().age()
}

impl RunFile {
    /// Joins the run of this process's cargo command over `package`, or starts it.
    ///
    /// # Errors
    /// If another run is measuring, or a file cannot be used.
    pub fn join(package: &str, quick: bool, seed: u64) -> Result<RunFile, JoinError> {
        let home = paths::home();
        let folder = home.join("runs");
        let path_of = |key: &str| folder.join(format!("{key}.jsonl"));
        take_turn(&home, &Leader::of_this_run(), |turn| {
            if let Some(path) =
                turn.runs.get(package).map(|key| path_of(key)).filter(|path| path.exists())
            {
                let run = Run::load(&path)?;
                return Ok(RunFile { path, run });
            }
            let started = Timestamp::now();
            let key = free_key(started, turn.leader.pid, |key| path_of(key).exists());
            let path = path_of(&key);
            let (machine, revision) = (Machine::current(), revision());
            let mut run = Run::new(&key, started, quick, seed, machine, revision);
            run.package = Some(package.to_owned());
            let failed = |error| ResultError::Write { path: path.clone(), error };
            fs::create_dir_all(&folder).map_err(failed)?;
            run.save(&path)?;
            turn.runs.insert(package.to_owned(), key);
            Ok(RunFile { path, run })
        })
    }

    /// Returns the path of the run's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the run as this process first read it, plus what this process has added since.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Reads the run again, including what other processes have added.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn load(&self) -> Result<Run, ResultError> {
        Run::load(&self.path)
    }

    /// Adds a case of a pair; when this returns it is on the device.
    ///
    /// # Errors
    /// If the file cannot be written; its earlier content stays.
    pub fn add(&mut self, pair: &PairResult, case: CaseRecord) -> Result<(), ResultError> {
        let id = case.key.pair.clone();
        let is_new = !self.run.pairs.contains_key(&id);
        let header = is_new.then(|| Record::Pair { id, pair: Box::new(pair.clone()) });
        self.append(header.into_iter().chain([Record::Case(Box::new(case))]).collect())
    }

    /// Appends records; when this returns they are on the device.
    ///
    /// # Errors
    /// If the file cannot be written; its earlier content stays.
    pub fn append(&mut self, records: Vec<Record>) -> Result<(), ResultError> {
        let _whole = interrupt::uninterrupted();
        let text: Vec<u8> = records.iter().flat_map(Record::line).collect();
        lines::append(&self.path, &text)
            .map_err(|error| ResultError::Write { path: self.path.clone(), error })?;
        for record in records {
            self.run.apply(record).expect("a pair is added before its cases");
        }
        Ok(())
    }

    /// Appends raw samples to the file next to the result; they are flushed to the device when this returns.
    ///
    /// # Errors
    /// If that file cannot be written. Its complete lines are kept.
    pub fn save_samples(&self, samples: &[Sample]) -> Result<(), ResultError> {
        let _guard = interrupt::uninterrupted();
        samples::append(&samples::path_of(&self.path), samples)
    }
}

/// Claims the exclusive right to measure for this process, in the usual home folder.
pub(crate) fn take_turn_here() -> Result<(), JoinError> {
    let own = Leader::of(std::process::id() as i32);
    take_turn(&paths::home(), &own.unwrap_or_else(Leader::of_this_run), |_| Ok(()))
}

/// Claims the exclusive right to measure for `leader`, unless another live process holds it, and stores what `work`
/// changes in the turn. No other process can do so meanwhile.
fn take_turn<R>(
    home: &Path,
    leader: &Leader,
    work: impl FnOnce(&mut Turn) -> Result<R, JoinError>,
) -> Result<R, JoinError> {
    let path = home.join("measuring.json");
    let failed = |error: io::Error| JoinError::Folder { path: path.clone(), error };
    fs::create_dir_all(home).map_err(failed)?;
    let lock = File::create(home.join("measuring.lock")).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    // An unreadable file was left by a process that was killed while writing it: nobody holds the right.
    let found: Option<Turn> =
        fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let mut turn = match found {
        Some(turn) if turn.leader.is(leader) => turn,
        Some(Turn { leader: holder, .. }) if holder.is_alive() => {
            return Err(Busy { pid: holder.pid, command: holder.command.join(" ") }.into());
        }
        _ => Turn { leader: leader.clone(), runs: BTreeMap::new() },
    };
    let done = work(&mut turn)?;
    let text = serde_json::to_vec(&turn).map_err(|error| failed(error.into()))?;
    fs::write(&path, text).map_err(failed)?;
    Ok(done)
}

/// Returns a key for a run, such as `20261123T211305Z-4711`; keys sort by the time when the run started. In containers
/// the same ids come again and again, so a key that is in use gets a number.
fn free_key(started: Timestamp, pid: i32, is_used: impl Fn(&str) -> bool) -> String {
    let key = format!("{}-{pid}", started.strftime("%Y%m%dT%H%M%SZ"));
    let numbered = (2..).map(|n| format!("{key}-{n}"));
    [key.clone()].into_iter().chain(numbered).find(|key| !is_used(key)).unwrap_or(key)
}

/// Returns the revision of the working tree that contains the current folder.
fn revision() -> Revision {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).stderr(std::process::Stdio::null()).output();
        let output = output.ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    Revision {
        commit: git(&["rev-parse", "HEAD"]),
        dirty: git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(pid: i32) -> Leader {
        Leader::of(pid).unwrap()
    }

    #[test]
    fn a_second_run_is_refused_unless_the_first_one_has_died() {
        let home = tempfile::tempdir().unwrap();
        let take = |leader: &Leader| take_turn(home.path(), leader, |_| Ok(()));
        let own = leader(std::process::id() as i32);
        let init = leader(1);
        let dead = Leader { start_ticks: init.start_ticks + 1, ..init.clone() };
        take(&dead).unwrap();
        take(&init).unwrap();
        take(&Leader { command: vec![], ..init }).expect("the same run may go on");
        let message = take(&own).unwrap_err().to_string();
        assert!(
            message.contains("another run is measuring") && message.contains("process 1"),
            "{message}"
        );
        fs::write(home.path().join("measuring.json"), "{").unwrap();
        take(&own).expect("an unreadable file blocks nobody");
    }

    #[test]
    fn a_process_of_another_container_or_boot_blocks_nobody() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = Leader { scope: "another boot pid:[1]".to_owned(), ..leader(1) };
        take_turn(home.path(), &elsewhere, |_| Ok(())).unwrap();
        take_turn(home.path(), &leader(std::process::id() as i32), |_| Ok(())).unwrap();
    }

    #[test]
    fn a_run_is_found_by_its_process_not_by_the_clock() {
        let home = tempfile::tempdir().unwrap();
        let own = leader(std::process::id() as i32);
        take_turn(home.path(), &own, |turn| {
            assert!(turn.runs.is_empty());
            turn.runs.insert("pairs".to_owned(), "key".to_owned());
            Ok(())
        })
        .unwrap();
        let found = take_turn(home.path(), &own, |turn| Ok(turn.runs.clone())).unwrap();
        assert_eq!(found["pairs"], "key");
        // Nothing that the clock decides identifies a process.
        let now = serde_json::to_value(&own).unwrap();
        let names: Vec<&String> = now.as_object().unwrap().keys().collect();
        assert_eq!(names, ["command", "pid", "scope", "start_ticks"]);
    }

    #[test]
    fn keys_sort_by_time_and_are_never_used_twice() {
        let time = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let first = free_key(time(0), 7, |_| false);
        assert_eq!(first, "20270115T080000Z-7");
        assert!(first < free_key(time(1), 7, |_| false));
        assert_eq!(free_key(time(0), 7, |key| key == first), first.clone() + "-2");
    }

    #[test]
    fn the_age_of_a_process_is_read_from_a_monotonic_clock() {
        let own = leader(std::process::id() as i32).age().unwrap();
        assert!(own <= leader(1).age().unwrap() + Duration::from_secs(1));
    }
}
