//! The part of a pair's page about open-loop load: latency against rate, and the capacity at the objective.

use super::{
    charts::{self, Axis, Division, Ink, Point, Series, Standing},
    figures::Figure,
};
use crate::{
    capacity::Capacity,
    results::{Measured, Objective, PairResult, SideResult},
};
use worthit_pair::{
    format,
    trial::{LoadAtRate, Role},
};

/// What the loads of a pair showed.
pub struct UnderLoadPart {
    /// What was sent, and to which case.
    pub method: String,
    /// What each side could serve, and how many times as much the optimized side could.
    pub findings: Vec<String>,
    /// One chart a percentile.
    pub figures: Vec<Figure>,
    /// One row a load, ascending in rate, the naive side's first.
    pub rows: Vec<LoadRow>,
}

/// One load, as text.
pub struct LoadRow {
    /// The side.
    pub side: String,
    /// Requests a second.
    pub rate: String,
    /// Median, 99th and 99.9th percentile, and maximum of latency.
    pub latencies: [String; 4],
    /// Failed requests.
    pub failed: String,
    /// Requests that were sent late, and by how much.
    pub generator: String,
    /// Whether the objective was met.
    pub verdict: &'static str,
}

/// Headings of [`LoadRow::latencies`].
pub const LATENCIES: [&str; 4] = ["p50", "p99", "p99.9", "maximum"];

