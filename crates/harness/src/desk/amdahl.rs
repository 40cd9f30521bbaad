//! What a gain means for a whole program: Amdahl's law (Amdahl, "Validity of the single processor approach to achieving large
//! scale computing capabilities", AFIPS 1967).
//!
//! A part that takes the share p of the time, and becomes g times as fast, makes the whole 1 ÷ (1 − p + p ÷ g) times as fast.

use std::str::FromStr;

use serde::Serialize;

use crate::statistics::{Interval, noise_between_processes};

/// A share of a program's time, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share(f64);

/// A text or a number that is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number from 0 to 1, or a percentage: `0.12` or `12%`")]
pub struct NoShare;

impl Share {
    /// Returns this share, from 0 to 1.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(share: f64) -> Result<Share, NoShare> {
        if (0.0..=1.0).contains(&share) { Ok(Share(share)) } else { Err(NoShare) }
    }

    /// Returns the share as a number from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = NoShare;
    fn from_str(text: &str) -> Result<Share, NoShare> {
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| NoShare);
        match text.strip_suffix('%') {
            Some(percent) => Share::of(number(percent)? / 100.0),
            None => Share::of(number(text)?),
        }
    }
}

/// What a gain means for a whole program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Whole {
    /// Time before ÷ time after.
    pub speedup: Interval,
    /// The speedup if the part took no time at all; infinite if there is nothing else.
    pub at_most: f64,
    /// Share of the time that is saved.
    pub saved: Interval,
    /// Whether that can be told from what two processes of one program differ by.
    pub is_above_noise: bool,
}

/// Applies Amdahl's law to the gain of a part with this share of the time.
pub fn whole(gain: Interval, share: Share) -> Whole {
    let Share(p) = share;
    let speedup = |gain: f64| 1.0 / (1.0 - p + p / gain);
    let saved = |gain: f64| p - p / gain;
    let of = |figure: &dyn Fn(f64) -> f64| Interval {
        low: figure(gain.low),
        estimate: figure(gain.estimate),
        high: figure(gain.high),
    };
    let speedup = of(&speedup);
    let is_above_noise = speedup.low.ln() > noise_between_processes()
        || speedup.high.ln() < -noise_between_processes();
    Whole { speedup, at_most: 1.0 / (1.0 - p), saved: of(&saved), is_above_noise }
}

/// Returns the processor cores that a rate of units per second no longer keeps busy, from the times of both sides per unit
/// (naive, optimized), ns.
pub fn saved_cores((naive_ns, optimized_ns): (f64, f64), rate_per_s: f64) -> f64 {
    (naive_ns - optimized_ns) * rate_per_s / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(low: f64, estimate: f64, high: f64) -> Interval {
        Interval { low, estimate, high }
    }

    #[test]
    fn half_of_the_time_made_twice_as_fast_saves_a_quarter() {
        let found = whole(gain(1.5, 2.0, 4.0), Share::of(0.5).unwrap());
        assert!((found.speedup.estimate - 4.0 / 3.0).abs() < 1e-12);
        assert!((found.speedup.low - 1.2).abs() < 1e-12);
        assert!((found.speedup.high - 1.6).abs() < 1e-12);
        assert!((found.saved.estimate - 0.25).abs() < 1e-12);
        assert!((found.at_most - 2.0).abs() < 1e-12 && found.is_above_noise);
    }

    #[test]
    fn a_small_share_is_below_the_noise_and_a_loss_is_not() {
        // Even an infinite gain of half a percent of the time makes no more than 1.00503.
        let small = whole(gain(50.0, 100.0, 200.0), Share::of(0.005).unwrap());
        assert!(!small.is_above_noise && small.at_most < 1.0051, "{small:?}");
        assert!(whole(gain(50.0, 100.0, 200.0), Share::of(0.05).unwrap()).is_above_noise);
        let loss = whole(gain(0.4, 0.5, 0.6), Share::of(0.2).unwrap());
        assert!(loss.is_above_noise && loss.speedup.high < 1.0 && loss.saved.estimate < 0.0);
        let unclear = whole(gain(0.9, 1.1, 1.3), Share::of(1.0).unwrap());
        assert!(!unclear.is_above_noise);
        assert_eq!(unclear.at_most, f64::INFINITY);
    }

    #[test]
    fn shares_are_numbers_or_percentages() {
        assert_eq!("0.12".parse(), Share::of(0.12));
        assert_eq!("12%".parse(), Share::of(0.12));
        for text in ["12", "-0.1", "101%", "x", "", "%", "NaN"] {
            assert_eq!(text.parse::<Share>(), Err(NoShare), "{text}");
        }
    }

    #[test]
    fn a_thousand_units_a_second_that_save_a_millisecond_each_free_a_core() {
        assert!((saved_cores((1.5e6, 0.5e6), 1_000.0) - 1.0).abs() < 1e-12);
    }
}
