//! What users do one after another, and what they get to see.

use std::rc::Rc;

use hyper::{Method, Response, StatusCode, body::Bytes};
use rand::{Rng, RngExt};

use super::{
    load::{nth_online, timeline_path},
    post::Post,
    site::Site,
    tables::Size,
};
use crate::fixtures::http::Client;
use worthit_pair::{
    answer::Found,
    pair::{Case, Shape, Unavailable},
};

/// Changes in a session of a proof. The reader looks at the timeline after each.
const CHANGES: usize = 10;
/// Users who act in a session of a proof. The author with the most followers does too.
const ACTORS: usize = 4;
/// Texts that break naive assumptions.
const ODD_TEXTS: [&str; 5] =
    ["", "'; DROP TABLE \"posts\" \\ ü 🦀 %s", "=", "!\r\n\t", "{\"id\":1}"];

/// What a user does.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Reads the timeline.
    Read(i64),
    /// Writes a post.
    Post(i64, String),
    /// The author, or another user who may not, deletes the nth of the posts that the session has seen or written so far.
    Delete { nth: u64, by_author: bool },
    /// The first one follows the second one.
    Follow(i64, i64),
    /// The first one no longer follows the second one.
    Unfollow(i64, i64),
    /// A user no longer follows the author of the nth of the posts seen so far.
    UnfollowSeen(i64, u64),
}

/// Operations, one after another.
#[derive(Clone, Debug)]
pub struct Session {
    pub operations: Vec<Operation>,
    /// Posts that a timeline shows.
    pub page: u64,
}

impl Session {
    /// Returns a session: one read when it is measured, and in proofs some of everything.
    pub fn of(case: &Case, size: Size) -> Session {
        let mut rng = case.rng("session");
        let operations = match case.proof_size {
            None => vec![Operation::Read(nth_online(size, rng.random_range(0..u64::MAX)))],
            Some(_) => changes(case, size, &mut rng),
        };
        Session { operations, page: case.point }
    }
}

/// Returns changes of all kinds. In shapes other than the realistic one, some users do not exist.
fn changes(case: &Case, size: Size, rng: &mut impl Rng) -> Vec<Operation> {
    let user = |value: u64| match case.shape {
        Shape::Realistic => 1 + (value % size.users) as i64,
        _ => (value % (size.users + 3)) as i64,
    };
    let actors: Vec<i64> = case.values(ACTORS).into_iter().map(user).collect();
    let reader = actors[0];
    let mut operations = vec![Operation::Read(reader)];
    for change in 0..CHANGES {
        let mut anybody = || actors[rng.random_range(0..ACTORS)];
        let (one, other) = (anybody(), anybody());
        let text = match case.shape {
            Shape::Adversarial => ODD_TEXTS[change % ODD_TEXTS.len()].to_owned(),
            _ => format!("News {change} of {one}"),
        };
        let nth = rng.random_range(0..1_000);
        operations.push(match rng.random_range(0..10) {
            0 | 1 => Operation::Post(one, text),
            // The one with the most followers.
            2 => Operation::Post(1, text),
            3..=5 => Operation::Delete { nth, by_author: rng.random_range(0..8) > 0 },
            6 => Operation::Follow(reader, other),
            7 => Operation::Follow(one, 1 + rng.random_range(0..size.users) as i64),
            8 => Operation::Unfollow(one, other),
            _ => Operation::UnfollowSeen(reader, nth),
        });
        operations.push(Operation::Read(if change % 3 == 2 { one } else { reader }));
    }
    operations
}

/// What an operation shows.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// Author and text of each post, the newest first. Ids differ between steps.
    Timeline(Vec<(i64, String)>),
    /// Whether anything has changed.
    Changed(bool),
}

impl Found for Shown {
    fn found(&self) -> u64 {
        match self {
            Shown::Timeline(posts) => posts.len() as u64,
            Shown::Changed(has_changed) => u64::from(*has_changed),
        }
    }
}

/// Who makes the requests of a session.
pub struct Visitor {
    pub site: Rc<Site>,
    client: Client,
    /// Operations and their answers; none for one that found nothing to act upon.
    answers: Vec<(Operation, Option<Response<Bytes>>)>,
}

