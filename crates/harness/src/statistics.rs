//! Estimates, confidence intervals and break-evens: pure functions of numbers.

mod break_even;

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF, Normal, StudentsT};

use worthit_pair::format;

pub use break_even::{BreakEven, Crossing, break_even, break_even_in_brief};

/// Confidence level of every interval.
pub const CONFIDENCE: f64 = 0.95;

/// Maximum number of blocks of paired batches; see [`gain_in_one_process`].
const BLOCKS: usize = 12;

/// Standard deviation of the logarithm of a gain between processes, for two copies of one function: half a percent.
///
/// In 33 processes of `calibration/identical_allocations` the gains spread by 0.61–0.81 % where the intervals within each
/// explain 0.41–0.63 %; 0.44–0.51 % is left at each of its three sizes. Placement of code and heap differs.
const SD_BETWEEN_PROCESSES: f64 = 0.005;

/// An estimate with its confidence interval. All three are finite and `low ≤ estimate ≤ high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// The estimate.
    pub estimate: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Interval of an exact value, such as a count.
    pub fn exact(value: f64) -> Interval {
        Interval { low: value, estimate: value, high: value }
    }

    /// Formats a gain with its interval: `38.2× (37.1…39.0)`.
    pub fn as_gain(&self) -> String {
        let [low, high] = [self.low, self.high].map(format::significant);
        format!("{} ({low}…{high})", format::times(self.estimate))
    }

    /// Half-width relative to the estimate; 0.03 means ± 3 %.
    pub fn relative_half_width(&self) -> f64 {
        (self.high - self.low) / 2.0 / self.estimate
    }

    /// Whether both ends are finite.
    pub fn is_finite(&self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    /// Whether the interval contains `value`.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// The distribution of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Minimum.
    pub min: f64,
    /// First quartile.
    pub lower_quartile: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub upper_quartile: f64,
    /// Maximum.
    pub max: f64,
    /// Number of values.
    pub count: u64,
}

impl Summary {
    /// Summarizes `values`; `None` if there are none or one is not finite.
    pub fn of(values: &[f64]) -> Option<Summary> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(Summary {
            min: sorted[0],
            lower_quartile: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            upper_quartile: quantile(&sorted, 0.75),
            max: sorted[sorted.len() - 1],
            count: sorted.len() as u64,
        })
    }

    /// The median of each figure over `summaries`, and the number of all their values; `None` if there are none.
    pub fn median_of(summaries: &[Summary]) -> Option<Summary> {
        let median = |figure: fn(&Summary) -> f64| {
            let figures: Vec<f64> = summaries.iter().map(figure).collect();
            Summary::of(&figures).map(|of_figures| of_figures.median)
        };
        Some(Summary {
            min: median(|summary| summary.min)?,
            lower_quartile: median(|summary| summary.lower_quartile)?,
            median: median(|summary| summary.median)?,
            upper_quartile: median(|summary| summary.upper_quartile)?,
            max: median(|summary| summary.max)?,
            count: summaries.iter().map(|summary| summary.count).sum(),
        })
    }
}

/// Quantile of ascending, nonempty values by linear interpolation (Hyndman and Fan's type 7).
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// Wall times of one iteration of both sides, from two consecutive batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedTimes {
    /// Time per iteration of the naive (or first) side, ns.
    pub naive: f64,
    /// Time per iteration of the optimized (or second) side, ns.
    pub optimized: f64,
}

/// Median: for an even number of values, the mean of the middle two. `None` if there are none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Student's t interval for the mean of independent, roughly normal `values`: mean ± t·s/√n with
/// n − 1 degrees of freedom. `None` for fewer than two values or if one is not finite.
pub fn mean_interval(values: &[f64]) -> Option<Interval> {
    let n = values.len() as f64;
    if values.len() < 2 || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let half = student.inverse_cdf(f64::midpoint(1.0, CONFIDENCE)) * (variance / n).sqrt();
    Some(Interval { low: mean - half, estimate: mean, high: mean + half })
}

/// Gain (naive ÷ optimized) from batches interleaved in the order A B B A, with an interval for
/// *this process*.
///
/// Each A B B A gives one log ratio, in which linear drift cancels. Successive log ratios are
/// correlated, so they are grouped into at most twelve blocks. The medians of the blocks are nearly
/// independent and robust against single disturbed batches. The interval is Student's over the blocks
/// (the method of batch means, Law and Kelton, *Simulation Modeling and Analysis*, ch. 9). `None` for
/// fewer than four pairs.
pub fn gain_in_one_process(pairs: &[PairedTimes]) -> Option<Interval> {
    let log_ratio = |pair: &PairedTimes| (pair.naive / pair.optimized).ln();
    let ratios: Vec<f64> = if pairs.len() >= 8 {
        let quads = pairs.as_chunks::<2>().0;
        quads
            .iter()
            .map(|[first, second]| f64::midpoint(log_ratio(first), log_ratio(second)))
            .collect()
    } else if pairs.len() >= 4 {
        pairs.iter().map(log_ratio).collect()
    } else {
        return None;
    };
    let blocks = ratios.len().min(BLOCKS);
    let medians: Vec<f64> = (0..blocks)
        .filter_map(|k| median(&ratios[k * ratios.len() / blocks..(k + 1) * ratios.len() / blocks]))
        .collect();
    mean_interval(&medians).map(exp)
}

