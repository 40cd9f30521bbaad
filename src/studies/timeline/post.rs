//! A post, as a timeline shows it.

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

/// A post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Newer posts have larger ones.
    pub id: i64,
    /// The user who wrote it.
    pub author: i64,
    pub text: String,
}

impl Post {
    /// Reads it from a row of id, author and text.
    pub fn of(row: &Row) -> Post {
        Post { id: row.get(0), author: row.get(1), text: row.get(2) }
    }
}

/// Returns the newest of some posts.
pub fn newest_first(mut posts: Vec<Post>, most: usize) -> Vec<Post> {
    posts.sort_unstable_by_key(|post| std::cmp::Reverse(post.id));
    posts.truncate(most);
    posts
}
