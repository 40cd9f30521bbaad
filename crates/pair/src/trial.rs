//! Trials: a pair prepared at one case. The modules below have the only timing loops of pairs.
//!
//! A [`Trial`] holds one runner per side. The types of inputs and answers are erased per *batch*: inside
//! [`Trial::measure`] the loop over iterations calls the side directly, so the harness adds nothing to an
//! iteration but the step to the next input. `black_box`, drops, resets, runtime entry, spawning and barriers are used
//! only here. All of them are off the clock, unless a shape says otherwise.
//!
//! Each shape of side has a function that makes its runner: [`by_ref`], [`under_contract`], [`by_value`],
//! [`resetting`], [`changing`], [`asynchronous`], [`pooled`], [`contended`] and [`open_loop`]. [`on_first_use`]
//! defers making a runner of any shape. Each takes the [`Inputs`](crate::inputs::Inputs) that its iterations rotate through.

mod open_loop;
mod role;
mod runner;
mod shapes;
mod threads;

use std::{any::Any, fmt, fmt::Debug, time::Duration};

pub use open_loop::{
    Answered, LoadAtRate, Loads, MIN_LATENCY_SAMPLES, OpenLoop, Part, at_leisure, at_rates,
    open_loop,
};
pub use role::{NoSuchRole, Role};
pub use runner::{Runner, Window};
pub use shapes::{
    asynchronous, by_ref, by_value, changing, on_first_use, resetting, under_contract,
};
pub use threads::{contended, pooled};

use crate::{
    answer::{Disagreement, ErasedAnswer},
    causes::{self, Counts, NotCounting},
    inputs::MeasuredInputs,
    plans::{self, Plan},
    unavailable::Unavailable,
};

/// A pair prepared at one case.
///
/// A pair's `prepare` makes it with [`Trial::new`] and adds the units of work, peers and alternatives.
pub struct Trial {
    inputs: MeasuredInputs,
    units: u64,
    sides: Vec<(Role, Box<dyn Runner>)>,
    loads: Vec<(Role, Box<dyn Loads>)>,
    plans: Vec<(Role, Plan)>,
}

impl Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles = self.roles();
        f.debug_struct("Trial").field("units", &self.units).field("sides", &roles).finish()
    }
}

/// The size of an input that does not have the size that its case claims.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the case claims {claimed} on its axis, but input {input} of {inputs} measures {actual}")]
pub struct WrongSize {
    /// The case's point on the axis.
    pub claimed: u64,
    /// The size of the input itself.
    pub actual: u64,
    /// Its place in the rotation, from 1.
    pub input: usize,
    /// Number of inputs.
    pub inputs: usize,
}

