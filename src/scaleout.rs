//! The family of techniques for more machines.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/scaleout.md"))]

worthit_pair::family! {
    "scaleout": "Spread the work over more machines";
    cdn,
    consistent_hash,
    http_compression,
    job_queue,
    least_connections,
    load_balancing,
    read_replica,
    redis_cluster,
    sharding,
}
