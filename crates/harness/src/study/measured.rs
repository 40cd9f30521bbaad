//! Requests of the steps of a study, one after another (closed loop). The steps take turns, so that a machine that becomes slower
//! or faster meanwhile does so for all of them.

use std::time::Duration;

use super::{Latency, gain::ratio_of_medians};
use crate::{
    load::{LoadProbe, Together},
    statistics::Interval,
};
use worthit_pair::study::{self, Application};

/// Requests of a step are measured until they have taken this long together, in a quick run the second time…
const MEASURE: [Duration; 2] = [Duration::from_secs(3), Duration::from_millis(500)];
/// …but no fewer requests than this, in a quick run the second number…
const LEAST_REQUESTS: [usize; 2] = [2, 1];
/// …and no more than this.
pub const MOST_REQUESTS: usize = 200;
/// A turn ends after this time…
const TURN: Duration = Duration::from_millis(500);
/// …or this many requests.
const TURN_REQUESTS: usize = 50;
/// The first request of a step finds cold caches and is left out, unless it takes longer than this: so little of it is then due
/// to them. What the whole application holds has been read before, by its `prepare`.
const LONG: Duration = Duration::from_secs(1);
/// A request is short if it takes less than this. Then more requests warm up.
const SHORT: Duration = Duration::from_millis(100);
/// How many.
const WARM_UP: u64 = 5;

/// What requests of one step took.
#[derive(Debug, Default)]
pub struct Requests {
    latencies_ns: Vec<f64>,
    /// Sums over them, in the order of the study's counters; `None` if a server has forgotten what it counted.
    counts: Vec<Option<u64>>,
    load: Together,
    is_warm: bool,
}

impl Requests {
    fn is_finished(&self, is_quick: bool) -> bool {
        let kind = usize::from(is_quick);
        let (taken, requests) = (self.latencies_ns.iter().sum::<f64>(), self.latencies_ns.len());
        requests >= LEAST_REQUESTS[kind]
            && (requests >= MOST_REQUESTS || taken >= MEASURE[kind].as_nanos() as f64)
    }

    /// Returns what they took; `None` before the first.
    pub fn latency(&self) -> Option<Latency> {
        Latency::of(self.latencies_ns.clone())
    }

    /// Returns how many times shorter they are than those of another step; `None` if there are too few to tell.
    pub fn gain_over(&self, before: &Requests) -> Option<Interval> {
        ratio_of_medians(&before.latencies_ns, &self.latencies_ns)
    }

    /// Returns the counts of a request: the mean.
    pub fn counts(&self) -> impl Iterator<Item = Option<f64>> {
        let requests = self.latencies_ns.len() as f64;
        self.counts.iter().map(move |count| count.map(|count| count as f64 / requests))
    }

    /// Returns why the step is marked, if it is. A server computes beside the program.
    pub fn mark(&self) -> Option<String> {
        self.load.load().mark(2)
    }
}

/// Measures a few requests of one of `steps` steps alone: to begin or to end a step may take long.
pub fn alone(application: &mut Application, step: usize, steps: usize) -> Requests {
    let mut found = Requests::default();
    while !found.is_finished(true) {
        turn(application, step, steps, &mut found);
    }
    found
}

/// Measures requests of `steps` steps in turn, and calls `after_turn` after each turn with its step and what there is of each
/// step.
pub fn in_turn(
    application: &mut Application,
    steps: usize,
    is_quick: bool,
    after_turn: &mut dyn FnMut(usize, &[Requests]),
) {
    let mut all: Vec<Requests> = (0..steps).map(|_| Requests::default()).collect();
    // There and back, as a steady drift then meets all alike.
    for round in 0.. {
        let mut order: Vec<usize> = (0..steps).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        order.retain(|step| !all[*step].is_finished(is_quick));
        if order.is_empty() {
            return;
        }
        for step in order {
            turn(application, step, steps, &mut all[step]);
            after_turn(step, &all);
        }
    }
}

