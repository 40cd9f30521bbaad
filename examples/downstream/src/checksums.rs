//! Checksums of files and messages.

worthit::family! {
    "checksums": "Compute ahead of time";
    crc_table,
}
