//! The least a machine needs for the work of an optimized side, and how close the side comes.

use serde::{Deserialize, Serialize};

use crate::{
    format,
    pair::{Case, Limit},
};

/// What one iteration of the optimized side needs at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    /// What is needed.
    pub kind: Need,
    /// How much of it; the unit is the kind's.
    pub amount: u64,
}

/// The kinds of [`Limit`], as results name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Bytes streamed from the memory level that holds the working set.
    BytesStreamed,
    /// Dependent reads at random places of the working set.
    RandomReads,
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

/// How close an optimized side comes to its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// Least time ÷ time of the optimized side: 1 is all that the machine allows.
    Known(f64),
    /// The machine number that it is held against was not measured in this run.
    Unmeasured(Need),
    /// No machine number bounds the work.
    Unbounded,
}

impl Limit {
    /// What an iteration of `case` needs, its busiest side keeping `threads` threads busy. `None`
    /// where no machine number bounds the work.
    pub fn needed(&self, case: &Case, threads: usize) -> Option<Needed> {
        let (kind, amount) = match self {
            Limit::BytesStreamed(amount) => (Need::BytesStreamed, amount(case)),
            Limit::RandomReads(amount) => (Need::RandomReads, amount(case)),
            Limit::Hashes(amount) => (Need::Hashes, amount(case)),
            Limit::Statements(amount) => (Need::Statements, amount(case)),
            Limit::Fsyncs(amount) => (Need::Fsyncs, amount(case)),
            Limit::RoundTrips(amount) => (Need::RoundTrips, amount(case)),
            Limit::BytesWritten(amount) => (Need::BytesWritten, amount(case)),
            Limit::Waiting(amount) => (Need::WaitingNs, amount(case)),
            Limit::Cores => (Need::Cores, threads as u64),
            Limit::None(_) => return None,
        };
        Some(Needed { kind, amount })
    }
}

impl Needed {
    /// "4,096 hashes of a word"
    pub fn in_words(self) -> String {
        let count = format::count(self.amount);
        let what = match self.kind {
            Need::BytesStreamed => "bytes streamed from memory",
            Need::RandomReads => "dependent reads at random places",
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

/// How close an optimized side comes to its limit, from the times of an iteration of both sides of
/// the same run, ns.
pub fn share(needed: Option<Needed>, naive_ns: f64, optimized_ns: f64) -> Share {
    let Some(Needed { kind, amount }) = needed else { return Share::Unbounded };
    let least_ns = match kind {
        Need::WaitingNs => Some(amount as f64),
        Need::Cores => Some(naive_ns / amount.max(1) as f64),
        _ => None,
    };
    match least_ns.map(|least| least / optimized_ns) {
        Some(share) if share.is_finite() => Share::Known(share),
        _ => Share::Unmeasured(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(kind: Need, amount: u64) -> Option<Needed> {
        Some(Needed { kind, amount })
    }

    #[test]
    fn waiting_is_held_against_the_time_of_an_iteration() {
        assert_eq!(share(needed(Need::WaitingNs, 500), 9_000.0, 1_000.0), Share::Known(0.5));
    }

    #[test]
    fn cores_divide_the_naive_time() {
        assert_eq!(share(needed(Need::Cores, 4), 300.0, 100.0), Share::Known(0.75));
        assert_eq!(share(needed(Need::Cores, 4), 300.0, 0.0), Share::Unmeasured(Need::Cores));
    }

    #[test]
    fn what_needs_a_machine_number_says_so_and_what_is_unbounded_too() {
        assert_eq!(share(needed(Need::Hashes, 4), 2.0, 1.0), Share::Unmeasured(Need::Hashes));
        assert_eq!(share(None, 2.0, 1.0), Share::Unbounded);
    }

    #[test]
    fn a_limit_is_worth_its_case() {
        let case = Case::realistic(8, 0, 1);
        let needed = Limit::BytesStreamed(|case| case.point * 4).needed(&case, 1).unwrap();
        assert_eq!(needed.in_words(), "32 bytes streamed from memory");
        assert_eq!(Limit::Cores.needed(&case, 3).unwrap().amount, 3);
        assert_eq!(Limit::None("nothing").needed(&case, 1), None);
    }
}
