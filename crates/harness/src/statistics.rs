//! Estimates, confidence intervals and break-evens: pure functions of numbers.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF, Normal, StudentsT};

use worthit_pair::format;

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

/// The points on an axis where the optimized side begins or ceases to win.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BreakEven {
    /// One crossing for each change between neighbouring decided points, in the order of the axis.
    pub crossings: Vec<Crossing>,
    /// Summary in words: "wins from about 23 on (21…26; between 16 and 32)".
    pub summary: String,
}

/// A crossing of 1 by the gain, between two points whose intervals lie on opposite sides of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// The last decided point before the crossing.
    pub after: u64,
    /// The first decided point beyond the crossing.
    pub before: u64,
    /// Axis value where the gain crosses 1, with its uncertainty. The line through the gains crosses at
    /// the estimate; the lines through the ends of their intervals cross at the ends, as when a
    /// calibration curve is inverted by its confidence band. The lines are straight on logarithmic
    /// scales of gain and axis; from a point at 0, on a linear axis. The gain between two points is
    /// unknown, so the interval never extends beyond them.
    pub at: Interval,
    /// Whether the optimized side wins beyond the crossing.
    pub wins: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Wins,
    Loses,
    Undecided,
}

fn sign(gain: &Interval) -> Sign {
    if gain.low > 1.0 {
        Sign::Wins
    } else if gain.high < 1.0 {
        Sign::Loses
    } else {
        Sign::Undecided
    }
}

/// Finds the break-evens of a sweep: `gains` ascend along the axis and exclude `left_out` marked cases.
pub fn break_even(gains: &[(u64, Interval)], left_out: usize) -> BreakEven {
    let is_decided = |place: &usize| sign(&gains[*place].1) != Sign::Undecided;
    let decided: Vec<usize> = (0..gains.len()).filter(is_decided).collect();
    let crossings: Vec<Crossing> = decided
        .windows(2)
        .filter(|two| sign(&gains[two[0]].1) != sign(&gains[two[1]].1))
        .map(|two| crossing(&gains[two[0]..=two[1]]))
        .collect();
    let decided: Vec<_> = decided.into_iter().map(|place| &gains[place]).collect();
    let summary = summarize(gains, left_out, &decided, &crossings);
    BreakEven { crossings, summary }
}

/// Locates the crossing between the first and the last of these points, which are decided; the points
/// between them are undecided.
fn crossing(points: &[(u64, Interval)]) -> Crossing {
    let (first, last) = (points[0], points[points.len() - 1]);
    let wins = sign(&last.1) == Sign::Wins;
    let line = |end: fn(&Interval) -> f64| points.iter().map(move |(x, gain)| (*x, end(gain)));
    let (high, low) = (line(|gain| gain.high).collect(), line(|gain| gain.low).collect());
    // One end of the intervals crosses early, the other late.
    let (early, late): (Vec<_>, Vec<_>) = if wins { (high, low) } else { (low, high) };
    let [early, late] =
        [crossings_of(&early).next(), crossings_of(&late).last()].map(|at| at.unwrap_or(f64::NAN));
    let estimates: Vec<_> = line(|gain| gain.estimate).collect();
    let estimate = crossings_of(&estimates).next().unwrap_or(f64::NAN);
    let at = Interval { low: early.min(estimate), estimate, high: late.max(estimate) };
    Crossing { after: first.0, before: last.0, at, wins }
}

/// Returns where the lines from point to point cross 1, ascending.
fn crossings_of(points: &[(u64, f64)]) -> impl Iterator<Item = f64> {
    points.windows(2).filter(|two| (two[0].1 < 1.0) != (two[1].1 < 1.0)).map(|two| {
        let (y0, y1) = (two[0].1.ln(), two[1].1.ln());
        let share = -y0 / (y1 - y0);
        let (x0, x1) = (two[0].0 as f64, two[1].0 as f64);
        if x0 == 0.0 { x0 + share * (x1 - x0) } else { (x0.ln() + share * (x1 / x0).ln()).exp() }
    })
}

