//! Results over time.
//!
//! A run contributes its [`Origin`] and [`Reading`]s at [`Place`]s. The readings of one place over all runs of one
//! machine key form a [`TrendLine`]. Trend lines of different machine keys are never joined. The feature `history` adds
//! `History`, which stores all this in a file.

mod change_points;
#[cfg(feature = "history")]
mod store;

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    gate::{self, report::GateReport},
    machine::Toolchain,
    results::{CaseResult, Measured, Run},
    statistics::Interval,
};
use worthit_pair::{case::CaseKey, format, trial::Role};

pub use change_points::{ChangePoint, change_points};
#[cfg(feature = "history")]
pub use store::{History, HistoryError};

/// Quantity: naive ÷ optimized; beside a peer, peer ÷ optimized.
pub const GAIN: &str = "gain";
/// Quantity: the time of a side per unit of work, ns.
pub const TIME_NS: &str = "time_ns";
/// Quantity: the instructions of a side in one iteration.
pub use crate::gate::verdict::INSTRUCTIONS;

/// Origin of a run: when, where, and from what code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Key of the run.
    pub key: String,
    /// Start time.
    pub started: Timestamp,
    /// Machine key.
    pub machine_key: String,
    /// `rustc --version`.
    pub rustc: String,
    /// `RUSTFLAGS`.
    pub rustflags: String,
    /// Commit id; `None` outside a git checkout.
    pub commit: Option<String>,
    /// Whether the tree had uncommitted changes.
    pub dirty: bool,
    /// Seed of all inputs.
    pub seed: u64,
    /// What added it: `run` for a result, `gate` for the counts of a gate.
    pub source: String,
}

/// A quantity of one side of one case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The case.
    pub case: CaseKey,
    /// `naive`, `optimized`, or the name of the peer. The gain of a pair is stored under `naive`.
    pub side: String,
    /// [`GAIN`], [`TIME_NS`], [`INSTRUCTIONS`], or the id of a counted cause.
    pub quantity: String,
}

/// A value with its interval: the confidence interval of a gain, the quartiles of a time, or the count itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The value.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Why it is left out of change points: other processes held the CPU.
    pub mark: Option<String>,
}

/// What one run adds to a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Origin of the run.
    pub origin: Origin,
    /// Its readings. If a place occurs twice, the later reading counts.
    pub readings: Vec<(Place, Reading)>,
}

/// The readings of one place on machines of one key, in the order in which their runs started.
#[derive(Clone, Debug, PartialEq)]
pub struct TrendLine {
    /// Machine key.
    pub machine_key: String,
    /// The place.
    pub place: Place,
    /// Readings, each with the run that made it.
    pub readings: Vec<(Arc<Origin>, Reading)>,
}

impl Recorded {
    /// Returns the readings of a result's measured cases. Computed cases follow from those, and a case that could not
    /// run has no reading.
    pub fn of(run: &Run) -> Recorded {
        let mut readings = Vec::new();
        for (pair, result) in &run.pairs {
            for sweep in &result.sweeps {
                for case in &sweep.cases {
                    let Some(measured) = case.measured() else { continue };
                    let place_of = |side: &str, quantity: &str| {
                        place(pair, &sweep.level, case, side, quantity)
                    };
                    readings.extend(readings_of(measured, place_of));
                }
            }
        }
        Recorded { origin: Origin::of(run), readings }
    }
}

impl Recorded {
    /// Returns what a gate counted in its head: the causes that pairs name, and instructions.
    pub fn of_gate(report: &GateReport) -> Recorded {
        let mut readings = Vec::new();
        for found in &report.cases {
            let gate::report::Outcome::Judged { counts, .. } = &found.outcome else { continue };
            let is_kept = |count: &&gate::verdict::CountChange| {
                count.cause == INSTRUCTIONS || found.case.causes.contains(&count.cause)
            };
            for count in counts.iter().filter(is_kept) {
                let side = if count.role == Role::Naive { "naive" } else { "optimized" };
                let place = Place {
                    case: found.case.key.clone(),
                    side: side.to_owned(),
                    quantity: count.cause.clone(),
                };
                let mean = |sum: u64| sum as f64 / count.iterations as f64;
                let (low, high) = (mean(count.head.least), mean(count.head.most));
                readings.push((place, Reading { value: low, low, high, mark: None }));
            }
        }
        Recorded { origin: Origin::of_gate(report), readings }
    }
}

fn place(pair: &str, level: &str, case: &CaseResult, side: &str, quantity: &str) -> Place {
    let (pair, level) = (pair.to_owned(), level.to_owned());
    Place {
        case: CaseKey { pair, level, point: case.point },
        side: side.to_owned(),
        quantity: quantity.to_owned(),
    }
}

fn readings_of(found: &Measured, place_of: impl Fn(&str, &str) -> Place) -> Vec<(Place, Reading)> {
    let reading = |low, value, high| Reading { value, low, high, mark: found.mark.clone() };
    let reading_of_gain = |gain: &Interval| reading(gain.low, gain.estimate, gain.high);
    let mut readings = vec![(place_of("naive", GAIN), reading_of_gain(&found.gain))];
    for side in &found.sides {
        if let Some(gain) = side.against_optimized {
            readings.push((place_of(&side.name, GAIN), reading_of_gain(&gain)));
        }
        let time = side.time_ns;
        let time = reading(time.lower_quartile, time.median, time.upper_quartile);
        readings.push((place_of(&side.name, TIME_NS), time));
        for (cause, count) in side.causes.iter() {
            let count = count as f64 / found.inputs.max(1) as f64;
            readings.push((place_of(&side.name, cause), reading(count, count, count)));
        }
    }
    readings
}

