//! Lists of posts in Redis: the timelines of users, and the posts of celebrities. A list keeps the newest posts that belong
//! to it.
//!
//! A list is two keys. The *entries* are a sorted set whose scores are all 0, so that Redis sorts them by their names, which
//! begin with the id of a post. Below them lies a mark if the database has nothing older: when the set is trimmed, the mark
//! goes first. The *head* is a hash that says whether the list is filled, and by whom it is being filled. While there
//! is a head, new posts are added to the entries, also to those of a list that is still being filled: so none is
//! missed between the query and the filling. A list that is dropped meanwhile is not filled.

use std::sync::atomic::Ordering::Relaxed;

use redis::{AsyncConnectionConfig, Cmd, Pipeline, aio::MultiplexedConnection, cmd};

use super::{
    list::{DELETED, EVERYTHING, Entry, List, Name, Text},
    place::Place,
    post::Post,
    store::Failure,
};
use crate::fixtures::redis::LIFETIME_S;

/// Reads lists. Those that are not filled are marked as being filled by whoever has sent this.
const READ: &str = "
    local lists = {}
    for i = 1, #KEYS, 2 do
        local head, entries = KEYS[i], KEYS[i + 1]
        local celebrities = redis.call('HGET', head, 'filled')
        local list = false
        if celebrities then
            list = redis.call('ZREVRANGE', entries, 0, -1)
            table.insert(list, 1, celebrities)
        else
            if redis.call('EXISTS', head) == 0 then redis.call('DEL', entries) end
            redis.call('HSET', head, ARGV[1], '')
            redis.call('EXPIRE', head, ARGV[2])
        end
        lists[#lists + 1] = list
    end
    return lists";
/// Fills a list, unless it has been dropped since it was read.
const FILL: &str = "
    local head, entries = KEYS[1], KEYS[2]
    if redis.call('HDEL', head, ARGV[1]) == 0 then return end
    for i = 5, #ARGV do redis.call('ZADD', entries, 0, ARGV[i]) end
    redis.call('ZREMRANGEBYRANK', entries, 0, -1 - ARGV[3])
    redis.call('HSET', head, 'filled', ARGV[4])
    redis.call('EXPIRE', head, ARGV[2])
    redis.call('EXPIRE', entries, ARGV[2])";
/// Adds a post to lists, unless they are nobody's or their user has left its author meanwhile.
const ADD: &str = "
    for i = 1, #KEYS, 2 do
        local head, entries = KEYS[i], KEYS[i + 1]
        if redis.call('EXISTS', head) == 1 and redis.call('HEXISTS', head, ARGV[1]) == 0 then
            redis.call('ZADD', entries, 0, ARGV[4])
            redis.call('ZREMRANGEBYRANK', entries, 0, -1 - ARGV[3])
            redis.call('EXPIRE', entries, ARGV[2])
        end
    end";

/// Drops lists. Their heads still have which authors their users have left.
const DROP: &str = "
    for i = 1, #KEYS, 2 do
        local head, entries = KEYS[i], KEYS[i + 1]
        redis.call('UNLINK', entries)
        for _, field in ipairs(redis.call('HKEYS', head)) do
            if string.sub(field, 1, 5) ~= 'left:' then redis.call('HDEL', head, field) end
        end
    end";

/// The lists, as a server of the application uses them.
pub struct Lists {
    connection: MultiplexedConnection,
    place: Place,
    /// The scripts as the server knows them.
    read: String,
    fill: String,
    add: String,
    drop: String,
}

impl Lists {
    /// Connects, inside the runtime that will drive the connection.
    pub async fn connect(place: Place) -> Result<Lists, Failure> {
        // Answers are slow under load. The latency of the request shows it.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connected = place.client.get_multiplexed_async_connection_with_config(&config);
        let connection = connected.await?;
        let load = async |script: &str| -> Result<String, Failure> {
            let mut load = cmd("SCRIPT");
            load.arg("LOAD").arg(script);
            Ok(load.query_async(&mut connection.clone()).await?)
        };
        let (read, fill) = (load(READ).await?, load(FILL).await?);
        let (add, drop) = (load(ADD).await?, load(DROP).await?);
        Ok(Lists { connection, place, read, fill, add, drop })
    }

    fn connection(&self) -> MultiplexedConnection {
        self.place.trips.fetch_add(1, Relaxed);
        self.connection.clone()
    }

    /// Returns the names of a list's head and its entries.
    fn keys(&self, name: Name) -> [String; 2] {
        let (kind, number) = match name {
            Name::Timeline(user) => ('t', user),
            Name::Author(author) => ('a', author),
        };
        let prefix = self.place.prefix();
        [format!("{prefix}:h{kind}{number}"), format!("{prefix}:{kind}{number}")]
    }

    fn text_key(&self, id: i64) -> String {
        format!("{}:p{id}", self.place.prefix())
    }

    /// Returns a command that runs a script on these lists.
    fn script(&self, script: &str, names: &[Name]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(script).arg(2 * names.len());
        for name in names {
            command.arg(&self.keys(*name));
        }
        command
    }

    /// Reads lists; `None` for one that is not filled. `token` must then fill it.
    pub async fn read(&self, names: &[Name], token: &str) -> Result<Vec<Option<List>>, Failure> {
        let mut read = self.script(&self.read, names);
        read.arg(token).arg(LIFETIME_S);
        let lists: Vec<Option<Vec<String>>> = read.query_async(&mut self.connection()).await?;
        let read = |(name, words): (&Name, Option<Vec<String>>)| Some(List::read(*name, words?));
        Ok(names.iter().zip(lists).map(read).collect())
    }

    /// Fills a list with the posts that the database has for it, the newest first, and keeps their texts. Returns the list
    /// as these posts make it.
    pub async fn fill(
        &self,
        name: Name,
        token: &str,
        posts: &[Post],
        celebrities: Vec<i64>,
    ) -> Result<List, Failure> {
        let entries: Vec<Entry> = posts.iter().map(Entry::of).collect();
        let has_everything = posts.len() < self.place.kept;
        let names: Vec<String> = celebrities.iter().map(i64::to_string).collect();
        let mut fill = self.script(&self.fill, &[name]);
        fill.arg(token).arg(LIFETIME_S).arg(self.place.kept).arg(names.join(","));
        fill.arg(entries.iter().map(|entry| entry.name()).collect::<Vec<_>>());
        if has_everything {
            fill.arg(EVERYTHING);
        }
        let mut pipeline = Pipeline::new();
        pipeline.add_command(fill).ignore();
        for post in posts {
            pipeline.add_command(self.keep_text(post.id, Some(&post.text))).ignore();
        }
        let () = pipeline.query_async(&mut self.connection()).await?;
        Ok(List { name, entries, has_everything, celebrities })
    }

    /// Adds a new post to lists that somebody has read, and keeps its text.
    pub async fn add(&self, post: &Post, names: &[Name]) -> Result<(), Failure> {
        let mut add = self.script(&self.add, names);
        add.arg(left(post.author)).arg(LIFETIME_S).arg(self.place.kept).arg(Entry::of(post).name());
        let mut pipeline = Pipeline::new();
        pipeline.add_command(self.keep_text(post.id, Some(&post.text))).ignore();
        pipeline.add_command(add).ignore();
        Ok(pipeline.query_async(&mut self.connection()).await?)
    }

    /// Drops lists: they are filled again when somebody reads them.
    pub async fn drop(&self, names: &[Name]) -> Result<(), Failure> {
        Ok(self.script(&self.drop, names).query_async(&mut self.connection()).await?)
    }

    /// Drops the timeline of a user who follows an author from now on.
    pub async fn join(&self, user: i64, author: i64) -> Result<(), Failure> {
        let mut mark = cmd("HDEL");
        mark.arg(&self.keys(Name::Timeline(user))[0]).arg(left(author));
        self.drop_and_mark(user, mark).await
    }

    /// Drops the timeline of a user who has left an author. A post of that author's that is on its way is not
    /// added any more.
    pub async fn leave(&self, user: i64, author: i64) -> Result<(), Failure> {
        let mut mark = cmd("HSET");
        mark.arg(&self.keys(Name::Timeline(user))[0]).arg(left(author)).arg("");
        self.drop_and_mark(user, mark).await
    }

    async fn drop_and_mark(&self, user: i64, mark: Cmd) -> Result<(), Failure> {
        let timeline = Name::Timeline(user);
        let mut pipeline = Pipeline::new();
        pipeline.atomic().add_command(self.script(&self.drop, &[timeline])).ignore();
        pipeline.add_command(mark).ignore();
        pipeline.cmd("EXPIRE").arg(&self.keys(timeline)[0]).arg(LIFETIME_S).ignore();
        Ok(pipeline.query_async(&mut self.connection()).await?)
    }

    /// Returns what is known of the texts of posts.
    pub async fn texts(&self, entries: &[Entry]) -> Result<Vec<Text>, Failure> {
        let keys: Vec<String> = entries.iter().map(|entry| self.text_key(entry.id)).collect();
        let kept = cmd("MGET").arg(keys).query_async(&mut self.connection()).await?;
        let kept: Vec<Option<String>> = kept;
        Ok(kept.into_iter().map(Text::read).collect())
    }

    /// Keeps texts that the database has, and notes which posts it does not have.
    pub async fn keep_texts(&self, texts: &[(i64, Option<&str>)]) -> Result<(), Failure> {
        let mut pipeline = Pipeline::new();
        for (id, text) in texts {
            pipeline.add_command(self.keep_text(*id, *text)).ignore();
        }
        Ok(pipeline.query_async(&mut self.connection()).await?)
    }

    /// Returns a command that keeps a text, unless it is known that the post was deleted.
    fn keep_text(&self, id: i64, text: Option<&str>) -> Cmd {
        let kept = text.map_or(DELETED.to_owned(), |text| format!("={text}"));
        let mut set = cmd("SET");
        set.arg(self.text_key(id)).arg(kept).arg("NX").arg("EX").arg(LIFETIME_S);
        set
    }

    /// Notes that a post was deleted. It stays in lists, and those who read them leave it out.
    pub async fn delete(&self, id: i64) -> Result<(), Failure> {
        let mut set = cmd("SET");
        set.arg(self.text_key(id)).arg(DELETED).arg("EX").arg(LIFETIME_S);
        Ok(set.query_async(&mut self.connection()).await?)
    }
}

/// Returns what the head of a timeline has if its user has left this author.
fn left(author: i64) -> String {
    format!("left:{author}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;
    use worthit_pair::proof::has_servers;
    use worthit_servers::Program;

    /// Posts that a list of the tests keeps.
    const KEPT: usize = 3;

    fn post(id: i64, author: i64) -> Post {
        Post { id, author, text: format!("text {id}") }
    }

    /// Runs a test with lists of its own.
    fn with_lists(test: impl AsyncFnOnce(&Lists)) {
        if !has_servers(&[Program::Redis], "studies/timeline") {
            return;
        }
        let place = Place::new(KEPT).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            test(&Lists::connect(place.clone()).await.unwrap()).await;
        });
        place.forget().unwrap();
    }

    const MINE: Name = Name::Timeline(1);

    async fn ids(lists: &Lists, name: Name) -> Option<Vec<i64>> {
        let list = lists.read(&[name], "another").await.unwrap().remove(0)?;
        Some(list.entries.iter().map(|entry| entry.id).collect())
    }

    #[test]
    fn a_list_keeps_the_newest_posts_and_knows_whether_they_are_all() {
        with_lists(async |lists| {
            assert_eq!(ids(lists, MINE).await, None);
            lists.add(&post(1, 5), &[MINE, Name::Timeline(2)]).await.unwrap();
            let filled = lists.fill(MINE, "another", &[post(3, 5)], vec![7, 8]).await.unwrap();
            assert!(filled.has_everything);
            let read = lists.read(&[MINE, Name::Timeline(2)], "mine").await.unwrap();
            // What was added between the reading and the filling is there too.
            let entries = [3, 1].map(|id| Entry { id, author: 5 }).to_vec();
            assert_eq!(read, [Some(List { entries, ..filled }), None]);
            for (id, has_everything) in [(4, false), (2, false)] {
                lists.add(&post(id, 6), &[MINE]).await.unwrap();
                let read = lists.read(&[MINE], "mine").await.unwrap().remove(0).unwrap();
                assert_eq!(read.has_everything, has_everything);
                assert_eq!(read.celebrities, [7, 8]);
            }
            assert_eq!(ids(lists, MINE).await, Some(vec![4, 3, 2]));
        });
    }

    #[test]
    fn a_list_that_was_dropped_meanwhile_is_not_filled() {
        with_lists(async |lists| {
            assert_eq!(ids(lists, MINE).await, None);
            lists.drop(&[MINE]).await.unwrap();
            lists.fill(MINE, "another", &[post(3, 5)], vec![]).await.unwrap();
            assert_eq!(ids(lists, MINE).await, None);
            lists.fill(MINE, "another", &[post(2, 5)], vec![]).await.unwrap();
            assert_eq!(ids(lists, MINE).await, Some(vec![2]));
            lists.leave(1, 5).await.unwrap();
            // A post that was on its way, and one of somebody else.
            lists.add(&post(4, 5), &[MINE]).await.unwrap();
            lists.add(&post(5, 6), &[MINE]).await.unwrap();
            assert_eq!(ids(lists, MINE).await, None);
            lists.fill(MINE, "another", &[], vec![]).await.unwrap();
            assert_eq!(ids(lists, MINE).await, Some(vec![5]));
            // That the author was left is known until the user comes back.
            lists.drop(&[MINE]).await.unwrap();
            assert_eq!(ids(lists, MINE).await, None);
            lists.add(&post(6, 5), &[MINE]).await.unwrap();
            lists.fill(MINE, "another", &[], vec![]).await.unwrap();
            assert_eq!(ids(lists, MINE).await, Some(vec![]));
            lists.join(1, 5).await.unwrap();
            assert_eq!(ids(lists, MINE).await, None);
            lists.add(&post(7, 5), &[MINE]).await.unwrap();
            lists.fill(MINE, "another", &[], vec![]).await.unwrap();
            assert_eq!(ids(lists, MINE).await, Some(vec![7]));
        });
    }

    #[test]
    fn a_text_does_not_come_back_once_its_post_is_deleted() {
        with_lists(async |lists| {
            let entries = [1, 2, 3].map(|id| Entry { id, author: 5 });
            lists.keep_texts(&[(1, Some("=")), (2, Some("")), (3, None)]).await.unwrap();
            let kept = |text: &str| Text::Kept(text.to_owned());
            assert_eq!(lists.texts(&entries).await.unwrap(), [kept("="), kept(""), Text::Deleted]);
            lists.delete(1).await.unwrap();
            lists.keep_texts(&[(1, Some("again"))]).await.unwrap();
            let unknown = Entry { id: 4, author: 5 };
            let texts = lists.texts(&[entries[0], unknown]).await.unwrap();
            assert_eq!(texts, [Text::Deleted, Text::Unknown]);
        });
    }
}
