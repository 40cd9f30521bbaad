//! Holds back what criterion prints, and passes on what the reader asked for.
//!
//! Criterion prints dozens of lines for a case, and panics if the reader of a pipe has gone (`| head`). So it prints
//! into files that this process owns. The suite itself prints nothing meanwhile.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

use rustix::{
    io::dup,
    stdio::{dup2_stderr, dup2_stdout, stderr, stdout},
};

use crate::flags::CriterionLines;

/// How criterion marks a line that reports a failure, such as a file that it cannot write.
const ERROR: &str = "Criterion.rs ERROR";

/// Beginnings of the lines that criterion prints to standard error while it works.
const PROGRESS: [&str; 3] = ["Benchmarking ", "Warning: Unable to complete", "Gnuplot not found"];

/// Standard output and standard error of this process, and the files that stand in for them.
#[derive(Debug)]
pub struct CriterionOutput {
    lines: CriterionLines,
    real: Streams<OwnedFd>,
    held: Streams<File>,
    /// Failures that were already passed on.
    reported: Vec<String>,
}

#[derive(Debug)]
struct Streams<T> {
    output: T,
    errors: T,
}

/// Criterion panicked.
#[derive(Debug, thiserror::Error)]
#[error("criterion failed: {0}")]
pub struct CriterionPanic(String);

impl CriterionOutput {
    /// Prepares to pass on only `lines`.
    ///
    /// # Errors
    /// If the system has no files or descriptors left.
    pub fn new(lines: CriterionLines) -> io::Result<CriterionOutput> {
        Ok(CriterionOutput {
            lines,
            real: Streams { output: dup(stdout())?, errors: dup(stderr())? },
            held: Streams { output: tempfile::tempfile()?, errors: tempfile::tempfile()? },
            reported: Vec::new(),
        })
    }

    /// Runs `work`, which calls criterion, and passes on what was asked for.
    ///
    /// # Errors
    /// If `work` panics; the error has the panic's message.
    pub fn hold<R>(&mut self, work: impl FnOnce() -> R) -> Result<R, CriterionPanic> {
        let redirected = self.redirect();
        let done = catch_unwind(AssertUnwindSafe(work));
        // Rust's standard output has a buffer of its own.
        let _ = io::stdout().flush();
        if redirected.is_ok() {
            // An error leaves the descriptor as it is; nothing more can be done.
            let _ = dup2_stdout(&self.real.output);
            let _ = dup2_stderr(&self.real.errors);
        }
        let (output, errors) = (take(&mut self.held.output), take(&mut self.held.errors));
        self.pass_on(&output, &errors);
        done.map_err(|panic| CriterionPanic(message(&*panic)))
    }

    fn redirect(&self) -> io::Result<()> {
        io::stdout().flush()?;
        dup2_stdout(&self.held.output)?;
        dup2_stderr(&self.held.errors)?;
        Ok(())
    }

    /// Ignores errors: the reader of a pipe may have gone, which does not stop the run.
    fn pass_on(&mut self, output: &str, errors: &str) {
        if self.lines != CriterionLines::Errors {
            let _ = io::stdout().write_all(output.as_bytes());
        }
        if self.lines == CriterionLines::All {
            let _ = io::stderr().write_all(errors.as_bytes());
            return;
        }
        for line in output.lines().filter_map(|line| line.strip_prefix(ERROR)) {
            if !self.reported.iter().any(|reported| reported == line) {
                let _ = writeln!(io::stderr(), "worthit: criterion reports{line}");
                self.reported.push(line.to_owned());
            }
        }
        // What is not criterion's comes from a side, such as the message of a thread that panicked.
        for line in errors.lines().filter(|line| !is_criterions(line)) {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// Whether criterion prints this line to standard error while it works.
fn is_criterions(line: &str) -> bool {
    line.is_empty() || PROGRESS.iter().any(|start| line.starts_with(start))
}

/// Reads and empties a file.
fn take(file: &mut File) -> String {
    let mut bytes = Vec::new();
    // If this fails, criterion's lines are lost, but nothing that was measured.
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    let _ = file.set_len(0).and_then(|()| file.rewind());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the message of a panic.
pub fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked without a message".to_owned())
}
