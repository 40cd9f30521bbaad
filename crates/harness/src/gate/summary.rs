//! A gate's report in words: what every output says, each in its own form.

use std::time::Duration;

use super::verdict::{CaseReport, CountChange, GateReport, Outcome, Time, Verdict};
use crate::statistics::Interval;
use worthit_pair::{format, trial::Role};

/// One thing that is said of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What it says of the pair.
    pub verdict: Verdict,
    /// The words.
    pub text: String,
}

/// Everything that is to be said of a pair: whatever changed, and whatever could not be told.
pub fn remarks(report: &CaseReport) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut say = |verdict, text: String| remarks.push(Remark { verdict, text });
    for breach in &report.breaches {
        say(Verdict::Regressed, breach.what.clone());
    }
    if let Some(old) = &report.renamed_from {
        say(Verdict::Unchanged, format!("renamed: it was {old}"));
    }
    match &report.outcome {
        Outcome::Judged { counts, time } => {
            for count in counts.iter().filter(|count| is_worth_saying(count)) {
                say(count.verdict, count_change(count));
            }
            if let Some(text) = time_in_words(time) {
                say(time.verdict(), text);
            }
        }
        Outcome::NotComparable { reason } => {
            say(Verdict::Undecided, format!("not comparable: {reason}"))
        }
        Outcome::OnlyIn { head: true } => {
            say(Verdict::Unchanged, "new: the base does not have it".to_owned())
        }
        Outcome::OnlyIn { head: false } => {
            say(Verdict::Unchanged, "gone: only the base has it".to_owned())
        }
        Outcome::Unavailable { reason } => say(Verdict::Unchanged, reason.clone()),
        Outcome::Broken { problem } => say(Verdict::Regressed, format!("broken: {problem}")),
    }
    remarks.sort_by_key(|remark| std::cmp::Reverse(remark.verdict));
    remarks
}

fn is_worth_saying(count: &CountChange) -> bool {
    count.verdict != Verdict::Unchanged
        || (count.base != count.head && count.base.repeats() && count.head.repeats())
}

/// `optimized: 1 → 2 statements (+100 %)`
fn count_change(count: &CountChange) -> String {
    let side = if count.role == Role::Naive { "naive" } else { "optimized" };
    let range = |counted: &super::verdict::Counted| {
        if counted.repeats() {
            format::count(counted.least)
        } else {
            format!("{}…{}", format::count(counted.least), format::count(counted.most))
        }
    };
    let (base, head, cause) =
        (range(&count.base), range(&count.head), count.cause.replace('_', " "));
    let change = match count.base.least {
        0 => String::new(),
        _ => format!(" ({})", percent(count.ratio())),
    };
    format!("{side}: {base} → {head} {cause}{change}")
}

/// `+1.3 %`, of a ratio; more digits where it would else be nothing.
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
            let change = found.change.as_ref().map_or("not told yet".to_owned(), change_in_words);
            let how = match found.confirming {
                0 => format!("{} restarts", found.restarts),
                again => format!("{} restarts, {again} of them to confirm it", found.restarts),
            };
            let mut text = format!("optimized: time {change}, {how}");
            if let Some(caveat) = caveat {
                text += &format!(": {caveat}");
            } else if *verdict == Verdict::Undecided {
                text += ": too noisy to tell";
                if *disturbed > 0 {
                    text += &format!(" (others held the CPU during {disturbed} of them)");
                }
            }
            Some(text)
        }
    }
}

/// `+5.1 % (+4.2…+6.0)`
fn change_in_words(change: &Interval) -> String {
    let Interval { low, estimate, high } = *change;
    let bare = |ratio: f64| format!("{:+.1}", (ratio - 1.0) * 100.0);
    format!("{} ({}…{})", percent(estimate), bare(low), bare(high))
}

/// The whole in one line: `1 regressed, 2 undecided, 19 unchanged of 22 pairs`.
pub fn headline(report: &GateReport) -> String {
    let counts = [Verdict::Regressed, Verdict::Undecided, Verdict::Improved, Verdict::Unchanged]
        .into_iter()
        .map(|verdict| (report.count(verdict), verdict))
        .filter(|(count, _)| *count > 0)
        .map(|(count, verdict)| format!("{count} {verdict}"));
    let counts: Vec<String> = counts.collect();
    format!("{} of {} pairs", counts.join(", "), report.cases.len())
}

/// Under what rule and in what time: the small print of every output.
pub fn small_print(report: &GateReport) -> Vec<String> {
    let rule = &report.rule;
    let mut lines = vec![
        format!("{} against {} on {}, {}", report.head, report.base, report.machine, report.rustc),
        format!(
            "regressed: more than {} instructions, any more of another count, or a time more than {} longer, \
             confirmed in fresh processes; a run without any change alarms with a probability of at most {} \
             ({} timed). Undecided fails nothing.",
            percent(1.0 + report.tolerances.instructions),
            percent(1.0 + rule.relevant),
            percent(1.0 + rule.false_alarms).trim_start_matches('+'),
            rule.comparisons
        ),
        format!("{} after the builds", seconds(report.seconds)),
    ];
    lines.extend(report.self_test.clone());
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn seconds(seconds: f64) -> String {
    format::duration(Duration::from_secs_f64(seconds.max(0.0)).as_nanos() as f64)
}

/// Pairs that are unchanged and of which nothing is to be said.
pub fn silent(report: &GateReport) -> Vec<&str> {
    let silent =
        report.cases.iter().filter(|case| case.verdict() == Verdict::Unchanged && is_quiet(case));
    silent.map(|case| case.case.key.id.as_str()).collect()
}

/// The others, the worst first.
pub fn loud(report: &GateReport) -> Vec<&CaseReport> {
    let mut loud: Vec<&CaseReport> = report
        .cases
        .iter()
        .filter(|case| case.verdict() != Verdict::Unchanged || !is_quiet(case))
        .collect();
    loud.sort_by_key(|case| std::cmp::Reverse(case.verdict()));
    loud
}

/// Nothing to be said but a time that was measured and is the same.
fn is_quiet(case: &CaseReport) -> bool {
    let time = matches!(&case.outcome, Outcome::Judged { time: Time::Judged { .. }, .. });
    remarks(case).len() == usize::from(time)
}

/// `algorithms/hash_dedup at 8,192 items`
pub fn place(case: &CaseReport) -> String {
    let key = &case.case.key;
    let level = if key.level.is_empty() { String::new() } else { format!("/{}", key.level) };
    let place = format!("{} {}", format::count(key.point), case.case.axis_unit);
    format!("{}{level} at {}", key.id, place.trim_end())
}
