//! The front page: machine and run, then a table of every pair of the catalogue and of the run.

use std::collections::BTreeSet;

use askama::Template;

use super::{
    Material,
    charts::{self, Point, Standing},
    finding, prose,
    shell::{Shell, page_of},
    study::{self, StudyRow},
    warnings::{self, Warning},
};
use crate::{
    calibration,
    limit::Share,
    numbers::Numbers,
    results::{CaseResult, Outcome, PairResult, Run, Sweep},
    table,
};
use worthit_pair::format;

#[derive(Template)]
#[template(path = "front.html")]
struct Front<'a> {
    shell: Shell,
    run: &'a Run,
    warnings: Vec<Warning>,
    summary: String,
    criterion: Option<String>,
    families: BTreeSet<String>,
    causes: BTreeSet<(String, String)>,
    axis: String,
    rows: Vec<CatalogueRow>,
    studies: Vec<StudyRow>,
}

/// One sweep, or a pair that is not in the run.
#[derive(Default)]
struct CatalogueRow {
    id: String,
    level: String,
    family: String,
    title: String,
    page: String,
    gain: String,
    near: String,
    break_even: String,
    cause: String,
    cause_id: String,
    limit: String,
    peer: String,
    chart: String,
    chart_label: String,
    gain_key: Option<f64>,
    break_even_key: Option<f64>,
    limit_key: Option<f64>,
}

/// Renders the front page of a site.
pub fn page(material: &Material<'_>) -> String {
    let run = material.run;
    let extent = charts::gain_extent(sweeps(run).flat_map(|(pair, sweep)| {
        let ends = [sweep.cases.first(), finding::headline(pair, sweep)];
        ends.into_iter().flatten().filter_map(finding::gain).flat_map(|gain| [gain.low, gain.high])
    }));
    let mut rows = Vec::new();
    for (id, title) in material.pairs() {
        match run.pairs.get(&id) {
            Some(pair) if !pair.sweeps.is_empty() => {
                rows.extend(
                    pair.sweeps
                        .iter()
                        .map(|sweep| row(&id, pair, sweep, extent, run.numbers.as_ref())),
                );
            }
            _ => {
                rows.push(CatalogueRow { gain: "not in this run".to_owned(), ..named(&id, &title) })
            }
        }
    }
    let causes = rows.iter().filter(|row| !row.cause_id.is_empty());
    let label = |id: &str| {
        let all = run.pairs.values().flat_map(|pair| &pair.causes);
        all.into_iter()
            .find(|cause| cause.id == id)
            .map_or(String::new(), |cause| cause.label.clone())
    };
    let front = Front {
        shell: Shell::at_root("Is this optimization worth it?", "Catalogue", material),
        run,
        warnings: warnings::of_run(run),
        summary: summary(run),
        criterion: material.criterion.and_then(|pages| pages.index(material.folder)),
        families: rows.iter().map(|row| row.family.clone()).collect(),
        causes: causes.map(|row| (label(&row.cause_id), row.cause_id.clone())).collect(),
        axis: charts::gain_axis(extent),
        rows,
        studies: study::front_rows(material),
    };
    front.render().expect("rendering into memory cannot fail")
}

fn sweeps(run: &Run) -> impl Iterator<Item = (&PairResult, &Sweep)> {
    run.pairs.values().flat_map(|pair| pair.sweeps.iter().map(move |sweep| (pair, sweep)))
}

fn named(id: &str, title: &str) -> CatalogueRow {
    CatalogueRow {
        id: id.to_owned(),
        family: id.split('/').next().unwrap_or(id).to_owned(),
        title: title.to_owned(),
        page: page_of(id),
        ..CatalogueRow::default()
    }
}

fn row(
    id: &str,
    pair: &PairResult,
    sweep: &Sweep,
    extent: (f64, f64),
    numbers: Option<&Numbers>,
) -> CatalogueRow {
    let mut row = named(id, &pair.title);
    row.level.clone_from(&sweep.level);
    (row.break_even, row.cause) = (table::break_even_of(sweep), table::cause_of(pair, sweep));
    if calibration::is_instrument(id) {
        // Its sides are identical: nothing can win.
        format::NONE.clone_into(&mut row.break_even);
    }
    row.limit = finding::share_of_limit(pair, sweep, numbers);
    row.peer = finding::beside_at_headline(pair, sweep);
    row.cause_id = pair.causes.first().map_or(String::new(), |cause| cause.id.clone());
    row.break_even_key = break_even_key(sweep);
    let Some(case) = finding::headline(pair, sweep) else {
        row.gain = finding::without_headline(sweep);
        return row;
    };
    let gain = finding::gain(case).expect("a headline has a gain");
    row.gain = match &case.outcome {
        Outcome::Measured(found) => found.gain.as_gain(),
        _ => format!("{} (computed)", format::times(gain.estimate)),
    };
    row.near = format!("at {}", pair.place(case.point));
    row.gain_key = Some(gain.estimate).filter(|gain| gain.is_finite());
    let is_marked = |case: &CaseResult| case.measured().is_some_and(|found| found.mark.is_some());
    let near = sweep.cases.iter().find(|case| !is_marked(case) && finding::gain(case).is_some());
    let near = near.filter(|near| near.point != case.point).and_then(finding::gain);
    let is_computed = matches!(case.outcome, Outcome::Computed(_));
    let standing = if is_computed { Standing::Hollow } else { Standing::Measured };
    let far = Point { x: 0.0, y: gain.estimate, low: gain.low, high: gain.high, standing };
    row.chart = charts::gain_row(extent, near.map(|gain| gain.estimate), &far, is_computed);
    row.chart_label = match near {
        Some(near) => {
            format!("Gain from {} to {}", format::times(near.estimate), gain.as_gain())
        }
        None => format!("Gain {}", gain.as_gain()),
    };
    row.limit_key = match case.measured().map(|found| found.share_of_limit(numbers)) {
        Some(Share::Known(share)) => Some(share),
        _ => None,
    };
    row
}

/// Position on the axis from which a sweep first wins; `None` if it never does.
fn break_even_key(sweep: &Sweep) -> Option<f64> {
    let first_win = sweep.headline_gains().into_iter().find(|(_, gain)| gain.low > 1.0)?.0;
    let crossing = sweep.break_even.crossings.iter().find(|crossing| crossing.wins);
    let key = crossing.map_or(first_win as f64, |crossing| crossing.at.estimate);
    Some(key).filter(|key| key.is_finite())
}

/// "20 pairs in this run. At the headlines of 20 sweeps the optimized side wins 15, loses 2, …"
fn summary(run: &Run) -> String {
    let gains: Vec<_> = sweeps(run)
        .filter_map(|(pair, sweep)| finding::headline(pair, sweep))
        .filter_map(finding::gain)
        .collect();
    let wins = gains.iter().filter(|gain| gain.low > 1.0).count();
    let losses = gains.iter().filter(|gain| gain.high < 1.0).count();
    format!(
        "{} in this run. At the headlines of {} the optimized side wins {wins}, loses {losses} and is indistinguishable in {}.",
        format::counted(run.pairs.len() as u64, "pairs"),
        format::counted(gains.len() as u64, "sweeps"),
        gains.len() - wins - losses
    )
}
