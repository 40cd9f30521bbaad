//! What the steps of a study took, and what each fix bought.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{results::NamedCause, servers::UsedServer, statistics::quantile, terminal};
use worthit_pair::{format, study::StudyEntry};

/// The result of one study.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StudyResult {
    /// The study in a few words.
    pub title: String,
    /// What one request is.
    pub unit: String,
    /// The quantities counted per request.
    pub causes: Vec<NamedCause>,
    /// The waits that are simulated.
    pub waits: Vec<Wait>,
    /// The servers that it used.
    #[serde(default)]
    pub servers: Vec<UsedServer>,
    /// The application as it grew, then with one fix more at each step; empty if it cannot run on this machine.
    #[serde(default)]
    pub steps: Vec<StepResult>,
    /// The same fixes in another order; empty if the run did not measure it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_order: Vec<StepResult>,
    /// Whether steps are missing, because the run is still going or was interrupted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unfinished: bool,
    /// Why it cannot run on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// A wait for somebody outside who is simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// Who is waited for: "the card network".
    pub on: String,
    /// How long each request waits, ms…
    pub ms: u64,
    /// …until it has the fix of this name.
    pub until: String,
}

/// What requests took at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// The fix that it adds; `None` at the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<NamedFix>,
    /// What a request took.
    pub latency: Latency,
    /// How long a request waits for somebody who is simulated, ns.
    pub simulated_ns: f64,
    /// Counts of a request (the mean over those measured) by the ids of causes.
    #[serde(default)]
    pub counts: BTreeMap<String, f64>,
    /// Why the step is marked: what else the machine did meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// A fix, as results name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFix {
    /// Its name: "pool".
    pub name: String,
    /// The fix in a few words.
    pub title: String,
}

/// Latency of requests that were sent one after another (closed loop), ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many requests.
    pub requests: u64,
    /// The median.
    pub p50_ns: f64,
    /// The 99th percentile, by linear interpolation; of fewer than a hundred requests, it says little more than the maximum.
    pub p99_ns: f64,
    /// The maximum.
    pub max_ns: f64,
}

impl Latency {
    /// Sums up the latencies of requests, ns; `None` without any.
    pub fn of(mut latencies: Vec<f64>) -> Option<Latency> {
        latencies.sort_unstable_by(f64::total_cmp);
        Some(Latency {
            requests: latencies.len() as u64,
            max_ns: *latencies.last()?,
            p50_ns: quantile(&latencies, 0.5),
            p99_ns: quantile(&latencies, 0.99),
        })
    }
}

/// What one fix bought, of the time of a request at the step before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bought {
    /// Median before / median after.
    pub gain: f64,
    /// The part that it took off, of all that the fixes took off together; negative if it made requests slower.
    pub share: f64,
}

/// What fixes bought together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Whole {
    /// The median at the first step, ns.
    pub first_ns: f64,
    /// The median at the last step, ns.
    pub last_ns: f64,
    /// The simulated waits of the first step, ns.
    pub simulated_ns: f64,
    /// The gain of all fixes together…
    pub gain: f64,
    /// …and without the simulated waits.
    pub own_gain: f64,
}

/// Returns what the fix of each step but the first bought.
pub fn bought(steps: &[StepResult]) -> Vec<Bought> {
    let medians: Vec<f64> = steps.iter().map(|step| step.latency.p50_ns).collect();
    let Some((first, last)) = medians.first().zip(medians.last()) else { return Vec::new() };
    let step = |pair: &[f64]| Bought {
        gain: pair[0] / pair[1],
        share: (pair[0] - pair[1]) / (first - last),
    };
    medians.windows(2).map(step).collect()
}

/// Returns what the fixes of some steps bought together; `None` with fewer than two steps.
pub fn whole(steps: &[StepResult]) -> Option<Whole> {
    let [first, .., last] = steps else { return None };
    let own = |step: &StepResult| step.latency.p50_ns - step.simulated_ns;
    let (first_ns, last_ns) = (first.latency.p50_ns, last.latency.p50_ns);
    let (gain, own_gain) = (first_ns / last_ns, own(first) / own(last));
    Some(Whole { first_ns, last_ns, simulated_ns: first.simulated_ns, gain, own_gain })
}

impl StudyResult {
    /// A result of this study without steps.
    pub fn of(study: &StudyEntry) -> StudyResult {
        let cause = |cause: &worthit_pair::causes::Cause| NamedCause {
            id: cause.id.to_owned(),
            label: cause.label.to_owned(),
        };
        let wait = |wait: &worthit_pair::study::SimulatedWait| Wait {
            on: wait.on.to_owned(),
            ms: wait.ms,
            until: wait.until.name.to_owned(),
        };
        StudyResult {
            title: study.title.to_owned(),
            unit: study.unit.to_owned(),
            causes: study.counters().map(cause).collect(),
            waits: study.waits.iter().map(wait).collect(),
            ..StudyResult::default()
        }
    }

