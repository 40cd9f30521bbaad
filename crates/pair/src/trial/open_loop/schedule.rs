//! When the requests of an open-loop load are due: a Poisson process. Evenly spaced requests would never come in a
//! bunch, as those of independent users do, and so would wait for each other less.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::OpenLoop;

/// Returns the intended starts, from the start of the load, of the input at a place in the rotation. The same load and
/// place give the same starts.
pub(super) fn starts(load: OpenLoop, place: usize) -> Vec<Duration> {
    let mut rng = ChaCha8Rng::seed_from_u64(load.seed);
    rng.set_stream(place as u64);
    let mut due = Duration::ZERO;
    let gaps = (0..load.requests).map(|_| load.interval.mul_f64(exponential(rng.random())));
    gaps.map(|gap| {
        due += gap;
        due
    })
    .collect()
}

/// Returns the intended starts of `requests` requests within `requests ÷ rate` seconds: a Poisson process of which is known how
/// many requests it sends. A load at a stated rate then has that rate, and not one that is off by the root of its requests.
pub(super) fn starts_at_rate(rate: f64, requests: u64, seed: u64) -> Vec<Duration> {
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut starts = starts(OpenLoop { interval, requests, seed }, 0);
    let (last, end) = (starts.last().copied().unwrap_or_default(), requests as f64 / rate);
    let stretch = end / last.as_secs_f64().max(f64::MIN_POSITIVE);
    starts.iter_mut().for_each(|start| *start = start.mul_f64(stretch));
    starts
}

/// Returns the number with the mean 1 whose exponential distribution function is `uniform`, a number from 0 to 1
/// exclusive.
fn exponential(uniform: f64) -> f64 {
    -(1.0 - uniform).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: OpenLoop =
        OpenLoop { interval: Duration::from_micros(50), requests: 100_000, seed: 42 };

    #[test]
    fn gaps_have_the_mean_and_the_variance_of_an_exponential_distribution() {
        let starts = starts(LOAD, 0);
        let gaps: Vec<f64> =
            starts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e6).collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        // Of a hundred thousand, the mean errs by 0.3 % and the variance by 0.9 % (standard errors).
        assert!((mean / 50.0 - 1.0).abs() < 0.015, "{mean}");
        assert!((variance / 2_500.0 - 1.0).abs() < 0.045, "{variance}");
        // 1 − 1/e of them are shorter than the mean, where all evenly spaced ones are equal.
        let shorter = gaps.iter().filter(|gap| **gap < 50.0).count() as f64 / count;
        assert!((shorter - 0.632).abs() < 0.01, "{shorter}");
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_each_input_has_its_own() {
        assert_eq!(starts(LOAD, 3), starts(LOAD, 3));
        assert_ne!(starts(LOAD, 3), starts(LOAD, 4));
        assert_ne!(starts(LOAD, 3), starts(OpenLoop { seed: 43, ..LOAD }, 3));
        assert!(starts(OpenLoop { requests: 0, ..LOAD }, 0).is_empty());
    }

    #[test]
    fn a_load_at_a_rate_has_exactly_that_rate_and_keeps_its_bunches() {
        let starts = starts_at_rate(2_000.0, 5_000, 7);
        let last = starts.last().unwrap().as_secs_f64();
        assert!((last - 2.5).abs() < 1e-6, "{last}");
        assert_ne!(starts, starts_at_rate(2_000.0, 5_000, 8));
        let gaps = starts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        let shorter = gaps.filter(|gap| *gap < 0.000_5).count() as f64 / 5_000.0;
        assert!((shorter - 0.632).abs() < 0.03, "{shorter}");
        assert!(starts_at_rate(10.0, 0, 1).is_empty());
    }

    #[test]
    fn known_quantiles() {
        assert_eq!(exponential(0.0), 0.0);
        assert!((exponential(0.5) - std::f64::consts::LN_2).abs() < 1e-15);
    }
}
