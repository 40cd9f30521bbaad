//! Pairs of our own, measured and watched by `worthit`.

worthit_pair::catalogue! {
    records,
    checksums,
}
