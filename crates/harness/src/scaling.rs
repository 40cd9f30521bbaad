//! Growth of speedups with the number of threads: fits Amdahl's law and the Universal Scalability Law
//! to measured speedups. Pure functions of numbers, except [`ceiling`]. A law describes how speedups
//! grow, never why.

use std::fmt;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::statistics::{CONFIDENCE, Interval, Summary, geometric_mean_interval};
use worthit_pair::format;

/// Measured speedup on one thread count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Number of threads, at least 1.
    pub threads: u64,
    /// Time on one thread ÷ time on `threads`.
    pub speedup: Interval,
}

impl Point {
    /// Efficiency, speedup ÷ threads: 1 is linear scaling.
    pub fn efficiency(&self) -> Interval {
        let Interval { low, estimate, high } = self.speedup;
        let threads = self.threads as f64;
        Interval { low: low / threads, estimate: estimate / threads, high: high / threads }
    }
}

/// Speedup of `many` threads over `one`: the ratio of the median times, between the ratios of opposite
/// quartiles.
///
/// The two were measured one after the other, so the interval comes from the quartiles. It is not a
/// 95 % interval, and does not include how the machine drifted in between. `None` if a lower quartile
/// is not positive or a ratio is not finite.
pub fn relative_speedup(one: &Summary, many: &Summary) -> Option<Interval> {
    if one.lower_quartile <= 0.0 || many.lower_quartile <= 0.0 {
        return None;
    }
    let speedup = Interval {
        low: one.lower_quartile / many.upper_quartile,
        estimate: one.median / many.median,
        high: one.upper_quartile / many.lower_quartile,
    };
    [speedup.low, speedup.estimate, speedup.high].iter().all(|x| x.is_finite()).then_some(speedup)
}

/// Why there is no fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFit {
    /// There are too few thread counts that do not exceed the logical cores.
    #[error(
        "no fit: {law} needs at least {needed} thread counts that are not oversubscribed, and \
         there {} {found} (this machine has {cores} logical core{})",
        if *found == 1 { "is" } else { "are" },
        if *cores == 1 { "" } else { "s" }
    )]
    TooFew {
        /// Name of the law.
        law: &'static str,
        /// Minimum number of thread counts.
        needed: usize,
        /// Number of usable thread counts.
        found: usize,
        /// Logical cores.
        cores: u64,
    },
    /// A thread count occurs twice; a fit cannot decide between the two.
    #[error("no fit: {0} threads were measured more than once")]
    Repeated(u64),
    /// A point has no threads, or its speedup is not a finite positive number.
    #[error("no fit: the speedup of {0} threads is not a finite positive number")]
    Unusable(u64),
    /// The sums overflow.
    #[error("no fit: {0} has no finite solution for these speedups")]
    NotFinite(&'static str),
}

