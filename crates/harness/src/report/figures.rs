//! The charts of a pair: gain and metric over the sweep, and samples in the order in which they ran.

use std::collections::BTreeSet;

use super::{
    charts::{self, Axis, Division, Ink, Point, Rule, Series, Standing},
    finding,
};
use crate::{
    results::{CaseResult, Outcome, PairResult, Sweep},
    samples::Sample,
    statistics::Crossing,
};
use worthit_pair::{causes, format, pair::Metric, trial::Role};

/// Maximum number of samples drawn for a sweep; more would overlap.
const DRAWN_SAMPLES: usize = 120;

/// A chart with its text alternative, caption and legend.
pub struct Figure {
    /// The chart.
    pub svg: String,
    /// Text alternative for screen readers.
    pub label: String,
    /// Caption below the chart.
    pub caption: String,
    /// Legend: marker, name of its ink, and meaning.
    pub keys: Vec<(&'static str, &'static str, String)>,
}

/// Name of the axis with its unit: "haystack, B".
pub fn axis_name(pair: &PairResult) -> String {
    if pair.axis_unit.is_empty() || pair.axis_unit == pair.axis {
        pair.axis.clone()
    } else {
        format!("{}, {}", pair.axis, pair.axis_unit)
    }
}

fn standing(case: &CaseResult) -> Standing {
    match &case.outcome {
        Outcome::Measured(found) if found.mark.is_some() => Standing::Marked,
        Outcome::Measured(_) => Standing::Measured,
        _ => Standing::Hollow,
    }
}

fn is_computed(sweep: &Sweep) -> bool {
    sweep.cases.iter().any(|case| matches!(case.outcome, Outcome::Computed(_)))
}

fn points_of(pair: &PairResult) -> Vec<f64> {
    let cases = pair.sweeps.iter().flat_map(|sweep| &sweep.cases);
    let mut points: Vec<f64> = cases.map(|case| case.point as f64).collect();
    points.sort_unstable_by(f64::total_cmp);
    points.dedup();
    points
}

/// Draws the gain over all sweeps of a pair in one chart.
pub fn gain_figure(pair: &PairResult) -> Option<Figure> {
    let (name, ticks) = (axis_name(pair), points_of(pair));
    let x = over_the_sweep(&name, &ticks);
    let y = Axis {
        name: "gain",
        division: Division::Logarithmic,
        ticks: &[],
        includes: Some(1.0),
        alike: &[],
        format: &|gain| format!("{}×", format::tick(gain)),
    };
    let inks = || Ink::LEVELS.into_iter().cycle();
    let series: Vec<Series> = pair
        .sweeps
        .iter()
        .zip(inks())
        .map(|(sweep, ink)| Series {
            ink,
            is_dashed: is_computed(sweep),
            is_joined: true,
            points: sweep
                .cases
                .iter()
                .filter_map(|case| {
                    let gain = finding::gain(case)?;
                    let (y, low, high) = (gain.estimate, gain.low, gain.high);
                    Some(Point { x: case.point as f64, y, low, high, standing: standing(case) })
                })
                .collect(),
        })
        .collect();
    let rules: Vec<Rule> = match pair.sweeps.as_slice() {
        [sweep] => break_evens(sweep),
        _ => vec![],
    };
    let svg = charts::plot(&x, &y, &series, &rules)?;
    let label = pair.sweeps.iter().map(|sweep| {
        let gains = sweep.cases.iter().filter_map(|case| {
            let gain = format::times(finding::gain(case)?.estimate);
            Some(format!("{gain} at {}", format::count(case.point)))
        });
        let gains: Vec<String> = gains.collect();
        format!("{} {}", sweep.level, gains.join(", "))
    });
    let label = format!("Gain against {name}. {}", label.collect::<Vec<_>>().join(". "));
    let keys = pair.sweeps.iter().zip(inks()).map(|(sweep, ink)| {
        let computed = if is_computed(sweep) { " (computed: dashed, hollow)" } else { "" };
        let name = if sweep.level.is_empty() { "gain" } else { &sweep.level };
        (ink.key().0, ink.key().1, format!("{name}{computed}"))
    });
    Some(Figure {
        svg,
        label,
        caption: "Gain (naive ÷ optimized) with its 95 % confidence interval. Above the 1× line the optimized side wins. A cross is a marked case.".to_owned(),
        keys: keys.collect(),
    })
}

fn break_evens(sweep: &Sweep) -> Vec<Rule> {
    let crossings =
        sweep.break_even.crossings.iter().filter(|crossing| crossing.at.estimate.is_finite());
    let rule = |crossing: &Crossing| Rule {
        at: crossing.at.estimate,
        label: format!("break-even {}", format::tick(crossing.at.estimate)),
    };
    crossings.map(rule).collect()
}

/// The horizontal axis of a sweep.
fn over_the_sweep<'a>(name: &'a str, ticks: &'a [f64]) -> Axis<'a> {
    let division = Division::Fitting;
    Axis { name, division, ticks, includes: None, alike: &[], format: &format::tick }
}

/// Formats a value of the metric with its unit.
pub fn written(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Time | Metric::P99Latency => format::duration(value),
        Metric::BytesHeld => format::bytes(value),
    }
}

/// The ink of a side.
pub fn ink_of(role: Role) -> Ink {
    match role {
        Role::Naive => Ink::Naive,
        Role::Optimized => Ink::Optimized,
        Role::Peer(0) => Ink::Peer,
        Role::Peer(_) | Role::Alternative(_) => Ink::Fourth,
    }
}

