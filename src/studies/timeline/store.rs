//! The database as a server of the application uses it: statements on one server or on several.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use deadpool_postgres::{Pool, PoolError};
use futures_util::future::try_join_all;
use redis::RedisError;
use tokio_postgres::{Error, Row, types::ToSql};

use super::{index::Queries, post::Post, tables::Access};
use crate::fixtures::postgres::pool;
use worthit_pair::pair::Unavailable;

/// Connections of a pool. Each server of the application has a pool for each database.
const POOL: usize = 4;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] Error),
    #[error("the pool of connections: {0}")]
    Pool(#[from] PoolError),
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    #[error("an answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the request: {0}")]
    Request(#[from] io::Error),
}

/// Values of a statement's parameters.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Connections to one database.
pub struct Shard {
    pool: Pool,
    /// Marks statements, as a comment, so that the server tells them from those of other cases.
    mark: String,
    statements: Arc<AtomicU64>,
}

impl Shard {
    /// Runs a statement, which is prepared once on each connection.
    pub async fn query(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Failure> {
        let connection = self.pool.get().await?;
        let statement = connection.prepare_cached(&format!("{sql}{}", self.mark)).await?;
        self.statements.fetch_add(1, Relaxed);
        Ok(connection.query(&statement, values).await?)
    }

    /// Runs a statement; returns how many rows it has changed.
    async fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Failure> {
        let connection = self.pool.get().await?;
        let statement = connection.prepare_cached(&format!("{sql}{}", self.mark)).await?;
        self.statements.fetch_add(1, Relaxed);
        Ok(connection.execute(&statement, values).await?)
    }
}

/// A post that was made.
pub struct Made {
    pub id: i64,
    /// Followers of its author.
    pub followers: i64,
}

/// All databases. A user's row and posts lie on one of them, a follow on those of both users.
pub struct Store {
    shards: Vec<Shard>,
    pub queries: Queries,
    changed: Arc<AtomicBool>,
}

impl Store {
    /// Makes the pools, which connect when they are asked. Statements are counted in `statements`.
    pub fn new(access: &Access, statements: &Arc<AtomicU64>) -> Result<Store, Unavailable> {
        let shard = |(config, mark): &(_, String)| {
            let statements = Arc::clone(statements);
            Ok(Shard { pool: pool(config, POOL)?, mark: mark.clone(), statements })
        };
        let shards = access.servers.iter().map(shard).collect::<Result<_, Unavailable>>()?;
        Ok(Store { shards, queries: access.queries, changed: Arc::clone(&access.changed) })
    }

    /// The database in this place.
    pub fn on(&self, shard: usize) -> &Shard {
        &self.shards[shard]
    }

    fn of(&self, user: i64) -> &Shard {
        self.on(self.place(user))
    }

    /// Returns the place of the database that has a user.
    fn place(&self, user: i64) -> usize {
        user.rem_euclid(self.shards.len() as i64) as usize
    }

    /// Returns these users by the place of their database.
    pub fn by_shard(&self, users: &[i64]) -> impl Iterator<Item = (usize, Vec<i64>)> + use<> {
        let mut by_shard: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for user in users {
            by_shard.entry(self.place(*user)).or_default().push(*user);
        }
        by_shard.into_iter()
    }

    /// Returns whom a user follows.
    pub async fn followees(&self, user: i64) -> Result<Vec<i64>, Failure> {
        let followees = "SELECT followee FROM follows WHERE follower = $1";
        let rows = self.of(user).query(followees, &[&user]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Returns who follows an author.
    pub async fn followers(&self, author: i64) -> Result<Vec<i64>, Failure> {
        let followers = "SELECT follower FROM follows WHERE followee = $1";
        let rows = self.of(author).query(followers, &[&author]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Returns those of these users who have at least this number of followers.
    pub async fn celebrities(&self, users: &[i64], least: i64) -> Result<Vec<i64>, Failure> {
        let parts = self.by_shard(users).map(|(shard, users)| async move {
            let celebrities = "SELECT id FROM users WHERE id = ANY ($1) AND followers >= $2";
            self.on(shard).query(celebrities, &[&users, &least]).await
        });
        let rows = try_join_all(parts).await?;
        Ok(rows.iter().flatten().map(|row| row.get(0)).collect())
    }

    /// Returns the newest posts of some authors, not more than `most` of each database.
    pub async fn newest(&self, authors: &[i64], most: usize) -> Result<Vec<Post>, Failure> {
        let parts = self.by_shard(authors).map(|(shard, authors)| async move {
            self.on(shard).query(self.queries.newest, &[&authors, &(most as i64)]).await
        });
        let rows = try_join_all(parts).await?;
        Ok(rows.iter().flatten().map(Post::of).collect())
    }

    /// Returns those of these posts that are there. A post is named by its id and its author.
    pub async fn posts(&self, posts: &[(i64, i64)]) -> Result<Vec<Post>, Failure> {
        let mut by_shard: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for (id, author) in posts {
            by_shard.entry(self.place(*author)).or_default().push(*id);
        }
        let parts = by_shard.into_iter().map(|(shard, ids)| async move {
            let posts = "SELECT id, author, text FROM posts WHERE id = ANY ($1)";
            self.on(shard).query(posts, &[&ids]).await
        });
        let rows = try_join_all(parts).await?;
        Ok(rows.iter().flatten().map(Post::of).collect())
    }

    /// Adds a post; `None` if there is no such author.
    pub async fn add_post(&self, author: i64, text: &str) -> Result<Option<Made>, Failure> {
        self.changed.store(true, Relaxed);
        let add = "WITH made AS (
                       INSERT INTO posts (author, text) SELECT id, $2 FROM users WHERE id = $1
                       RETURNING id, author)
                   SELECT made.id, followers FROM made JOIN users ON users.id = author";
        let rows = self.of(author).query(add, &[&author, &text]).await?;
        Ok(rows.first().map(|row| Made { id: row.get(0), followers: row.get(1) }))
    }

    /// Deletes a post of an author; returns whether it was there.
    pub async fn delete_post(&self, author: i64, id: i64) -> Result<bool, Failure> {
        self.changed.store(true, Relaxed);
        let delete = "DELETE FROM posts WHERE id = $1 AND author = $2";
        Ok(self.of(author).execute(delete, &[&id, &author]).await? > 0)
    }

    /// Makes a user follow another one. Returns how many followers that one has now; `None` if nothing has changed. What a
    /// server that died has left half done is completed when it is repeated.
    pub async fn follow(&self, follower: i64, followee: i64) -> Result<Option<i64>, Failure> {
        let [has_follower, has_followee] = [self.has(follower).await?, self.has(followee).await?];
        if follower == followee || !has_follower || !has_followee {
            return Ok(None);
        }
        self.changed.store(true, Relaxed);
        if self.place(follower) != self.place(followee) {
            let add = "INSERT INTO follows (follower, followee) VALUES ($1, $2)
                       ON CONFLICT DO NOTHING";
            self.of(follower).execute(add, &[&follower, &followee]).await?;
        }
        let add = "WITH added AS (
                       INSERT INTO follows (follower, followee) VALUES ($1, $2)
                       ON CONFLICT DO NOTHING RETURNING followee)
                   UPDATE users SET followers = followers + 1 FROM added WHERE id = added.followee
                   RETURNING followers";
        let rows = self.of(followee).query(add, &[&follower, &followee]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// Makes a user no longer follow another one; returns whether that is a change.
    pub async fn unfollow(&self, follower: i64, followee: i64) -> Result<bool, Failure> {
        self.changed.store(true, Relaxed);
        if self.place(follower) != self.place(followee) {
            let remove = "DELETE FROM follows WHERE follower = $1 AND followee = $2";
            self.of(follower).execute(remove, &[&follower, &followee]).await?;
        }
        let remove = "WITH removed AS (
                          DELETE FROM follows WHERE follower = $1 AND followee = $2
                          RETURNING followee)
                      UPDATE users SET followers = followers - 1 FROM removed WHERE id = removed.followee
                      RETURNING followers";
        Ok(!self.of(followee).query(remove, &[&follower, &followee]).await?.is_empty())
    }

    async fn has(&self, user: i64) -> Result<bool, Failure> {
        let is_there = "SELECT FROM users WHERE id = $1";
        Ok(!self.of(user).query(is_there, &[&user]).await?.is_empty())
    }
}
