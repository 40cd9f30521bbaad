//! The page that compares two results, made from [`crate::comparison`].

use askama::Template;

use super::{
    Material,
    shell::{Shell, page_of},
};
use crate::{
    comparison::{CaseComparison, Comparison, Intervals, PairComparison},
    machine::{OLDER_KEY, Relation},
    results::Run,
    table,
};
use worthit_pair::format;

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparisonPage<'a> {
    shell: Shell,
    runs: [(&'static str, &'a Run); 2],
    is_same_machine: bool,
    /// What is said if the results have the same key, and it is of the older kind.
    older_key: Option<&'static str>,
    changed_counts: Vec<(String, String)>,
    rows: Vec<CaseRow>,
}

/// A case in both results.
struct CaseRow {
    id: String,
    /// Page of the pair, if this site has one.
    page: Option<String>,
    case: String,
    gains: [String; 2],
    ratio: String,
    remark: &'static str,
}

/// Renders the page that compares `other` with the run of the site.
pub fn page(material: &Material<'_>, other: &Run) -> String {
    let comparison = Comparison::of(other, material.run);
    let shown = material.pairs();
    let cases =
        || comparison.pairs.iter().flat_map(|pair| pair.cases.iter().map(move |case| (pair, case)));
    let row = |(pair, case): (&PairComparison<'_>, &CaseComparison<'_>)| {
        let is_shown = shown.iter().any(|(id, _)| id == pair.id);
        row(pair, case, is_shown.then(|| page_of(pair.id)))
    };
    let page = ComparisonPage {
        shell: Shell::at_root("Comparison", "Comparison", material),
        runs: [("A", other), ("B", material.run)],
        is_same_machine: comparison.is_same_machine(),
        older_key: (comparison.machines == Relation::OlderKey).then_some(OLDER_KEY),
        changed_counts: cases().flat_map(|(pair, case)| changed_counts(pair, case)).collect(),
        rows: cases().map(row).collect(),
    };
    page.render().expect("rendering into memory cannot fail")
}

fn name(pair: &PairComparison<'_>, case: &CaseComparison<'_>) -> String {
    let known = pair.pairs.into_iter().flatten().next();
    let place = known.map_or(String::new(), |known| known.place(case.key.point));
    let level = &case.key.level;
    if level.is_empty() { place } else { format!("{level}, {place}") }
}

fn row(pair: &PairComparison<'_>, case: &CaseComparison<'_>, page: Option<String>) -> CaseRow {
    let gains = case.cases.map(|case| match case {
        None => "not in this result".to_owned(),
        Some(case) => table::one_line(&case.outcome),
    });
    CaseRow {
        id: pair.id.to_owned(),
        page,
        case: name(pair, case),
        gains,
        ratio: case.ratio.map_or(String::new(), format::times),
        remark: match case.intervals {
            None => "",
            Some(Intervals::Overlap) => "intervals overlap",
            Some(Intervals::Above | Intervals::Below) => "intervals do not overlap",
        },
    }
}

/// Where counts differ, and how.
fn changed_counts(pair: &PairComparison<'_>, case: &CaseComparison<'_>) -> Vec<(String, String)> {
    let in_words = case.changed_counts.iter().map(|count| {
        let place = format!("{}, {}, {}", pair.id, name(pair, case), count.side);
        let [before, after] = [count.before, count.after].map(format::count);
        (place, format!("{before} → {after} {}", count.cause))
    });
    in_words.collect()
}
