//! The scaling page: speedup and efficiency of each pair that varies its number of threads.

use std::fmt::Display;

use askama::Template;

use super::{
    Material,
    charts::{self, Axis, Division, Ink, Point, Series, Standing},
    shell::{Shell, page_of},
};
use crate::{
    results::{Measured, PairResult},
    scaling::{self, Amdahl, NoFit, Usl, relative_speedup},
    statistics::Interval,
};
use worthit_pair::{format, limit::Need, trial::Role};

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
    svg: String,
    label: String,
    rows: Vec<SpeedupRow>,
    fits: Vec<String>,
    has_fit: bool,
    wall: Option<String>,
    has_bandwidth: bool,
    has_marks: bool,
}

/// Speedup on one thread count.
struct SpeedupRow {
    threads: u64,
    against_one: String,
    efficiency: String,
    against_naive: String,
    ceiling: String,
    bandwidth: String,
    mark: bool,
}

/// The same work on several thread counts.
struct Strong<'a> {
    what: String,
    cases: Vec<(u64, &'a Measured)>,
}

/// Renders the scaling page of a run.
pub fn page(material: &Material<'_>) -> String {
    let run = material.run;
    let cores = run.machine.logical_cores;
    let mut parts = Vec::new();
    for (id, pair) in &run.pairs {
        for strong in strong_sweeps(pair) {
            parts.extend(part(id, &strong, &run.ceiling, cores));
        }
    }
    let page = ScalingPage {
        shell: Shell::at_root("Scaling", "Scaling", material),
        cores,
        has_ceiling: !run.ceiling.is_empty(),
        parts,
    };
    page.render().expect("rendering into memory cannot fail")
}

/// Returns the sweeps over threads: along the axis, or over the levels of a parameter at the last
/// point that was measured at every level.
fn strong_sweeps(pair: &PairResult) -> Vec<Strong<'_>> {
    if pair.axis == "threads" {
        let strong = pair.sweeps.iter().map(|sweep| Strong {
            what: sweep.level.clone(),
            cases: sweep
                .cases
                .iter()
                .filter_map(|case| Some((case.point, case.measured()?)))
                .collect(),
        });
        return strong.collect();
    }
    if pair.parameter.as_deref() != Some("threads") {
        return Vec::new();
    }
    let cases_at = |point: u64| -> Option<Vec<(u64, &Measured)>> {
        let threads_of = |sweep: &'_ crate::results::Sweep| -> Option<u64> {
            sweep.level.strip_prefix("threads=")?.parse().ok()
        };
        pair.sweeps
            .iter()
            .map(|sweep| {
                let case = sweep.cases.iter().find(|case| case.point == point)?;
                Some((threads_of(sweep)?, case.measured()?))
            })
            .collect()
    };
    let points = pair.sweeps.first().map_or(&[][..], |sweep| &sweep.cases);
    let last = points.iter().rev().find_map(|case| Some((case.point, cases_at(case.point)?)));
    last.into_iter().map(|(point, cases)| Strong { what: pair.place(point), cases }).collect()
}

