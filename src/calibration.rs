//! The family with which the suite measures itself.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/calibration.md"))]

worthit_pair::family! {
    "calibration": "Measure the measure";
    identical_allocations,
    identical_sides,
}
