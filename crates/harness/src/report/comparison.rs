//! The comparison of two results.
//!
//! Two consecutive runs do not meet the same machine state, so this page never says *regressed*;
//! only the gate does, because it interleaves. Results of different machine keys get no ratio.

use std::collections::BTreeSet;

use askama::Template;

use super::{
    Material, finding,
    shell::{Shell, page_of},
};
use crate::{
    results::{CaseResult, PairResult, Run},
    statistics::Interval,
};
use worthit_pair::{format, trial::Role};

#[derive(Template)]
#[template(path = "compare.html")]
struct Comparison<'a> {
    shell: Shell,
    runs: [(&'static str, &'a Run); 2],
    is_same_machine: bool,
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
    remark: String,
}

/// Renders the page that compares `other` with the run of the site.
pub fn page(material: &Material<'_>, other: &Run) -> String {
    let run = material.run;
    let is_same_machine = run.machine.key == other.machine.key;
    let ids: BTreeSet<&String> = other.pairs.keys().chain(run.pairs.keys()).collect();
    let shown: BTreeSet<String> = material.pairs().into_iter().map(|(id, _)| id).collect();
    let mut rows = Vec::new();
    let mut changed_counts = Vec::new();
    for id in ids {
        let pairs = [other.pairs.get(id), run.pairs.get(id)];
        for (level, point) in cases(pairs) {
            let found = pairs.map(|pair| case(pair, &level, point));
            let page = shown.contains(id).then(|| page_of(id));
            rows.push(CaseRow { page, ..row(id, pairs, found, (&level, point), is_same_machine) });
            changed_counts.extend(changed(id, pairs, found, (&level, point)));
        }
    }
    let page = Comparison {
        shell: Shell::at_root("Comparison", "Comparison", material),
        runs: [("A", other), ("B", run)],
        is_same_machine,
        changed_counts,
        rows,
    };
    page.render().expect("rendering into memory cannot fail")
}

/// All cases of either result, in the order of the sweeps.
fn cases(pairs: [Option<&PairResult>; 2]) -> Vec<(String, u64)> {
    let mut cases: Vec<(String, u64)> = Vec::new();
    for sweep in pairs.into_iter().flatten().flat_map(|pair| &pair.sweeps) {
        for case in &sweep.cases {
            let named = (sweep.level.clone(), case.point);
            if !cases.contains(&named) {
                cases.push(named);
            }
        }
    }
    cases
}

fn case<'a>(pair: Option<&'a PairResult>, level: &str, point: u64) -> Option<&'a CaseResult> {
    let sweep = pair?.sweeps.iter().find(|sweep| sweep.level == level)?;
    sweep.cases.iter().find(|case| case.point == point)
}

fn name((level, point): (&str, u64), pairs: [Option<&PairResult>; 2]) -> String {
    let place = pairs.into_iter().flatten().next().map_or(String::new(), |p| p.place(point));
    if level.is_empty() { place } else { format!("{level}, {place}") }
}

fn row(
    id: &str,
    pairs: [Option<&PairResult>; 2],
    found: [Option<&CaseResult>; 2],
    case: (&str, u64),
    is_same_machine: bool,
) -> CaseRow {
    let gains = found.map(|case| case.and_then(finding::gain));
    let words = found.map(|case| match case {
        None => "not in this result".to_owned(),
        Some(case) => crate::table::one_line(&case.outcome),
    });
    let (ratio, remark) = match gains {
        [Some(a), Some(b)] if is_same_machine => (
            format::times(b.estimate / a.estimate),
            if overlap(&a, &b) { "intervals overlap" } else { "intervals do not overlap" },
        ),
        _ => (String::new(), ""),
    };
    CaseRow {
        id: id.to_owned(),
        page: None,
        case: name(case, pairs),
        gains: words,
        ratio,
        remark: remark.to_owned(),
    }
}

fn overlap(a: &Interval, b: &Interval) -> bool {
    a.low <= b.high && b.low <= a.high
}

/// Counts that differ. Counts are exact on any machine, so a difference means different work.
fn changed(
    id: &str,
    pairs: [Option<&PairResult>; 2],
    found: [Option<&CaseResult>; 2],
    case: (&str, u64),
) -> Vec<(String, String)> {
    let [Some(a), Some(b)] = found.map(|case| case.and_then(CaseResult::measured)) else {
        return Vec::new();
    };
    let mut changed = Vec::new();
    for role in [Role::Naive, Role::Optimized, Role::Peer] {
        let (Some(a), Some(b)) = (a.side(role), b.side(role)) else { continue };
        for (cause, before) in a.causes.iter() {
            let Some(after) = b.causes.get_by_id(cause) else { continue };
            if before != after {
                let place = format!("{id}, {}, {}", name(case, pairs), a.name);
                let counts =
                    format!("{} → {} {cause}", format::count(before), format::count(after));
                changed.push((place, counts));
            }
        }
    }
    changed
}
