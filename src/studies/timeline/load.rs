//! Open-loop loads of readers, and of some who post.

use std::{io, net::SocketAddr, ops::RangeInclusive, rc::Rc, sync::Arc};

use hyper::{Method, Response, StatusCode, body::Bytes};
use rand::RngExt;
use tokio::sync::Semaphore;

use super::{post::Post, rows, site::Site, tables::Size};
use crate::fixtures::http::Client;
use worthit_pair::{
    pair::{Case, Unavailable},
    trial::{Answered, Loads, Part, at_rates},
};

/// One user of this many is online.
const ONLINE_ONE_IN: u64 = 10;
/// One request of this many is a post.
const POST_ONE_IN: usize = 32;
/// Requests that a load goes through, in turn.
const REQUESTS: usize = 8_192;
/// Connections of the client. Further requests wait for one, as with any pool.
const CONNECTIONS: usize = 128;

/// Returns the users who are online.
pub fn online(size: Size) -> impl Iterator<Item = i64> {
    (1..=size.users / ONLINE_ONE_IN).map(|nth| (nth * ONLINE_ONE_IN) as i64)
}

/// Returns the `nth` user who is online, from 0; it starts again after the last.
pub fn nth_online(size: Size, nth: u64) -> i64 {
    let online = (size.users / ONLINE_ONE_IN).max(1);
    ((1 + nth % online) * ONLINE_ONE_IN.min(size.users)) as i64
}

/// Returns the path of a user's timeline.
pub fn timeline_path(user: i64) -> String {
    format!("/timeline/{user}")
}

/// A request.
pub enum Asked {
    /// A timeline, and how many posts it shows at least.
    Timeline(String, usize),
    Post(String, String),
}

/// Returns the requests that a load goes through: users who are online, each as often as any other.
pub fn requests(case: &Case, size: &Size) -> Arc<[Asked]> {
    let mut rng = case.rng("load");
    let written = rows::count(size, rows::posts(size).map(|post| rows::author(size, post)));
    let request = |nth: usize| {
        let user = nth_online(*size, rng.random_range(0..u64::MAX));
        if nth.is_multiple_of(POST_ONE_IN) {
            return Asked::Post(format!("/posts/{user}"), format!("Loaded {nth}: all quiet here"));
        }
        let followees = rows::followees(size, user).into_iter();
        let posts: u32 = followees.map(|followee| written[followee as usize]).sum();
        // Loads add posts and take none away.
        Asked::Timeline(timeline_path(user), size.page.min(posts as usize))
    };
    (0..REQUESTS).map(request).collect()
}

/// The loads of a step, which begins with the first one unless it has begun before.
pub struct OfStep<L> {
    site: Rc<Site>,
    loads: L,
}

impl<L: Loads> Loads for OfStep<L> {
    fn parts(&mut self, rate: f64, requests: u64, seed: u64) -> Result<Vec<Part>, Unavailable> {
        self.site.begin()?;
        self.loads.parts(rate, requests, seed)
    }
}

/// Returns what sends loads to a step.
pub fn loads(requests: &Arc<[Asked]>, site: &Rc<Site>) -> OfStep<impl Loads + use<>> {
    let (requests, most) = (Arc::clone(requests), site.size.page);
    let address: SocketAddr = site.front.address;
    let loads = at_rates(async move || {
        let client = Client::connect(address, CONNECTIONS).await?;
        let shared = Arc::new((client, Semaphore::new(CONNECTIONS), requests));
        Ok(move |nth: u64| {
            let shared = Arc::clone(&shared);
            async move {
                let (client, connections, requests) = &*shared;
                let _connection = connections.acquire().await;
                let asked = &requests[nth as usize % requests.len()];
                match asked {
                    Asked::Timeline(path, least) => {
                        timeline(client.send(path, &[]).await, *least..=most)
                    }
                    Asked::Post(path, text) => {
                        posted(client.request(Method::POST, path, &[], text.clone()).await)
                    }
                }
            }
        })
    });
    OfStep { site: Rc::clone(site), loads }
}

/// Judges the answer to a read: the number of posts is right, and the newest comes first.
fn timeline(answer: io::Result<Response<Bytes>>, number: RangeInclusive<usize>) -> Answered {
    judged(answer, |body| {
        serde_json::from_slice(body).is_ok_and(|posts: Vec<Post>| {
            number.contains(&posts.len()) && posts.is_sorted_by(|newer, older| newer.id > older.id)
        })
    })
}

/// Judges the answer to a post: its id.
fn posted(answer: io::Result<Response<Bytes>>) -> Answered {
    judged(answer, |body| str::from_utf8(body).is_ok_and(|id| id.parse::<i64>().is_ok()))
}

fn judged(answer: io::Result<Response<Bytes>>, is_right: impl Fn(&[u8]) -> bool) -> Answered {
    match answer {
        Ok(answer) => match answer.status() {
            StatusCode::OK => Answered::from(is_right(answer.body())),
            StatusCode::NOT_FOUND => Answered::Failed("no such user"),
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
                Answered::Failed("no server behind the balancer")
            }
            _ => Answered::Failed("an error of the server"),
        },
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Answered::Failed("refused")
        }
        Err(_) => Answered::Failed("a broken connection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> io::Result<Response<Bytes>> {
        let answer = Response::builder().status(status).body(Bytes::from(body.to_owned()));
        Ok(answer.unwrap())
    }

    #[test]
    fn wrong_answers_are_told_from_right_ones() {
        let size = Size {
            users: 40,
            most_followed: 0,
            posts: 0,
            page: 2,
            celebrity: 1,
            salt: 0,
            is_restored: true,
        };
        let post = |id| Post { id, author: 1, text: "text".to_owned() };
        let page = |ids: &[i64]| {
            let posts: Vec<Post> = ids.iter().copied().map(post).collect();
            timeline(answer(200, &serde_json::to_string(&posts).unwrap()), 1..=2)
        };
        assert_eq!([page(&[7]), page(&[7, 3])], [Answered::Rightly; 2]);
        let wrong = Answered::Failed("wrong answer");
        assert_eq!([page(&[]), page(&[3, 7]), page(&[7, 7]), page(&[7, 3, 1])], [wrong; 4]);
        assert_eq!(timeline(answer(200, "[{"), 0..=2), wrong);
        assert_eq!(
            [posted(answer(200, "17")), posted(answer(200, ""))],
            [Answered::Rightly, wrong]
        );
        let failed = |status| posted(answer(status, ""));
        assert_eq!(failed(404), Answered::Failed("no such user"));
        assert_eq!(failed(502), Answered::Failed("no server behind the balancer"));
        assert_eq!(failed(500), Answered::Failed("an error of the server"));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(posted(Err(refused)), Answered::Failed("refused"));
        assert_eq!(posted(Err(io::Error::other("x"))), Answered::Failed("a broken connection"));
        assert_eq!(online(size).collect::<Vec<_>>(), [10, 20, 30, 40]);
        assert_eq!([0, 3, 4].map(|nth| nth_online(size, nth)), [10, 40, 10]);
    }
}
