//! The family of batching techniques.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/batching.md"))]

worthit_pair::family! {
    "batching": "Pay the fixed cost once";
    channel_batches,
    group_commit,
    in_list,
    lock_batches,
    multi_row_insert,
    pipelining,
    transaction,
    vectored_write,
}
