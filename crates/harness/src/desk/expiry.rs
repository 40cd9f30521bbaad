//! Cards whose claims no longer hold with this toolchain or on this machine: the figures of their pairs say otherwise.

use serde::Serialize;

use super::Figures;
use crate::{
    audit::{self, lints::Lints},
    growth, reference,
    report::{gain, speaking_case},
    results::CaseResult,
};
use worthit_pair::{cases, explanation::KeepNaive, family::Entry, pair::Points, trial::Role};

/// A pair that says something which no longer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Its id.
    pub pair: &'static str,
    /// What no longer holds, each in a clause.
    pub reasons: Vec<String>,
    /// Where the figures are from.
    pub by: String,
}

/// Returns what no longer holds of a pair; `None` if all does. Without `lints`, its lint is not looked at.
pub fn expired(
    entry: &'static Entry,
    figures: Option<&Figures>,
    lints: Option<&Result<Lints, String>>,
) -> Option<Expired> {
    let mut reasons: Vec<String> = Vec::new();
    if let Some(figures) = figures {
        reasons.extend(fallen(entry, figures));
        if tells_how_it_goes_on(entry, figures) {
            reasons.extend(outgrown(entry, figures));
            reasons.extend(audit::contradictions_of(entry, &figures.run));
        }
    }
    if let Some(lints) = lints {
        reasons.extend(audit::lints::find(entry, lints).unwrap_or_default());
    }
    let by = figures.map_or_else(|| "clippy".to_owned(), Figures::source_in_words);
    (!reasons.is_empty()).then_some(Expired { pair: entry.id, reasons, by })
}

/// Returns whether figures say how a gain goes on over the sweep: they have all of its points, and of each what several processes
/// found. In one process, the times of one case show what else the machine did meanwhile.
pub fn tells_how_it_goes_on(entry: &Entry, figures: &Figures) -> bool {
    let Some((sweep, _)) = speaking_case(figures.pair()) else { return false };
    let is_there = |point: &u64| {
        let found = sweep.cases.iter().find(|case| case.point == *point);
        let found = found.and_then(CaseResult::measured);
        found.is_some_and(|found| found.processes.len() >= reference::LEAST_PROCESSES)
    };
    match entry.axis.points {
        Points::Threads => sweep.cases.iter().all(|case| is_there(&case.point)),
        Points::Fixed { default, .. } => default.iter().all(is_there),
    }
}

/// Says that the gain at the headline is gone, unless the card says that there is none.
fn fallen(entry: &Entry, figures: &Figures) -> Option<String> {
    let pair = figures.pair();
    let (_, case) = speaking_case(pair)?;
    let gain = gain(case)?;
    let is_claimed = entry.explanation.keep_naive != KeepNaive::Everywhere;
    let standing = if gain.high < 1.0 { "is gone" } else { "cannot be told from none" };
    (is_claimed && gain.low <= 1.0)
        .then(|| format!("the gain at {} {standing}: {}", pair.place(case.point), gain.as_gain()))
}

