//! The least time that a machine needs for the work of an optimized side, and how close the side comes.

use crate::numbers::{Number, Numbers};
use worthit_pair::limit::{Need, Needed};

/// Share of its limit that an optimized side reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// Least time ÷ time of the optimized side: 1 is the most that the machine allows. Above 1 the side
    /// beats its limit, which then does not model its work; such a share is shown unchanged.
    Known(f64),
    /// The machine number that sets the limit was not measured in this run.
    Unmeasured(Need),
    /// No machine number bounds the work.
    Unbounded,
}

/// Returns the machine number that sets the limit of a need, if there is one and it was measured.
///
/// Streams and reads use the numbers of one core, at the nearest level that holds the working set.
/// Hashes use foldhash, the faster of the two measured hashes.
pub fn number(needed: Needed, numbers: &Numbers) -> Option<&Number> {
    match needed.kind {
        Need::BytesStreamed => {
            let within_bytes = needed.within_bytes.unwrap_or(needed.amount);
            numbers.at_level_of(worthit_machine::BANDWIDTH, within_bytes)
        }
        Need::RandomReads => numbers.at_level_of(worthit_machine::LATENCY, needed.within_bytes?),
        Need::IndependentReads => {
            numbers.at_level_of(worthit_machine::INDEPENDENT_READ, needed.within_bytes?)
        }
        Need::Hashes => numbers.get(worthit_machine::FOLDHASH),
        Need::Statements => numbers.get(worthit_machine::STATEMENT),
        Need::FileStatements => numbers.get(worthit_machine::FILE_STATEMENT),
        Need::RowsReturned => numbers.get(worthit_machine::ROW),
        Need::Fsyncs => numbers.get(worthit_machine::FSYNC),
        Need::OverwritingFsyncs => numbers.get(worthit_machine::OVERWRITING_FSYNC),
        Need::Atomics => numbers.get(worthit_machine::ATOMIC),
        Need::ContendedAtomics => numbers.get(worthit_machine::CONTENDED_ATOMIC),
        Need::RoundTrips => numbers.get(worthit_machine::LOOPBACK),
        Need::BytesWritten => numbers.get(worthit_machine::PAGE_CACHE_WRITE),
        Need::BytesRead => numbers.get(worthit_machine::PAGE_CACHE_READ),
        Need::StreamedByAllCores => numbers.get(worthit_machine::BANDWIDTH_OF_ALL_CORES),
        Need::SystemCalls => numbers.get(worthit_machine::SYSTEM_CALL),
        Need::DeviceReads => numbers.get(worthit_machine::DEVICE_READ),
        Need::QueuedDeviceReads => numbers.get(worthit_machine::QUEUED_DEVICE_READ),
        Need::ThreadStarts => numbers.get(worthit_machine::THREAD),
        Need::WaitingNs | Need::Cores => None,
    }
}

/// Computes how close an optimized side comes to its limit, from the machine numbers and the times of
/// an iteration of both sides, in ns, all of the same run. Several kinds of work add up.
pub fn share(
    needed: &[Needed],
    numbers: Option<&Numbers>,
    naive_ns: f64,
    optimized_ns: f64,
) -> Share {
    let Some(first) = needed.first() else { return Share::Unbounded };
    let mut least_ns = 0.0;
    for piece in needed {
        let amount = piece.amount as f64;
        let piece_ns = match piece.kind {
            Need::WaitingNs => Some(amount),
            Need::Cores => Some(naive_ns / amount.max(1.0)),
            // A number need not be measured for work that there is none of.
            _ if piece.amount == 0 => Some(0.0),
            _ => numbers.and_then(|numbers| number(*piece, numbers)?.ns_for(amount)),
        };
        let Some(piece_ns) = piece_ns else { return Share::Unmeasured(piece.kind) };
        least_ns += piece_ns;
    }
    match least_ns / optimized_ns {
        share if share.is_finite() => Share::Known(share),
        _ => Share::Unmeasured(first.kind),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::numbers;

    fn needed(kind: Need, amount: u64) -> [Needed; 1] {
        [Needed { kind, amount, within_bytes: None }]
    }

    fn reads(kind: Need, amount: u64, within_bytes: u64) -> [Needed; 1] {
        [Needed { kind, amount, within_bytes: Some(within_bytes) }]
    }

    /// Share of a side that takes 1 µs, on the machine of [`numbers::made`].
    fn share_of_1_us(needed: impl AsRef<[Needed]> + Debug) -> f64 {
        match share(needed.as_ref(), Some(&numbers::made()), 9_000.0, 1_000.0) {
            Share::Known(share) => (share * 1e6).round() / 1e6,
            other => panic!("{needed:?}: {other:?}"),
        }
    }

    #[test]
    fn waiting_is_compared_with_the_time_of_an_iteration() {
        assert_eq!(share(&needed(Need::WaitingNs, 500), None, 9_000.0, 1_000.0), Share::Known(0.5));
    }

    #[test]
    fn kinds_of_work_add_up() {
        let pieces = [needed(Need::Statements, 1), needed(Need::Hashes, 100)].concat();
        assert_eq!(share_of_1_us(&pieces), 0.7);
        let none_of_it = [needed(Need::WaitingNs, 500), needed(Need::Fsyncs, 0)].concat();
        assert_eq!(share(&none_of_it, None, 0.0, 1_000.0), Share::Known(0.5));
        let one_unknown = [needed(Need::WaitingNs, 500), needed(Need::Hashes, 1)].concat();
        assert_eq!(share(&one_unknown, None, 0.0, 1_000.0), Share::Unmeasured(Need::Hashes));
    }

    #[test]
    fn cores_divide_the_naive_time() {
        assert_eq!(share(&needed(Need::Cores, 4), None, 300.0, 100.0), Share::Known(0.75));
        let unknown = Share::Unmeasured(Need::Cores);
        assert_eq!(share(&needed(Need::Cores, 4), None, 300.0, 0.0), unknown);
    }

    #[test]
    fn streams_are_compared_with_the_level_that_holds_them() {
        // 100, 50 and 10 bytes per ns.
        let streamed = |bytes| share_of_1_us(needed(Need::BytesStreamed, bytes));
        assert_eq!([1_000, 10_000].map(streamed), [0.01, 0.2]);
        assert_eq!(streamed(20_000), 2.0, "beaten limits are not clipped");
        let in_turn = share_of_1_us(reads(Need::BytesStreamed, 1_000, 20_000));
        assert_eq!(in_turn, 0.1, "inputs that take turns come from the level that holds them all");
    }

    #[test]
    fn random_reads_are_compared_with_the_level_of_the_working_set() {
        for (kind, expected) in [
            (Need::RandomReads, [0.005, 0.02, 0.5]),
            (Need::IndependentReads, [0.0025, 0.005, 0.05]),
        ] {
            let read = |within_bytes| share_of_1_us(reads(kind, 5, within_bytes));
            assert_eq!([1_000, 1_001, 1 << 30].map(read), expected, "{kind:?}");
            let of_older_result = needed(kind, 5);
            let share = share(&of_older_result, Some(&numbers::made()), 2.0, 1.0);
            assert_eq!(share, Share::Unmeasured(kind));
        }
    }

    #[test]
    fn operations_are_compared_with_the_time_of_each() {
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
    fn missing_machine_numbers_and_unbounded_work_are_reported() {
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
                assert_eq!(share(&needed(kind, 4), numbers, 2.0, 1.0), Share::Unmeasured(kind));
            }
        }
        assert_eq!(share(&[], Some(&numbers::made()), 2.0, 1.0), Share::Unbounded);
    }
}
