//! Is this optimization worth it? Pairs of a naive and an optimized implementation, each isolating one
//! technique, proven equal and measured on the reader's own machine.
//!
//! This crate is the catalogue: one folder per family, one file per pair. The crate `worthit-pair` defines
//! pairs; `worthit-harness` runs them. ARCHITECTURE.md has the map.

pub mod fixtures;

worthit_pair::catalogue! {
    algorithms,
    computation,
    allocations,
    caching,
    queries,
    batching,
    io,
    parallelism,
    hardware,
    services,
    scaleout,
    studies,
    calibration,
}
