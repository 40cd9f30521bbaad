//! Our own pairs, measured and monitored with `worthit`.

worthit_pair::catalogue! {
    records,
    checksums,
}
