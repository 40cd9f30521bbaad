//! Machine numbers: the basic capabilities of this machine.
//!
//! A number is the median of several readings from separate passes, with its spread; never a single
//! reading. Where a run measures them several times, the best median counts: what a machine did once, it can do, and
//! neighbours on a shared one come and go. Pairs state their limits in these terms; [`crate::limit`] compares the two. The crate
//! `worthit-machine` takes the readings, with one file per kind of number. A number that cannot be
//! measured here gets a row with the reason.

use serde::{Deserialize, Serialize};

use crate::{
    load::{Load, LoadProbe},
    statistics::Summary,
};
use worthit_machine::{BANDWIDTH_OF_ALL_CORES, Effort, Reading, Unit};
use worthit_pair::{format, pair::Unavailable};

/// All machine numbers of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Other load on the machine during the measurement; of several measurements, the least.
    pub load: Load,
    /// How many times the numbers were measured.
    #[serde(default = "once")]
    pub times: u64,
    /// The numbers, in the order of the table.
    pub numbers: Vec<Number>,
}

/// One machine number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// Stable name: `latency_l1`.
    pub id: String,
    /// Short description of what was measured.
    pub what: String,
    /// Unit of the readings.
    pub unit: Unit,
    /// Details of the method: sizes, instructions, devices.
    pub detail: String,
    /// The largest working set that this level of memory holds, bytes; `None` if it has no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_bytes: Option<u64>,
    /// Readings, or the reason why there are none.
    pub found: NumberOutcome,
}

/// Outcome of measuring a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberOutcome {
    /// The distribution of its readings.
    Readings(Summary),
    /// Reason why it cannot be measured here, and what to do about it.
    Unavailable(String),
}

/// A number in words, for tables and pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberRow {
    /// Description of what was measured.
    pub what: String,
    /// The median with its unit.
    pub median: String,
    /// First and third quartiles.
    pub quartiles: String,
    /// Minimum and maximum.
    pub range: String,
    /// Number of readings.
    pub readings: String,
    /// Details of the method, or why it was not measured.
    pub remark: String,
}

fn once() -> u64 {
    1
}

/// Measures all numbers in several passes. Readings within one pass agree better than two runs do: a
/// machine hardly varies within a tenth of a second, and memory stays where it was allocated.
pub fn measure(effort: &Effort) -> Numbers {
    let probe = LoadProbe::start();
    let mut all = worthit_machine::pass(effort);
    for _ in 1..effort.passes {
        all.iter_mut()
            .zip(worthit_machine::pass(effort))
            .for_each(|(number, again)| number.join(again));
    }
    Numbers { load: probe.load(), times: 1, numbers: all.into_iter().map(Number::from).collect() }
}

impl From<Reading> for Number {
    fn from(reading: Reading) -> Number {
        let Reading { id, what, unit, detail, holds_bytes, readings } = reading;
        let found = match readings.map(|readings| Summary::of(&readings)) {
            Ok(Some(summary)) => NumberOutcome::Readings(summary),
            Ok(None) => NumberOutcome::Unavailable("no reading is finite".to_owned()),
            Err(Unavailable(reason)) => NumberOutcome::Unavailable(reason),
        };
        Number { id, what, unit, detail, holds_bytes, found }
    }
}

impl Numbers {
    /// The number with this id, if it was measured.
    pub fn get(&self, id: &str) -> Option<&Number> {
        self.measured().find(|number| number.id == id)
    }

    /// The number for the nearest level of memory that holds a working set; `kind` is `LATENCY`,
    /// `INDEPENDENT_READ` or `BANDWIDTH`.
    pub fn at_level_of(&self, kind: &str, set_bytes: u64) -> Option<&Number> {
        let is_of_kind = |number: &&Number| {
            number.id.strip_prefix(kind).is_some_and(|level| level.starts_with('_'))
                && number.id != BANDWIDTH_OF_ALL_CORES
        };
        let levels = self.numbers.iter().filter(is_of_kind);
        let holding = levels.filter(|number| number.holds_bytes.is_none_or(|n| set_bytes <= n));
        // The nearest level or none: a slower level would make the limit too easy to reach.
        let nearest = holding.min_by_key(|number| number.holds_bytes.unwrap_or(u64::MAX));
        nearest.filter(|number| number.median().is_some())
    }

