//! One run is several processes: cargo starts one bench binary a family, and each adds its
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
    results::{CaseRecord, Record, ResultError, Revision, Run},
    samples::{self, Sample},
};
use worthit_pair::paths;

/// The run that this process belongs to.
#[derive(Debug)]
pub struct RunFile {
    path: PathBuf,
    run: Run,
}

/// The process that a run is keyed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leader {
    pid: i32,
    /// Ticks since boot, which tell it from a later process of the same id.
    start_ticks: u64,
    /// `cargo bench` and its arguments.
    command: Vec<String>,
}

/// Another run is measuring.
#[derive(Debug, thiserror::Error)]
#[error(
    "another run is measuring in this checkout (process {pid}: {command}); two at once would disturb each other. \
     Wait for it to end, end it, or give this one a folder of its own: WORTHIT_HOME=…"
)]
pub struct Busy {
    pid: i32,
    command: String,
}

/// Why this process cannot take part in a run.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Another run is measuring.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The file of the run cannot be used.
    #[error(transparent)]
    File(#[from] ResultError),
    /// The folder of runs cannot be used.
    #[error("cannot use {}: {error}; make it writable, or name another folder: WORTHIT_HOME=…", path.display())]
    Folder {
        /// The folder or a file in it.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Leader {
    fn of(pid: i32) -> Option<Leader> {
        let process = Process::new(pid).ok()?;
        let stat = process.stat().ok()?;
        // A process that has ended but is not yet waited for measures nothing.
        let ended = matches!(stat.state, 'Z' | 'X');
        let command = process.cmdline().unwrap_or_default();
        (!ended).then_some(Leader { pid, start_ticks: stat.starttime, command })
    }

    /// The cargo that started this process, else this process; `$WORTHIT_LEADER` (set for the
    /// processes of `--rounds`) names another.
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

    /// `20261123T211305Z-4711`: sorts by time.
    fn key(&self) -> String {
        format!("{}-{}", self.started().strftime("%Y%m%dT%H%M%SZ"), self.pid)
    }
}

/// The process id by which the processes of this run know each other, for `WORTHIT_LEADER`.
pub fn leader_pid() -> i32 {
    Leader::of_this_run().pid
}

/// Names of the bench binaries that this run's cargo was asked for (`--bench NAME`); `None` for all
/// of them.
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
    /// Joins the run of this process, or begins it.
    ///
    /// # Errors
    /// If another run is measuring, or files cannot be used.
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

    /// The file of this run.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run as this process found it, with what it has added since.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Reads the run again, with what other processes have added.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn load(&self) -> Result<Run, ResultError> {
        Run::load(&self.path)
    }

    /// Adds a case; when this returns it is on the device.
    ///
    /// # Errors
    /// If the file cannot be written; what it held stays.
    pub fn add(&mut self, case: CaseRecord) -> Result<(), ResultError> {
        self.append(Record::Case(Box::new(case)))
    }

    /// Adds a record; when this returns it is on the device.
    ///
    /// # Errors
    /// If the file cannot be written; what it held stays.
    pub fn append(&mut self, record: Record) -> Result<(), ResultError> {
        let _whole = interrupt::uninterrupted();
        lines::append(&self.path, &record.line())?;
        self.run.apply(record);
        Ok(())
    }

    /// Saves raw samples beside the result; when this returns they are on the device.
    ///
    /// # Errors
    /// If their file cannot be written; what it held stays.
    pub fn save_samples(&self, samples: &[Sample]) -> Result<(), ResultError> {
        let _whole = interrupt::uninterrupted();
        samples::append(&samples::path_of(&self.path), samples)
    }
}

/// Takes the turn to measure for this process, in the usual home folder.
pub(crate) fn take_turn_here() -> Result<(), JoinError> {
    let own = Leader::of(std::process::id() as i32);
    take_turn(&paths::home(), &own.unwrap_or_else(Leader::of_this_run))
}

/// Takes the turn to measure for the run of `leader`, unless another run that lives has it.
fn take_turn(home: &Path, leader: &Leader) -> Result<(), JoinError> {
    let path = home.join("measuring.json");
    let failed = |error: io::Error| JoinError::Folder { path: path.clone(), error };
    fs::create_dir_all(home).map_err(failed)?;
    let lock = File::create(home.join("measuring.lock")).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    // What cannot be read was left by a process that was killed while it wrote: nobody's turn.
    let holder: Option<Leader> =
        fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(holder) = holder.filter(|holder| holder != leader && holder.is_alive()) {
        return Err(Busy { pid: holder.pid, command: holder.command.join(" ") }.into());
    }
    let text = serde_json::to_vec(leader).map_err(|error| failed(error.into()))?;
    fs::write(&path, text).map_err(failed)
}

/// The revision of the tree around the current folder.
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
    fn asked_benches_are_read_from_cargos_command() {
        assert_eq!(benches_in(&words("cargo bench -- --bench x")), None);
        assert_eq!(
            benches_in(&words("cargo bench --bench io --bench=queries -- n_plus_one")),
            Some(words("io queries"))
        );
        assert_eq!(benches_in(&[]), None);
    }

    #[test]
    fn a_second_run_is_told_to_wait_and_a_dead_one_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let own = Leader::of(std::process::id() as i32).unwrap();
        let init = Leader::of(1).unwrap();
        let dead = Leader { start_ticks: init.start_ticks + 1, ..init.clone() };
        take_turn(home.path(), &dead).unwrap();
        take_turn(home.path(), &init).unwrap();
        take_turn(home.path(), &init).expect("its own turn");
        let message = take_turn(home.path(), &own).unwrap_err().to_string();
        assert!(
            message.contains("another run is measuring") && message.contains("process 1"),
            "{message}"
        );
        fs::write(home.path().join("measuring.json"), "{").unwrap();
        take_turn(home.path(), &own).expect("an unreadable turn is nobody's");
    }

    #[test]
    fn the_key_of_a_run_sorts_by_time() {
        let leader = Leader::of(std::process::id() as i32).unwrap();
        let key = leader.key();
        assert!(key.starts_with("20") && key.ends_with(&format!("Z-{}", leader.pid)), "{key}");
    }
}
