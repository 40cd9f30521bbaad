//! The scaling page: speedup and efficiency of each pair that varies its number of threads.

mod strong;

use askama::Template;

use super::{
    Material,
    charts::{self, Axis, Division, Ink, Point, Series, Standing},
    shell::{Shell, page_of},
};
use crate::{
    results::Measured,
    scaling::{self, Laws, relative_speedup},
    statistics::Interval,
};
use strong::Strong;
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
    svg: Option<String>,
    label: String,
    rows: Vec<SpeedupRow>,
    laws: Vec<String>,
    has_law: bool,
    /// Whether one thread was measured; if not, there is neither a speedup over it nor a law.
    has_one_thread: bool,
    are_threads_placed: bool,
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

/// Renders the scaling page of a run.
pub fn page(material: &Material<'_>) -> String {
    let run = material.run;
    let cores = run.machine.logical_cores;
    let parts = run.pairs.iter().flat_map(|(id, pair)| {
        let sweeps = strong::sweeps(pair).into_iter();
        sweeps.map(move |strong| part(id, &strong, &run.ceiling, cores))
    });
    let page = ScalingPage {
        shell: Shell::at_root("Scaling", "Scaling", material),
        cores,
        has_ceiling: !run.ceiling.is_empty(),
        parts: parts.collect(),
    };
    page.render().expect("rendering into memory cannot fail")
}

fn part(id: &str, strong: &Strong<'_>, ceiling: &[scaling::Point], cores: u64) -> ScalingPart {
    let one = strong.one_thread();
    let against_one = one.map_or_else(Vec::new, |one| speedups(strong, one, Role::Optimized));
    // Both sides of a gain ran on the same number of threads.
    let against_naive = match one {
        Some(one) => speedups(strong, one, Role::Naive),
        None => {
            let gain = |(threads, found): &(u64, &Measured)| scaling::Point {
                threads: *threads,
                speedup: found.gain,
            };
            strong.cases.iter().map(gain).collect()
        }
    };
    let bandwidths: Vec<(u64, f64)> = strong.cases.iter().filter_map(bandwidth).collect();
    let marks: Vec<u64> =
        strong.cases.iter().filter(|(_, found)| found.mark.is_some()).map(|case| case.0).collect();
    let laws = Laws::of(&against_one, cores);
    let predicted = |point: &scaling::Point| {
        let speedup = Interval::exact(laws.predict(point.threads)?);
        Some(scaling::Point { threads: point.threads, speedup })
    };
    let fitted: Vec<scaling::Point> = against_one.iter().filter_map(predicted).collect();
    let (shown, over) = match one {
        Some(_) => (&against_one, "Speedup over one thread"),
        None => (&against_naive, "Gain over the naive side"),
    };
    let figures: Vec<String> = shown
        .iter()
        .map(|point| format!("{} at {}", format::times(point.speedup.estimate), point.threads))
        .collect();
    let drawn_ceiling = if one.is_some() { ceiling } else { &[] };
    ScalingPart {
        id: id.to_owned(),
        page: page_of(id),
        what: strong.what.clone(),
        svg: chart([&against_one, &against_naive, drawn_ceiling, &fitted], &marks),
        label: format!("{over} by number of threads: {}", figures.join(", ")),
        rows: rows(strong, [&against_one, &against_naive, ceiling], &bandwidths),
        laws: if one.is_some() { laws.in_words() } else { Vec::new() },
        has_law: !fitted.is_empty(),
        has_one_thread: one.is_some(),
        are_threads_placed: strong.cases.iter().all(|(_, found)| found.are_threads_placed),
        wall: memory_wall(&bandwidths).map(|threads| {
            format!("Memory wall: beyond {threads} threads, bandwidth no longer grows.")
        }),
        has_bandwidth: !bandwidths.is_empty(),
        has_marks: !marks.is_empty(),
    }
}

/// Returns the speedups of the optimized side over this side on one thread.
fn speedups(strong: &Strong<'_>, one: &Measured, base: Role) -> Vec<scaling::Point> {
    let time = |found: &Measured, role| found.side(role).map(|side| side.time_ns);
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
}

fn rows(
    strong: &Strong<'_>,
    [against_one, against_naive, ceiling]: [&[scaling::Point]; 3],
    bandwidths: &[(u64, f64)],
) -> Vec<SpeedupRow> {
    let none = || format::NONE.to_owned();
    let point_at = |points: &[scaling::Point], threads| {
        points.iter().find(|point| point.threads == threads).copied()
    };
    let words =
        |point: Option<scaling::Point>| point.map_or_else(none, |point| point.speedup.as_gain());
    let row = |(threads, found): &(u64, &Measured)| {
        let relative = point_at(against_one, *threads);
        let streamed = bandwidths.iter().find(|(measured_on, _)| measured_on == threads);
        SpeedupRow {
            threads: *threads,
            against_one: words(relative),
            efficiency: relative.map_or_else(none, |point| {
                format!("{} %", format::significant(point.efficiency().estimate * 100.0))
            }),
            against_naive: words(point_at(against_naive, *threads)),
            ceiling: words(point_at(ceiling, *threads)),
            bandwidth: streamed
                .map_or_else(none, |(_, rate)| format!("{} GB/s", format::significant(*rate))),
            mark: found.mark.is_some(),
        }
    };
    strong.cases.iter().map(row).collect()
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
