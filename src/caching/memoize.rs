//! Remember what a pure function returned: look it up in a bounded cache, do not compute it again.

use std::{collections::HashMap, num::NonZeroUsize};

use foldhash::fast::FixedState;
use lru::LruCache;
use rand::{Rng, RngExt, seq::SliceRandom};
use serde::Deserialize;
use serde_json::json;

use crate::fixtures::zipf::Zipf;
use worthit_pair::{causes::Event, prelude::*};

/// Requests in one iteration; a multiple of 100, so that each hit rate is exact.
const REQUESTS: u64 = 10_000;

/// Results that the cache holds: at every hit rate, fewer than there are users.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64).unwrap();

pub const PAIR: Pair = Pair {
    title: "Memoize a pure function in a bounded cache",
    review: Review {
        smell: "A pure function (a parse, a rendering), called again for each request of a loop or handler whose \
                keys repeat.",
        remedy: "An `LruCache` of a stated capacity, and `cache.get_or_insert(user, miss)`.",
        keep_naive_when: "Keys seldom repeat before they are evicted. The break-even hit rate is what the cache adds \
                          to a miss (hash, insertion, eviction) divided by the cost of a computation: low for the \
                          parse here, never reached for a computation that costs no more than a lookup. Measure the \
                          hit rate before adding a cache.",
        costs: "The memory of a full cache. Staleness, as soon as the function reads anything other than its key: \
                then the cache needs invalidation. With several threads, a lock, or a cache for each.",
        lint: Lint::None,
    },
    naive: Side { summary: "compute on every request", growth: Growth::Constant },
    optimized: Side {
        summary: "lru::LruCache, empty at first",
        growth: Growth::Other("falls with the share of misses"),
    },
    input: "10,000 requests, each of which needs the permissions in a user's JSON document of some four hundred \
            bytes. Exactly the stated percentage hits an LRU cache of 64 users; the hits are at random places in the \
            stream and favour recent users. A miss is a new user or an evicted one. Streams alternate, and each meets \
            an empty cache.",
    axis: Axis {
        name: "hit rate",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 10, 25, 50, 90, 99], deep: &[] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 90 },
    causes: &[Claim {
        cause: causes::COMPUTATIONS,
        naive: Count::Exactly(|_| REQUESTS),
        optimized: Count::Exactly(|case| REQUESTS * (100 - case.point) / 100),
    }],
    explanation: Explanation {
        why: "Each hit saves a computation. But every request pays for a lookup, which hashes the key and moves it to \
              the front of the list, so the gain stays below the ratio of computations, and the further the fewer are \
              left. Without hits the optimized side pays for a lookup, an insertion and an eviction for nothing. A \
              more expensive computation moves the break-even towards no hits and the gain towards the ratio.",
        share_of_cause: ShareOfCause::Within(0.5, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "the cache holds every user",
            reason: "nobody would be evicted, and what a bound costs would not show",
            check: |inputs: &[Input]| {
                let roomy = inputs.iter().map(requests_by_user).find(|by_user| {
                    by_user.len() <= CAPACITY.get()
                        || by_user.values().all(|requests| *requests == 1)
                });
                ensure(roomy.is_none(), || {
                    format!("{:?} users", roomy.map(|by_user| by_user.len()))
                })
            },
            sprung: || vec![stream_of((0..100).map(|i| i % 3))],
        },
        &Trap {
            name: "one user makes the hits",
            reason: "a variable that holds the last user would do as well as a cache",
            check: |inputs: &[Input]| {
                let again = |input: &Input| {
                    input.requests.windows(2).filter(|pair| pair[0].user == pair[1].user).count()
                };
                let all: usize = inputs.iter().map(|input| input.requests.len()).sum();
                let repeated: usize = inputs.iter().map(again).sum();
                let most: usize =
                    inputs.iter().filter_map(|i| requests_by_user(i).into_values().max()).sum();
                ensure(repeated * 3 < all && most * 4 < all, || {
                    format!(
                        "{repeated} of {all} requests repeat the one before, {most} are of one user"
                    )
                })
            },
            sprung: || vec![stream_of((0..100).map(|i| i / 50))],
        },
    ],
    limit: Limit::None(
        "the parses that are left take most of the time, and no machine number bounds a parse",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// A user's request to take an action.
struct Request {
    /// Index into [`Input::documents`].
    user: usize,
    /// One bit of [`Permissions`].
    action: u32,
}

struct Input {
    requests: Vec<Request>,
    /// For each user, the JSON document that says what they may do.
    documents: Vec<String>,
}

/// Bits that say what a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Permissions(u32);

impl Permissions {
    fn allow(self, action: u32) -> bool {
        self.0 & action != 0
    }
}

/// Whether each request is allowed.
fn naive(input: &Input) -> Vec<bool> {
    let allowed = |request: &Request| {
        let permissions = permissions_of(&input.documents[request.user]);
        permissions.allow(request.action)
    };
    input.requests.iter().map(allowed).collect()
}

/// Whether each request is allowed.
fn optimized(input: &Input) -> Vec<bool> {
    // The default hasher is the same, but seeded anew by each process.
    let mut cache = LruCache::with_hasher(CAPACITY, FixedState::default());
    let allowed = |request: &Request| {
        let user = request.user;
        let miss = || permissions_of(&input.documents[user]);
        let permissions = *cache.get_or_insert(user, miss);
        permissions.allow(request.action)
    };
    input.requests.iter().map(allowed).collect()
}

#[derive(Deserialize)]
struct Document<'a> {
    suspended: bool,
    #[serde(borrow)]
    roles: Vec<&'a str>,
    #[serde(borrow)]
    grants: Vec<Grant<'a>>,
}

