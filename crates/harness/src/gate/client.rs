//! The gate's handle on a worker process, which ends when its input is closed.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::{
    callgrind,
    protocol::{GateCase, Hello, Injected, Reply, Request, Times, VERSION},
    worker,
};
use crate::{interrupt, servers};
use worthit_pair::trial::Role;

/// Makes glibc keep freed memory.
///
/// By default, glibc may return the memory of a large answer to the kernel and take page faults for fresh memory
/// in every iteration. Whether it does depends on where the heap happens to end, which differs from process to process:
/// of two processes of the same build, one was thirteen times slower. Other allocators ignore these settings.
const HEAP_TUNABLES: &str =
    "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1099511627776";

/// A worker process, which ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    program: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: File,
}

/// Reason why a worker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The program cannot be started.
    #[error("{} cannot be started: {error}", program.display())]
    Start {
        /// Path of the program.
        program: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The program does not speak this version of the gate's protocol.
    #[error("{} does not speak version {VERSION} of the gate's protocol{}", program.display(), with_output(output))]
    Protocol {
        /// Path of the program.
        program: PathBuf,
        /// Its output instead of a greeting.
        output: String,
    },
    /// The worker ended, or sent something other than the expected reply.
    #[error("{} failed{}", program.display(), with_output(output))]
    Failed {
        /// Path of the program.
        program: PathBuf,
        /// The end of its output.
        output: String,
    },
    /// The case cannot run here.
    #[error("cannot run here: {0}")]
    Unavailable(String),
    /// The case was not proven.
    #[error("{0}")]
    Unproven(String),
}

fn with_output(output: &str) -> String {
    if output.trim().is_empty() {
        String::new()
    } else {
        format!("; its output: {}", output.trim())
    }
}

/// A case that a worker has made ready.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Number of threads that each side keeps busy.
    pub threads: Vec<(Role, usize)>,
}

impl Ready {
    /// Returns the number of threads that a side keeps busy.
    pub fn threads(&self, role: Role) -> usize {
        self.threads.iter().find(|(side, _)| *side == role).map_or(1, |(_, threads)| *threads)
    }
}

impl Worker {
    /// Starts `program`, a bench binary that is to be timed, at real-time priority where the system permits.
    ///
    /// # Errors
    /// If the program cannot be started or speaks another version of the protocol.
    pub fn start(program: &Path) -> Result<Worker, WorkerError> {
        let mut worker = Worker::spawn(program, &mut Command::new(program))?;
        match worker.ask(&Request::SetRealtimePriority)? {
            Reply::HasRealtimePriority(_) => Ok(worker),
            other => Err(worker.failed(&format!("{other:?}"))),
        }
    }

    /// Starts `program` under callgrind, which writes its counts to `folder`. Its heap is moved by `shift`; see
    /// [`super::instructions::count`].
    ///
    /// # Errors
    /// If the program cannot be started or speaks another version of the protocol.
    pub fn start_counted(
        program: &Path,
        folder: &Path,
        shift: usize,
    ) -> Result<Worker, WorkerError> {
        let mut command = Command::new("valgrind");
        command.args(callgrind::arguments(folder)).arg(program);
        command.env(worker::HEAP_SHIFT, shift.to_string());
        Worker::spawn(program, &mut command)
    }

    fn spawn(program: &Path, command: &mut Command) -> Result<Worker, WorkerError> {
        let start = |error| WorkerError::Start { program: program.to_owned(), error };
        let errors = tempfile::tempfile().map_err(start)?;
        let piped = servers::hand_on(command)
            .args(["--bench", "--gate-worker"])
            .env("GLIBC_TUNABLES", HEAP_TUNABLES)
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
                let output = if line.is_empty() { worker.stderr_tail() } else { line };
                Err(WorkerError::Protocol { program: program.to_owned(), output })
            }
        }
    }

    /// Returns the cases of this build.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn cases(&mut self, seed: u64) -> Result<Vec<GateCase>, WorkerError> {
        match self.ask(&Request::Cases { seed })? {
            Reply::Cases(cases) => Ok(cases),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Makes all sides of a case ready and proves them.
    ///
    /// # Errors
    /// If the case cannot run or is not proven, or the worker fails.
    pub fn prove(&mut self, case: &GateCase) -> Result<Ready, WorkerError> {
        self.send(&Request::Prepare { case: case.key.clone(), seed: case.seed, roles: None })?;
        self.ready()
    }

    /// Asks the worker to make these sides of a case ready, without waiting; [`Worker::ready`] waits.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn prepare(&mut self, case: &GateCase, roles: &[Role]) -> Result<(), WorkerError> {
        self.send(&Request::Prepare {
            case: case.key.clone(),
            seed: case.seed,
            roles: Some(roles.to_vec()),
        })
    }

    /// Waits until the requested case is ready.
    ///
    /// # Errors
    /// If the case cannot run or is not proven, or the worker fails.
    pub fn ready(&mut self) -> Result<Ready, WorkerError> {
        match self.reply()? {
            Reply::Ready { threads } => Ok(Ready { threads }),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Pins the worker to one core.
    ///
    /// # Errors
    /// If the worker may not run there, or fails.
    pub fn pin(&mut self, core: usize) -> Result<(), WorkerError> {
        match self.ask(&Request::Pin { core })? {
            Reply::Pinned => Ok(()),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Pins each thread of the case to a core of its own.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn spread(&mut self) -> Result<(), WorkerError> {
        match self.ask(&Request::Spread)? {
            Reply::Pinned => Ok(()),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    /// Runs `untimed` iterations, then a timed batch of `iterations`.
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

    /// Counts the instructions of `iterations` iterations; callgrind writes each count to a file.
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
        self.send(request)?;
        self.reply()
    }

    fn send(&mut self, request: &Request) -> Result<(), WorkerError> {
        let line = serde_json::to_string(request).unwrap_or_default();
        // The input is closed once the worker has failed.
        let written = match self.input.as_mut() {
            Some(input) => writeln!(input, "{line}").and_then(|()| input.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|_| {
            let output = self.stderr_tail();
            self.failed(&output)
        })
    }

    fn reply(&mut self) -> Result<Reply, WorkerError> {
        let reply = self.line();
        match reply.as_deref().map(serde_json::from_str) {
            Ok(Ok(Reply::Unavailable(reason))) => Err(WorkerError::Unavailable(reason)),
            Ok(Ok(Reply::Unproven(problem))) => Err(WorkerError::Unproven(problem)),
            Ok(Ok(reply)) => Ok(reply),
            _ => {
                let output = reply.unwrap_or_default() + &self.stderr_tail();
                Err(self.failed(&output))
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn failed(&self, output: &str) -> WorkerError {
        WorkerError::Failed { program: self.program.clone(), output: output.to_owned() }
    }

    /// Ends the worker and returns the end of its standard error.
    fn stderr_tail(&mut self) -> String {
        const SHOWN: usize = 600;
        self.end();
        let mut errors = Vec::new();
        // If it cannot be read, nothing is shown.
        let _ = self.errors.rewind().and_then(|()| self.errors.read_to_end(&mut errors));
        let errors = String::from_utf8_lossy(&errors);
        let skipped = errors.chars().count().saturating_sub(SHOWN);
        errors.chars().skip(skipped).collect()
    }

    fn end(&mut self) {
        self.input = None;
        // An older bench binary that does not know the gate would go on measuring, so it is killed.
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
