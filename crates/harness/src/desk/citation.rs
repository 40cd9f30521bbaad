//! A citation for a pull request: what was found at one size, why, when to leave it alone, and how to check it.

use super::{Figures, sweep_point::SweepPoint};
use crate::{
    report::{because, compared, warnings_of_pair},
    statistics::Interval,
};
use worthit_pair::{family::Entry, format, pair::Metric};

/// Returns a gain in words: "12.3× (11.9…12.8)", or "12.3× (computed)".
pub fn figure(gain: &Interval, is_computed: bool) -> String {
    if is_computed {
        format!("{} (computed)", format::times(gain.estimate))
    } else {
        gain.as_gain()
    }
}

/// Writes a citation in Markdown. `link` is a permanent address of the pair, if there is one.
pub fn markdown(
    entry: &Entry,
    figures: &Figures,
    point: &SweepPoint<'_>,
    link: Option<&str>,
) -> String {
    let (run, pair) = (&figures.run, figures.pair());
    let id = entry.id;
    let name = link.map_or(format!("`{id}`"), |link| format!("[`{id}`]({link})"));
    let gain = figure(&point.gain, point.nearest.measured().is_none());
    let finding = compared(pair.metric, &point.gain, &gain, &pair.naive, &pair.optimized);
    let cause = pair.causes.first().zip(point.nearest.measured());
    let cause = cause.and_then(|(cause, found)| because(found, cause)).map(|counts| {
        let at = match point.between {
            Some(_) => format!(" (at {})", pair.place(point.nearest.point)),
            None => String::new(),
        };
        format!("; {counts}{at}")
    });
    let mut doubts: Vec<String> =
        warnings_of_pair(run, pair).iter().filter_map(|warning| warning.in_citation()).collect();
    if run.revision.dirty {
        doubts.push("uncommitted changes".to_owned());
    }
    let doubts = match doubts.is_empty() {
        true => String::new(),
        false => format!(" ({})", doubts.join(", ")),
    };
    let commit = run.revision.commit.as_deref().unwrap_or("unknown");
    let metric = match pair.metric {
        Metric::Time => String::new(),
        metric => format!(", by {}", metric.heading()),
    };
    format!(
        "**worthit {name}: {title}.** At {place}, {finding}{cause}.\n\n\
         - Leave it alone when: {keep}\n\
         - Measured{metric} on `{machine}` ({cpu}, {cores} logical cores, {rustc}), by {source}{doubts}, revision `{revision}`.\n\
         - Reproduce: `cargo bench -- '^{id}/'`\n",
        title = entry.title,
        place = point.place(pair),
        cause = cause.unwrap_or_default(),
        keep = entry.review.keep_naive_when,
        machine = run.machine.key,
        cpu = run.machine.cpu,
        cores = run.machine.logical_cores,
        rustc = run.toolchain.rustc,
        source = figures.source_in_words(),
        revision = commit.get(..12).unwrap_or(commit),
    )
}
