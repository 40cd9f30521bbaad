//! The least work of an optimized side. The harness uses the machine numbers to turn it into a least time.

use serde::{Deserialize, Serialize};

use crate::{case::Case, format};

/// Why a pair that sets no limit has none; its proof refuses it.
pub(crate) const NO_LIMIT: &str = "no limit is stated";

/// The least work that the optimized side must do, in units that have a machine number. Each function returns the
/// amount for one iteration of a case.
#[derive(Debug)]
pub enum Limit {
    /// Bytes streamed once, at the bandwidth of the nearest memory level that holds that many.
    BytesStreamed(fn(&Case) -> u64),
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
    /// SQLite statements executed.
    Statements(fn(&Case) -> u64),
    /// Durable flushes to the device that holds the data folder.
    Fsyncs(fn(&Case) -> u64),
    /// Round trips over loopback.
    RoundTrips(fn(&Case) -> u64),
    /// Bytes written to the page cache.
    BytesWritten(fn(&Case) -> u64),
    /// Nanoseconds of waiting that the input prescribes and the work cannot avoid.
    Waiting(fn(&Case) -> u64),
    /// The naive side's time divided by the number of cores in use.
    Cores,
    /// No machine number bounds the work; give the reason.
    None(&'static str),
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

/// The kinds of [`Limit`], as results name them.
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
    /// SQLite statements.
    Statements,
    /// Durable flushes.
    Fsyncs,
    /// Round trips over loopback.
    RoundTrips,
    /// Bytes written to the page cache.
    BytesWritten,
    /// Nanoseconds of waiting that the work cannot avoid.
    WaitingNs,
    /// Cores in use, by which the naive side's time is divided.
    Cores,
}

impl Limit {
    /// Returns the least work of an iteration of `case`; `None` if no machine number bounds it. `threads` is how
    /// many threads the busiest side keeps busy.
    pub fn needed(&self, case: &Case, threads: usize) -> Option<Needed> {
        let (kind, amount) = match self {
            Limit::BytesStreamed(amount) => (Need::BytesStreamed, amount(case)),
            Limit::RandomReads { reads, .. } => (Need::RandomReads, reads(case)),
            Limit::IndependentReads { reads, .. } => (Need::IndependentReads, reads(case)),
            Limit::Hashes(amount) => (Need::Hashes, amount(case)),
            Limit::Statements(amount) => (Need::Statements, amount(case)),
            Limit::Fsyncs(amount) => (Need::Fsyncs, amount(case)),
            Limit::RoundTrips(amount) => (Need::RoundTrips, amount(case)),
            Limit::BytesWritten(amount) => (Need::BytesWritten, amount(case)),
            Limit::Waiting(amount) => (Need::WaitingNs, amount(case)),
            Limit::Cores => (Need::Cores, threads as u64),
            Limit::None(_) => return None,
        };
        let within_bytes = match self {
            Limit::RandomReads { within_bytes, .. }
            | Limit::IndependentReads { within_bytes, .. } => Some(within_bytes(case)),
            _ => None,
        };
        Some(Needed { kind, amount, within_bytes })
    }

    /// Returns whether the least time depends on a machine number.
    pub fn needs_numbers(&self) -> bool {
        !matches!(self, Limit::Waiting(_) | Limit::Cores | Limit::None(_))
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
            Need::Statements => "SQLite statements",
            Need::Fsyncs => "durable flushes",
            Need::RoundTrips => "round trips over loopback",
            Need::BytesWritten => "bytes written to the page cache",
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

    fn needed_reads(kind: Need, amount: u64, within_bytes: u64) -> Option<Needed> {
        Some(Needed { kind, amount, within_bytes: Some(within_bytes) })
    }

    #[test]
    fn the_amount_of_a_limit_depends_on_the_case() {
        let case = Case::realistic(8, 0, 1);
        let needed = Limit::BytesStreamed(|case| case.point * 4).needed(&case, 1).unwrap();
        assert_eq!(needed.in_words(), "32 bytes streamed");
        assert_eq!(Limit::Cores.needed(&case, 3).unwrap().amount, 3);
        assert_eq!(Limit::None("nothing").needed(&case, 1), None);
        let limit = Limit::RandomReads { reads: |case| case.point, within_bytes: |_| 64 };
        assert_eq!(limit.needed(&case, 1), needed_reads(Need::RandomReads, 8, 64));
        assert!(limit.needs_numbers() && !Limit::Cores.needs_numbers());
        let limit = Limit::IndependentReads { reads: |case| case.point, within_bytes: |_| 64 };
        let needed = limit.needed(&case, 1);
        assert_eq!(needed, needed_reads(Need::IndependentReads, 8, 64));
        assert_eq!(needed.unwrap().in_words(), "8 independent random reads");
        assert!(limit.needs_numbers());
    }
}
