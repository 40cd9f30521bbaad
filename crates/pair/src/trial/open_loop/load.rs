//! What one open-loop load at one rate showed, as results keep it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{LATE_AFTER, Sent};

/// What became of a request of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was answered rightly.
    Rightly,
    /// It was not; the kind of failure: "refused".
    Failed(&'static str),
}

/// Whether the answer is right.
impl From<bool> for Answered {
    fn from(is_right: bool) -> Answered {
        if is_right { Answered::Rightly } else { Answered::Failed("wrong answer") }
    }
}

/// The kind of failure of a request that had no answer in time, or whose task panicked.
const NO_ANSWER: &str = "no answer";

/// One open-loop load at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadAtRate {
    /// Requests a second that were due, at random times.
    pub rate: f64,
    /// Number of requests.
    pub requests: u64,
    /// Median latency, µs, from the intended start, of the requests that were answered rightly; so are the other latencies.
    pub p50_us: f64,
    /// 99th percentile of latency, µs.
    pub p99_us: f64,
    /// 99.9th percentile of latency, µs.
    pub p999_us: f64,
    /// Longest latency, µs.
    pub max_us: f64,
    /// Requests that were answered wrongly, not in time, or not at all.
    pub failed: u64,
    /// These by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
    /// Requests that were sent more than 25 µs after they were due.
    pub late: u64,
    /// 99th percentile of how late the generator sent them, µs.
    pub lag_p99_us: f64,
    /// Whether the generator lagged so much that the latencies are its own.
    pub is_void: bool,
}

impl LoadAtRate {
    /// Sums up what was sent at `rate` requests a second.
    pub(super) fn of(rate: f64, sent: &Sent<Answered>) -> LoadAtRate {
        let micros = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let latency = |quantile| micros(sent.latencies.value_at_quantile(quantile));
        let mut failures = BTreeMap::new();
        for answer in &sent.answers {
            let kind = match answer {
                Some(Answered::Rightly) => continue,
                Some(Answered::Failed(kind)) => kind,
                None => NO_ANSWER,
            };
            *failures.entry(kind.to_owned()).or_insert(0) += 1;
        }
        let in_time = sent.lags.count_between(0, LATE_AFTER.as_nanos() as u64);
        LoadAtRate {
            rate,
            requests: sent.answers.len() as u64,
            p50_us: latency(0.5),
            p99_us: latency(0.99),
            p999_us: latency(0.999),
            max_us: micros(sent.latencies.max()),
            failed: failures.values().sum(),
            failures,
            late: sent.lags.len() - in_time,
            lag_p99_us: micros(sent.lags.value_at_quantile(0.99)),
            is_void: sent.is_void(),
        }
    }

    /// Returns whether the load met an objective: none failed, and the 99th percentile is at most `p99`. `None` if the load
    /// is void.
    pub fn meets(&self, p99: Duration) -> Option<bool> {
        let meets = self.failed == 0 && self.p99_us <= p99.as_secs_f64() * 1e6;
        (!self.is_void).then_some(meets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::open_loop::{histogram, record};

    #[test]
    fn known_latencies_and_failures() {
        let (mut latencies, mut lags) = (histogram(), histogram());
        for millisecond in 1..=1_000 {
            record(&mut latencies, Duration::from_millis(millisecond));
            record(&mut lags, Duration::from_micros(if millisecond <= 10 { 30 } else { 5 }));
        }
        let mut answers = vec![Some(Answered::Rightly); 1_000];
        let load = LoadAtRate::of(50.0, &Sent { latencies, lags, answers: answers.clone() });
        let near = |found: f64, exact: f64| (found / exact - 1.0).abs() < 0.002;
        assert!(near(load.p50_us, 5e5) && near(load.p99_us, 9.9e5), "{load:?}");
        assert!(near(load.p999_us, 9.99e5) && near(load.max_us, 1e6), "{load:?}");
        assert_eq!((load.requests, load.failed, load.late, load.is_void), (1_000, 0, 10, false));
        assert_eq!(load.meets(Duration::from_millis(995)), Some(true));
        assert_eq!(load.meets(Duration::from_millis(980)), Some(false));
        answers[3] = Some(false.into());
        answers[4] = None;
        answers[5] = Some(Answered::Failed("refused"));
        let sent = Sent { latencies: histogram(), lags: histogram(), answers };
        let load = LoadAtRate::of(50.0, &sent);
        assert_eq!((load.failed, load.meets(Duration::MAX)), (3, Some(false)));
        let kinds = ["wrong answer", "no answer", "refused"].map(|kind| (kind.to_owned(), 1));
        assert_eq!(load.failures, BTreeMap::from(kinds));
        assert_eq!(LoadAtRate { is_void: true, ..load }.meets(Duration::MAX), None);
    }
}
