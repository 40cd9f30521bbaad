//! The front page: machine and run, the studies, each family with a picture of its gains, and a row for every pair of the
//! catalogue and of the run.
//!
//! A row has room for the headline alone, in few words; the page of the pair has the rest.

use std::collections::BTreeSet;

use askama::Template;

use super::{
    Material,
    charts::{self, GainAxis, Point, Standing, StripMark},
    finding, prose,
    shell::{Shell, anchor_of, page_of},
    study::{self, StudyRow},
    warnings::{self, Warning},
};
use crate::{
    calibration,
    limit::Share,
    numbers::Numbers,
    portability::Answer,
    results::{CaseResult, Outcome, PairResult, Run, Sweep},
    statistics::Interval,
    table,
};
use worthit_pair::{family::Entry, format, pair::Lint};

#[derive(Template)]
#[template(path = "front.html")]
struct Front<'a> {
    shell: Shell,
    run: &'a Run,
    warnings: Vec<Warning>,
    summary: String,
    criterion: Option<String>,
    causes: BTreeSet<(String, String)>,
    axis_of_rows: String,
    axis_of_strips: String,
    families: Vec<FamilyPart>,
    studies: Vec<StudyRow>,
}

/// A family with its pairs.
struct FamilyPart {
    name: String,
    title: String,
    anchor: String,
    /// "22 pairs: 20 win, 1 loses"
    summary: String,
    /// Gains of its pairs; empty if none was measured.
    strip: String,
    rows: Vec<CatalogueRow>,
}

/// A pair, at its headline.
#[derive(Default)]
struct CatalogueRow {
    id: String,
    title: String,
    page: String,
    /// The level of the headline, and how many others there are.
    level: String,
    smell: String,
    /// Other words under which a search finds the pair.
    words: String,
    /// The gain, and its interval; why there is none.
    gain: String,
    interval: String,
    near: String,
    break_even: String,
    /// "10,001 → 1", and of what.
    counts: String,
    cause: String,
    cause_id: String,
    limit: String,
    /// How the quickest side beside compares, and its name.
    beside: String,
    beside_name: String,
    chart: String,
    chart_label: String,
    gain_key: Option<String>,
    break_even_key: Option<String>,
    limit_key: Option<String>,
    headline: Option<Interval>,
}

/// Renders the front page of a site.
pub fn page(material: &Material<'_>) -> String {
    let run = material.run;
    let headlines = run.pairs.values().filter_map(finding::headline_of_pair);
    let axis = GainAxis::of(headlines.flat_map(|(sweep, case)| {
        let ends = [sweep.cases.first(), Some(case)];
        ends.into_iter().flatten().filter_map(finding::gain).flat_map(|gain| [gain.low, gain.high])
    }));
    let families = families(material, axis);
    let rows = || families.iter().flat_map(|family| &family.rows);
    let causes = rows().filter(|row| !row.cause_id.is_empty());
    let label = |id: &str| {
        let mut all = run.pairs.values().flat_map(|pair| &pair.causes);
        all.find(|cause| cause.id == id).map_or(String::new(), |cause| cause.label.clone())
    };
    let front = Front {
        shell: Shell::at_root("Is this optimization worth it?", "Catalogue", material),
        run,
        warnings: warnings::of_run(run),
        summary: summary(run, rows()),
        criterion: material.criterion.and_then(|pages| pages.index(material.folder)),
        causes: causes.map(|row| (label(&row.cause_id), row.cause_id.clone())).collect(),
        axis_of_rows: axis.of_rows(),
        axis_of_strips: axis.of_strips(),
        families,
        studies: study::front_rows(material),
    };
    front.render().expect("rendering into memory cannot fail")
}

