//! The tables of the application, on one server or on several, and what is in them at first.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    panic::resume_unwind,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rand::RngExt;
use tokio_postgres::{Config, types::Type};

use super::{
    index::{self, Queries},
    rows, shards,
};
use crate::fixtures::postgres::{Cell, Database};
use worthit_pair::{
    pair::{Case, Unavailable},
    study::Applied,
};

/// Users, if a case does not say how many.
const USERS: u64 = 2_000;
/// Posts of a user, on average.
const POSTS_EACH: u64 = 20;
/// An author with as many followers is a celebrity.
const CELEBRITY: i64 = 500;
/// A user follows up to this many others: thirty on average.
const MOST_FOLLOWED: u64 = 59;

/// How large the application is, and where its limits lie.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub users: u64,
    /// Authors that a user follows at first, at most.
    pub most_followed: u64,
    /// Posts that are there at first. Their ids are 1, 2, ….
    pub posts: u64,
    /// Posts that a timeline shows.
    pub page: usize,
    /// An author with as many followers is a celebrity.
    pub celebrity: i64,
    /// Decides who follows whom and who has posted.
    pub salt: u64,
    /// Whether the tables are restored before each session.
    pub is_restored: bool,
}

impl Size {
    pub fn of(case: &Case) -> Size {
        let asked = if case.level == 0 { USERS } else { case.level };
        let users = case.proof_size.unwrap_or(asked).max(4);
        let is_proof = case.proof_size.is_some();
        Size {
            users,
            most_followed: if is_proof { 5 } else { MOST_FOLLOWED },
            posts: users * POSTS_EACH,
            page: case.point as usize,
            celebrity: if is_proof { 6 } else { CELEBRITY },
            salt: case.rng("tables").random_range(0..1 << 31),
            is_restored: is_proof,
        }
    }

    /// Returns how many posts a list keeps: some more than a page, as some may be deleted.
    pub fn kept(&self) -> usize {
        self.page + (self.page / 4).max(1)
    }
}

/// The tables, of which each server has those rows that belong to its users.
pub struct Tables {
    databases: Vec<Database>,
    size: Size,
    queries: Queries,
    /// Whether an application has changed them since they were as at first.
    changed: Arc<AtomicBool>,
}

/// What an application needs to use the tables.
#[derive(Clone)]
pub struct Access {
    /// How to connect to each server, and the mark of statements there.
    pub servers: Vec<(Config, String)>,
    /// What to ask them.
    pub queries: Queries,
    /// To be set before the tables are changed.
    pub changed: Arc<AtomicBool>,
}

impl Tables {
    /// Makes the tables that a step with these fixes has.
    pub fn new(size: Size, applied: &Applied) -> Result<Tables, Unavailable> {
        let databases = match applied.has(&shards::FIX) {
            true => shards::databases()?,
            false => vec![Database::new(Duration::ZERO)?],
        };
        let queries = if applied.has(&index::FIX) { index::after() } else { index::before() };
        on_all(&databases, |shard, database| {
            let ids = match applied.has(&shards::FIX) {
                true => shards::ids(shard),
                false => Ids::sequence(size.posts + 1),
            };
            database.execute(&create(&ids))?;
            fill(database, &size, |user| shards::place(user, databases.len()) == shard)?;
            database.execute(&format!("{KEYS}; {}", queries.indexes))?;
            if size.is_restored {
                database.execute(COPY)?;
            }
            database.execute("VACUUM (ANALYZE) users, follows, posts")
        })?;
        Ok(Tables { databases, size, queries, changed: Arc::default() })
    }

    /// Returns what an application needs to use them.
    pub fn access(&self) -> Access {
        let server = |database: &Database| (database.config.clone(), database.marked(""));
        Access {
            servers: self.databases.iter().map(server).collect(),
            queries: self.queries,
            changed: Arc::clone(&self.changed),
        }
    }

    /// Returns how many pages all servers have looked at for the statements of applications.
    pub fn pages(&self) -> u64 {
        self.databases.iter().map(Database::pages).sum()
    }

    /// Brings the tables back to what they were at first. Without a copy of that, what loads do is taken back: they only
    /// add posts.
    pub fn restore(&self) -> Result<(), Unavailable> {
        if !self.changed.swap(false, Relaxed) {
            return Ok(());
        }
        on_all(&self.databases, |_, database| {
            if self.size.is_restored {
                return database.execute(RESTORE);
            }
            database.execute(&format!("DELETE FROM posts WHERE id > {}", self.size.posts))?;
            database.execute("VACUUM (ANALYZE) posts")
        })
    }
}

