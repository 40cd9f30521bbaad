//! Change-point detection: finds where the level of a line of readings changed. Pure functions of numbers.

/// Minimum number of readings in a line; a shorter one shows no change.
const LEAST_READINGS: usize = 8;
/// Minimum number of readings in a level.
const LEAST_LEVEL: usize = 3;
/// Lower bound on the estimated noise of the logarithms (0.1 %), so that differences too small for a reader to care
/// about are not reported as changes.
const LEAST_NOISE: f64 = 0.001;

/// A change of level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// Index of the first reading of the new level.
    pub at: usize,
    /// Level before the change: the median since the previous change.
    pub before: f64,
    /// Level after the change: the median up to the next change.
    pub after: f64,
}

/// Returns the changes of level in `values`, which must be positive and in the order of time. Fewer than eight values
/// show no change.
///
/// The method is PELT (R. Killick, P. Fearnhead, I. A. Eckley, "Optimal detection of changepoints
/// with a linear computational cost", Journal of the American Statistical Association 107, 2012).
/// Among all divisions of the line into levels of at least three readings, it finds the one that minimizes the sum
/// of squares plus a penalty per change. It is exact and deterministic. It divides a slow drift into steps, so a
/// drift shows as soon as it exceeds the noise.
///
/// - It works on logarithms, because changes are ratios.
/// - A running median of three smooths the readings (J. W. Tukey, "Exploratory Data Analysis", 1977): it removes a
///   lone outlier and leaves a step where it is.
/// - The noise is estimated from the median difference between neighbours, which a few changes of level do not
///   affect.
/// - The penalty for n readings is max(25 + 150/n, 6 ln n) times the variance of the noise. It is larger for a short
///   line, whose noise is poorly estimated. With this penalty, at most one in two hundred lines of 10 to 200 readings
///   with independent normal noise shows a change, and one in a hundred with heavy-tailed noise. A step of five times
///   the noise is found after three readings, one of three times after seven, one of two times after twenty.
///
/// Noise that drifts from reading to reading is not independent, and its drift shows up as changes: a change point
/// says that the level changed, not why.
pub fn change_points(values: &[f64]) -> Vec<ChangePoint> {
    let is_positive = |value: &f64| *value > 0.0 && value.is_finite();
    if values.len() < LEAST_READINGS || !values.iter().all(is_positive) {
        return Vec::new();
    }
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let count = values.len() as f64;
    let penalty = (25.0 + 150.0 / count).max(6.0 * count.ln()) * noise(&logs).powi(2);
    let starts = divide(&running_median(&logs), penalty);
    let ends = starts.iter().copied().skip(1).chain([values.len()]);
    let levels: Vec<(usize, f64)> = starts
        .iter()
        .zip(ends)
        .map(|(start, end)| (*start, median(&values[*start..end])))
        .collect();
    let change =
        |two: &[(usize, f64)]| ChangePoint { at: two[1].0, before: two[0].1, after: two[1].1 };
    levels.windows(2).map(change).collect()
}

fn median(values: &[f64]) -> f64 {
    crate::statistics::median(values).expect("a level has readings")
}

/// Estimates the standard deviation of the noise from the median difference between neighbours, as for normal noise.
fn noise(logs: &[f64]) -> f64 {
    let differences: Vec<f64> = logs.windows(2).map(|two| (two[1] - two[0]).abs()).collect();
    (1.4826 * median(&differences) / 2.0_f64.sqrt()).max(LEAST_NOISE)
}

/// Median of each value and its two neighbours; the first and last repeat their neighbour's median.
fn running_median(logs: &[f64]) -> Vec<f64> {
    let mut smooth: Vec<f64> = logs.windows(3).map(median).collect();
    smooth.insert(0, smooth[0]);
    smooth.push(smooth[smooth.len() - 1]);
    smooth
}

