//! How long to measure, and what the times say: pure functions of log ratios.
//!
//! A comparison is a *screen* and, where that finds a suspect, up to [`CONFIRMATIONS`] confirmations
//! in fresh processes with samples of their own. Only a confirmation can say *regressed*. Its size is
//! set before it begins, and it is tested twice at most: after the fewest restarts that can tell, and at its end. Each
//! test is at a level that is the run's false-alarm rate divided by the number of comparisons, of
//! confirmations and of tests (Bonferroni). So whatever the screen did and however
//! often it looked, the probability that a run without any change alarms is at most that rate, as
//! far as restarts are independent and treat base and head alike.

use serde::{Deserialize, Serialize};

use super::{signed_rank, verdict::Verdict};
use crate::statistics::{Interval, exp, median};

/// Restarts that every comparison begins with: the fewest that an interval of 95 % can be made of.
const SCREEN: usize = 6;
/// Restarts at which a screen that has decided nothing ends.
const LONGEST_SCREEN: usize = 24;
/// How often a suspect is measured afresh.
pub const CONFIRMATIONS: usize = 2;
/// How often a confirmation is tested: early, and at its end.
pub const LOOKS: usize = 2;
/// Least and greatest number of restarts in the first and in the second confirmation.
const CONFIRMATION: [(usize, usize); CONFIRMATIONS] = [(14, 60), (40, 160)];
/// Confirmations are planned for a change of 5/3 of the relevant size (5 % for 3 %), whose distance from
/// half the relevant size, which is tested, is this many relevant sizes.
const LIKELY_SEEN: f64 = 5.0 / 3.0 - 0.5;
/// Share of what a screen has seen that is taken for granted when a confirmation is planned.
const NOT_LUCK: f64 = 0.7;
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
    /// Level of each test of each confirmation.
    pub fn alpha(&self) -> f64 {
        self.false_alarms / (self.comparisons.max(1) * CONFIRMATIONS * LOOKS) as f64
    }

    /// Restarts with which the smallest possible p is within the level, though one or two of them are
    /// against it.
    fn fewest(&self) -> usize {
        (-self.alpha().log2()).ceil() as usize + 2
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
    /// Of each confirmation.
    pub confirmations: Vec<Confirmation>,
}

/// A confirmation, complete or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmation {
    /// How many restarts it will have.
    pub planned: usize,
    /// Those it has.
    pub ratios: Vec<f64>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This many more restarts, and then ask again.
    Measure(usize),
    /// Begin a confirmation of so many.
    Confirm(usize),
    /// Nothing more.
    Done(TimeVerdict),
}

/// What the times say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// Time of the head ÷ time of the base with its 95 % interval, of the last confirmation, or of the
    /// screen if there was none. `None` while there are too few restarts for an interval.
    pub change: Option<Interval>,
    /// Restarts, in all.
    pub restarts: usize,
    /// Confirmations that were begun.
    pub confirmations: usize,
}