    /// Joins two measurements of one machine: of each number, the one with the better median.
    #[must_use]
    pub fn best_of(mut self, mut other: Numbers) -> Numbers {
        for number in &mut self.numbers {
            let again = other.numbers.iter_mut().find(|other| other.id == number.id);
            if let Some(again) = again.filter(|again| again.is_better_than(number)) {
                std::mem::swap(number, again);
            }
        }
        let taken = |load: &Load| load.steal + load.others;
        let load = if taken(&other.load) < taken(&self.load) { other.load } else { self.load };
        Numbers { load, times: self.times + other.times, ..self }
    }

    /// All numbers in words.
    pub fn rows(&self) -> Vec<NumberRow> {
        self.numbers.iter().map(Number::in_words).collect()
    }

    /// Describes other load during the measurement, a reason to doubt the numbers.
    pub fn load_in_words(&self) -> String {
        // Some numbers use several threads.
        if let Some(mark) = self.load.mark(2) {
            return format!(
                "Marked: {mark} during the measurement, so the machine can do better than this."
            );
        }
        let percent = |share: f64| format!("{} %", (share * 100.0).round());
        let Load { steal, others, .. } = self.load;
        format!(
            "Other processes used {} of the machine during the measurement, and the hypervisor took {}.",
            percent(others),
            percent(steal)
        )
    }

    /// Checks what the types cannot express: readings are positive, finite and in order.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        for number in self.measured() {
            let NumberOutcome::Readings(s) = number.found else { continue };
            let values = [s.min, s.lower_quartile, s.median, s.upper_quartile, s.max];
            if !(values.is_sorted() && s.min > 0.0 && s.max.is_finite()) {
                let problem = format!("{values:?} are not quartiles of readings");
                return Err((format!("numbers.{}", number.id), problem));
            }
        }
        Ok(())
    }

    fn measured(&self) -> impl Iterator<Item = &Number> {
        self.numbers.iter().filter(|number| number.median().is_some())
    }
}

impl Number {
    /// Median of the readings, if the number was measured.
    pub fn median(&self) -> Option<f64> {
        match &self.found {
            NumberOutcome::Readings(summary) => Some(summary.median),
            NumberOutcome::Unavailable(_) => None,
        }
    }

    fn is_better_than(&self, other: &Number) -> bool {
        match (self.ns_for(1.0), other.ns_for(1.0)) {
            (Some(own), Some(others)) => own < others,
            (own, _) => own.is_some(),
        }
    }

    /// Least time for `amount` operations, bytes or multiply-adds, ns.
    pub fn ns_for(&self, amount: f64) -> Option<f64> {
        let median = self.median()?;
        Some(match self.unit {
            Unit::Nanoseconds => amount * median,
            Unit::BytesPerNanosecond | Unit::MultiplyAddsPerNanosecond => amount / median,
        })
    }

    /// Formats a value with its unit: `81.3 ns`, `24.0 GB/s`.
    pub fn written(&self, value: f64) -> String {
        match self.unit {
            Unit::Nanoseconds => format::duration(value),
            Unit::BytesPerNanosecond => format!("{} GB/s", format::significant(value)),
            Unit::MultiplyAddsPerNanosecond => {
                format!("{} × 10⁹/s", format::significant(value))
            }
        }
    }

