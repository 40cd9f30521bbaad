//! Decides how long to measure, and what the times show. Pure functions of log ratios.
//!
//! A comparison starts with a *screen*. If the screen suspects a change, a *confirmation* follows, in fresh processes
//! and with its own samples. Only a confirmation can report *regressed* or *improved*. It tests the direction that the
//! screen suspects, and an improvement must be as large and as sure as a regression.
//!
//! A confirmation grows until its result is clear. It is tested at the numbers of restarts in `LOOKS`, which are fixed
//! in advance. The level of each test is the run's false-alarm rate divided by the number of comparisons and the number
//! of tests (Bonferroni). The probability that a run without any change reports a regression or an improvement is
//! therefore at most that rate, whatever the screen did and however many tests there were. This assumes that restarts
//! are independent and treat base and head alike.

use serde::{Deserialize, Serialize};

use super::{
    signed_rank,
    verdict::{TimeVerdict, Verdict},
};
use crate::statistics::{Interval, exp, median};

/// Number of restarts with which every comparison begins: the minimum for a 95 % confidence interval.
const SCREEN: usize = 6;
/// Number of restarts after which an undecided screen ends.
const LONGEST_SCREEN: usize = 24;
/// Numbers of restarts at which a confirmation is tested; each is about 1.5 times the one before.
///
/// The first is close to the minimum that can reach the level of the test. There, a single outlier can
/// prevent a verdict; only more restarts outvote it.
const LOOKS: [usize; 7] = [16, 24, 36, 54, 80, 120, 160];
/// Minimum detectable effect, measured from the tested value, as a multiple of the relevant size.
///
/// A change of 5/3 of the relevant size (5 % for 3 %) is likely to be detected. The test is against half the relevant
/// size.
const LIKELY_SEEN: f64 = 5.0 / 3.0 - 0.5;
/// One-sided level of the confidence interval that is shown, and by which the screen decides.
const SHOWN_ALPHA: f64 = 0.025;

/// Definition of a regression and of an improvement of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Growth of time above which a regression is relevant: 0.03 is 3 %. An improvement divides the time by as much.
    pub relevant: f64,
    /// Maximum probability that a whole run without any change reports a regression or an improvement.
    pub false_alarms: f64,
    /// Number of comparisons in the run.
    pub comparisons: usize,
}

impl Rule {
    /// Returns the level of each test of a confirmation.
    pub fn alpha(&self) -> f64 {
        self.false_alarms / (self.comparisons.max(1) * LOOKS.len()) as f64
    }

    /// Returns the numbers of restarts at which a confirmation is tested.
    ///
    /// These are [`LOOKS`], raised where necessary so that the smallest possible p-value stays within the level even if
    /// one or two restarts contradict the others.
    fn looks(&self) -> impl Iterator<Item = usize> {
        let fewest = (-self.alpha().log2()).ceil() as usize + 2;
        LOOKS.into_iter().map(move |look| look.max(fewest))
    }

    fn threshold(&self) -> f64 {
        self.relevant.ln_1p()
    }
}

/// Log ratios head ÷ base so far, one per restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Log ratios of the screen.
    pub screen: Vec<f64>,
    /// Log ratios of the confirmation, if it has begun.
    pub confirmation: Option<Vec<f64>>,
}

/// Next step of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Measure this many more restarts, then ask again.
    Measure(usize),
    /// Begin the confirmation.
    Confirm,
    /// Stop; the comparison is decided.
    Done(TimeVerdict),
}

/// Direction of a change of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Slower,
    Faster,
}

impl Direction {
    /// Returns log ratios as they would be if this direction were *slower*.
    fn seen_from(self, ratios: &[f64]) -> Vec<f64> {
        match self {
            Direction::Slower => ratios.to_vec(),
            Direction::Faster => ratios.iter().map(|ratio| -ratio).collect(),
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Direction::Slower => Verdict::Regressed,
            Direction::Faster => Verdict::Improved,
        }
    }
}