/// Why a trial is not proven.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// An input does not have the size that the case claims.
    #[error(transparent)]
    WrongSize(#[from] WrongSize),
    /// Two sides disagree.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// A side has inputs of its own that are not those of the trial.
    #[error("{side} rotates through {rotates} inputs, but the trial measured {measured}")]
    OtherInputs {
        /// The side: "the optimized side".
        side: &'static str,
        /// Number of inputs that it rotates through.
        rotates: usize,
        /// Number of inputs of the trial.
        measured: usize,
    },
    /// The proof was to count, and this binary does not.
    #[error(transparent)]
    NotCounting(#[from] NotCounting),
}

/// Returns the counts of one side among those that [`Trial::prove_and_count`] returns; `None` if there are none.
pub fn counts_of(counted: &[(Role, Counts)], role: Role) -> Option<&Counts> {
    counted.iter().find(|(other, _)| *other == role).map(|(_, counts)| counts)
}

impl Trial {
    /// Makes a trial of two sides. The inputs come with their sizes ([`Inputs::measured`](crate::inputs::Inputs::measured)): each must have the size that
    /// the case claims. A side may have them in a form of its own ([`Inputs::map`](crate::inputs::Inputs::map)).
    pub fn new(
        inputs: MeasuredInputs,
        naive: impl Runner + 'static,
        optimized: impl Runner + 'static,
    ) -> Trial {
        let sides: Vec<(Role, Box<dyn Runner>)> =
            vec![(Role::Naive, Box::new(naive)), (Role::Optimized, Box::new(optimized))];
        Trial { inputs, units: 1, sides, loads: Vec::new(), plans: Vec::new() }
    }

    /// Sets how many units of work one iteration does, on all sides alike. The default is 1.
    pub fn units(mut self, units: u64) -> Trial {
        self.units = units.max(1);
        self
    }

    /// Adds the next crate of [`Pair::peers`](crate::pair::Pair::peers).
    pub fn peer(self, runner: impl Runner + 'static) -> Trial {
        let place = self.sides.iter().filter(|(role, _)| matches!(role, Role::Peer(_))).count();
        self.beside(Role::Peer(place as u8), runner)
    }

    /// Adds the next one of [`Pair::alternatives`](crate::pair::Pair::alternatives).
    pub fn alternative(self, runner: impl Runner + 'static) -> Trial {
        let is_alternative = |(role, _): &&(Role, _)| matches!(role, Role::Alternative(_));
        let place = self.sides.iter().filter(is_alternative).count();
        self.beside(Role::Alternative(place as u8), runner)
    }

    fn beside(mut self, role: Role, runner: impl Runner + 'static) -> Trial {
        self.sides.push((role, Box::new(runner)));
        self
    }

    /// Adds what sends open-loop loads to the naive and the optimized side ([`at_rates`]), for
    /// [`Pair::under_load`](crate::pair::Pair::under_load).
    pub fn under_load(self, naive: impl Loads + 'static, optimized: impl Loads + 'static) -> Trial {
        self.loads_of(Role::Naive, naive).loads_of(Role::Optimized, optimized)
    }

    /// Adds what sends open-loop loads to one side.
    pub fn loads_of(mut self, role: Role, loads: impl Loads + 'static) -> Trial {
        self.loads.push((role, Box::new(loads)));
        self
    }

    /// Drops what sends loads to a side, with its connections.
    pub fn end_loads(&mut self, role: Role) {
        self.loads.retain(|(other, _)| *other != role);
    }

    /// Sends `requests` requests to a side at random times, `rate` a second on average; `None` if the trial has nothing that
    /// sends them.
    ///
    /// # Errors
    /// If the side cannot be connected to.
    pub fn send(
        &mut self,
        role: Role,
        rate: f64,
        requests: u64,
        seed: u64,
    ) -> Result<Option<LoadAtRate>, Unavailable> {
        let loads = self.loads.iter_mut().find(|(other, _)| *other == role);
        loads.map(|(_, loads)| loads.send(rate, requests, seed)).transpose()
    }

    /// Returns the roles of the sides that this trial can run, the naive and the optimized one first.
    pub fn roles(&self) -> Vec<Role> {
        self.sides.iter().map(|(role, _)| *role).collect()
    }

    /// Returns the units of work in one iteration.
    pub fn units_per_iteration(&self) -> u64 {
        self.units
    }

    /// Returns how many inputs the sides rotate through.
    pub fn inputs(&self) -> usize {
        self.inputs.sizes.len()
    }

    /// Returns the [`Inputs`](crate::inputs::Inputs) of the pair's own type, which its traps check.
    pub fn erased_inputs(&self) -> &dyn Any {
        self.inputs.inputs.as_ref()
    }

    /// Returns how many threads a side keeps busy; 1 if the trial has no such side.
    pub fn threads(&self, role: Role) -> usize {
        let side = self.sides.iter().find(|(other, _)| *other == role);
        side.map_or(1, |(_, runner)| runner.threads())
    }

    /// Returns how many threads the naive or the optimized side keeps busy, whichever is more.
    pub fn most_threads(&self) -> usize {
        self.threads(Role::Naive).max(self.threads(Role::Optimized))
    }

    /// Pins each thread of each side to a core of its own from now on, as far as [`Runner::spread`] can.
    pub fn spread(&mut self) {
        self.sides.iter_mut().for_each(|(_, runner)| runner.spread());
    }

    /// Runs `iterations` iterations of one side and returns the time spent in the side itself.
    ///
    /// # Panics
    /// If the trial has no such side.
    pub fn measure(&mut self, role: Role, iterations: u64) -> Duration {
        self.runner(role).measure(iterations)
    }

    /// Returns and clears what one side observed while it was measured since the last call; see
    /// [`Runner::observations`].
    ///
    /// # Panics
    /// If the trial has no such side.
    pub fn observations(&mut self, role: Role) -> Vec<(&'static str, f64)> {
        self.runner(role).observations()
    }

    /// Makes the sides of these roles that [`on_first_use`] has deferred until now.
    ///
    /// # Errors
    /// If a side cannot be made on this machine.
    pub fn make_ready(&mut self, roles: &[Role]) -> Result<(), Unavailable> {
        roles.iter().try_for_each(|role| self.runner(*role).make_ready())
    }

    /// Runs `iterations` untimed iterations of one side.
    pub fn warm_up(&mut self, role: Role, iterations: u64) {
        self.runner(role).warm_up(iterations);
    }

    /// Checks that every input has the size that the case claims.
    ///
    /// # Errors
    /// If one has another size.
    pub fn check_size(&self, claimed: u64) -> Result<(), WrongSize> {
        let sizes = &self.inputs.sizes;
        let wrong = sizes.iter().enumerate().find(|(_, size)| **size != claimed);
        wrong.map_or(Ok(()), |(place, actual)| {
            Err(WrongSize { claimed, actual: *actual, input: place + 1, inputs: sizes.len() })
        })
    }

    /// Checks every size, runs every side once on every input and compares the answers.
    ///
    /// # Errors
    /// If an input has another size than `claimed`, a side disagrees with the naive one, or a side has other inputs.
    pub fn prove(&mut self, claimed: u64) -> Result<(), Unproven> {
        self.compare(claimed, |trial, role, input| Ok(trial.answer(role, input)))
    }

    /// Proves as [`Trial::prove`] does, and returns the counts of the causes of each side: the sums over one iteration
    /// on each input. What is built lazily is built by an iteration before, on the first input, that is not counted.
    ///
    /// # Errors
    /// If the proof fails, or this binary does not count (see [`crate::counting_binary`]).
    pub fn prove_and_count(&mut self, claimed: u64) -> Result<Vec<(Role, Counts)>, Unproven> {
        let mut counted = self.roles().into_iter().map(|role| (role, Counts::default())).collect();
        for role in self.roles() {
            drop(self.answer(role, 0));
        }
        self.compare(claimed, |trial, role, input| {
            let (answer, counts) = trial.counted(role, input, &Window::COUNTED)?;
            let sides: &mut Vec<(Role, Counts)> = &mut counted;
            sides.iter_mut().filter(|(of, _)| *of == role).for_each(|(_, sum)| sum.add(&counts));
            Ok(answer)
        })?;
        Ok(counted)
    }

    /// Returns the query plans of the statements that a side ran while it was counted, in that order.
    pub fn plans(&self, role: Role) -> Vec<Plan> {
        let of_side = self.plans.iter().filter(|(other, _)| *other == role);
        of_side.map(|(_, plan)| plan.clone()).collect()
    }

    /// Checks every size and compares the answers of every side, which `answer` gets.
    fn compare(
        &mut self,
        claimed: u64,
        mut answer: impl FnMut(&mut Trial, Role, usize) -> Result<Box<dyn ErasedAnswer>, Unproven>,
    ) -> Result<(), Unproven> {
        self.check_size(claimed)?;
        let measured = self.inputs();
        for input in 0..measured {
            let naive = answer(self, Role::Naive, input)?;
            for role in self.roles().into_iter().skip(1) {
                let other = answer(self, role, input)?;
                if !naive.equals(other.as_ref()) {
                    let side = role.in_words();
                    return Err(Disagreement::between(&*naive, side, &*other).into());
                }
            }
        }
        // A side that is made on its first use has no inputs before.
        for (role, runner) in &self.sides {
            let (side, rotates) = (role.in_words(), runner.inputs());
            if rotates != measured {
                return Err(Unproven::OtherInputs { side, rotates, measured });
            }
        }
        Ok(())
    }

    /// Returns the answer of one side to the input at this place in the rotation.
    ///
    /// # Panics
    /// If the trial has no such side or input.
    pub fn answer(&mut self, role: Role, input: usize) -> Box<dyn ErasedAnswer> {
        self.runner(role).answer(input, &Window::UNOBSERVED)
    }

    /// Runs one iteration of one side, on the first input, inside a window.
    ///
    /// # Panics
    /// If the trial has no such side.
    pub fn run_in(&mut self, role: Role, window: &Window) {
        drop(self.runner(role).answer(0, window));
    }

    /// Returns the naive side's answers to all inputs as `Debug` prints them, to compare two builds on the same inputs.
    pub fn printed_answers(&mut self) -> String {
        (0..self.inputs()).map(|input| format!("{:?}\n", self.answer(Role::Naive, input))).collect()
    }

    /// Counts the causes of one side in a window that counts: the sums over one iteration on each input. The answers are
    /// not checked: prove the trial first, which also builds what is built lazily.
    ///
    /// # Errors
    /// If this binary does not count (see [`crate::counting_binary`]).
    pub fn count_in(&mut self, role: Role, window: &Window) -> Result<Counts, NotCounting> {
        let mut total = Counts::default();
        for input in 0..self.inputs() {
            let (answer, counts) = self.counted(role, input, window)?;
            drop(answer);
            total.add(&counts);
        }
        Ok(total)
    }

    /// Returns the answer of one side to one input, and what was counted meanwhile.
    fn counted(
        &mut self,
        role: Role,
        input: usize,
        window: &Window,
    ) -> Result<(Box<dyn ErasedAnswer>, Counts), NotCounting> {
        causes::require_counting()?;
        let runner = self.runner(role);
        let answer = runner.answer(input, window);
        let mut counts = causes::take_window();
        runner.count(input, &mut counts);
        for plan in plans::take() {
            let planned = (role, plan);
            if !self.plans.contains(&planned) {
                self.plans.push(planned);
            }
        }
        Ok((answer, counts))
    }

    fn runner(&mut self, role: Role) -> &mut dyn Runner {
        let side = self.sides.iter_mut().find(|(other, _)| *other == role);
        side.unwrap_or_else(|| panic!("this trial has no {role}")).1.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{answer::Answer, inputs::Inputs};

    fn trial<A: Answer>(
        inputs: &Inputs<Vec<u64>>,
        optimized: impl Fn(&Vec<u64>) -> A + 'static,
    ) -> Trial {
        let naive = by_ref(inputs, |items: &Vec<u64>| items.clone());
        Trial::new(inputs.measured(|items| items.len() as u64), naive, by_ref(inputs, optimized))
    }

    #[test]
    fn an_injected_wrong_answer_is_caught_and_both_answers_are_shown() {
        // Only the second input shows it.
        let inputs = Inputs::rotating([vec![0_u64; 10_000], vec![1; 10_000]]);
        let mut trial = trial(&inputs, |items| {
            let mut wrong = items.clone();
            wrong[9_000] *= 2;
            wrong
        });
        let message = trial.prove(10_000).unwrap_err().to_string();
        assert!(message.contains("naive: …"), "{message}");
        assert!(message.contains("1, 2, 1"), "{message}");
        assert!(message.len() < 1_000, "{message}");
    }

    #[test]
    fn an_injected_wrong_peer_is_caught() {
        let inputs = Inputs::one(vec![1]);
        let right = |items: &Vec<u64>| items.clone();
        let wrong = |items: &Vec<u64>| vec![items[0] + 2];
        let mut trial = trial(&inputs, right).peer(by_ref(&inputs, right));
        assert!(trial.prove(1).is_ok());
        let mut trial = trial.peer(by_ref(&inputs, wrong));
        assert_eq!(trial.roles().last(), Some(&Role::Peer(1)));
        let message = trial.prove(1).unwrap_err().to_string();
        assert!(message.contains("the naive side and the peer disagree"), "{message}");
    }

    #[test]
    fn answers_of_different_types_disagree() {
        let inputs = Inputs::one(vec![1]);
        assert!(trial(&inputs, |items| items[0]).prove(1).is_err());
    }

    #[test]
    fn an_input_of_the_wrong_size_is_caught() {
        let inputs = Inputs::rotating([vec![0; 1_000], vec![0; 999]]);
        let error = trial(&inputs, Vec::clone).prove(1_000).unwrap_err();
        let message = "the case claims 1000 on its axis, but input 2 of 2 measures 999";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_side_with_inputs_of_its_own_is_caught() {
        let inputs = Inputs::one(vec![7]);
        let more = Inputs::rotating([vec![7], vec![8]]);
        let side = by_ref(&more, |items: &Vec<u64>| items.clone());
        let error = trial(&inputs, Vec::clone).alternative(side).prove(1).unwrap_err();
        let message = "the alternative rotates through 2 inputs, but the trial measured 1";
        assert_eq!(error.to_string(), message);
    }
}
