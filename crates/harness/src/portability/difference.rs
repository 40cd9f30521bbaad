//! Two machines whose gains differ: how the times of the sides differ, and the machine number that goes with it.
//!
//! Several numbers differ between two machines, so a number that changes as a time does is no proof that it is the cause.

use std::fmt;

use super::{AtHeadline, NoFigure};
use crate::{limit, numbers::Number};
use worthit_pair::{
    format,
    limit::{Need, Needed},
    pair::Metric,
    trial::Role,
};

/// How far the change of a machine number may lie from the change of a time that it goes with, as a factor.
pub const NEAR: f64 = 1.25;

/// Two machines whose gains differ by more than their intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Number of the machine on which the side that changed most is quicker.
    pub from: usize,
    /// Number of the other machine.
    pub to: usize,
    /// The machine number that goes with the difference, or why there is none.
    pub number: Result<NumberChange, Unexplained>,
    /// How the times changed; `None` if they are of different cases, or not what the pair compares.
    pub times: Option<TimeChange>,
}

/// The times of both sides on one machine ÷ those on another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeChange {
    /// Of the naive side.
    pub naive: f64,
    /// Of the optimized side.
    pub optimized: f64,
}

/// What a machine number costs on two machines.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberChange {
    /// What it is; both names if it is another level of memory on each.
    pub what: String,
    /// Its value on each machine, with its unit.
    pub values: [String; 2],
    /// Cost of an operation on the second machine ÷ cost on the first.
    pub ratio: f64,
}

/// Why no machine number goes with a difference.
#[derive(Clone, Debug, PartialEq)]
pub enum Unexplained {
    /// The headlines are different cases.
    OtherCase,
    /// The pair does not compare times.
    NotTimes,
    /// The limit of the pair needs no machine number.
    Unbounded,
    /// The numbers that its limit needs were not measured on both machines.
    Unmeasured,
    /// No number is near enough; the nearest one.
    NoneNear(NumberChange),
}

impl Difference {
    /// Returns the two machines whose gains lie farthest apart, of those whose intervals do not overlap; `None` if there are
    /// none. Computed gains have no interval.
    pub fn of(found: &[Result<AtHeadline<'_>, NoFigure<'_>>]) -> Option<Difference> {
        let is_measured = |found: &&AtHeadline<'_>| found.case.measured().is_some();
        let measured: Vec<(usize, &AtHeadline)> = found
            .iter()
            .enumerate()
            .filter_map(|(machine, found)| {
                Some((machine, found.as_ref().ok().filter(is_measured)?))
            })
            .collect();
        let two = measured
            .iter()
            .enumerate()
            .flat_map(|(nth, one)| measured[nth + 1..].iter().map(move |other| [*one, *other]));
        let is_apart = |two: &[(usize, &AtHeadline); 2]| {
            let [one, other] = two.map(|(_, found)| found.gain);
            one.high < other.low || other.high < one.low
        };
        let apart = |two: &[(usize, &AtHeadline); 2]| {
            let [one, other] = two.map(|(_, found)| found.gain.estimate);
            (one / other).ln().abs()
        };
        let farthest =
            two.filter(is_apart).max_by(|one, other| apart(one).total_cmp(&apart(other)));
        farthest.map(Difference::between)
    }

