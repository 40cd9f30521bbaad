//! A worker from outside: started, asked, and gone when its input ends.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::{
    callgrind,
    protocol::{CaseKey, GateCase, Hello, Injected, Reply, Request, Times, VERSION},
};
use crate::interrupt;
use worthit_pair::trial::Role;

/// Has glibc keep what is freed. Else it is an accident of each process, of where its heap happens to
/// end, whether a large answer goes back to the kernel and comes as fresh pages with each iteration: one
/// of two processes of the same build was thirteen times slower over it. Other allocators do not mind.
const KEEPS_ITS_HEAP: &str =
    "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1099511627776";

/// A worker process. It ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    program: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: File,
}

/// Why a worker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It cannot be started.
    #[error("{} cannot be started: {error}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It does not speak this protocol.
    #[error("{} does not speak version {VERSION} of the gate's protocol{}", program.display(), and_said(said))]
    Protocol {
        /// The program.
        program: PathBuf,
        /// What it said in its place.
        said: String,
    },
    /// It ended, or said something that is no reply.
    #[error("{} failed{}", program.display(), and_said(said))]
    Failed {
        /// The program.
        program: PathBuf,
        /// The last of what it said.
        said: String,
    },
    /// The case cannot run here.
    #[error("cannot run here: {0}")]
    Unavailable(String),
    /// The case is not proven.
    #[error("{0}")]
    Unproven(String),
}

fn and_said(said: &str) -> String {
    if said.trim().is_empty() { String::new() } else { format!("; it said: {}", said.trim()) }
}

/// What is known of a case that is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Threads that each side keeps busy.
    pub threads: Vec<(Role, usize)>,
}

impl Ready {
    /// Threads that a side keeps busy.
    pub fn threads(&self, role: Role) -> usize {
        self.threads.iter().find(|(of, _)| *of == role).map_or(1, |(_, threads)| *threads)
    }
}

impl Worker {
    /// Starts `program`, a bench binary, as itself, so that it can be timed: it goes before all others where
    /// the system lets it.
    ///
    /// # Errors
    /// If it cannot be started or speaks another protocol.
    pub fn start(program: &Path) -> Result<Worker, WorkerError> {
        let mut worker = Worker::spawn(program, &mut Command::new(program))?;
        match worker.ask(&Request::SetRealtimePriority)? {
            Reply::HasRealtimePriority(_) => Ok(worker),
            other => Err(worker.failed(&format!("{other:?}"))),
        }
    }

    /// Starts `program` under callgrind, which writes its counts to `folder`.
    ///
    /// # Errors
    /// If it cannot be started or speaks another protocol.
    pub fn start_counted(program: &Path, folder: &Path) -> Result<Worker, WorkerError> {
        let mut command = Command::new("valgrind");
        command.args(callgrind::arguments(folder)).arg(program);
        Worker::spawn(program, &mut command)
    }

