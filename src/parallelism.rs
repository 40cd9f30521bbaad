//! The family of parallelism.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/parallelism.md"))]

worthit_pair::family! {
    "parallelism": "Use all cores";
    async_lock,
    atomic_counter,
    blocking_rayon_in_tokio,
    guard_across_await,
    local_counters,
    map_reduce,
    padded_counters,
    parallel_map,
    parallel_sort,
    parallel_sum,
    pipeline_stages,
    sharded_map,
    short_critical_section,
    snapshot_config,
    task_granularity,
    thread_pool,
    work_stealing,
    write_lock_for_read,
}
