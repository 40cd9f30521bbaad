//! Fix: index the columns that the timeline looks up, and ask in a way that uses the indexes.

use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "index",
    title: "Index what the timeline looks up",
    why: "The key of the follows leads from an author to the followers. A timeline asks the other way round, and the \
          server goes through the posts of everybody, the newest first, until enough of them are by the right authors. \
          With an index on either table it reads the follows of one user and the newest posts of each author. The query \
          says so with LATERAL: for a plain join with a LIMIT, the server may go through all posts even though there are \
          indexes.",
    costs: "Each index is written with each row, and takes memory and disk. A query that is written for its indexes.",
    source: include_str!("index.rs"),
};

/// What a database is asked.
#[derive(Clone, Copy, Debug)]
pub struct Queries {
    /// Indexes beside the primary keys.
    pub indexes: &'static str,
    /// The newest posts of those whom a user follows.
    pub timeline: &'static str,
    /// The newest posts of some authors.
    pub newest: &'static str,
}

/// The tables have their primary keys, and the queries say what is wanted.
pub fn before() -> Queries {
    Queries {
        indexes: "",
        timeline: "SELECT id, author, text FROM posts JOIN follows ON followee = author
                   WHERE follower = $1 ORDER BY id DESC LIMIT $2",
        newest: "SELECT id, author, text FROM posts WHERE author = ANY ($1)
                 ORDER BY id DESC LIMIT $2",
    }
}

/// There is an index for each column that a timeline looks up, and the queries take the newest posts of each author.
pub fn after() -> Queries {
    Queries {
        indexes: "CREATE UNIQUE INDEX ON follows (follower, followee);
                  CREATE INDEX ON posts (author, id)",
        timeline: "SELECT newest.* FROM follows, LATERAL (
                       SELECT id, author, text FROM posts WHERE author = followee
                       ORDER BY id DESC LIMIT $2) newest
                   WHERE follower = $1 ORDER BY id DESC LIMIT $2",
        newest: "SELECT newest.* FROM unnest($1::bigint[]) one, LATERAL (
                     SELECT id, author, text FROM posts WHERE author = one
                     ORDER BY id DESC LIMIT $2) newest
                 ORDER BY id DESC LIMIT $2",
    }
}
