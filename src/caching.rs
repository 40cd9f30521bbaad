//! The family of caching techniques.

worthit_pair::family! {
    "caching": "Do not do it twice";
    memoize,
    query_cache,
    single_flight,
}
