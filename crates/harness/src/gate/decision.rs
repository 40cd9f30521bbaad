//! How long to measure, and what the times say: pure functions of log ratios.
//!
//! A comparison is a *screen* and, where that finds a suspect, a *confirmation* in fresh processes with
//! samples of its own. Only a confirmation can say *regressed*. It grows until it is clear, and is tested when it
//! has so many restarts as `LOOKS` says, which nothing that was measured changes. Each test is at a level that
//! is the run's false-alarm rate divided by the number of comparisons and of tests (Bonferroni). So whatever the
//! screen did and however often was looked, the probability that a run without any change
//! alarms is at most that rate, as far as restarts are independent and treat base and head alike.

use serde::{Deserialize, Serialize};

use super::{
    signed_rank,
    verdict::{TimeVerdict, Verdict},
};
use crate::statistics::{Interval, exp, median};

/// Restarts that every comparison begins with: the fewest that an interval of 95 % can be made of.
const SCREEN: usize = 6;
/// Restarts at which a screen that has decided nothing ends.
const LONGEST_SCREEN: usize = 24;
/// Restarts at which a confirmation is tested: half as many more each time. The first are about
/// the fewest that can tell; outliers among a few are outvoted only by more.
const LOOKS: [usize; 7] = [16, 24, 36, 54, 80, 120, 160];
/// A change of 5/3 of the relevant size (5 % for 3 %) is likely to be there; its distance from
/// half the relevant size, which is tested, is this many relevant sizes.
const LIKELY_SEEN: f64 = 5.0 / 3.0 - 0.5;
/// Each side of the interval that is shown, and that the screen decides by.
const SHOWN_ALPHA: f64 = 0.025;

/// What counts as a regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Growth of time above which a regression is relevant: 0.03 is 3 %.
    pub relevant: f64,
    /// Probability that a whole run without any change alarms, at most.
    pub false_alarms: f64,
    /// Comparisons in the run.
    pub comparisons: usize,
}

impl Rule {
    /// Level of each test of a confirmation.
    pub fn alpha(&self) -> f64 {
        self.false_alarms / (self.comparisons.max(1) * LOOKS.len()) as f64
    }

    /// After how many restarts a confirmation is tested: [`LOOKS`], where the smallest possible p is within the
    /// level though one or two restarts are against it.
    fn looks(&self) -> impl Iterator<Item = usize> {
        let fewest = (-self.alpha().log2()).ceil() as usize + 2;
        LOOKS.into_iter().map(move |look| look.max(fewest))
    }

    fn threshold(&self) -> f64 {
        self.relevant.ln_1p()
    }
}

/// Log ratios head ÷ base, one a restart, so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Of the screen.
    pub screen: Vec<f64>,
    /// Of the confirmation, if it has begun.
    pub confirmation: Option<Vec<f64>>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This many more restarts, and then ask again.
    Measure(usize),
    /// Begin the confirmation.
    Confirm,
    /// Nothing more.
    Done(TimeVerdict),
}

impl Samples {
    /// Decides, or asks for more.
    pub fn next(&self, rule: &Rule) -> Next {
        let threshold = rule.threshold();
        match &self.confirmation {
            Some(ratios) => {
                let is_looked_at = rule.looks().any(|look| look == ratios.len());
                if is_looked_at && is_regressed(ratios, rule) {
                    self.done(Verdict::Regressed)
                } else if is_looked_at && centre(ratios).high <= threshold {
                    self.done(Verdict::Unchanged)
                } else if let Some(look) = rule.looks().find(|look| *look > ratios.len()) {
                    Next::Measure(look - ratios.len())
                } else {
                    self.done(Verdict::Undecided)
                }
            }
            None if self.screen.len() < SCREEN => Next::Measure(SCREEN - self.screen.len()),
            None => {
                let shown = centre(&self.screen);
                if shown.low >= -threshold && shown.high <= threshold {
                    self.done(Verdict::Unchanged)
                } else if self.is_hopeless(rule, shown.estimate) {
                    // Six may scatter by chance.
                    match self.screen.len() {
                        SCREEN => Next::Measure(SCREEN),
                        _ => self.done(Verdict::Undecided),
                    }
                } else if shown.estimate > threshold / 2.0 && shown.high > threshold {
                    Next::Confirm
                } else if shown.estimate < -threshold && shown.high < -threshold / 2.0 {
                    self.done(Verdict::Improved)
                } else if self.screen.len() < LONGEST_SCREEN {
                    Next::Measure(self.screen.len())
                } else {
                    self.done(Verdict::Undecided)
                }
            }
        }
    }

    /// Adds restarts to what is being measured.
    pub fn add(&mut self, ratios: &[f64]) {
        self.confirmation.as_mut().unwrap_or(&mut self.screen).extend(ratios);
    }

