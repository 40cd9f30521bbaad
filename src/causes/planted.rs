//! One more of something inside the counted window, done for real: what the gate's self-test must
//! find.

use std::{fs::OpenOptions, hint::black_box, io::Write};

use super::{Event, close_window};

/// What can be planted, by the names that the command takes.
pub const PLANTABLE: &[(&str, Event)] = &[
    ("allocation", Event::Allocation),
    ("write", Event::Write),
    ("fsync", Event::Fsync),
    #[cfg(feature = "catalogue")]
    ("statement", Event::Statement),
];

/// Id of the cause that grows with a plant.
pub(crate) fn cause_of(plant: &str) -> &'static str {
    match plant {
        "allocation" => super::ALLOCATIONS.id,
        "write" => super::WRITE_CALLS.id,
        "fsync" => super::FSYNCS.id,
        _ => super::STATEMENTS.id,
    }
}

/// Closes the window, after one more `event` if it can be planted.
pub(crate) fn close_after(event: Event) -> fn() {
    match event {
        Event::Allocation => || {
            black_box(Box::new(black_box(1_u64)));
            close_window();
        },
        Event::Write => || {
            let null = OpenOptions::new().write(true).open("/dev/null");
            let written = null.and_then(|mut null| null.write_all(b"planted"));
            close_window();
            written.expect("/dev/null takes everything");
        },
        Event::Fsync => || {
            let flushed = tempfile::tempfile().and_then(|file| file.sync_all());
            close_window();
            flushed.expect("a temporary file can be flushed");
        },
        #[cfg(feature = "catalogue")]
        Event::Statement => || {
            let memory = crate::fixtures::sqlite::open(std::path::Path::new(":memory:"));
            let ran = memory.and_then(|memory| memory.execute_batch("SELECT 1"));
            close_window();
            ran.expect("SQLite can select 1");
        },
        _ => close_window,
    }
}