/// The pairs by family, in the order of the catalogue.
fn families(material: &Material<'_>, axis: GainAxis) -> Vec<FamilyPart> {
    let mut families: Vec<FamilyPart> = Vec::new();
    for (id, title) in material.pairs() {
        let row = row(material, &id, title, axis);
        let name = id.split('/').next().unwrap_or(&id);
        match families.iter_mut().find(|family| family.name == name) {
            Some(family) => family.rows.push(row),
            None => {
                let known = material.families.iter().find(|family| family.name == name);
                families.push(FamilyPart {
                    name: name.to_owned(),
                    title: known.map_or(String::new(), |family| family.title.to_owned()),
                    anchor: anchor_of(name),
                    summary: String::new(),
                    strip: String::new(),
                    rows: vec![row],
                });
            }
        }
    }
    for family in &mut families {
        family.summary = in_words(&family.rows);
        family.strip = strip(axis, &family.rows);
    }
    families
}

/// "22 pairs: wins 20, loses 1, undecided 1"; of pairs that measure the suite, their number.
fn in_words(rows: &[CatalogueRow]) -> String {
    let pairs = format::counted(rows.len() as u64, "pairs");
    let count = |answer| rows.iter().filter(|row| row.answer() == Some(answer)).count();
    let is_unknown = |row: &&CatalogueRow| row.headline.is_none();
    let answers = [
        ("wins", count(Answer::Holds)),
        ("loses", count(Answer::Loses)),
        ("undecided", count(Answer::CannotTell)),
        ("not measured", rows.iter().filter(is_unknown).count()),
    ];
    let answers = answers.into_iter().filter(|(_, count)| *count > 0);
    let answers: Vec<String> = answers.map(|(answer, count)| format!("{answer} {count}")).collect();
    if answers.is_empty() { pairs } else { format!("{pairs}: {}", answers.join(", ")) }
}

/// The gains of the techniques of a family; empty if none was measured.
fn strip(axis: GainAxis, rows: &[CatalogueRow]) -> String {
    let mark = |row: &CatalogueRow| {
        row.answer()?;
        Some(StripMark {
            gain: row.headline?,
            page: row.page.clone(),
            title: format!("{} {}", row.id, row.gain),
        })
    };
    let marks: Vec<StripMark> = rows.iter().filter_map(mark).collect();
    if marks.is_empty() { String::new() } else { charts::gain_strip(axis, &marks) }
}

impl CatalogueRow {
    /// Returns whether its optimized side wins; `None` without a gain, and if it measures the suite.
    fn answer(&self) -> Option<Answer> {
        let gain = self.headline.as_ref()?;
        (!calibration::is_instrument(&self.id)).then(|| Answer::of(gain))
    }

    /// The halves of its id; the first is empty if the id has one only.
    fn name(&self) -> (&str, &str) {
        self.id.split_once('/').unwrap_or(("", &self.id))
    }

    fn family(&self) -> &str {
        self.id.split('/').next().unwrap_or(&self.id)
    }
}

fn row(material: &Material<'_>, id: &str, title: String, axis: GainAxis) -> CatalogueRow {
    let entry = material.entry(id);
    let row = CatalogueRow {
        id: id.to_owned(),
        title,
        page: page_of(id),
        smell: entry.map_or(String::new(), |entry| entry.review.smell.to_owned()),
        words: entry.map_or(String::new(), words_of),
        ..CatalogueRow::default()
    };
    match material.run.pairs.get(id) {
        Some(pair) if !pair.sweeps.is_empty() => {
            measured(row, pair, axis, material.run.numbers.as_ref())
        }
        _ => CatalogueRow { gain: "not in this run".to_owned(), ..row },
    }
}

/// What the card says beside the smell: a search finds the pair by it.
fn words_of(entry: &Entry) -> String {
    let lint = match entry.review.lint {
        Lint::None => "",
        Lint::Default(name) | Lint::Switched(name, _) => name,
    };
    format!("{} {lint}", entry.review.remedy).replace(['`', '*'], "").trim_end().to_owned()
}