impl Samples {
    /// Decides, or asks for more.
    pub fn next(&self, rule: &Rule) -> Next {
        let threshold = rule.threshold();
        match self.confirmations.last() {
            Some(last) if last.ratios.len() < rule.fewest().min(last.planned) => {
                Next::Measure(rule.fewest().min(last.planned) - last.ratios.len())
            }
            Some(last) if last.ratios.len() < last.planned => {
                if is_regressed(&last.ratios[..rule.fewest()], rule) {
                    self.done(Verdict::Regressed)
                } else {
                    Next::Measure(last.planned - last.ratios.len())
                }
            }
            Some(last) => {
                let shown = centre(&last.ratios);
                if is_regressed(&last.ratios, rule) {
                    self.done(Verdict::Regressed)
                } else if shown.high <= threshold {
                    self.done(Verdict::Unchanged)
                } else if let Some(limits) = CONFIRMATION.get(self.confirmations.len()) {
                    Next::Confirm(self.planned(rule, *limits))
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
                    self.done(Verdict::Undecided)
                } else if shown.estimate > threshold / 2.0 && shown.high > threshold {
                    Next::Confirm(self.planned(rule, CONFIRMATION[0]))
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
        let current = self.confirmations.last_mut();
        current.map_or(&mut self.screen, |last| &mut last.ratios).extend(ratios);
    }

    /// Begins a confirmation.
    pub fn begin_confirmation(&mut self, planned: usize) {
        self.confirmations.push(Confirmation { planned, ratios: Vec::new() });
    }

    /// What is known when no more can be measured.
    pub fn given_up(&self) -> TimeVerdict {
        self.found(Verdict::Undecided)
    }

    fn done(&self, verdict: Verdict) -> Next {
        Next::Done(self.found(verdict))
    }

    fn found(&self, verdict: Verdict) -> TimeVerdict {
        let fresh = self.confirmations.iter().rev().map(|last| &last.ratios);
        let shown = fresh.chain([&self.screen]).find(|ratios| !ratios.is_empty());
        let confirmed = self.confirmations.iter().map(|last| last.ratios.len()).sum::<usize>();
        TimeVerdict {
            verdict,
            change: shown.map(|ratios| exp(centre(ratios))).filter(Interval::is_finite),
            restarts: self.screen.len() + confirmed,
            confirmations: self.confirmations.len(),
        }
    }

    /// Whether no confirmation could be long enough to see a change of the relevant size, nor one of
    /// the size that the screen has seen.
    fn is_hopeless(&self, rule: &Rule, estimate: f64) -> bool {
        let longest = CONFIRMATION[CONFIRMATIONS - 1].1;
        let seen = estimate - rule.threshold() / 2.0;
        self.wanted(rule.threshold() * LIKELY_SEEN.max(seen / rule.threshold())) > longest
    }

    /// Restarts of the next confirmation: fewer where the screen has seen a large change, of which
    /// a part is taken to be luck.
    fn planned(&self, rule: &Rule, (least, most): (usize, usize)) -> usize {
        let possible = rule.fewest();
        let seen = NOT_LUCK * centre(&self.screen).estimate - rule.threshold() / 2.0;
        let wanted = self.wanted(seen.max(rule.threshold() * LIKELY_SEEN));
        wanted.clamp(least.max(possible), most.max(possible))
    }

    /// Restarts with which a centre that lies by `margin` above what is tested is likely to be seen,
    /// given the spread so far. Normal approximation; the test itself is exact.
    fn wanted(&self, margin: f64) -> usize {
        // Quantiles of the normal distribution: of 1 − 10⁻⁴, about the level, and of 0.98, the power.
        const QUANTILES: f64 = 3.72 + 2.05;
        let confirmed = self.confirmations.iter().flat_map(|last| &last.ratios);
        let all: Vec<f64> = confirmed.chain(&self.screen).copied().collect();
        let middle = median(&all).unwrap_or(0.0);
        let deviations: Vec<f64> = all.iter().map(|ratio| (ratio - middle).abs()).collect();
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

    /// Decides on restarts of a planted change; noise is near normal, with outliers now and then.
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
                Next::Confirm(planned) => samples.begin_confirmation(planned),
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
    fn planted_noise_never_alarms_and_is_mostly_decided() {
        for noise in [0.001, 0.01, 0.03, 0.10] {
            assert_eq!(share(0.0, noise, Verdict::Regressed), 0.0, "noise {noise}");
        }
        assert!(share(0.0, 0.01, Verdict::Unchanged) > 0.99);
        assert!(share(0.0, 0.02, Verdict::Unchanged) > 0.9);
    }

    #[test]
    fn planted_regressions_are_caught() {
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
        assert!((0.2..0.8).contains(&between), "{between}");
    }

    #[test]
    fn planted_gains_are_improvements() {
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
            (0..SCREEN).map(|n| if n % 2 == 0 { 0.4 } else { -0.4 }).collect();
        let screen = |shift: f64| Samples {
            screen: scattered.iter().map(|ratio| ratio + shift).collect(),
            confirmations: vec![],
        };
        let Next::Done(found) = screen(0.0).next(&RULE) else { panic!("hopeless") };
        assert_eq!(found.verdict, Verdict::Undecided);
        assert!(matches!(screen(1.0).next(&RULE), Next::Confirm(_)));
    }

    #[test]
    fn a_screen_alone_says_nothing_red() {
        let mut samples = Samples::default();
        assert_eq!(samples.next(&RULE), Next::Measure(SCREEN));
        samples.add(&[0.2; SCREEN]);
        assert_eq!(samples.next(&RULE), Next::Confirm(15));
        samples.begin_confirmation(15);
        samples.add(&[0.0; 15]);
        let Next::Done(found) = samples.next(&RULE) else { panic!("decided") };
        assert_eq!((found.verdict, found.restarts), (Verdict::Unchanged, SCREEN + 15));
        let given_up = Samples { screen: vec![0.2; 12], confirmations: vec![] }.given_up();
        assert_eq!((given_up.verdict, given_up.confirmations), (Verdict::Undecided, 0));
    }

    #[test]
    fn a_long_confirmation_is_tested_early_and_then_at_its_end_alone() {
        let confirming = |ratios: &[f64]| Samples {
            screen: vec![0.2; SCREEN],
            confirmations: vec![Confirmation { planned: 40, ratios: ratios.to_vec() }],
        };
        let fewest = RULE.fewest();
        assert_eq!(confirming(&[0.2; 3]).next(&RULE), Next::Measure(fewest - 3));
        let Next::Done(found) = confirming(&vec![0.2; fewest]).next(&RULE) else { panic!("clear") };
        assert_eq!(found.verdict, Verdict::Regressed);
        // What comes after the early test is not looked at before the end.
        let mut ratios = vec![0.0; fewest];
        assert_eq!(confirming(&ratios).next(&RULE), Next::Measure(40 - fewest));
        ratios.extend([0.9; 12]);
        assert_eq!(confirming(&ratios).next(&RULE), Next::Measure(40 - fewest - 12));
    }

    #[test]
    fn a_confirmation_is_long_enough_for_its_level() {
        // 10,000 comparisons: even 2⁻¹⁶ would not do.
        let rule = Rule { comparisons: 10_000, ..RULE };
        let mut samples = Samples { screen: vec![0.2; 12], confirmations: vec![] };
        let Next::Confirm(planned) = samples.next(&rule) else { panic!("suspect") };
        samples.begin_confirmation(planned);
        samples.add(&vec![0.2; planned]);
        let Next::Done(found) = samples.next(&rule) else { panic!("decided") };
        assert_eq!(found.verdict, Verdict::Regressed);
    }
}
