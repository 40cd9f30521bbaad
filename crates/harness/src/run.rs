//! The run file. A run consists of several processes: cargo starts one bench binary per family, and each appends its
//! finished cases to the file of the run.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
};

use jiff::Timestamp;
use procfs::process::Process;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
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

/// The process that identifies a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leader {
    pid: i32,
    /// Start time in ticks since boot, which distinguishes it from a later process with the same id.
    start_ticks: u64,
    /// Its command line: `cargo bench` and the arguments.
    command: Vec<String>,
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
        (!ended).then_some(Leader { pid, start_ticks: stat.starttime, command })
    }

    /// Returns the cargo that started this process, or else this process. `$WORTHIT_LEADER`, which is set for the
    /// processes of `--rounds`, overrides both.
    fn of_this_run() -> Leader {
        let named =
            std::env::var("WORTHIT_LEADER").ok().and_then(|pid| Leader::of(pid.parse().ok()?));
        let is_cargo = |leader: &Leader| {
            let program = leader.command.first().map(Path::new).and_then(Path::file_name);
            program.is_some_and(|name| name == "cargo")
        };
        let parent = || Leader::of(std::os::unix::process::parent_id() as i32).filter(is_cargo);
        let own = || Leader::of(std::process::id() as i32);
        named.or_else(parent).or_else(own).unwrap_or(Leader {
            pid: 0,
            start_ticks: 0,
            command: vec![],
        })
    }

    fn is_alive(&self) -> bool {
        Leader::of(self.pid).is_some_and(|now| now.start_ticks == self.start_ticks)
    }

    fn started(&self) -> Timestamp {
        let boot = procfs::boot_time_secs().unwrap_or(0);
        let seconds = boot + self.start_ticks / procfs::ticks_per_second();
        Timestamp::from_second(seconds as i64).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Returns the key of the run, such as `20261123T211305Z-4711`; keys sort by time.
    fn key(&self) -> String {
        format!("{}-{}", self.started().strftime("%Y%m%dT%H%M%SZ"), self.pid)
    }
}

/// Returns the id of the process that identifies this run, for `WORTHIT_LEADER`.
pub fn leader_pid() -> i32 {
    Leader::of_this_run().pid
}

/// Returns the names of the bench binaries that the user asked cargo for (`--bench NAME`); `None` for all of them.
pub fn asked_benches() -> Option<Vec<String>> {
    benches_in(&Leader::of_this_run().command)
}

fn benches_in(command: &[String]) -> Option<Vec<String>> {
    let own = command.split(|word| word == "--").next().unwrap_or_default();
    let mut names = Vec::new();
    for (i, word) in own.iter().enumerate() {
        if word == "--bench" {
            names.extend(own.get(i + 1).cloned());
        } else if let Some(name) = word.strip_prefix("--bench=") {
            names.push(name.to_owned());
        }
    }
    (!names.is_empty()).then_some(names)
}

impl RunFile {
    /// Joins the run of this process, or starts it.
    ///
    /// # Errors
    /// If another run is measuring, or a file cannot be used.
    pub fn join(quick: bool, seed: u64) -> Result<RunFile, JoinError> {
        let home = paths::home();
        let leader = Leader::of_this_run();
        take_turn(&home, &leader)?;
        let path = home.join("runs").join(format!("{}.jsonl", leader.key()));
        if path.exists() {
            let run = Run::load(&path)?;
            return Ok(RunFile { path, run });
        }
        let (machine, revision) = (Machine::current(), revision());
        let run = Run::new(&leader.key(), Timestamp::now(), quick, seed, machine, revision);
        let failed = |error| ResultError::Write { path: path.clone(), error };
        fs::create_dir_all(home.join("runs")).map_err(failed)?;
        run.save(&path)?;
        Ok(RunFile { path, run })
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
    take_turn(&paths::home(), &own.unwrap_or_else(Leader::of_this_run))
}

/// Claims the exclusive right to measure for the run of `leader`, unless another live run holds it.
fn take_turn(home: &Path, leader: &Leader) -> Result<(), JoinError> {
    let path = home.join("measuring.json");
    let failed = |error: io::Error| JoinError::Folder { path: path.clone(), error };
    fs::create_dir_all(home).map_err(failed)?;
    let lock = File::create(home.join("measuring.lock")).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    // An unreadable file was left by a process that was killed while writing it: nobody holds the right.
    let holder: Option<Leader> =
        fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(holder) = holder.filter(|holder| holder != leader && holder.is_alive()) {
        return Err(Busy { pid: holder.pid, command: holder.command.join(" ") }.into());
    }
    let text = serde_json::to_vec(leader).map_err(|error| failed(error.into()))?;
    fs::write(&path, text).map_err(failed)
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

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn requested_benches_are_read_from_the_cargo_command() {
        assert_eq!(benches_in(&words("cargo bench -- --bench x")), None);
        assert_eq!(
            benches_in(&words("cargo bench --bench io --bench=queries -- n_plus_one")),
            Some(words("io queries"))
        );
        assert_eq!(benches_in(&[]), None);
    }

    #[test]
    fn a_second_run_is_refused_unless_the_first_one_has_died() {
        let home = tempfile::tempdir().unwrap();
        let own = Leader::of(std::process::id() as i32).unwrap();
        let init = Leader::of(1).unwrap();
        let dead = Leader { start_ticks: init.start_ticks + 1, ..init.clone() };
        take_turn(home.path(), &dead).unwrap();
        take_turn(home.path(), &init).unwrap();
        take_turn(home.path(), &init).expect("the same run may go on");
        let message = take_turn(home.path(), &own).unwrap_err().to_string();
        assert!(
            message.contains("another run is measuring") && message.contains("process 1"),
            "{message}"
        );
        fs::write(home.path().join("measuring.json"), "{").unwrap();
        take_turn(home.path(), &own).expect("an unreadable file blocks nobody");
    }

    #[test]
    fn the_key_of_a_run_sorts_by_time() {
        let leader = Leader::of(std::process::id() as i32).unwrap();
        let key = leader.key();
        assert!(key.starts_with("20") && key.ends_with(&format!("Z-{}", leader.pid)), "{key}");
    }
}
