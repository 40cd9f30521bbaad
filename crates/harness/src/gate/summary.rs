//! A gate's report in words, which every output prints in its own format.

use std::time::Duration;

use super::{
    report::{CaseReport, GateReport, Outcome},
    verdict::{CountChange, Judgement, Time, Verdict, judge},
};
use crate::statistics::Interval;
use worthit_pair::{format, trial::Role};

/// One statement about a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Verdict that the remark supports.
    pub verdict: Verdict,
    /// Its text.
    pub text: String,
}

/// Returns all remarks on a pair: every change, and everything that could not be decided.
pub fn remarks(report: &CaseReport) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut add = |verdict, text: String| remarks.push(Remark { verdict, text });
    for breach in &report.breaches {
        add(Verdict::Regressed, breach.what.clone());
    }
    if let Some(old) = &report.renamed_from {
        add(Verdict::Unchanged, format!("renamed from {old}"));
    }
    match &report.outcome {
        Outcome::Judged { counts, time } => {
            let Judgement { verdict, reason } = judge(counts, time);
            for count in counts.iter().filter(|count| is_worth_reporting(count)) {
                let is_held_back = count.verdict == Verdict::Improved && verdict != count.verdict;
                let supported = if is_held_back { Verdict::Unchanged } else { count.verdict };
                add(supported, count_change(count));
            }
            if let Some(text) = time_in_words(time) {
                add(time.verdict(), text);
            }
            if let Some(reason) = reason {
                add(verdict, reason);
            }
        }
        Outcome::Unaffected => {}
        Outcome::NotComparable { reason } => {
            add(Verdict::Undecided, format!("not comparable: {reason}"))
        }
        Outcome::OnlyIn { head: true } => {
            add(Verdict::Unchanged, "new: the base does not have it".to_owned())
        }
        Outcome::OnlyIn { head: false } => {
            add(Verdict::Unchanged, "gone: only the base has it".to_owned())
        }
        Outcome::Unavailable { reason } => add(Verdict::Unchanged, reason.clone()),
        Outcome::Broken { problem } => add(Verdict::Regressed, format!("broken: {problem}")),
    }
    remarks.sort_by_key(|remark| std::cmp::Reverse(remark.verdict));
    remarks
}

fn is_worth_reporting(count: &CountChange) -> bool {
    count.verdict != Verdict::Unchanged
        || (count.base != count.head && count.base.repeats() && count.head.repeats())
}

/// Formats a change of a count: `optimized: 1 → 2 statements (+100.0 %)`.
fn count_change(count: &CountChange) -> String {
    let side = if count.role == Role::Naive { "naive" } else { "optimized" };
    let [base, head] = [count.base, count.head].map(|counted| count.per_iteration(counted));
    let cause = count.name();
    let change = match count.base.least {
        0 => String::new(),
        _ => format!(" ({})", percent(count.ratio())),
    };
    format!("{side}: {base} → {head} {cause}{change}")
}

/// Formats a ratio as a change, `+1.3 %`, with more digits if the change is tiny.
pub fn percent(ratio: f64) -> String {
    let change = (ratio - 1.0) * 100.0;
    let digits = match change.abs() {
        0.05.. => 1,
        0.0005.. => 3,
        _ => 5,
    };
    format!("{change:+.digits$} %")
}

fn time_in_words(time: &Time) -> Option<String> {
    match time {
        Time::Skipped { .. } => None,
        Time::Missing { reason } => Some(format!("time not measured: {reason}")),
        Time::Judged { found, verdict, caveat, disturbed, .. } => {
            let change = found.change.as_ref().map_or("not known yet".to_owned(), change_in_words);
            let how = match found.confirming {
                0 => format!("{} restarts", found.restarts),
                confirming => {
                    format!("{} restarts, {confirming} of them for confirmation", found.restarts)
                }
            };
            let mut text = format!("optimized: time {change}, {how}");
            if let Some(caveat) = caveat {
                text += &format!(": {caveat}");
            } else if *verdict == Verdict::Undecided {
                text += ": too noisy to tell";
                if *disturbed > 0 {
                    text += &format!(" (other processes held the CPU during {disturbed} of them)");
                }
            }
            Some(text)
        }
    }
}

