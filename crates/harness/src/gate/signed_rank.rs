//! Wilcoxon's signed-rank test and its confidence interval, for the log ratios of restarts.
//!
//! Base and head take turns at running first and are otherwise treated alike. If they are the same program, a
//! restart's log ratio is as likely to be d as −d. The test assumes only this symmetry (Wilcoxon 1945; Hollander,
//! Wolfe and Chicken, *Nonparametric Statistical Methods*, 3rd ed., ch. 3). Its null distribution is computed exactly.

use crate::statistics::Interval;

/// Returns the one-sided p-value of the hypothesis that the values are symmetric about `shift`.
///
/// It is small if their centre lies above `shift`; without values, it is 1.
pub fn p_above(values: &[f64], shift: f64) -> f64 {
    let mut differences: Vec<f64> =
        values.iter().map(|value| value - shift).filter(|d| *d != 0.0).collect();
    differences.sort_unstable_by(|left, right| left.abs().total_cmp(&right.abs()));
    let ranks = differences.iter().enumerate().filter(|(_, d)| **d > 0.0).map(|(rank, _)| rank + 1);
    let observed: usize = ranks.sum();
    shares_of_sums(differences.len())[observed..].iter().sum::<f64>().min(1.0)
}

/// Returns the Hodges–Lehmann estimate of the centre, which is the median of all pairwise means, and its
/// confidence interval; `None` without values.
///
/// The interval holds the centres that the test does not reject with level `alpha` on each side. Its bounds are
/// infinite if there are too few values for so small an `alpha`.
pub fn centre(values: &[f64], alpha: f64) -> Option<Interval> {
    let n = values.len();
    let mut means: Vec<f64> = (0..n)
        .flat_map(|i| (i..n).map(move |j| (i, j)))
        .map(|(i, j)| f64::midpoint(values[i], values[j]))
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let estimate = crate::statistics::median(&means)?;
    let rejected = largest_rejected_sum(n, alpha);
    let low = rejected.map_or(f64::NEG_INFINITY, |k| means[k]);
    let high = rejected.map_or(f64::INFINITY, |k| means[means.len() - 1 - k]);
    Some(Interval { low, estimate, high })
}

/// Returns the largest k for which a sum of positive ranks ≤ k has a probability of at most `alpha`; `None` if the
/// probability is higher even for k = 0.
fn largest_rejected_sum(n: usize, alpha: f64) -> Option<usize> {
    let mut below = 0.0;
    let shares = shares_of_sums(n);
    let within = shares.iter().take_while(|share| {
        below += **share;
        below <= alpha
    });
    within.count().checked_sub(1)
}

/// Returns, for each sum from 0 to n(n+1)/2, the share of the 2ⁿ sign patterns whose positive ranks have that sum.
fn shares_of_sums(n: usize) -> Vec<f64> {
    let mut shares = vec![0.0; n * (n + 1) / 2 + 1];
    shares[0] = 1.0;
    for rank in 1..=n {
        for sum in (0..shares.len()).rev() {
            let with_rank = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = f64::midpoint(shares[sum], with_rank);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn p_values_match_textbook_tables() {
        // If all five are above: 1 of 2⁵ sign patterns. Table A.4 of Hollander and Wolfe: P(T⁺ ≥ 14) for
        // n = 5 is 0.062, P(T⁺ ≥ 45) for n = 10 is 0.042.
        assert_eq!(p_above(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.0), 1.0 / 32.0);
        assert_eq!(p_above(&[-1.0, 2.0, 3.0, 4.0, 5.0], 0.0), 2.0 / 32.0);
        let ten = [1.0, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0, 9.0, 10.0];
        assert!((p_above(&ten, 0.0) - 0.0420).abs() < 5e-4, "{}", p_above(&ten, 0.0));
        assert_eq!(p_above(&[], 0.0), 1.0);
        assert_eq!(p_above(&[3.0], 3.0), 1.0, "no difference is no evidence");
    }

    #[test]
    fn shares_sum_to_one_and_are_symmetric() {
        for n in [0, 1, 7, 40] {
            let shares = shares_of_sums(n);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(shares.iter().zip(shares.iter().rev()).all(|(l, r)| (l - r).abs() < 1e-12));
        }
    }

    #[test]
    fn the_centre_is_the_median_of_pairwise_means() {
        // Pairwise means of 1, 2, 9: 1, 1.5, 2, 5, 5.5, 9.
        let found = centre(&[1.0, 2.0, 9.0], 0.2).unwrap();
        assert_eq!((found.low, found.estimate, found.high), (1.0, 3.5, 9.0));
        let wide = centre(&[1.0, 2.0, 9.0], 0.01).unwrap();
        assert_eq!((wide.low, wide.high), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(centre(&[], 0.1), None);
    }

    #[test]
    fn null_samples_are_rejected_at_the_nominal_rate_and_the_bounds_agree_with_the_test() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut rejected, alpha) = (0, 0.05);
        for _ in 0..2_000 {
            // Heavy tails, like those of restarts.
            let values: Vec<f64> = (0..16)
                .map(|_| {
                    rng.random_range(-1.0..1.0_f64) * if rng.random_bool(0.1) { 20.0 } else { 1.0 }
                })
                .collect();
            let below = p_above(&values, 0.0) <= alpha;
            let bound = centre(&values, alpha).unwrap().low > 0.0;
            assert_eq!(below, bound, "{values:?}");
            rejected += u32::from(below);
        }
        assert!((60..=125).contains(&rejected), "{rejected} of 2,000 at 5 %");
    }
}
