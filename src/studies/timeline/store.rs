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

use super::{index::Queries, post::Post, shards, tables::Access};
use crate::fixtures::postgres::{in_words, pool};
use worthit_pair::pair::Unavailable;

/// Connections of a pool. Each server of the application has a pool for each database.
const POOL: usize = 4;
/// Connections of a pool for turns. Whoever has a turn needs another connection, which those who wait for one do not take.
const TURNS: usize = 1;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("PostgreSQL: {}", in_words(.0))]
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
    turns: Pool,
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

/// A user whom another one has begun to follow.
pub struct Followed {
    pub followers: i64,
    /// Whether the posts are put into a list of the author's own only.
    pub is_celebrity: bool,
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
            let (pool, turns) = (pool(config, POOL)?, pool(config, TURNS)?);
            Ok(Shard { pool, turns, mark: mark.clone(), statements })
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
        shards::place(user, self.shards.len())
    }

    /// Returns what belongs to users, with its user, by the place of their database.
    fn by_shard<T>(
        &self,
        of_users: impl Iterator<Item = (i64, T)>,
    ) -> impl Iterator<Item = (&Shard, Vec<T>)> {
        let mut by_shard: BTreeMap<usize, Vec<T>> = BTreeMap::new();
        for (user, item) in of_users {
            by_shard.entry(self.place(user)).or_default().push(item);
        }
        by_shard.into_iter().map(|(place, items)| (self.on(place), items))
    }

    /// Returns whom a user follows.
    pub async fn followees(&self, user: i64) -> Result<Vec<i64>, Failure> {
        let followees = "SELECT followee FROM follows WHERE follower = $1";
        let rows = self.of(user).query(followees, &[&user]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Returns who follows an author; nobody if that is a celebrity.
    pub async fn listeners(&self, author: i64) -> Result<Vec<i64>, Failure> {
        let followers = "SELECT follower FROM follows JOIN users ON id = followee
                         WHERE followee = $1 AND NOT is_celebrity";
        let rows = self.of(author).query(followers, &[&author]).await?;
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
        let users = users.iter().map(|user| (*user, *user));
        let parts = self.by_shard(users).map(|(shard, users)| async move {
            let celebrities = "SELECT id FROM users WHERE id = ANY ($1) AND followers >= $2";
            shard.query(celebrities, &[&users, &least]).await
        });
        let rows = try_join_all(parts).await?;
        Ok(rows.iter().flatten().map(|row| row.get(0)).collect())
    }

    /// Returns the newest posts of some authors, not more than `most` of each database.
    pub async fn newest(&self, authors: &[i64], most: usize) -> Result<Vec<Post>, Failure> {
        let authors = authors.iter().map(|author| (*author, *author));
        let parts = self.by_shard(authors).map(|(shard, authors)| async move {
            shard.query(self.queries.newest, &[&authors, &(most as i64)]).await
        });
        let rows = try_join_all(parts).await?;
        Ok(rows.iter().flatten().map(Post::of).collect())
    }

    /// Returns those of these posts that are there. A post is named by its id and its author.
    pub async fn posts(&self, posts: &[(i64, i64)]) -> Result<Vec<Post>, Failure> {
        let ids = posts.iter().map(|(id, author)| (*author, *id));
        let parts = self.by_shard(ids).map(|(shard, ids)| async move {
            let posts = "SELECT id, author, text FROM posts WHERE id = ANY ($1)";
            shard.query(posts, &[&ids]).await
        });
        let rows = try_join_all(parts).await?;
        Ok(rows.iter().flatten().map(Post::of).collect())
    }

    /// Adds a post and returns its id; `None` if there is no such author.
    pub async fn add_post(&self, author: i64, text: &str) -> Result<Option<i64>, Failure> {
        self.changed.store(true, Relaxed);
        let add = "INSERT INTO posts (author, text) SELECT id, $2 FROM users WHERE id = $1
                   RETURNING id";
        let rows = self.of(author).query(add, &[&author, &text]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// Deletes a post of an author; returns whether it was there.
    pub async fn delete_post(&self, author: i64, id: i64) -> Result<bool, Failure> {
        self.changed.store(true, Relaxed);
        let delete = "DELETE FROM posts WHERE id = $1 AND author = $2";
        Ok(self.of(author).execute(delete, &[&id, &author]).await? > 0)
    }

    /// Changes whom a user follows while nobody else does so, on any server. Two shards and a list keep it, and the
    /// last change must be the last one in all of them.
    pub async fn in_turn<T>(
        &self,
        user: i64,
        change: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let shard = self.of(user);
        let mut connection = shard.turns.get().await?;
        // Its end ends the turn, also if the server dies.
        let transaction = connection.transaction().await?;
        let lock = "SELECT pg_advisory_xact_lock(hashtext(current_schema()), hashint8($1))";
        let lock = transaction.prepare_cached(&format!("{lock}{}", shard.mark)).await?;
        // The other two begin and end it.
        shard.statements.fetch_add(3, Relaxed);
        transaction.query(&lock, &[&user]).await?;
        let changed = change.await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Makes a user follow another one; `None` if nothing has changed. If a server died before it had told both shards, this
    /// completes it.
    pub async fn follow(&self, follower: i64, followee: i64) -> Result<Option<Followed>, Failure> {
        let [has_follower, has_followee] = [self.has(follower).await?, self.has(followee).await?];
        if follower == followee || !has_follower || !has_followee {
            return Ok(None);
        }
        self.changed.store(true, Relaxed);
        let users: Values<'_> = &[&follower, &followee];
        let mut has_changed = false;
        if self.place(follower) != self.place(followee) {
            let add = "INSERT INTO follows (follower, followee) VALUES ($1, $2)
                       ON CONFLICT DO NOTHING";
            has_changed = self.of(follower).execute(add, users).await? > 0;
        }
        let add = "WITH added AS (
                       INSERT INTO follows (follower, followee) VALUES ($1, $2)
                       ON CONFLICT DO NOTHING RETURNING followee)
                   UPDATE users SET followers = followers + 1 FROM added WHERE id = added.followee
                   RETURNING followers, is_celebrity";
        let mut rows = self.of(followee).query(add, users).await?;
        if rows.is_empty() && has_changed {
            let followed = "SELECT followers, is_celebrity FROM users WHERE id = $1";
            rows = self.of(followee).query(followed, &[&followee]).await?;
        }
        let followed = |row: &Row| Followed { followers: row.get(0), is_celebrity: row.get(1) };
        Ok(rows.first().map(followed))
    }

    /// Makes a user no longer follow another one; returns whether that is a change. An author with fewer than `least`
    /// followers is no celebrity any more.
    pub async fn unfollow(
        &self,
        follower: i64,
        followee: i64,
        least: i64,
    ) -> Result<bool, Failure> {
        self.changed.store(true, Relaxed);
        let mut has_changed = false;
        if self.place(follower) != self.place(followee) {
            let remove = "DELETE FROM follows WHERE follower = $1 AND followee = $2";
            has_changed = self.of(follower).execute(remove, &[&follower, &followee]).await? > 0;
        }
        let remove = "WITH removed AS (
                          DELETE FROM follows WHERE follower = $1 AND followee = $2
                          RETURNING followee)
                      UPDATE users SET followers = followers - 1,
                                       is_celebrity = is_celebrity AND followers > $3
                      FROM removed WHERE id = removed.followee RETURNING id";
        let rows = self.of(followee).query(remove, &[&follower, &followee, &least]).await?;
        Ok(has_changed || !rows.is_empty())
    }

    /// Notes that an author is a celebrity, unless followers have left meanwhile.
    pub async fn make_celebrity(&self, author: i64, least: i64) -> Result<(), Failure> {
        let note = "UPDATE users SET is_celebrity = true WHERE id = $1 AND followers >= $2";
        self.of(author).execute(note, &[&author, &least]).await.map(drop)
    }

    async fn has(&self, user: i64) -> Result<bool, Failure> {
        let is_there = "SELECT FROM users WHERE id = $1";
        Ok(!self.of(user).query(is_there, &[&user]).await?.is_empty())
    }
}
