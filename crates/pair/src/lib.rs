//! The building blocks of a `worthit` pair: its data, timing loops, counted causes and proof.
//!
//! A pair's file uses no other crate of the suite. Start at [`pair`] for the fields of a pair and at
//! [`trial`] for how its sides are timed. The crate `worthit-harness` runs the pairs.

pub mod answer;
pub mod audited;
pub mod build;
pub mod case;
pub mod cases;
pub mod causes;
pub mod claim;
pub mod contract;
pub mod cores;
pub mod explanation;
pub mod family;
pub mod format;
pub mod growth;
pub mod helper;
pub mod inputs;
pub mod limit;
mod listing;
pub mod pair;
pub mod paths;
pub mod plans;
pub mod proof;
pub mod study;
pub mod threads;
pub mod trap;
pub mod trial;
pub mod unavailable;
pub mod under_load;
pub mod wait;

/// Everything that a pair's file may need.
pub mod prelude {
    pub use crate::{
        answer::Found,
        causes::{self, Cause, Counted, CountedHashes, FixedSipHash, note, noted_during, noting},
        contract::{Approximate, ApproximateList, Unordered},
        inputs::Inputs,
        pair::{
            Axis, Case, Check, Claim, Count, Exempt, Explanation, FarEnd, Growth, Headline,
            KeepNaive, Level, Levels, Limit, Lint, Metric, Origin, Pair, Parameter, Points, Proof,
            Rates, Resources, Review, Shape, ShareOfCause, Side, SideBeside, Trap, Unavailable,
            UnderLoad, Work, ensure, logical_cores,
        },
        paths::{self, Fixture},
        trial::{
            Answered, MIN_LATENCY_SAMPLES, OpenLoop, Runner, Trial, asynchronous, at_rates, by_ref,
            by_value, changing, contended, on_first_use, open_loop, pooled, resetting,
            under_contract,
        },
    };
    pub use worthit_servers::Program;
}
