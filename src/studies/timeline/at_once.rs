//! Tests with many clients at once.

use hyper::Method;
use rand::RngExt;
use tokio_postgres::Client as Connection;

use super::{
    post::Post,
    tests::{EMPTY, ends, has_all, surroundings},
    *,
};
use crate::fixtures::{
    http::{Client, closed_loop},
    postgres::connect,
};

#[test]
fn no_timeline_misses_a_post_or_has_it_twice_when_many_have_acted_at_once() {
    if !has_all() {
        return;
    }
    let size = Size { users: 16, most_followed: 4, posts: 64, page: 8, celebrity: 4, ..EMPTY };
    let surroundings = surroundings(size);
    let [_, all] = ends();
    let site = Site::open(&surroundings, 0, &all).unwrap();
    // The same tables without the cache.
    let orders = Applied::steps(&[&index::FIX, &shards::FIX]);
    let database = Site::open(&surroundings, 1, &orders[2]).unwrap();
    site.begin().unwrap();
    let mut rng = Case::realistic(0, 0, 7).rng("at once");
    surroundings.runtime.block_on(async {
        let client = Client::connect(site.front.address, 16).await.unwrap();
        let uncached = Client::connect(database.front.address, 1).await.unwrap();
        let mut deletable: Vec<String> = Vec::new();
        for round in 0..6 {
            let requests: Vec<(Method, String, String)> = (0..200)
                .map(|nth| {
                    let mut user = || rng.random_range(1..=size.users);
                    let (one, other) = (user(), user());
                    let none = String::new();
                    match rng.random_range(0..10) {
                        0..=3 => (Method::GET, format!("/timeline/{one}"), none),
                        4..=6 => (Method::POST, format!("/posts/{one}"), format!("{round} {nth}")),
                        7 => (Method::POST, format!("/follows/{one}/{other}"), none),
                        8 => (Method::DELETE, format!("/follows/{one}/{other}"), none),
                        _ => {
                            let path = deletable.pop();
                            (Method::DELETE, path.unwrap_or_else(|| "/posts/1/0".to_owned()), none)
                        }
                    }
                })
                .collect();
            let sent = requests.iter().map(|(method, path, text)| {
                client.request(method.clone(), path, &[], text.clone())
            });
            let answers = closed_loop(16, sent).await.unwrap();
            for ((_, path, text), answer) in requests.iter().zip(&answers) {
                assert!(answer.status().as_u16() < 500, "{path}: {answer:?}");
                if !text.is_empty() {
                    let id = str::from_utf8(answer.body()).unwrap();
                    deletable.push(format!("{path}/{id}"));
                }
            }
            let mut seen = 0;
            for user in 1..=size.users {
                let path = format!("/timeline/{user}");
                let of_site = client.get(&path).await.unwrap();
                let posts: Vec<Post> = serde_json::from_slice(&of_site).unwrap();
                assert!(posts.is_sorted_by(|newer, older| newer.id > older.id));
                assert_eq!(of_site, uncached.get(&path).await.unwrap(), "{path}, round {round}");
                seen += posts.len();
            }
            assert!(seen > 0);
        }
    });
}

/// Returns the posts of a timeline.
async fn read(client: &Client, user: i64) -> Vec<Post> {
    serde_json::from_slice(&client.get(&format!("/timeline/{user}")).await.unwrap()).unwrap()
}