/// Returns the start indices of the levels into which PELT divides `values`; the first is 0.
fn divide(values: &[f64], penalty: f64) -> Vec<usize> {
    let cost = sums_of_squares(values);
    let count = values.len();
    // Minimum cost of dividing the first `end` values, and the start of the last level in that division.
    let mut least = vec![f64::INFINITY; count + 1];
    let mut last_start = vec![0; count + 1];
    least[0] = -penalty;
    // Starts that can still be optimal, each with the last `end` for which it can.
    let mut candidates: Vec<(usize, usize)> = vec![(0, usize::MAX)];
    for end in LEAST_LEVEL..=count {
        candidates.retain(|(_, until)| end <= *until);
        for (start, _) in candidates.iter().filter(|(start, _)| start + LEAST_LEVEL <= end) {
            let total = least[*start] + cost(*start, end) + penalty;
            if total < least[end] {
                (least[end], last_start[end]) = (total, *start);
            }
        }
        // Pruning, which makes PELT fast: if a level from `start` to `end` costs at least as much as the best
        // division of the first `end` values, `start` cannot be optimal once another level fits after `end`.
        for (start, until) in &mut candidates {
            if *start + LEAST_LEVEL <= end && least[*start] + cost(*start, end) >= least[end] {
                *until = (*until).min(end + LEAST_LEVEL - 1);
            }
        }
        candidates.push((end, usize::MAX));
    }
    let mut starts = vec![last_start[count]];
    while let Some(start) = starts.last().copied().filter(|start| *start > 0) {
        starts.push(last_start[start]);
    }
    starts.reverse();
    starts
}

