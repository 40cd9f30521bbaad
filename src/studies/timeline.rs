//! The timeline: the newest posts of those whom a user follows.

#[cfg(test)]
mod at_once;
mod balancer;
mod cache;
mod index;
mod list;
mod lists;
mod load;
mod place;
mod post;
mod rows;
mod server;
mod session;
mod shards;
mod site;
mod store;
mod tables;
#[cfg(test)]
mod tests;

use std::{rc::Rc, sync::atomic::Ordering::Relaxed, time::Duration};

use crate::fixtures::{http::runtime, postgres::SERVER_PAGES};
use session::{Session, Visitor};
use site::{Site, Surroundings};
use tables::Size;
use worthit_pair::{
    prelude::*,
    study::{self, Application, Applied, Pace, Study, UserLoads},
};

/// The study.
pub const STUDY: Study = Study {
    title: "Show a timeline to everybody at once",
    story: "Users write posts and follow each other, and a timeline shows the newest posts of those whom a user follows. \
            It was written for a few hundred users: one query over two tables, and a server that is one process. Then the \
            users came.",
    workload: "A request reads the timeline of a user, of at most 50 posts. A user follows none to 59 others, thirty on \
               average, and has written twenty posts on average. A few authors have very many followers: the number falls \
               as the inverse square root of an author's rank. One user in ten is online, and each of these asks as often \
               as any other. Of 32 requests of a load, one writes a post. Before a step with the cache is measured, \
               everybody who is online has read once. The application, its databases and its clients share one machine.",
    contract: "The same posts in the same order, whichever fixes are in place, as soon as a change has been answered: a \
               new post, a deletion, a follow, which shows the older posts too, and an unfollow, which hides them. Ids of \
               posts differ.",
    unit: "request",
    size: 50,
    fixes: &[&index::FIX, &cache::FIX, &balancer::FIX, &shards::FIX],
    other_order: &[&shards::FIX, &balancer::FIX, &cache::FIX, &index::FIX],
    waits: &[],
    servers: &[Program::Postgres, Program::PostgresShards, Program::Redis, Program::Nginx],
    instead: None,
    causes: &[SENT, TRIPS],
    // A row that was deleted lies on its page until that is vacuumed.
    observations: &[SERVER_PAGES],
    loads: Some(UserLoads {
        users: &[2_000, 20_000],
        deep: &[200_000],
        p99: Duration::from_millis(50),
        pace: Pace::Capacity,
    }),
    helper: None,
    prepare,
};

const SENT: Cause =
    Cause::new("sent_statements", "statements sent").counted("by the program, which sends them");
const TRIPS: Cause =
    Cause::new("redis_trips", "round trips to Redis").counted("by the program, which makes them");

/// Sessions to rotate through, each of another user.
const SESSIONS: u64 = 256;

fn prepare(case: &Case, steps: &[Applied]) -> Result<Application, Unavailable> {
    let size = Size::of(case);
    let sessions = case.rotate(SESSIONS, |case| Session::of(case, size));
    let surroundings =
        Surroundings { size, tables: Default::default(), turn: Rc::default(), runtime: runtime()? };
    let site = |(step, applied)| Ok(Rc::new(Site::open(&surroundings, step, applied)?));
    let sites = steps.iter().enumerate().map(site).collect::<Result<Vec<_>, Unavailable>>()?;
    let runner = |site: &Rc<Site>| {
        let begin = |visitor: &mut Visitor| {
            if let Err(unavailable) = visitor.site.begin() {
                panic!("{unavailable}");
            }
        };
        let visitor = Visitor::new(site)?;
        Ok(changing(&sessions, visitor, begin, Visitor::serve, Visitor::shown))
    };
    let runners = sites.iter().map(runner).collect::<Result<Vec<_>, Unavailable>>()?;
    let mut trial = study::trial(sessions.measured(|session| session.page), runners);
    let requests = load::requests(case, &size);
    for (step, site) in sites.iter().enumerate() {
        trial = trial.loads_of(study::role(step, sites.len()), load::loads(&requests, site));
    }
    let count = move || {
        let sum = |counter: fn(&Site) -> u64| sites.iter().map(|site| counter(site)).sum();
        vec![
            sum(|site| site.statements.load(Relaxed)),
            sum(|site| site.trips.load(Relaxed)),
            surroundings.tables.pages(),
        ]
    };
    Ok(Application { trial, count: Box::new(count), memory: None })
}
