//! The family of parallelism.

worthit_pair::family! {
    "parallelism": "Use all cores";
    padded_counters,
    parallel_map,
    sharded_map,
}