/// Widens the interval of a gain in one process, so that it holds for other processes too, by what differs between them
/// even if both sides are the same function: a normal error of half a percent, added in quadrature. That is a minimum;
/// only several processes show how much the gain of a pair differs between them.
pub fn beyond_one_process(gain: Interval) -> Interval {
    let between = normal_quantile() * SD_BETWEEN_PROCESSES;
    let widened = |end: f64| (end / gain.estimate).ln().hypot(between);
    Interval {
        low: gain.estimate * (-widened(gain.low)).exp(),
        estimate: gain.estimate,
        high: gain.estimate * widened(gain.high).exp(),
    }
}

/// Returns by how much the logarithms of a program's times in two processes differ if nothing was changed, at most (95 %) and
/// if only the placement of code and heap plays a part. A smaller change cannot be told by running the program before and
/// after it.
pub fn noise_between_processes() -> f64 {
    normal_quantile() * SD_BETWEEN_PROCESSES
}

/// The quantile of the standard normal distribution that a two-sided interval needs.
fn normal_quantile() -> f64 {
    Normal::standard().inverse_cdf(f64::midpoint(1.0, CONFIDENCE))
}

/// Student's interval for the geometric mean of positive ratios (the gains of several processes, the
/// readings of a ceiling), computed for the mean of their logarithms. `None` for fewer than two
/// ratios, or if one is not positive and finite.
pub fn geometric_mean_interval(ratios: &[f64]) -> Option<Interval> {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    mean_interval(&logs).map(exp)
}

/// Converts the interval of a logarithm into the interval of the ratio.
pub fn exp(logs: Interval) -> Interval {
    Interval { low: logs.low.exp(), estimate: logs.estimate.exp(), high: logs.high.exp() }
}

