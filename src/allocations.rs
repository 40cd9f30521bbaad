//! The family of allocations and copies.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/allocations.md"))]

worthit_pair::family! {
    "allocations": "Allocate and copy less";
    arena,
    big_variant,
    borrowed_tokens,
    buffer_reuse,
    clone_in_loop,
    cow_normalize,
    needless_collect,
    preallocate,
    quadratic_concat,
    shared_payload,
    small_vec,
    streaming,
    typed_json,
}
