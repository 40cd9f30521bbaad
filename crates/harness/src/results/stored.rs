//! A measured case as files of this and older versions have it.

use serde::Deserialize;

use super::SideResult;
use crate::{load::Load, statistics::Interval};
use worthit_pair::{limit::Needed, trial::Role};

/// See [`super::Measured`].
#[derive(Deserialize)]
pub struct Measured {
    units_per_iteration: u64,
    #[serde(default = "one")]
    inputs: u64,
    sides: Vec<SideResult>,
    gain: Interval,
    processes: Vec<Interval>,
    /// Older versions have one peer at most, and its interval here.
    #[serde(alias = "against_reference", default)]
    against_peer: Option<Interval>,
    #[serde(default)]
    needed: OneOrMany,
    load: Load,
    marked_processes: u64,
    #[serde(default)]
    mark: Option<String>,
    #[serde(default)]
    are_threads_placed: bool,
}

/// Older versions have one kind of work at most.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Needed>),
    One(Needed),
}

impl Default for OneOrMany {
    fn default() -> OneOrMany {
        OneOrMany::Many(Vec::new())
    }
}

fn one() -> u64 {
    1
}

impl From<Measured> for super::Measured {
    fn from(stored: Measured) -> super::Measured {
        let mut sides = stored.sides;
        if let Some(peer) = sides.iter_mut().find(|side| side.role == Role::Peer(0)) {
            peer.against_optimized = peer.against_optimized.or(stored.against_peer);
        }
        super::Measured {
            units_per_iteration: stored.units_per_iteration,
            inputs: stored.inputs,
            sides,
            gain: stored.gain,
            processes: stored.processes,
            needed: match stored.needed {
                OneOrMany::Many(needed) => needed,
                OneOrMany::One(needed) => vec![needed],
            },
            load: stored.load,
            marked_processes: stored.marked_processes,
            mark: stored.mark,
            are_threads_placed: stored.are_threads_placed,
        }
    }
}