/// Returns threads and speedup of the points that inform a fit of `law`: those within `cores`, except
/// one thread, for which every law predicts a speedup of 1.
fn usable(
    (law, needed): (&'static str, usize),
    points: &[Point],
    cores: u64,
) -> Result<Vec<(f64, f64)>, NoFit> {
    let mut within: Vec<&Point> = points.iter().filter(|point| point.threads <= cores).collect();
    within.sort_by_key(|point| point.threads);
    let positive = |speedup: f64| speedup.is_finite() && speedup > 0.0;
    if let Some(point) = within.iter().find(|p| p.threads == 0 || !positive(p.speedup.estimate)) {
        return Err(NoFit::Unusable(point.threads));
    }
    if let Some(two) = within.windows(2).find(|two| two[0].threads == two[1].threads) {
        return Err(NoFit::Repeated(two[0].threads));
    }
    if within.len() < needed {
        return Err(NoFit::TooFew { law, needed, found: within.len(), cores });
    }
    let informative = within.iter().filter(|point| point.threads > 1);
    Ok(informative.map(|point| (point.threads as f64, point.speedup.estimate)).collect())
}

/// `estimate` ± `error` times Student's quantile, clamped to `least` and `most`; `None` if not finite.
fn interval(estimate: f64, error: f64, freedom: usize, least: f64, most: f64) -> Option<Interval> {
    let student = StudentsT::new(0.0, 1.0, freedom as f64).ok()?;
    let half = student.inverse_cdf(f64::midpoint(1.0, CONFIDENCE)) * error;
    let (low, high) = ((estimate - half).max(least), (estimate + half).min(most));
    (estimate.is_finite() && half.is_finite()).then_some(Interval { low, estimate, high })
}

/// Coefficient of determination of speedups relative to their mean. `None` if all are equal.
fn r_squared(points: &[(f64, f64)], predict: impl Fn(f64) -> f64) -> Option<f64> {
    let mean = points.iter().map(|(_, speedup)| speedup).sum::<f64>() / points.len() as f64;
    let squares = |model: &dyn Fn(f64) -> f64| -> f64 {
        points.iter().map(|(threads, speedup)| (speedup - model(*threads)).powi(2)).sum()
    };
    let r_squared = 1.0 - squares(&predict) / squares(&|_| mean);
    let all_equal = points.iter().all(|(_, speedup)| *speedup == points[0].1);
    (!all_equal && r_squared.is_finite()).then_some(r_squared)
}

fn in_words(r_squared: Option<f64>) -> String {
    r_squared.map_or("R² undefined".to_owned(), |value| format!("R² {value:.3}"))
}

/// `0.0500 (0.0480…0.0520)`
fn parameter(value: &Interval) -> String {
    let [low, estimate, high] = [value.low, value.estimate, value.high].map(format::significant);
    format!("{estimate} ({low}…{high})")
}

/// Amdahl's law, S(N) = 1 / (s + (1 − s)/N), fitted to speedups (Amdahl, *Validity of the single
/// processor approach to achieving large scale computing capabilities*, AFIPS 1967).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Amdahl {
    /// The serial fraction s, 0…1, with its 95 % interval.
    pub serial_fraction: Interval,
    /// R² of the speedups beyond one thread; below 0 the law fits worse than their mean. `None` if
    /// they are all equal.
    pub r_squared: Option<f64>,
}

impl Amdahl {
    const RULE: (&str, usize) = ("Amdahl's law", 4);

    /// Fits 1/S − 1/N = s·(1 − 1/N), a line through the origin, by least squares at the thread counts
    /// within `cores`. Each equation is weighted by S, so that the squared error is the relative error
    /// of a speedup, 1 − S/S(N): noise affects it equally at every count. Student's interval has one
    /// degree of freedom less than there are counts beyond one thread.
    ///
    /// # Errors
    /// If points are too few, repeated or unusable, or the solution is not finite.
    pub fn fit(points: &[Point], cores: u64) -> Result<Amdahl, NoFit> {
        let usable = usable(Amdahl::RULE, points, cores)?;
        let xy =
            || usable.iter().map(|(n, speedup)| ((1.0 - 1.0 / n) * speedup, 1.0 - speedup / n));
        let xx = xy().map(|(x, _)| x * x).sum::<f64>();
        let s = (xy().map(|(x, y)| x * y).sum::<f64>() / xx).clamp(0.0, 1.0);
        let freedom = usable.len() - 1;
        let variance = xy().map(|(x, y)| (y - s * x).powi(2)).sum::<f64>() / freedom as f64;
        let serial_fraction = interval(s, (variance / xx).sqrt(), freedom, 0.0, 1.0)
            .ok_or(NoFit::NotFinite(Amdahl::RULE.0))?;
        let r_squared = r_squared(&usable, |n| amdahl(s, n));
        Ok(Amdahl { serial_fraction, r_squared })
    }

    /// Predicts the speedup over one thread.
    pub fn predict(&self, threads: u64) -> f64 {
        amdahl(self.serial_fraction.estimate, threads as f64)
    }

    /// Maximum speedup for any number of threads, 1/s. `None` if s is 0: there is no limit.
    pub fn max_speedup(&self) -> Option<f64> {
        Some(1.0 / self.serial_fraction.estimate).filter(|speedup| speedup.is_finite())
    }
}

