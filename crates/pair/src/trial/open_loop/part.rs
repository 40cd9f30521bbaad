//! What one generator saw of a load. A load of many users may have several, in processes of their own.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Answered, LATE_AFTER, Sent, histogram, is_void};

/// The kind of failure of a request that had no answer in time, or whose task panicked.
const NO_ANSWER: &str = "no answer";

/// A part of a load: every latency, so that parts can be put together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Number of requests.
    pub requests: u64,
    /// Latencies of all requests that were answered, also wrongly, nanoseconds.
    latencies: Values,
    /// How late the generator sent requests, nanoseconds.
    lags: Values,
    /// Requests that were answered wrongly, not in time, or not at all, by kind.
    pub failures: BTreeMap<String, u64>,
}

/// The values of a histogram, and how often each was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Values(Vec<(u64, u64)>);

impl Values {
    fn of(histogram: &Histogram<u64>) -> Values {
        let recorded = histogram.iter_recorded();
        Values(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
    }

    fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (value, count) in &self.0 {
            histogram.record_n(*value, *count).expect("a histogram grows");
        }
    }
}

impl Part {
    pub(super) fn of(sent: &Sent<Answered>) -> Part {
        let mut failures = BTreeMap::new();
        for answer in &sent.answers {
            let kind = match answer {
                Some(Answered::Rightly) => continue,
                Some(Answered::Failed(kind)) => kind,
                None => NO_ANSWER,
            };
            *failures.entry(kind.to_owned()).or_insert(0) += 1;
        }
        Part {
            requests: sent.answers.len() as u64,
            latencies: Values::of(&sent.latencies),
            lags: Values::of(&sent.lags),
            failures,
        }
    }
}

/// Parts of a load, put together.
pub(super) struct Whole {
    pub requests: u64,
    pub latencies: Histogram<u64>,
    pub lags: Histogram<u64>,
    pub failures: BTreeMap<String, u64>,
}

impl Whole {
    pub fn of(parts: &[Part]) -> Whole {
        let (mut latencies, mut lags) = (histogram(), histogram());
        let mut failures = BTreeMap::new();
        for part in parts {
            part.latencies.add_to(&mut latencies);
            part.lags.add_to(&mut lags);
            for (kind, count) in &part.failures {
                *failures.entry(kind.clone()).or_insert(0) += count;
            }
        }
        Whole { requests: parts.iter().map(|part| part.requests).sum(), latencies, lags, failures }
    }

    /// Requests that were sent late.
    pub fn late(&self) -> u64 {
        self.lags.len() - self.lags.count_between(0, LATE_AFTER.as_nanos() as u64)
    }

    /// Returns whether the generators lagged so much that the latencies are their own.
    pub fn is_void(&self) -> bool {
        is_void(&self.latencies, &self.lags)
    }
}