    /// What types cannot say: latencies are positive, finite and in order.
    ///
    /// # Errors
    /// If they are not, with the field.
    pub fn check(&self) -> Result<(), (String, String)> {
        for (nth, step) in self.steps.iter().chain(&self.other_order).enumerate() {
            let Latency { p50_ns, p99_ns, max_ns, .. } = step.latency;
            let is_sound =
                p50_ns > 0.0 && p50_ns <= p99_ns && p99_ns <= max_ns && max_ns.is_finite();
            if !is_sound {
                let problem = "latencies must be positive, finite and in order".to_owned();
                return Err((format!("step {}.latency", nth + 1), problem));
            }
            if !(0.0..=p50_ns).contains(&step.simulated_ns) {
                let problem = "a request cannot wait longer than it takes".to_owned();
                return Err((format!("step {}.simulated_ns", nth + 1), problem));
            }
        }
        Ok(())
    }

    /// Returns what the fixes bought together in a few words: "8.70 s → 6.30 ms per transfer: 1,381×".
    pub fn headline(&self) -> String {
        match (&self.unavailable, whole(&self.steps)) {
            (Some(reason), _) => format!("cannot run here: {reason}"),
            (None, Some(whole)) => format!(
                "{} → {} per {}: {}{}",
                format::duration(whole.first_ns),
                format::duration(whole.last_ns),
                self.unit,
                format::times(whole.gain),
                if self.lacks_steps() { " (interrupted before the last step)" } else { "" }
            ),
            (None, None) => "not measured".to_owned(),
        }
    }

    /// Returns the waterfall as text, no wider than `width` where words allow it.
    pub fn in_text(&self, id: &str, width: usize) -> String {
        let mut text = format!("{id}: {}\n", self.title);
        if let Some(reason) = &self.unavailable {
            text += &terminal::wrapped(&format!("  cannot run here: {reason}"), width, 2);
            return text + "\n";
        }
        text += &self.steps_in_text(&self.steps, width);
        if let Some(sentence) = self.in_words() {
            text += &terminal::wrapped(&sentence, width, 0);
            text += "\n";
        }
        if !self.other_order.is_empty() {
            text += &format!("\n{id}: the same fixes in another order\n");
            text += &self.steps_in_text(&self.other_order, width);
        }
        text
    }

    /// Returns what the fixes bought together, as sentences; `None` if nothing was measured.
    pub fn in_words(&self) -> Option<String> {
        let whole = whole(&self.steps)?;
        let [first, last, simulated] =
            [whole.first_ns, whole.last_ns, whole.simulated_ns].map(format::duration);
        let mut text = format!(
            "One {} takes {last} instead of {first}: {}.",
            self.unit,
            format::times(whole.gain)
        );
        if whole.simulated_ns > 0.0 {
            let own = format::times(whole.own_gain);
            text += &format!(" Simulated waits are {simulated} of that; without them it is {own}.");
        }
        if self.lacks_steps() {
            text += " The run was interrupted before the last step.";
        }
        Some(text)
    }

    /// Whether the last steps are missing. In another order they may be.
    pub fn lacks_steps(&self) -> bool {
        self.is_unfinished && self.other_order.is_empty()
    }

    fn steps_in_text(&self, steps: &[StepResult], width: usize) -> String {
        let mut text = "       p50       p99    gain   share\n".to_owned();
        let none = || format::NONE.to_owned();
        let bought = bought(steps).into_iter().map(Some);
        for (step, bought) in steps.iter().zip([None].into_iter().chain(bought)) {
            let [p50, p99] = [step.latency.p50_ns, step.latency.p99_ns].map(format::duration);
            let gain = bought.map_or_else(none, |bought| format::times(bought.gain));
            let share = bought.map_or_else(none, Bought::share_in_words);
            let what = match &step.fix {
                Some(fix) => format!("+ {}: {}", fix.name, fix.title),
                None => "as it grew".to_owned(),
            };
            let remarks = self.remarks(step).into_iter().map(|remark| format!(" [{remark}]"));
            let figures = format!("{p50:>10}{p99:>10}{gain:>8}{share:>8}  ");
            let used = terminal::columns(&figures);
            let what = format!("{what}{}", remarks.collect::<String>());
            let what = terminal::wrapped(&what, width.saturating_sub(used), 2);
            let below = format!("\n{}", " ".repeat(used));
            text += &figures;
            text += &what.replace('\n', &below);
            text += "\n";
        }
        text
    }

