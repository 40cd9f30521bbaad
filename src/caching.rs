//! The family of caches.

crate::family! {
    "caching": "Do not do it twice";
    memoize,
    query_cache,
    single_flight,
}
