//! The trends page: gains over the runs of a history, one line per machine key, and the changes of level.
//!
//! It draws the headline of each sweep and every other case whose gain changed. Lines of different
//! machine keys share a chart but are never joined.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;

use super::{
    Material,
    charts::{self, Axis, Division, Ink, Point, Rule, Series, Standing},
    figures::Figure,
    shell::{Shell, page_of},
};
use crate::history::{ChangePoint, GAIN, Origin, Place, Reading, TrendLine};
use worthit_pair::{cases, format};

/// Number of latest runs drawn in a chart; more would overlap.
const DRAWN_RUNS: usize = 200;
/// Number of latest runs listed below a chart.
const LISTED_RUNS: usize = 20;
/// Number of latest changes listed for a pair.
const LISTED_CHANGES: usize = 20;
/// Share of a chart's width that the label of a rule needs.
const LABEL_WIDTH: f64 = 0.3;

#[derive(Template)]
#[template(path = "trends.html")]
struct Trends {
    shell: Shell,
    parts: Vec<TrendsPart>,
}

/// The trends of one pair.
struct TrendsPart {
    id: String,
    page: Option<String>,
    changes: Vec<String>,
    more_changes: usize,
    trends: Vec<Trend>,
}

/// The trend of one case.
struct Trend {
    what: String,
    figure: Figure,
    rows: Vec<RunRow>,
    more_rows: String,
}

/// One run of a trend.
struct RunRow {
    date: String,
    revision: String,
    machine_key: String,
    gain: String,
    remarks: String,
}

/// A line with its changes.
type Changed<'a> = (&'a TrendLine, Vec<ChangePoint>);

/// Renders the page of the lines of a history.
pub fn page(material: &Material<'_>, lines: &[TrendLine]) -> String {
    let mut pairs: BTreeMap<&str, Vec<Changed<'_>>> = BTreeMap::new();
    for line in lines {
        pairs.entry(&line.place.case.pair).or_default().push((line, line.changes()));
    }
    let parts = pairs.into_iter().map(|(id, lines)| part(material, id, &lines));
    let page = Trends {
        shell: Shell::at_root("Trends", "Trends", material),
        parts: parts.filter(|part| !part.trends.is_empty()).collect(),
    };
    page.render().expect("rendering into memory cannot fail")
}

fn part(material: &Material<'_>, id: &str, lines: &[Changed<'_>]) -> TrendsPart {
    let where_ = |place: &Place| where_of(material, place);
    let mut changes: Vec<(&Origin, String)> = Vec::new();
    for (line, found) in lines {
        changes.extend(found.iter().map(|change| {
            let origin = &*line.readings[change.at].0;
            (origin, change_in_words(line, change, &where_(&line.place)))
        }));
    }
    changes.sort_by_key(|(origin, _)| std::cmp::Reverse(origin.started));
    let headline = material.entry(id).map(|entry| cases::headline(entry, 0).key.point);
    let gains: Vec<&Changed<'_>> = lines.iter().filter(|(line, _)| is_gain(&line.place)).collect();
    let mut trends = Vec::new();
    for level in gains.chunk_by(|a, b| a.0.place.case.level == b.0.place.case.level) {
        let points = || level.iter().map(|(line, _)| line.place.case.point);
        let shown = points().find(|point| Some(*point) == headline).or(points().next_back());
        for case in level.chunk_by(|a, b| a.0.place.case.point == b.0.place.case.point) {
            let place = &case[0].0.place;
            if shown == Some(place.case.point)
                || case.iter().any(|(_, changes)| !changes.is_empty())
            {
                // Machine keys beyond the number of inks go to another chart.
                let charts = case.chunks(Ink::LEVELS.len());
                trends.extend(charts.filter_map(|lines| trend(lines, &where_(place))));
            }
        }
    }
    TrendsPart {
        id: id.to_owned(),
        page: material.pairs().iter().any(|(known, _)| known == id).then(|| page_of(id)),
        more_changes: changes.len().saturating_sub(LISTED_CHANGES),
        changes: changes.into_iter().take(LISTED_CHANGES).map(|(_, words)| words).collect(),
        trends,
    }
}