fn amdahl(s: f64, n: f64) -> f64 {
    1.0 / (s + (1.0 - s) / n)
}

impl fmt::Display for Amdahl {
    /// States the limit only if the interval of s excludes 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial fraction {}", parameter(&self.serial_fraction))?;
        if let (true, Some(most)) = (self.serial_fraction.low > 0.0, self.max_speedup()) {
            write!(f, ", speedup at most {}", format::times(most))?;
        }
        write!(f, "; {}", in_words(self.r_squared))
    }
}

/// The Universal Scalability Law, S(N) = N / (1 + σ(N − 1) + κN(N − 1)), fitted to speedups
/// (Gunther, *Guerrilla Capacity Planning*, 2007).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usl {
    /// Contention σ, at least 0, with its 95 % interval: waiting for shared resources.
    pub contention: Interval,
    /// Coherency κ, at least 0, with its 95 % interval: keeping shared data consistent.
    pub coherency: Interval,
    /// R² of the speedups beyond one thread; below 0 the law fits worse than their mean. `None` if
    /// they are all equal.
    pub r_squared: Option<f64>,
}

impl Usl {
    const RULE: (&str, usize) = ("the Universal Scalability Law", 6);

    /// Fits N/S − 1 = σ(N − 1) + κN(N − 1) by nonnegative least squares at the thread counts within
    /// `cores`. Each equation is weighted by S/N, for the same reason as in [`Amdahl::fit`]. Student's
    /// intervals take their errors from the normal equations of both parameters, even if one is held
    /// at 0, and have two degrees of freedom less than there are counts beyond one thread.
    ///
    /// # Errors
    /// If points are too few, repeated or unusable, or the solution is not finite.
    pub fn fit(points: &[Point], cores: u64) -> Result<Usl, NoFit> {
        let usable = usable(Usl::RULE, points, cores)?;
        let rows = || {
            usable.iter().map(|(n, speedup)| {
                let efficiency = speedup / n;
                ((n - 1.0) * efficiency, (n - 1.0) * speedup, 1.0 - efficiency)
            })
        };
        let sum =
            |term: fn(f64, f64, f64) -> f64| rows().map(|(a, b, y)| term(a, b, y)).sum::<f64>();
        let (aa, ab, bb) = (sum(|a, _, _| a * a), sum(|a, b, _| a * b), sum(|_, b, _| b * b));
        let (ay, by) = (sum(|a, _, y| a * y), sum(|_, b, y| b * y));
        let determinant = aa * bb - ab * ab;
        let residual = |(sigma, kappa): (f64, f64)| -> f64 {
            rows().map(|(a, b, y)| (y - sigma * a - kappa * b).powi(2)).sum()
        };
        let inner = ((bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant);
        let (sigma, kappa) = [inner, ((ay / aa).max(0.0), 0.0), (0.0, (by / bb).max(0.0))]
            .into_iter()
            .filter(|(sigma, kappa)| *sigma >= 0.0 && *kappa >= 0.0)
            .min_by(|left, right| residual(*left).total_cmp(&residual(*right)))
            .ok_or(NoFit::NotFinite(Usl::RULE.0))?;
        let freedom = usable.len() - 2;
        let variance = residual((sigma, kappa)) / freedom as f64;
        let within = |value, share: f64| {
            interval(value, (variance * share / determinant).sqrt(), freedom, 0.0, f64::MAX)
                .ok_or(NoFit::NotFinite(Usl::RULE.0))
        };
        let (contention, coherency) = (within(sigma, bb)?, within(kappa, aa)?);
        let r_squared = r_squared(&usable, |n| usl(sigma, kappa, n));
        Ok(Usl { contention, coherency, r_squared })
    }

    /// Predicts the speedup over one thread.
    pub fn predict(&self, threads: u64) -> f64 {
        usl(self.contention.estimate, self.coherency.estimate, threads as f64)
    }

    /// Thread count √((1 − σ)/κ) beyond which more threads are slower; below 1, every additional thread
    /// slows down. `None` if κ is 0 or σ is 1 or more.
    pub fn peak(&self) -> Option<f64> {
        let (sigma, kappa) = (self.contention.estimate, self.coherency.estimate);
        Some(((1.0 - sigma) / kappa).sqrt()).filter(|peak| peak.is_finite() && *peak > 0.0)
    }
}

fn usl(sigma: f64, kappa: f64, n: f64) -> f64 {
    n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
}

impl fmt::Display for Usl {
    /// States the peak only if the interval of κ excludes 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (contention, coherency) = (parameter(&self.contention), parameter(&self.coherency));
        write!(f, "contention σ {contention}, coherency κ {coherency}")?;
        if let (true, Some(peak)) = (self.coherency.low > 0.0, self.peak()) {
            write!(f, ", peak at about {} threads", format::significant(peak))?;
        }
        write!(f, "; {}", in_words(self.r_squared))
    }
}

