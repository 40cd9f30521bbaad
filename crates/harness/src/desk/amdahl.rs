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
    /// Time after ÷ time before.
    pub left: Interval,
    /// What that comes to.
    pub verdict: Verdict,
}

/// What a speedup of a whole program comes to, beside what two processes of one program differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The program gets faster by more.
    Faster,
    /// It gets slower by more.
    Slower,
    /// It changes by less.
    UnderNoise,
    /// The interval leaves several of these open.
    CannotTell,
}

impl Verdict {
    fn of(speedup: Interval) -> Verdict {
        let noise = noise_between_processes();
        match (speedup.low.ln(), speedup.high.ln()) {
            (low, _) if low > noise => Verdict::Faster,
            (_, high) if high < -noise => Verdict::Slower,
            (low, high) if low >= -noise && high <= noise => Verdict::UnderNoise,
            _ => Verdict::CannotTell,
        }
    }
}

/// Applies Amdahl's law to the gain of a part with this share of the time.
pub fn whole(gain: Interval, share: Share) -> Whole {
    let Share(p) = share;
    let left = |gain: f64| 1.0 - p + p / gain;
    // The larger the gain, the less is left.
    let left =
        Interval { low: left(gain.high), estimate: left(gain.estimate), high: left(gain.low) };
    let speedup =
        Interval { low: 1.0 / left.high, estimate: 1.0 / left.estimate, high: 1.0 / left.low };
    Whole { speedup, at_most: 1.0 / (1.0 - p), left, verdict: Verdict::of(speedup) }
}

/// Returns how many fewer units are in progress at any moment, from the times of both sides per unit (naive, optimized), ns
/// (Little, "A Proof for the Queuing Formula: L = λW", Operations Research 1961). More, if it is negative.
pub fn fewer_in_progress((naive_ns, optimized_ns): (f64, f64), rate_per_s: f64) -> f64 {
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
        assert!((found.left.estimate - 0.75).abs() < 1e-12);
        assert!(found.left.low < 0.75 && found.left.high > 0.75);
        assert!((found.at_most - 2.0).abs() < 1e-12);
        assert_eq!(found.verdict, Verdict::Faster);
    }

    #[test]
    fn a_small_share_is_below_the_noise_and_a_loss_is_not() {
        // Even an infinite gain of half a percent of the time makes no more than 1.00503.
        let small = whole(gain(50.0, 100.0, 200.0), Share::of(0.005).unwrap());
        assert!(small.verdict == Verdict::UnderNoise && small.at_most < 1.0051, "{small:?}");
        let large = whole(gain(50.0, 100.0, 200.0), Share::of(0.05).unwrap());
        assert_eq!(large.verdict, Verdict::Faster);
        let loss = whole(gain(0.4, 0.5, 0.6), Share::of(0.2).unwrap());
        assert!(loss.speedup.high < 1.0 && loss.left.estimate > 1.0);
        assert_eq!(loss.verdict, Verdict::Slower);
        // Wide intervals leave it open: that is not the same as little.
        for (low, high) in [(0.9, 1.3), (0.9, 2.4), (1.005, 1.04), (0.95, 1.0)] {
            let unclear = whole(gain(low, f64::midpoint(low, high), high), Share::of(1.0).unwrap());
            assert_eq!(unclear.verdict, Verdict::CannotTell, "{low}…{high}");
            assert_eq!(unclear.at_most, f64::INFINITY);
        }
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
    fn of_a_thousand_units_a_second_that_are_a_millisecond_shorter_one_fewer_is_in_progress() {
        assert!((fewer_in_progress((1.5e6, 0.5e6), 1_000.0) - 1.0).abs() < 1e-12);
        assert!((fewer_in_progress((0.5e6, 1.5e6), 1_000.0) + 1.0).abs() < 1e-12);
    }
}
