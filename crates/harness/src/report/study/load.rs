//! The part of a study's page about its steps under load: a curve a step, and what became of the requests.

use crate::{
    report::{
        charts::{self, Axis, Division, Ink, Point, Series, Standing},
        figures::Figure,
        under_load::{LoadRow, at, row},
    },
    results::Objective,
    study::{AtUsers, StepResult, StudyResult},
};
use worthit_pair::{format, trial::LoadAtRate};

/// What the loads of a study showed.
pub struct LoadPart {
    /// How loads were sent.
    pub method: String,
    /// One chart a step.
    pub figures: Vec<Figure>,
    /// One row a load: the number of users, the memory of the step's processes, and the load.
    pub rows: Vec<(String, String, LoadRow)>,
    /// Whether the memory was read.
    pub has_memory: bool,
}

/// Makes the part of a study whose steps were put under load; `None` if they were not.
pub fn part(study: &StudyResult) -> Option<LoadPart> {
    let objective = study.objective?;
    let steps: Vec<&StepResult> =
        study.steps.iter().filter(|step| !step.at_users.is_empty()).collect();
    let loads = || steps.iter().flat_map(|step| &step.at_users);
    loads().next()?;
    Some(LoadPart {
        method: format!(
            "Open loop: requests are due at random times (a Poisson process), whether or not earlier ones have been answered, and \
             latency counts from when a request was due. {}",
            study.objective_in_words().unwrap_or_default()
        ),
        figures: figures(&steps, objective),
        rows: steps.iter().flat_map(|step| rows(step, objective)).collect(),
        has_memory: loads().any(|at_users| at_users.memory_bytes.is_some()),
    })
}

fn name(step: &StepResult) -> String {
    step.fix.as_ref().map_or("as it grew".to_owned(), |fix| format!("+ {}", fix.name))
}

fn rows(step: &StepResult, objective: Objective) -> Vec<(String, String, LoadRow)> {
    let of = |at_users: &AtUsers| {
        let users = format::count(at_users.users);
        let memory = at_users.memory_bytes;
        let memory = memory.map_or(format::NONE.to_owned(), |bytes| format::bytes(bytes as f64));
        let loads = by_rate(at_users).into_iter();
        let row = |load| (users.clone(), memory.clone(), row(&name(step), load, objective));
        loads.map(row).collect::<Vec<_>>()
    };
    step.at_users.iter().flat_map(of).collect()
}

fn by_rate(at_users: &AtUsers) -> Vec<&LoadAtRate> {
    let mut loads: Vec<&LoadAtRate> = at_users.loads.iter().collect();
    loads.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    loads
}

/// The lines of a step: its p99 against the rate, one for each number of users; or, where users think, against their number.
fn lines(step: &StepResult, objective: Objective) -> Vec<(String, Vec<Point>)> {
    let point = |x: f64, load: &LoadAtRate| {
        let ns = load.p99_us * 1e3;
        let is_sound = !load.is_void && load.failed == 0;
        let standing = if is_sound { Standing::Measured } else { Standing::Marked };
        Point { x, y: ns, low: ns, high: ns, standing }
    };
    if objective.is_searched {
        let line = |at_users: &AtUsers| {
            let points = by_rate(at_users).into_iter().map(|load| point(load.rate, load));
            (format!("{} users", format::count(at_users.users)), points.collect())
        };
        step.at_users.iter().map(line).collect()
    } else {
        let loads = step.at_users.iter();
        let points = loads
            .filter_map(|at_users| Some(point(at_users.users as f64, at_users.loads.first()?)));
        vec![("p99".to_owned(), points.collect())]
    }
}

/// Draws the p99 of the steps, a chart each, all with the same axes.
fn figures(steps: &[&StepResult], objective: Objective) -> Vec<Figure> {
    let all: Vec<Vec<(String, Vec<Point>)>> =
        steps.iter().map(|step| lines(step, objective)).collect();
    let points = || all.iter().flatten().flat_map(|(_, points)| points);
    let x: Vec<f64> = points().map(|point| point.x).collect();
    let y: Vec<f64> = points().map(|point| point.y).collect();
    let figure = |(step, lines): (&&StepResult, &Vec<(String, Vec<Point>)>)| {
        figure(&name(step), lines, objective, (&x, &y))
    };
    steps.iter().zip(&all).filter_map(figure).collect()
}

/// Draws the lines of a step; the places of all steps are `alike`.
fn figure(
    name: &str,
    lines: &[(String, Vec<Point>)],
    objective: Objective,
    alike: (&[f64], &[f64]),
) -> Option<Figure> {
    let series: Vec<Series> = lines
        .iter()
        .zip(Ink::LEVELS)
        .map(|((_, points), ink)| Series {
            ink,
            is_dashed: false,
            is_joined: true,
            points: points.clone(),
        })
        .collect();
    let x = Axis {
        name: if objective.is_searched { "requests/s" } else { "users" },
        division: Division::Logarithmic,
        ticks: &[],
        includes: None,
        alike: alike.0,
        format: &format::tick,
    };
    let y = Axis {
        name: "p99",
        division: Division::Logarithmic,
        ticks: &[],
        includes: Some(objective.p99_us as f64 * 1e3),
        alike: alike.1,
        format: &format::duration,
    };
    let svg = charts::plot(&x, &y, &series, &[])?;
    let values = lines.iter().map(|(line, points)| {
        let place = |x: f64| match objective.is_searched {
            true => at(x),
            false => format!("{} users", format::count(x as u64)),
        };
        let points = points.iter();
        let points =
            points.map(|point| format!("{} at {}", format::duration(point.y), place(point.x)));
        format!("{line}: {}", points.collect::<Vec<_>>().join(", "))
    });
    Some(Figure {
        svg,
        label: format!("{name}. {}", values.collect::<Vec<_>>().join(". ")),
        caption: format!(
            "{name}. The line is the objective; a cross had failed requests, or a generator that lagged."
        ),
        keys: lines
            .iter()
            .zip(Ink::LEVELS)
            .map(|((line, _), ink)| {
                let (marker, ink) = ink.key();
                (marker, ink, line.clone())
            })
            .collect(),
    })
}
