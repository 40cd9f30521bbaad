//! Trials: a pair prepared at one case. This module has the only timing loops of pairs.
//!
//! A [`Trial`] holds one runner per side. The types of inputs and answers are erased per *batch*: inside
//! [`Trial::measure`] the loop over iterations calls the side directly, so the harness adds nothing to an
//! iteration. `black_box`, drops, resets, runtime entry, spawning and barriers are used only here. All of them are
//! off the clock, unless a shape says otherwise.
//!
//! Each shape of side has a function that makes its runner: [`by_ref`], [`under_contract`], [`by_value`],
//! [`resetting`], [`changing`], [`asynchronous`], [`pooled`], [`contended`] and [`open_loop`]. [`on_first_use`]
//! defers making a runner of any shape.

mod open_loop;
mod shapes;
mod threads;

use std::{any::Any, fmt, fmt::Debug, time::Duration};

pub use open_loop::{MIN_LATENCY_SAMPLES, OpenLoop, open_loop, percentile};
pub use shapes::{
    asynchronous, bare_loop, by_ref, by_value, changing, in_turn, on_first_use, resetting,
    under_contract,
};
pub use threads::{contended, pooled};

use crate::{
    causes::{self, Counts},
    contract,
    unavailable::Unavailable,
};

/// The role of a side in its pair.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The side that a competent person writes first.
    Naive,
    /// The best side we know.
    Optimized,
    /// A peer crate that does the same job. (Results before version 2 call it `reference`.)
    #[serde(alias = "reference")]
    Peer,
}

/// The result of a side: any type that can be compared and printed. If two answers may legitimately differ, the
/// type's `PartialEq` defines by how much: see [`crate::contract`].
pub trait Answer: Any + Debug + PartialEq {}
impl<T: Any + Debug + PartialEq> Answer for T {}

/// An answer with its type erased.
pub trait ErasedAnswer: Debug {
    /// Returns whether `other` has the same type and is equal.
    fn equals(&self, other: &dyn ErasedAnswer) -> bool;
    /// Returns whether its type is one of [`crate::contract`], or a generic type over one.
    fn is_under_contract(&self) -> bool;
    #[doc(hidden)]
    fn as_any(&self) -> &dyn Any;
}

impl<T: Answer> ErasedAnswer for T {
    fn equals(&self, other: &dyn ErasedAnswer) -> bool {
        other.as_any().downcast_ref::<T>().is_some_and(|other| self == other)
    }
    fn is_under_contract(&self) -> bool {
        contract::is_named_by::<T>()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// One side, prepared at a case. The functions named after the shapes make runners.
pub trait Runner {
    /// Runs `iterations` iterations and returns the time spent in the side itself. ([`open_loop`] returns the sum
    /// over iterations of the 99th percentile of latency.)
    fn measure(&mut self, iterations: u64) -> Duration;

    /// Makes the side, off the clock, if [`on_first_use`] has deferred that until now.
    ///
    /// # Errors
    /// If the side cannot be made on this machine.
    fn make_ready(&mut self) -> Result<(), Unavailable> {
        Ok(())
    }

    /// Runs `iterations` untimed iterations, so that caches hold the data that the next ones touch.
    fn warm_up(&mut self, iterations: u64) {
        self.measure(iterations);
    }

    /// Runs one iteration and returns its answer. `window` is open exactly while the side runs.
    fn answer(&mut self, window: &Window) -> Box<dyn ErasedAnswer>;

    /// Returns how many threads the side keeps busy.
    fn threads(&self) -> usize {
        1
    }

    /// Pins each of the side's threads to a core of its own from now on, as far as there are enough cores and the
    /// shape knows the threads.
    fn spread(&mut self) {}
}

/// Callbacks around the side in [`Runner::answer`], so that nothing is counted that the harness does.
pub struct Window {
    open: fn(),
    injected: fn(),
    close: fn(),
}

impl Window {
    /// A window that observes nothing.
    pub const UNOBSERVED: Window = Window::new(|| {}, || {});
    /// A window in which [`causes`] are counted.
    pub const COUNTED: Window = Window::new(causes::open_window, causes::close_window);

    /// Returns a window that calls `open` before the side and `close` after it.
    pub const fn new(open: fn(), close: fn()) -> Window {
        Window { open, injected: || {}, close }
    }

    /// Returns the same window, which also calls `injected` after the side and before `close`.
    pub const fn with(self, injected: fn()) -> Window {
        Window { injected, ..self }
    }

    /// Runs `side` inside the window.
    pub fn around<A>(&self, side: impl FnOnce() -> A) -> A {
        self.open();
        let answer = std::hint::black_box(side());
        self.close();
        answer
    }

    fn open(&self) {
        (self.open)();
    }

    fn close(&self) {
        (self.injected)();
        (self.close)();
    }
}

type Counter = Box<dyn FnMut(Role, &mut Counts)>;

/// A pair prepared at one case.
///
/// A pair's `prepare` makes it with [`Trial::new`] and adds the units of work, the peer and the pair's own counts.
pub struct Trial {
    size: u64,
    units: u64,
    naive: Box<dyn Runner>,
    optimized: Box<dyn Runner>,
    peer: Option<Box<dyn Runner>>,
    counter: Option<Counter>,
}

impl Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("size", &self.size).field("units", &self.units).finish()
    }
}