/// Whether a line is the gain of the pair itself, not the gain over a peer.
fn is_gain(place: &Place) -> bool {
    place.quantity == GAIN && place.side == "naive"
}

/// "rtt=1ms, 256 orders"
fn where_of(material: &Material<'_>, place: &Place) -> String {
    let point = match (material.run.pairs.get(&place.case.pair), material.entry(&place.case.pair)) {
        (Some(pair), _) => pair.place(place.case.point),
        (None, Some(entry)) => {
            format!("{} {}", format::count(place.case.point), entry.axis.unit).trim_end().to_owned()
        }
        (None, None) => format::count(place.case.point),
    };
    if place.case.level.is_empty() { point } else { format!("{}, {point}", place.case.level) }
}

/// "2026-01-31 12:00, 0123456789 on made-2c-4g: gain at 256 orders: 11.3× → 9.20×"
fn change_in_words(line: &TrendLine, change: &ChangePoint, where_: &str) -> String {
    let origin = &line.readings[change.at].0;
    let what = if is_gain(&line.place) {
        "gain".to_owned()
    } else {
        format!("{} of {}", line.place.quantity, line.place.side)
    };
    let levels = levels_in_words(&line.place, change);
    let (date, revision) = (origin.date(), origin.revision());
    format!("{date}, {revision} on {}: {what} at {where_}: {levels}", line.machine_key)
}

fn levels_in_words(place: &Place, change: &ChangePoint) -> String {
    format!("{} → {}", place.written(change.before), place.written(change.after))
}

