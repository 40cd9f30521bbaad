//! Whether a gain comes from one technique: it must not exceed what its cause explains.

use super::{Findings, Headlines, explanation};
use worthit_pair::{explanation::ShareOfCause, family::Entry, format};

/// How far the gain may exceed the ratio of the first cause's counts.
const LARGEST_SHARE: f64 = 1.25;

/// References in which the gain exceeds what the first cause explains, unless an alternative shows the second technique.
pub fn find(entry: &Entry, headlines: &Headlines<'_>) -> Findings {
    if !entry.alternatives.is_empty() {
        return Ok(Vec::new());
    }
    if let ShareOfCause::NoRatio(_) = entry.explanation.share_of_cause {
        return Ok(Vec::new());
    }
    headlines.check(|headline| {
        let share = explanation::share_of_cause(entry, headline.measured);
        let exceeds = share.filter(|share| *share > LARGEST_SHARE).map(|share| {
            format!(
                "the gain is {} times what the first cause explains: make the other technique a pair or an alternative",
                format::significant(share)
            )
        });
        exceeds.into_iter().collect()
    })
}
