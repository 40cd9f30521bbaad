//! Markdown tables of a self-test.

use std::collections::BTreeSet;

use super::super::self_test::{SAME_BUILD, SelfTest};
use worthit_pair::format;

/// Returns a self-test as Markdown that is also readable on a terminal.
pub fn text(found: &SelfTest) -> String {
    let mut text = format!(
        "self-test of the gate: {} on {}, {:.0} s, load average {:.1}, workers {}\n\n",
        found.head,
        found.machine,
        found.seconds,
        found.load_average,
        if found.has_realtime_priority {
            "at real-time priority"
        } else {
            "without real-time priority (needs CAP_SYS_NICE)"
        }
    );
    text += "| null (A/A) comparison | builds differ in | comparisons | false alarms by counts | false alarms by time | false improvements | held back (layout, load) | undecided |\n|---|---|---|---|---|---|---|---|\n";
    for (kind, nulls) in &found.nulls {
        text += &format!(
            "| {kind} | {} | {} | {} | {} | {} | {} | {} |\n",
            if kind == SAME_BUILD { "nothing" } else { "unrelated code" },
            nulls.comparisons,
            nulls.alarms_by_counts,
            nulls.alarms_by_time,
            nulls.improvements,
            nulls.held_back,
            nulls.undecided
        );
    }
    let (failed, runs) = found.failed_runs;
    text += &format!(
        "\n{failed} of {runs} null runs failed (a pair was called regressed or improved): {}\n\n",
        rate(failed, runs)
    );
    let classes: BTreeSet<&str> = found.caught.iter().map(|row| row.class.as_str()).collect();
    let class_headings: String = classes.iter().map(|class| format!(" {class} |")).collect();
    text += &format!(
        "| caught by | injected |{class_headings} all |\n|---|---|{}---|\n",
        "---|".repeat(classes.len())
    );
    let mut seen = BTreeSet::new();
    for row in &found.caught {
        if !seen.insert((&row.signal, &row.size)) {
            continue;
        }
        let caught_of_class = |class: Option<&str>| {
            let rows = found.caught.iter().filter(|other| {
                other.signal == row.signal
                    && other.size == row.size
                    && class.is_none_or(|class| other.class == class)
            });
            let sums = rows.fold((0, 0, 0), |sum, row| {
                (sum.0 + row.caught, sum.1 + row.injected, sum.2 + row.undecided)
            });
            match sums {
                (_, 0, _) => format::NONE.to_owned(),
                (caught, injected, 0) => format!("{caught} of {injected}"),
                (caught, injected, undecided) => {
                    format!("{caught} of {injected} ({undecided} undecided)")
                }
            }
        };
        let cells: String =
            classes.iter().map(|class| format!(" {} |", caught_of_class(Some(class)))).collect();
        text += &format!("| {} | {} |{cells} {} |\n", row.signal, row.size, caught_of_class(None));
    }
    for alarm in &found.alarms {
        text += &format!("\nfalse alarm: {alarm}");
    }
    for missed in &found.missed {
        text += &format!("\nmissed: {missed}");
    }
    for note in &found.notes {
        text += &format!("\nnote: {note}");
    }
    text + "\n"
}

/// Formats the rate of failed runs with its one-sided 95 % upper bound by Clopper and Pearson.
fn rate(failed: usize, runs: usize) -> String {
    format!(
        "estimated rate {}, at most {} with 95 % confidence",
        percent(failed as f64 / runs.max(1) as f64),
        percent(crate::statistics::upper_bound_of_share(failed as u64, runs as u64))
    )
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
