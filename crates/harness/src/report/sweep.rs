//! The tables of one sweep on the page of a pair: its cases, the growth of each side, and quartiles.

use super::{
    figures::{self, Figure, metric_figure, metric_of, samples_figure, written},
    finding,
};
use crate::{
    growth,
    results::{CaseResult, Outcome, PairResult, SideResult, Sweep},
    samples::Sample,
    statistics::Summary,
    table,
};
use worthit_pair::{cases, family::Entry, format, pair::Growth, trial::Role};

/// One sweep of a pair.
pub struct SweepPart {
    /// Label of its level; empty without one.
    pub level: String,
    /// Gain at its headline case.
    pub gain: String,
    /// Where the optimized side begins to win.
    pub break_even: String,
    /// The chart of the metric.
    pub metric: Option<Figure>,
    /// Names of the peers and alternatives that were measured.
    pub beside: Vec<String>,
    /// Its cases.
    pub cases: Vec<CaseRow>,
    /// The chart of the samples.
    pub samples: Option<Figure>,
    /// Quartiles of the sides of its cases.
    pub quartiles: Vec<QuartileRow>,
    /// What was observed while its cases were timed.
    pub observations: Vec<ObservationRow>,
    /// The growth that each side claims, and how the sweep compares.
    pub growth: Vec<GrowthRow>,
}

/// The growth of one side.
pub struct GrowthRow {
    /// The side.
    pub side: &'static str,
    /// What it claims.
    pub claim: String,
    /// The claim, fitted to all points but the last.
    pub fit: String,
    /// What the fit predicts for the last point.
    pub far_end: String,
}

/// Figures of one case, as text.
pub struct CaseRow {
    /// Its point on the axis.
    pub place: String,
    /// Its gain.
    pub gain: String,
    /// The metric of the naive side.
    pub naive: String,
    /// The metric of the optimized side.
    pub optimized: String,
    /// The metric of each side of [`SweepPart::beside`].
    pub beside: Vec<String>,
    /// Remarks.
    pub note: String,
}

