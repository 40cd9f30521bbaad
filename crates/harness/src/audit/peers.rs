//! Whether the optimized side is as good as the crates that do the same job.

use super::{Findings, Headlines};
use crate::{results::SideResult, statistics::Interval};
use worthit_pair::{family::Entry, format, trial::Role};

/// Least time of the best peer ÷ time of the optimized side; of bytes, where the pair compares those.
const LEAST: f64 = 0.95;

/// References in which a peer is better than the optimized side, and the card does not name it.
pub fn find(entry: &Entry, headlines: &Headlines<'_>) -> Findings {
    if entry.peers.is_empty() {
        return Ok(Vec::new());
    }
    let review = &entry.review;
    let card =
        [review.remedy, review.keep_naive_when, review.costs, entry.explanation.why].join("\n");
    headlines.check(|headline| {
        let peers = headline.measured.beside(|role| matches!(role, Role::Peer(_)));
        let better = peers.filter(|(peer, against)| {
            against.estimate < LEAST && !card.contains(peer.name.as_str())
        });
        let problem = |(peer, against): (&SideResult, Interval)| {
            format!(
                "`{}` has {} of its {}, and the card does not name it",
                peer.name,
                format::significant(against.estimate),
                entry.metric.heading(),
            )
        };
        better.map(problem).collect()
    })
}
