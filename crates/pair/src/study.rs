//! The definition of a study: an application as it grew, and the fixes that made it fast, one after the other.
//!
//! A study is to an application what a [pair](crate::pair) is to a function. Its steps form a chain: the application as it
//! grew, then with one fix more at each step. Every step answers the same requests with the same effects, and any set of
//! fixes is a working application, so that their order can be another one.

use std::{fmt, ops::Deref, time::Duration};

use worthit_servers::{Missing, Program};

use crate::{
    answer::Disagreement,
    causes::Cause,
    helper::Control,
    inputs::MeasuredInputs,
    pair::{Case, Unavailable},
    trial::{Role, Runner, Trial, Unproven},
};

/// An application, and what was done about it.
#[derive(Debug)]
pub struct Study {
    /// The fix of the whole in a few words, in the imperative: "Book a transfer in milliseconds".
    pub title: &'static str,
    /// What the application does and how it came to be slow.
    pub story: &'static str,
    /// What a request is, and what the application holds: sizes, distribution.
    pub workload: &'static str,
    /// What every step keeps, checked by its proof.
    pub contract: &'static str,
    /// What one request is, singular: "transfer".
    pub unit: &'static str,
    /// The size of a request when it is measured: [`Case::point`].
    pub size: u64,
    /// The fixes, in the order in which they are applied.
    pub fixes: &'static [&'static Fix],
    /// Another order of the same fixes, whose shares differ.
    pub other_order: &'static [&'static Fix],
    /// The waits that are simulated.
    pub waits: &'static [SimulatedWait],
    /// The servers that the application uses.
    pub servers: &'static [Program],
    /// What it runs on where one of them is not installed; `None` if it then does not run.
    pub instead: Option<StandIn>,
    /// What a request costs the application, exactly: the first counters of [`Application::count`].
    pub causes: &'static [Cause],
    /// What it costs, as far as it also depends on what went before: the other counters.
    pub observations: &'static [Cause],
    /// The open-loop loads that each step is put under; `None` if one request after another says it all.
    pub loads: Option<UserLoads>,
    /// What a process does that the study has started with [`helper::start`](crate::helper::start); `None` if it starts none.
    pub helper: Option<fn(Control)>,
    /// Builds the application with each of these sets of fixes, and its requests. Its number of users, where it has loads, is
    /// [`Case::level`]. Reads once what the application holds, so that no step finds it cold. Not timed.
    pub prepare: fn(&Case, &[Applied]) -> Result<Application, Unavailable>,
}

impl Study {
    /// Returns what it runs on here instead of its servers, and which of these is not installed; `None` if it uses them, or
    /// cannot do without them.
    ///
    /// A server that is installed or named, but does not answer, is no reason to run on something else.
    pub fn stand_in(&self) -> Option<(StandIn, Program)> {
        let stand_in = self.instead?;
        self.servers.iter().find_map(|program| match worthit_servers::server(*program) {
            Err(Missing::NotInstalled(missing)) => Some((stand_in, missing)),
            _ => None,
        })
    }

    /// Returns why it cannot run here: a server is missing, and nothing stands in for it.
    pub fn missing_server(&self) -> Option<Missing> {
        if self.stand_in().is_some() {
            return None;
        }
        self.servers.iter().find_map(|program| worthit_servers::server(*program).err())
    }
}

/// What a study runs on, in the process, where a server is not installed.
#[derive(Clone, Copy, Debug)]
pub struct StandIn {
    /// Its name: "SQLite".
    pub name: &'static str,
    /// Returns its version.
    pub version: fn() -> &'static str,
}

/// A study in its family, with its id.
#[derive(Debug)]
pub struct StudyEntry {
    /// Its id, `family/name`. It stays the same, as reviews link to it.
    pub id: &'static str,
    study: &'static Study,
}

impl StudyEntry {
    #[doc(hidden)]
    pub const fn new(id: &'static str, study: &'static Study) -> StudyEntry {
        StudyEntry { id, study }
    }

    /// Returns everything that is counted, in the order of [`Application::count`].
    pub fn counters(&self) -> impl Iterator<Item = &'static Cause> {
        self.causes.iter().chain(self.observations)
    }

    /// Returns the second half of the id: `bank`.
    pub fn name(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(_, name)| name)
    }
}

impl Deref for StudyEntry {
    type Target = Study;
    fn deref(&self) -> &Study {
        self.study
    }
}

/// The loads of an application with several numbers of users.
#[derive(Clone, Copy, Debug)]
pub struct UserLoads {
    /// Numbers of users. An application is built for each; the first one is also asked one request after another.
    pub users: &'static [u64],
    /// Further numbers, in a deep run.
    pub deep: &'static [u64],
    /// The objective: the 99th percentile of latency, from the intended start, is at most this, and no request fails.
    pub p99: Duration,
    /// How often they ask.
    pub pace: Pace,
}

/// How often users ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As often as the application can answer at the objective: the capacity is searched for.
    Capacity,
    /// Each after it has thought for this long on average. The question is how many users the application holds.
    Thinking(Duration),
}

impl UserLoads {
    /// Returns the requests a second of a number of users who think between them; `None` if they are searched for.
    pub fn rate(&self, users: u64) -> Option<f64> {
        match self.pace {
            Pace::Capacity => None,
            Pace::Thinking(time) => Some(users as f64 / time.as_secs_f64()),
        }
    }
}

