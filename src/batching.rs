//! The family of batches.

crate::family! {
    "batching": "Pay the fixed cost once";
    pipelining,
    transaction,
}