/// Fills in what was measured of a pair.
fn measured(
    mut row: CatalogueRow,
    pair: &PairResult,
    axis: GainAxis,
    numbers: Option<&Numbers>,
) -> CatalogueRow {
    let found = finding::headline_of_pair(pair);
    let sweep = found.map_or(&pair.sweeps[0], |(sweep, _)| sweep);
    row.level = level_of(pair, sweep);
    row.break_even = table::break_even_in_brief(sweep);
    if let Some((counts, cause)) = table::counts_of(pair, sweep) {
        (row.counts, row.cause) = (counts, cause.to_owned());
    }
    if calibration::is_instrument(&row.id) {
        // Its sides are identical: nothing can win.
        format::NONE.clone_into(&mut row.break_even);
    }
    row.limit = finding::share_of_limit(pair, sweep, numbers);
    if let Some((beside, name)) = finding::quickest_beside(pair, sweep) {
        (row.beside, row.beside_name) = (beside, name.to_owned());
    }
    row.cause_id = pair.causes.first().map_or(String::new(), |cause| cause.id.clone());
    row.break_even_key = break_even_key(sweep).and_then(key);
    let Some((_, case)) = found else {
        row.gain = finding::without_headline(sweep);
        return row;
    };
    let gain = finding::gain(case).expect("a headline has a gain");
    let is_computed = matches!(case.outcome, Outcome::Computed(_));
    row.gain = format::times(gain.estimate);
    row.interval = match is_computed {
        true => "(computed)".to_owned(),
        false => format!("({}…{})", format::significant(gain.low), format::significant(gain.high)),
    };
    row.near = format!("at {}", pair.place(case.point));
    row.gain_key = key(gain.estimate);
    row.headline = Some(gain);
    let is_marked = |case: &CaseResult| case.measured().is_some_and(|found| found.mark.is_some());
    let near = sweep.cases.iter().find(|case| !is_marked(case) && finding::gain(case).is_some());
    let near = near.filter(|near| near.point != case.point).and_then(finding::gain);
    let standing = if is_computed { Standing::Hollow } else { Standing::Measured };
    let far = Point { x: 0.0, y: gain.estimate, low: gain.low, high: gain.high, standing };
    row.chart = charts::gain_row(axis, near.map(|gain| gain.estimate), &far);
    row.chart_label = match near {
        Some(near) => format!("Gain from {} to {}", format::times(near.estimate), gain.as_gain()),
        None => format!("Gain {}", gain.as_gain()),
    };
    row.limit_key = match case.measured().map(|found| found.share_of_limit(numbers)) {
        Some(Share::Known(share)) => key(share),
        _ => None,
    };
    row
}

/// "rtt=1ms, +2 levels"; empty if the pair has one level only.
fn level_of(pair: &PairResult, sweep: &Sweep) -> String {
    match pair.sweeps.len() - 1 {
        0 => sweep.level.clone(),
        others => format!("{}, +{}", sweep.level, format::counted(others as u64, "levels")),
    }
}

/// A number by which rows are sorted: as many digits as the page shows.
fn key(value: f64) -> Option<String> {
    value.is_finite().then(|| format!("{value:.4e}"))
}

/// Position on the axis from which a sweep first wins; `None` if it never does.
fn break_even_key(sweep: &Sweep) -> Option<f64> {
    let first_win = sweep.headline_gains().into_iter().find(|(_, gain)| gain.low > 1.0)?.0;
    let crossing = sweep.break_even.crossings.iter().find(|crossing| crossing.wins);
    Some(crossing.map_or(first_win as f64, |crossing| crossing.at.estimate))
}

/// "145 pairs in this run. At the headlines of 140 techniques the optimized side wins 135, loses 2, …"
fn summary<'a>(run: &Run, rows: impl Iterator<Item = &'a CatalogueRow>) -> String {
    let answers: Vec<Answer> = rows.filter_map(CatalogueRow::answer).collect();
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    format!(
        "{} in this run. At the headlines of {} the optimized side wins {}, loses {} and is indistinguishable in {}.",
        format::counted(run.pairs.len() as u64, "pairs"),
        format::counted(answers.len() as u64, "techniques"),
        count(Answer::Holds),
        count(Answer::Loses),
        count(Answer::CannotTell)
    )
}
