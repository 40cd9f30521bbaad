//! The family of caching techniques.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/caching.md"))]

worthit_pair::family! {
    "caching": "Do not do it twice";
    bloom_filter,
    jittered_ttl,
    memoize,
    negative_cache,
    query_cache,
    response_cache,
    scan_resistance,
    shared_cache,
    single_flight,
}
