//! The proof that both sides of a headline case answer the requests of an open-loop load.

use crate::{
    cases,
    family::Entry,
    pair::Case,
    trial::{Role, Trial},
};

/// A load that every side can serve: requests a second, and requests.
const EASY: (f64, u64) = (200.0, 20);

/// Sends a few requests to both sides of a headline case, if its pair is put under load.
///
/// # Errors
/// If the trial has nothing that sends them, or some fail.
pub fn loads_are_answered(entry: &Entry, case: &Case, trial: &mut Trial) -> Result<(), String> {
    let headline = cases::headline(entry, case.seed).case;
    let is_headline = (headline.point, headline.level) == (case.point, case.level);
    if entry.under_load.is_none() || !is_headline {
        return Ok(());
    }
    for role in [Role::Naive, Role::Optimized] {
        let side = role.in_words();
        match trial.send(role, EASY.0, EASY.1, case.seed) {
            Err(unavailable) => return Err(format!("{side}: {unavailable}")),
            Ok(None) => {
                return Err(format!("{side} has no open-loop load, which `under_load` asks for"));
            }
            Ok(Some(load)) if load.failed > 0 => {
                let (failed, requests) = (load.failed, load.requests);
                return Err(format!("{side}: {failed} of {requests} requests of a load fail"));
            }
            Ok(Some(_)) => {}
        }
    }
    Ok(())
}
