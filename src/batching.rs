//! The family of batches.

worthit_pair::family! {
    "batching": "Pay the fixed cost once";
    pipelining,
    transaction,
}