/// The answers of two sides that should agree but do not.
#[derive(Debug, thiserror::Error)]
#[error("the naive and the {role} side disagree\n  naive:     {naive}\n  {role}: {other}")]
pub struct Disagreement {
    /// The side that disagrees with the naive one.
    pub role: &'static str,
    /// The naive side's answer, shortened.
    pub naive: String,
    /// The other side's answer, shortened.
    pub other: String,
}

/// The sizes of an input that does not have the size that its case claims.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the case claims {claimed} on its axis, but the input measures {actual}")]
pub struct WrongSize {
    /// The case's point on the axis.
    pub claimed: u64,
    /// The size of the input itself.
    pub actual: u64,
}

impl Trial {
    /// Makes a trial of two sides. `size` is what the *input itself* measures on the axis (`len()`, a counted
    /// share, the threads of a pool), not the requested point: the harness checks that the two are equal.
    pub fn new(size: u64, naive: impl Runner + 'static, optimized: impl Runner + 'static) -> Trial {
        Trial {
            size,
            units: 1,
            naive: Box::new(naive),
            optimized: Box::new(optimized),
            peer: None,
            counter: None,
        }
    }

    /// Sets how many units of work one iteration does, on all sides alike. The default is 1.
    pub fn units(mut self, units: u64) -> Trial {
        self.units = units.max(1);
        self
    }

    /// Adds the peer crate that [`Pair::peer`](crate::pair::Pair::peer) names as a third side.
    pub fn peer(mut self, runner: impl Runner + 'static) -> Trial {
        self.peer = Some(Box::new(runner));
        self
    }

    /// Adds causes that only the pair can count. `count` runs one side on this case's input with counting types and
    /// sets the counts.
    pub fn counting(mut self, count: impl FnMut(Role, &mut Counts) + 'static) -> Trial {
        self.counter = Some(Box::new(count));
        self
    }

    /// Returns the roles of the sides that this trial can run.
    pub fn roles(&self) -> Vec<Role> {
        let peer = self.peer.as_ref().map(|_| Role::Peer);
        [Role::Naive, Role::Optimized].into_iter().chain(peer).collect()
    }

    /// Returns the units of work in one iteration.
    pub fn units_per_iteration(&self) -> u64 {
        self.units
    }

    /// Returns how many threads a side keeps busy.
    pub fn threads(&self, role: Role) -> usize {
        match role {
            Role::Naive => self.naive.threads(),
            Role::Optimized => self.optimized.threads(),
            Role::Peer => self.peer.as_ref().map_or(1, |runner| runner.threads()),
        }
    }

    /// Pins each thread of each side to a core of its own from now on, as far as [`Runner::spread`] can.
    pub fn spread(&mut self) {
        for role in self.roles() {
            self.runner(role).spread();
        }
    }

