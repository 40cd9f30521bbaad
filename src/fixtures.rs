//! What pairs share: seeded inputs, schemas, servers; one file per kind.
//!
//! Fixtures measure nothing. What serves in the background leaves itself out of the causes with
//! [`crate::causes::exclude_thread`].

pub mod origin;
pub mod sqlite;
pub mod zipf;
