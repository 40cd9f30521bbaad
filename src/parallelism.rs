//! The family of parallel work.

crate::family! {
    "parallelism": "Use all cores";
    padded_counters,
    parallel_map,
    sharded_map,
}
