//! Causes: what the sides do, counted exactly, in a run of their own.
//!
//! A cause explains a gain: "10,001 statements became 1". The same seed gives the same number, so
//! causes are asserted in tests and gate builds. They are counted only in a binary that says
//! [`counting_binary!`](crate::counting_binary) — for this suite the `worthit` command — and never
//! in a timed one: the timed binaries have neither the counting allocator nor the interposed calls.
//!
//! Two ways to count:
//! - *ambient*: while a window is open, the allocator, the interposed libc calls and the SQLite
//!   trace of [`crate::fixtures::sqlite`] add to process-wide counters ([`Event`]). Threads that
//!   serve (a loopback server) leave themselves out with [`exclude_thread`].
//! - *by the pair*: what only the pair can see (comparisons, computations) is counted by running a
//!   side with counting types, see [`crate::trial::Trial::counting`] and [`Counted`].

mod allocator;
mod counted;
pub mod injected;
pub mod interposed;

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

pub use allocator::CountingAllocator;
pub use counted::{Counted, comparisons_during};

/// Something that is counted. Pairs use the constants here where one fits, and define their own
/// where none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Stable name in results: `write_calls`.
    pub id: &'static str,
    /// What stands behind a number in tables, plural: "write calls".
    pub label: &'static str,
}

impl Cause {
    /// A cause of a pair's own.
    pub const fn new(id: &'static str, label: &'static str) -> Cause {
        Cause { id, label }
    }
}

/// Comparisons of two elements, counted with [`Counted`].
pub const COMPARISONS: Cause = Cause::new("comparisons", "comparisons");
/// Results computed anew rather than remembered.
pub const COMPUTATIONS: Cause = Cause::new("computations", "computations");
/// Messages sent after which an answer was awaited before the next.
pub const ROUND_TRIPS: Cause = Cause::new("round_trips", "round trips");
/// Distinct 64-byte lines of memory that the side reads, counted from addresses.
pub const CACHE_LINES: Cause = Cause::new("cache_lines", "cache lines read");

macro_rules! events {
    ($($variant:ident $constant:ident $id:literal $label:literal;)*) => {
        /// What the ambient counters see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event { $(#[doc = concat!("See [`", stringify!($constant), "`].")] $variant),* }
        $(#[doc = concat!("Ambient: ", $label, ".")]
          pub const $constant: Cause = Cause::new($id, $label);)*
        const EVENTS: &[(Event, Cause)] = &[$((Event::$variant, $constant)),*];
    };
}

events! {
    Allocation     ALLOCATIONS     "allocations"     "allocations";
    AllocatedBytes ALLOCATED_BYTES "allocated_bytes" "bytes allocated";
    PeakBytes      PEAK_BYTES      "peak_bytes"      "bytes held at most";
    Read           READ_CALLS      "read_calls"      "read calls";
    BytesRead      BYTES_READ      "bytes_read"      "bytes read";
    Write          WRITE_CALLS     "write_calls"     "write calls";
    BytesWritten   BYTES_WRITTEN   "bytes_written"   "bytes written";
    Fsync          FSYNCS          "fsyncs"          "fsyncs";
    Statement      STATEMENTS      "statements"      "SQL statements";
    VmStep         VM_STEPS        "vm_steps"        "SQLite VM steps";
    FullScanStep   FULL_SCAN_STEPS "full_scan_steps" "full-scan steps";
    Sort           SORTS           "sorts"           "sorts";
    RowReturned    ROWS_RETURNED   "rows_returned"   "rows returned";
}

/// Counts by the id of their cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// The count of `cause`; `None` if it was not counted.
    pub fn get(&self, cause: Cause) -> Option<u64> {
        self.0.get(cause.id).copied()
    }

    /// The count of the cause with this id.
    pub fn get_by_id(&self, id: &str) -> Option<u64> {
        self.0.get(id).copied()
    }

    /// Sets the count of `cause`.
    pub fn set(&mut self, cause: Cause, count: u64) {
        self.0.insert(cause.id.to_owned(), count);
    }

    /// Keeps only the counts of `causes`.
    pub fn retain(&mut self, causes: &[Cause]) {
        self.0.retain(|id, _| causes.iter().any(|cause| cause.id == id));
    }

    /// Lowers each count to that of `other`, where it is less there.
    pub fn lower_to(&mut self, other: &Counts) {
        for (id, count) in &mut self.0 {
            *count = other.get_by_id(id).map_or(*count, |of_other| of_other.min(*count));
        }
    }

    /// Ids and counts, sorted by id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(id, count)| (id.as_str(), *count))
    }
}

/// This binary cannot count.
#[derive(Debug, thiserror::Error)]
#[error(
    "this binary does not count causes; run the `worthit` command, or say `worthit::counting_binary!();` in a binary of your own"
)]
pub struct NotCounting;

static COUNTING_BINARY: AtomicBool = AtomicBool::new(false);
static WINDOW_OPEN: AtomicBool = AtomicBool::new(false);
static COUNTERS: [AtomicU64; EVENTS.len()] = [const { AtomicU64::new(0) }; EVENTS.len()];

thread_local! {
    static EXCLUDED: Cell<bool> = const { Cell::new(false) };
}

/// Marks this process as one that counts; [`counting_binary!`](crate::counting_binary) makes sure
/// of it by the first allocation.
pub(crate) fn mark_counting_binary() {
    if !COUNTING_BINARY.load(Relaxed) {
        COUNTING_BINARY.store(true, Relaxed);
    }
}

/// Whether causes are counted in this process.
pub fn is_counting_binary() -> bool {
    COUNTING_BINARY.load(Relaxed)
}

/// An error unless this process counts.
pub fn require_counting() -> Result<(), NotCounting> {
    if is_counting_binary() { Ok(()) } else { Err(NotCounting) }
}

/// Leaves everything that this thread does out of the ambient counters, for good. For threads of
/// fixtures that serve; a side's own threads are never left out.
pub fn exclude_thread() {
    EXCLUDED.set(true);
}

/// Adds to an ambient counter, if a window is open and this thread is not left out.
pub fn count(event: Event, amount: u64) {
    if is_counted_here() {
        COUNTERS[event as usize].fetch_add(amount, Relaxed);
    }
}

fn is_counted_here() -> bool {
    // `try_with`: the allocator may be called while the thread's locals are torn down.
    WINDOW_OPEN.load(Relaxed) && !EXCLUDED.try_with(Cell::get).unwrap_or(true)
}

/// Starts counting from zero.
pub(crate) fn open_window() {
    for counter in &COUNTERS {
        counter.store(0, Relaxed);
    }
    allocator::start_peak();
    WINDOW_OPEN.store(true, SeqCst);
}

/// Stops counting.
pub(crate) fn close_window() {
    WINDOW_OPEN.store(false, SeqCst);
}

/// What the last window saw.
pub(crate) fn take_window() -> Counts {
    COUNTERS[Event::PeakBytes as usize].store(allocator::peak_bytes(), Relaxed);
    let mut counts = Counts::default();
    for (event, cause) in EVENTS {
        counts.set(*cause, COUNTERS[*event as usize].load(Relaxed));
    }
    counts
}

/// Makes the binary it stands in one that counts causes: sets the counting allocator as the global
/// one, and defines the libc calls that read, write and flush, which then also serve std and
/// the bundled SQLite, so that they are counted alike. A library must not do this, hence a macro.
#[macro_export]
macro_rules! counting_binary {
    () => {
        #[global_allocator]
        static COUNTING_ALLOCATOR: $crate::causes::CountingAllocator =
            $crate::causes::CountingAllocator;
        $crate::interposed_calls!();
    };
}
