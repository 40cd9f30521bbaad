//! The family of buffered, mapped and asynchronous input and output.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/io.md"))]

worthit_pair::family! {
    "io": "Do not wait for each byte";
    async_connections,
    async_fanout,
    bounded_queue,
    buffered_read,
    buffered_write,
    compressed_read,
    keep_alive,
    kernel_copy,
    line_buffer,
    locked_stdout,
    mapped_scan,
    packed_files,
    positioned_read,
    tcp_nodelay,
    tokio_fs_batch,
    unblocked_runtime,
}
