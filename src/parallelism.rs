//! The family of parallel work.

crate::family! {
    "parallelism": "Use all cores";
    parallel_map,
}
