//! The checks of a card without running anything: its fields are set, its headline is a case, its sides have names.

use std::collections::BTreeSet;

use crate::{
    cases,
    family::Entry,
    limit::NO_LIMIT,
    pair::{Headline, Levels, Limit, Pair, Parameter, Points, Review},
};

/// Returns what is wrong with a card, as clauses: "review.smell is not set".
pub fn problems(entry: &Entry) -> Vec<String> {
    let mut problems: Vec<String> =
        unset_fields(entry).into_iter().map(|field| format!("{field} is not set")).collect();
    if entry.axis.points.default_points().is_empty() {
        return problems;
    }
    if !headline_is_a_case(entry) {
        let headline = entry.headline;
        problems.push(format!("its headline, {headline:?}, is none of the cases of a default run"));
    }
    let names = cases::roles(entry).into_iter().map(|role| cases::side_name(entry, role));
    let mut seen = BTreeSet::new();
    let twice = names.filter(|name| !seen.insert(*name));
    problems.extend(twice.map(|name| format!("two of its sides are called `{name}`")));
    let mut exempt = BTreeSet::new();
    let twice = entry.exempt.iter().filter(|exempt_from| !exempt.insert(exempt_from.from));
    problems.extend(twice.map(|twice| format!("it is exempt twice from `{}`", twice.from.name())));
    problems
}

fn headline_is_a_case(entry: &Entry) -> bool {
    let has_level = |label: &str| {
        cases::levels(entry)
            .iter()
            .any(|level| level.label == label && level.distance_us().is_none())
    };
    let has_point = |point: u64| entry.axis.points.default_points().contains(&point);
    let threads_are_axis = matches!(entry.axis.points, Points::Threads);
    match entry.headline {
        Headline::At { level, point } => has_level(level) && has_point(point),
        Headline::AllCoresAt(level) => threads_are_axis && has_level(level),
        Headline::AllCoresOf(point) => {
            let levels = entry.parameter.as_ref();
            let threads = |parameter: &Parameter| matches!(parameter.levels, Levels::Threads);
            levels.is_some_and(threads) && has_point(point)
        }
    }
}

/// The fields of a card that are left at their defaults though every pair must set them.
fn unset_fields(entry: &Entry) -> Vec<&'static str> {
    let Review { smell, remedy, keep_naive_when, costs, lint: _ } = entry.review;
    let texts = [
        ("title", entry.title),
        ("review.smell", smell),
        ("review.remedy", remedy),
        ("review.keep_naive_when", keep_naive_when),
        ("review.costs", costs),
        ("naive.summary", entry.naive.summary),
        ("optimized.summary", entry.optimized.summary),
        ("input", entry.input),
        ("axis.name", entry.axis.name),
        ("unit", entry.unit),
        ("explanation.why", entry.explanation.why),
    ];
    let mut unset: Vec<&str> =
        texts.into_iter().filter(|(_, text)| text.is_empty()).map(|(field, _)| field).collect();
    if entry.axis.points.default_points().is_empty() {
        unset.push("axis.points");
    }
    if entry.explanation.share_of_cause == Pair::DEFAULTS.explanation.share_of_cause {
        unset.push("explanation.share_of_cause");
    }
    if matches!(entry.limit, Limit::None(NO_LIMIT)) {
        unset.push("limit");
    }
    unset
}
