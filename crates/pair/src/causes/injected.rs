//! Injections: one extra operation inside the counted window, really performed. The gate's self-test must find it.

use std::{fs::OpenOptions, hint::black_box, io::Write};

use super::{ALLOCATIONS, Cause, FSYNCS, WRITE_CALLS};

/// An operation that can be injected into an iteration.
#[derive(Clone, Copy, Debug)]
pub struct Injection {
    /// Its name on the command line: "fsync".
    pub name: &'static str,
    /// The cause whose count it increases.
    pub cause: Cause,
    /// Performs it once.
    pub run: fn(),
}

/// The injections that every command has; a catalogue may add its own.
pub const INJECTIONS: [Injection; 3] = [
    Injection {
        name: "allocation",
        cause: ALLOCATIONS,
        run: || drop(black_box(Box::new(black_box(1_u64)))),
    },
    Injection {
        name: "write",
        cause: WRITE_CALLS,
        run: || {
            let null = OpenOptions::new().write(true).open("/dev/null");
            let written = null.and_then(|mut null| null.write_all(b"injected"));
            written.expect("/dev/null takes everything");
        },
    },
    Injection {
        name: "fsync",
        cause: FSYNCS,
        run: || {
            let flushed = tempfile::tempfile().and_then(|file| file.sync_all());
            flushed.expect("a temporary file can be flushed");
        },
    },
];

/// Returns all injections: those that every command has, then the catalogue's `own`.
pub fn all(own: &[Injection]) -> Vec<Injection> {
    INJECTIONS.iter().chain(own).copied().collect()
}