    fn in_words(&self) -> NumberRow {
        let what = self.what.clone();
        let between = |low, high| format!("{} … {}", self.written(low), self.written(high));
        match &self.found {
            NumberOutcome::Readings(s) => NumberRow {
                what,
                median: self.written(s.median),
                quartiles: between(s.lower_quartile, s.upper_quartile),
                range: between(s.min, s.max),
                readings: format::count(s.count),
                remark: self.detail.clone(),
            },
            NumberOutcome::Unavailable(reason) => NumberRow {
                what,
                median: format::NONE.to_owned(),
                quartiles: format::NONE.to_owned(),
                range: format::NONE.to_owned(),
                readings: "0".to_owned(),
                remark: format!("not measured: {}", reason.trim_start_matches("not measured: ")),
            },
        }
    }
}

/// Numbers for tests: each level of memory, and one of each other kind that sets a limit.
#[cfg(test)]
pub(crate) fn made() -> Numbers {
    use worthit_machine::{
        BANDWIDTH, FOLDHASH, FSYNC, INDEPENDENT_READ, LATENCY, LOOPBACK, PAGE_CACHE_WRITE,
        STATEMENT,
    };
    let number = |id: &str, unit, value: f64| {
        let readings = Ok(vec![value * 0.9, value, value * 1.2]);
        Number::from(Reading::of((id, id, unit), "made", readings))
    };
    let level = |kind: &str, name: &str, unit, value, holds_bytes| Number {
        holds_bytes,
        ..number(&format!("{kind}_{name}"), unit, value)
    };
    let (ns, rate) = (Unit::Nanoseconds, Unit::BytesPerNanosecond);
    let numbers = vec![
        level(LATENCY, "l1", ns, 1.0, Some(1_000)),
        level(LATENCY, "l2", ns, 4.0, Some(10_000)),
        level(LATENCY, "memory", ns, 100.0, None),
        level(INDEPENDENT_READ, "l1", ns, 0.5, Some(1_000)),
        level(INDEPENDENT_READ, "l2", ns, 1.0, Some(10_000)),
        level(INDEPENDENT_READ, "memory", ns, 10.0, None),
        level(BANDWIDTH, "l1", rate, 100.0, Some(1_000)),
        level(BANDWIDTH, "l2", rate, 50.0, Some(10_000)),
        level(BANDWIDTH, "memory", rate, 10.0, None),
        level(BANDWIDTH, "memory_all_cores", rate, 40.0, None),
        number(FOLDHASH, ns, 2.0),
        number(STATEMENT, ns, 500.0),
        number(FSYNC, ns, 1e6),
        number(LOOPBACK, ns, 2e4),
        number(PAGE_CACHE_WRITE, rate, 2.0),
    ];
    Numbers { load: Load::default(), times: 1, numbers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_machine::{BANDWIDTH, FOLDHASH, FSYNC, INDEPENDENT_READ, LATENCY};

    #[test]
    fn a_working_set_gets_the_number_of_the_nearest_level_that_holds_it() {
        let numbers = made();
        let at = |kind, bytes| numbers.at_level_of(kind, bytes).unwrap().id.as_str();
        assert_eq!([1_000, 1_001].map(|bytes| at(LATENCY, bytes)), ["latency_l1", "latency_l2"]);
        assert_eq!(at(INDEPENDENT_READ, 10_000), "independent_read_l2");
        assert_eq!(at(BANDWIDTH, 10_001), "bandwidth_memory", "of one core, not of all");
        let mut unknown = numbers.clone();
        unknown.numbers[1].found = NumberOutcome::Unavailable("no L2 is reported".to_owned());
        assert_eq!(unknown.at_level_of(LATENCY, 5_000), None, "memory would be too easy a limit");
    }

    #[test]
    fn every_number_of_this_machine_has_a_row_with_its_spread_or_a_reason() {
        let effort = Effort { passes: 2, readings: 2, file_bytes: 1 << 20, ..Effort::QUICK };
        let numbers = measure(&effort);
        let mut ids: Vec<&str> = numbers.numbers.iter().map(|number| number.id.as_str()).collect();
        assert_eq!(ids.len(), 36, "{ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 36, "{ids:?}");
        numbers.check().unwrap();
        for (number, row) in numbers.numbers.iter().zip(numbers.rows()) {
            match &number.found {
                NumberOutcome::Readings(summary) => {
                    // A percentile is one reading of a pass.
                    let readings = if number.id.ends_with("_p99") { 2 } else { 4 };
                    assert_eq!((summary.count, &row.readings), (readings, &readings.to_string()));
                    assert!(row.quartiles.contains(" … ") && !row.remark.is_empty(), "{row:?}");
                }
                NumberOutcome::Unavailable(reason) => {
                    assert!(!reason.is_empty() && row.remark.contains("not measured: "), "{row:?}");
                }
            }
        }
        let text = serde_json::to_string(&numbers).unwrap();
        assert_eq!(serde_json::from_str::<Numbers>(&text).unwrap(), numbers);
    }

    #[test]
    fn passes_join_into_one_number_unless_one_of_them_fails() {
        let made = |readings| Reading::of(("id", "what", Unit::Nanoseconds), "", readings);
        let joined = |first, second| {
            let mut number = made(first);
            number.join(made(second));
            Number::from(number).found
        };
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(
            joined(Ok(vec![1.0, 2.0]), Ok(vec![3.0, 4.0])),
            NumberOutcome::Readings(summary)
        );
        let gone = || Err(Unavailable("gone".to_owned()));
        for (first, second) in [(Ok(vec![1.0]), gone()), (gone(), Ok(vec![1.0]))] {
            assert_eq!(joined(first, second), NumberOutcome::Unavailable("gone".to_owned()));
        }
    }

    #[test]
    fn the_best_of_several_measurements_counts() {
        let with = |id: &str, factor: f64, steal| {
            let mut numbers = Numbers { load: Load { steal, ..Load::default() }, ..made() };
            let number = numbers.numbers.iter_mut().find(|number| number.id == id).unwrap();
            number.found =
                NumberOutcome::Readings(Summary::of(&[number.median().unwrap() * factor]).unwrap());
            numbers
        };
        let (bandwidth, memory) =
            ("bandwidth_memory", made().get("bandwidth_memory").unwrap().median());
        let disturbed = with(bandwidth, 0.5, 0.3);
        for joined in [disturbed.clone().best_of(made()), made().best_of(disturbed)] {
            assert_eq!(joined.get(bandwidth).unwrap().median(), memory, "a rate: more is better");
            assert_eq!((joined.times, joined.load.steal), (2, 0.0));
        }
        let quick = made().best_of(with(FSYNC, 0.5, 0.0));
        assert_eq!(quick.get(FSYNC).unwrap().median(), Some(5e5), "a time: less is better");
        let mut gone = made();
        gone.numbers[0].found = NumberOutcome::Unavailable("gone".to_owned());
        assert!(gone.best_of(made()).numbers[0].median().is_some());
    }

    #[test]
    fn a_number_that_cannot_be_measured_says_why_once() {
        let gone = Unavailable("not measured: /data is in memory (tmpfs)".to_owned());
        let number = Number::from(Reading::of((FSYNC, "flush", Unit::Nanoseconds), "", Err(gone)));
        assert_eq!(number.median(), None);
        let row = number.in_words();
        assert_eq!((row.median.as_str(), row.readings.as_str()), (format::NONE, "0"));
        assert_eq!(row.remark, "not measured: /data is in memory (tmpfs)");
    }

    #[test]
    fn impossible_readings_are_named() {
        let mut numbers = made();
        numbers.check().unwrap();
        let foldhash = numbers.numbers.iter_mut().find(|number| number.id == FOLDHASH).unwrap();
        let NumberOutcome::Readings(summary) = &mut foldhash.found else { unreachable!() };
        summary.median = -1.0;
        let (field, problem) = numbers.check().unwrap_err();
        assert_eq!(field, "numbers.foldhash");
        assert!(problem.contains("are not quartiles"), "{problem}");
    }
}