impl Visitor {
    /// Connects to a step.
    pub fn new(site: &Rc<Site>) -> Result<Visitor, Unavailable> {
        let client = site.runtime.block_on(Client::connect(site.front.address, 1))?;
        Ok(Visitor { site: Rc::clone(site), client, answers: Vec::new() })
    }

    /// Makes the requests of a session, each when the one before is answered.
    ///
    /// # Panics
    /// If an answer is an error of the server, whose time would say nothing.
    pub fn serve(&mut self, session: &Session) {
        let runtime = self.site.runtime.clone();
        self.answers.clear();
        runtime.block_on(async {
            for operation in &session.operations {
                let answer = match self.request(operation) {
                    Some((method, path, text)) => {
                        let answer = self.client.request(method, &path, &[], text).await;
                        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
                        let body = answer.body();
                        assert!(!answer.status().is_server_error(), "{path}: {body:?}");
                        Some(answer)
                    }
                    None => None,
                };
                self.answers.push((operation.clone(), answer));
            }
        });
    }

    /// Returns method, path and body of an operation's request.
    fn request(&self, operation: &Operation) -> Option<(Method, String, String)> {
        let request = |method, path| Some((method, path, String::new()));
        match operation {
            Operation::Read(user) => request(Method::GET, timeline_path(*user)),
            Operation::Post(author, text) => {
                Some((Method::POST, format!("/posts/{author}"), text.clone()))
            }
            Operation::Delete { nth, by_author } => {
                let (id, author) = self.seen(*nth)?;
                let who = if *by_author { author } else { author + 1 };
                request(Method::DELETE, format!("/posts/{who}/{id}"))
            }
            Operation::Follow(user, whom) => {
                request(Method::POST, format!("/follows/{user}/{whom}"))
            }
            Operation::Unfollow(user, whom) => {
                request(Method::DELETE, format!("/follows/{user}/{whom}"))
            }
            Operation::UnfollowSeen(user, nth) => {
                let (_, author) = self.seen(*nth)?;
                request(Method::DELETE, format!("/follows/{user}/{author}"))
            }
        }
    }

    /// Returns id and author of the nth post seen or written so far, which starts again after the last.
    fn seen(&self, nth: u64) -> Option<(i64, i64)> {
        let mut seen = Vec::new();
        for (operation, answer) in &self.answers {
            let Some(answer) = answer.as_ref().filter(|answer| answer.status() == StatusCode::OK)
            else {
                continue;
            };
            match operation {
                Operation::Read(_) => {
                    seen.extend(posts(answer.body()).iter().map(|post| (post.id, post.author)));
                }
                Operation::Post(author, _) => seen.push((number(answer.body()), *author)),
                _ => {}
            }
        }
        (!seen.is_empty()).then(|| seen[nth as usize % seen.len()])
    }

    /// Returns what each operation has shown.
    ///
    /// # Panics
    /// If an answer is an error of the server.
    pub fn shown(&mut self) -> Vec<Shown> {
        let shown = |(operation, answer): (Operation, Option<Response<Bytes>>)| {
            let Some(answer) = answer else { return Shown::Changed(false) };
            let status = answer.status();
            let body = answer.body();
            let is_known = [StatusCode::OK, StatusCode::NOT_FOUND].contains(&status);
            assert!(is_known, "{operation:?}: {status}: {}", String::from_utf8_lossy(body));
            match operation {
                Operation::Read(_) => {
                    let posts = posts(body).into_iter();
                    Shown::Timeline(posts.map(|post| (post.author, post.text)).collect())
                }
                _ => Shown::Changed(status == StatusCode::OK),
            }
        };
        self.answers.drain(..).map(shown).collect()
    }
}

fn posts(body: &Bytes) -> Vec<Post> {
    let posts = serde_json::from_slice(body);
    posts.unwrap_or_else(|error| panic!("a timeline that cannot be read: {error}"))
}

fn number(body: &Bytes) -> i64 {
    let number = str::from_utf8(body).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("the id of a post that cannot be read: {body:?}"))
}