/// A percentile of latency, and how a load tells it, µs.
type Percentile = (&'static str, fn(&LoadAtRate) -> f64);

const PERCENTILES: [Percentile; 3] =
    [("p50", |load| load.p50_us), ("p99", |load| load.p99_us), ("p99.9", |load| load.p999_us)];

/// Makes the part of a pair that was put under load; `None` if it was not.
pub fn part(pair: &PairResult) -> Option<UnderLoadPart> {
    let objective = pair.objective?;
    let cases =
        pair.sweeps.iter().flat_map(|sweep| sweep.cases.iter().map(move |case| (sweep, case)));
    let mut measured = cases.filter_map(|(sweep, case)| Some((sweep, case, case.measured()?)));
    let is_loaded = |measured: &Measured| measured.sides.iter().any(|side| !side.loads.is_empty());
    let (sweep, case, measured) = measured.find(|(_, _, measured)| is_loaded(measured))?;
    let sides: Vec<&SideResult> =
        measured.sides.iter().filter(|side| !side.loads.is_empty()).collect();
    let level = if sweep.level.is_empty() { String::new() } else { format!("{}, ", sweep.level) };
    let place = format!("{level}{}", pair.place(case.point));
    let p99 = format::duration(objective.p99_us as f64 * 1e3);
    Some(UnderLoadPart {
        method: format!(
            "Open loop at {place}: requests are due at random times (a Poisson process), whether or not earlier ones have \
             been answered, and latency counts from when a request was due. The objective is a 99th percentile of at most \
             {p99} and no failed request.{}",
            measured.mark.as_ref().map_or(String::new(), |mark| format!(" Marked: {mark}."))
        ),
        findings: findings(measured, &sides, objective),
        figures: PERCENTILES
            .iter()
            .filter_map(|percentile| figure(&sides, *percentile, objective))
            .collect(),
        rows: sides.iter().flat_map(|side| rows(side, objective)).collect(),
    })
}

fn findings(measured: &Measured, sides: &[&SideResult], objective: Objective) -> Vec<String> {
    if !objective.is_searched {
        let sentence = |side: &SideResult, load: &LoadAtRate| {
            format!(
                "At {} the {} side's p50 is {} and its p99 {}.",
                at(load.rate),
                side.name,
                format::duration(load.p50_us * 1e3),
                format::duration(load.p99_us * 1e3)
            )
        };
        let both = sides.iter();
        return both.flat_map(|side| side.loads.iter().map(|load| sentence(side, load))).collect();
    }
    let mut findings: Vec<String> = sides
        .iter()
        .filter_map(|side| {
            Some(format!(
                "The {} side {}.",
                side.name,
                in_words(measured.capacity(side.role, objective)?)
            ))
        })
        .collect();
    let held = |role| measured.capacity(role, objective)?.held;
    if let Some((naive, optimized)) = held(Role::Naive).zip(held(Role::Optimized)) {
        findings.push(format!(
            "At the objective, the optimized side has {} the capacity.",
            format::times(optimized / naive)
        ));
    }
    findings
}

/// "holds 1,950 requests/s, and misses the objective at 2,010 requests/s"
fn in_words(capacity: Capacity) -> String {
    match (capacity.held, capacity.missed) {
        (Some(held), Some(missed)) => {
            format!("holds {}, and misses the objective at {}", at(held), at(missed))
        }
        (Some(held), None) => format!("holds {}, the highest rate that was tried", at(held)),
        (None, Some(missed)) => {
            format!("misses the objective even at {}, the lowest rate that was tried", at(missed))
        }
        (None, None) => "has no known capacity: the load generator lagged".to_owned(),
    }
}

/// "1,950 requests/s"
pub fn at(rate: f64) -> String {
    format!("{} requests/s", format::count(rate.round() as u64))
}

fn by_rate(side: &SideResult) -> Vec<&LoadAtRate> {
    let mut loads: Vec<&LoadAtRate> = side.loads.iter().collect();
    loads.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    loads
}

fn ink(role: Role) -> Ink {
    if role == Role::Naive { Ink::Naive } else { Ink::Optimized }
}

/// Draws one percentile of both sides against the rate; the objective is a line where it is about this percentile.
fn figure(sides: &[&SideResult], (name, of): Percentile, objective: Objective) -> Option<Figure> {
    let x = Axis {
        name: "requests/s",
        division: Division::Logarithmic,
        ticks: &[],
        includes: None,
        alike: &[],
        format: &format::tick,
    };
    let line = (name == "p99").then_some(objective.p99_us as f64 * 1e3);
    let y = Axis {
        name: "latency",
        division: Division::Logarithmic,
        ticks: &[],
        includes: line,
        alike: &[],
        format: &format::duration,
    };
    let point = |load: &LoadAtRate| {
        let ns = of(load) * 1e3;
        let standing = if load.is_void { Standing::Marked } else { Standing::Measured };
        Point { x: load.rate, y: ns, low: ns, high: ns, standing }
    };
    let series: Vec<Series> = sides
        .iter()
        .map(|side| Series {
            ink: ink(side.role),
            is_dashed: false,
            is_joined: true,
            points: by_rate(side).into_iter().map(point).collect(),
        })
        .collect();
    let svg = charts::plot(&x, &y, &series, &[])?;
    let values = sides.iter().map(|side| {
        let loads = by_rate(side);
        let values = loads
            .iter()
            .map(|load| format!("{} at {}", format::duration(of(load) * 1e3), at(load.rate)));
        format!("{}: {}", side.name, values.collect::<Vec<_>>().join(", "))
    });
    let remark = if line.is_some() { " The line is the objective." } else { "" };
    Some(Figure {
        svg,
        label: format!("{name} of latency. {}", values.collect::<Vec<_>>().join(". ")),
        caption: format!(
            "{name} of latency from when a request was due, against the rate.{remark}"
        ),
        keys: sides
            .iter()
            .map(|side| {
                let (marker, ink) = ink(side.role).key();
                (marker, ink, side.name.clone())
            })
            .collect(),
    })
}

fn rows(side: &SideResult, objective: Objective) -> Vec<LoadRow> {
    by_rate(side).into_iter().map(|load| row(&side.name, load, objective)).collect()
}

/// Returns a load as text. `side` names what was loaded.
pub fn row(side: &str, load: &LoadAtRate, objective: Objective) -> LoadRow {
    let micros = |us: f64| format::duration(us * 1e3);
    let kinds = load.failures.iter().filter(|(_, count)| **count > 0);
    let kinds: Vec<String> =
        kinds.map(|(kind, count)| format!("{kind} {}", format::count(*count))).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    LoadRow {
        side: side.to_owned(),
        rate: at(load.rate),
        latencies: [load.p50_us, load.p99_us, load.p999_us, load.max_us].map(micros),
        failed: format!(
            "{} of {}{kinds}",
            format::count(load.failed),
            format::count(load.requests)
        ),
        generator: format!("{} late, p99 {}", format::count(load.late), micros(load.lag_p99_us)),
        verdict: match load.meets(objective.p99()) {
            Some(true) => "met",
            Some(false) => "missed",
            None => "void: the generator lagged",
        },
    }
}