/// Returns a function that computes the sum of squares of `values[start..end]` around their mean in constant time.
fn sums_of_squares(values: &[f64]) -> impl Fn(usize, usize) -> f64 {
    // Relative to the first value: squares of values far from zero would lose small differences to rounding.
    let first = values[0];
    let mut sums = vec![(0.0, 0.0)];
    for value in values.iter().map(|value| value - first) {
        let (sum, squares) = sums[sums.len() - 1];
        sums.push((sum + value, squares + value * value));
    }
    move |start, end| {
        let (sum, squares) = (sums[end].0 - sums[start].0, sums[end].1 - sums[start].1);
        (squares - sum * sum / (end - start) as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Standard normal noise.
    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        let (radius, turn) = (rng.random_range(1e-12..1.0_f64), rng.random::<f64>());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }

    /// Student's t with three degrees of freedom: occasional outliers.
    fn heavy_tailed(rng: &mut ChaCha8Rng) -> f64 {
        let squares: f64 = (0..3).map(|_| normal(rng).powi(2)).sum();
        normal(rng) / (squares / 3.0).sqrt()
    }

    /// A line of readings around `level(index)` with 2 % noise.
    fn line(seed: u64, count: usize, level: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|i| level(i) * (0.02 * normal(&mut rng)).exp()).collect()
    }

    /// Number of lines out of a hundred that show a change.
    fn changed(line: impl Fn(u64) -> Vec<f64>) -> usize {
        (0..100).filter(|seed| !change_points(&line(*seed)).is_empty()).count()
    }

    #[test]
    fn flat_noise_hardly_ever_shows_a_change() {
        for (noise, share) in [(normal as fn(&mut _) -> _, 0.005), (heavy_tailed, 0.01)] {
            for (count, lines) in [(10, 1_000), (20, 1_000), (50, 1_000), (200, 300)] {
                let mut rng = ChaCha8Rng::seed_from_u64(count);
                let mut line =
                    || (0..count).map(|_| (0.02 * noise(&mut rng)).exp()).collect::<Vec<_>>();
                let changed = (0..lines).filter(|_| !change_points(&line()).is_empty()).count();
                // The expected count plus three standard deviations.
                let expected = f64::from(lines) * share;
                let most = expected + 3.0 * expected.sqrt();
                assert!((changed as f64) <= most, "{changed} of {lines} with {count} readings");
            }
        }
        assert!(changed(|seed| line(seed, 50, |_| 3.0)) <= 1);
    }

    #[test]
    fn an_injected_step_is_found_in_its_place() {
        for seed in 0..100 {
            let found = change_points(&line(seed, 60, |i| if i < 40 { 10.0 } else { 8.0 }));
            let [found] = found[..] else { panic!("{seed}: {found:?}") };
            assert!(found.at.abs_diff(40) <= 1, "{found:?}");
            assert!((found.before - 10.0).abs() < 0.3 && (found.after - 8.0).abs() < 0.3);
        }
    }

    #[test]
    fn a_step_shows_after_a_few_readings() {
        for (step, readings) in [(0.9, 3), (0.94, 7), (0.96, 20)] {
            let level = |i| if i < 60 { 1.0 } else { step };
            let found = changed(|seed| line(seed, 60 + readings, level));
            assert!(found >= 90, "{step}: {found} of 100");
        }
    }

    #[test]
    fn a_bump_is_two_changes() {
        let level = |i| if (20..30).contains(&i) { 1.2 } else { 1.0 };
        let places = |seed| {
            change_points(&line(seed, 50, level)).iter().map(|found| found.at).collect::<Vec<_>>()
        };
        assert_eq!(places(1), [20, 30]);
    }

    #[test]
    fn a_slow_drift_shows() {
        let drift = |i: usize| 0.99_f64.powi(i as i32);
        assert!(changed(|seed| line(seed, 20, drift)) >= 99);
        // Half the rate, after twenty flat readings.
        let late = |i: usize| 0.995_f64.powi(i.saturating_sub(20) as i32);
        assert!(changed(|seed| line(seed, 50, late)) >= 99);
        let without_noise: Vec<f64> = (0..20).map(drift).collect();
        assert!(!change_points(&without_noise).is_empty());
    }

    #[test]
    fn a_lone_outlier_is_never_a_change() {
        for place in 0..30 {
            for outlier in [0.01, 0.5, 2.0, 100.0] {
                let mut flat = vec![5.0; 30];
                flat[place] *= outlier;
                assert_eq!(change_points(&flat), [], "{place}: {outlier}");
                let with = |seed| {
                    let mut noisy = line(seed, 30, |_| 5.0);
                    noisy[place] *= outlier;
                    noisy
                };
                assert!(changed(with) <= 4, "{place}: {outlier}");
            }
        }
    }

    #[test]
    fn constant_short_and_invalid_lines_show_no_change() {
        assert_eq!(change_points(&[4.0; 500]), []);
        assert_eq!(change_points(&[1e300; 9]), []);
        assert_eq!(change_points(&[]), []);
        assert_eq!(change_points(&[1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0]), []);
        for invalid in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(change_points(&[1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0, invalid]), []);
        }
    }

    #[test]
    fn exact_values_change_at_once_and_tiny_differences_are_ignored() {
        let step: Vec<f64> = (0..12).map(|i| if i < 9 { 1_000.0 } else { 1_100.0 }).collect();
        assert_eq!(change_points(&step), [ChangePoint { at: 9, before: 1e3, after: 1.1e3 }]);
        let tiny: Vec<f64> = (0..12).map(|i| if i < 9 { 1_000.0 } else { 1_000.1 }).collect();
        assert_eq!(change_points(&tiny), []);
    }

    #[test]
    fn pruning_does_not_change_the_result() {
        /// The same search over all divisions, without pruning.
        fn exhaustive(values: &[f64], penalty: f64) -> Vec<usize> {
            let cost = sums_of_squares(values);
            let mut best = vec![(f64::INFINITY, 0); values.len() + 1];
            best[0] = (-penalty, 0);
            for end in LEAST_LEVEL..=values.len() {
                for start in 0..=end - LEAST_LEVEL {
                    let total = best[start].0 + cost(start, end) + penalty;
                    if total < best[end].0 {
                        best[end] = (total, start);
                    }
                }
            }
            let mut starts = vec![best[values.len()].1];
            while starts[starts.len() - 1] > 0 {
                starts.push(best[starts[starts.len() - 1]].1);
            }
            starts.reverse();
            starts
        }
        for seed in 0..300 {
            let count = 8 + (seed % 60) as usize;
            let values = line(seed, count, |i| 1.0 + 0.05 * ((i / 7) % 3) as f64);
            for penalty in [1e-4, 1e-3, 1e-2] {
                assert_eq!(divide(&values, penalty), exhaustive(&values, penalty), "{seed}");
            }
        }
    }
}
