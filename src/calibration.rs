//! The family with which the suite measures itself.

worthit_pair::family! {
    "calibration": "Measure the measure";
    identical_allocations,
    identical_sides,
}
