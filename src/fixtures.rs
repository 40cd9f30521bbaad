//! Fixtures that pairs share: seeded inputs, schemas and servers, one file per kind.
//!
//! Fixtures measure nothing. Background servers exclude their threads from the causes with
//! [`worthit_pair::causes::exclude_thread`].

pub mod background_task;
pub mod device_reads;
pub mod distance;
pub mod edge;
pub mod fingerprint;
pub mod gpu;
pub mod http;
pub mod kv_server;
pub mod log_lines;
pub mod loopback;
pub mod nginx;
pub mod origin;
pub mod outbox;
pub mod outside;
pub mod pg_shop;
pub mod pool;
pub mod postgres;
pub mod price_stream;
pub mod queue;
pub mod recency;
pub mod redis;
pub mod replica;
pub mod share;
pub mod shop;
pub mod sql_server;
pub mod sqlite;
pub mod text;
pub mod watched_key;
pub mod zipf;