    /// Begins the confirmation.
    pub fn begin_confirmation(&mut self) {
        self.confirmation = Some(Vec::new());
    }

    /// What is known when no more can be measured.
    pub fn given_up(&self) -> TimeVerdict {
        self.found(Verdict::Undecided)
    }

    fn done(&self, verdict: Verdict) -> Next {
        Next::Done(self.found(verdict))
    }

    fn found(&self, verdict: Verdict) -> TimeVerdict {
        let fresh = self.confirmation.as_ref();
        let shown = fresh.into_iter().chain([&self.screen]).find(|ratios| !ratios.is_empty());
        let confirming = fresh.map_or(0, Vec::len);
        TimeVerdict {
            verdict,
            change: shown.map(|ratios| exp(centre(ratios))).filter(Interval::is_finite),
            restarts: self.screen.len() + confirming,
            confirming,
        }
    }

    /// Whether no confirmation could be long enough to see a change of the relevant size, nor one of
    /// the size that the screen has seen.
    fn is_hopeless(&self, rule: &Rule, estimate: f64) -> bool {
        let longest = LOOKS[LOOKS.len() - 1];
        let seen = estimate - rule.threshold() / 2.0;
        self.wanted(rule.threshold() * LIKELY_SEEN.max(seen / rule.threshold())) > longest
    }

    /// Restarts with which a centre that lies by `margin` above what is tested is likely to be seen,
    /// given the spread of the screen. Normal approximation; the test itself is exact.
    fn wanted(&self, margin: f64) -> usize {
        // Quantiles of the normal distribution: of 1 − 10⁻⁴, about the level, and of 0.98, the power.
        const QUANTILES: f64 = 3.72 + 2.05;
        let middle = median(&self.screen).unwrap_or(0.0);
        let deviations: Vec<f64> = self.screen.iter().map(|ratio| (ratio - middle).abs()).collect();
        // The median absolute deviation of a normal sample is 1/1.4826 of its standard deviation.
        let deviation = 1.4826 * median(&deviations).unwrap_or(0.0);
        (QUANTILES * deviation / margin).powi(2).ceil() as usize
    }
}

/// Whether a sample, of a size that was set before it was taken, says that the change is relevant.
fn is_regressed(ratios: &[f64], rule: &Rule) -> bool {
    let is_above = signed_rank::p_above(ratios, rule.threshold() / 2.0) <= rule.alpha();
    is_above && centre(ratios).estimate > rule.threshold()
}

