//! The family with which the suite measures itself.

worthit_pair::family! {
    "calibration": "Measure the measure";
    harness_overhead,
    identical_sides,
}
