//! The least work of an optimized side. The harness uses the machine numbers to turn it into a least time.

use serde::{Deserialize, Serialize};

use crate::{case::Case, format};

/// Why a pair that sets no limit has none; its proof refuses it.
pub(crate) const NO_LIMIT: &str = "no limit is stated";

/// The least time that the optimized side can take.
#[derive(Debug)]
pub enum Limit {
    /// The least work that the side must do, one piece after another: statements, and the rows that they return.
    Work(&'static [Work]),
    /// The naive side's time divided by the number of cores in use.
    Cores,
    /// No machine number bounds the work; give the reason.
    None(&'static str),
}

/// Work whose least time is a machine number. Each function returns the amount for one iteration of a case.
#[derive(Debug)]
pub enum Work {
    /// Bytes streamed once, at the bandwidth of the nearest memory level that holds that many.
    BytesStreamed(fn(&Case) -> u64),
    /// Bytes streamed once, from one of several inputs that take turns: at the bandwidth of the nearest memory level
    /// that holds them all.
    StreamedInTurn {
        /// Number of bytes.
        bytes: fn(&Case) -> u64,
        /// Size of all inputs together, bytes.
        within_bytes: fn(&Case) -> u64,
    },
    /// Dependent random reads of a working set. Each read yields the address of the next, so no two overlap,
    /// and there is no other work to do meanwhile.
    RandomReads {
        /// Number of reads.
        reads: fn(&Case) -> u64,
        /// Size of the working set, bytes.
        within_bytes: fn(&Case) -> u64,
    },
    /// Independent random reads of a working set, which a core overlaps: lookups of different keys. For each
    /// lookup, count the cache lines that the best layout reads. These depend on each other, but the core
    /// overlaps them with the reads of other lookups.
    IndependentReads {
        /// Number of reads.
        reads: fn(&Case) -> u64,
        /// Size of the working set, bytes.
        within_bytes: fn(&Case) -> u64,
    },
    /// Hashes of one word each.
    Hashes(fn(&Case) -> u64),
    /// SQLite statements on a database in memory, each of one row.
    Statements(fn(&Case) -> u64),
    /// SQLite statements on a database file in the page cache, each of which looks up one row by its key.
    FileStatements(fn(&Case) -> u64),
    /// Rows that SQLite returns, beyond the first of each statement.
    RowsReturned(fn(&Case) -> u64),
    /// Durable flushes to the device that holds the data folder, each after an append.
    Fsyncs(fn(&Case) -> u64),
    /// Durable flushes to that device, each after 4 KiB of a file were overwritten, as in a write-ahead log.
    OverwritingFsyncs(fn(&Case) -> u64),
    /// Round trips over loopback.
    RoundTrips(fn(&Case) -> u64),
    /// Bytes written to the page cache.
    BytesWritten(fn(&Case) -> u64),
    /// Bytes read from the page cache.
    BytesRead(fn(&Case) -> u64),
    /// Bytes streamed once from memory by all cores together.
    StreamedByAllCores(fn(&Case) -> u64),
    /// System calls, each at the cost of one that the kernel answers at once.
    SystemCalls(fn(&Case) -> u64),
    /// Random reads of 4 KiB from the device that holds the data folder, one at a time.
    DeviceReads(fn(&Case) -> u64),
    /// The same with 32 reads in flight.
    QueuedDeviceReads(fn(&Case) -> u64),
    /// Threads started and joined.
    ThreadStarts(fn(&Case) -> u64),
    /// Nanoseconds of waiting that the input prescribes and the work cannot avoid.
    Waiting(fn(&Case) -> u64),
    /// Atomic additions to memory that no other thread touches.
    Atomics(fn(&Case) -> u64),
    /// Atomic additions to one word that the threads of all cores fight for.
    ContendedAtomics(fn(&Case) -> u64),
}

/// The least work of one iteration of the optimized side, as results record it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    /// The kind of work.
    pub kind: Need,
    /// How much of it, in the unit of its kind.
    pub amount: u64,
    /// Size of the working set of random reads, bytes. `None` for the other kinds, and in results of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_bytes: Option<u64>,
}

/// The kinds of [`Work`], as results name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Bytes streamed once, at the bandwidth of the nearest memory level that holds that many.
    BytesStreamed,
    /// Dependent random reads of the working set.
    RandomReads,
    /// Independent random reads of the working set.
    IndependentReads,
    /// Hashes of one word each.
    Hashes,
    /// SQLite statements in memory.
    Statements,
    /// SQLite statements on a file.
    FileStatements,
    /// Rows that SQLite returns.
    RowsReturned,
    /// Durable flushes after an append.
    Fsyncs,
    /// Durable flushes after an overwrite.
    OverwritingFsyncs,
    /// Round trips over loopback.
    RoundTrips,
    /// Bytes written to the page cache.
    BytesWritten,
    /// Bytes read from the page cache.
    BytesRead,
    /// Bytes streamed once from memory by all cores together.
    StreamedByAllCores,
    /// System calls that the kernel answers at once.
    SystemCalls,
    /// Random reads of 4 KiB from the device, one at a time.
    DeviceReads,
    /// Random reads of 4 KiB from the device, 32 in flight.
    QueuedDeviceReads,
    /// Threads started and joined.
    ThreadStarts,
    /// Nanoseconds of waiting that the work cannot avoid.
    WaitingNs,
    /// Atomic additions that nobody else touches.
    Atomics,
    /// Atomic additions that threads fight for.
    ContendedAtomics,
    /// Cores in use, by which the naive side's time is divided.
    Cores,
}

