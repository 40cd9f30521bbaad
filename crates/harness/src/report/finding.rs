//! The finding of a sweep: one sentence made of its figures.

use crate::{
    limit::Share,
    numbers::Numbers,
    results::{CaseResult, Headline, Measured, NamedCause, Outcome, PairResult, Sweep},
    statistics::Interval,
    table,
};
use worthit_pair::{causes::Counting, format, pair::Metric, trial::Role};

/// Returns the case that speaks for a sweep: the one at the point of the pair's headline. If the result has no such
/// case, or it is marked, that is the last measured, unmarked one, else the last computed one.
pub fn headline<'a>(pair: &PairResult, sweep: &'a Sweep) -> Option<&'a CaseResult> {
    let is_unmarked =
        |case: &&CaseResult| case.measured().is_some_and(|found| found.mark.is_none());
    let is_computed = |case: &&CaseResult| matches!(case.outcome, Outcome::Computed(_));
    let is_chosen = |case: &&CaseResult| {
        pair.headline.as_ref().is_some_and(|headline| headline.point == case.point)
    };
    let chosen =
        sweep.cases.iter().find(is_chosen).filter(|case| is_unmarked(case) || is_computed(case));
    let cases = || sweep.cases.iter().rev();
    chosen.or_else(|| cases().find(is_unmarked)).or_else(|| cases().find(is_computed))
}

/// Returns the sweep that speaks for a pair, and its headline: the level that the pair chose, or else the last one with
/// a headline.
pub fn headline_of_pair(pair: &PairResult) -> Option<(&Sweep, &CaseResult)> {
    let with_case = |sweep| Some((sweep, headline(pair, sweep)?));
    let is_chosen = |sweep: &&Sweep| {
        pair.headline.as_ref().is_some_and(|headline| headline.level == sweep.level)
    };
    let chosen = pair.sweeps.iter().find(is_chosen).and_then(with_case);
    chosen.or_else(|| pair.sweeps.iter().rev().find_map(with_case))
}

/// Returns the case that speaks for a pair where no other may stand in for it, as that may be one where the card says to keep
/// the naive side: the pair's headline, if it is computed or was measured undisturbed. A result of an older version, which
/// names no headline, has the one of [`headline_of_pair`].
pub fn speaking_case(pair: &PairResult) -> Option<(&Sweep, &CaseResult)> {
    let Some(Headline { level, point }) = &pair.headline else { return headline_of_pair(pair) };
    let sweep = pair.sweeps.iter().find(|sweep| sweep.level == *level)?;
    let case = sweep.cases.iter().find(|case| case.point == *point)?;
    is_usable(case).then_some((sweep, case))
}

/// Returns whether a case has a gain that no other process disturbed.
pub fn is_usable(case: &CaseResult) -> bool {
    gain(case).is_some() && case.measured().is_none_or(|found| found.mark.is_none())
}

/// Gain of a case: an interval if measured, a bare value if computed.
pub fn gain(case: &CaseResult) -> Option<Interval> {
    match &case.outcome {
        Outcome::Measured(measured) => Some(measured.gain),
        Outcome::Computed(computed) => Some(Interval::exact(computed.gain)),
        Outcome::Unavailable { .. } => None,
    }
}

/// "65,536 items: 484× (481…487)" at the headline case; the reason if there is none.
pub fn gain_at_headline(pair: &PairResult, sweep: &Sweep) -> String {
    headline(pair, sweep).map_or_else(
        || without_headline(sweep),
        |case| format!("{}: {}", pair.place(case.point), table::one_line(&case.outcome)),
    )
}

/// "56.1 %": share of the limit at the headline case; the reason if there is none.
pub fn share_of_limit(pair: &PairResult, sweep: &Sweep, numbers: Option<&Numbers>) -> String {
    let found = headline(pair, sweep).and_then(CaseResult::measured);
    match found.map(|found| found.share_of_limit(numbers)) {
        Some(Share::Known(share)) => {
            let beaten = if share > 1.0 { " (beaten)" } else { "" };
            format!("{} %{beaten}", format::significant(share * 100.0))
        }
        Some(Share::Unmeasured(_)) => "not measured".to_owned(),
        Some(Share::Unbounded) => "no bound".to_owned(),
        None => format::NONE.to_owned(),
    }
}

/// "1.02× (1.00…1.04) papaya": time of each side beside ÷ time of the optimized side, of one case.
pub fn beside(found: &Measured) -> Option<String> {
    let sides = found.beside(|role| !role.is_judged());
    let sides: Vec<String> =
        sides.map(|(side, gain)| format!("{} {}", gain.as_gain(), side.name)).collect();
    (!sides.is_empty()).then(|| sides.join(", "))
}

