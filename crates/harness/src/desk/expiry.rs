//! Lessons that this toolchain or machine has overtaken: pairs whose figures no longer say what their cards do.

use serde::Serialize;

use super::Figures;
use crate::{
    audit::{self, lints::Lints},
    growth,
    report::{gain, headline_of_pair},
};
use worthit_pair::{cases, explanation::KeepNaive, family::Entry, trial::Role};

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
    figures: &Figures,
    lints: Option<&Result<Lints, String>>,
) -> Option<Expired> {
    let mut reasons: Vec<String> = fallen(entry, figures).into_iter().collect();
    reasons.extend(outgrown(entry, figures));
    // A quick run has too few points to say how a gain goes on.
    if !figures.run.quick {
        reasons.extend(audit::contradictions_of(entry, &figures.run));
    }
    if let Some(lints) = lints {
        reasons.extend(audit::lints::find(entry, lints).unwrap_or_default());
    }
    let by = figures.source_in_words();
    (!reasons.is_empty()).then_some(Expired { pair: entry.id, reasons, by })
}

/// Says that the gain at the headline is gone, unless the card says that there is none.
fn fallen(entry: &Entry, figures: &Figures) -> Option<String> {
    let pair = figures.pair();
    let (_, case) = headline_of_pair(pair)?;
    let gain = gain(case)?;
    let is_claimed = entry.explanation.keep_naive != KeepNaive::Everywhere;
    let standing = if gain.high < 1.0 { "is gone" } else { "cannot be told from none" };
    (is_claimed && gain.low <= 1.0)
        .then(|| format!("the gain at {} {standing}: {}", pair.place(case.point), gain.as_gain()))
}

/// Says which side grows otherwise than claimed. What a quick run has too few points for is left open.
fn outgrown(entry: &Entry, figures: &Figures) -> Vec<String> {
    let Some((sweep, _)) = headline_of_pair(figures.pair()) else { return Vec::new() };
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
        pair::{Pair, Side},
    };

    /// Figures of made gains at these points, with times of the sides.
    fn figures(cases: &[(u64, Outcome, f64, f64)]) -> Figures {
        let mut run = made::run();
        for (point, outcome, naive_ns, optimized_ns) in cases.iter().cloned() {
            let outcome = made::timed(outcome, naive_ns, optimized_ns);
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
        let pair = Pair { explanation, naive, optimized, ..Pair::DEFAULTS };
        Box::leak(Box::new(Entry::new("f/p", "", Box::leak(Box::new(pair)))))
    }

    fn reasons(entry: &'static Entry, figures: &Figures) -> String {
        expired(entry, figures, None).map_or(String::new(), |expired| expired.reasons.join("; "))
    }

    /// Gains that hold, of sides that take a time for each row and for all of them.
    fn sound() -> Vec<(u64, Outcome, f64, f64)> {
        let points = [1, 10, 100, made::HEADLINE];
        points.map(|point| (point, made::gain(5.0), 10.0 * point as f64, 1_000.0)).to_vec()
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
        let quick = figures(&cases);
        let run = Arc::new(crate::results::Run { quick: true, ..(*quick.run).clone() });
        assert_eq!(reasons(entry(KeepNaive::Nowhere), &Figures { run, ..quick }), "");
    }
}