impl Limit {
    /// Returns the least work of an iteration of `case`; nothing if no machine number bounds it. `threads` is how
    /// many threads the busiest side keeps busy.
    pub fn needed(&self, case: &Case, threads: usize) -> Vec<Needed> {
        match self {
            Limit::Work(pieces) => pieces.iter().map(|work| work.needed(case)).collect(),
            Limit::Cores => {
                vec![Needed { kind: Need::Cores, amount: threads as u64, within_bytes: None }]
            }
            Limit::None(_) => Vec::new(),
        }
    }

    /// Returns whether the least time depends on a machine number.
    pub fn needs_numbers(&self) -> bool {
        let depends = |work: &Work| !matches!(work, Work::Waiting(_));
        matches!(self, Limit::Work(pieces) if pieces.iter().any(depends))
    }
}

impl Work {
    fn needed(&self, case: &Case) -> Needed {
        let (kind, amount) = match self {
            Work::BytesStreamed(amount) => (Need::BytesStreamed, amount),
            Work::StreamedInTurn { bytes, .. } => (Need::BytesStreamed, bytes),
            Work::RandomReads { reads, .. } => (Need::RandomReads, reads),
            Work::IndependentReads { reads, .. } => (Need::IndependentReads, reads),
            Work::Hashes(amount) => (Need::Hashes, amount),
            Work::Statements(amount) => (Need::Statements, amount),
            Work::FileStatements(amount) => (Need::FileStatements, amount),
            Work::RowsReturned(amount) => (Need::RowsReturned, amount),
            Work::Fsyncs(amount) => (Need::Fsyncs, amount),
            Work::OverwritingFsyncs(amount) => (Need::OverwritingFsyncs, amount),
            Work::RoundTrips(amount) => (Need::RoundTrips, amount),
            Work::BytesWritten(amount) => (Need::BytesWritten, amount),
            Work::BytesRead(amount) => (Need::BytesRead, amount),
            Work::StreamedByAllCores(amount) => (Need::StreamedByAllCores, amount),
            Work::SystemCalls(amount) => (Need::SystemCalls, amount),
            Work::DeviceReads(amount) => (Need::DeviceReads, amount),
            Work::QueuedDeviceReads(amount) => (Need::QueuedDeviceReads, amount),
            Work::ThreadStarts(amount) => (Need::ThreadStarts, amount),
            Work::Waiting(amount) => (Need::WaitingNs, amount),
            Work::Atomics(amount) => (Need::Atomics, amount),
            Work::ContendedAtomics(amount) => (Need::ContendedAtomics, amount),
        };
        let within_bytes = match self {
            Work::StreamedInTurn { within_bytes, .. }
            | Work::RandomReads { within_bytes, .. }
            | Work::IndependentReads { within_bytes, .. } => Some(within_bytes(case)),
            _ => None,
        };
        Needed { kind, amount: amount(case), within_bytes }
    }
}

impl Needed {
    /// Describes the work: "4,096 one-word hashes".
    pub fn in_words(self) -> String {
        let what = match self.kind {
            Need::BytesStreamed => "bytes streamed",
            Need::RandomReads => "dependent random reads",
            Need::IndependentReads => "independent random reads",
            Need::Hashes => "one-word hashes",
            Need::Statements => "SQLite statements in memory",
            Need::FileStatements => "SQLite statements on a file",
            Need::RowsReturned => "rows returned by SQLite",
            Need::Fsyncs => "durable flushes after an append",
            Need::OverwritingFsyncs => "durable flushes after an overwrite",
            Need::Atomics => "uncontended atomic additions",
            Need::ContendedAtomics => "contended atomic additions",
            Need::RoundTrips => "round trips over loopback",
            Need::BytesWritten => "bytes written to the page cache",
            Need::BytesRead => "bytes read from the page cache",
            Need::StreamedByAllCores => "bytes streamed by all cores",
            Need::SystemCalls => "system calls",
            Need::DeviceReads => "reads of the device, one at a time",
            Need::QueuedDeviceReads => "reads of the device, 32 in flight",
            Need::ThreadStarts => "threads started and joined",
            Need::WaitingNs => {
                return format!("{} of waiting", format::duration(self.amount as f64));
            }
            Need::Cores => {
                let threads = format::counted(self.amount, "threads");
                return format!("the naive side's time divided among {threads}");
            }
        };
        format::counted(self.amount, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_amount_of_a_limit_depends_on_the_case() {
        let case = Case::realistic(8, 0, 1);
        let limit = Limit::Work(&[Work::BytesStreamed(|case| case.point * 4), Work::Hashes(|_| 2)]);
        let words: Vec<String> = limit.needed(&case, 1).into_iter().map(Needed::in_words).collect();
        assert_eq!(words, ["32 bytes streamed", "2 one-word hashes"]);
        assert_eq!(Limit::Cores.needed(&case, 3)[0].amount, 3);
        assert_eq!(Limit::None("nothing").needed(&case, 1), []);
    }

    #[test]
    fn random_reads_have_a_working_set() {
        let case = Case::realistic(8, 0, 1);
        const READS: Work =
            Work::IndependentReads { reads: |case| case.point, within_bytes: |_| 64 };
        let needed = Limit::Work(&[READS]).needed(&case, 1);
        let expected = Needed { kind: Need::IndependentReads, amount: 8, within_bytes: Some(64) };
        assert_eq!(needed, [expected]);
    }

    #[test]
    fn only_waiting_and_cores_need_no_machine_number() {
        assert!(Limit::Work(&[Work::Waiting(|_| 1), Work::Hashes(|_| 1)]).needs_numbers());
        assert!(!Limit::Work(&[Work::Waiting(|_| 1)]).needs_numbers());
        assert!(!Limit::Cores.needs_numbers());
    }
}