#[derive(Deserialize)]
struct Grant<'a> {
    on: &'a str,
    #[serde(borrow)]
    may: Vec<&'a str>,
}

const OBJECTS: [&str; 8] =
    ["invoices", "payments", "customers", "reports", "contracts", "accounts", "users", "settings"];
const VERBS: [&str; 4] = ["read", "write", "approve", "delete"];
const ROLES: [&str; 4] = ["auditor", "clerk", "manager", "administrator"];

/// The pure function: adds up the permissions of a document's roles and grants.
fn permissions_of(document: &str) -> Permissions {
    causes::count(Event::Computation, 1);
    let document: Document = serde_json::from_str(document).expect("a valid document");
    if document.suspended {
        return Permissions(0);
    }
    let of_role = |role: &&str| match *role {
        "auditor" => 0x1111_1111,
        "clerk" => 0x0333_0333,
        "manager" => 0x7777_7777,
        "administrator" => 0xffff_ffff,
        _ => 0,
    };
    let place = |name: &str, names: &[&str]| names.iter().position(|n| *n == name);
    let of_grant = |grant: &Grant| {
        let verbs = grant.may.iter().filter_map(|verb| place(verb, &VERBS));
        let bits = verbs.fold(0, |bits, verb| bits | 1 << verb);
        place(grant.on, &OBJECTS).map_or(0, |object| bits << (4 * object))
    };
    let roles = document.roles.iter().map(of_role);
    Permissions(roles.chain(document.grants.iter().map(of_grant)).fold(0, |all, one| all | one))
}

fn document(user: usize, rng: &mut impl Rng) -> String {
    let mut some = |names: &[&'static str]| -> Vec<&str> {
        names.iter().copied().filter(|_| rng.random()).collect()
    };
    let roles = &some(&ROLES)[..];
    let objects = some(&OBJECTS);
    let grants: Vec<_> =
        objects.into_iter().map(|on| json!({ "on": on, "may": some(&VERBS) })).collect();
    json!({
        "user": user,
        "email": format!("user{user}@example.com"),
        "suspended": user % 16 == 15,
        "roles": roles.first().into_iter().collect::<Vec<_>>(),
        "grants": grants,
    })
    .to_string()
}

