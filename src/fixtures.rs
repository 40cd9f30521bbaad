//! What pairs share: seeded inputs, schemas, servers; one file per kind.
//!
//! Fixtures measure nothing. What serves in the background leaves itself out of the causes with
//! [`worthit_pair::causes::exclude_thread`].

pub mod kv_server;
pub mod log_lines;
pub mod origin;
pub mod shop;
pub mod sql_server;
pub mod sqlite;
pub mod text;
pub mod zipf;