#[test]
fn followers_see_a_post_at_once_while_its_author_becomes_a_celebrity_again_and_again() {
    if !has_all() {
        return;
    }
    let size = Size { users: 12, page: 64, celebrity: 4, ..EMPTY };
    let surroundings = surroundings(size);
    let [_, all] = ends();
    let site = Site::open(&surroundings, 0, &all).unwrap();
    site.begin().unwrap();
    surroundings.runtime.block_on(async {
        let client = &Client::connect(site.front.address, 12).await.unwrap();
        let follow = async |method: Method, user: u32| {
            let path = format!("/follows/{user}/1");
            let answer = client.request(method, &path, &[], "").await.unwrap();
            assert!(answer.status().is_success(), "{path}: {answer:?}");
        };
        // Three followers stay, and each of the others makes the author a celebrity, alone or not.
        for stays in [2, 3, 4] {
            follow(Method::POST, stays).await;
        }
        let come_and_go = async |user: u32| {
            for _ in 0..60 {
                follow(Method::POST, user).await;
                follow(Method::DELETE, user).await;
            }
        };
        let write = async |reader: i64| {
            for nth in 0..120 {
                let made = client.request(Method::POST, "/posts/1", &[], nth.to_string()).await;
                let id: i64 = str::from_utf8(made.unwrap().body()).unwrap().parse().unwrap();
                let seen = read(client, reader).await;
                assert!(seen.iter().any(|post| post.id == id), "post {nth} for {reader}: {seen:?}");
            }
        };
        tokio::join!(
            come_and_go(5),
            come_and_go(6),
            come_and_go(7),
            write(2),
            write(3),
            write(4),
            write(2),
        );
    });
}

/// Returns what a server has of the follows and of the numbers of followers.
async fn followers(server: &Connection) -> (Vec<(i64, i64)>, Vec<(i64, i64)>) {
    let mut found = [Vec::new(), Vec::new()];
    let queries = [
        "SELECT follower, followee FROM follows ORDER BY 1, 2",
        "SELECT id, followers FROM users ORDER BY 1",
    ];
    for (query, found) in queries.into_iter().zip(&mut found) {
        let rows = server.query(query, &[]).await.unwrap();
        found.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
    }
    found.into()
}

#[test]
fn servers_agree_on_who_follows_whom_when_many_have_changed_it_at_once() {
    if !has_all() {
        return;
    }
    let size = Size { users: 4, page: 8, celebrity: 4, ..EMPTY };
    let surroundings = surroundings(size);
    let [_, all] = ends();
    let site = Site::open(&surroundings, 0, &all).unwrap();
    let access = surroundings.tables.of(size, &all).unwrap().access();
    site.begin().unwrap();
    surroundings.runtime.block_on(async {
        let client = &Client::connect(site.front.address, 8).await.unwrap();
        let mut servers = Vec::new();
        for (config, _) in &access.servers {
            servers.push(connect(config).await.unwrap());
        }
        for round in 0..20 {
            // The same two pairs, by four clients each.
            let changes = (0..64).map(|nth| {
                let path = ["/follows/1/2", "/follows/3/1"][nth % 2];
                let method = [Method::POST, Method::DELETE][nth / 2 % 2].clone();
                async move {
                    match nth % 16 {
                        // Who has the list filled while it changes.
                        14 | 15 => client.get("/timeline/1").await.map(|_| ()),
                        _ => client.request(method, path, &[], "").await.map(|answer| {
                            assert!(!answer.status().is_server_error(), "{path}: {answer:?}");
                        }),
                    }
                }
            });
            closed_loop(8, changes).await.unwrap();
            let mut follows = Vec::new();
            for server in &servers {
                follows.push(followers(server).await);
            }
            for (user, whom) in [(1, 2), (3, 1)] {
                let has = |shard: usize| follows[shard].0.contains(&(user, whom));
                let [one, other] = [user, whom].map(|user| shards::place(user, servers.len()));
                assert_eq!(has(one), has(other), "round {round}: {user} follows {whom}");
                let (_, counts) = &follows[other];
                assert!(counts.contains(&(whom, i64::from(has(other)))), "{counts:?}");
                // A new post is seen exactly by those who follow.
                let path = format!("/posts/{whom}");
                let made = client.request(Method::POST, &path, &[], "new").await.unwrap();
                let id: i64 = str::from_utf8(made.body()).unwrap().parse().unwrap();
                let is_seen = read(client, user).await.iter().any(|post| post.id == id);
                assert_eq!(is_seen, has(one), "round {round}: {user} reads {whom}");
            }
        }
    });
}