/// Median and quartiles of a side of a case; where there is one value, a counted or a computed one, it is all three.
pub fn metric_of(pair: &PairResult, case: &CaseResult, role: Role) -> Option<(f64, f64, f64)> {
    match &case.outcome {
        Outcome::Measured(found) if pair.metric == Metric::BytesHeld => {
            let bytes = found.count(role, causes::PEAK_BYTES.id)?;
            Some((bytes, bytes, bytes))
        }
        Outcome::Measured(found) => {
            let time = found.side(role)?.time_ns;
            Some((time.median, time.lower_quartile, time.upper_quartile))
        }
        Outcome::Computed(found) => match role {
            Role::Naive => Some((found.naive_ns, found.naive_ns, found.naive_ns)),
            Role::Optimized => Some((found.optimized_ns, found.optimized_ns, found.optimized_ns)),
            Role::Peer(_) | Role::Alternative(_) => None,
        },
        Outcome::Unavailable { .. } => None,
    }
}

/// Draws the metric of each side over one sweep.
pub fn metric_figure(pair: &PairResult, sweep: &Sweep) -> Option<Figure> {
    let (name, ticks) = (axis_name(pair), points_of(pair));
    let x = over_the_sweep(&name, &ticks);
    let metric = pair.metric;
    let y = Axis {
        name: "",
        division: Division::Logarithmic,
        ticks: &[],
        includes: None,
        alike: &[],
        format: &|value| written(metric, value),
    };
    let mut keys = Vec::new();
    let mut series = Vec::new();
    for role in roles_of(sweep) {
        let points: Vec<Point> = sweep
            .cases
            .iter()
            .filter_map(|case| {
                let (y, low, high) = metric_of(pair, case, role)?;
                Some(Point { x: case.point as f64, y, low, high, standing: standing(case) })
            })
            .collect();
        if points.is_empty() {
            continue;
        }
        let (marker, class) = ink_of(role).key();
        keys.push((marker, class, side_name(sweep, role)));
        let is_dashed = is_computed(sweep);
        series.push(Series { ink: ink_of(role), is_dashed, is_joined: true, points });
    }
    let rules: Vec<Rule> = break_evens(sweep);
    let svg = charts::plot(&x, &y, &series, &rules)?;
    let per = if is_computed(sweep) {
        "per iteration, computed: measured time + counted round trips × distance".to_owned()
    } else if metric == Metric::BytesHeld {
        "per iteration, counted".to_owned()
    } else {
        format!("per {} with quartiles", pair.unit)
    };
    let caption = format!("Median {} {per}.", metric.heading());
    Some(Figure {
        svg,
        label: format!("{caption} Plotted against {name}; the table has the values."),
        caption,
        keys,
    })
}

/// The roles of the sides that were measured in a sweep; those of a computed sweep are the judged ones.
pub fn roles_of(sweep: &Sweep) -> BTreeSet<Role> {
    let measured = sweep.cases.iter().filter_map(CaseResult::measured);
    let sides = measured.flat_map(|found| &found.sides).map(|side| side.role);
    sides.chain([Role::Naive, Role::Optimized]).collect()
}

/// Returns the name of a side of a sweep.
pub fn side_name(sweep: &Sweep, role: Role) -> String {
    let measured = sweep.cases.iter().find_map(CaseResult::measured);
    let side = measured.and_then(|found| found.side(role));
    side.map_or_else(|| role.to_string(), |side| side.name.clone())
}

/// Draws the samples of a sweep's headline case, in the order in which they were taken.
pub fn samples_figure(pair: &PairResult, sweep: &Sweep, samples: &[&Sample]) -> Option<Figure> {
    let point = finding::headline(pair, sweep)?.point;
    let own: Vec<&&Sample> =
        samples.iter().filter(|sample| sample.point == point && sample.side == "naive").collect();
    let step = own.len().div_ceil(DRAWN_SAMPLES).max(1);
    let drawn = || own.iter().enumerate().step_by(step);
    let point_at = |(i, y): (usize, f64)| Point {
        x: i as f64 + 1.0,
        y,
        low: y,
        high: y,
        standing: Standing::Measured,
    };
    let strip = |ink, time_of: &dyn Fn(&Sample) -> f64| Series {
        ink,
        is_dashed: false,
        is_joined: false,
        points: drawn().map(|(i, sample)| point_at((i, time_of(sample)))).collect(),
    };
    let series = [
        strip(Ink::Naive, &|sample| sample.side_ns),
        strip(Ink::Optimized, &|sample| sample.optimized_ns),
    ];
    let x = Axis {
        name: "paired batches, in execution order",
        division: Division::Linear,
        ticks: &[],
        includes: None,
        alike: &[],
        format: &format::tick,
    };
    let y = Axis {
        name: "",
        division: Division::Fitting,
        ticks: &[],
        includes: None,
        alike: &[],
        format: &format::duration,
    };
    let svg = charts::plot(&x, &y, &series, &[])?;
    let shown = if step > 1 { format!(", one in {step} drawn") } else { String::new() };
    let caption = format!(
        "{} paired batches at {}{shown}. A batch takes a few milliseconds, so both sides of a pair met the same machine state.",
        format::count(own.len() as u64),
        pair.place(point)
    );
    let key = |ink: Ink, name: &str| (ink.key().0, ink.key().1, name.to_owned());
    Some(Figure {
        svg,
        label: format!("Time per {} in each batch. {caption}", pair.unit),
        caption,
        keys: vec![key(Ink::Naive, "naive"), key(Ink::Optimized, "optimized")],
    })
}
