//! Checks whether the time of a side grows along its axis as claimed: pure functions of a sweep.
//!
//! A claim of growth is a prediction: fitted to all points but the last, it predicts the last, and
//! the check compares the prediction with the measurement. (A fit to all points would flatter the
//! claim by its two parameters, and a bare exponent would be misled by a fixed cost.)

use crate::{
    results::{CaseResult, Sweep},
    statistics::Interval,
};
use worthit_pair::{format, pair::Growth, trial::Role};

/// Minimum number of points: two parameters, one degree of freedom, and one point to predict.
const LEAST_POINTS: usize = 4;
/// Tolerated difference between measurement and prediction, as a power of the step between the last two
/// points: a quarter of the difference between O(1) and O(n), and more than a memory level usually adds.
const EXPONENT: f64 = 0.25;
/// Tolerated relative difference, for steps too short for a power to be meaningful.
const SHARE: f64 = 0.25;
/// Grid of ratios of fixed time to time per step: 1 % apart, over twelve powers of ten.
const GRID: u32 = 2_800;
/// Steps of the grid between the ratios that are tried first: a fifth apart, while errors change over factors of two or more.
const COARSE: u32 = 20;

/// A fitted claim: time = fixed + step × growth(n).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Fixed time, ns.
    pub fixed_ns: f64,
    /// Time per step of the growth, ns.
    pub step_ns: f64,
    /// Weighted root mean square error of ln t at the fitted points: 0.03 is 3 %.
    pub error: f64,
}

/// Result of checking a claim against a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The claim.
    pub claim: Growth,
    /// The claim, fitted to all points but the last.
    pub fit: Fit,
    /// The last point.
    pub point: u64,
    /// Predicted time of an iteration at the last point, ns.
    pub predicted_ns: f64,
    /// Measured time of an iteration at the last point, ns: median and quartiles.
    pub measured_ns: Interval,
    /// Measured ÷ predicted, as a power of the last step: 0 is as predicted, 1 is O(n²) if O(n) is claimed.
    pub departure: f64,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The last point takes as long as predicted.
    AsClaimed,
    /// It takes longer.
    Steeper,
    /// It takes less time.
    Flatter,
}

/// Why a claim is not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unchecked {
    /// The claim is in words.
    #[error("a claim in words is not checked")]
    InWords,
    /// The sweep has too few points.
    #[error(
        "{0} unmarked points are too few to check the claim: it takes {LEAST_POINTS}, so run without --quick"
    )]
    TooFew(usize),
}

/// Fits a claim by least squares of ln(fixed + step·g) − ln t, with neither parameter below 0. The weights
/// double from point to point, because a claim of growth is about large n.
///
/// `points` are (g, t) with t > 0, ascending. For a given fixed ÷ step, the best step is a weighted
/// mean of logarithms. The best ratio is searched on a logarithmic grid, first coarsely, and at its two ends: no fixed
/// time, and no growth.
fn fitted(points: &[(f64, f64)]) -> Fit {
    let weights = || (0..points.len()).map(|nth| f64::from(1_u32 << nth.min(30)));
    let total: f64 = weights().sum();
    let mean = |values: &[f64]| {
        weights().zip(values).map(|(weight, value)| weight * value).sum::<f64>() / total
    };
    let logs: Vec<f64> = points.iter().map(|(_, t)| t.ln()).collect();
    // With the logarithm of the shape taken away, what is left is that of its scale, and the errors.
    let fit = |shape: &dyn Fn(f64) -> f64| {
        let left: Vec<f64> =
            points.iter().zip(&logs).map(|((g, _), log)| log - shape(*g).ln()).collect();
        let scale = mean(&left);
        let squares: Vec<f64> = left.iter().map(|left| (left - scale).powi(2)).collect();
        (scale.exp(), mean(&squares).sqrt())
    };
    let greatest = points.iter().map(|(g, _)| *g).fold(0.0, f64::max);
    let growing = |ratio: f64| {
        let (step, error) = fit(&|g| ratio + g);
        Fit { fixed_ns: ratio * step, step_ns: step, error }
    };
    let on_grid =
        |nth: u32| growing(greatest * 1e-6 * 1e12_f64.powf(f64::from(nth) / f64::from(GRID)));
    // Skip candidates without a finite logarithm: a point at 0 without a fixed time.
    let error = |fit: &Fit| if fit.error.is_finite() { fit.error } else { f64::INFINITY };
    let by_error = |left: &Fit, right: &Fit| error(left).total_cmp(&error(right));
    let coarse = (0..=GRID).step_by(COARSE as usize);
    let nearest = coarse.min_by(|left, right| by_error(&on_grid(*left), &on_grid(*right)));
    let nearest = nearest.unwrap_or(0);
    let fine = nearest.saturating_sub(COARSE)..=(nearest + COARSE).min(GRID);
    let (time, error) = fit(&|_| 1.0);
    let flat = Fit { fixed_ns: time, step_ns: 0.0, error };
    let candidates = [flat, growing(0.0)].into_iter().chain(fine.map(on_grid));
    candidates.min_by(by_error).unwrap_or(flat)
}

