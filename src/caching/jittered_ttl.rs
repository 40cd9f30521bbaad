//! Entries that were cached at the same time: let them expire at different times, so that not all miss at once.

use std::{cmp::Reverse, collections::BTreeMap, num::NonZeroUsize, rc::Rc};

use foldhash::fast::FixedState;
use lru::LruCache;
use rand::{Rng, RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;

use crate::fixtures::{
    recency::distinct,
    shop::{ShopFile, Size},
};
use worthit_pair::prelude::*;

/// How long an entry lives on average, in seconds.
const TTL: u64 = 300;
/// How much longer or shorter an entry may live, in seconds.
const SPREAD: u64 = 30;
/// Most products that the cache holds.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

const SELECT: &str = "SELECT name, price_cents FROM products WHERE id = ?1";

pub const PAIR: Pair = Pair {
    title: "Let entries expire at different times",
    review: Review {
        smell: "`expires: now + TTL` for entries that are filled together: after a deployment, from a list, by a job. They \
                expire together, too, and all miss within one moment, after which they are filled together again.",
        remedy: "`now + rng.random_range(TTL - SPREAD..=TTL + SPREAD)`: a spread around the same mean, and a generator \
                 that is seeded anew in each process.",
        keep_naive_when: "Few keys are filled together, or the origin has capacity for all of them at once. The total does \
                          not change: over a whole lifetime, as many entries miss as before, so nothing is saved but the \
                          peak. If all these misses are for one key, let one of them compute instead.",
        costs: "An entry may live longer than the TTL by the spread: if the TTL is a promise, only shorten it, and pay \
                with some misses. Tests that wait for an expiry need a clock and a generator of their own.",
        lint: Lint::None,
    },
    naive: Side { summary: "every entry lives for 300 s", growth: Growth::Linear },
    optimized: Side { summary: "for 270 to 330 s, at random", growth: Growth::Linear },
    input: "The worst second of a cache that was filled at one moment: the one in which the most entries expire. In each \
            second, every key is asked for once, in random order, as by dashboards; a miss is a SELECT by primary key in a \
            SQLite table of as many products. The clock is passed in. Each iteration begins with the cache as it is before \
            that second; the orders alternate.",
    axis: Axis {
        name: "keys",
        unit: "keys",
        is_size: true,
        points: Points::Fixed { default: &[2, 10, 100, 1_000, 2_000], deep: &[] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 1_000 },
    causes: &[Claim {
        cause: causes::STATEMENTS,
        naive: Count::Exactly(|case| case.point),
        // A fair share of the 61 seconds, and what chance adds to the fullest of them.
        optimized: Count::AtMost(|case| case.point / 20 + 6),
    }],
    explanation: Explanation {
        why: "A second in which all entries expire costs a statement for each key. With the spread, the expiries fall on as \
              many seconds as it has, and the fullest of these holds little more than a fair share once there are many \
              keys. So the gain in the worst second follows the ratio of misses, up to the number of seconds in the \
              spread; the hits of the other keys keep it below. It is a gain of the worst second only: over a whole \
              lifetime both sides send as many statements. With one key there is nothing to spread.",
        share_of_cause: ShareOfCause::Within(0.4, 1.15),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "requests come in the order of the table",
            reason: "a miss would find its row on the page of the one before",
            check: |inputs: &[Vec<i64>]| {
                let sorted = inputs.iter().find(|ids| ids.len() >= 10 && ids.is_sorted());
                ensure(sorted.is_none(), || format!("{} keys in order", sorted.map_or(0, Vec::len)))
            },
            sprung: || vec![(1..=1_000).collect()],
        },
        &Trap {
            name: "a key is asked for again in the same second",
            reason: "the first request would fill it for the others, and most of the second would be hits",
            check: |inputs: &[Vec<i64>]| {
                let again = inputs.iter().any(|ids| distinct(ids) < ids.len());
                ensure(!again, || "a key comes again".to_owned())
            },
            sprung: || vec![vec![1, 2, 1]],
        },
    ],
    // The fullest second holds at least a fair share of the entries.
    limit: Limit::Work(&[
        Work::FileStatements(|case| case.point.div_ceil(2 * SPREAD + 1)),
        Work::Hashes(|case| case.point),
    ]),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

/// A product, which cache and readers share.
type Product = Rc<Row>;

#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    price_cents: i64,
}

impl Found for Row {
    fn found(&self) -> u64 {
        1
    }
}

#[derive(Clone)]
struct Entry {
    product: Product,
    /// The first second in which it may no longer be served.
    expires: u64,
}

type Cache = LruCache<i64, Entry, FixedState>;

/// The products asked for in the second `now`.
fn naive(
    shop: &Connection,
    cache: &mut Cache,
    now: u64,
    ids: &[i64],
) -> rusqlite::Result<Vec<Product>> {
    serve(shop, cache, now, ids, || now + TTL)
}

/// The products asked for in the second `now`.
fn optimized(
    shop: &Connection,
    cache: &mut Cache,
    now: u64,
    ids: &[i64],
    rng: &mut impl Rng,
) -> rusqlite::Result<Vec<Product>> {
    serve(shop, cache, now, ids, || now + rng.random_range(TTL - SPREAD..=TTL + SPREAD))
}

/// Serves these products from the cache, or reads and caches them. `expires` says until when.
fn serve(
    shop: &Connection,
    cache: &mut Cache,
    now: u64,
    ids: &[i64],
    mut expires: impl FnMut() -> u64,
) -> rusqlite::Result<Vec<Product>> {
    let mut served = Vec::with_capacity(ids.len());
    for id in ids {
        let cached = cache.get(id).filter(|entry| now < entry.expires);
        served.push(if let Some(entry) = cached {
            entry.product.clone()
        } else {
            let product = select(shop, *id)?;
            cache.put(*id, Entry { product: product.clone(), expires: expires() });
            product
        });
    }
    Ok(served)
}

fn select(shop: &Connection, id: i64) -> rusqlite::Result<Product> {
    shop.prepare_cached(SELECT)?
        .query_row([id], |row| Ok(Rc::new(Row { name: row.get(0)?, price_cents: row.get(1)? })))
}

/// A shop and its cache, just before the second in which the most entries expire.
struct State {
    shop: Connection,
    cache: Cache,
    /// That second.
    now: u64,
    /// The cache at the start of each iteration.
    at_first: Cache,
    rng: ChaCha8Rng,
    _file: ShopFile,
}

impl State {
    /// Fills the cache at one moment with what `side` caches, and lets time pass.
    fn new(
        case: &Case,
        side: impl Fn(&Connection, &mut Cache, u64, &[i64], &mut ChaCha8Rng),
    ) -> Result<State, Unavailable> {
        let size = Size { products: case.point, ..Size::default() };
        let file = ShopFile::new(paths::scratch()?, case, size, "")?;
        let (shop, mut cache, mut rng) = (file.open()?, empty(), case.rng("lifetimes"));
        let all: Vec<i64> = (1..=case.point as i64).collect();
        side(&shop, &mut cache, 0, &all, &mut rng);
        let due = due(&cache);
        let fullest = due.iter().max_by_key(|(second, ids)| (ids.len(), Reverse(**second)));
        let now = fullest.map_or(TTL, |(second, _)| *second);
        for (second, ids) in due.range(..now) {
            side(&shop, &mut cache, *second, ids, &mut rng);
        }
        Ok(State { shop, at_first: cache.clone(), cache, now, rng, _file: file })
    }

    fn reset(&mut self) {
        self.cache = self.at_first.clone();
    }
}

fn empty() -> Cache {
    // The crate's default hasher is the same, but seeded anew by each process.
    Cache::with_hasher(CAPACITY, FixedState::default())
}

/// The keys that expire, by the second in which they do.
fn due(cache: &Cache) -> BTreeMap<u64, Vec<i64>> {
    let mut due: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    cache.iter().for_each(|(id, entry)| due.entry(entry.expires).or_default().push(*id));
    due
}

fn input(case: &Case) -> Vec<i64> {
    let mut ids: Vec<i64> = (1..=case.point as i64).collect();
    match case.shape {
        Shape::Sorted => {}
        Shape::Adversarial => ids.reverse(),
        _ => ids.shuffle(&mut case.rng("requests")),
    }
    ids
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(16, input);
    let fill = |shop: &_, cache: &mut _, now, ids: &_, _: &mut _| {
        naive(shop, cache, now, ids).map(drop).expect("the shop answers");
    };
    let naive = resetting(&inputs, State::new(case, fill)?, State::reset, |state, ids| {
        naive(&state.shop, &mut state.cache, state.now, ids).expect("the shop answers")
    });
    let fill = |shop: &_, cache: &mut _, now, ids: &_, rng: &mut _| {
        optimized(shop, cache, now, ids, rng).map(drop).expect("the shop answers");
    };
    let optimized = resetting(&inputs, State::new(case, fill)?, State::reset, |state, ids| {
        let State { shop, cache, now, rng, .. } = state;
        optimized(shop, cache, *now, ids, rng).expect("the shop answers")
    });
    Ok(Trial::new(inputs.measured(|ids| ids.len() as u64), naive, optimized).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    fn shop() -> Connection {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name, price_cents);
             INSERT INTO products VALUES (1, 'a', 100), (2, 'ß', 200)",
        )
        .unwrap();
        shop
    }

    fn prices(served: rusqlite::Result<Vec<Product>>) -> Vec<i64> {
        served.unwrap().iter().map(|product| product.price_cents).collect()
    }

    #[test]
    fn known_answers() {
        let (shop, mut cache) = (shop(), empty());
        assert_eq!(prices(naive(&shop, &mut cache, 0, &[1, 2, 1])), [100, 200, 100]);
        shop.execute_batch("UPDATE products SET price_cents = 7").unwrap();
        assert_eq!(prices(naive(&shop, &mut cache, 299, &[1])), [100], "as old as it may be");
        assert_eq!(prices(naive(&shop, &mut cache, 300, &[2, 1])), [7, 7]);
    }

    #[test]
    fn a_jittered_entry_lives_within_the_spread_and_is_no_older() {
        let mut rng = Case::realistic(1, 0, 1).rng("test");
        for _ in 0..200 {
            let (shop, mut cache) = (shop(), empty());
            assert_eq!(prices(optimized(&shop, &mut cache, 0, &[1, 2], &mut rng)), [100, 200]);
            shop.execute_batch("UPDATE products SET price_cents = 7").unwrap();
            assert_eq!(prices(optimized(&shop, &mut cache, 269, &[1], &mut rng)), [100]);
            assert_eq!(prices(optimized(&shop, &mut cache, 330, &[2, 1], &mut rng)), [7, 7]);
        }
    }

    #[test]
    fn trap_the_hit_rate_is_unchanged_and_only_the_worst_second_is_not() {
        let memory = Connection::open_in_memory().unwrap();
        memory
            .execute_batch(
                "CREATE TABLE products (id INTEGER PRIMARY KEY, name, price_cents);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                 INSERT INTO products SELECT i, '', i FROM n",
            )
            .unwrap();
        let ids: Vec<i64> = (1..=1_000).collect();
        let mut rng = Case::realistic(1, 0, 1).rng("test");
        // Misses in each second but the first, until most entries have expired ten times.
        let mut misses = |jittered: bool| -> Vec<usize> {
            let mut cache = empty();
            let second = |now: u64| {
                let expired = cache.iter().filter(|(_, entry)| entry.expires <= now).count();
                let served = if jittered {
                    optimized(&memory, &mut cache, now, &ids, &mut rng)
                } else {
                    naive(&memory, &mut cache, now, &ids)
                };
                assert_eq!(prices(served), ids);
                expired
            };
            (0..=10 * TTL + SPREAD).map(second).collect()
        };
        let (equal, jittered) = (misses(false), misses(true));
        assert_eq!((equal.iter().max(), equal.iter().sum()), (Some(&1_000), 10_000));
        assert!(jittered.iter().all(|misses| *misses < 50), "{:?}", jittered.iter().max());
        assert!(jittered.iter().sum::<usize>().abs_diff(10_000) < 500);
    }

    #[test]
    fn a_miss_that_fails_is_not_cached_and_serves_nothing_stale() {
        let (shop, mut cache) = (shop(), empty());
        let mut rng = Case::realistic(1, 0, 1).rng("test");
        optimized(&shop, &mut cache, 0, &[1], &mut rng).unwrap();
        optimized(&shop, &mut cache, 0, &[99], &mut rng).unwrap_err();
        assert_eq!(cache.len(), 1);
        shop.execute_batch("DROP TABLE products").unwrap();
        optimized(&shop, &mut cache, 330, &[1], &mut rng).unwrap_err();
    }

    #[test]
    fn the_cache_is_bounded() {
        let entry = Entry { product: select(&shop(), 1).unwrap(), expires: 1 };
        let mut cache = empty();
        (0..5_000).for_each(|id| drop(cache.put(id, entry.clone())));
        assert_eq!(cache.len(), CAPACITY.get());
        assert!(PAIR.axis.points.default_points().iter().all(|keys| *keys <= 4_096));
    }

    #[test]
    fn trap_a_miss_searches_by_the_primary_key() {
        assert_eq!(
            query_plan(&shop(), SELECT),
            "SEARCH products USING INTEGER PRIMARY KEY (rowid=?)"
        );
    }
}
