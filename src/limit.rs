//! The least a machine needs for the work of an optimized side, and how close the side comes.

use serde::{Deserialize, Serialize};

use crate::{
    format,
    numbers::{self, Number, Numbers},
    pair::{Case, Limit},
    results::Measured,
    trial::Role,
};

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

/// How close an optimized side comes to its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// Least time ÷ time of the optimized side: 1 is all that the machine allows. Above 1 the side
    /// has beaten its limit, which then is no model of its work; it is shown as it is.
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

/// The machine number that a need is held against, if it is held against one and that was measured.
///
/// Streams and reads are those of one core, at the nearest level that holds the working set; hashes
/// are foldhash's, the quicker of the two that are measured.
pub fn number(needed: Needed, numbers: &Numbers) -> Option<&Number> {
    match needed.kind {
        Need::BytesStreamed => numbers.at_level_of(numbers::BANDWIDTH, needed.amount),
        Need::RandomReads => numbers.at_level_of(numbers::LATENCY, needed.within_bytes?),
        Need::IndependentReads => {
            numbers.at_level_of(numbers::INDEPENDENT_READ, needed.within_bytes?)
        }
        Need::Hashes => numbers.get(numbers::FOLDHASH),
        Need::Statements => numbers.get(numbers::STATEMENT),
        Need::Fsyncs => numbers.get(numbers::FSYNC),
        Need::RoundTrips => numbers.get(numbers::LOOPBACK),
        Need::BytesWritten => numbers.get(numbers::PAGE_CACHE_WRITE),
        Need::WaitingNs | Need::Cores => None,
    }
}

impl Measured {
    /// How close the optimized side comes to what the machine allows, by the numbers of the run.
    pub fn share_of_limit(&self, numbers: Option<&Numbers>) -> Share {
        let iteration_ns = |role| {
            let side = self.side(role);
            side.map_or(0.0, |side| side.time_ns.median * self.units_per_iteration as f64)
        };
        let [naive_ns, optimized_ns] = [Role::Naive, Role::Optimized].map(iteration_ns);
        share(self.needed, numbers, naive_ns, optimized_ns)
    }
}

/// How close an optimized side comes to its limit, from the times of an iteration of both sides and
/// the machine numbers, all of the same run; times in ns.
pub fn share(
    needed: Option<Needed>,
    numbers: Option<&Numbers>,
    naive_ns: f64,
    optimized_ns: f64,
) -> Share {
    let Some(needed) = needed else { return Share::Unbounded };
    let amount = needed.amount as f64;
    let least_ns = match needed.kind {
        Need::WaitingNs => Some(amount),
        Need::Cores => Some(naive_ns / amount.max(1.0)),
        _ => numbers.and_then(|numbers| number(needed, numbers)?.ns_for(amount)),
    };
    match least_ns.map(|least| least / optimized_ns) {
        Some(share) if share.is_finite() => Share::Known(share),
        _ => Share::Unmeasured(needed.kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(kind: Need, amount: u64) -> Option<Needed> {
        Some(Needed { kind, amount, within_bytes: None })
    }

    fn reads(kind: Need, amount: u64, within_bytes: u64) -> Option<Needed> {
        Some(Needed { kind, amount, within_bytes: Some(within_bytes) })
    }

    /// Share of a side that takes 1 µs, on the made machine.
    fn share_of_1_us(needed: Option<Needed>) -> f64 {
        match share(needed, Some(&numbers::made()), 9_000.0, 1_000.0) {
            Share::Known(share) => (share * 1e6).round() / 1e6,
            other => panic!("{needed:?}: {other:?}"),
        }
    }

    #[test]
    fn waiting_is_held_against_the_time_of_an_iteration() {
        assert_eq!(share(needed(Need::WaitingNs, 500), None, 9_000.0, 1_000.0), Share::Known(0.5));
    }

    #[test]
    fn cores_divide_the_naive_time() {
        assert_eq!(share(needed(Need::Cores, 4), None, 300.0, 100.0), Share::Known(0.75));
        let unknown = Share::Unmeasured(Need::Cores);
        assert_eq!(share(needed(Need::Cores, 4), None, 300.0, 0.0), unknown);
    }

    #[test]
    fn streams_are_held_against_the_level_that_holds_them() {
        // 100, 50 and 10 bytes per ns.
        let streamed = |bytes| share_of_1_us(needed(Need::BytesStreamed, bytes));
        assert_eq!([1_000, 10_000].map(streamed), [0.01, 0.2]);
        assert_eq!(streamed(20_000), 2.0, "beaten limits are not clipped");
    }

    #[test]
    fn random_reads_are_held_against_the_level_of_the_working_set() {
        for (kind, expected) in [
            (Need::RandomReads, [0.005, 0.02, 0.5]),
            (Need::IndependentReads, [0.0025, 0.005, 0.05]),
        ] {
            let read = |within_bytes| share_of_1_us(reads(kind, 5, within_bytes));
            assert_eq!([1_000, 1_001, 1 << 30].map(read), expected, "{kind:?}");
            let of_older_result = needed(kind, 5);
            let share = share(of_older_result, Some(&numbers::made()), 2.0, 1.0);
            assert_eq!(share, Share::Unmeasured(kind));
        }
    }

    #[test]
    fn what_costs_a_time_each_is_held_against_that_time() {
        for (kind, amount, expected) in [
            (Need::Hashes, 100, 0.2),
            (Need::Statements, 1, 0.5),
            (Need::Fsyncs, 1, 1_000.0),
            (Need::RoundTrips, 2, 40.0),
        ] {
            assert_eq!(share_of_1_us(needed(kind, amount)), expected, "{kind:?}");
        }
        // 2 bytes per ns.
        assert_eq!(share_of_1_us(needed(Need::BytesWritten, 1_000)), 0.5);
    }

    #[test]
    fn what_needs_a_machine_number_says_so_and_what_is_unbounded_too() {
        let empty = Numbers { numbers: vec![], ..numbers::made() };
        for kind in [
            Need::BytesStreamed,
            Need::Hashes,
            Need::Statements,
            Need::Fsyncs,
            Need::RoundTrips,
            Need::BytesWritten,
        ] {
            for numbers in [None, Some(&empty)] {
                assert_eq!(share(needed(kind, 4), numbers, 2.0, 1.0), Share::Unmeasured(kind));
            }
        }
        assert_eq!(share(None, Some(&numbers::made()), 2.0, 1.0), Share::Unbounded);
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
