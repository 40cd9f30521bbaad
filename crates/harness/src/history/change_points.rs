//! Change points: where the level of a line of readings changed. A pure function of numbers.

/// Readings below which nothing can be told.
const LEAST_READINGS: usize = 8;
/// Readings that a level must have.
const LEAST_LEVEL: usize = 3;
/// Noise of logarithms below which no line is taken to be, so that what differs by less than a
/// reader would care about is no change: 0.1 %.
const LEAST_NOISE: f64 = 0.001;

/// A change of level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// The first reading of the new level.
    pub at: usize,
    /// The level before: the median since the change before.
    pub before: f64,
    /// The level from here on: the median up to the next change.
    pub after: f64,
}

/// The changes of level in `values`, which are positive and in the order of time; none if there are
/// fewer than eight values.
///
/// The method is PELT (R. Killick, P. Fearnhead, I. A. Eckley, "Optimal detection of changepoints
/// with a linear computational cost", Journal of the American Statistical Association 107, 2012):
/// of all ways to divide the line into levels of at least three readings it takes the one with the
/// least sum of squares plus a penalty a change. It is exact, knows no chance, and divides a slow
/// drift into steps, so that a drift shows as soon as it has left the noise.
///
/// - It works on logarithms: changes are ratios.
/// - Readings are replaced by the running median of three (J. W. Tukey, "Exploratory Data Analysis",
///   1977), in which a lone outlier leaves no trace and a step stays where it is.
/// - The noise is that of the differences of neighbours, by their median, which a few changes of
///   level do not move.
/// - The penalty is 25 times the variance of the noise, or 6 times for each e-fold of a longer line;
///   more in a short one, which knows its noise badly. So injected, at most one in two hundred
///   lines of independent normal noise of 10 to 200 readings shows a change, and one in a hundred
///   of heavy-tailed. A step of five times the noise shows after three readings, one of
///   three times after seven, of two times after twenty.
///
/// Noise that wanders from reading to reading is not independent, and its wandering is shown: a
/// change point says that the level changed, not why.
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

/// Standard deviation of normal noise whose neighbours differ by the median that these do.
fn noise(logs: &[f64]) -> f64 {
    let differences: Vec<f64> = logs.windows(2).map(|two| (two[1] - two[0]).abs()).collect();
    (1.4826 * median(&differences) / 2.0_f64.sqrt()).max(LEAST_NOISE)
}

/// The median of each value and its two neighbours; the ends are as their neighbours.
fn running_median(logs: &[f64]) -> Vec<f64> {
    let mut smooth: Vec<f64> = logs.windows(3).map(median).collect();
    smooth.insert(0, smooth[0]);
    smooth.push(smooth[smooth.len() - 1]);
    smooth
}

/// The starts of the levels into which PELT divides `values`; the first is 0.
fn divide(values: &[f64], penalty: f64) -> Vec<usize> {
    let cost = sums_of_squares(values);
    let count = values.len();
    // Least cost of the first `end` values, and where the last level of that division starts.
    let mut least = vec![f64::INFINITY; count + 1];
    let mut last_start = vec![0; count + 1];
    least[0] = -penalty;
    // Starts that may yet be best, each with the last end for which it may.
    let mut candidates: Vec<(usize, usize)> = vec![(0, usize::MAX)];
    for end in LEAST_LEVEL..=count {
        candidates.retain(|(_, until)| end <= *until);
        for (start, _) in candidates.iter().filter(|(start, _)| start + LEAST_LEVEL <= end) {
            let found = least[*start] + cost(*start, end) + penalty;
            if found < least[end] {
                (least[end], last_start[end]) = (found, *start);
            }
        }
        // A start that a division at `end` has overtaken is never best once a level has room after
        // it: this is what makes PELT quick.
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

/// The sum of squares of `values[start..end]` around their mean, in constant time.
fn sums_of_squares(values: &[f64]) -> impl Fn(usize, usize) -> f64 {
    // Around the first value, as squares of what is far from zero would drown differences.
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

    /// Student's t with three degrees of freedom: now and then far off.
    fn heavy_tailed(rng: &mut ChaCha8Rng) -> f64 {
        let squares: f64 = (0..3).map(|_| normal(rng).powi(2)).sum();
        normal(rng) / (squares / 3.0).sqrt()
    }

    /// A line around `level(reading)` with noise of 2 %.
    fn line(seed: u64, count: usize, level: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|i| level(i) * (0.02 * normal(&mut rng)).exp()).collect()
    }

    /// Of a hundred lines, how many show a change.
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
                // That share, and three standard deviations of the count.
                let expected = f64::from(lines) * share;
                let most = expected + 3.0 * expected.sqrt();
                assert!((changed as f64) <= most, "{changed} of {lines} with {count} readings");
            }
        }
        assert!(changed(|seed| line(seed, 50, |_| 3.0)) <= 1);
    }

    #[test]
    fn a_injected_step_is_found_where_it_is() {
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
        // Half as slow, after twenty flat readings.
        let late = |i: usize| 0.995_f64.powi(i.saturating_sub(20) as i32);
        assert!(changed(|seed| line(seed, 50, late)) >= 99);
        let without_noise: Vec<f64> = (0..20).map(drift).collect();
        assert!(!change_points(&without_noise).is_empty());
    }

    #[test]
    fn a_lone_outlier_is_no_change_wherever_it_is() {
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
    fn equal_short_and_impossible_lines_show_none() {
        assert_eq!(change_points(&[4.0; 500]), []);
        assert_eq!(change_points(&[1e300; 9]), []);
        assert_eq!(change_points(&[]), []);
        assert_eq!(change_points(&[1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0]), []);
        for impossible in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(change_points(&[1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0, impossible]), []);
        }
    }

    #[test]
    fn exact_values_change_at_once_and_tiny_differences_are_none() {
        let step: Vec<f64> = (0..12).map(|i| if i < 9 { 1_000.0 } else { 1_100.0 }).collect();
        assert_eq!(change_points(&step), [ChangePoint { at: 9, before: 1e3, after: 1.1e3 }]);
        let tiny: Vec<f64> = (0..12).map(|i| if i < 9 { 1_000.0 } else { 1_000.1 }).collect();
        assert_eq!(change_points(&tiny), []);
    }

    #[test]
    fn leaving_starts_out_changes_nothing() {
        /// All divisions, none left out.
        fn exhaustive(values: &[f64], penalty: f64) -> Vec<usize> {
            let cost = sums_of_squares(values);
            let mut best = vec![(f64::INFINITY, 0); values.len() + 1];
            best[0] = (-penalty, 0);
            for end in LEAST_LEVEL..=values.len() {
                for start in 0..=end - LEAST_LEVEL {
                    let found = best[start].0 + cost(start, end) + penalty;
                    if found < best[end].0 {
                        best[end] = (found, start);
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
