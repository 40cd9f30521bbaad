//! The family of techniques for databases and caches that are processes of their own.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/services.md"))]

worthit_pair::family! {
    "services": "Ask another process less often";
    pg_connection_pool,
    pg_copy,
    pg_function,
    pg_index,
    pg_n_plus_one,
    pool_size,
    redis_cache_aside,
    redis_pipeline,
}
