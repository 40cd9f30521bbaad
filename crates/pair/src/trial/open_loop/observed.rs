//! What open-loop loads showed beside their figure: what was late, and whether the generator was.

use hdrhistogram::Histogram;

use super::{LATE_AFTER, histogram};

/// What was observed since the last call of [`Runner::observations`](crate::trial::Runner::observations).
pub(super) struct Observed {
    /// Latencies of all loads whose figures stand, in nanoseconds.
    latencies: Histogram<u64>,
    /// How late the requests of these loads were sent, in nanoseconds.
    lags: Histogram<u64>,
    /// Loads that were repeated because the generator lagged.
    pub void_loads: u64,
    /// Loads whose figures stand although the generator lagged.
    pub lagging_loads: u64,
}

impl Default for Observed {
    fn default() -> Observed {
        Observed { latencies: histogram(), lags: histogram(), void_loads: 0, lagging_loads: 0 }
    }
}

impl Observed {
    /// Adds a load whose figure stands.
    pub fn add(&mut self, latencies: &Histogram<u64>, lags: &Histogram<u64>) {
        self.latencies.add(latencies).expect("a histogram grows");
        self.lags.add(lags).expect("a histogram grows");
    }

    /// Returns all by name; nothing if there was no load.
    pub fn named(self) -> Vec<(&'static str, f64)> {
        if self.lags.is_empty() {
            return Vec::new();
        }
        let micros = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let in_time = self.lags.count_between(0, LATE_AFTER.as_nanos() as u64);
        let late = self.lags.len() - in_time;
        vec![
            ("late_requests_percent", late as f64 / self.lags.len() as f64 * 100.0),
            ("generator_lag_p99_us", micros(self.lags.value_at_quantile(0.99))),
            ("generator_lag_max_us", micros(self.lags.max())),
            ("latency_max_us", micros(self.latencies.max())),
            ("void_loads", self.void_loads as f64),
            ("lagging_loads", self.lagging_loads as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn known_lags_and_latencies() {
        let (mut latencies, mut lags) = (histogram(), histogram());
        for microsecond in 1..=100 {
            lags.record(microsecond * 1_000).unwrap();
            latencies.record(2 * microsecond * 1_000).unwrap();
        }
        let mut observed = Observed { void_loads: 2, ..Observed::default() };
        observed.add(&latencies, &lags);
        observed.add(&latencies, &lags);
        let named: BTreeMap<_, _> = observed.named().into_iter().collect();
        assert_eq!(named["late_requests_percent"], 75.0, "26 to 100 µs");
        assert!((named["generator_lag_p99_us"] - 99.0).abs() < 0.2, "{named:?}");
        assert!((named["generator_lag_max_us"] - 100.0).abs() < 0.2, "{named:?}");
        assert!((named["latency_max_us"] - 200.0).abs() < 0.4, "{named:?}");
        assert_eq!((named["void_loads"], named["lagging_loads"]), (2.0, 0.0));
        assert!(Observed::default().named().is_empty());
    }
}
