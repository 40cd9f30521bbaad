//! Whether a limit says something about the optimized side.

use super::{Findings, Headlines};
use crate::limit::Share;
use worthit_pair::{family::Entry, format, pair::Limit};

/// A share below this says nothing: something else takes the time.
const LEAST: f64 = 0.02;
/// A share above this is beaten: the limit does not model the work.
const MOST: f64 = 1.05;

/// References in which the share of the limit is too small, or beaten.
pub fn find(entry: &Entry, headlines: &Headlines<'_>) -> Findings {
    if let Limit::None(_) = entry.limit {
        return Ok(Vec::new());
    }
    headlines.check(|headline| {
        let numbers = headline.run.numbers.as_ref();
        match headline.measured.share_of_limit(numbers) {
            Share::Known(share) if (LEAST..=MOST).contains(&share) => Vec::new(),
            Share::Known(share) => {
                let said =
                    if share < LEAST { "the limit says little" } else { "the limit is beaten" };
                vec![format!("{said}: a share of {} %", format::significant(share * 100.0))]
            }
            Share::Unmeasured(need) => {
                vec![format!("its machine number is not measured ({need:?})")]
            }
            Share::Unbounded => vec!["the result has no limit".to_owned()],
        }
    })
}
