//! The Universal Scalability Law: threads wait for each other, and keep their data consistent.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{NoFit, Point, describing, in_words, interval, parameter, r_squared, usable};
use crate::statistics::Interval;
use worthit_pair::format;

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
    pub(super) const RULE: (&str, usize) = ("the Universal Scalability Law", 6);

    /// Fits N/S − 1 = σ(N − 1) + κN(N − 1) by nonnegative least squares at the thread counts within
    /// `cores`. Each equation is weighted by S/N, for the same reason as in [`Amdahl::fit`](super::Amdahl::fit). Student's
    /// intervals take their errors from the normal equations of both parameters, even if one is held
    /// at 0, and have two degrees of freedom less than there are counts beyond one thread.
    ///
    /// # Errors
    /// If points are too few, repeated or unusable, the solution is not finite, or R² is below 0.8.
    pub fn fit(points: &[Point], cores: u64) -> Result<Usl, NoFit> {
        let law = Usl::best(points, cores)?;
        describing(Usl::RULE.0, law, law.r_squared)
    }

    /// The best fit, however poor it is.
    pub(super) fn best(points: &[Point], cores: u64) -> Result<Usl, NoFit> {
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

pub(super) fn usl(sigma: f64, kappa: f64, n: f64) -> f64 {
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
