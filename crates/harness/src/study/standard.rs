//! By what the steps of a study are judged, and what each fix bought of it.

use serde::Serialize;

use super::{StepResult, StudyResult};
use crate::{capacity::Capacity, statistics::Interval};
use worthit_pair::format;

/// By what the steps of a study are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// The median time of a request, ns. Less is better.
    Latency,
    /// The highest rate at which the objective is met with a number of users, requests a second. More is better.
    Capacity {
        /// How many users: the first number.
        users: u64,
    },
    /// The most users with whom the objective is met. More is better.
    Users,
}

/// What one fix bought, compared with the step before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bought {
    /// How many times better; infinite where the step before held nothing.
    pub gain: f64,
    /// Its interval, if requests tell it.
    pub interval: Option<Interval>,
    /// The part of all that the fixes bought together; negative if it made things worse.
    pub share: f64,
}

/// What the fixes of a study bought together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "judged_by", rename_all = "snake_case")]
pub enum Whole {
    /// The time of a request.
    Latency {
        /// The median at the first step, ns.
        first_ns: f64,
        /// The median at the last step, ns.
        last_ns: f64,
        /// The simulated waits of the first step, ns.
        simulated_ns: f64,
        /// The gain of all fixes together…
        gain: f64,
        /// …and without the simulated waits.
        own_gain: f64,
    },
    /// The capacity at the objective.
    Capacity {
        /// With this number of users.
        users: u64,
        /// At the first step, requests a second; 0 if it misses the objective at any rate that was tried.
        first_per_s: f64,
        /// At the last step.
        last_per_s: f64,
        /// Last ÷ first; `None` if the first step held none.
        gain: Option<f64>,
    },
    /// The most users that are held, of the numbers that were tried.
    Users {
        /// At the first step; 0 if it misses the objective with any number that was tried.
        first: u64,
        /// At the last step.
        last: u64,
        /// Last ÷ first; `None` if the first step held none.
        gain: Option<f64>,
    },
}

impl StudyResult {
    /// Returns by what its steps are judged.
    pub fn standard(&self) -> Standard {
        let first = self.steps.first().and_then(|step| step.at_users.first());
        match (self.objective, first) {
            (Some(objective), Some(first)) if objective.is_searched => {
                Standard::Capacity { users: first.users }
            }
            (Some(_), Some(_)) => Standard::Users,
            _ => Standard::Latency,
        }
    }

    /// Returns the capacity of a step with a number of users; `None` if that was not searched for.
    pub fn capacity(&self, step: &StepResult, users: u64) -> Option<Capacity> {
        let objective = self.objective.filter(|objective| objective.is_searched)?;
        let at_users = step.at_users.iter().find(|at_users| at_users.users == users)?;
        Some(Capacity::of(&at_users.loads, objective.p99()))
    }

    /// Returns the most users that a step holds, none of the smaller numbers of whom it fails; 0 without any.
    pub fn held(&self, step: &StepResult) -> u64 {
        let Some(objective) = self.objective else { return 0 };
        let is_held =
            |load: &worthit_pair::trial::LoadAtRate| load.meets(objective.p99()).unwrap_or(false);
        let held = step.at_users.iter().take_while(|at_users| {
            !at_users.loads.is_empty() && at_users.loads.iter().all(is_held)
        });
        held.last().map_or(0, |at_users| at_users.users)
    }

    /// Returns whether a step holds the most users that were tried, so that it may hold more.
    pub fn holds_all(&self, step: &StepResult) -> bool {
        self.standard() == Standard::Users
            && step.at_users.last().is_some_and(|most| most.users == self.held(step))
    }

    /// Returns the figure by which a step is judged, in the unit of the standard.
    pub fn figure(&self, step: &StepResult) -> f64 {
        match self.standard() {
            Standard::Latency => step.latency.p50_ns,
            Standard::Capacity { users } => {
                self.capacity(step, users).and_then(|capacity| capacity.held).unwrap_or(0.0)
            }
            Standard::Users => self.held(step) as f64,
        }
    }

    /// Returns what the fix of each of these steps but the first bought.
    pub fn bought(&self, steps: &[StepResult]) -> Vec<Bought> {
        let figures: Vec<f64> = steps.iter().map(|step| self.figure(step)).collect();
        let Some((first, last)) = figures.first().zip(figures.last()) else { return Vec::new() };
        let is_less_better = self.standard() == Standard::Latency;
        let step = |(pair, step): (&[f64], &StepResult)| Bought {
            gain: if is_less_better { pair[0] / pair[1] } else { pair[1] / pair[0] },
            interval: step.gain.filter(|_| is_less_better),
            share: (pair[1] - pair[0]) / (last - first),
        };
        figures.windows(2).zip(&steps[1..]).map(step).collect()
    }

