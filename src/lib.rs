//! Is this optimization worth it? Pairs of a naive and an optimized implementation, each isolating
//! one technique, proven equal, measured on the reader's own machine.
//!
//! Start at [`pair`] for what a pair is and [`trial`] for how it is timed; ARCHITECTURE.md has the
//! code map.

pub mod bench;
pub mod calibration;
pub mod cases;
pub mod causes;
pub mod ceiling;
pub mod cli;
pub mod contract;
pub mod cores;
pub mod criterion_pages;
pub mod family;
pub mod flags;
pub mod format;
pub mod gate;
pub mod growth;
pub mod history;
pub mod interleave;
pub mod interrupt;
pub mod limit;
pub mod load;
pub mod machine;
pub mod measuring;
pub mod numbers;
pub mod pair;
pub mod places;
pub mod progress;
pub mod readme;
pub mod reference;
pub mod report;
pub mod results;
pub mod run;
pub mod samples;
pub mod scaling;
pub mod statistics;
pub mod table;
pub mod tally;
pub mod trial;

#[cfg(feature = "catalogue")]
pub mod algorithms;
#[cfg(feature = "catalogue")]
pub mod batching;
#[cfg(feature = "catalogue")]
pub mod caching;
#[cfg(feature = "catalogue")]
pub mod fixtures;
#[cfg(feature = "catalogue")]
pub mod io;
#[cfg(feature = "catalogue")]
pub mod parallelism;
#[cfg(feature = "catalogue")]
pub mod queries;

/// The families of the catalogue, in the order of the report.
#[cfg(feature = "catalogue")]
pub static CATALOGUE: [&family::Family; 7] = [
    &algorithms::FAMILY,
    &caching::FAMILY,
    &queries::FAMILY,
    &batching::FAMILY,
    &io::FAMILY,
    &parallelism::FAMILY,
    &calibration::FAMILY,
];