impl Origin {
    /// Returns the origin of a result.
    pub fn of(run: &Run) -> Origin {
        Origin {
            key: run.key.clone(),
            started: run.started,
            machine_key: run.machine.key.clone(),
            rustc: run.toolchain.rustc.clone(),
            rustflags: run.toolchain.rustflags.clone(),
            commit: run.revision.commit.clone(),
            dirty: run.revision.dirty,
            seed: run.seed,
            source: "run".to_owned(),
        }
    }

    /// Returns the origin of a gate's counts.
    pub fn of_gate(report: &GateReport) -> Origin {
        Origin {
            key: format!("gate-{}", report.when),
            started: report.when,
            machine_key: report.machine.clone(),
            rustc: report.rustc.clone(),
            rustflags: Toolchain::current().rustflags,
            commit: Some(report.commit.clone()),
            dirty: report.dirty,
            seed: report.cases.first().map_or(0, |found| found.case.seed),
            source: "gate".to_owned(),
        }
    }

    /// Returns the short commit id, with a plus if there were uncommitted changes: `0123456789+`.
    pub fn revision(&self) -> String {
        let commit = self.commit.as_deref().unwrap_or(format::NONE);
        let short: String = commit.chars().take(10).collect();
        if self.dirty { format!("{short}+") } else { short }
    }

    /// Returns the start time in UTC: `2026-01-31 12:00`.
    pub fn date(&self) -> String {
        self.started.strftime("%Y-%m-%d %H:%M").to_string()
    }
}

impl Place {
    /// Returns whether the quantity is a count, which the same seed repeats exactly.
    pub fn is_counted(&self) -> bool {
        ![GAIN, TIME_NS, INSTRUCTIONS].contains(&self.quantity.as_str())
    }

    /// Returns a value of the quantity with its unit.
    pub fn written(&self, value: f64) -> String {
        match self.quantity.as_str() {
            GAIN => format::times(value),
            TIME_NS => format::duration(value),
            _ => format::number(value.max(0.0)),
        }
    }
}

impl TrendLine {
    /// Returns where the level changed, as indices into [`readings`](TrendLine::readings). Marked readings are left
    /// out. A count is exact, so it changes wherever it differs from the run before with the same seed.
    pub fn changes(&self) -> Vec<ChangePoint> {
        let unmarked: Vec<usize> = (0..self.readings.len())
            .filter(|index| self.readings[*index].1.mark.is_none())
            .collect();
        let value = |index: usize| self.readings[index].1.value;
        if self.place.is_counted() {
            let seed = |index: usize| self.readings[index].0.seed;
            let is_change =
                |two: &&[usize]| seed(two[0]) == seed(two[1]) && value(two[0]) != value(two[1]);
            let change = |two: &[usize]| ChangePoint {
                at: two[1],
                before: value(two[0]),
                after: value(two[1]),
            };
            return unmarked.windows(2).filter(is_change).map(change).collect();
        }
        let values: Vec<f64> = unmarked.iter().map(|index| value(*index)).collect();
        let in_all = |found: ChangePoint| ChangePoint { at: unmarked[found.at], ..found };
        change_points(&values).into_iter().map(in_all).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(day: usize) -> Arc<Origin> {
        Arc::new(Origin {
            key: format!("run-{day}"),
            started: Timestamp::from_second(day as i64 * 86_400).unwrap(),
            machine_key: "made".to_owned(),
            rustc: String::new(),
            rustflags: String::new(),
            commit: Some("0123456789abcdef".to_owned()),
            dirty: day % 2 == 1,
            seed: 42,
            source: "run".to_owned(),
        })
    }

    fn line(quantity: &str, values: &[f64], marked: impl Fn(usize) -> bool) -> TrendLine {
        let reading = |(day, value): (usize, &f64)| {
            let mark = marked(day).then(|| "other processes held the CPU".to_owned());
            (origin(day), Reading { value: *value, low: *value, high: *value, mark })
        };
        TrendLine {
            machine_key: "made".to_owned(),
            place: Place {
                case: CaseKey { pair: "made/pair".to_owned(), level: String::new(), point: 1 },
                side: "naive".to_owned(),
                quantity: quantity.to_owned(),
            },
            readings: values.iter().enumerate().map(reading).collect(),
        }
    }

    fn step(at: usize) -> Vec<f64> {
        (0..20).map(|i| if i < at { 4.0 } else { 3.0 } + 0.01 * (i % 3) as f64).collect()
    }

    #[test]
    fn a_marked_reading_neither_makes_nor_is_a_change() {
        let places = |line: &TrendLine| line.changes().iter().map(|c| c.at).collect::<Vec<_>>();
        assert_eq!(places(&line(GAIN, &step(10), |_| false)), [10]);
        // The first readings of the new level are marked: it begins, for all one knows, after them.
        assert_eq!(places(&line(GAIN, &step(10), |i| (10..13).contains(&i))), [13]);
        assert!(places(&line(GAIN, &step(10), |i| i >= 10)).is_empty());
    }

    #[test]
    fn a_count_changes_at_once_but_not_with_the_seed() {
        let mut counts = line("statements", &[0.0, 0.0, 257.0, 257.0, 257.0], |_| false);
        assert_eq!(counts.changes(), [ChangePoint { at: 2, before: 0.0, after: 257.0 }]);
        Arc::make_mut(&mut counts.readings[2].0).seed = 7;
        assert_eq!(counts.changes(), []);
    }

    #[test]
    fn revisions_and_dates_are_short() {
        assert_eq!(origin(0).revision(), "0123456789");
        assert_eq!(origin(1).revision(), "0123456789+");
        assert_eq!(origin(1).date(), "1970-01-02 00:00");
    }
}
