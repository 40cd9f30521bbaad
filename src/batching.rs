//! The family of batching techniques.

worthit_pair::family! {
    "batching": "Pay the fixed cost once";
    pipelining,
    transaction,
}