impl Samples {
    /// Decides, or asks for more restarts.
    pub fn next(&self, rule: &Rule) -> Next {
        let threshold = rule.threshold();
        match &self.confirmation {
            Some(ratios) => {
                let is_tested_now = rule.looks().any(|look| look == ratios.len());
                let direction = self.suspected();
                let ratios = direction.seen_from(ratios);
                if is_tested_now && is_slower(&ratios, rule) {
                    self.done(direction.verdict(), rule)
                } else if is_tested_now && centre(&ratios).high <= threshold {
                    self.done(Verdict::Unchanged, rule)
                } else if let Some(look) = rule.looks().find(|look| *look > ratios.len()) {
                    Next::Measure(look - ratios.len())
                } else {
                    self.done(Verdict::Undecided, rule)
                }
            }
            None if self.screen.len() < SCREEN => Next::Measure(SCREEN - self.screen.len()),
            None => {
                let shown = centre(&self.suspected().seen_from(&self.screen));
                if shown.low >= -threshold && shown.high <= threshold {
                    self.done(Verdict::Unchanged, rule)
                } else if self.is_hopeless(rule, shown.estimate) {
                    // The first six restarts may scatter by chance.
                    match self.screen.len() {
                        SCREEN => Next::Measure(SCREEN),
                        _ => self.done(Verdict::Undecided, rule),
                    }
                } else if shown.estimate > threshold / 2.0 && shown.high > threshold {
                    Next::Confirm
                } else if self.screen.len() < LONGEST_SCREEN {
                    Next::Measure(self.screen.len())
                } else {
                    self.done(Verdict::Undecided, rule)
                }
            }
        }
    }

    /// Returns the direction of the screen's estimate, which the confirmation tests.
    fn suspected(&self) -> Direction {
        match centre(&self.screen).estimate < 0.0 {
            true => Direction::Faster,
            false => Direction::Slower,
        }
    }

    /// Adds restarts to the confirmation, or to the screen before it begins.
    pub fn add(&mut self, ratios: &[f64]) {
        self.confirmation.as_mut().unwrap_or(&mut self.screen).extend(ratios);
    }

    /// Begins the confirmation.
    pub fn begin_confirmation(&mut self) {
        self.confirmation = Some(Vec::new());
    }

    /// Returns the verdict of a comparison that is cut short.
    pub fn given_up(&self, rule: &Rule) -> TimeVerdict {
        self.found(Verdict::Undecided, rule)
    }

    fn done(&self, verdict: Verdict, rule: &Rule) -> Next {
        Next::Done(self.found(verdict, rule))
    }

    fn found(&self, verdict: Verdict, rule: &Rule) -> TimeVerdict {
        let fresh = self.confirmation.as_ref();
        let shown = fresh.into_iter().chain([&self.screen]).find(|ratios| !ratios.is_empty());
        let confirming = fresh.map_or(0, Vec::len);
        let change = shown.map(|ratios| exp(centre(ratios))).filter(Interval::is_finite);
        TimeVerdict {
            verdict,
            change,
            is_no_longer: change.is_some_and(|change| change.high <= 1.0 + rule.relevant),
            restarts: self.screen.len() + confirming,
            confirming,
        }
    }

    /// Returns whether even the longest confirmation lacks the power to detect a change of 5/3 of the relevant size or
    /// of the screen's estimate in the suspected direction, whichever is larger.
    fn is_hopeless(&self, rule: &Rule, estimate: f64) -> bool {
        let longest = LOOKS[LOOKS.len() - 1];
        let seen = estimate - rule.threshold() / 2.0;
        self.wanted(rule.threshold() * LIKELY_SEEN.max(seen / rule.threshold())) > longest
    }