fn summarize(
    gains: &[(u64, Interval)],
    left_out: usize,
    decided: &[&(u64, Interval)],
    crossings: &[Crossing],
) -> String {
    let (Some(first), Some(last)) = (decided.first(), decided.last()) else {
        return match (gains.is_empty(), left_out) {
            (true, 0) => "not measured".to_owned(),
            (true, _) => "all points are marked".to_owned(),
            (false, 0) => "indistinguishable".to_owned(),
            (false, _) => format!("indistinguishable; marked points excluded: {left_out}"),
        };
    };
    let mut parts = Vec::new();
    if first.0 > gains[0].0 {
        parts.push(format!("indistinguishable below {}", format::count(first.0)));
    }
    for crossing in crossings {
        let verb = if crossing.wins { "wins" } else { "loses" };
        let (after, before) = (format::count(crossing.after), format::count(crossing.before));
        let [low, at, high] =
            [crossing.at.low, crossing.at.estimate, crossing.at.high].map(format::estimate);
        parts.push(format!(
            "{verb} from about {at} on ({low}…{high}; between {after} and {before})"
        ));
    }
    if crossings.is_empty() {
        parts.push(match sign(&first.1) {
            Sign::Wins => format!("wins from {} on", format::count(first.0)),
            _ if last.0 == gains[gains.len() - 1].0 && left_out == 0 => {
                "never on this machine".to_owned()
            }
            _ => format!("loses up to {}", format::count(last.0)),
        });
    }
    if last.0 < gains[gains.len() - 1].0 {
        parts.push(format!("indistinguishable above {}", format::count(last.0)));
    }
    let marked =
        if left_out == 0 { String::new() } else { format!("; marked points excluded: {left_out}") };
    parts.join(", ") + &marked
}