/// Checks the claim of a side against a sweep.
///
/// # Errors
/// If the claim is in words, or there are too few measured, unmarked points.
pub fn check(claim: Growth, sweep: &Sweep, role: Role) -> Result<Check, Unchecked> {
    let points: Vec<(u64, Interval)> =
        sweep.cases.iter().filter_map(|case| iteration(case, role)).collect();
    check_points(claim, &points)
}

/// Median and quartiles of the time of an iteration, ns; `None` if the case is unmeasured or marked.
fn iteration(case: &CaseResult, role: Role) -> Option<(u64, Interval)> {
    let found = case.measured().filter(|found| found.mark.is_none())?;
    let time = found.side(role)?.time_ns;
    let [low, estimate, high] = [time.lower_quartile, time.median, time.upper_quartile]
        .map(|ns| ns * found.units_per_iteration as f64);
    (estimate > 0.0).then_some((case.point, Interval { low, estimate, high }))
}

fn check_points(claim: Growth, points: &[(u64, Interval)]) -> Result<Check, Unchecked> {
    let grown = |n: u64| claim.at(n as f64).ok_or(Unchecked::InWords);
    grown(1)?;
    let Some(((point, measured_ns), known)) =
        points.split_last().filter(|_| points.len() >= LEAST_POINTS)
    else {
        return Err(Unchecked::TooFew(points.len()));
    };
    let before = known[known.len() - 1].0;
    let known: Result<Vec<_>, _> =
        known.iter().map(|(n, time)| Ok((grown(*n)?, time.estimate))).collect();
    let fit = fitted(&known?);
    let predicted_ns = fit.fixed_ns + fit.step_ns * grown(*point)?;
    let step = (*point as f64 / before.max(1) as f64).ln();
    Ok(Check {
        claim,
        fit,
        point: *point,
        predicted_ns,
        measured_ns: *measured_ns,
        departure: (measured_ns.estimate / predicted_ns).ln() / step,
    })
}

impl Check {
    /// Compares the measurement with the prediction.
    pub fn standing(&self) -> Standing {
        let ratio = self.measured_ns.estimate / self.predicted_ns;
        let is_near = (1.0 / (1.0 + SHARE)..=1.0 + SHARE).contains(&ratio);
        if is_near || self.departure.abs() <= EXPONENT {
            Standing::AsClaimed
        } else if ratio > 1.0 {
            Standing::Steeper
        } else {
            Standing::Flatter
        }
    }

    /// Whether the claim holds, or states that it ends before the last point.
    pub fn is_explained(&self) -> bool {
        self.standing() == Standing::AsClaimed || matches!(self.claim, Growth::Until(..))
    }

    /// "4.32 ms predicted, 4.18 ms measured: as claimed"; "steeper by n^0.73 than claimed".
    pub fn in_words(&self) -> String {
        let [predicted, measured] =
            [self.predicted_ns, self.measured_ns.estimate].map(format::duration);
        let than =
            if self.is_explained() { ", beyond the range of the claim" } else { " than claimed" };
        let by = || format!("by n^{:.2}{than}", self.departure.abs());
        let verdict = match self.standing() {
            Standing::AsClaimed => "as claimed".to_owned(),
            Standing::Steeper => format!("steeper {}", by()),
            Standing::Flatter => format!("flatter {}", by()),
        };
        format!("{predicted} predicted, {measured} measured: {verdict}")
    }
}

