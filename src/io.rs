//! The family of buffered, mapped and asynchronous input and output.

worthit_pair::family! {
    "io": "Do not wait for each byte";
    async_fanout,
    buffered_write,
    mapped_scan,
    unblocked_runtime,
}
