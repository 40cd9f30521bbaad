//! Fix: keep connections in a pool.

use super::{
    connection::{Error, Held},
    store::Access,
};
use crate::fixtures::postgres::connect;
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "pool",
    title: "Keep connections in a pool",
    why: "A connection is a new process of the server and a password that is checked slowly on purpose. That is a fixed price \
          for each request: nothing beside seconds of queries, most of the time once these are gone. An SQLite file is opened \
          and its schema read, which is cheaper.",
    costs: "Connections that stay open, and a limit on how many requests run at once.",
    source: include_str!("pool.rs"),
};

/// Connects for this request alone.
pub async fn before(bank: &Access) -> Result<Held, Error> {
    Ok(match bank {
        Access::Server { config, .. } => Held::Own(connect(config).await?),
        Access::File { file, .. } => Held::File(file.open()?),
    })
}

/// Takes a connection that was open before, and gives it back when it is dropped.
pub async fn after(bank: &Access) -> Result<Held, Error> {
    Ok(match bank {
        Access::Server { pool, .. } => Held::Pooled(pool.get().await?),
        Access::File { file, kept } => Held::File(kept.take(file)?),
    })
}