fn part(
    id: &str,
    strong: &Strong<'_>,
    ceiling: &[scaling::Point],
    cores: u64,
) -> Option<ScalingPart> {
    let (_, one) = strong.cases.iter().find(|(threads, _)| *threads == 1)?;
    let time = |found: &Measured, role| found.side(role).map(|side| side.time_ns);
    let speedups = |base: Role| -> Vec<scaling::Point> {
        let base_time = time(one, base);
        let speedup_over_base = |(threads, found): &(u64, &Measured)| {
            // One thread over itself is 1 by definition.
            let speedup = match (*threads, base) {
                (1, Role::Optimized) => Interval::exact(1.0),
                _ => relative_speedup(&base_time?, &time(found, Role::Optimized)?)?,
            };
            Some(scaling::Point { threads: *threads, speedup })
        };
        strong.cases.iter().filter_map(speedup_over_base).collect()
    };
    let (against_one, against_naive) = (speedups(Role::Optimized), speedups(Role::Naive));
    let point_at = |points: &[scaling::Point], threads| {
        points.iter().find(|point| point.threads == threads).copied()
    };
    let words = |point: Option<scaling::Point>| {
        point.map_or("–".to_owned(), |point| point.speedup.as_gain())
    };
    let bandwidths: Vec<(u64, f64)> = strong.cases.iter().filter_map(bandwidth).collect();
    let rows = strong.cases.iter().map(|(threads, found)| {
        let relative = point_at(&against_one, *threads);
        let streamed = bandwidths.iter().find(|(measured_on, _)| measured_on == threads);
        SpeedupRow {
            threads: *threads,
            against_one: words(relative),
            efficiency: relative.map_or("–".to_owned(), |point| {
                format!("{} %", format::significant(point.efficiency().estimate * 100.0))
            }),
            against_naive: words(point_at(&against_naive, *threads)),
            ceiling: words(point_at(ceiling, *threads)),
            bandwidth: streamed.map_or("–".to_owned(), |(_, rate)| {
                format!("{} GB/s", format::significant(*rate))
            }),
            mark: found.mark.is_some(),
        }
    });
    let amdahl = Amdahl::fit(&against_one, cores);
    let usl = Usl::fit(&against_one, cores);
    let fits = vec![in_words("Amdahl's law", &amdahl), in_words("Universal Scalability Law", &usl)];
    let marks: Vec<u64> =
        strong.cases.iter().filter(|(_, found)| found.mark.is_some()).map(|case| case.0).collect();
    let fitted: Vec<scaling::Point> = against_one
        .iter()
        .filter_map(|point| {
            let amdahl = amdahl.as_ref().map(|fit| fit.predict(point.threads));
            let speedup = usl.as_ref().map(|fit| fit.predict(point.threads)).or(amdahl).ok()?;
            Some(scaling::Point { threads: point.threads, speedup: Interval::exact(speedup) })
        })
        .collect();
    let svg = chart([&against_one, &against_naive, ceiling, &fitted], &marks)?;
    let figures: Vec<String> = against_one
        .iter()
        .map(|point| format!("{} at {}", format::times(point.speedup.estimate), point.threads))
        .collect();
    Some(ScalingPart {
        id: id.to_owned(),
        page: page_of(id),
        what: strong.what.clone(),
        svg,
        label: format!("Speedup over one thread by number of threads: {}", figures.join(", ")),
        rows: rows.collect(),
        fits,
        has_fit: !fitted.is_empty(),
        wall: memory_wall(&bandwidths).map(|threads| {
            format!("Memory wall: beyond {threads} threads, bandwidth no longer grows.")
        }),
        has_bandwidth: !bandwidths.is_empty(),
        has_marks: !marks.is_empty(),
    })
}

/// The fit with the name of its law, or why there is none; the reason names the law itself.
fn in_words(law: &str, fit: &Result<impl Display, NoFit>) -> String {
    fit.as_ref().map_or_else(NoFit::to_string, |fit| format!("{law}: {fit}"))
}

/// Bandwidth of the optimized side in bytes per nanosecond (GB/s), if its limit is a stream.
fn bandwidth((threads, found): &(u64, &Measured)) -> Option<(u64, f64)> {
    let needed = found.needed.iter().find(|needed| needed.kind == Need::BytesStreamed)?;
    let time = found.side(Role::Optimized)?.time_ns.median * found.units_per_iteration as f64;
    let rate = needed.amount as f64 / time;
    (rate.is_finite() && rate > 0.0).then_some((*threads, rate))
}

/// The thread count beyond which the next one raises the bandwidth by less than a tenth.
fn memory_wall(bandwidths: &[(u64, f64)]) -> Option<u64> {
    bandwidths.windows(2).find(|two| two[1].1 < two[0].1 * 1.1).map(|two| two[0].0)
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
    let ticks: Vec<f64> = against_one.iter().map(|point| point.threads as f64).collect();
    let x = Axis {
        name: "threads",
        division: Division::Logarithmic,
        ticks: &ticks,
        includes: None,
        format: &format::tick,
    };
    let y = Axis {
        name: "speedup",
        division: Division::Logarithmic,
        ticks: &[],
        includes: Some(1.0),
        format: &|speedup| format!("{}×", format::tick(speedup)),
    };
    charts::plot(&x, &y, &series, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_wall_is_where_bandwidth_stops_growing() {
        assert_eq!(memory_wall(&[(1, 10.0), (2, 19.0), (4, 20.0), (8, 20.0)]), Some(2));
        assert_eq!(memory_wall(&[(1, 10.0), (2, 20.0), (4, 39.0)]), None);
        assert_eq!(memory_wall(&[]), None);
    }
}
