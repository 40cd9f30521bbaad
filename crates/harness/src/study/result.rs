//! What a run found of a study.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gain;
use crate::{
    results::{NamedCause, Objective},
    servers::UsedServer,
    statistics::{Interval, quantile},
};
use worthit_pair::{
    causes::Cause,
    format,
    study::{Pace, SimulatedWait, StudyEntry},
    trial::LoadAtRate,
};

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
    /// What the steps are to hold under load; `None` if they are not put under load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// How long users think between two requests, s; `None` if the rate is searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_s: Option<f64>,
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
    /// How long a request waits, ms…
    pub ms: u64,
    /// …if it is one of these: "checkout"; each request waits if this is empty…
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub only: String,
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
    /// How many times shorter that is than at the step before: the ratio of the medians. `None` at the first step, if there were
    /// too few requests to tell, or if loads judge the steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain: Option<Interval>,
    /// How long a request waits for somebody who is simulated, ns.
    pub simulated_ns: f64,
    /// Counts of a request (the mean over those measured) by the ids of causes.
    #[serde(default)]
    pub counts: BTreeMap<String, f64>,
    /// Why the step is marked: what else the machine did meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// What loads showed, ascending in the number of users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_users: Vec<AtUsers>,
}

/// A step under load, with one number of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtUsers {
    /// How many users.
    pub users: u64,
    /// The loads, in the order in which they were sent; one if users think.
    pub loads: Vec<LoadAtRate>,
    /// How much memory the step's processes held at the end, bytes; `None` if the study does not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Why it is marked: what else the machine did meanwhile.
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

impl StudyResult {
    /// A result of this study without steps.
    pub fn of(study: &StudyEntry) -> StudyResult {
        let cause =
            |cause: &Cause| NamedCause { id: cause.id.to_owned(), label: cause.label.to_owned() };
        let wait = |wait: &SimulatedWait| Wait {
            on: wait.on.to_owned(),
            ms: wait.ms,
            only: wait.only.to_owned(),
            until: wait.until.name.to_owned(),
        };
        StudyResult {
            title: study.title.to_owned(),
            unit: study.unit.to_owned(),
            causes: study.counters().map(cause).collect(),
            waits: study.waits.iter().map(wait).collect(),
            objective: study.loads.map(|loads| Objective {
                p99_us: u64::try_from(loads.p99.as_micros()).expect("no objective is centuries"),
                is_searched: loads.pace == Pace::Capacity,
            }),
            thinking_s: study.loads.and_then(|loads| match loads.pace {
                Pace::Thinking(time) => Some(time.as_secs_f64()),
                Pace::Capacity => None,
            }),
            ..StudyResult::default()
        }
    }

    /// What types cannot say: latencies and rates are positive and finite, and in order.
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
            if step.gain.is_some_and(|gain| !(0.0 < gain.low && gain.low <= gain.high)) {
                let problem = "a gain must be positive, and its interval in order".to_owned();
                return Err((format!("step {}.gain", nth + 1), problem));
            }
            if !(0.0..=p50_ns).contains(&step.simulated_ns) {
                let problem = "a request cannot wait longer than it takes".to_owned();
                return Err((format!("step {}.simulated_ns", nth + 1), problem));
            }
            let loads = step.at_users.iter().flat_map(|at_users| &at_users.loads);
            for load in loads {
                // If no request is answered, there is no latency.
                let is_sound = load.rate > 0.0
                    && load.rate.is_finite()
                    && 0.0 <= load.p50_us
                    && load.p50_us <= load.p99_us
                    && load.p99_us.is_finite()
                    && load.failed <= load.requests;
                if !is_sound {
                    let problem = "a load is impossible".to_owned();
                    return Err((format!("step {}.at_users", nth + 1), problem));
                }
            }
        }
        Ok(())
    }

    /// Whether the last steps are missing. In another order they may be.
    pub fn lacks_steps(&self) -> bool {
        self.is_unfinished && self.other_order.is_empty()
    }

    /// What a reader must know of the figures of a step: that there were few requests, and that the machine was busy.
    pub fn remarks(&self, step: &StepResult) -> Vec<String> {
        let few = match step.latency.requests {
            few @ ..100 => {
                let requests = format::counted(few, &format!("{}s", self.unit));
                let is_too_few = few < gain::LEAST_REQUESTS as u64;
                Some(requests + if is_too_few { ", too few for an interval" } else { "" })
            }
            _ => None,
        };
        let mut marks = step.at_users.iter().filter_map(|at_users| at_users.mark.as_ref());
        let mark = step.mark.as_ref().or_else(|| marks.next_back());
        let few = few.filter(|_| self.objective.is_none());
        few.into_iter().chain(mark.map(|mark| format!("marked: {mark}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{load, of_capacity, of_users, step, study};
    use super::*;

    #[test]
    fn latencies_are_summed_up() {
        let latency = Latency::of((1..=101).map(f64::from).collect()).unwrap();
        let expected = Latency { requests: 101, p50_ns: 51.0, p99_ns: 100.0, max_ns: 101.0 };
        assert_eq!(latency, expected);
        assert_eq!(Latency::of(Vec::new()), None);
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
    fn impossible_loads_are_refused() {
        assert_eq!((of_capacity().check(), of_users().check()), (Ok(()), Ok(())));
        for broken in [
            load(0.0, 1.0, 0),
            load(f64::INFINITY, 1.0, 0),
            load(1.0, f64::NAN, 0),
            load(1.0, 1.0, 1_001),
        ] {
            let mut study = of_users();
            study.steps[1].at_users[2].loads = vec![broken];
            assert_eq!(study.check().unwrap_err().0, "step 2.at_users");
        }
    }
}
