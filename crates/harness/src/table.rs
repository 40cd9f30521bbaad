//! A sweep in words, and tables of them for the terminal: one per family (gain at the near end and the headline of each
//! sweep, break-even, cause), one of the machine numbers and one of how a pair scales.
//!
//! The tables are pure functions of a width, and plain text. No width breaks an id or any other word.

mod family;
mod layout;
mod machine;
mod scaling;

use crate::{
    report,
    results::{CaseResult, Computed, Measured, Outcome, PairResult, Run, Sweep},
    statistics,
};
use worthit_pair::{format, trial::Role};

pub use family::of_family;
pub use machine::of_numbers;
pub use scaling::of_scaling;

/// Describes where the optimized side begins to win.
pub fn break_even_of(sweep: &Sweep) -> String {
    let computed = sweep.cases.iter().rev().find_map(|case| match &case.outcome {
        Outcome::Computed(computed) => Some(computed_break_even(computed)),
        _ => None,
    });
    computed.unwrap_or_else(|| sweep.break_even.summary.clone())
}

/// Describes the same in the few words that a row of the catalogue has room for.
pub fn break_even_in_brief(sweep: &Sweep) -> String {
    let computed = sweep.cases.iter().rev().find_map(|case| match &case.outcome {
        Outcome::Computed(computed) => Some(computed.break_even_rtt_us),
        _ => None,
    });
    match computed {
        Some(None) => "no fewer round trips (computed)".to_owned(),
        Some(Some(0.0)) => "wins at any distance (computed)".to_owned(),
        Some(Some(rtt)) => {
            format!("wins from a round trip of {} (computed)", format::duration(rtt * 1e3))
        }
        None => {
            let gains = sweep.headline_gains();
            let measured = sweep.cases.iter().filter(|case| case.measured().is_some()).count();
            statistics::break_even_in_brief(&gains, measured - gains.len())
        }
    }
}

/// Describes where a computed sweep begins to win.
pub fn computed_break_even(computed: &Computed) -> String {
    let from = &computed.from;
    match computed.break_even_rtt_us {
        None => format!("computed from {from}: no fewer round trips"),
        Some(0.0) => format!("computed from {from}: wins at any distance"),
        Some(rtt) => {
            format!(
                "computed from {from}: wins from a round trip of {} on",
                format::duration(rtt * 1e3)
            )
        }
    }
}

/// "10,001 → 1 SQL statements": counts of the cause that explains the gain, at the headline, and the capacities of the sides
/// if they were put under load.
pub fn cause_of(pair: &PairResult, sweep: &Sweep) -> String {
    let Some((counts, label)) = counts_of(pair, sweep) else { return String::new() };
    let counts = format!("{counts} {label}").trim_end().to_owned();
    let loaded = report::headline(pair, sweep).and_then(CaseResult::measured);
    match loaded.and_then(|measured| capacities(pair, measured)) {
        Some(capacities) => format!("{counts}; {capacities}"),
        None => counts,
    }
}

/// "10,001 → 1" and "SQL statements": counts of the cause that explains the gain, at the headline, and their noun; `None` without
/// a cause or a measured case.
pub fn counts_of<'a>(pair: &'a PairResult, sweep: &Sweep) -> Option<(String, &'a str)> {
    let cause = pair.causes.first()?;
    // A computed sweep has the counts of the measured sweep that it is based on.
    let sweeps = || [sweep].into_iter().chain(&pair.sweeps);
    let at_headlines = sweeps().filter_map(|sweep| report::headline(pair, sweep));
    let last = sweeps().flat_map(|sweep| sweep.cases.iter().rev());
    let measured = at_headlines.chain(last).find_map(CaseResult::measured)?;
    let count = |role| measured.count_in_words(role, &cause.id);
    let counts = count(Role::Naive).zip(count(Role::Optimized));
    Some(counts.map_or(("not counted".to_owned(), ""), |(naive, optimized)| {
        (format!("{naive} → {optimized}"), cause.label.as_str())
    }))
}

/// "1,000 → 3,950 requests/s at p99 ≤ 10.0 ms"; `None` if no capacity of both sides is known.
fn capacities(pair: &PairResult, measured: &Measured) -> Option<String> {
    let objective = pair.objective?;
    let held = |role| Some(format::count(measured.capacity(role, objective)?.held?.round() as u64));
    let (naive, optimized) = (held(Role::Naive)?, held(Role::Optimized)?);
    let objective = format::duration(objective.p99_us as f64 * 1e3);
    Some(format!("{naive} → {optimized} requests/s at p99 ≤ {objective}"))
}

/// Describes the outcome of a case on one line.
pub fn one_line(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Measured(measured) => {
            let mark =
                measured.mark.as_ref().map_or(String::new(), |mark| format!(" [marked: {mark}]"));
            format!("{}{mark}", measured.gain.as_gain())
        }
        Outcome::Computed(computed) => {
            let confirmed = computed.confirmation.as_ref().map_or(String::new(), |measured| {
                format!("; measured at a real delay: {}", measured.gain.as_gain())
            });
            format!("{} (computed{confirmed})", format::times(computed.gain))
        }
        Outcome::Unavailable { .. } => {
            format!("not measured: {}", outcome.reason().unwrap_or_default())
        }
    }
}

/// Describes what the intervals of a run include.
pub fn provenance(run: &Run) -> String {
    let processes = run
        .pairs
        .values()
        .flat_map(|pair| &pair.sweeps)
        .flat_map(|sweep| &sweep.cases)
        .filter_map(|case| case.measured().map(|measured| measured.processes.len()))
        .max();
    let quick = if run.quick { "quick run; " } else { "" };
    match processes {
        None => format!("{quick}no pair was measured"),
        Some(1) => format!(
            "{quick}one process per family: the intervals (95 %) include no more of the variance between processes than identical sides show; see --rounds"
        ),
        Some(count) => format!("{quick}intervals (95 %) over {count} processes"),
    }
}

#[cfg(test)]
mod tests;
