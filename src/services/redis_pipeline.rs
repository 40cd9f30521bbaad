//! Ask Redis for many keys at once: a pipeline of commands, or one command for all.

use std::{cell::RefCell, collections::HashSet, rc::Rc, time::Duration};

use redis::{Commands, Connection, Pipeline, RedisResult};

use crate::fixtures::{
    distance,
    redis::{Keyspace, answered},
};
use rand::RngExt;
use worthit_pair::{causes::Event, prelude::*};

/// Entries in the cache, of which each case asks for some.
const ENTRIES: u64 = 10_000;
/// One key in as many is not in the cache: it has expired.
const MISSING_ONE_IN: u64 = 16;

/// Distances of the server; the one of a millisecond is confirmed.
const DISTANCES: [Level; 3] = distance::levels(&[16]);

pub const PAIR: Pair = Pair {
    title: "Pipeline commands to Redis",
    review: Review {
        smell: "A loop that gets one key from Redis, waits for it and gets the next.",
        remedy: "Put the commands into a `Pipeline` and send it once, with `pipeline.query`. For one command with many keys \
                 there may be one command for all, such as MGET, the alternative.",
        keep_naive_when: "There is one key, or the next key is in the value of the last.",
        costs: "Commands of other clients may run in between (a transaction, `MULTI`, prevents that). Client and server \
                hold all answers at once. In a cluster, `MGET` takes keys of one slot only, and the client splits a \
                pipeline by node.",
        lint: Lint::None,
    },
    naive: Side { summary: "GET, wait, GET", growth: Growth::Linear },
    optimized: Side { summary: "all GETs in a pipeline", growth: Growth::Linear },
    input: "Keys of a page: random ones of 10,000 cached entries of 40 to 400 characters each. One in sixteen has expired. \
            One client, one connection, a closed loop.",
    axis: Axis {
        name: "keys",
        unit: "keys",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64, 256], deep: &[4_096] },
    },
    parameter: Some(Parameter { name: "round-trip time", levels: Levels::Fixed(&DISTANCES) }),
    unit: "key",
    headline: Headline::At { level: "loopback", point: 64 },
    alternatives: &[SideBeside { name: "mget", summary: "one MGET of all keys" }],
    causes: &[
        Claim {
            cause: causes::ROUND_TRIPS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|case| case.point.min(1)),
        },
        Claim {
            cause: causes::WRITE_CALLS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|case| case.point.min(1)),
        },
    ],
    explanation: Explanation {
        why: "A round trip for each key became one for all. At a distance the gain is that ratio. Over loopback, what is \
              left for each key is its part of the work: the server parses a command, finds the entry and writes it, the \
              client reads it. The more keys, the more of the time is that.",
        share_of_cause: ShareOfCause::Within(0.2, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the same key again and again",
        reason: "the server would find one entry, in its nearest cache",
        check: |inputs: &[Page]| {
            let keys: HashSet<&String> = inputs.iter().flat_map(|page| &page.keys).collect();
            let asked = inputs.iter().map(|page| page.keys.len()).max().unwrap_or(0);
            ensure(keys.len() >= asked.min(ENTRIES as usize / 4), || {
                format!("{} keys in pages of up to {asked}", keys.len())
            })
        },
        sprung: || vec![Page { keys: vec!["k".to_owned(); 64] }; 16],
    }],
    limit: Limit::Work(&[
        Work::RoundTrips(|case| case.point.min(1)),
        Work::Waiting(|case| case.point.min(1) * case.level * 1_000),
    ]),
    proof: Proof { resources: Resources::System, max_size: 1_200 },
    servers: &[Program::Redis],
    prepare,
    ..Pair::DEFAULTS
};

/// The keys that a page needs.
#[derive(Clone, Debug)]
struct Page {
    keys: Vec<String>,
}

/// Values in the order of their keys; `None` for a key that has expired.
type Values = Vec<Option<String>>;

fn naive(server: &mut Connection, keys: &[String]) -> RedisResult<Values> {
    keys.iter()
        .map(|key| {
            causes::count(Event::RoundTrip, 1);
            server.get(key)
        })
        .collect()
}

fn optimized(server: &mut Connection, keys: &[String]) -> RedisResult<Values> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = Pipeline::with_capacity(keys.len());
    for key in keys {
        pipeline.get(key);
    }
    causes::count(Event::RoundTrip, 1);
    pipeline.query(server)
}

fn mget(server: &mut Connection, keys: &[String]) -> RedisResult<Values> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    causes::count(Event::RoundTrip, 1);
    server.mget(keys)
}

/// Returns the keys of a page. The content of a shape decides which entries.
fn page(case: &Case, keyspace: &Keyspace, entries: u64) -> Page {
    let names = case.values(case.point as usize).into_iter().map(|value| value % entries);
    Page { keys: names.map(|name| keyspace.key(name)).collect() }
}

/// Returns a session, as an application caches it.
fn value(case: &Case, name: u64) -> String {
    let mut rng = Case { turn: name, ..case.clone() }.rng("value");
    let length = rng.random_range(40..=400);
    (0..length).map(|_| char::from(rng.random_range(b' '..=b'~'))).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let entries = case.items(ENTRIES).max(1) as u64;
    let mut keyspace = Keyspace::new(Duration::from_micros(case.level))?;
    let pages = case.rotate(64, |case| page(case, &keyspace, entries));
    let cached = (0..entries).filter(|name| name % MISSING_ONE_IN != 7);
    let cached: Vec<_> = cached.map(|name| (keyspace.key(name), value(case, name))).collect();
    keyspace.store(cached)?;
    let keyspace = Rc::new(RefCell::new(keyspace));
    let over = |side: fn(&mut Connection, &[String]) -> RedisResult<Values>| {
        let keyspace = Rc::clone(&keyspace);
        by_ref(&pages, move |page: &Page| {
            answered(side(&mut keyspace.borrow_mut().connection, &page.keys))
        })
    };
    let trial =
        Trial::new(pages.measured(|page| page.keys.len() as u64), over(naive), over(optimized));
    Ok(trial.alternative(over(mget)).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "redis_pipeline") {
            return;
        }
        let mut keyspace = Keyspace::new(Duration::ZERO).unwrap();
        let keys: Vec<String> = [1, 2, 3].map(|name| keyspace.key(name)).to_vec();
        let entries = [(keys[0].clone(), "one\r\n"), (keys[2].clone(), "")];
        keyspace.store(entries.map(|(key, value)| (key, value.to_owned()))).unwrap();
        for side in [naive, optimized, mget] {
            let values = side(&mut keyspace.connection, &keys).unwrap();
            assert_eq!(values, [Some("one\r\n".to_owned()), None, Some(String::new())]);
            assert_eq!(side(&mut keyspace.connection, &[]).unwrap(), Values::new());
        }
    }
}