/// Measures the next requests of one step.
fn turn(application: &mut Application, step: usize, steps: usize, found: &mut Requests) {
    let role = study::role(step, steps);
    let (mut before, mut probe) = ((application.count)(), LoadProbe::start());
    let mut taken = Vec::new();
    if !found.is_warm {
        found.is_warm = true;
        let first = application.trial.measure(role, 1);
        if first > LONG {
            taken.push(first);
        } else {
            if first < SHORT {
                application.trial.warm_up(role, WARM_UP);
            }
            (before, probe) = ((application.count)(), LoadProbe::start());
        }
    }
    while !(taken.len() >= TURN_REQUESTS || taken.iter().sum::<Duration>() >= TURN) {
        taken.push(application.trial.measure(role, 1));
    }
    found.load.add(probe.span(), probe.load());
    found.latencies_ns.extend(taken.iter().map(|latency| latency.as_nanos() as f64));
    let counted = before.iter().zip((application.count)());
    let counted: Vec<Option<u64>> =
        counted.map(|(before, after)| after.checked_sub(*before)).collect();
    if found.counts.is_empty() {
        found.counts = counted;
    } else {
        let sums = found.counts.iter().zip(counted);
        found.counts = sums.map(|(sum, more)| Some(sum.as_ref()? + more?)).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use worthit_pair::{
        answer::ErasedAnswer,
        inputs::Inputs,
        trial::{Runner, Window},
    };

    use super::*;

    /// A step whose requests take known times, and which notes its turns.
    struct Timed {
        name: usize,
        ms: u64,
        asked: Rc<RefCell<Vec<usize>>>,
    }

    impl Runner for Timed {
        fn measure(&mut self, iterations: u64) -> Duration {
            assert_eq!(iterations, 1);
            self.asked.borrow_mut().push(self.name);
            Duration::from_millis(self.ms)
        }
        fn warm_up(&mut self, _iterations: u64) {}
        fn inputs(&self) -> usize {
            1
        }
        fn answer(&mut self, _input: usize, _window: &Window) -> Box<dyn ErasedAnswer> {
            Box::new(0_u64)
        }
    }

    /// An application whose steps take these milliseconds, and which notes which of them was asked.
    fn application(ms: &[u64]) -> (Application, Rc<RefCell<Vec<usize>>>) {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let step = |(name, ms): (usize, &u64)| Timed { name, ms: *ms, asked: Rc::clone(&asked) };
        let inputs = Inputs::one(0_u64);
        let trial = study::trial(
            inputs.measured(|input| *input),
            ms.iter().enumerate().map(step).collect(),
        );
        let counted = Rc::clone(&asked);
        let count = Box::new(move || vec![3 * counted.borrow().len() as u64]);
        (Application { trial, count, memory: None }, asked)
    }

    /// Measures such steps in turn; returns what was found, and which steps were asked in which order.
    fn measured(ms: &[u64], is_quick: bool) -> (Vec<Vec<f64>>, Vec<Vec<f64>>, Vec<usize>) {
        let (mut application, asked) = application(ms);
        let mut latencies = Vec::new();
        let mut counts: Vec<Vec<f64>> = Vec::new();
        in_turn(&mut application, ms.len(), is_quick, &mut |_, all| {
            latencies = all.iter().map(|step| step.latencies_ns.clone()).collect();
            counts = all.iter().map(|step| step.counts().flatten().collect()).collect();
        });
        let asked = asked.borrow().clone();
        (latencies, counts, asked)
    }

    #[test]
    fn steps_take_turns_there_and_back_and_counts_are_those_of_measured_requests() {
        let (latencies, counts, asked) = measured(&[8_000, 1_600, 900], false);
        // The first request of the last step is left out.
        assert_eq!(asked, [0, 1, 2, 2, 2, 1, 0, 2, 2]);
        assert_eq!(latencies[0], [8e9; 2]);
        assert_eq!(latencies[1], [1.6e9; 2]);
        assert_eq!(latencies[2], [0.9e9; 4]);
        assert_eq!(counts, [[3.0], [3.0], [3.0]]);
    }

    #[test]
    fn a_quick_run_asks_once_and_short_requests_end_by_their_number() {
        let (latencies, _, asked) = measured(&[8_000, 1_600], true);
        assert_eq!((asked, latencies[0].len(), latencies[1].len()), (vec![0, 1], 1, 1));
        let (latencies, _, _) = measured(&[1, 2], false);
        assert_eq!(latencies.iter().map(Vec::len).collect::<Vec<_>>(), [200, 200]);
    }

    #[test]
    fn a_step_that_is_measured_alone_is_asked_without_the_others() {
        let (mut application, asked) = application(&[90, 90, 90]);
        let found = alone(&mut application, 1, 3);
        // One that is left out, then half a second.
        assert_eq!((found.latencies_ns.len(), asked.borrow().clone()), (6, vec![1; 7]));
        assert_eq!(found.counts().collect::<Vec<_>>(), [Some(3.0)]);
    }
}
