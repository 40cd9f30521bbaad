//! Results of several machines side by side: on how many of them the gain of a pair holds, how far its gains lie apart, and
//! which machine number goes with that.
//!
//! A machine is known by its key. Figures of different keys stand beside each other and are never joined.

mod difference;

use std::{cmp::Reverse, collections::BTreeMap, fmt};

use crate::{
    calibration,
    machine::Machine,
    results::{CaseResult, Headline, Outcome, PairResult, Run, Sweep},
    statistics::Interval,
};

pub use difference::{Difference, NEAR, NumberChange, Unexplained};

/// The pairs of several machines.
#[derive(Clone, Debug)]
pub struct Portability<'a> {
    /// The machines: that of the run first, then by their keys, those with a key of the older kind last.
    pub machines: Vec<MachineResults<'a>>,
    /// The pairs: first those whose answer differs between machines, then those whose gains lie farther apart.
    pub pairs: Vec<PairOnMachines<'a>>,
}

/// The results of one machine key.
#[derive(Clone, Debug)]
pub struct MachineResults<'a> {
    /// The machine, as its latest result describes it.
    pub machine: &'a Machine,
    /// Its results, the latest first.
    pub runs: Vec<&'a Run>,
}

/// What the machines found for a pair.
#[derive(Clone, Debug)]
pub struct PairOnMachines<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its title.
    pub title: &'a str,
    /// Its headline on each machine, in the order of the machines.
    pub found: Vec<Result<AtHeadline<'a>, NoFigure<'a>>>,
    /// The two machines whose gains lie farthest apart, if any gains lie apart by more than their intervals.
    pub difference: Option<Difference>,
}

/// The headline of a pair in a result.
#[derive(Clone, Copy, Debug)]
pub struct AtHeadline<'a> {
    /// The result.
    pub run: &'a Run,
    /// The pair in it.
    pub pair: &'a PairResult,
    /// The sweep of the headline.
    pub sweep: &'a Sweep,
    /// The case of the headline: measured and unmarked, or computed.
    pub case: &'a CaseResult,
    /// Its gain.
    pub gain: Interval,
}

/// Why a machine has no figure for a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFigure<'a> {
    /// No result of the machine has the pair.
    NotInResults,
    /// Its result lacks the case of the headline.
    NoCase,
    /// The case is marked.
    Marked(&'a str),
    /// The case cannot run there.
    Unavailable(&'a str),
}

/// Whether a gain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Its interval lies above 1.
    Holds,
    /// Its interval contains 1.
    CannotTell,
    /// Its interval lies below 1.
    Loses,
}

/// Returns whether there is anything to lay side by side: a result with a technique, of which a quick run has too little.
pub fn has_figures(run: &Run, references: &[Run]) -> bool {
    results(run, references).any(|run| techniques(run).next().is_some())
}

/// The results that count: the references, and the run itself unless it was quick or is one of them.
fn results<'a>(run: &'a Run, references: &'a [Run]) -> impl Iterator<Item = &'a Run> {
    let is_reference = references.iter().any(|reference| reference.key == run.key);
    references.iter().chain(Some(run).filter(|run| !run.quick && !is_reference))
}

/// The pairs of a result, without those that measure the suite itself.
fn techniques(run: &Run) -> impl Iterator<Item = (&str, &PairResult)> {
    let pairs = run.pairs.iter().map(|(id, pair)| (id.as_str(), pair));
    pairs.filter(|(id, pair)| !calibration::is_instrument(id) && !pair.sweeps.is_empty())
}

impl<'a> Portability<'a> {
    /// Lays the results of `run` and of the references side by side. The latest result of a machine key that has a pair
    /// speaks for the key.
    pub fn of(run: &'a Run, references: &'a [Run]) -> Portability<'a> {
        let machines = machines(run, references);
        let headlines = headlines(run, references);
        let mut titles: BTreeMap<&str, &str> = BTreeMap::new();
        for run in machines.iter().flat_map(|machine| machine.runs.iter().rev()) {
            titles.extend(techniques(run).map(|(id, pair)| (id, pair.title.as_str())));
        }
        let mut pairs: Vec<PairOnMachines> = titles
            .into_iter()
            .map(|(id, title)| {
                let found: Vec<_> = machines
                    .iter()
                    .map(|machine| at_headline(machine, id, headlines.get(id).copied()))
                    .collect();
                let difference = Difference::of(&found);
                PairOnMachines { id, title, found, difference }
            })
            .collect();
        pairs.sort_by(|left, right| {
            let by_answer = right.has_several_answers().cmp(&left.has_several_answers());
            // One machine has no spread, and comes last.
            let spread = |pair: &PairOnMachines| pair.spread().unwrap_or_default();
            by_answer.then(spread(right).total_cmp(&spread(left))).then(left.id.cmp(right.id))
        });
        Portability { machines, pairs }
    }
}