/// One-sided 95 % upper bound of a proportion after `hits` in `trials`: Clopper and Pearson 1934, by the
/// quantile of the beta distribution. 1 without trials.
pub fn upper_bound_of_share(hits: u64, trials: u64) -> f64 {
    let misses = trials.saturating_sub(hits);
    Beta::new(hits as f64 + 1.0, misses as f64).map_or(1.0, |shares| shares.inverse_cdf(CONFIDENCE))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    pub(super) fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-3 * right.abs(), "{left} is not {right}");
    }

    #[test]
    fn medians_of_known_values() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[5.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn quartiles_of_known_values() {
        // R: quantile(c(1, 2, 3, 4, 10))
        let summary = Summary::of(&[10.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((summary.min, summary.max, summary.count), (1.0, 10.0, 5));
        assert_eq!(
            (summary.lower_quartile, summary.median, summary.upper_quartile),
            (2.0, 3.0, 4.0)
        );
        assert_eq!(Summary::of(&[1.0, 2.0]).unwrap().lower_quartile, 1.25);
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[f64::NAN]), None);
    }

    #[test]
    fn students_interval_of_a_textbook_sample() {
        // Mean 3, s = √2.5, t(0.975, 4) = 2.7764: 3 ± 1.9632.
        let interval = mean_interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        close(interval.estimate, 3.0);
        close(interval.high, 4.9632);
        close(interval.low, 1.0368);
        assert_eq!(mean_interval(&[1.0]), None);
        assert_eq!(mean_interval(&[1.0, f64::NAN]), None);
        assert_eq!(mean_interval(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn the_geometric_mean_of_known_ratios() {
        // ln 1 and ln 4: mean ln 2; s/√2 = ln 2, t(0.975, 1) = 12.7062.
        let interval = geometric_mean_interval(&[1.0, 4.0]).unwrap();
        close(interval.estimate, 2.0);
        close(interval.high, 2.0 * 2.0_f64.powf(12.7062));
        assert_eq!(geometric_mean_interval(&[1.0, 0.0]), None);
        assert_eq!(geometric_mean_interval(&[1.0, -1.0]), None);
    }

    #[test]
    fn the_bound_of_a_share_is_the_rule_of_three() {
        // None of n: 1 − 0.05^(1/n).
        close(upper_bound_of_share(0, 20), 1.0 - 0.05_f64.powf(1.0 / 20.0));
        close(upper_bound_of_share(0, 1_000), 0.002_991);
        // R: binom.test(3, 10, alternative = "less")$conf.int
        close(upper_bound_of_share(3, 10), 0.6066);
        close(upper_bound_of_share(7, 7), 1.0);
        close(upper_bound_of_share(0, 0), 1.0);
    }

    #[test]
    fn a_gain_of_two_without_noise_is_two() {
        for count in [4, 5, 8, 9, 1_000] {
            let pairs = vec![PairedTimes { naive: 10.0, optimized: 5.0 }; count];
            let gain = gain_in_one_process(&pairs).unwrap();
            close(gain.estimate, 2.0);
            assert!(gain.relative_half_width() < 1e-9, "{gain:?}");
        }
        assert_eq!(gain_in_one_process(&[PairedTimes { naive: 1.0, optimized: 1.0 }; 3]), None);
    }

    #[test]
    fn linear_drift_cancels() {
        // The machine slows down by half over the run; order A B B A.
        let time = |batch: usize| 1.0 + batch as f64 / 400.0;
        let pairs: Vec<PairedTimes> = (0..100)
            .map(|k| match k % 2 {
                0 => PairedTimes { naive: 3.0 * time(2 * k), optimized: time(2 * k + 1) },
                _ => PairedTimes { naive: 3.0 * time(2 * k + 1), optimized: time(2 * k) },
            })
            .collect();
        let gain = gain_in_one_process(&pairs).unwrap();
        assert!((gain.estimate / 3.0 - 1.0).abs() < 1e-5, "{gain:?}");
    }

    /// Times with slow drift common to both sides, independent noise per batch, and rare outliers.
    fn noisy(true_gain: f64, seed: u64) -> Vec<PairedTimes> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut wander = 1.0;
        (0..200)
            .map(|_| {
                wander *= 1.0 + rng.random_range(-0.02..0.02);
                let mut batch = |time: f64| {
                    let outlier = if rng.random_bool(0.03) { 3.0 } else { 1.0 };
                    time * wander * outlier * (1.0 + rng.random_range(-0.03..0.03))
                };
                PairedTimes { naive: batch(true_gain), optimized: batch(1.0) }
            })
            .collect()
    }

    #[test]
    fn intervals_cover_injected_gains_at_their_confidence_level() {
        for true_gain in [1.0, 1.05, 40.0] {
            let covering = (0..400)
                .filter(|seed| {
                    gain_in_one_process(&noisy(true_gain, *seed)).unwrap().contains(true_gain)
                })
                .count();
            assert!((368..=396).contains(&covering), "{covering} of 400 cover {true_gain}");
        }
    }

    #[test]
    fn the_interval_for_other_processes_covers_gains_that_differ_between_processes() {
        let differs = Normal::new(0.0, SD_BETWEEN_PROCESSES).unwrap();
        let (mut within, mut beyond) = (0, 0);
        for seed in 0..400 {
            let share = f64::midpoint(seed as f64, seed as f64 + 1.0) / 400.0;
            // Little noise within a process: the gain of this one hides that of the others.
            let own = differs.inverse_cdf(share).exp();
            let noise = [0.999, 1.001, 1.0, 0.999, 1.001].map(|noise| own * noise);
            let gain = geometric_mean_interval(&noise).unwrap();
            within += usize::from(gain.contains(1.0));
            beyond += usize::from(beyond_one_process(gain).contains(1.0));
        }
        assert!(within < 120, "{within} of 400");
        assert!((380..=396).contains(&beyond), "{beyond} of 400");
    }

    #[test]
    fn the_widened_interval_of_a_known_one() {
        // 1.959964 · 0.005 = 0.0097998; √(0.02² + 0.0097998²) = 0.0222720.
        let log = |end: f64| 3.0 * end.exp();
        let widened =
            beyond_one_process(Interval { low: log(-0.02), estimate: 3.0, high: log(0.0) });
        assert!((widened.low - log(-0.022_272)).abs() < 1e-6, "{widened:?}");
        assert!((widened.high - log(0.009_799_8)).abs() < 1e-6, "{widened:?}");
        assert_eq!(widened.estimate, 3.0);
    }

    #[test]
    fn an_injected_gain_of_five_percent_is_seen_and_no_gain_is_not() {
        let seen = |gain| {
            (0..200)
                .filter(|seed| gain_in_one_process(&noisy(gain, *seed)).unwrap().low > 1.0)
                .count()
        };
        assert!(seen(1.05) >= 195, "{}", seen(1.05));
        assert!(seen(1.0) <= 12, "{}", seen(1.0));
    }
}
