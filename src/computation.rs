//! The family of needless computation.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/computation.md"))]

worthit_pair::family! {
    "computation": "Do not do what nobody needs";
    bounds_checks,
    clock_per_item,
    defer_expensive,
    deferred_log,
    enum_dispatch,
    fast_hasher,
    fast_path,
    hoisted_regex,
    integer_parse,
    lazy_default,
    map_entry,
    regex_to_literal,
    short_circuit,
    table_lookup,
}
