//! A server of the application: it answers HTTP requests, in the way of one step.
//!
//! | request | answer |
//! |---|---|
//! | `GET /timeline/<user>` | the newest posts of those whom the user follows, as JSON |
//! | `POST /posts/<user>` with a text | the id of the post |
//! | `DELETE /posts/<user>/<id>` | |
//! | `POST /follows/<user>/<whom>` | |
//! | `DELETE /follows/<user>/<whom>` | |
//!
//! What changes nothing, such as a post of an unknown user, has the status 404.

use std::{
    io,
    sync::{Arc, atomic::AtomicU64},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming};

use super::{
    cache,
    lists::Lists,
    place::Place,
    post::Post,
    shards,
    store::{Failure, Store},
    tables::{Access, Size},
};
use crate::fixtures::http::Reply;
use worthit_pair::{pair::Unavailable, study::Applied};

/// What every server of a step is made of.
#[derive(Clone)]
pub struct Plan {
    pub applied: Applied,
    pub size: Size,
    pub access: Access,
    /// Where the lists are that a step with the cache has.
    pub place: Place,
    /// Statements that were sent.
    pub statements: Arc<AtomicU64>,
}

/// A server.
pub struct Server {
    pub store: Store,
    pub size: Size,
    lists: Option<Lists>,
    applied: Applied,
}

impl Server {
    /// Makes one, inside the runtime that will drive its connections.
    pub async fn open(plan: Plan) -> Result<Server, Unavailable> {
        let store = Store::new(&plan.access, &plan.statements)?;
        let lists = match plan.applied.has(&cache::FIX) {
            true => {
                let connected = Lists::connect(plan.place).await;
                Some(connected.map_err(|failure| Unavailable(failure.to_string()))?)
            }
            false => None,
        };
        Ok(Server { store, size: plan.size, lists, applied: plan.applied })
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (status, body) = match self.serve(request).await {
            Ok(Some(body)) => (StatusCode::OK, body),
            Ok(None) => (StatusCode::NOT_FOUND, String::new()),
            Err(Failure::Request(error)) => (StatusCode::BAD_REQUEST, error.to_string()),
            Err(failure) => (StatusCode::INTERNAL_SERVER_ERROR, failure.to_string()),
        };
        let mut reply = Response::new(Full::from(body));
        *reply.status_mut() = status;
        reply
    }

    /// Does what a request asks for; `None` if there is nothing of the kind.
    async fn serve(&self, request: Request<Incoming>) -> Result<Option<String>, Failure> {
        let path = request.uri().path().to_owned();
        let mut words = path.split('/').skip(1);
        let kind = words.next().unwrap_or_default();
        let numbers: Vec<i64> = words.map(number).collect::<Result<_, io::Error>>()?;
        let done = |is_done: bool| is_done.then(String::new);
        match (request.method().as_str(), kind, &numbers[..]) {
            ("GET", "timeline", [user]) => {
                Ok(Some(serde_json::to_string(&self.timeline(*user).await?)?))
            }
            ("POST", "posts", [author]) => {
                let text = request.into_body().collect().await.map_err(io::Error::other)?;
                let text = String::from_utf8(text.to_bytes().into()).map_err(io::Error::other)?;
                Ok(self.post(*author, text).await?.map(|id| id.to_string()))
            }
            ("DELETE", "posts", [author, id]) => Ok(done(self.delete(*author, *id).await?)),
            ("POST", "follows", [user, whom]) => Ok(done(self.follow(*user, *whom).await?)),
            ("DELETE", "follows", [user, whom]) => Ok(done(self.unfollow(*user, *whom).await?)),
            _ => Ok(None),
        }
    }

    async fn timeline(&self, user: i64) -> Result<Vec<Post>, Failure> {
        match &self.lists {
            Some(lists) => cache::after(self, lists, user).await,
            None => cache::before(self, user).await,
        }
    }

    /// Reads a timeline without the cache.
    pub async fn timeline_of_database(&self, user: i64) -> Result<Vec<Post>, Failure> {
        match self.applied.has(&shards::FIX) {
            true => shards::after(&self.store, user, self.size.page).await,
            false => shards::before(&self.store, user, self.size.page).await,
        }
    }

    async fn post(&self, author: i64, text: String) -> Result<Option<i64>, Failure> {
        let Some(id) = self.store.add_post(author, &text).await? else { return Ok(None) };
        if let Some(lists) = &self.lists {
            cache::add(self, lists, &Post { id, author, text }).await?;
        }
        Ok(Some(id))
    }

    async fn delete(&self, author: i64, id: i64) -> Result<bool, Failure> {
        let was_there = self.store.delete_post(author, id).await?;
        if was_there && let Some(lists) = &self.lists {
            lists.delete(id).await?;
        }
        Ok(was_there)
    }

    async fn follow(&self, follower: i64, followee: i64) -> Result<bool, Failure> {
        let follow = async {
            let followed = self.store.follow(follower, followee).await?;
            if let (Some(followed), Some(lists)) = (&followed, &self.lists) {
                cache::follow(self, lists, (follower, followee), followed).await?;
            }
            Ok(followed.is_some())
        };
        self.store.in_turn(follower, follow).await
    }

    async fn unfollow(&self, follower: i64, followee: i64) -> Result<bool, Failure> {
        let unfollow = async {
            let least = self.size.celebrity;
            let did_follow = self.store.unfollow(follower, followee, least).await?;
            if did_follow && let Some(lists) = &self.lists {
                lists.leave(follower, followee).await?;
            }
            Ok(did_follow)
        };
        self.store.in_turn(follower, unfollow).await
    }
}

/// Reads a number of a path.
fn number(word: &str) -> io::Result<i64> {
    word.parse().map_err(|_| io::Error::other(format!("`{word}` is no number")))
}
