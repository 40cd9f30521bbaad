//! What one open-loop load at one rate showed, as results keep it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    LAG_IN_LATENCY,
    part::{Part, Whole},
};

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

/// One open-loop load at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadAtRate {
    /// Requests a second that were due, at random times.
    pub rate: f64,
    /// Number of requests.
    pub requests: u64,
    /// Median latency, µs, from the intended start, of all requests that were answered, also wrongly; so are the other latencies.
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
    /// Sums up what was sent at `rate` requests a second, in parts that each had a share of them.
    pub fn of_parts(rate: f64, parts: &[Part]) -> LoadAtRate {
        let micros = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let whole = Whole::of(parts);
        let latency = |quantile| micros(whole.latencies.value_at_quantile(quantile));
        LoadAtRate {
            rate,
            requests: whole.requests,
            p50_us: latency(0.5),
            p99_us: latency(0.99),
            p999_us: latency(0.999),
            max_us: micros(whole.latencies.max()),
            failed: whole.failures.values().sum(),
            late: whole.late(),
            lag_p99_us: micros(whole.lags.value_at_quantile(0.99)),
            is_void: whole.is_void(),
            failures: whole.failures,
        }
    }

    /// Returns whether the load met an objective: none failed, and the 99th percentile is at most `p99`. `None` if the load
    /// is void and the generator's lag is more than a tenth of the objective too: latency counts from when a request was due,
    /// so that a smaller lag can only make it look worse.
    pub fn meets(&self, p99: Duration) -> Option<bool> {
        let objective_us = p99.as_secs_f64() * 1e6;
        let is_open = self.is_void && self.lag_p99_us * f64::from(LAG_IN_LATENCY) > objective_us;
        let meets = self.failed == 0 && self.p99_us <= objective_us;
        (!is_open).then_some(meets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::open_loop::{Sent, histogram, record};

    fn of(rate: f64, sent: &Sent<Answered>) -> LoadAtRate {
        LoadAtRate::of_parts(rate, &[Part::of(sent)])
    }

    #[test]
    fn known_latencies_and_failures() {
        let (mut latencies, mut lags) = (histogram(), histogram());
        for millisecond in 1..=1_000 {
            record(&mut latencies, Duration::from_millis(millisecond));
            record(&mut lags, Duration::from_micros(if millisecond <= 10 { 30 } else { 5 }));
        }
        let mut answers = vec![Some(Answered::Rightly); 1_000];
        let load = of(50.0, &Sent { latencies, lags, answers: answers.clone() });
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
        let load = of(50.0, &sent);
        assert_eq!((load.failed, load.meets(Duration::MAX)), (3, Some(false)));
        let kinds = ["wrong answer", "no answer", "refused"].map(|kind| (kind.to_owned(), 1));
        assert_eq!(load.failures, BTreeMap::from(kinds));
        let lagged =
            LoadAtRate { is_void: true, failed: 0, p99_us: 900.0, lag_p99_us: 200.0, ..load };
        let meets = |ms| lagged.meets(Duration::from_millis(ms));
        assert_eq!([meets(1), meets(2), meets(100)], [None, Some(true), Some(true)]);
    }

    #[test]
    fn parts_together_are_as_one_load() {
        let sent = |milliseconds: std::ops::Range<u64>, failed: Option<Answered>| {
            let (mut latencies, mut lags) = (histogram(), histogram());
            let mut answers = vec![failed; 2];
            for millisecond in milliseconds {
                record(&mut latencies, Duration::from_millis(millisecond));
                record(&mut lags, Duration::from_micros(millisecond));
                answers.push(Some(Answered::Rightly));
            }
            Part::of(&Sent { latencies, lags, answers })
        };
        let refused = Some(Answered::Failed("refused"));
        let parts = [sent(1..31, refused), sent(31..101, None)];
        let load = LoadAtRate::of_parts(9.0, &parts);
        let near = |found: f64, exact: f64| (found / exact - 1.0).abs() < 0.002;
        assert!(near(load.p50_us, 5e4) && near(load.p99_us, 9.9e4), "{load:?}");
        assert!(near(load.max_us, 1e5) && near(load.lag_p99_us, 99.0), "{load:?}");
        assert_eq!((load.requests, load.failed, load.late, load.rate), (104, 4, 75, 9.0));
        let kinds = ["no answer", "refused"].map(|kind| (kind.to_owned(), 2));
        assert_eq!(load.failures, BTreeMap::from(kinds));
        assert_eq!(LoadAtRate::of_parts(1.0, &[]).requests, 0);
    }
}