/// Does the same on all servers, which work at the same time. `act` gets the place of each.
fn on_all(
    databases: &[Database],
    act: impl Fn(usize, &Database) -> Result<(), Unavailable> + Sync,
) -> Result<(), Unavailable> {
    let act = &act;
    thread::scope(|scope| {
        let begin = |(place, database)| scope.spawn(move || act(place, database));
        let begun: Vec<_> = databases.iter().enumerate().map(begin).collect();
        for one in begun {
            one.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        Ok(())
    })
}

/// Tables that steps share: those with the index and the shards, or without.
#[derive(Default)]
pub struct SharedTables(RefCell<BTreeMap<(bool, bool), Rc<Tables>>>);

impl SharedTables {
    /// Returns the tables of a step; makes them if no step before has the same.
    pub fn of(&self, size: Size, applied: &Applied) -> Result<Rc<Tables>, Unavailable> {
        let kind = (applied.has(&index::FIX), applied.has(&shards::FIX));
        let mut made = self.0.borrow_mut();
        if let Some(tables) = made.get(&kind) {
            return Ok(Rc::clone(tables));
        }
        let tables = Rc::new(Tables::new(size, applied)?);
        made.insert(kind, Rc::clone(&tables));
        Ok(tables)
    }

    /// Returns how many pages all servers have looked at.
    pub fn pages(&self) -> u64 {
        self.0.borrow().values().map(|tables| tables.pages()).sum()
    }
}

/// What gives posts their ids.
pub struct Ids {
    /// Statements that make it.
    pub made: String,
    /// What it is in the definition of the column.
    pub definition: String,
}

impl Ids {
    /// The numbers from `first` on.
    fn sequence(first: u64) -> Ids {
        let definition = format!("GENERATED BY DEFAULT AS IDENTITY (START WITH {first})");
        Ids { made: String::new(), definition }
    }
}

/// The statements that make the tables, without their keys.
fn create(Ids { made, definition }: &Ids) -> String {
    format!(
        "SET synchronous_commit = off;
         {made};
         CREATE TABLE users (id bigint NOT NULL, followers bigint NOT NULL, is_celebrity boolean NOT NULL);
         CREATE TABLE follows (follower bigint NOT NULL, followee bigint NOT NULL);
         CREATE TABLE posts (id bigint NOT NULL {definition}, author bigint NOT NULL, text text NOT NULL)"
    )
}

/// The primary keys, which rows that are there get faster. That of `follows` leads to the followers of an author, whom the
/// author's page shows.
const KEYS: &str = "ALTER TABLE users ADD PRIMARY KEY (id);
    ALTER TABLE follows ADD PRIMARY KEY (followee, follower);
    ALTER TABLE posts ADD PRIMARY KEY (id)";

/// Puts into the tables of a server what belongs to the users there at first.
fn fill(
    database: &Database,
    size: &Size,
    is_here: impl Fn(i64) -> bool,
) -> Result<(), Unavailable> {
    let followers = rows::count(size, rows::follows(size).map(|(_, followee)| followee));
    let user = |user: i64| -> Vec<Cell> {
        let followers = i64::from(followers[user as usize]);
        vec![Box::new(user), Box::new(followers), Box::new(followers >= size.celebrity)]
    };
    let users = rows::users(size).filter(|user| is_here(*user)).map(user);
    let columns = [Type::INT8, Type::INT8, Type::BOOL];
    database.copy("users (id, followers, is_celebrity)", &columns, users)?;

    let is_follow_here = |(one, other): &(i64, i64)| is_here(*one) || is_here(*other);
    let follow = |(one, other)| -> Vec<Cell> { vec![Box::new(one), Box::new(other)] };
    let follows = rows::follows(size).filter(is_follow_here).map(follow);
    database.copy("follows (follower, followee)", &[Type::INT8, Type::INT8], follows)?;

    let posts = rows::posts(size).map(|post| (post, rows::author(size, post)));
    let post = |(id, author)| -> Vec<Cell> {
        vec![Box::new(id), Box::new(author), Box::new(rows::text(id))]
    };
    let posts = posts.filter(|(_, author)| is_here(*author)).map(post);
    database.copy("posts (id, author, text)", &[Type::INT8, Type::INT8, Type::TEXT], posts)
}

const COPY: &str = "CREATE TABLE users_at_first AS TABLE users;
    CREATE TABLE follows_at_first AS TABLE follows;
    CREATE TABLE posts_at_first AS TABLE posts";
const RESTORE: &str = "DELETE FROM users; INSERT INTO users TABLE users_at_first;
    DELETE FROM follows; INSERT INTO follows TABLE follows_at_first;
    DELETE FROM posts; INSERT INTO posts TABLE posts_at_first";