/// The samples of one side of a case.
pub struct QuartileRow {
    /// Its point on the axis.
    pub place: String,
    /// The side.
    pub side: String,
    /// Minimum, lower quartile, median, upper quartile and maximum, with their names.
    pub values: Vec<(&'static str, String)>,
    /// Number of samples.
    pub count: u64,
}

/// What was observed while one side of a case was timed.
pub struct ObservationRow {
    /// Its point on the axis.
    pub place: String,
    /// The side.
    pub side: String,
    /// Name of the quantity.
    pub name: String,
    /// Median over the batches.
    pub median: String,
    /// Maximum over the batches.
    pub maximum: String,
}

/// Headings of [`QuartileRow::values`].
pub const QUARTILES: [&str; 5] =
    ["minimum", "lower quartile", "median", "upper quartile", "maximum"];

impl SweepPart {
    /// Makes the tables and charts of a sweep from its result and the samples of its pair.
    pub fn new(
        pair: &PairResult,
        sweep: &Sweep,
        samples: &[&Sample],
        entry: Option<&Entry>,
    ) -> SweepPart {
        let own: Vec<&Sample> =
            samples.iter().copied().filter(|sample| sample.level == sweep.level).collect();
        let beside: Vec<(Role, String)> = figures::roles_of(sweep)
            .into_iter()
            .filter(|role| !role.is_judged())
            .map(|role| (role, figures::side_name(sweep, role)))
            .collect();
        SweepPart {
            level: sweep.level.clone(),
            gain: finding::gain_at_headline(pair, sweep),
            break_even: table::break_even_of(sweep),
            metric: metric_figure(pair, sweep),
            cases: sweep.cases.iter().map(|case| case_row(pair, case, &beside)).collect(),
            beside: beside.into_iter().map(|(_, name)| name).collect(),
            samples: samples_figure(pair, sweep, &own),
            quartiles: sweep.cases.iter().flat_map(|case| quartile_rows(pair, case)).collect(),
            observations: sweep
                .cases
                .iter()
                .flat_map(|case| observation_rows(pair, case))
                .collect(),
            growth: entry.map_or(Vec::new(), |entry| growth_rows(entry, pair, sweep)),
        }
    }
}

/// The growth that each side claims, and how the sweep compares.
fn growth_rows(entry: &Entry, pair: &PairResult, sweep: &Sweep) -> Vec<GrowthRow> {
    let row = |(role, claim): (Role, Growth)| {
        let (fit, far_end) = match growth::check(claim, sweep, role) {
            Ok(check) => (
                format!(
                    "{} (± {} %)",
                    check.fit.in_words(claim),
                    format::significant(check.fit.error * 100.0)
                ),
                format!("{}: {}", pair.place(check.point), check.in_words()),
            ),
            Err(reason) => (format::NONE.to_owned(), reason.to_string()),
        };
        GrowthRow { side: cases::side_name(entry, role), claim: claim.to_string(), fit, far_end }
    };
    let is_computed = sweep.cases.iter().all(|case| case.measured().is_none());
    let claims = [(Role::Naive, entry.naive.growth), (Role::Optimized, entry.optimized.growth)];
    if is_computed { Vec::new() } else { claims.into_iter().map(row).collect() }
}

fn case_row(pair: &PairResult, case: &CaseResult, beside: &[(Role, String)]) -> CaseRow {
    let figure = |role| {
        let median = metric_of(pair, case, role).map(|(median, ..)| median);
        median.map_or("–".to_owned(), |median| written(pair.metric, median))
    };
    let mut notes = Vec::new();
    match &case.outcome {
        Outcome::Measured(found) => {
            notes.extend(found.mark.as_ref().map(|mark| format!("marked: {mark}")));
            if found.processes.len() > 1 {
                notes.push(format!("{} processes", found.processes.len()));
            }
            notes.extend(finding::beside(found).map(|side| format!("optimized against: {side}")));
        }
        Outcome::Computed(found) => {
            notes.push(format!("computed from {}, per iteration", found.from));
            notes.extend(
                found
                    .confirmation
                    .as_ref()
                    .map(|real| format!("measured at a real delay: {}", real.gain.as_gain())),
            );
        }
        Outcome::Unavailable { .. } => notes.push(table::one_line(&case.outcome)),
    }
    let gain = match &case.outcome {
        Outcome::Measured(found) => found.gain.as_gain(),
        Outcome::Computed(found) => format::times(found.gain),
        Outcome::Unavailable { .. } => "–".to_owned(),
    };
    CaseRow {
        place: pair.place(case.point),
        gain,
        naive: figure(Role::Naive),
        optimized: figure(Role::Optimized),
        beside: beside.iter().map(|(role, _)| figure(*role)).collect(),
        note: notes.join("; "),
    }
}

fn quartile_rows(pair: &PairResult, case: &CaseResult) -> Vec<QuartileRow> {
    let sides = case.measured().map_or(&[][..], |found| &found.sides);
    let row = |side: &SideResult| {
        let s = side.time_ns;
        let values = [s.min, s.lower_quartile, s.median, s.upper_quartile, s.max];
        QuartileRow {
            place: pair.place(case.point),
            side: side.name.clone(),
            values: QUARTILES.into_iter().zip(values.map(format::duration)).collect(),
            count: s.count,
        }
    };
    sides.iter().map(row).collect()
}

fn observation_rows(pair: &PairResult, case: &CaseResult) -> Vec<ObservationRow> {
    let sides = case.measured().map_or(&[][..], |found| &found.sides);
    let row = |side: &SideResult, id: &str, values: &Summary| {
        let (name, unit) = quantity(id);
        ObservationRow {
            place: pair.place(case.point),
            side: side.name.clone(),
            name,
            median: unit.write(values.median),
            maximum: unit.write(values.max),
        }
    };
    let rows = |side: &'_ SideResult| {
        side.observations.iter().map(|(id, values)| row(side, id, values)).collect::<Vec<_>>()
    };
    sides.iter().flat_map(rows).collect()
}

/// Unit of an observation.
enum Unit {
    Microseconds,
    Percent,
    Number,
}

impl Unit {
    fn write(&self, value: f64) -> String {
        match self {
            Unit::Microseconds => format::duration(value * 1e3),
            Unit::Percent => format!("{} %", format::number(value)),
            Unit::Number => format::number(value),
        }
    }
}

/// Splits the name of an observation: "generator_lag_max_us" is "generator lag max", in microseconds.
fn quantity(id: &str) -> (String, Unit) {
    let (name, unit) = if let Some(name) = id.strip_suffix("_us") {
        (name, Unit::Microseconds)
    } else if let Some(name) = id.strip_suffix("_percent") {
        (name, Unit::Percent)
    } else {
        (id, Unit::Number)
    };
    (name.replace('_', " "), unit)
}
