//! Causes: exact counts of what the sides do, taken in a separate run.
//!
//! A cause explains a gain: "10,001 statements became 1". The same seed gives the same count, so tests assert
//! causes and the gate judges builds by them. They are counted only in a binary that contains
//! [`counting_binary!`](crate::counting_binary), which for this suite is the `worthit` command. A timed binary never
//! counts: it has neither the counting allocator nor the interposed calls.
//!
//! There are two ways to count:
//! - *Ambient*: while a window is open, the allocator, the interposed libc calls, the SQLite trace of the fixtures, and
//!   clients and computations that call [`count`], add to process-wide counters ([`Event`]). Server threads (of a loopback server) exclude themselves
//!   with [`exclude_thread`].
//! - *By the pair*: only the pair can see comparisons or locks. It counts them by running a side with
//!   counting types or closures; see [`crate::trial::Runner::counting`], [`Counted`] and [`note`]. What no run of a side can see, it models.
//!
//! Each [`Cause`] says in which of these ways it is counted: [`Counting`].

mod allocator;
mod counted;
mod counting;
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

pub use allocator::{CountingAllocator, Held, hold};
pub use counted::{Counted, CountedHashes, FixedSipHash, note, noted_during, noting};
pub use counting::Counting;

/// Something to count. A pair uses a constant of this module if one fits, and defines its own if none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Stable name in results: `write_calls`.
    pub id: &'static str,
    /// The noun after the number in tables, plural: "write calls".
    pub label: &'static str,
    /// How it is counted.
    pub counting: Counting,
}

impl Cause {
    /// Makes a pair's own cause, which the pair counts by running the side once more ([`Runner::counting`](crate::trial::Runner::counting)). Say how it does with
    /// [`Cause::counted`], or with [`Cause::modelled`] if no run of the side can see the cause.
    pub const fn new(id: &'static str, label: &'static str) -> Cause {
        Cause { id, label, counting: Counting::Rerun("with counting types") }
    }

    /// Says what the side runs with while the pair counts: "with a closure that counts".
    pub const fn counted(self, with: &'static str) -> Cause {
        Cause { counting: Counting::Rerun(with), ..self }
    }

    /// Says that the count is a model, and what it is derived from: "from the addresses of the counters".
    pub const fn modelled(self, from: &'static str) -> Cause {
        Cause { counting: Counting::Modelled(from), ..self }
    }

    const fn ambient(id: &'static str, label: &'static str, counting: Counting) -> Cause {
        Cause { id, label, counting }
    }
}

/// Comparisons of two elements, counted with [`Counted`].
pub const COMPARISONS: Cause =
    Cause::new("comparisons", "comparisons").counted("on elements that count their comparisons");

/// Hashes of a key, counted with [`CountedHashes`].
pub const HASHES: Cause =
    Cause::new("hashes", "hashes of a key").counted("with a hasher that counts");

macro_rules! events {
    ($($variant:ident $constant:ident $id:literal $label:literal $counting:ident;)*) => {
        /// An event that an ambient counter counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event { $(#[doc = concat!("See [`", stringify!($constant), "`].")] $variant),* }
        $(#[doc = concat!("Ambient: ", $label, ".")]
          pub const $constant: Cause = Cause::ambient($id, $label, Counting::$counting);)*
        const EVENTS: &[(Event, Cause)] = &[$((Event::$variant, $constant)),*];
    };
}

events! {
    Allocation     ALLOCATIONS     "allocations"     "allocations"       Allocator;
    AllocatedBytes ALLOCATED_BYTES "allocated_bytes" "bytes allocated"   Allocator;
    PeakBytes      PEAK_BYTES      "peak_bytes"      "peak bytes held"   Allocator;
    Read           READ_CALLS      "read_calls"      "read calls"        LibcCalls;
    BytesRead      BYTES_READ      "bytes_read"      "bytes read"        LibcCalls;
    Write          WRITE_CALLS     "write_calls"     "write calls"       LibcCalls;
    BytesWritten   BYTES_WRITTEN   "bytes_written"   "bytes written"     LibcCalls;
    Seek           SEEK_CALLS      "seek_calls"      "seek calls"        LibcCalls;
    Open           OPENS           "opens"           "files opened"      LibcCalls;
    Connect        CONNECTS        "connects"        "connections"       LibcCalls;
    Fsync          FSYNCS          "fsyncs"          "fsyncs"            LibcCalls;
    SystemCall     SYSTEM_CALLS    "system_calls"    "I/O system calls"  LibcCalls;
    Statement      STATEMENTS      "statements"      "SQL statements"    SqliteTrace;
    VmStep         VM_STEPS        "vm_steps"        "SQLite VM steps"   SqliteCounters;
    FullScanStep   FULL_SCAN_STEPS "full_scan_steps" "full-scan steps"   SqliteCounters;
    Sort           SORTS           "sorts"           "sorts"             SqliteCounters;
    RowReturned    ROWS_RETURNED   "rows_returned"   "rows returned"     SqliteTrace;
    RoundTrip      ROUND_TRIPS     "round_trips"     "round trips"       Client;
    Computation    COMPUTATIONS    "computations"    "computations"      Computation;
}