/// Measures how many cores' worth of work this machine does on 1, 2, 4, … threads at once, up to the
/// logical cores.
pub fn ceiling() -> Vec<Point> {
    let point = |(threads, readings): (u64, Vec<f64>)| {
        let speedup = geometric_mean_interval(&readings)?;
        Some(Point { threads, speedup })
    };
    worthit_machine::ceiling::speedups().into_iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const COUNTS: [u64; 8] = [1, 2, 4, 8, 12, 16, 24, 32];

    fn points(counts: &[u64], mut speedup: impl FnMut(f64) -> f64) -> Vec<Point> {
        let point = |n: &u64| Point { threads: *n, speedup: Interval::exact(speedup(*n as f64)) };
        counts.iter().map(point).collect()
    }

    /// Speedups of a law, each beyond one thread off by up to 2 %.
    fn noisy(seed: u64, law: impl Fn(f64) -> f64) -> Vec<Point> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        points(&COUNTS, |n| match n {
            1.0 => 1.0,
            _ => law(n) * (1.0 + rng.random_range(-0.02..0.02)),
        })
    }

    fn near(left: f64, right: f64, by: f64) {
        assert!((left - right).abs() <= by, "{left} is not {right}");
    }

    fn serial(points: &[Point]) -> Amdahl {
        Amdahl::fit(points, 32).unwrap()
    }

    fn universal(points: &[Point]) -> Usl {
        Usl::fit(points, 32).unwrap()
    }

    #[test]
    fn speedup_and_efficiency_of_known_times() {
        let one = Summary::of(&[8.0, 10.0, 12.0, 14.0, 16.0]).unwrap();
        let four = Summary::of(&[2.0, 2.5, 4.0, 5.0, 6.0]).unwrap();
        let speedup = relative_speedup(&one, &four).unwrap();
        assert_eq!(speedup, Interval { low: 2.0, estimate: 3.0, high: 5.6 });
        let efficiency = Point { threads: 4, speedup }.efficiency();
        assert_eq!(efficiency, Interval { low: 0.5, estimate: 0.75, high: 1.4 });
        let negative = Summary { lower_quartile: -1.0, ..four };
        assert_eq!(relative_speedup(&one, &negative), None);
        assert_eq!(relative_speedup(&negative, &four), None);
        assert_eq!(relative_speedup(&Summary { median: f64::INFINITY, ..one }, &four), None);
    }

    #[test]
    fn exact_speedups_give_back_the_injected_parameters() {
        for s in [0.0, 0.001, 0.05, 0.5, 1.0] {
            let fit = serial(&points(&COUNTS, |n| 1.0 / (s + (1.0 - s) / n)));
            near(fit.serial_fraction.estimate, s, 1e-9);
            near(fit.serial_fraction.high - fit.serial_fraction.low, 0.0, 1e-9);
            near(fit.predict(64), 64.0 / (1.0 + 63.0 * s), 1e-6);
        }
        assert_eq!(serial(&points(&COUNTS, |_| 1.0)).r_squared, None);
        let most = |s| serial(&points(&COUNTS, |n| amdahl(s, n))).max_speedup();
        assert_eq!(most(0.0), None);
        near(most(0.05).unwrap(), 20.0, 1e-9);
        for (sigma, kappa) in [(0.0, 0.0), (0.05, 0.0), (0.0, 0.001), (0.1, 0.01), (0.9, 1e-5)] {
            let law = |n: f64| n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0));
            let fit = universal(&points(&COUNTS, law));
            near(fit.contention.estimate, sigma, 1e-9);
            near(fit.coherency.estimate, kappa, 1e-9);
            near(fit.coherency.high - fit.coherency.low, 0.0, 1e-9);
            near(fit.predict(64), law(64.0), 1e-6);
            near(fit.r_squared.unwrap(), 1.0, 1e-9);
        }
    }

    #[test]
    fn a_fit_agrees_with_an_independent_computation() {
        // s and R² by the closed forms, in Python; t(0.975, 2) = 4.3027.
        let speedup = |n| [1.0, 1.8, 3.2, 4.5][f64::log2(n) as usize];
        let fit = serial(&points(&[1, 2, 4, 8], speedup));
        near(fit.serial_fraction.estimate, 0.103863, 1e-6);
        near(fit.serial_fraction.low, 0.066749, 1e-6);
        near(fit.serial_fraction.high, 0.140976, 1e-6);
        near(fit.r_squared.unwrap(), 0.988977, 1e-6);
    }

    #[test]
    fn intervals_cover_injected_parameters_at_their_confidence_level() {
        // 95 % of 400 is 380; ± 14 is 3.2 standard deviations. At a bound, one side cannot miss.
        let count = |covers: &dyn Fn(u64) -> bool| (0..400).filter(|seed| covers(*seed)).count();
        for s in [0.01, 0.1, 0.5] {
            let fit = |seed| serial(&noisy(seed, |n| amdahl(s, n))).serial_fraction;
            let covering = count(&|seed| fit(seed).contains(s));
            assert!((366..=394).contains(&covering), "{covering} of 400 cover {s}");
        }
        for (sigma, kappa) in [(0.05, 0.001), (0.1, 0.01), (0.3, 0.02)] {
            let fit = |seed| universal(&noisy(seed, |n| usl(sigma, kappa, n)));
            let contention = count(&|seed| fit(seed).contention.contains(sigma));
            let coherency = count(&|seed| fit(seed).coherency.contains(kappa));
            assert!((366..=394).contains(&contention), "{contention} of 400 cover σ {sigma}");
            assert!((366..=394).contains(&coherency), "{coherency} of 400 cover κ {kappa}");
        }
        let claimed =
            count(&|seed| universal(&noisy(seed, |n| usl(0.05, 0.0, n))).coherency.low > 0.0);
        assert!(claimed <= 20, "{claimed} of 400 claim a coherency that is not there");
    }

    #[test]
    fn superlinear_speedups_are_held_at_the_bounds() {
        let superlinear = points(&COUNTS, |n| n * (1.0 + 0.1 * n.log2()));
        let interval = serial(&superlinear).serial_fraction;
        assert_eq!((interval.low, interval.estimate), (0.0, 0.0));
        assert!(interval.high > 0.0, "a misfit is not certainty");
        let fit = universal(&superlinear);
        assert_eq!((fit.contention.estimate, fit.coherency.estimate), (0.0, 0.0));
        assert_eq!((fit.contention.low, fit.coherency.low, fit.peak()), (0.0, 0.0, None));
        let slower = serial(&points(&COUNTS, |n| 1.0 / n));
        assert_eq!((slower.serial_fraction.estimate, slower.serial_fraction.high), (1.0, 1.0));
        assert!(slower.r_squared.unwrap() < 0.0, "{slower:?}");
        // Unbounded least squares puts σ below 0 in the first, κ in the second.
        let fit = universal(&points(&COUNTS, |n| n / (1.0 + 0.001 * (n - 1.0) * (n - 1.0))));
        assert_eq!((fit.contention.estimate, fit.peak().is_some()), (0.0, true));
        let fit = universal(&points(&COUNTS, |n| n / (1.0 + 0.1 * (n - 1.0).powf(0.9))));
        assert_eq!((fit.coherency.estimate, fit.peak()), (0.0, None));
        near(fit.contention.estimate, 0.08, 0.01);
    }

    #[test]
    fn retrograde_scaling_peaks_where_injected() {
        for seed in 0..50 {
            let fit = universal(&noisy(seed, |n| usl(0.1, 0.01, n)));
            near(fit.peak().unwrap(), 90.0_f64.sqrt(), 1.0);
        }
        assert_eq!(universal(&points(&COUNTS, |n| usl(1.5, 0.01, n))).peak(), None);
        let (contention, coherency) = (Interval::exact(1.0), Interval::exact(0.01));
        assert_eq!(Usl { contention, coherency, r_squared: None }.peak(), None);
    }

    #[test]
    fn no_fit_says_why() {
        let reasons = |points: &[Point], cores| {
            let amdahl = Amdahl::fit(points, cores).unwrap_err().to_string();
            (amdahl, Usl::fit(points, cores).unwrap_err().to_string())
        };
        let linear = points(&COUNTS, |n| n);
        assert_eq!(
            reasons(&linear, 2).0,
            "no fit: Amdahl's law needs at least 4 thread counts that are not oversubscribed, and \
             there are 2 (this machine has 2 logical cores)"
        );
        assert_eq!(
            reasons(&linear, 1).1,
            "no fit: the Universal Scalability Law needs at least 6 thread counts that are not \
             oversubscribed, and there is 1 (this machine has 1 logical core)"
        );
        assert!(Amdahl::fit(&linear, 7).is_err() && Amdahl::fit(&linear, 8).is_ok());
        assert!(Usl::fit(&linear, 15).is_err() && Usl::fit(&linear, 16).is_ok());
        let twice = points(&[1, 2, 4, 8, 2, 16, 24], |n| n);
        let reason = "no fit: 2 threads were measured more than once".to_owned();
        assert_eq!(reasons(&twice, 32), (reason.clone(), reason));
        for broken in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            let speedups = points(&COUNTS, |n| if n == 16.0 { broken } else { n });
            let reason = "no fit: the speedup of 16 threads is not a finite positive number";
            assert_eq!(reasons(&speedups, 32), (reason.to_owned(), reason.to_owned()));
            assert!(Amdahl::fit(&speedups, 12).is_ok(), "oversubscribed points are ignored");
        }
        let none = points(&[0, 1, 2, 3, 4, 5, 6], |n| n + 1.0);
        assert_eq!(Usl::fit(&none, 8), Err(NoFit::Unusable(0)));
        let tiny = points(&COUNTS, |_| 1e-300);
        assert_eq!(Amdahl::fit(&tiny, 32), Err(NoFit::NotFinite(Amdahl::RULE.0)));
        assert_eq!(Usl::fit(&tiny, 32), Err(NoFit::NotFinite(Usl::RULE.0)));
    }

    #[test]
    fn limits_are_stated_only_where_they_are_certain() {
        let words = |estimate, low: f64| {
            let parameter = Interval { low, estimate, high: estimate };
            let amdahl = Amdahl { serial_fraction: parameter, r_squared: None };
            let usl = Usl { contention: parameter, coherency: parameter, r_squared: Some(0.99) };
            (amdahl.to_string(), usl.to_string())
        };
        let (amdahl, usl) = words(0.05, 0.01);
        let serial = "serial fraction 0.0500 (0.0100…0.0500), speedup at most 20.0×; R² undefined";
        assert_eq!(amdahl, serial);
        assert!(usl.ends_with("κ 0.0500 (0.0100…0.0500), peak at about 4.36 threads; R² 0.990"));
        let (amdahl, usl) = words(0.05, 0.0);
        assert!(!amdahl.contains("most") && !usl.contains("peak"), "{amdahl}, {usl}");
    }
}
