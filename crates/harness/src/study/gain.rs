//! How exactly requests tell what a fix gained.

use statrs::distribution::{Binomial, DiscreteCDF};

use crate::statistics::{CONFIDENCE, Interval, quantile};

/// Requests of a step from which on its median has an interval of the confidence that a ratio of two medians needs.
pub const LEAST_REQUESTS: usize = 7;

/// Returns the ratio of the medians of two samples with its interval; `None` if one of them has fewer than
/// [`LEAST_REQUESTS`] values, or one that is not positive and finite.
///
/// The ends are those of the two medians' intervals. Each of these fails with half of the permitted probability, so that the
/// interval holds the ratio at least as often as is said, however the values are distributed.
pub fn ratio_of_medians(before: &[f64], after: &[f64]) -> Option<Interval> {
    let (before, after) = (median(before)?, median(after)?);
    Some(Interval {
        low: before.low / after.high,
        estimate: before.estimate / after.estimate,
        high: before.high / after.low,
    })
}

/// Returns the median of a sample, and an interval that holds that of its distribution: between the `n`th of the values from
/// below and the `n`th from above, as how many lie below the median is binomial.
fn median(values: &[f64]) -> Option<Interval> {
    let is_sound = values.iter().all(|value| *value > 0.0 && value.is_finite());
    if values.len() < LEAST_REQUESTS || !is_sound {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    // Of the half of the permitted probability, each end gets half.
    let permitted = (1.0 - CONFIDENCE) / 4.0;
    let below = Binomial::new(0.5, values.len() as u64).ok()?;
    let cut = (0..values.len()).take_while(|count| below.cdf(*count as u64) <= permitted).last()?;
    Some(Interval {
        low: sorted[cut],
        estimate: quantile(&sorted, 0.5),
        high: sorted[sorted.len() - 1 - cut],
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn ascending(count: u32) -> Vec<f64> {
        (1..=count).map(f64::from).collect()
    }

    #[test]
    fn a_median_lies_between_values_that_the_binomial_distribution_names() {
        let ends = |count| median(&ascending(count)).map(|found| (found.low, found.high));
        // P(all seven on one side) = 2 × 1/128; of eight, at most one: 2 × 9/256 is too much.
        assert_eq!(ends(6), None);
        assert_eq!(ends(7), Some((1.0, 7.0)));
        assert_eq!(ends(8), Some((1.0, 8.0)));
        // Of ten, at most one: 2 × 11/1024 is permitted.
        assert_eq!(ends(10), Some((2.0, 9.0)));
        assert_eq!(median(&[0.0; 7]), None);
    }

    #[test]
    fn the_interval_of_a_ratio_has_the_ends_of_both_medians() {
        let (before, after) = (ascending(7), [2.0; 7]);
        let expected = Interval { low: 0.5, estimate: 2.0, high: 3.5 };
        assert_eq!(ratio_of_medians(&before, &after), Some(expected));
        assert_eq!(ratio_of_medians(&before, &after[..6]), None);
        assert_eq!(ratio_of_medians(&before[..6], &after), None);
    }

    #[test]
    fn the_interval_holds_the_ratio_as_often_as_is_said() {
        let mut rng = ChaCha8Rng::seed_from_u64(42);
        // Exponentially distributed, as latencies have long tails; the second ones are half as long.
        let mut sample = |count: usize, scale: f64| -> Vec<f64> {
            (0..count).map(|_| -scale * (1.0 - rng.random_range(0.0..1.0_f64)).ln()).collect()
        };
        for count in [7, 10, 30, 200] {
            let held = (0..1_000).filter(|_| {
                let (before, after) = (sample(count, 2.0), sample(count, 1.0));
                ratio_of_medians(&before, &after).is_some_and(|ratio| ratio.contains(2.0))
            });
            assert!(held.count() >= 950, "of {count} requests");
        }
    }
}
