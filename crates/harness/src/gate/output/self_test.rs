//! The table of a self-test.

use std::collections::BTreeSet;

use super::super::self_test::SelfTest;
use worthit_pair::format;

/// A self-test as Markdown, which reads on a terminal too.
pub fn text(found: &SelfTest) -> String {
    let mut text = format!(
        "self-test of the gate: {} on {}, {:.0} s, load average {:.1}, workers {}\n\n",
        found.head,
        found.machine,
        found.seconds,
        found.load_average,
        if found.has_realtime_priority {
            "in real time"
        } else {
            "not in real time (it takes CAP_SYS_NICE)"
        }
    );
    text += "| no change | comparisons | alarms by counts | alarms by time | held back (layout, load) | undecided |\n|---|---|---|---|---|---|\n";
    for (kind, nulls) in &found.nulls {
        text += &format!(
            "| {kind} | {} | {} | {} | {} | {} |\n",
            nulls.comparisons,
            nulls.alarms_by_counts,
            nulls.alarms_by_time,
            nulls.held_back,
            nulls.undecided
        );
    }
    let (failed, runs) = found.failed_runs;
    text += &format!("\n{failed} of {runs} null runs failed; {}\n\n", rate(failed, runs));
    let classes: BTreeSet<&str> = found.caught.iter().map(|row| row.class.as_str()).collect();
    let heads: String = classes.iter().map(|class| format!(" {class} |")).collect();
    text += &format!(
        "| caught by | injected |{heads} all |\n|---|---|{}---|\n",
        "---|".repeat(classes.len())
    );
    let mut seen = BTreeSet::new();
    for row in &found.caught {
        if !seen.insert((&row.signal, &row.size)) {
            continue;
        }
        let of = |class: Option<&str>| {
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
        let cells: String = classes.iter().map(|class| format!(" {} |", of(Some(class)))).collect();
        text += &format!("| {} | {} |{cells} {} |\n", row.signal, row.size, of(None));
    }
    for alarm in &found.alarms {
        text += &format!("\nalarm: {alarm}");
    }
    for missed in &found.missed {
        text += &format!("\nmissed: {missed}");
    }
    for note in &found.notes {
        text += &format!("\nnote: {note}");
    }
    text + "\n"
}

/// `so at most 13.9 % of runs without a change fail (95 %)`: the upper bound of Clopper and Pearson.
fn rate(failed: usize, of: usize) -> String {
    format!(
        "estimated rate {}, at most {} (95 %)",
        percent(failed as f64 / of.max(1) as f64),
        percent(crate::statistics::upper_bound_of_share(failed as u64, of as u64))
    )
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