/// Says where the optimized side wins in the few words that a table has room for: "wins from 23 (21…26)". It leaves out the
/// points beside a crossing, the number of marked cases, and, where there is more to say, the uncertainty.
pub fn break_even_in_brief(gains: &[(u64, Interval)], left_out: usize) -> String {
    let BreakEven { crossings, summary } = break_even(gains, left_out);
    let is_decided = |(_, gain): &&(u64, Interval)| sign(gain) != Sign::Undecided;
    let mut decided = gains.iter().filter(is_decided);
    let (Some(first), last) = (decided.next(), decided.next_back()) else { return summary };
    let last = last.unwrap_or(first);
    let mut parts: Vec<String> = crossings
        .iter()
        .map(|Crossing { at, wins, .. }| {
            let verb = if *wins { "wins" } else { "loses" };
            format!("{verb} from {}", format::estimate(at.estimate))
        })
        .collect();
    if crossings.is_empty() {
        parts.push(match sign(&first.1) {
            Sign::Wins => format!("wins from {}", format::count(first.0)),
            _ if last.0 == gains[gains.len() - 1].0 && left_out == 0 => "never".to_owned(),
            _ => format!("loses up to {}", format::count(last.0)),
        });
    }
    if last.0 < gains[gains.len() - 1].0 {
        parts.push(format!("undecided above {}", format::count(last.0)));
    }
    if let (Some(Crossing { at, .. }), [part]) = (crossings.first(), parts.as_mut_slice()) {
        *part += &format!(" ({}…{})", format::estimate(at.low), format::estimate(at.high));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn close(left: f64, right: f64) {
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

    fn gains(values: &[(u64, f64, f64)]) -> Vec<(u64, Interval)> {
        let interval = |low: f64, high: f64| Interval { low, estimate: (low * high).sqrt(), high };
        values.iter().map(|(point, low, high)| (*point, interval(*low, *high))).collect()
    }

    #[test]
    fn break_evens_in_words() {
        let summary = |values: &[(u64, f64, f64)]| break_even(&gains(values), 0).summary;
        assert_eq!(summary(&[]), "not measured");
        assert_eq!(summary(&[(1, 0.9, 1.1), (2, 0.9, 1.1)]), "indistinguishable");
        assert_eq!(summary(&[(1, 1.1, 1.2), (2, 2.0, 2.1)]), "wins from 1 on");
        assert_eq!(summary(&[(1, 0.5, 0.6), (2, 0.8, 0.9)]), "never on this machine");
        assert_eq!(
            summary(&[(1, 0.9, 1.1), (32, 1.5, 1.6)]),
            "indistinguishable below 32, wins from 32 on"
        );
        assert_eq!(
            summary(&[(10, 0.5, 0.5), (1_000, 2.0, 2.0), (2_000, 0.9, 1.2)]),
            "wins from about 100 on (100…100; between 10 and 1,000), indistinguishable above 1,000"
        );
        assert_eq!(
            summary(&[(0, 0.5, 0.5), (10, 0.9, 1.2), (20, 2.0, 2.0), (40, 0.5, 0.5)]),
            "wins from about 9.47 on (7.92…11.0; between 0 and 20), loses from about 28.3 on (28.3…28.3; between 20 and 40)"
        );
    }

    #[test]
    fn break_evens_in_brief_keep_what_is_known() {
        let brief = |values: &[(u64, f64, f64)]| break_even_in_brief(&gains(values), 0);
        assert_eq!(brief(&[]), "not measured");
        assert_eq!(break_even_in_brief(&[], 3), "all points are marked");
        assert_eq!(break_even_in_brief(&gains(&[(1, 0.5, 0.6)]), 3), "loses up to 1");
        assert_eq!(brief(&[(1, 0.9, 1.1), (2, 0.9, 1.1)]), "indistinguishable");
        assert_eq!(brief(&[(1, 1.1, 1.2)]), "wins from 1");
        assert_eq!(brief(&[(1, 0.9, 1.1), (32, 1.5, 1.6)]), "wins from 32");
        assert_eq!(brief(&[(1, 0.5, 0.6), (2, 0.8, 0.9)]), "never");
        assert_eq!(
            brief(&[(1, 0.5, 0.6), (2, 0.9, 1.1)]),
            "loses up to 1, undecided above 1",
            "it may win beyond"
        );
        assert_eq!(
            brief(&[(10, 0.5, 0.5), (1_000, 2.0, 2.0), (2_000, 0.9, 1.2)]),
            "wins from 100, undecided above 1,000"
        );
        assert_eq!(
            brief(&[(0, 0.5, 0.5), (10, 0.9, 1.2), (20, 2.0, 2.0), (40, 0.5, 0.5)]),
            "wins from 9.47, loses from 28.3"
        );
        let found = brief(&[(1, 0.125, 0.5), (16, 2.0, 8.0)]);
        assert_eq!(found, "wins from 4.00 (2.00…8.00)");
    }

    #[test]
    fn points_that_are_left_out_or_undecided_claim_nothing() {
        let summary =
            |values: &[(u64, f64, f64)], left_out| break_even(&gains(values), left_out).summary;
        assert_eq!(summary(&[], 3), "all points are marked");
        assert_eq!(summary(&[(1, 0.5, 0.6)], 3), "loses up to 1; marked points excluded: 3");
        assert_eq!(summary(&[(1, 2.0, 2.1)], 1), "wins from 1 on; marked points excluded: 1");
        assert_eq!(
            summary(&[(1, 0.5, 0.6), (2, 0.9, 1.1)], 0),
            "loses up to 1, indistinguishable above 1"
        );
    }

    #[test]
    fn a_crossing_needs_decided_points_on_both_sides() {
        assert_eq!(break_even(&gains(&[(1, 0.9, 1.01), (2, 2.0, 2.1)]), 0).crossings, []);
        let found = break_even(&gains(&[(4, 0.25, 0.25), (64, 4.0, 4.0)]), 0).crossings;
        assert_eq!((found[0].after, found[0].before, found[0].wins), (4, 64, true));
        close(found[0].at.estimate, 16.0);
    }

    #[test]
    fn a_crossing_is_as_uncertain_as_the_gains_beside_it() {
        let crossing_of = |values: &[(u64, f64, f64)]| {
            let Interval { low, estimate, high } = break_even(&gains(values), 0).crossings[0].at;
            [low, estimate, high].map(|x| (x * 100.0).round() / 100.0)
        };
        // The upper ends reach 1 after one quarter of the way from 1 to 16, the lower ends after three.
        assert_eq!(crossing_of(&[(1, 0.125, 0.5), (16, 2.0, 8.0)]), [2.0, 4.0, 8.0]);
        assert_eq!(crossing_of(&[(1, 2.0, 8.0), (16, 0.125, 0.5)]), [2.0, 4.0, 8.0], "and back");
        // An undecided point lies within the uncertainty.
        assert_eq!(
            crossing_of(&[(1, 0.25, 0.25), (4, 0.5, 2.0), (16, 4.0, 4.0)]),
            [2.52, 4.0, 6.35]
        );
        // Noise makes the line cross more than once: the interval covers all crossings.
        let wander = [(1, 0.5, 0.5), (2, 0.9, 1.5), (4, 0.5, 1.2), (8, 2.0, 2.0)];
        let [low, estimate, high] = crossing_of(&wander);
        assert!(1.0 < low && low < estimate && estimate < 2.0 && 4.0 < high && high < 8.0);
    }
}