    /// Returns the sample size, in restarts, that detects a centre `margin` above the tested value with a power of
    /// 0.98, given the spread of the screen.
    ///
    /// This is a normal approximation; the test itself is exact.
    fn wanted(&self, margin: f64) -> usize {
        // Quantiles of the normal distribution for 1 − 10⁻⁴ (close to the level) and for 0.98 (the power).
        const QUANTILES: f64 = 3.72 + 2.05;
        let middle = median(&self.screen).unwrap_or(0.0);
        let deviations: Vec<f64> = self.screen.iter().map(|ratio| (ratio - middle).abs()).collect();
        // The median absolute deviation of a normal sample is 1/1.4826 of its standard deviation.
        let deviation = 1.4826 * median(&deviations).unwrap_or(0.0);
        (QUANTILES * deviation / margin).powi(2).ceil() as usize
    }
}

/// Returns whether a sample shows a relevant slowdown; the sample size must have been fixed in advance.
fn is_slower(ratios: &[f64], rule: &Rule) -> bool {
    let is_above = signed_rank::p_above(ratios, rule.threshold() / 2.0) <= rule.alpha();
    is_above && centre(ratios).estimate > rule.threshold()
}

/// Returns the centre with the confidence interval that is shown; the interval is infinite without ratios.
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

    /// Decides about restarts with an injected change; the noise is nearly normal, with occasional outliers.
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

    /// Returns the share of comparisons that end with each verdict.
    fn shares(change: f64, noise: f64) -> impl Fn(Verdict) -> f64 {
        const SEEDS: u64 = 150;
        let found: Vec<Verdict> =
            (0..SEEDS).map(|seed| decide(change, noise, seed).verdict).collect();
        move |verdict| {
            let matching = found.iter().filter(|found| **found == verdict);
            matching.count() as f64 / SEEDS as f64
        }
    }

    /// Returns the share of comparisons that end with `verdict`.
    fn share(change: f64, noise: f64, verdict: Verdict) -> f64 {
        shares(change, noise)(verdict)
    }

    #[test]
    fn noise_alone_never_raises_an_alarm_and_is_mostly_decided() {
        for noise in [0.001, 0.01, 0.03, 0.10] {
            let share = shares(0.0, noise);
            assert_eq!(share(Verdict::Regressed), 0.0, "noise {noise}");
            assert_eq!(share(Verdict::Improved), 0.0, "noise {noise}");
            assert!(noise != 0.01 || share(Verdict::Unchanged) > 0.99);
        }
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
    fn irrelevant_changes_do_not_fail() {
        assert!(share(0.015, 0.01, Verdict::Regressed) < 0.002);
        assert!(share(0.01, 0.005, Verdict::Unchanged) > 0.99);
        let between = share(0.03, 0.005, Verdict::Regressed);
        // Either verdict is right; each look is another chance to find the estimate above the threshold.
        assert!((0.2..0.95).contains(&between), "{between}");
        assert!(share(0.025, 0.005, Verdict::Regressed) < 0.05);
    }

    #[test]
    fn injected_speedups_are_improvements() {
        assert!(share(-0.10, 0.01, Verdict::Improved) > 0.99);
        assert!(share(-0.05, 0.01, Verdict::Improved) > 0.98);
        assert_eq!(share(-0.10, 0.10, Verdict::Regressed), 0.0);
    }

    #[test]
    fn irrelevant_speedups_are_no_improvements() {
        assert!(share(-0.015, 0.01, Verdict::Improved) < 0.002);
        assert!(share(-0.024, 0.005, Verdict::Improved) < 0.05);
    }

    #[test]
    fn noise_that_hides_everything_is_undecided() {
        let share = shares(0.0, 0.30);
        // The others are called unchanged, because chance put them on the other side of the threshold.
        assert!(share(Verdict::Undecided) > 0.8);
        assert_eq!((share(Verdict::Regressed), share(Verdict::Improved)), (0.0, 0.0));
    }

    #[test]
    fn hopeless_noise_ends_with_the_screen_unless_the_change_is_just_as_large() {
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
    fn a_screen_alone_cannot_report_a_change() {
        for change in [0.2, -0.2] {
            let mut samples = Samples::default();
            assert_eq!(samples.next(&RULE), Next::Measure(SCREEN));
            samples.add(&[change; SCREEN]);
            assert_eq!(samples.next(&RULE), Next::Confirm);
            samples.begin_confirmation();
            samples.add(&[0.0; LOOKS[0]]);
            let Next::Done(found) = samples.next(&RULE) else { panic!("decided") };
            let restarts = (found.restarts, found.confirming);
            assert_eq!((found.verdict, restarts), (Verdict::Unchanged, (SCREEN + 16, 16)));
            let given_up = Samples { screen: vec![change; 12], confirmation: None }.given_up(&RULE);
            assert_eq!((given_up.verdict, given_up.confirming), (Verdict::Undecided, 0));
        }
    }

    #[test]
    fn a_confirmation_tests_only_the_suspected_direction() {
        let confirmed = |screen: f64, fresh: f64| {
            let confirmation = Some(vec![fresh; LOOKS[0]]);
            let samples = Samples { screen: vec![screen; SCREEN], confirmation };
            let Next::Done(found) = samples.next(&RULE) else { panic!("decided") };
            found.verdict
        };
        assert_eq!(confirmed(0.2, 0.2), Verdict::Regressed);
        assert_eq!(confirmed(-0.2, -0.2), Verdict::Improved);
        assert_eq!(confirmed(0.2, -0.2), Verdict::Unchanged);
        assert_eq!(confirmed(-0.2, 0.2), Verdict::Unchanged);
    }

    #[test]
    fn time_is_no_longer_if_its_upper_bound_is_below_the_relevant_size() {
        let is_no_longer = |ratio: f64| {
            let samples = Samples { screen: vec![ratio; SCREEN], confirmation: None };
            samples.given_up(&RULE).is_no_longer
        };
        assert!(is_no_longer(-0.2) && is_no_longer(0.0) && is_no_longer(0.029));
        assert!(!is_no_longer(0.031));
        let none = Samples { screen: vec![0.0; 2], confirmation: None };
        assert!(!none.given_up(&RULE).is_no_longer, "no interval yet");
    }

    #[test]
    fn a_confirmation_is_tested_only_at_its_looks() {
        let confirming = |ratios: &[f64]| Samples {
            screen: vec![0.2; SCREEN],
            confirmation: Some(ratios.to_vec()),
        };
        assert_eq!(confirming(&[0.2; 3]).next(&RULE), Next::Measure(13));
        let Next::Done(found) = confirming(&[0.2; 16]).next(&RULE) else { panic!("clear") };
        assert_eq!(found.verdict, Verdict::Regressed);
        // One restart far on the other side prevents a verdict at 16 restarts, but not at 24.
        let mut ratios = vec![0.2; 23];
        ratios.insert(0, -0.9);
        assert_eq!(confirming(&ratios[..16]).next(&RULE), Next::Measure(8));
        assert_eq!(confirming(&ratios[..23]).next(&RULE), Next::Measure(1));
        let Next::Done(found) = confirming(&ratios).next(&RULE) else { panic!("clear") };
        assert_eq!(found.verdict, Verdict::Regressed);
        // Evenly spread around 2 %, by 30 % each way: still undecided at the last look.
        let spread = |n: u32| 0.02 + 0.6 * (f64::from(n * 37 % 160) / 160.0 - 0.5);
        let spread: Vec<f64> = (0..160).map(spread).collect();
        let Next::Done(found) = confirming(&spread).next(&RULE) else { panic!("the end") };
        assert_eq!(found.verdict, Verdict::Undecided);
    }

    #[test]
    fn a_confirmation_is_long_enough_for_its_level() {
        // With 10,000 comparisons, even a p-value of 2⁻¹⁶ is too large.
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
