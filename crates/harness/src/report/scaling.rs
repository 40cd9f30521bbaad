//! The scaling page: speedup and efficiency of each pair that varies its number of threads.

use askama::Template;

use super::{
    Material,
    charts::{self, Axis, Division, Ink, Point, Series, Standing},
    shell::{Shell, page_of},
};
use crate::{
    results::Run,
    scaling,
    statistics::Interval,
    strong_scaling::{self, Shown, SpeedupRow, Strong},
};
use worthit_pair::format;

#[derive(Template)]
#[template(path = "scaling.html")]
struct ScalingPage {
    shell: Shell,
    cores: u64,
    has_ceiling: bool,
    parts: Vec<ScalingPart>,
}

/// The strong scaling of one pair.
struct ScalingPart {
    id: String,
    page: String,
    what: String,
    svg: Option<String>,
    label: String,
    rows: Vec<SpeedupRow>,
    laws: Vec<String>,
    has_law: bool,
    has_one_thread: bool,
    are_threads_placed: bool,
    wall: Option<String>,
    has_bandwidth: bool,
    has_remarks: bool,
}

/// Renders the scaling page of a run.
pub fn page(material: &Material<'_>) -> String {
    let run = material.run;
    let cores = run.machine.logical_cores;
    let parts = run.pairs.iter().flat_map(|(id, pair)| {
        let sweeps = strong_scaling::sweeps(pair).into_iter();
        sweeps.map(move |strong| part(id, &strong, run))
    });
    let page = ScalingPage {
        shell: Shell::at_root("Scaling", "Scaling", material),
        cores,
        has_ceiling: !run.ceiling.is_empty(),
        parts: parts.collect(),
    };
    page.render().expect("rendering into memory cannot fail")
}

fn part(id: &str, strong: &Strong<'_>, run: &Run) -> ScalingPart {
    let found = Shown::of(strong, run);
    let marks: Vec<u64> =
        strong.cases.iter().filter(|(_, found)| found.mark.is_some()).map(|case| case.0).collect();
    let predicted = |point: &scaling::Point| {
        let speedup = Interval::exact(found.laws.predict(point.threads)?);
        Some(scaling::Point { threads: point.threads, speedup })
    };
    let fitted: Vec<scaling::Point> = found.against_one.iter().filter_map(predicted).collect();
    let (shown, over) = match found.has_one_thread {
        true => (&found.against_one, "Speedup over one thread"),
        false => (&found.against_naive, "Gain over the naive side"),
    };
    let figures: Vec<String> = shown
        .iter()
        .map(|point| format!("{} at {}", format::times(point.speedup.estimate), point.threads))
        .collect();
    let drawn_ceiling = if found.has_one_thread { run.ceiling.as_slice() } else { &[] };
    ScalingPart {
        id: id.to_owned(),
        page: page_of(id),
        what: strong.what.clone(),
        svg: chart([&found.against_one, &found.against_naive, drawn_ceiling, &fitted], &marks),
        label: format!("{over} by number of threads: {}", figures.join(", ")),
        laws: found.laws_in_words(),
        has_law: !fitted.is_empty(),
        has_one_thread: found.has_one_thread,
        are_threads_placed: strong.cases.iter().all(|(_, found)| found.are_threads_placed),
        wall: found.wall_in_words(),
        has_bandwidth: !found.bandwidths.is_empty(),
        has_remarks: found.rows.iter().any(|row| !row.remarks.is_empty()),
        rows: found.rows,
    }
}

/// Draws the speedups over one thread and over the naive side, the ceiling and the fitted law.
fn chart(
    [against_one, against_naive, ceiling, fitted]: [&[scaling::Point]; 4],
    marks: &[u64],
) -> Option<String> {
    let line = |ink, is_dashed, points: &[scaling::Point]| Series {
        ink,
        is_dashed,
        is_joined: true,
        points: points
            .iter()
            .map(|point| {
                let Interval { low, estimate, high } = point.speedup;
                let is_measured = matches!(ink, Ink::Naive | Ink::Optimized);
                let is_marked = is_measured && marks.contains(&point.threads);
                let standing = if is_marked { Standing::Marked } else { Standing::Measured };
                Point { x: point.threads as f64, y: estimate, low, high, standing }
            })
            .collect(),
    };
    let ideal: Vec<scaling::Point> = against_one
        .iter()
        .map(|point| scaling::Point {
            threads: point.threads,
            speedup: Interval::exact(point.threads as f64),
        })
        .collect();
    let series = [
        line(Ink::Bound, true, &ideal),
        line(Ink::Fourth, true, ceiling),
        line(Ink::Peer, true, fitted),
        line(Ink::Naive, false, against_naive),
        line(Ink::Optimized, false, against_one),
    ];
    let ticks: Vec<f64> = against_naive.iter().map(|point| point.threads as f64).collect();
    let x = Axis {
        name: "threads",
        division: Division::Logarithmic,
        ticks: &ticks,
        includes: None,
        alike: &[],
        format: &format::tick,
    };
    let y = Axis {
        name: if against_one.is_empty() { "gain" } else { "speedup" },
        division: Division::Logarithmic,
        ticks: &[],
        includes: Some(1.0),
        alike: &[],
        format: &|speedup| format!("{}×", format::tick(speedup)),
    };
    charts::plot(&x, &y, &series, &[])
}