    /// What a reader must know of the figures of a step: that there were few requests, and that the machine was busy.
    pub fn remarks(&self, step: &StepResult) -> Vec<String> {
        let few = match step.latency.requests {
            few @ ..100 => Some(format::counted(few, &format!("{}s", self.unit))),
            _ => None,
        };
        few.into_iter().chain(step.mark.iter().map(|mark| format!("marked: {mark}"))).collect()
    }
}

impl Bought {
    /// "69.4 %"
    pub fn share_in_words(self) -> String {
        match self.share.is_finite() {
            true => format!("{:.1} %", 100.0 * self.share),
            false => "? %".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(fix: Option<&str>, p50_ms: f64, simulated_ms: f64) -> StepResult {
        StepResult {
            fix: fix.map(|name| NamedFix { name: name.to_owned(), title: "Do it".to_owned() }),
            latency: Latency::of(vec![p50_ms * 1e6; 3]).unwrap(),
            simulated_ns: simulated_ms * 1e6,
            counts: BTreeMap::from([("statements".to_owned(), p50_ms)]),
            mark: None,
        }
    }

    fn study() -> StudyResult {
        StudyResult {
            title: "Be quick".to_owned(),
            unit: "transfer".to_owned(),
            causes: vec![NamedCause {
                id: "statements".to_owned(),
                label: "statements".to_owned(),
            }],
            waits: vec![Wait { on: "mail".to_owned(), ms: 200, until: "three".to_owned() }],
            steps: vec![
                step(None, 1_000.0, 200.0),
                step(Some("one"), 500.0, 200.0),
                step(Some("two"), 510.0, 200.0),
                step(Some("three"), 10.0, 0.0),
            ],
            ..StudyResult::default()
        }
    }

    #[test]
    fn latencies_are_summed_up() {
        let latency = Latency::of((1..=101).map(f64::from).collect()).unwrap();
        let expected = Latency { requests: 101, p50_ns: 51.0, p99_ns: 100.0, max_ns: 101.0 };
        assert_eq!(latency, expected);
        assert_eq!(Latency::of(Vec::new()), None);
    }

    #[test]
    fn shares_add_up_to_the_whole_also_where_a_fix_makes_it_slower() {
        let bought = bought(&study().steps);
        let gains: Vec<f64> = bought.iter().map(|bought| bought.gain).collect();
        assert_eq!(gains, [2.0, 500.0 / 510.0, 51.0]);
        assert!(bought[1].share < 0.0);
        let shares: f64 = bought.iter().map(|bought| bought.share).sum();
        assert!((shares - 1.0).abs() < 1e-12, "{shares}");
        let whole = whole(&study().steps).unwrap();
        assert_eq!((whole.gain, whole.own_gain), (100.0, 80.0));
        assert_eq!(study().headline(), "1.00 s → 10.0 ms per transfer: 100×");
    }

    #[test]
    fn impossible_latencies_are_refused() {
        assert_eq!(study().check(), Ok(()));
        for (p50_ms, simulated_ms) in
            [(0.0, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 0.0), (1.0, 2.0)]
        {
            let mut broken = study();
            broken.other_order = vec![step(None, p50_ms, simulated_ms)];
            let (field, _) = broken.check().unwrap_err();
            assert!(field.starts_with("step 5."), "{p50_ms} {simulated_ms}: {field}");
        }
    }

    #[test]
    fn the_text_has_each_step_and_the_whole() {
        let text = study().in_text("studies/bank", 80);
        for words in
            ["as it grew [3 transfers]", "+ two: Do it", "0.980×", "-1.0 %", "100×", "80.0×"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.lines().all(|line| terminal::columns(line) <= 80), "{text}");
        let reason = Some("PostgreSQL is not installed".to_owned());
        let busy = StepResult { mark: Some("busy".to_owned()), ..step(Some("four"), 9.0, 0.0) };
        let cut = StudyResult { is_unfinished: true, ..study() };
        assert!(cut.headline().ends_with(": 100× (interrupted before the last step)"));
        let again = StudyResult { other_order: vec![step(None, 9.0, 0.0), busy], ..study() };
        let text = again.in_text("studies/bank", 80);
        assert!(text.contains("in another order") && text.contains("[marked: busy]"), "{text}");
        let missing = StudyResult { steps: Vec::new(), unavailable: reason, ..study() };
        assert!(missing.in_text("studies/bank", 80).contains("cannot run here: PostgreSQL"));
    }
}