fn centre(ratios: &[f64]) -> Interval {
    let everything = Interval { low: f64::NEG_INFINITY, estimate: 0.0, high: f64::INFINITY };
    signed_rank::centre(ratios, SHOWN_ALPHA).unwrap_or(everything)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const RULE: Rule = Rule { relevant: 0.03, false_alarms: 0.01, comparisons: 20 };

    /// Decides on restarts of an injected change; noise is near normal, with outliers now and then.
    fn decide(change: f64, noise: f64, seed: u64) -> TimeVerdict {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut restart = || {
            let normal: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum();
            let outlier = if rng.random_bool(0.03) { 8.0 } else { 1.0 };
            change.ln_1p() + noise * normal * outlier
        };
        let mut samples = Samples::default();
        loop {
            match samples.next(&RULE) {
                Next::Measure(count) => {
                    let ratios: Vec<f64> = (0..count).map(|_| restart()).collect();
                    samples.add(&ratios);
                }
                Next::Confirm => samples.begin_confirmation(),
                Next::Done(found) => return found,
            }
        }
    }

    fn share(change: f64, noise: f64, verdict: Verdict) -> f64 {
        let of = 150;
        let such = (0..of).filter(|seed| decide(change, noise, *seed).verdict == verdict);
        such.count() as f64 / f64::from(of as u32)
    }

    #[test]
    fn injected_noise_never_alarms_and_is_mostly_decided() {
        for noise in [0.001, 0.01, 0.03, 0.10] {
            assert_eq!(share(0.0, noise, Verdict::Regressed), 0.0, "noise {noise}");
        }
        assert!(share(0.0, 0.01, Verdict::Unchanged) > 0.99);
        assert!(share(0.0, 0.02, Verdict::Unchanged) > 0.9);
    }

    #[test]
    fn injected_regressions_are_caught() {
        assert_eq!(share(0.10, 0.01, Verdict::Regressed), 1.0);
        assert_eq!(share(0.10, 0.02, Verdict::Regressed), 1.0);
        assert!(share(0.10, 0.05, Verdict::Regressed) > 0.98);
        assert!(share(0.05, 0.01, Verdict::Regressed) > 0.98);
        assert!(share(0.05, 0.02, Verdict::Regressed) > 0.95);
        assert!(share(0.05, 0.05, Verdict::Regressed) > 0.6);
    }

    #[test]
    fn what_is_not_relevant_does_not_fail() {
        assert!(share(0.015, 0.01, Verdict::Regressed) < 0.002);
        assert!(share(0.01, 0.005, Verdict::Unchanged) > 0.99);
        let between = share(0.03, 0.005, Verdict::Regressed);
        // Either is right; each look is another chance to find it above.
        assert!((0.2..0.95).contains(&between), "{between}");
        assert!(share(0.025, 0.005, Verdict::Regressed) < 0.05);
    }

    #[test]
    fn injected_gains_are_improvements() {
        assert!(share(-0.10, 0.01, Verdict::Improved) > 0.99);
        assert_eq!(share(-0.10, 0.10, Verdict::Regressed), 0.0);
    }

    #[test]
    fn noise_that_hides_everything_is_undecided() {
        assert!(share(0.0, 0.30, Verdict::Undecided) > 0.9);
    }

    #[test]
    fn hopeless_noise_ends_with_the_screen_unless_the_change_is_as_large() {
        let scattered: Vec<f64> =
            (0..2 * SCREEN).map(|n| if n % 2 == 0 { 0.4 } else { -0.4 }).collect();
        let screen = |shift: f64| Samples {
            screen: scattered.iter().map(|ratio| ratio + shift).collect(),
            confirmation: None,
        };
        let six = Samples { screen: scattered[..SCREEN].to_vec(), confirmation: None };
        assert_eq!(six.next(&RULE), Next::Measure(SCREEN));
        let Next::Done(found) = screen(0.0).next(&RULE) else { panic!("hopeless") };
        assert_eq!(found.verdict, Verdict::Undecided);
        assert_eq!(screen(1.0).next(&RULE), Next::Confirm);
    }

    #[test]
    fn a_screen_alone_says_nothing_red() {
        let mut samples = Samples::default();
        assert_eq!(samples.next(&RULE), Next::Measure(SCREEN));
        samples.add(&[0.2; SCREEN]);
        assert_eq!(samples.next(&RULE), Next::Confirm);
        samples.begin_confirmation();
        samples.add(&[0.0; LOOKS[0]]);
        let Next::Done(found) = samples.next(&RULE) else { panic!("decided") };
        let restarts = (found.restarts, found.confirming);
        assert_eq!((found.verdict, restarts), (Verdict::Unchanged, (SCREEN + 16, 16)));
        let given_up = Samples { screen: vec![0.2; 12], confirmation: None }.given_up();
        assert_eq!((given_up.verdict, given_up.confirming), (Verdict::Undecided, 0));
    }

    #[test]
    fn a_confirmation_is_tested_at_its_looks_alone() {
        let confirming = |ratios: &[f64]| Samples {
            screen: vec![0.2; SCREEN],
            confirmation: Some(ratios.to_vec()),
        };
        assert_eq!(confirming(&[0.2; 3]).next(&RULE), Next::Measure(13));
        let Next::Done(found) = confirming(&[0.2; 16]).next(&RULE) else { panic!("clear") };
        assert_eq!(found.verdict, Verdict::Regressed);
        // One that lies far on the other side is too much for sixteen, but not for 24.
        let mut ratios = vec![0.2; 23];
        ratios.insert(0, -0.9);
        assert_eq!(confirming(&ratios[..16]).next(&RULE), Next::Measure(8));
        assert_eq!(confirming(&ratios[..23]).next(&RULE), Next::Measure(1));
        let Next::Done(found) = confirming(&ratios).next(&RULE) else { panic!("clear") };
        assert_eq!(found.verdict, Verdict::Regressed);
        // Evenly spread about 2 %, by 30 % each way: at the last look it is left undecided.
        let spread = |n: u32| 0.02 + 0.6 * (f64::from(n * 37 % 160) / 160.0 - 0.5);
        let spread: Vec<f64> = (0..160).map(spread).collect();
        let Next::Done(found) = confirming(&spread).next(&RULE) else { panic!("the end") };
        assert_eq!(found.verdict, Verdict::Undecided);
    }

    #[test]
    fn a_confirmation_is_long_enough_for_its_level() {
        // 10,000 comparisons: even 2⁻¹⁶ would not do.
        let rule = Rule { comparisons: 10_000, ..RULE };
        let mut samples = Samples { screen: vec![0.2; 12], confirmation: None };
        assert_eq!(samples.next(&rule), Next::Confirm);
        samples.begin_confirmation();
        let Next::Measure(first) = samples.next(&rule) else { panic!("not tested yet") };
        assert!(first > 16);
        samples.add(&vec![0.2; first]);
        let Next::Done(found) = samples.next(&rule) else { panic!("decided") };
        assert_eq!(found.verdict, Verdict::Regressed);
    }
}
