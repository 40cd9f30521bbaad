//! Is this optimization worth it? Pairs of a naive and an optimized implementation, each isolating
//! one technique, proven equal, measured on the reader's own machine.
//!
//! This crate is the catalogue: one folder a family, one file a pair. What a pair is made of is the crate
//! `worthit-pair`; what drives pairs is `worthit-harness`. ARCHITECTURE.md has the map.

pub mod fixtures;

worthit_pair::catalogue! {
    algorithms,
    caching,
    queries,
    batching,
    io,
    parallelism,
    calibration,
}