/// The users of `count` requests, of which exactly the stated share hits an LRU cache of [`CAPACITY`]. The
/// cache is Mattson's stack of recent keys (1970). A hit is drawn by its depth, the most recent most often. A
/// miss is a new user or, as often, an evicted one.
fn users(case: &Case, count: usize) -> Vec<usize> {
    let mut rng = case.rng("users");
    let hits = count * case.point as usize / 100;
    let mut is_hit: Vec<bool> = (0..count).map(|i| i < hits).collect();
    is_hit.shuffle(&mut rng);
    // The first request meets an empty cache.
    if let Some(miss) = is_hit.iter().position(|hit| !hit) {
        is_hit.swap(0, miss);
    }
    let depths = Zipf::new(CAPACITY.get(), if case.shape == Shape::Random { 0 } else { 4 });
    // The most recent user is the last.
    let (mut cached, mut evicted, mut known) = (Vec::new(), Vec::new(), 0);
    let next = |hit: bool| {
        let user = if hit {
            let depth = match case.shape {
                Shape::DuplicateHeavy => 0,
                Shape::Adversarial => cached.len() - 1,
                _ => depths.sample(&mut rng) % cached.len(),
            };
            cached.remove(cached.len() - 1 - depth)
        } else if !evicted.is_empty() && rng.random() {
            evicted.swap_remove(rng.random_range(0..evicted.len()))
        } else {
            known += 1;
            known - 1
        };
        cached.push(user);
        if cached.len() > CAPACITY.get() {
            evicted.push(cached.remove(0));
        }
        user
    };
    is_hit.into_iter().map(next).collect()
}

fn input(case: &Case) -> Input {
    let users = users(case, case.items(REQUESTS).max(1).next_multiple_of(100));
    let mut rng = case.rng("documents");
    let known = users.iter().max().map_or(0, |last| last + 1);
    let documents = (0..known).map(|user| document(user, &mut rng)).collect();
    let request = |user| Request { user, action: 1 << rng.random_range(0..32) };
    Input { requests: users.into_iter().map(request).collect(), documents }
}

/// The percentage of these requests that hit an LRU cache, by replay with a plain list.
fn hit_rate(input: &Input) -> u64 {
    let (mut cached, mut hits) = (Vec::new(), 0);
    for Request { user, .. } in &input.requests {
        match cached.iter().rposition(|known| known == user) {
            Some(place) => {
                cached.remove(place);
                hits += 1;
            }
            None if cached.len() == CAPACITY.get() => {
                cached.remove(0);
            }
            None => {}
        }
        cached.push(*user);
    }
    hits * 100 / input.requests.len() as u64
}

/// The number of requests that each user makes.
fn requests_by_user(input: &Input) -> HashMap<usize, usize> {
    let mut requests = HashMap::new();
    for Request { user, .. } in &input.requests {
        *requests.entry(*user).or_default() += 1;
    }
    requests
}

/// A stream of these users, for traps.
fn stream_of(users: impl Iterator<Item = usize>) -> Input {
    let requests = users.map(|user| Request { user, action: 1 }).collect();
    Input { requests, documents: Vec::new() }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(4, input);
    let units = inputs[0].requests.len() as u64;
    let sides = (by_ref(&inputs, naive), by_ref(&inputs, optimized));
    Ok(Trial::new(inputs.measured(hit_rate), sides.0, sides.1).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let document = |suspended, roles: &[&str]| {
            let grants = [json!({ "on": "payments", "may": ["read", "approve"] })];
            json!({ "suspended": suspended, "roles": roles, "grants": grants }).to_string()
        };
        assert_eq!(permissions_of(&document(false, &[])), Permissions(0x0050));
        assert_eq!(permissions_of(&document(false, &["clerk"])), Permissions(0x0333_0373));
        assert_eq!(permissions_of(&document(true, &["clerk"])), Permissions(0));

        let request = |user, action| Request { user, action };
        let input = Input {
            documents: vec![document(false, &[]), document(true, &[])],
            requests: vec![request(0, 0x10), request(1, 0x10), request(0, 0x10), request(0, 1)],
        };
        assert_eq!(naive(&input), [true, false, true, false]);
        assert_eq!(optimized(&input), [true, false, true, false]);
    }
}
