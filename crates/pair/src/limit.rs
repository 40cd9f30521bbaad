//! The least a machine needs for the work of an optimized side. The harness holds it against the machine numbers.

use serde::{Deserialize, Serialize};

use crate::{format, pair::Case};

/// The least the optimized side needs, in the terms of the machine numbers. The functions give
/// how many for one iteration of a case.
#[derive(Debug)]
pub enum Limit {
    /// Bytes streamed once, from the memory level that holds so many.
    BytesStreamed(fn(&Case) -> u64),
    /// Dependent reads at random places of a working set: each says where the next one is, and
    /// nothing else can be done meanwhile.
    RandomReads {
        /// How many.
        reads: fn(&Case) -> u64,
        /// Size of the working set, bytes.
        within_bytes: fn(&Case) -> u64,
    },
    /// Reads at random places of a working set, none of which waits for another: lookups of
    /// different keys, whose reads a core overlaps. Of a lookup count the lines that the best layout
    /// would read, one after another: the core finds other lookups' reads to do meanwhile.
    IndependentReads {
        /// How many.
        reads: fn(&Case) -> u64,
        /// Size of the working set, bytes.
        within_bytes: fn(&Case) -> u64,
    },
    /// Hashes of one word.
    Hashes(fn(&Case) -> u64),
    /// SQLite statements.
    Statements(fn(&Case) -> u64),
    /// Durable flushes of the data directory's device.
    Fsyncs(fn(&Case) -> u64),
    /// Round trips over loopback.
    RoundTrips(fn(&Case) -> u64),
    /// Bytes written to the page cache.
    BytesWritten(fn(&Case) -> u64),
    /// Nanoseconds of waiting that the work cannot avoid, as stated by its input.
    Waiting(fn(&Case) -> u64),
    /// The naive side divided by the cores in use.
    Cores,
    /// No machine number bounds it; why.
    None(&'static str),
}

/// What one iteration of the optimized side needs at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    /// What is needed.
    pub kind: Need,
    /// How much of it; the unit is the kind's.
    pub amount: u64,
    /// Size of the working set that is read at random, bytes; `None` for the other kinds, and in
    /// results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_bytes: Option<u64>,
}

/// The kinds of [`Limit`], as results name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Bytes streamed once, from the memory level that holds so many.
    BytesStreamed,
    /// Dependent reads at random places of the working set.
    RandomReads,
    /// Independent reads at random places of the working set.
    IndependentReads,
    /// Hashes of one word.
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
    /// Cores in use, among which the naive side's time is divided.
    Cores,
}

impl Limit {
    /// What an iteration of `case` needs, its busiest side keeping `threads` threads busy. `None`
    /// where no machine number bounds the work.
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

    /// Whether a machine number is needed to tell a share of it.
    pub fn needs_numbers(&self) -> bool {
        !matches!(self, Limit::Waiting(_) | Limit::Cores | Limit::None(_))
    }
}

impl Needed {
    /// "4,096 hashes of a word"
    pub fn in_words(self) -> String {
        let count = format::count(self.amount);
        let what = match self.kind {
            Need::BytesStreamed => "bytes streamed",
            Need::RandomReads => "dependent reads at random places",
            Need::IndependentReads => "independent reads at random places",
            Need::Hashes => "hashes of a word",
            Need::Statements => "SQLite statements",
            Need::Fsyncs => "durable flushes",
            Need::RoundTrips => "round trips over loopback",
            Need::BytesWritten => "bytes written to the page cache",
            Need::WaitingNs => {
                return format!("{} of waiting", format::duration(self.amount as f64));
            }
            Need::Cores => return format!("the naive side's time divided among {count} threads"),
        };
        format!("{count} {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(kind: Need, amount: u64, within_bytes: u64) -> Option<Needed> {
        Some(Needed { kind, amount, within_bytes: Some(within_bytes) })
    }

    #[test]
    fn a_limit_is_worth_its_case() {
        let case = Case::realistic(8, 0, 1);
        let needed = Limit::BytesStreamed(|case| case.point * 4).needed(&case, 1).unwrap();
        assert_eq!(needed.in_words(), "32 bytes streamed");
        assert_eq!(Limit::Cores.needed(&case, 3).unwrap().amount, 3);
        assert_eq!(Limit::None("nothing").needed(&case, 1), None);
        let limit = Limit::RandomReads { reads: |case| case.point, within_bytes: |_| 64 };
        assert_eq!(limit.needed(&case, 1), reads(Need::RandomReads, 8, 64));
        assert!(limit.needs_numbers() && !Limit::Cores.needs_numbers());
        let limit = Limit::IndependentReads { reads: |case| case.point, within_bytes: |_| 64 };
        let needed = limit.needed(&case, 1);
        assert_eq!(needed, reads(Need::IndependentReads, 8, 64));
        assert_eq!(needed.unwrap().in_words(), "8 independent reads at random places");
        assert!(limit.needs_numbers());
    }
}
