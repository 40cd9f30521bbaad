//! The family of what better hardware offers to a program that asks for it.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/hardware.md"))]

worthit_pair::family! {
    "hardware": "Let better hardware show";
    gpu_offload,
    huge_pages,
    page_cache,
    queue_depth,
    simd_filter,
}
