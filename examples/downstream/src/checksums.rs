//! Checksums of files and messages.

worthit_pair::family! {
    "checksums": "Compute ahead of time";
    crc_table,
}