/// One case over the runs of a few machine keys; `None` if nothing can be drawn.
fn trend(lines: &[&Changed<'_>], where_: &str) -> Option<Trend> {
    let of_run = |(place, (origin, reading)): (usize, &_)| -> (usize, Arc<Origin>, Reading) {
        (place, Arc::clone(origin), Reading::clone(reading))
    };
    let mut runs: Vec<(usize, usize, Arc<Origin>, Reading)> = Vec::new();
    for (of_line, (line, _)) in lines.iter().enumerate() {
        let readings = line.readings.iter().enumerate().map(of_run);
        runs.extend(readings.map(|(place, origin, reading)| (of_line, place, origin, reading)));
    }
    runs.sort_by(|a, b| (a.2.started, &a.2.key).cmp(&(b.2.started, &b.2.key)));
    let change_at =
        |of_line: usize, place: usize| lines[of_line].1.iter().find(|change| change.at == place);
    let rows = runs.iter().rev().take(LISTED_RUNS).map(|(of_line, place, origin, reading)| {
        let line = lines[*of_line].0;
        let before = place.checked_sub(1).map(|before| &line.readings[before].0.rustc);
        let remarks = [
            change_at(*of_line, *place)
                .map(|change| format!("level {}", levels_in_words(&line.place, change))),
            before.filter(|rustc| **rustc != origin.rustc).map(|_| origin.rustc.clone()),
            reading.mark.as_ref().map(|mark| format!("marked: {mark}")),
        ];
        let (low, high) = (format::significant(reading.low), format::significant(reading.high));
        RunRow {
            date: origin.date(),
            revision: origin.revision(),
            machine_key: line.machine_key.clone(),
            gain: format!("{} ({low}…{high})", format::times(reading.value)),
            remarks: remarks.into_iter().flatten().collect::<Vec<_>>().join("; "),
        }
    });
    let rows: Vec<RunRow> = rows.collect();
    let more_rows = format::count((runs.len() - rows.len()) as u64);
    let drawn = &runs[runs.len().saturating_sub(DRAWN_RUNS)..];
    let series: Vec<Series> = Ink::LEVELS
        .into_iter()
        .zip(0..lines.len())
        .map(|(ink, of_line)| Series {
            ink,
            is_dashed: false,
            is_joined: true,
            points: drawn
                .iter()
                .zip(1..)
                .filter(|((run_line, ..), _)| *run_line == of_line)
                .map(|((_, place, _, reading), x)| Point {
                    x: f64::from(x),
                    y: reading.value,
                    low: reading.low,
                    high: reading.high,
                    standing: match (&reading.mark, change_at(of_line, *place)) {
                        (Some(_), _) => Standing::Marked,
                        (None, Some(_)) => Standing::Hollow,
                        (None, None) => Standing::Measured,
                    },
                })
                .collect(),
        })
        .collect();
    let changes = drawn
        .iter()
        .zip(1..)
        .filter_map(|((of_line, place, ..), x)| Some((f64::from(x), change_at(*of_line, *place)?)));
    let rules = rules(changes.collect(), drawn.len());
    let origins: Vec<&Origin> = drawn.iter().map(|(_, _, origin, _)| &**origin).collect();
    let svg = chart(&series, &rules, &origins)?;
    let label: Vec<String> = lines.iter().map(|(line, changes)| in_words(line, changes)).collect();
    let keys = Ink::LEVELS.iter().zip(lines).map(|(ink, (line, _))| {
        let (marker, class) = ink.key();
        (marker, class, line.machine_key.clone())
    });
    Some(Trend {
        what: where_.to_owned(),
        figure: Figure {
            svg,
            label: format!("Gain at {where_} over {} runs. {}", drawn.len(), label.join(". ")),
            caption: "Gain of each run with its interval. A dashed rule and a hollow marker show where a level begins. A cross is a marked case.".to_owned(),
            keys: keys.collect(),
        },
        rows,
        more_rows,
    })
}

/// "made-2c-4g: from 11.3× to 9.20×, 1 change of level"
fn in_words(line: &TrendLine, changes: &[ChangePoint]) -> String {
    let end = |end: Option<&(Arc<Origin>, Reading)>| {
        end.map_or(format::NONE.to_owned(), |(_, reading)| format::times(reading.value))
    };
    let (first, last) = (end(line.readings.first()), end(line.readings.last()));
    let levels = if changes.len() == 1 { "change" } else { "changes" };
    format!("{}: from {first} to {last}, {} {levels} of level", line.machine_key, changes.len())
}

/// Returns rules where levels begin, with a label where there is room.
fn rules(changes: Vec<(f64, &ChangePoint)>, width: usize) -> Vec<Rule> {
    let mut free_from = f64::NEG_INFINITY;
    let rule = |(at, change): (f64, &ChangePoint)| {
        let has_room = at >= free_from;
        if has_room {
            free_from = at + LABEL_WIDTH * width as f64;
        }
        let ratio = format::times(change.after / change.before);
        Rule { at, label: if has_room { ratio } else { String::new() } }
    };
    changes.into_iter().map(rule).collect()
}

/// Draws gains over runs in order of their start, evenly spaced because runs come in bursts.
fn chart(series: &[Series], rules: &[Rule], origins: &[&Origin]) -> Option<String> {
    let (first, last) = (origins.first()?, origins.last()?);
    let day = |origin: &Origin| origin.started.strftime("%Y-%m-%d").to_string();
    let name = format!("runs, {} to {}", day(first), day(last));
    let step = (origins.len() as f64 - 1.0) / 4.0;
    let mut ticks: Vec<f64> = (0..5).map(|i| (1.0 + step * f64::from(i)).round()).collect();
    ticks.dedup();
    let month_and_day = |x: f64| {
        let origin = origins.get((x.round() as usize).saturating_sub(1));
        origin.map_or(String::new(), |origin| origin.started.strftime("%m-%d").to_string())
    };
    let x = Axis {
        name: &name,
        division: Division::Linear,
        ticks: &ticks,
        includes: None,
        alike: &[],
        format: &month_and_day,
    };
    let y = Axis {
        name: "gain",
        division: Division::Fitting,
        ticks: &[],
        includes: None,
        alike: &[],
        format: &|gain| format!("{}×", format::tick(gain)),
    };
    charts::plot(&x, &y, series, rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_rules_never_overlap() {
        let change = ChangePoint { at: 0, before: 4.0, after: 3.0 };
        let rules = rules([10.0, 20.0, 40.0, 95.0].map(|at| (at, &change)).to_vec(), 100);
        let labels: Vec<&str> = rules.iter().map(|rule| rule.label.as_str()).collect();
        assert_eq!(labels, ["0.750×", "", "0.750×", "0.750×"]);
    }
}
