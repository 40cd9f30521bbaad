//! Fix: keep the timeline of each reader ready in Redis.

use std::collections::BTreeMap;

use super::{
    list::{Entry, List, Name, Text},
    lists::Lists,
    post::{Post, newest_first},
    server::Server,
    store::{Failure, Followed, Store},
};
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "cache",
    title: "Keep timelines in Redis, and add posts when they are written",
    why: "Timelines are read far more often than posts are written, and each read sorts the posts of thirty authors anew. \
          With a list for each reader, a post is put into the lists of its author's followers once, and a read takes its \
          list as it is. A post of a celebrity would have to be put into very many lists. It goes into a list of the \
          author's own, which is merged when a follower reads.",
    costs: "Each post costs a write for each follower who reads. Redis holds a copy, which each change must keep right: a \
            follow or an unfollow drops the reader's list, and a deleted post is left out when a list is read. Changes \
            at the same time must leave it right too: those of a reader's follows take turns, and an author's posts go to \
            all followers until these know that the author is a celebrity. A list that a crash has left wrong stays so \
            until it expires. The lists of all who read take memory.",
    source: include_str!("cache.rs"),
};

/// Reads a timeline from the database.
pub async fn before(server: &Server, user: i64) -> Result<Vec<Post>, Failure> {
    server.timeline_of_database(user).await
}

/// Reads a timeline from its list in Redis, which the first read fills, and from the lists of the celebrities whom the user
/// follows.
pub async fn after(server: &Server, lists: &Lists, user: i64) -> Result<Vec<Post>, Failure> {
    // A second time if too many of the posts that were kept are deleted.
    for _ in 0..2 {
        let mut found = filled(server, lists, &[Name::Timeline(user)]).await?;
        let celebrities = found.iter().flat_map(|list| &list.celebrities);
        let celebrities: Vec<Name> = celebrities.map(|author| Name::Author(*author)).collect();
        if !celebrities.is_empty() {
            found.extend(filled(server, lists, &celebrities).await?);
        }
        if let Some(posts) = page(server, lists, &found).await? {
            return Ok(posts);
        }
        let short = found.iter().filter(|list| !list.has_everything).map(|list| list.name);
        lists.drop(&short.collect::<Vec<_>>()).await?;
    }
    server.timeline_of_database(user).await
}

/// Reads lists, and fills those that are not.
async fn filled(server: &Server, lists: &Lists, names: &[Name]) -> Result<Vec<List>, Failure> {
    let token = format!("{:016x}", rand::random::<u64>());
    let read = lists.read(names, &token).await?;
    let mut filled = Vec::new();
    for (name, list) in names.iter().zip(read) {
        filled.push(match list {
            Some(list) => list,
            None => fill(server, lists, *name, &token).await?,
        });
    }
    Ok(filled)
}

/// Fills a list from the database.
async fn fill(server: &Server, lists: &Lists, name: Name, token: &str) -> Result<List, Failure> {
    let store = &server.store;
    let (authors, celebrities) = match name {
        Name::Author(author) => (vec![author], Vec::new()),
        Name::Timeline(user) => {
            let mut followees = store.followees(user).await?;
            let celebrities = store.celebrities(&followees, server.size.celebrity).await?;
            followees.retain(|followee| !celebrities.contains(followee));
            (followees, celebrities)
        }
    };
    let kept = server.size.kept();
    let posts = newest_first(store.newest(&authors, kept).await?, kept);
    lists.fill(name, token, &posts, celebrities).await
}

/// Returns the newest posts of all lists; `None` if the database may have posts among them that no list has any more.
async fn page(
    server: &Server,
    lists: &Lists,
    found: &[List],
) -> Result<Option<Vec<Post>>, Failure> {
    // Below the last entry of a list that does not have everything, others may be missing.
    let ends = found.iter().filter(|list| !list.has_everything);
    let end = ends.map(|list| list.entries.last().map_or(i64::MAX, |entry| entry.id)).max();
    let mut entries: Vec<Entry> = found.iter().flat_map(|list| list.entries.clone()).collect();
    entries.sort_unstable_by(|one, other| other.cmp(one));
    entries.dedup();
    entries.retain(|entry| end.is_none_or(|end| entry.id >= end));
    let (mut posts, mut entries) = (Vec::new(), &entries[..]);
    while posts.len() < server.size.page && !entries.is_empty() {
        let (next, rest) = entries.split_at(entries.len().min(server.size.page - posts.len()));
        posts.extend(posts_of(&server.store, lists, next).await?);
        entries = rest;
    }
    Ok((posts.len() == server.size.page || end.is_none()).then_some(posts))
}

/// Returns the posts of these entries, in their order, without those that were deleted. The database is asked for
/// texts that Redis does not have.
async fn posts_of(store: &Store, lists: &Lists, entries: &[Entry]) -> Result<Vec<Post>, Failure> {
    let texts = lists.texts(entries).await?;
    let missing = entries.iter().zip(&texts).filter(|(_, text)| **text == Text::Unknown);
    let missing: Vec<(i64, i64)> = missing.map(|(entry, _)| (entry.id, entry.author)).collect();
    let mut of_database: BTreeMap<i64, String> = BTreeMap::new();
    if !missing.is_empty() {
        let posts = store.posts(&missing).await?;
        of_database.extend(posts.into_iter().map(|post| (post.id, post.text)));
        let text = |(id, _): &(i64, i64)| (*id, of_database.get(id).map(String::as_str));
        lists.keep_texts(&missing.iter().map(text).collect::<Vec<_>>()).await?;
    }
    let post = |(entry, text): (&Entry, Text)| {
        let text = match text {
            Text::Kept(text) => text,
            Text::Deleted => return None,
            Text::Unknown => of_database.remove(&entry.id)?,
        };
        Some(Post { id: entry.id, author: entry.author, text })
    };
    Ok(entries.iter().zip(texts).filter_map(post).collect())
}

/// Puts a new post where its readers find it: into the list of its author and, unless that is a celebrity, into their own.
///
/// The database has the post before it is asked who they are. So whoever fills a list later finds it there, and whoever has
/// filled one before is among them, or has been told that the author is a celebrity.
pub async fn add(server: &Server, lists: &Lists, post: &Post) -> Result<(), Failure> {
    let listeners = server.store.listeners(post.author).await?.into_iter();
    let names: Vec<Name> =
        listeners.map(Name::Timeline).chain([Name::Author(post.author)]).collect();
    lists.add(post, &names).await
}

/// Drops the list of a user who follows another one, and the lists of all followers of somebody who becomes a celebrity.
/// Posts are no longer put into them only then.
pub async fn follow(
    server: &Server,
    lists: &Lists,
    (follower, followee): (i64, i64),
    followed: &Followed,
) -> Result<(), Failure> {
    lists.join(follower, followee).await?;
    let least = server.size.celebrity;
    if followed.followers >= least && !followed.is_celebrity {
        let followers = server.store.followers(followee).await?;
        lists.drop(&followers.into_iter().map(Name::Timeline).collect::<Vec<_>>()).await?;
        server.store.make_celebrity(followee, least).await?;
    }
    Ok(())
}