    /// Runs `iterations` iterations of one side and returns the time spent in the side itself.
    ///
    /// # Panics
    /// If the trial has no such side.
    pub fn measure(&mut self, role: Role, iterations: u64) -> Duration {
        self.runner(role).measure(iterations)
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

    /// Checks that the input has the size that the case claims.
    ///
    /// # Errors
    /// If it has another size.
    pub fn check_size(&self, claimed: u64) -> Result<(), WrongSize> {
        let actual = self.size;
        if actual == claimed { Ok(()) } else { Err(WrongSize { claimed, actual }) }
    }

    /// Runs every side once on this case and compares the answers.
    ///
    /// # Errors
    /// If a side disagrees with the naive one.
    pub fn verify(&mut self) -> Result<(), Disagreement> {
        let naive = self.naive.answer(&Window::UNOBSERVED);
        for role in self.roles().into_iter().skip(1) {
            let other = self.runner(role).answer(&Window::UNOBSERVED);
            if !naive.equals(other.as_ref()) {
                let role = if role == Role::Peer { "peer" } else { "optimized" };
                let (naive, other) = differing_parts(&format!("{naive:?}"), &format!("{other:?}"));
                return Err(Disagreement { role, naive, other });
            }
        }
        Ok(())
    }

    /// Returns whether a type of [`crate::contract`] compares the answers, rather than plain equality. Runs the
    /// naive side once.
    pub fn is_under_contract(&mut self) -> bool {
        self.naive.answer(&Window::UNOBSERVED).is_under_contract()
    }

    /// Runs one iteration of one side inside a window.
    ///
    /// # Panics
    /// If the trial has no such side.
    pub fn run_in(&mut self, role: Role, window: &Window) {
        drop(self.runner(role).answer(window));
    }

    /// Returns the naive side's answer as `Debug` prints it, to compare two builds on the same input.
    pub fn printed_answer(&mut self) -> String {
        format!("{:?}", self.naive.answer(&Window::UNOBSERVED))
    }

    /// Counts the causes of one iteration of one side. The answer is not checked: call [`Trial::verify`] first,
    /// which also builds what is built lazily.
    ///
    /// # Errors
    /// If this binary does not count (see [`crate::counting_binary`]).
    pub fn count(&mut self, role: Role) -> Result<Counts, causes::NotCounting> {
        self.count_in(role, &Window::COUNTED)
    }

    /// Counts as [`Trial::count`] does, in the caller's window, which must count.
    ///
    /// # Errors
    /// If this binary does not count.
    pub fn count_in(&mut self, role: Role, window: &Window) -> Result<Counts, causes::NotCounting> {
        causes::require_counting()?;
        let answer = self.runner(role).answer(window);
        let mut counts = causes::take_window();
        drop(answer);
        if let Some(counter) = &mut self.counter {
            counter(role, &mut counts);
        }
        Ok(counts)
    }

    fn runner(&mut self, role: Role) -> &mut dyn Runner {
        match role {
            Role::Naive => self.naive.as_mut(),
            Role::Optimized => self.optimized.as_mut(),
            Role::Peer => self.peer.as_mut().expect("this trial has no peer").as_mut(),
        }
    }
}

/// Returns both texts from shortly before their first difference, so that a disagreement in the millionth element
/// is readable.
fn differing_parts(left: &str, right: &str) -> (String, String) {
    const BEFORE: usize = 40;
    const SHOWN: usize = 300;
    let same = left.chars().zip(right.chars()).take_while(|(l, r)| l == r).count();
    let skipped = same.saturating_sub(BEFORE);
    let cut = |text: &str| {
        let part: String = text.chars().skip(skipped).take(SHOWN).collect();
        let head = if skipped > 0 { "…" } else { "" };
        let tail = if text.chars().count() > skipped + SHOWN { "…" } else { "" };
        format!("{head}{part}{tail}")
    };
    (cut(left), cut(right))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_injected_wrong_answer_is_caught_and_both_answers_are_shown() {
        let input = Arc::new(vec![1_u64; 10_000]);
        let mut trial = Trial::new(
            10_000,
            by_ref(&input, |items: &Vec<u64>| items.clone()),
            by_ref(&input, |items: &Vec<u64>| {
                let mut wrong = items.clone();
                wrong[9_000] = 2;
                wrong
            }),
        );
        let message = trial.verify().unwrap_err().to_string();
        assert!(message.contains("naive:     …"), "{message}");
        assert!(message.contains("1, 2, 1"), "{message}");
        assert!(message.len() < 1_000, "{message}");
    }

    #[test]
    fn an_injected_wrong_peer_is_caught() {
        let input = Arc::new(1_u64);
        let mut trial =
            Trial::new(1, by_ref(&input, |x: &u64| x + 1), by_ref(&input, |x: &u64| x + 1))
                .peer(by_ref(&input, |x: &u64| x + 2));
        let message = trial.verify().unwrap_err().to_string();
        assert!(message.contains("naive and the peer side disagree"), "{message}");
    }

    #[test]
    fn answers_of_different_types_disagree() {
        let input = Arc::new(1_u64);
        let mut trial =
            Trial::new(1, by_ref(&input, |x: &u64| *x), by_ref(&input, |x: &u64| *x as i64));
        assert!(trial.verify().is_err());
    }

    #[test]
    fn an_input_of_the_wrong_size_is_caught() {
        let input = Arc::new(vec![0_u8; 999]);
        let len = |items: &Vec<u8>| items.len();
        let trial = Trial::new(input.len() as u64, by_ref(&input, len), by_ref(&input, len));
        let error = trial.check_size(1_000).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the case claims 1000 on its axis, but the input measures 999"
        );
        assert_eq!(trial.check_size(999), Ok(()));
    }
}
