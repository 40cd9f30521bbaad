//! One more of something inside the counted window, done for real: what the gate's self-test must
//! find.

use std::{fs::OpenOptions, hint::black_box, io::Write};

use super::{ALLOCATIONS, Cause, FSYNCS, WRITE_CALLS};

/// What can be injected into an iteration.
#[derive(Clone, Copy, Debug)]
pub struct Injection {
    /// The name that the command takes: "fsync".
    pub name: &'static str,
    /// The cause that grows with it.
    pub cause: Cause,
    /// Does it once.
    pub run: fn(),
}

/// What every command can inject; a catalogue may add its own.
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

/// All that can be injected: what every command can, and `own`, which are the catalogue's.
pub fn all(own: &[Injection]) -> Vec<Injection> {
    INJECTIONS.iter().chain(own).copied().collect()
}
