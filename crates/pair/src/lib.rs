//! What a pair of `worthit` is made of: its data, its timing loops, its counted causes, its proof.
//!
//! This is all of the suite that a pair's file names. Start at [`pair`] for what a pair is and at
//! [`trial`] for how it is timed; what drives pairs is the crate `worthit-harness`.

pub mod build;
pub mod cases;
pub mod causes;
pub mod contract;
pub mod cores;
pub mod family;
pub mod format;
pub mod growth;
pub mod limit;
pub mod pair;
pub mod paths;
pub mod proof;
pub mod trial;
pub mod unavailable;

/// Everything that a pair's file may need.
pub mod prelude {
    pub use crate::{
        causes::{self, Cause, Counted, Counts, comparisons_during},
        contract::{Approximate, Unordered},
        pair::{
            Axis, Case, Claim, Count, Growth, Level, Levels, Limit, Metric, Origin, Pair,
            Parameter, Points, Proof, Resources, Review, Shape, Side, Unavailable, logical_cores,
        },
        paths::{self, Fixture},
        trial::{
            MIN_LATENCY_SAMPLES, OpenLoop, Role, Runner, Trial, asynchronous, bare_loop, by_ref,
            by_value, changing, contended, in_turn, on_first_use, open_loop, percentile, pooled,
            resetting, under_contract,
        },
    };
}
