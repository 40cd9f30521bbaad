//! Fix: spread users over several database servers.

use super::{
    post::{Post, newest_first},
    store::{Failure, Store},
    tables::Ids,
};
use crate::fixtures::postgres::Database;
use worthit_pair::{pair::Unavailable, study::Fix};
use worthit_servers::Program;

pub const FIX: Fix = Fix {
    name: "shards",
    title: "Spread users over several databases",
    why: "One database runs all statements. With users spread over several servers, each has a part of the rows and of \
          the writes. That pays where the database is short of cores, memory or disk. It does not where all servers share \
          one machine and a cache in front leaves them little to do.",
    costs: "A timeline from the database asks every shard and merges. A follow is a row on the shards of both users, \
            without a transaction over the two: a user's follows take turns under a lock, and if a server dies in \
            between, it must be repeated. Ids are made of the time and the shard, as no sequence is common to all. Another \
            number of shards moves rows. Redis is far from its limit, and is not sharded.",
    source: include_str!("shards.rs"),
};

/// Database servers.
pub const SHARDS: usize = 4;

/// Makes a schema on each server.
pub fn databases() -> Result<Vec<Database>, Unavailable> {
    (0..SHARDS).map(|nth| Database::on(Program::PostgresShards, nth)).collect()
}

/// Returns the place of the database that has a user.
pub fn place(user: i64, databases: usize) -> usize {
    user.rem_euclid(databases as i64) as usize
}

/// Returns what gives a post its id on a shard: microseconds since 2020, a sequence of ten bits for posts of the same
/// microsecond, and the shard. Ids of all shards are in the order of time, as far as their clocks agree.
pub fn ids(shard: usize) -> Ids {
    let made = format!(
        "CREATE SEQUENCE post_turns;
         CREATE FUNCTION post_id() RETURNS bigint LANGUAGE sql AS $$
             SELECT ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 1577836800000000) * 4096
                    + nextval('post_turns') % 1024 * 4 + {shard}
         $$"
    );
    Ids { made, definition: "DEFAULT post_id()".to_owned() }
}

/// Reads a timeline from the one database, in one query.
pub async fn before(store: &Store, user: i64, page: usize) -> Result<Vec<Post>, Failure> {
    let rows = store.on(0).query(store.queries.timeline, &[&user, &(page as i64)]).await?;
    Ok(rows.iter().map(Post::of).collect())
}

/// Asks the user's shard for the followees, then each shard for the newest posts of those who are there, and merges.
pub async fn after(store: &Store, user: i64, page: usize) -> Result<Vec<Post>, Failure> {
    let followees = store.followees(user).await?;
    let posts = store.newest(&followees, page).await?;
    Ok(newest_first(posts, page))
}