/// Counts, by the id of their cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Returns the count of `cause`; `None` if it was not counted.
    pub fn get(&self, cause: Cause) -> Option<u64> {
        self.0.get(cause.id).copied()
    }

    /// Returns the count of the cause with this id; `None` if it was not counted.
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

    /// Adds each count of `other`.
    pub fn add(&mut self, other: &Counts) {
        for (id, count) in &other.0 {
            *self.0.entry(id.clone()).or_default() += count;
        }
    }

    /// Lowers each count to the one in `other` if that is smaller.
    pub fn lower_to(&mut self, other: &Counts) {
        for (id, count) in &mut self.0 {
            *count = other.get_by_id(id).map_or(*count, |other| other.min(*count));
        }
    }

    /// Returns the ids and counts, sorted by id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(id, count)| (id.as_str(), *count))
    }
}

/// The error that this binary cannot count causes.
#[derive(Debug, thiserror::Error)]
#[error(
    "this binary does not count causes; run the `worthit` command, or add `worthit_pair::counting_binary!();` to a binary of your own"
)]
pub struct NotCounting;

static COUNTING_BINARY: AtomicBool = AtomicBool::new(false);
static WINDOW_OPEN: AtomicBool = AtomicBool::new(false);
static COUNTERS: [AtomicU64; EVENTS.len()] = [const { AtomicU64::new(0) }; EVENTS.len()];

thread_local! {
    static EXCLUDED: Cell<bool> = const { Cell::new(false) };
}

/// Marks this process as one that counts. The counting allocator does so at the first allocation.
pub(crate) fn mark_counting_binary() {
    if !COUNTING_BINARY.load(Relaxed) {
        COUNTING_BINARY.store(true, Relaxed);
    }
}

/// Returns whether this process counts causes.
pub fn is_counting_binary() -> bool {
    COUNTING_BINARY.load(Relaxed)
}

/// Checks that this process counts causes.
///
/// # Errors
/// If it does not.
pub fn require_counting() -> Result<(), NotCounting> {
    if is_counting_binary() { Ok(()) } else { Err(NotCounting) }
}

/// Permanently excludes what this thread does from the ambient counters. For server threads of fixtures, never for
/// threads of a side.
pub fn exclude_thread() {
    EXCLUDED.set(true);
}

/// Adds `amount` to an ambient counter if a window is open and this thread is not excluded.
pub fn count(event: Event, amount: u64) {
    if is_counted_here() {
        COUNTERS[event as usize].fetch_add(amount, Relaxed);
    }
}

/// Runs `work` without counting what this thread does meanwhile.
pub(crate) fn uncounted(work: impl FnOnce()) {
    let before = EXCLUDED.replace(true);
    work();
    EXCLUDED.set(before);
}

/// Returns whether a window is open and this thread is not excluded.
pub(crate) fn is_counted_here() -> bool {
    // `try_with`: the allocator may be called while the thread-local variables are being destroyed.
    WINDOW_OPEN.load(Relaxed) && !EXCLUDED.try_with(Cell::get).unwrap_or(true)
}

/// Resets the ambient counters and starts counting.
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

/// Returns the ambient counts of the last window.
pub(crate) fn take_window() -> Counts {
    COUNTERS[Event::PeakBytes as usize].store(allocator::peak_bytes(), Relaxed);
    let mut counts = Counts::default();
    for (event, cause) in EVENTS {
        counts.set(*cause, COUNTERS[*event as usize].load(Relaxed));
    }
    counts
}

/// Makes the binary that contains it count causes.
///
/// It sets the counting allocator as the global allocator and defines the libc calls that read, write and flush. Std
/// and the bundled SQLite then use these definitions too, so their calls are counted alike. A library must not do
/// this, so this is a macro.
#[macro_export]
macro_rules! counting_binary {
    () => {
        #[global_allocator]
        static COUNTING_ALLOCATOR: $crate::causes::CountingAllocator =
            $crate::causes::CountingAllocator;
        $crate::interposed_calls!();
    };
}
