//! Fix: keep connections in a pool.

use deadpool_postgres::{Object, Pool, PoolError};
use tokio_postgres::{Client, Config, Error};

use crate::fixtures::postgres::connect;
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "pool",
    title: "Keep connections in a pool",
    why: "A connection is a new process of the server and a password that is checked slowly on purpose. That is a fixed price \
          for each request: nothing beside seconds of queries, most of the time once these are gone.",
    costs: "Connections that stay open, and a limit on how many requests run at once.",
    source: include_str!("pool.rs"),
};

/// Connects for this request alone.
pub async fn before(config: &Config) -> Result<Client, Error> {
    connect(config).await
}

/// Takes a connection that was open before, and gives it back when it is dropped.
pub async fn after(pool: &Pool) -> Result<Object, PoolError> {
    pool.get().await
}