/// Says which side grows otherwise than claimed.
fn outgrown(entry: &Entry, figures: &Figures) -> Vec<String> {
    let Some((sweep, _)) = speaking_case(figures.pair()) else { return Vec::new() };
    let sides = [(Role::Naive, entry.naive.growth), (Role::Optimized, entry.optimized.growth)];
    let departed = sides.into_iter().filter_map(|(role, claim)| {
        let check = growth::check(claim, sweep, role).ok()?;
        let name = cases::side_name(entry, role);
        (!check.is_explained())
            .then(|| format!("the {name} side does not grow as {claim}: {}", check.in_words()))
    });
    departed.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{desk::Source, made, results::Outcome};
    use worthit_pair::{
        explanation::{Explanation, FarEnd, ShareOfCause},
        growth::Growth,
        pair::{Axis, Pair, Side},
    };

    const POINTS: [u64; 4] = [1, 10, 100, made::HEADLINE];

    /// Figures of made gains at these points, with times of the sides, from five processes.
    fn figures(cases: &[(u64, Outcome, f64, f64)]) -> Figures {
        figures_of(5, cases)
    }

    fn figures_of(processes: usize, cases: &[(u64, Outcome, f64, f64)]) -> Figures {
        let mut run = made::run();
        for (point, outcome, naive_ns, optimized_ns) in cases.iter().cloned() {
            let outcome = made::timed(outcome, naive_ns, optimized_ns);
            let outcome = made::of_processes(outcome, processes);
            made::add(&mut run, "f/p", "", point, outcome);
        }
        Figures { run: Arc::new(run), id: "f/p", source: Source::Run }
    }

    fn entry(keep_naive: KeepNaive) -> &'static Entry {
        let side = |growth| Side { summary: "", growth };
        let explanation = Explanation {
            why: "",
            share_of_cause: ShareOfCause::NoRatio("made"),
            far_end: FarEnd::Settled,
            keep_naive,
        };
        let (naive, optimized) = (side(Growth::Linear), side(Growth::Constant));
        let points = Points::Fixed { default: &POINTS, deep: &[] };
        let axis = Axis { points, ..Pair::DEFAULTS.axis };
        let pair = Pair { explanation, axis, naive, optimized, ..Pair::DEFAULTS };
        Box::leak(Box::new(Entry::new("f/p", "", Box::leak(Box::new(pair)))))
    }

    fn reasons(entry: &'static Entry, figures: &Figures) -> String {
        expired(entry, Some(figures), None)
            .map_or(String::new(), |expired| expired.reasons.join("; "))
    }

    /// Gains that hold, of sides that take a time for each row and for all of them.
    fn sound() -> Vec<(u64, Outcome, f64, f64)> {
        POINTS.map(|point| (point, made::gain(5.0), 10.0 * point as f64, 1_000.0)).to_vec()
    }

    #[test]
    fn what_still_holds_is_not_listed() {
        assert_eq!(reasons(entry(KeepNaive::Nowhere), &figures(&sound())), "");
    }

    #[test]
    fn a_gain_that_fell_is_listed_unless_the_card_says_that_there_is_none() {
        let mut cases = sound();
        cases[3].1 = made::between(0.9, 1.2);
        let said = reasons(entry(KeepNaive::UpTo(1_000)), &figures(&cases));
        assert!(said.contains("the gain at 1,000 rows cannot be told from none: 1.05×"), "{said}");
        cases[3].1 = made::between(0.5, 0.6);
        let said = reasons(entry(KeepNaive::UpTo(1_000)), &figures(&cases));
        assert!(said.contains("the gain at 1,000 rows is gone: 0.550×"), "{said}");
        let said = reasons(entry(KeepNaive::Everywhere), &figures(&cases));
        assert!(!said.contains("is gone"), "{said}");
    }

    #[test]
    fn a_side_that_grows_otherwise_and_an_explanation_that_fails_are_listed() {
        let mut cases = sound();
        // Four times as long as the sweep so far predicts.
        cases[3].2 = 40_000.0;
        let said = reasons(entry(KeepNaive::Nowhere), &figures(&cases));
        assert!(said.contains("the naive side does not grow as O(n): "), "{said}");
        let mut cases = sound();
        cases[3].1 = made::gain(50.0);
        let said = reasons(entry(KeepNaive::Nowhere), &figures(&cases));
        assert!(said.contains("Settled is claimed of the far end"), "{said}");
        // Too little to say so: some of the points, or one process.
        assert_eq!(reasons(entry(KeepNaive::Nowhere), &figures(&cases[2..])), "");
        assert_eq!(reasons(entry(KeepNaive::Nowhere), &figures_of(1, &cases)), "");
    }

    #[test]
    fn of_a_pair_that_nobody_measured_only_the_lint_is_looked_at() {
        let lints = Ok(Lints::default());
        assert_eq!(expired(entry(KeepNaive::Nowhere), None, None), None);
        let found = expired(entry(KeepNaive::Nowhere), None, Some(&lints)).unwrap();
        assert_eq!(found.by, "clippy");
        assert!(found.reasons[0].contains("lacks a function `naive`"), "{found:?}");
    }
}
