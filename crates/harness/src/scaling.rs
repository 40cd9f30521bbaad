//! Growth of speedups with the number of threads: fits Amdahl's law and the Universal Scalability Law
//! to measured speedups. Pure functions of numbers, except [`ceiling`]. A law describes how speedups
//! grow, never why; where none describes them, there are no parameters.

mod amdahl;
mod universal;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::statistics::{CONFIDENCE, Interval, Summary, geometric_mean_interval};
use worthit_pair::format;

pub use amdahl::Amdahl;
pub use universal::Usl;

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
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
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
    /// The best fit is a poor one, so that its parameters would say nothing about the pair.
    #[error("{law} does not describe this: {}", in_words(*r_squared))]
    Poor {
        /// Name of the law.
        law: &'static str,
        /// R² of the fit; `None` if the speedups are all equal.
        r_squared: Option<f64>,
    },
}

/// R² from which on a law is said to describe the speedups.
const LEAST_R_SQUARED: f64 = 0.8;

/// The laws fitted to the speedups of a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Laws {
    /// Amdahl's law, from four thread counts on.
    pub amdahl: Result<Amdahl, NoFit>,
    /// The Universal Scalability Law, from six thread counts on.
    pub usl: Result<Usl, NoFit>,
}

impl Laws {
    /// Fits both laws at the thread counts within `cores`.
    pub fn of(points: &[Point], cores: u64) -> Laws {
        Laws { amdahl: Amdahl::fit(points, cores), usl: Usl::fit(points, cores) }
    }

    /// Predicts the speedup over one thread, by the law with more parameters of those that describe the speedups.
    /// `None` if none does.
    pub fn predict(&self, threads: u64) -> Option<f64> {
        let amdahl = || self.amdahl.as_ref().ok().map(|law| law.predict(threads));
        self.usl.as_ref().ok().map(|law| law.predict(threads)).or_else(amdahl)
    }

    /// Returns a sentence on each law: its parameters, or why it has none.
    pub fn in_words(&self) -> Vec<String> {
        let mut sentences = vec![
            self.amdahl
                .as_ref()
                .map_or_else(NoFit::to_string, |law| format!("Amdahl's law: {law}")),
            self.usl
                .as_ref()
                .map_or_else(NoFit::to_string, |law| format!("Universal Scalability Law: {law}")),
        ];
        let failures = [self.amdahl.as_ref().err(), self.usl.as_ref().err()];
        let is_poor = |failure: &Option<&NoFit>| matches!(failure, Some(NoFit::Poor { .. }));
        if failures.iter().all(Option::is_some) && failures.iter().any(is_poor) {
            sentences.insert(
                0,
                format!("no law describes this: a fit needs an R² of at least {LEAST_R_SQUARED}"),
            );
        }
        sentences
    }
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

/// Refuses a fit whose R² is too low.
fn describing<L>(name: &'static str, law: L, r_squared: Option<f64>) -> Result<L, NoFit> {
    match r_squared {
        Some(value) if value >= LEAST_R_SQUARED => Ok(law),
        _ => Err(NoFit::Poor { law: name, r_squared }),
    }
}

fn in_words(r_squared: Option<f64>) -> String {
    r_squared.map_or("R² undefined".to_owned(), |value| format!("R² {value:.3}"))
}

/// `0.0500 (0.0480…0.0520)`
fn parameter(value: &Interval) -> String {
    let [low, estimate, high] = [value.low, value.estimate, value.high].map(format::significant);
    format!("{estimate} ({low}…{high})")
}

/// Measures how many cores' worth of work this machine does on each of its
/// [numbers of threads](worthit_machine::ceiling::speedups) at once.
pub fn ceiling() -> Vec<Point> {
    let point = |(threads, readings): (u64, Vec<f64>)| {
        let speedup = geometric_mean_interval(&readings)?;
        Some(Point { threads, speedup })
    };
    worthit_machine::ceiling::speedups().into_iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests;