    /// Returns each fix of these steps with its name and what it bought.
    pub fn fixes_bought<'a>(
        &self,
        steps: &'a [StepResult],
    ) -> impl Iterator<Item = (&'a str, Bought)> + use<'a> {
        let names = steps.iter().filter_map(|step| Some(step.fix.as_ref()?.name.as_str()));
        names.zip(self.bought(steps))
    }

    /// Returns what the fixes bought together; `None` with fewer than two steps.
    pub fn whole(&self) -> Option<Whole> {
        let [first, .., last] = &self.steps[..] else { return None };
        let figures = (self.figure(first), self.figure(last));
        let gain = Some(figures.1 / figures.0).filter(|gain| gain.is_finite());
        Some(match self.standard() {
            Standard::Latency => {
                let own = |step: &StepResult| step.latency.p50_ns - step.simulated_ns;
                Whole::Latency {
                    first_ns: figures.0,
                    last_ns: figures.1,
                    simulated_ns: first.simulated_ns,
                    gain: figures.0 / figures.1,
                    own_gain: own(first) / own(last),
                }
            }
            Standard::Capacity { users } => {
                Whole::Capacity { users, first_per_s: figures.0, last_per_s: figures.1, gain }
            }
            Standard::Users => {
                Whole::Users { first: figures.0 as u64, last: figures.1 as u64, gain }
            }
        })
    }
}

impl Bought {
    /// "4.47×"; "from none" where the step before held nothing.
    pub fn gain_in_words(self) -> String {
        if self.gain.is_finite() {
            format::times(self.gain)
        } else if self.gain.is_nan() {
            format::NONE.to_owned()
        } else {
            "from none".to_owned()
        }
    }

    /// "4.47× (4.31…4.60)"; without an interval where requests do not tell it.
    pub fn gain_with_interval(self) -> String {
        self.interval.map_or_else(|| self.gain_in_words(), |interval| interval.as_gain())
    }

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
    use super::super::made::{of_capacity, of_users, study};
    use super::*;

    #[test]
    fn shares_add_up_to_the_whole_also_where_a_fix_makes_it_slower() {
        let study = study();
        let bought = study.bought(&study.steps);
        let gains: Vec<f64> = bought.iter().map(|bought| bought.gain).collect();
        assert_eq!(gains, [2.0, 500.0 / 510.0, 51.0]);
        assert!(bought[1].share < 0.0);
        for study in [study, of_capacity(), of_users()] {
            let shares: f64 = study.bought(&study.steps).iter().map(|bought| bought.share).sum();
            assert!((shares - 1.0).abs() < 1e-12, "{shares}");
        }
    }

    #[test]
    fn a_gain_is_said_with_its_interval_where_requests_tell_it() {
        let mut study = study();
        study.steps[1].gain = Some(Interval { low: 1.9, estimate: 2.0, high: 2.2 });
        let bought = study.bought(&study.steps);
        let words: Vec<String> = bought.into_iter().map(Bought::gain_with_interval).collect();
        assert_eq!(words, ["2.00× (1.90…2.20)", "0.980×", "51.0×"]);
    }

    #[test]
    fn the_whole_is_the_first_step_against_the_last() {
        let whole = |study: StudyResult| study.whole().unwrap();
        assert_eq!(
            whole(study()),
            Whole::Latency {
                first_ns: 1e9,
                last_ns: 1e7,
                simulated_ns: 2e8,
                gain: 100.0,
                own_gain: 80.0
            }
        );
        assert_eq!(
            whole(of_capacity()),
            Whole::Capacity { users: 20, first_per_s: 10.0, last_per_s: 400.0, gain: Some(40.0) }
        );
        assert_eq!(whole(of_users()), Whole::Users { first: 10, last: 1_000, gain: Some(100.0) });
        let mut none = of_users();
        none.steps[0].at_users.remove(0);
        assert_eq!(whole(none), Whole::Users { first: 0, last: 1_000, gain: None });
    }

    #[test]
    fn more_is_better_of_capacities_and_users_and_what_was_not_held_is_no_number() {
        let gains = |study: StudyResult| {
            let bought = study.bought(&study.steps);
            bought.into_iter().map(Bought::gain_in_words).collect::<Vec<_>>()
        };
        assert_eq!(gains(of_capacity()), ["4.00×", "10.0×"]);
        assert_eq!(gains(of_users()), ["10.0×", "10.0×"]);
        let mut study = of_capacity();
        for step in &mut study.steps {
            step.at_users.remove(0);
        }
        assert_eq!(gains(study.clone()), ["from none", "5.00×"]);
        study.steps[1] = study.steps[0].clone();
        assert_eq!(gains(study), ["–", "from none"]);
    }

    #[test]
    fn a_number_of_users_is_held_if_all_smaller_ones_are() {
        let mut study = of_users();
        assert_eq!(
            study.steps.iter().map(|step| study.held(step)).collect::<Vec<_>>(),
            [10, 100, 1_000]
        );
        let last = study.steps.len() - 1;
        let load = &mut study.steps[last].at_users[1].loads[0];
        (load.is_void, load.lag_p99_us) = (true, 1e6);
        assert_eq!(study.held(&study.steps[last]), 10);
    }
}