impl Fit {
    /// "1.20 µs + 3.40 ns × n"
    pub fn in_words(&self, claim: Growth) -> String {
        let steps = match claim {
            Growth::Logarithmic => "log₂ (n + 1)",
            Growth::Quadratic => "n²",
            Growth::Until(claim, _) => return self.in_words(*claim),
            _ => "n",
        };
        let fixed = (self.fixed_ns > 0.0).then(|| format::duration(self.fixed_ns));
        let grown = format!("{} × {steps}", format::duration(self.step_ns));
        let grown = (self.step_ns > 0.0).then_some(grown);
        fixed.into_iter().chain(grown).collect::<Vec<_>>().join(" + ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(points: &[u64], time: impl Fn(f64) -> f64) -> Vec<(u64, Interval)> {
        points.iter().map(|n| (*n, Interval::exact(time(*n as f64)))).collect()
    }

    const POINTS: [u64; 5] = [8, 64, 512, 4_096, 8_192];

    #[test]
    fn a_fit_recovers_the_parameters_of_its_points() {
        let made: Vec<(f64, f64)> = [1.0, 10.0, 1_000.0].map(|g| (g, 70.0 + 0.5 * g)).to_vec();
        let Fit { fixed_ns, step_ns, error } = fitted(&made);
        assert!((fixed_ns / 70.0 - 1.0).abs() < 0.01, "{fixed_ns}");
        assert!((step_ns / 0.5 - 1.0).abs() < 0.01 && error < 0.005, "{step_ns}, {error}");
        // Neither parameter is ever negative.
        let falling: Vec<(f64, f64)> = [1.0, 2.0, 3.0].map(|g| (g, 10.0 - g)).to_vec();
        assert_eq!(fitted(&falling).step_ns, 0.0);
        let convex: Vec<(f64, f64)> = [1.0, 10.0, 100.0].map(|g| (g, g * g)).to_vec();
        assert_eq!(fitted(&convex).fixed_ns, 0.0);
        // Without growth, the fit is the mean of the logarithms; the last point counts twice.
        let flat = fitted(&[(0.0, 1.0), (0.0, 8.0)]);
        assert!((flat.fixed_ns - 4.0).abs() < 1e-9 && flat.step_ns == 0.0, "{flat:?}");
    }

    #[test]
    fn claims_that_hold_predict_the_last_point() {
        let check_of =
            |claim, time: fn(f64) -> f64| check_points(claim, &sweep(&POINTS, time)).unwrap();
        for found in [
            check_of(Growth::Constant, |_| 30.0),
            check_of(Growth::Logarithmic, |n| 5.0 + 2.0 * (n + 1.0).log2()),
            check_of(Growth::Linear, |n| 1_000.0 + n),
            check_of(Growth::Quadratic, |n| 65.0 + 0.08 * n * n),
        ] {
            assert_eq!(found.standing(), Standing::AsClaimed, "{found:?}");
            assert!(found.departure.abs() < 0.01, "{found:?}");
            assert!(found.fit.error < 0.005);
        }
    }

    #[test]
    fn injected_wrong_claims_are_caught() {
        let standing = |claim, time: fn(f64) -> f64| {
            check_points(claim, &sweep(&[1, 10, 100, 1_000, 10_000], time)).unwrap().standing()
        };
        assert_eq!(standing(Growth::Constant, |n| 10.0 + n), Standing::Steeper);
        assert_eq!(standing(Growth::Logarithmic, |n| 10.0 + n), Standing::Steeper);
        assert_eq!(standing(Growth::Linear, |n| 10.0 + n * n), Standing::Steeper);
        assert_eq!(standing(Growth::Quadratic, |n| 10.0 + n), Standing::Flatter);
        assert_eq!(standing(Growth::Linear, |n| n.sqrt()), Standing::Flatter);
        assert_eq!(standing(Growth::Linear, |n| (n + 1.0).log2()), Standing::Flatter);
    }

    #[test]
    fn a_fixed_cost_or_a_memory_level_is_no_departure() {
        // The fit has a parameter for the fixed cost, even if that dominates all points.
        let found = check_points(Growth::Linear, &sweep(&POINTS, |n| 1e6 + n)).unwrap();
        assert_eq!(found.standing(), Standing::AsClaimed);
        let slower_beyond_a_cache = |n: f64| if n > 5_000.0 { 1.2 * n } else { n };
        let found = check_points(Growth::Linear, &sweep(&POINTS, slower_beyond_a_cache)).unwrap();
        assert_eq!(found.standing(), Standing::AsClaimed);
    }

    #[test]
    fn a_claim_may_state_where_it_ends() {
        let claim = Growth::Until(&Growth::Linear, "the array leaves the cache");
        let steep = |n: f64| if n > 5_000.0 { 9.0 * n } else { n };
        let found = check_points(claim, &sweep(&POINTS, steep)).unwrap();
        assert_eq!((found.standing(), found.is_explained()), (Standing::Steeper, true));
        assert_eq!(claim.to_string(), "O(n) until the array leaves the cache");
        assert_eq!(found.fit.in_words(claim), "1.00 ns × n");
        assert!(found.in_words().ends_with("steeper by n^3.17, beyond the range of the claim"));
        let bare = check_points(Growth::Linear, &sweep(&POINTS, steep)).unwrap();
        assert!(!bare.is_explained());
        assert_eq!(
            bare.in_words(),
            "8.19 µs predicted, 73.7 µs measured: steeper by n^3.17 than claimed"
        );
    }

    #[test]
    fn too_few_points_and_claims_in_words_are_not_checked() {
        let three = sweep(&[1, 2, 4], |n| n);
        assert_eq!(check_points(Growth::Linear, &three), Err(Unchecked::TooFew(3)));
        assert_eq!(check_points(Growth::Linear, &[]), Err(Unchecked::TooFew(0)));
        let words = Growth::Other("falls with the share of misses");
        assert_eq!(check_points(words, &sweep(&POINTS, |n| n)), Err(Unchecked::InWords));
        // An axis may begin at 0.
        let from_zero = sweep(&[0, 1, 10, 100], |n| 30.0 + n);
        assert_eq!(
            check_points(Growth::Linear, &from_zero).unwrap().standing(),
            Standing::AsClaimed
        );
    }
}
