//! The building blocks of a `worthit` pair: its data, timing loops, counted causes and proof.
//!
//! A pair's file uses no other crate of the suite. Start at [`pair`] for the fields of a pair and at
//! [`trial`] for how its sides are timed. The crate `worthit-harness` runs the pairs.

pub mod build;
pub mod case;
pub mod cases;
pub mod causes;
pub mod contract;
pub mod cores;
pub mod family;
pub mod format;
pub mod growth;
pub mod limit;
mod listing;
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
