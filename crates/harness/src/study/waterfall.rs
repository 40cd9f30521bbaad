//! What the steps of a study took, and what each fix bought.

use serde::{Deserialize, Serialize};

use crate::{statistics::quantile, terminal};
use worthit_pair::format;

/// The result of one study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyResult {
    /// The study in a few words.
    pub title: String,
    /// What one request is.
    pub unit: String,
    /// The application as it grew, then with one fix more at each step.
    pub steps: Vec<StepResult>,
    /// Why it cannot run on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
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

impl StudyResult {
    /// Returns what the fix of each step but the first bought.
    pub fn bought(&self) -> Vec<Bought> {
        let medians: Vec<f64> = self.steps.iter().map(|step| step.latency.p50_ns).collect();
        let Some((first, last)) = medians.first().zip(medians.last()) else { return Vec::new() };
        let step = |pair: &[f64]| Bought {
            gain: pair[0] / pair[1],
            share: (pair[0] - pair[1]) / (first - last),
        };
        medians.windows(2).map(step).collect()
    }

    /// Returns the gain of all fixes together, with the simulated waits and without them; `None` with fewer than two steps.
    pub fn whole_gain(&self) -> Option<(f64, f64)> {
        let [first, .., last] = &self.steps[..] else { return None };
        let own = |step: &StepResult| step.latency.p50_ns - step.simulated_ns;
        Some((first.latency.p50_ns / last.latency.p50_ns, own(first) / own(last)))
    }

    /// Returns the waterfall as text, no wider than `width` where words allow it.
    pub fn in_text(&self, id: &str, width: usize) -> String {
        let mut text = format!("\n{id}: {}\n", self.title);
        if let Some(reason) = &self.unavailable {
            text += &terminal::wrapped(&format!("  cannot run here: {reason}"), width, 2);
            return text + "\n";
        }
        text += "       p50       p99    gain   share\n";
        let none = || format::NONE.to_owned();
        let bought = self.bought().into_iter().map(Some);
        for (step, bought) in self.steps.iter().zip([None].into_iter().chain(bought)) {
            let [p50, p99] = [step.latency.p50_ns, step.latency.p99_ns].map(format::duration);
            let gain = bought.map_or_else(none, |bought| format::times(bought.gain));
            let share = bought.map_or_else(none, |bought| format!("{:.1} %", 100.0 * bought.share));
            let what = match &step.fix {
                Some(fix) => format!("+ {}: {}", fix.name, fix.title),
                None => "as it grew".to_owned(),
            };
            let requests = match step.latency.requests {
                few @ ..100 => format!(" ({})", format::counted(few, &format!("{}s", self.unit))),
                _ => String::new(),
            };
            let figures = format!("{p50:>10}{p99:>10}{gain:>8}{share:>8}  ");
            let used = terminal::columns(&figures);
            let what =
                terminal::wrapped(&format!("{what}{requests}"), width.saturating_sub(used), 2);
            let below = format!("\n{}", " ".repeat(used));
            text += &figures;
            text += &what.replace('\n', &below);
            text += "\n";
        }
        if let Some((gain, own)) = self.whole_gain() {
            let waits = self.steps[0].simulated_ns;
            let line = format!(
                "A {} takes {} instead of {}: {}. Simulated waits are {} of that; without them it is {}.",
                self.unit,
                format::duration(self.steps[self.steps.len() - 1].latency.p50_ns),
                format::duration(self.steps[0].latency.p50_ns),
                format::times(gain),
                format::duration(waits),
                format::times(own),
            );
            text += &terminal::wrapped(&line, width, 0);
            text += "\n";
        }
        text
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
        }
    }

    fn study() -> StudyResult {
        StudyResult {
            title: "Be quick".to_owned(),
            unit: "transfer".to_owned(),
            steps: vec![
                step(None, 1_000.0, 200.0),
                step(Some("one"), 500.0, 200.0),
                step(Some("two"), 510.0, 200.0),
                step(Some("three"), 10.0, 0.0),
            ],
            unavailable: None,
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
        let bought = study().bought();
        let gains: Vec<f64> = bought.iter().map(|bought| bought.gain).collect();
        assert_eq!(gains, [2.0, 500.0 / 510.0, 51.0]);
        assert!(bought[1].share < 0.0);
        let shares: f64 = bought.iter().map(|bought| bought.share).sum();
        assert!((shares - 1.0).abs() < 1e-12, "{shares}");
        assert_eq!(study().whole_gain(), Some((100.0, 80.0)));
    }

    #[test]
    fn the_text_has_each_step_and_the_whole() {
        let text = study().in_text("studies/bank", 80);
        for words in
            ["as it grew (3 transfers)", "+ two: Do it", "0.980×", "-1.0 %", "100×", "80.0×"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.lines().all(|line| terminal::columns(line) <= 80), "{text}");
        let reason = Some("PostgreSQL is not installed".to_owned());
        let missing = StudyResult { steps: Vec::new(), unavailable: reason, ..study() };
        assert!(missing.in_text("studies/bank", 80).contains("cannot run here: PostgreSQL"));
    }
}
