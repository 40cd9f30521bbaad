//! Fix: read pages from a replica too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool_postgres::{Object, Pool, PoolError};
use tokio::time::sleep;
use tokio_postgres::types::PgLsn;

use super::statements::Statements;
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "replica",
    title: "Read pages from a replica",
    why: "The database that takes the orders also made every page that is not kept. A second one, which follows it, \
          makes pages as well. A customer who has just bought carries a number that says how new the pages must be, and \
          gets them from the first one until the second has caught up.",
    costs: "A second server with all the data, which is a moment behind. The program must tell reads that may be late from \
            others. On a machine of its own it adds cores; here both share those that there are.",
    source: include_str!("replica.rs"),
};

/// A replica, as a server of the shop knows it.
pub struct Follower {
    pub pool: Pool,
    /// Up to where it has the primary's log, or further.
    replayed: Arc<AtomicU64>,
}

/// Where a page is read.
pub struct Reading {
    pub client: Object,
    pub is_follower: bool,
}

/// From where the orders are.
pub async fn before(primary: &Pool) -> Result<Reading, PoolError> {
    Ok(Reading { client: primary.get().await?, is_follower: false })
}

/// From the replica, if it has what the reader has seen.
pub async fn after(primary: &Pool, follower: &Follower, seen: u64) -> Result<Reading, PoolError> {
    if follower.replayed.load(Relaxed) < seen {
        return before(primary).await;
    }
    Ok(Reading { client: follower.pool.get().await?, is_follower: true })
}

/// How often a server asks how far the replica is.
const ASKS_EVERY: Duration = Duration::from_millis(20);

impl Follower {
    /// Learns how far the replica is, again and again for as long as this runtime lasts. Its own statements are not counted.
    pub async fn watch(pool: Pool, statements: Arc<Statements>) -> Result<Follower, PoolError> {
        let replayed = Arc::new(AtomicU64::new(0));
        learn(&pool, &statements, &replayed).await?;
        let (asked, learnt) = (pool.clone(), Arc::clone(&replayed));
        tokio::spawn(async move {
            loop {
                sleep(ASKS_EVERY).await;
                // Until it answers again, what is known stays true.
                let _ = learn(&asked, &statements, &learnt).await;
            }
        });
        Ok(Follower { pool, replayed })
    }
}

async fn learn(
    pool: &Pool,
    statements: &Statements,
    replayed: &AtomicU64,
) -> Result<(), PoolError> {
    let row = statements.query_one(&pool.get().await?, &statements.replayed, &[]).await?;
    // A replica that has replayed nothing since it started has what it was copied with.
    let position: Option<PgLsn> = row.get(0);
    replayed.fetch_max(position.map_or(0, u64::from), Relaxed);
    Ok(())
}