    /// Compares two machines.
    fn between([one, other]: [(usize, &AtHeadline<'_>); 2]) -> Difference {
        let unexplained =
            |reason| Difference { from: one.0, to: other.0, number: Err(reason), times: None };
        if one.1.pair.metric == Metric::BytesHeld {
            return unexplained(Unexplained::NotTimes);
        }
        let times = match TimeChange::between(one.1, other.1) {
            Some(times) if one.1.is_case_of(other.1) => times,
            _ => return unexplained(Unexplained::OtherCase),
        };
        let (from, to, times) = match times.of_side_that_changed_most() {
            change if change < 1.0 => (other, one, times.inverted()),
            _ => (one, other, times),
        };
        let change = times.of_side_that_changed_most();
        let number = numbers_of(from.1, to.1).and_then(|numbers| nearest(change, numbers));
        Difference { from: from.0, to: to.0, number, times: Some(times) }
    }
}

impl TimeChange {
    fn between(from: &AtHeadline<'_>, to: &AtHeadline<'_>) -> Option<TimeChange> {
        let time =
            |found: &AtHeadline<'_>, role| Some(found.case.measured()?.side(role)?.time_ns.median);
        let change = |role| {
            let change = time(to, role)? / time(from, role)?;
            Some(change).filter(|change| change.is_finite() && *change > 0.0)
        };
        Some(TimeChange { naive: change(Role::Naive)?, optimized: change(Role::Optimized)? })
    }

    fn inverted(self) -> TimeChange {
        TimeChange { naive: 1.0 / self.naive, optimized: 1.0 / self.optimized }
    }

    /// Returns the role of the side whose time differs by the larger factor.
    pub fn most(self) -> Role {
        let size = |change: f64| change.ln().abs();
        if size(self.naive) > size(self.optimized) { Role::Naive } else { Role::Optimized }
    }

    fn of_side_that_changed_most(self) -> f64 {
        if self.most() == Role::Naive { self.naive } else { self.optimized }
    }
}

/// Returns the machine numbers that the limit of a pair needs, as they are on both machines.
fn numbers_of(
    from: &AtHeadline<'_>,
    to: &AtHeadline<'_>,
) -> Result<Vec<NumberChange>, Unexplained> {
    let needed = |found: &AtHeadline<'_>| {
        let needed = found.case.measured().map_or(Vec::new(), |found| found.needed.clone());
        let sets_a_number = |kind| !matches!(kind, Need::WaitingNs | Need::Cores);
        needed.into_iter().filter(move |piece| sets_a_number(piece.kind) && piece.amount > 0)
    };
    if needed(to).next().is_none() {
        return Err(Unexplained::Unbounded);
    }
    let change = |piece: Needed| {
        let other = needed(from).find(|other| other.kind == piece.kind)?;
        let before = limit::number(other, from.run.numbers.as_ref()?)?;
        NumberChange::between(before, limit::number(piece, to.run.numbers.as_ref()?)?)
    };
    let changes: Vec<NumberChange> = needed(to).filter_map(change).collect();
    if changes.is_empty() { Err(Unexplained::Unmeasured) } else { Ok(changes) }
}

impl NumberChange {
    fn between(from: &Number, to: &Number) -> Option<NumberChange> {
        let ratio = to.ns_for(1.0)? / from.ns_for(1.0)?;
        let what = match from.id == to.id {
            true => to.what.clone(),
            false => format!("{} → {}", from.what, to.what),
        };
        let values = [from.written(from.median()?), to.written(to.median()?)];
        Some(NumberChange { what, values, ratio }).filter(|_| ratio.is_finite() && ratio > 0.0)
    }
}

/// Returns the number whose change is nearest to that of a time, if it is near.
///
/// Near is within the factor [`NEAR`], and within half of the change: a number that is the same on both machines goes with
/// no difference, however small.
fn nearest(change: f64, numbers: Vec<NumberChange>) -> Result<NumberChange, Unexplained> {
    let distance = |number: &NumberChange| (number.ratio / change).ln().abs();
    let by_distance =
        |one: &NumberChange, other: &NumberChange| distance(one).total_cmp(&distance(other));
    let nearest = numbers.into_iter().min_by(by_distance).ok_or(Unexplained::Unmeasured)?;
    let is_near = distance(&nearest) <= NEAR.ln().min(change.ln().abs() / 2.0);
    if is_near { Ok(nearest) } else { Err(Unexplained::NoneNear(nearest)) }
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unexplained::OtherCase => write!(f, "The headlines are different cases."),
            Unexplained::NotTimes => write!(f, "The pair does not compare times."),
            Unexplained::Unbounded => write!(f, "Its limit needs no machine number."),
            Unexplained::Unmeasured => {
                write!(f, "The numbers that its limit needs were not measured on both.")
            }
            Unexplained::NoneNear(nearest) => {
                let ratio = format::times(nearest.ratio);
                write!(f, "No measured number explains it (nearest: {}, {ratio}).", nearest.what)
            }
        }
    }
}