/// The steps of an application, ready to serve.
pub struct Application {
    /// The steps, as [`trial`] makes them the sides of a trial. Where the study has loads, so has each step
    /// ([`Trial::loads_of`]).
    pub trial: Trial,
    /// Reads the counters of [`Study::causes`] and then of [`Study::observations`], in their order: all requests so far, of
    /// all steps together. What stands in for a server may lack the last of them. Reading them makes no request slower.
    pub count: Box<dyn Fn() -> Vec<u64>>,
    /// Returns how much memory the processes of a step hold, which is named by its place, in bytes; `None` if that is not the
    /// question.
    pub memory: Option<Box<dyn Fn(usize) -> u64>>,
}

impl Application {
    /// Checks every size and compares the answers of every step to every input, as [`Trial::prove`] does. A step answers all
    /// inputs before the next one begins, as its beginning may take long.
    ///
    /// # Errors
    /// If an input has another size than `claimed`, or a step disagrees with the first one.
    pub fn prove(&mut self, claimed: u64) -> Result<(), Unproven> {
        let trial = &mut self.trial;
        trial.check_size(claimed)?;
        let inputs = 0..trial.inputs();
        let first: Vec<_> = inputs.clone().map(|input| trial.answer(Role::Naive, input)).collect();
        for role in trial.roles().into_iter().skip(1) {
            for (input, first) in inputs.clone().zip(&first) {
                let other = trial.answer(role, input);
                if !first.equals(&*other) {
                    return Err(Disagreement::between(&**first, role.in_words(), &*other).into());
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Application").field("trial", &self.trial).finish_non_exhaustive()
    }
}

/// One change to the application, in a file of its own, with the functions `before` and `after`.
#[derive(Debug)]
pub struct Fix {
    /// Its name in ids and tables, one word: "pool".
    pub name: &'static str,
    /// The fix in a few words, in the imperative: "Keep connections in a pool".
    pub title: &'static str,
    /// Why it makes a request faster, and when it does not.
    pub why: &'static str,
    /// What it costs.
    pub costs: &'static str,
    /// Source text of its file.
    pub source: &'static str,
}

/// A wait for somebody outside who is simulated.
#[derive(Debug)]
pub struct SimulatedWait {
    /// Who is waited for: "the card network".
    pub on: &'static str,
    /// How long a request waits, ms…
    pub ms: u64,
    /// …if it is one of these: "checkout"; each request waits if this is empty…
    pub only: &'static str,
    /// …until this fix.
    pub until: &'static Fix,
}

/// The fixes that a step has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied(Vec<&'static str>);

impl Applied {
    /// Returns whether the step has this fix.
    pub fn has(&self, fix: &Fix) -> bool {
        self.0.contains(&fix.name)
    }

    /// Returns the steps of an order: none of the fixes, the first, the first two, …, all of them.
    pub fn steps(order: &[&'static Fix]) -> Vec<Applied> {
        let names: Vec<&'static str> = order.iter().map(|fix| fix.name).collect();
        (0..=names.len()).map(|count| Applied(names[..count].to_vec())).collect()
    }

    /// Returns every set of these fixes, from none to all.
    pub fn sets(fixes: &[&'static Fix]) -> Vec<Applied> {
        let chosen = |bits: u32| {
            let fixes = fixes.iter().enumerate().filter(|(place, _)| bits & (1 << place) != 0);
            Applied(fixes.map(|(_, fix)| fix.name).collect())
        };
        (0..1 << fixes.len()).map(chosen).collect()
    }
}

/// Makes a trial of the steps of an application, at least two, in their order: the first one is the naive side, the last one
/// the optimized side.
///
/// # Panics
/// If there are fewer.
pub fn trial(measured: MeasuredInputs, steps: Vec<impl Runner + 'static>) -> Trial {
    let mut steps = steps;
    let last = steps.pop().expect("a study has a last step");
    let mut steps = steps.into_iter();
    let first = steps.next().expect("a study has a first step");
    steps.fold(Trial::new(measured, first, last), Trial::alternative)
}

/// Returns the role of a step, from 0, among `steps` in the trial that [`trial`] makes.
pub fn role(step: usize, steps: usize) -> Role {
    match step {
        0 => Role::Naive,
        last if last + 1 == steps => Role::Optimized,
        between => Role::Alternative(between as u8 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inputs::Inputs, trial::by_ref};

    const ONE: Fix = Fix { name: "one", title: "", why: "", costs: "", source: "" };
    const TWO: Fix = Fix { name: "two", ..ONE };

    #[test]
    fn steps_apply_one_fix_more_each() {
        let has = |applied: &Applied| [applied.has(&ONE), applied.has(&TWO)];
        let steps: Vec<_> = Applied::steps(&[&TWO, &ONE]).iter().map(has).collect();
        assert_eq!(steps, [[false, false], [false, true], [true, true]]);
        let sets: Vec<_> = Applied::sets(&[&ONE, &TWO]).iter().map(has).collect();
        assert_eq!(sets, [[false, false], [true, false], [false, true], [true, true]]);
    }

    #[test]
    fn users_who_think_ask_as_often_as_they_have_thought() {
        let loads = UserLoads {
            users: &[1],
            deep: &[],
            p99: Duration::from_millis(1),
            pace: Pace::Thinking(Duration::from_secs(30)),
        };
        assert_eq!(loads.rate(9_000), Some(300.0));
        assert_eq!(UserLoads { pace: Pace::Capacity, ..loads }.rate(9_000), None);
    }

    #[test]
    fn the_roles_are_those_of_the_trial() {
        let inputs = Inputs::one(7_u64);
        for count in 2..5 {
            let steps = (0..count as u64).map(|step| by_ref(&inputs, move |input| input + step));
            let mut trial = trial(inputs.measured(|input| *input), steps.collect());
            for step in 0..count {
                let answer = trial.answer(role(step, count), 0);
                assert!(answer.equals(&(7 + step as u64)), "{step} of {count}");
            }
        }
    }
}