/// Groups the results by machine key. A key of the older kind never joins one of the present kind.
fn machines<'a>(run: &'a Run, references: &'a [Run]) -> Vec<MachineResults<'a>> {
    let key_of = |run: &'a Run| (run.machine.has_older_key(), run.machine.key.as_str());
    let mut by_key: BTreeMap<(bool, &str), Vec<&Run>> = BTreeMap::new();
    for run in results(run, references).filter(|run| techniques(run).next().is_some()) {
        by_key.entry(key_of(run)).or_default().push(run);
    }
    let mut machines: Vec<_> = by_key.into_iter().collect();
    machines.sort_by_key(|(key, _)| *key != key_of(run));
    let results = machines.into_iter().map(|(_, mut runs)| {
        runs.sort_by_key(|run| Reverse(run.started));
        MachineResults { machine: &runs[0].machine, runs }
    });
    results.collect()
}

/// The headlines of pairs by the latest result that names one: results of older versions do not.
fn headlines<'a>(run: &'a Run, references: &'a [Run]) -> BTreeMap<&'a str, &'a Headline> {
    let mut runs: Vec<&Run> = references.iter().chain([run]).collect();
    runs.sort_by_key(|run| run.started);
    let pairs = runs.into_iter().flat_map(techniques);
    pairs.filter_map(|(id, pair)| Some((id, pair.headline.as_ref()?))).collect()
}

/// Finds what a machine says of a pair. `usual` is the headline that counts where a result names none.
fn at_headline<'a>(
    machine: &MachineResults<'a>,
    id: &str,
    usual: Option<&Headline>,
) -> Result<AtHeadline<'a>, NoFigure<'a>> {
    let of_run = |run: &&'a Run| {
        let pair = run.pairs.get(id).filter(|pair| !pair.sweeps.is_empty())?;
        Some((*run, pair))
    };
    let (run, pair) = machine.runs.iter().find_map(of_run).ok_or(NoFigure::NotInResults)?;
    let place = pair.headline.as_ref().or(usual).ok_or(NoFigure::NoCase)?;
    let sweep = pair.sweeps.iter().find(|sweep| sweep.level == place.level);
    let sweep = sweep.ok_or(NoFigure::NoCase)?;
    let case = sweep.cases.iter().find(|case| case.point == place.point).ok_or(NoFigure::NoCase)?;
    let gain = match &case.outcome {
        Outcome::Measured(found) => match &found.mark {
            Some(mark) => return Err(NoFigure::Marked(mark)),
            None => found.gain,
        },
        Outcome::Computed(found) => Interval::exact(found.gain),
        Outcome::Unavailable { .. } => {
            return Err(NoFigure::Unavailable(case.outcome.reason().unwrap_or_default()));
        }
    };
    Ok(AtHeadline { run, pair, sweep, case, gain })
}

impl<'a> PairOnMachines<'a> {
    /// The figures that there are, each with the number of its machine.
    pub fn figures(&self) -> impl Iterator<Item = (usize, &AtHeadline<'a>)> {
        let numbered = self.found.iter().enumerate();
        numbered.filter_map(|(machine, found)| Some((machine, found.as_ref().ok()?)))
    }

    /// The machines of an answer, by their numbers.
    pub fn machines_of(&self, answer: Answer) -> Vec<usize> {
        let with_answer = self.figures().filter(|(_, found)| Answer::of(&found.gain) == answer);
        with_answer.map(|(machine, _)| machine).collect()
    }

    /// Returns whether two machines give different answers.
    pub fn has_several_answers(&self) -> bool {
        let mut answers = self.figures().map(|(_, found)| Answer::of(&found.gain));
        let first = answers.next();
        answers.any(|answer| Some(answer) != first)
    }

    /// Returns the greatest gain ÷ the least; `None` without two machines.
    pub fn spread(&self) -> Option<f64> {
        let gains: Vec<f64> = self.figures().map(|(_, found)| found.gain.estimate).collect();
        let least = gains.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = gains.iter().copied().fold(0.0, f64::max);
        (gains.len() > 1).then_some(greatest / least).filter(|spread| spread.is_finite())
    }
}

impl Answer {
    /// Returns the answer that a gain gives.
    pub fn of(gain: &Interval) -> Answer {
        if gain.low > 1.0 {
            Answer::Holds
        } else if gain.high < 1.0 {
            Answer::Loses
        } else {
            Answer::CannotTell
        }
    }
}

impl AtHeadline<'_> {
    /// Returns whether another result speaks of the same case.
    pub fn is_case_of(&self, other: &AtHeadline<'_>) -> bool {
        self.case.point == other.case.point && self.sweep.level == other.sweep.level
    }
}

impl fmt::Display for NoFigure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoFigure::NotInResults => write!(f, "not in its results"),
            NoFigure::NoCase => write!(f, "its result lacks the headline"),
            NoFigure::Marked(mark) => write!(f, "marked: {mark}"),
            NoFigure::Unavailable(reason) => write!(f, "not measured: {reason}"),
        }
    }
}

/// Returns the letter of a machine: A, B, …; from the 27th on a number.
pub fn letter(machine: usize) -> String {
    let letter = u8::try_from(machine).ok().and_then(|nth| b'A'.checked_add(nth));
    match letter.filter(u8::is_ascii_uppercase) {
        Some(letter) => char::from(letter).to_string(),
        None => (machine + 1).to_string(),
    }
}

#[cfg(test)]
mod tests;