/// Formats a change of time with its confidence interval: `+5.1 % (+4.2…+6.0)`.
fn change_in_words(change: &Interval) -> String {
    let Interval { low, estimate, high } = *change;
    let bare = |ratio: f64| format!("{:+.1}", (ratio - 1.0) * 100.0);
    format!("{} ({}…{})", percent(estimate), bare(low), bare(high))
}

/// Formats the whole report in one line: `1 regressed, 2 undecided, 19 unchanged of 22 pairs`.
pub fn headline(report: &GateReport) -> String {
    let counts = [Verdict::Regressed, Verdict::Undecided, Verdict::Improved, Verdict::Unchanged]
        .into_iter()
        .map(|verdict| (report.count(verdict), verdict))
        .filter(|(count, _)| *count > 0)
        .map(|(count, verdict)| format!("{count} {verdict}"));
    let counts: Vec<String> = counts.collect();
    format!("{} of {} pairs", counts.join(", "), report.cases.len())
}

/// Returns the small print of every output: what was compared, the rule, the duration and the notes.
pub fn small_print(report: &GateReport) -> Vec<String> {
    let rule = &report.rule;
    let share = |share: f64| percent(1.0 + share).trim_start_matches('+').to_owned();
    let mut lines = vec![
        format!("{} against {} on {}, {}", report.head, report.base, report.machine, report.rustc),
        format!(
            "a pair regresses if its instructions grow by more than {}, any other count grows, or its time grows by \
             more than {}, confirmed in fresh processes; it improves if nothing is worse and its time is shorter by as \
             much, confirmed in the same way, or if it does less (other than instructions) in no more time; the \
             probability that the times of a run without any change are called regressed or improved is at most {} \
             ({} pairs timed). Undecided pairs do not fail the run.",
            share(report.tolerances.instructions),
            share(rule.relevant),
            share(rule.false_alarms),
            rule.comparisons
        ),
        format!("took {} after the builds", seconds(report.seconds)),
    ];
    let unaffected =
        report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Unaffected)).count();
    if unaffected > 0 {
        lines.push(format!(
            "{unaffected} of {} pairs were neither counted nor timed, because nothing they depend on has changed; \
             --no-skip judges them too",
            report.cases.len()
        ));
    }
    lines.extend(report.self_test.clone());
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn seconds(seconds: f64) -> String {
    format::duration(Duration::from_secs_f64(seconds.max(0.0)).as_nanos() as f64)
}

/// Returns the ids of the pairs that are unchanged and have no remarks.
pub fn quiet_pairs(report: &GateReport) -> Vec<&str> {
    let quiet =
        report.cases.iter().filter(|case| case.verdict() == Verdict::Unchanged && is_quiet(case));
    quiet.map(|case| case.case.key.pair.as_str()).collect()
}

/// Returns all other pairs, the worst first.
pub fn notable_pairs(report: &GateReport) -> Vec<&CaseReport> {
    let mut notable: Vec<&CaseReport> = report
        .cases
        .iter()
        .filter(|case| case.verdict() != Verdict::Unchanged || !is_quiet(case))
        .collect();
    notable.sort_by_key(|case| std::cmp::Reverse(case.verdict()));
    notable
}

/// Returns whether a pair has no remark other than its measured time.
fn is_quiet(case: &CaseReport) -> bool {
    let time = matches!(&case.outcome, Outcome::Judged { time: Time::Judged { .. }, .. });
    remarks(case).len() == usize::from(time)
}

/// Formats the case of a pair: `algorithms/hash_dedup at 8,192 items`.
pub fn place(case: &CaseReport) -> String {
    let key = &case.case.key;
    let level = if key.level.is_empty() { String::new() } else { format!("/{}", key.level) };
    let place = format!("{} {}", format::count(key.point), case.case.axis_unit);
    format!("{}{level} at {}", key.pair, place.trim_end())
}
