//! Amdahl's law: a part of the work is serial, and the rest is divided among the threads.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{NoFit, Point, describing, in_words, interval, parameter, r_squared, usable};
use crate::statistics::Interval;
use worthit_pair::format;

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
    pub(super) const RULE: (&str, usize) = ("Amdahl's law", 4);

    /// Fits 1/S − 1/N = s·(1 − 1/N), a line through the origin, by least squares at the thread counts
    /// within `cores`. Each equation is weighted by S, so that the squared error is the relative error
    /// of a speedup, 1 − S/S(N): noise affects it equally at every count. Student's interval has one
    /// degree of freedom less than there are counts beyond one thread.
    ///
    /// # Errors
    /// If points are too few, repeated or unusable, the solution is not finite, or R² is below 0.8.
    pub fn fit(points: &[Point], cores: u64) -> Result<Amdahl, NoFit> {
        let law = Amdahl::best(points, cores)?;
        describing(Amdahl::RULE.0, law, law.r_squared)
    }

    /// The best fit, however poor it is.
    pub(super) fn best(points: &[Point], cores: u64) -> Result<Amdahl, NoFit> {
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

pub(super) fn amdahl(s: f64, n: f64) -> f64 {
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