/// "1.02×" and "papaya": time of the quickest of the sides beside ÷ time of the optimized side, at the headline of a sweep.
pub fn quickest_beside<'a>(pair: &PairResult, sweep: &'a Sweep) -> Option<(String, &'a str)> {
    let found = headline(pair, sweep).and_then(CaseResult::measured)?;
    let sides = found.beside(|role| !role.is_judged());
    let quickest = sides.min_by(|one, other| one.1.estimate.total_cmp(&other.1.estimate));
    quickest.map(|(side, gain)| (format::times(gain.estimate), side.name.as_str()))
}

/// All of them with their intervals, at the headline case of a sweep.
pub fn beside_at_headline(pair: &PairResult, sweep: &Sweep) -> String {
    let found = headline(pair, sweep).and_then(CaseResult::measured);
    found.and_then(beside).unwrap_or_else(|| format::NONE.to_owned())
}

/// Writes the sentence on one sweep. `counting` is how the first cause is counted, if this build knows.
pub fn sentence(pair: &PairResult, sweep: &Sweep, counting: Option<Counting>) -> String {
    let Some(case) = headline(pair, sweep) else { return without_headline(sweep) };
    let place = pair.place(case.point);
    let (naive, optimized) =
        (or(&pair.naive, "the naive side"), or(&pair.optimized, "the optimized side"));
    let comparison = match &case.outcome {
        Outcome::Measured(found) => {
            compared(pair.metric, &found.gain, &found.gain.as_gain(), naive, optimized)
        }
        Outcome::Computed(found) => {
            let (gain, figure) = (Interval::exact(found.gain), format::times(found.gain));
            format!(
                "{} (computed from {} with a round trip of {})",
                compared(pair.metric, &gain, &figure, naive, optimized),
                found.from,
                format::duration(found.rtt_us as f64 * 1e3),
            )
        }
        Outcome::Unavailable { .. } => return without_headline(sweep),
    };
    let over_the_sweep = match &case.outcome {
        Outcome::Computed(computed) => table::computed_break_even(computed),
        _ => sweep.break_even.summary.clone(),
    };
    let cause =
        case.measured().zip(pair.causes.first()).and_then(|(found, cause)| because(found, cause));
    let modelled = if counting.is_some_and(Counting::is_modelled) { " (modelled)" } else { "" };
    let cause = cause.map_or(String::new(), |cause| format!("; {cause}{modelled}"));
    format!("At {place}, {comparison}; over the sweep: {over_the_sweep}{cause}.")
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

/// Compares the sides; `figure` is the gain in words.
pub fn compared(
    metric: Metric,
    gain: &Interval,
    figure: &str,
    naive: &str,
    optimized: &str,
) -> String {
    let (better, worse) = match metric {
        Metric::Time => ("as fast as", "slower than"),
        Metric::P99Latency => ("better in p99 latency than", "worse in p99 latency than"),
        Metric::BytesHeld => ("as memory-efficient as", "less memory-efficient than"),
    };
    if gain.low > 1.0 {
        format!("“{optimized}” is {figure} {better} “{naive}”")
    } else if gain.high < 1.0 {
        format!("“{optimized}” is {worse} “{naive}”: a gain of {figure}")
    } else {
        format!("“{optimized}” is indistinguishable from “{naive}”: a gain of {figure}")
    }
}

/// "8,445,488 comparisons became 4,352"
pub fn because(found: &Measured, cause: &NamedCause) -> Option<String> {
    let total = |role| found.side(role)?.causes.get_by_id(&cause.id);
    let (naive, optimized) = (total(Role::Naive)?, total(Role::Optimized)?);
    let counted = format::mean_counted(naive, found.inputs, &cause.label);
    Some(if naive == optimized {
        format!("{counted} on both sides")
    } else {
        format!("{counted} became {}", format::mean(optimized, found.inputs))
    })
}

/// Says why a sweep has no headline case.
pub fn without_headline(sweep: &Sweep) -> String {
    let reason = sweep.cases.iter().find_map(|case| case.outcome.reason());
    match (sweep.cases.is_empty(), reason) {
        (true, _) => "No case of this sweep was measured.".to_owned(),
        (_, Some(reason)) => format!("Not measured here: {reason}."),
        (_, None) => {
            "Other processes held the CPU during every case of this sweep, so there is no headline."
                .to_owned()
        }
    }
}
