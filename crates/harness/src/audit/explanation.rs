//! Whether the references agree with what a card explains, and whether its prose leaves magnitudes to them.

use super::{AtHeadline, Findings, Headlines, prose};
use crate::{results::Measured, statistics::Interval};
use worthit_pair::{explanation::ShareOfCause, family::Entry, format, pair::Points, trial::Role};

/// Contradictions between the card and the references, and magnitudes in its prose.
pub fn find(entry: &Entry, headlines: &Headlines<'_>) -> Findings {
    let card = [
        ("why", entry.explanation.why),
        ("keep_naive_when", entry.review.keep_naive_when),
        ("remedy", entry.review.remedy),
        ("costs", entry.review.costs),
    ];
    let magnitude = |(field, text): (&str, &str)| {
        prose::magnitude(text).map(|word| {
            format!("`{field}` states a magnitude (`{word}`); claims and results do that")
        })
    };
    let mut problems: Vec<String> = card.into_iter().filter_map(magnitude).collect();
    problems.extend(headlines.check(|headline| contradictions(entry, headline))?);
    Ok(problems)
}

/// How a measured headline contradicts what the card claims, each in a clause.
pub(super) fn contradictions(entry: &Entry, headline: AtHeadline<'_>) -> Vec<String> {
    let explanation = &entry.explanation;
    let mut problems = Vec::new();
    if let ShareOfCause::Within(low, high) = explanation.share_of_cause {
        match share_of_cause(entry, headline.measured) {
            Some(share) if (low..=high).contains(&share) => {}
            Some(share) => problems.push(format!(
                "the gain is {} of the ratio of counts, where {low} to {high} is claimed",
                format::significant(share)
            )),
            None => problems.push("the counts of the first cause have no ratio".to_owned()),
        }
    }
    let gains = gains_within_cores(entry, headline);
    let bounds = |gain: &Interval| (gain.low, gain.high);
    if let [.., (_, before), (_, last)] = &gains[..]
        && !explanation.far_end.agrees_with(bounds(before), bounds(last))
    {
        problems.push(format!(
            "{:?} is claimed of the far end, but the gain goes from {} to {}",
            explanation.far_end,
            format::times(before.estimate),
            format::times(last.estimate)
        ));
    }
    let bounded: Vec<_> = gains.iter().map(|(point, gain)| (*point, bounds(gain))).collect();
    let contradicted = explanation.keep_naive.contradicted_by(&bounded);
    for (point, gain) in gains.iter().filter(|(point, _)| contradicted.contains(point)) {
        problems.push(format!(
            "{:?} is claimed, but the gain at {} is {}",
            explanation.keep_naive,
            headline.pair.place(*point),
            format::times(gain.estimate)
        ));
    }
    problems
}

/// The gains of the headline's sweep. A card claims nothing of threads that wait for a core.
fn gains_within_cores(entry: &Entry, headline: AtHeadline<'_>) -> Vec<(u64, Interval)> {
    let mut gains = headline.sweep.headline_gains();
    if matches!(entry.axis.points, Points::Threads) {
        gains.retain(|(threads, _)| *threads <= headline.run.machine.logical_cores);
    }
    gains
}

/// The gain divided by the ratio of the first cause's counts; `None` if a count is missing or zero.
pub fn share_of_cause(entry: &Entry, measured: &Measured) -> Option<f64> {
    let id = entry.causes.first()?.cause.id;
    let ratio = measured.count(Role::Naive, id)? / measured.count(Role::Optimized, id)?;
    Some(measured.gain.estimate / ratio).filter(|share| share.is_finite() && *share > 0.0)
}