    fn spawn(program: &Path, command: &mut Command) -> Result<Worker, WorkerError> {
        let start = |error| WorkerError::Start { program: program.to_owned(), error };
        let errors = tempfile::tempfile().map_err(start)?;
        let piped = command
            .args(["--bench", "--gate-worker"])
            .env("GLIBC_TUNABLES", KEEPS_ITS_HEAP)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone().map_err(start)?);
        let mut child = interrupt::spawn(piped).map_err(start)?;
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let output = BufReader::new(output);
        let mut worker = Worker { program: program.to_owned(), child, input, output, errors };
        let line = worker.line().unwrap_or_default();
        match serde_json::from_str(&line) {
            Ok(Hello { worthit_gate_worker: VERSION }) => Ok(worker),
            _ => {
                let said = if line.is_empty() { worker.last_words() } else { line };
                Err(WorkerError::Protocol { program: program.to_owned(), said })
            }
        }
    }

    /// The cases that this build has.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn cases(&mut self, seed: u64) -> Result<Vec<GateCase>, WorkerError> {
        match self.ask(&Request::Cases { seed })? {
            Reply::Cases(cases) => Ok(cases),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Makes a case ready and proves it.
    ///
    /// # Errors
    /// If the case cannot run or is not proven, or the worker fails.
    pub fn prove(&mut self, case: &CaseKey) -> Result<Ready, WorkerError> {
        self.say(&Request::Prepare { case: case.clone(), roles: None })?;
        self.ready()
    }

    /// Asks for these sides of a case to be made ready, and does not wait: [`Worker::ready`] does.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn prepare(&mut self, case: &CaseKey, roles: &[Role]) -> Result<(), WorkerError> {
        self.say(&Request::Prepare { case: case.clone(), roles: Some(roles.to_vec()) })
    }

    /// Waits for the case that is being made ready.
    ///
    /// # Errors
    /// If the case cannot run or is not proven, or the worker fails.
    pub fn ready(&mut self) -> Result<Ready, WorkerError> {
        match self.reply()? {
            Reply::Ready { threads } => Ok(Ready { threads }),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Moves the worker to one core.
    ///
    /// # Errors
    /// If it may not run there, or the worker fails.
    pub fn pin(&mut self, core: usize) -> Result<(), WorkerError> {
        match self.ask(&Request::Pin { core })? {
            Reply::Pinned => Ok(()),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Keeps each thread of the case on a core of its own.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn spread(&mut self) -> Result<(), WorkerError> {
        match self.ask(&Request::Spread)? {
            Reply::Pinned => Ok(()),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Runs a batch, after so many iterations that are not timed.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn batch(
        &mut self,
        role: Role,
        untimed: u64,
        iterations: u64,
        injected: Option<Injected>,
    ) -> Result<Times, WorkerError> {
        match self.ask(&Request::Batch { role, untimed, iterations, injected })? {
            Reply::Batch(times) => Ok(times),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Has the instructions of `iterations` counted, into the files of callgrind.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn count(
        &mut self,
        role: Role,
        iterations: u64,
        injected: Option<Injected>,
    ) -> Result<(), WorkerError> {
        match self.ask(&Request::Count { role, iterations, injected })? {
            Reply::Counted => Ok(()),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, WorkerError> {
        self.say(request)?;
        self.reply()
    }

    fn say(&mut self, request: &Request) -> Result<(), WorkerError> {
        let line = serde_json::to_string(request).unwrap_or_default();
        // It is closed once the worker has failed.
        let written = match self.input.as_mut() {
            Some(input) => writeln!(input, "{line}").and_then(|()| input.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|_| {
            let said = self.last_words();
            self.failed(&said)
        })
    }

    fn reply(&mut self) -> Result<Reply, WorkerError> {
        let reply = self.line();
        match reply.as_deref().map(serde_json::from_str) {
            Ok(Ok(Reply::Unavailable(reason))) => Err(WorkerError::Unavailable(reason)),
            Ok(Ok(Reply::Unproven(problem))) => Err(WorkerError::Unproven(problem)),
            Ok(Ok(reply)) => Ok(reply),
            _ => {
                let said = reply.unwrap_or_default() + &self.last_words();
                Err(self.failed(&said))
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn failed(&self, said: &str) -> WorkerError {
        WorkerError::Failed { program: self.program.clone(), said: said.to_owned() }
    }

    /// The end of what the worker has written to standard error, once it is gone.
    fn last_words(&mut self) -> String {
        const SHOWN: usize = 600;
        self.end();
        let mut said = Vec::new();
        // What cannot be read is not shown.
        let _ = self.errors.rewind().and_then(|()| self.errors.read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said);
        let skipped = said.chars().count().saturating_sub(SHOWN);
        said.chars().skip(skipped).collect()
    }

    fn end(&mut self) {
        self.input = None;
        // A worker that serves no gate (of an older build) must not go on measuring.
        let mut rest = String::new();
        if self.output.read_line(&mut rest).is_ok_and(|bytes| bytes > 0) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        interrupt::forget(self.child.id());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}
