//! Read rows of a database again and again: through a bounded cache that is told of every write.

use std::{num::NonZeroUsize, rc::Rc};

use foldhash::fast::FixedState;
use lru::LruCache;
use rand::{RngExt, seq::SliceRandom};
use rusqlite::Connection;

use crate::fixtures::{
    shop::{ShopFile, Size},
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Reads and writes in one iteration.
const OPS: u64 = 200;
/// Products in the shop; requests for them follow Zipf's law.
const PRODUCTS: u64 = 2_000;
/// Most products that the cache holds: a quarter of all.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(500).expect("not zero");
/// Warm-up reads before the stream, so that it meets a cache in use.
const WARMING_READS: u64 = 5_000;

pub const PAIR: Pair = Pair {
    title: "Cache rows, and forget them on write",
    review: Review {
        smell: "The same few rows are selected by key over and over: settings, products, the current user.",
        remedy: "A bounded, read-through `lru::LruCache` in front of the query. Each write drops the row's entry \
                 after the database has taken the write. Put both behind one type, so that no write can go around \
                 the cache.",
        keep_naive_when: "Others write to the same tables, from other processes or by hand; writes are as \
                          frequent as reads; or a stale read costs more than a query does.",
        costs: "Memory up to the bound. Every present and future write to the row must go through the cache, and \
                the compiler checks none of it. Across threads it also takes a lock, and a read that misses while \
                another thread writes can put the old row back.",
        lint: None,
    },
    naive: Side {
        summary: "a SELECT by primary key for each read",
        growth: Growth::Other("writes cost more than reads"),
    },
    optimized: Side {
        summary: "read through a bounded LRU cache, forget on write",
        growth: Growth::Other("writes cost more than reads that hit"),
    },
    input: "200 reads and writes of single rows by primary key, in a SQLite table of 2,000 products whose \
            popularity follows Zipf's law. Writes have exactly the stated share and random places; the cache \
            holds 500 products and has seen 5,000 reads before. Commits wait for no flush.",
    axis: Axis {
        name: "share of writes",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 5, 20, 50, 80], deep: &[] },
    },
    unit: "operation",
    causes: &[Claim {
        cause: causes::STATEMENTS,
        naive: Count::Exactly(|_| OPS),
        // Every write. Of the reads, at most half miss because of bound and skew, plus one for each
        // forgotten entry.
        optimized: Count::AtMost(|case| {
            let writes = writes(OPS, case.point);
            let reads = OPS - writes;
            writes + reads.min(reads / 2 + writes)
        }),
    }],
    explanation: "A read that hits costs no statement, and next to nothing. Without writes the gain is the ratio \
                  of statements, one over the share of misses, which the bound and the skew decide. Writes are \
                  statements on both sides and cost more than reads, and each makes one of the most wanted entries \
                  miss. So their share soon decides the time of both sides.",
    limit: Limit::Statements(|case| writes(OPS, case.point)),
    proof: Proof { resources: Resources::System, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Number of writes among `ops`.
const fn writes(ops: u64, percent: u64) -> u64 {
    ops * percent / 100
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Reads the product with this id.
    Read(i64),
    /// Sets the price of the product with this id.
    SetPrice(i64, i64),
}

#[derive(Debug, PartialEq)]
struct Product {
    name: String,
    description: String,
    price_cents: i64,
    stock: i64,
}

/// A cache between reader and database.
trait Cache: Clone {
    fn get(&mut self, id: i64) -> Option<Rc<Product>>;
    fn put(&mut self, id: i64, product: &Rc<Product>);
    fn forget(&mut self, id: i64);
}

type Lru = LruCache<i64, Rc<Product>, FixedState>;

/// Returns an empty cache. The crate's default hasher is the same, but seeded anew by each process.
fn empty_cache() -> Lru {
    Lru::with_hasher(CAPACITY, FixedState::default())
}

impl Cache for Lru {
    fn get(&mut self, id: i64) -> Option<Rc<Product>> {
        LruCache::get(self, &id).cloned()
    }

    fn put(&mut self, id: i64, product: &Rc<Product>) {
        LruCache::put(self, id, Rc::clone(product));
    }

    fn forget(&mut self, id: i64) {
        self.pop(&id);
    }
}

/// The products that the reads of the stream found.
fn naive(shop: &Connection, ops: &[Op]) -> rusqlite::Result<Vec<Rc<Product>>> {
    let mut reads = Vec::with_capacity(ops.len());
    for op in ops {
        match *op {
            Op::Read(id) => reads.push(select(shop, id)?),
            Op::SetPrice(id, price_cents) => set_price(shop, id, price_cents)?,
        }
    }
    Ok(reads)
}

/// The products that the reads of the stream found.
fn optimized(
    shop: &Connection,
    cache: &mut impl Cache,
    ops: &[Op],
) -> rusqlite::Result<Vec<Rc<Product>>> {
    let mut reads = Vec::with_capacity(ops.len());
    for op in ops {
        match *op {
            Op::Read(id) => reads.push(match cache.get(id) {
                Some(product) => product,
                None => {
                    let product = select(shop, id)?;
                    cache.put(id, &product);
                    product
                }
            }),
            Op::SetPrice(id, price_cents) => {
                set_price(shop, id, price_cents)?;
                cache.forget(id);
            }
        }
    }
    Ok(reads)
}

fn select(shop: &Connection, id: i64) -> rusqlite::Result<Rc<Product>> {
    let sql = "SELECT name, description, price_cents, stock FROM products WHERE id = ?1";
    shop.prepare_cached(sql)?.query_row([id], |row| {
        Ok(Rc::new(Product {
            name: row.get(0)?,
            description: row.get(1)?,
            price_cents: row.get(2)?,
            stock: row.get(3)?,
        }))
    })
}

fn set_price(shop: &Connection, id: i64, price_cents: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE products SET price_cents = ?2 WHERE id = ?1";
    shop.prepare_cached(sql)?.execute((id, price_cents)).map(drop)
}

struct State<C> {
    shop: Connection,
    cache: C,
    /// The cache at the start of the stream.
    warm: C,
    ops: Vec<Op>,
    /// The prices that the stream overwrites, with their products' ids.
    prices: Vec<(i64, i64)>,
    _file: ShopFile,
}

impl<C: Cache> State<C> {
    fn new(case: &Case, empty: C) -> Result<State<C>, Unavailable> {
        let products = case.items(PRODUCTS).max(1) as u64;
        let size = Size { customers: 0, products, orders: 0 };
        let file = ShopFile::new(paths::scratch()?, case, size, "")?;
        let shop = file.open()?;
        // Commits go to the write-ahead log without a flush, as in a busy shop between two
        // checkpoints. Only the reset makes checkpoints.
        shop.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0",
        )
        .expect("SQLite knows these");

        let mut warm = empty;
        for id in ids(case, "warming", WARMING_READS as usize, products) {
            if warm.get(id).is_none() {
                warm.put(id, &select(&shop, id).expect("the product is there"));
            }
        }
        let ops = stream(case, products);
        let written = ops.iter().filter_map(|op| match op {
            Op::SetPrice(id, _) => Some(*id),
            Op::Read(_) => None,
        });
        let price = |id| (id, select(&shop, id).expect("the product is there").price_cents);
        let prices = written.map(price).collect();
        Ok(State { cache: warm.clone(), shop, warm, ops, prices, _file: file })
    }

    /// Restores the state before the first stream.
    fn reset(&mut self) {
        let reset = || -> rusqlite::Result<()> {
            let transaction = self.shop.unchecked_transaction()?;
            for (id, price_cents) in &self.prices {
                set_price(&transaction, *id, *price_cents)?;
            }
            transaction.commit()?;
            self.shop.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()))
        };
        reset().expect("the shop takes its old prices back");
        self.cache = self.warm.clone();
    }
}

/// A stream of reads and writes. The share of writes is exact, their positions are random.
fn stream(case: &Case, products: u64) -> Vec<Op> {
    // In a multiple of 100, every point of the axis is a whole number of writes.
    let count = case.items(OPS).next_multiple_of(100);
    let mut rng = case.rng("stream");
    let mut writing = vec![false; count];
    writing[..writes(count as u64, case.point) as usize].fill(true);
    writing.shuffle(&mut rng);
    let ids = ids(case, "stream ids", count, products);
    let op = |(writes, id)| {
        if writes { Op::SetPrice(id, rng.random_range(99..50_000)) } else { Op::Read(id) }
    };
    writing.into_iter().zip(ids).map(op).collect()
}

/// Ids of products in the order of requests. The most popular ones are spread over the table.
fn ids(case: &Case, purpose: &str, count: usize, products: u64) -> Vec<i64> {
    if case.shape != Shape::Realistic {
        let values = case.values(count).into_iter();
        return values.map(|value| (value % products) as i64 + 1).collect();
    }
    let mut by_rank: Vec<i64> = (1..=products as i64).collect();
    by_rank.shuffle(&mut case.rng("popularity"));
    let zipf = Zipf::new(by_rank.len(), 4);
    let mut rng = case.rng(purpose);
    (0..count).map(|_| by_rank[zipf.sample(&mut rng)]).collect()
}

/// Percentage of writes in `ops`; `asked` if the stream is empty.
fn share_of_writes(ops: &[Op], asked: u64) -> u64 {
    let writes = ops.iter().filter(|op| matches!(op, Op::SetPrice(..))).count();
    (100 * writes).checked_div(ops.len()).map_or(asked, |share| share as u64)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let cached = State::new(case, empty_cache())?;
    let (share, units) = (share_of_writes(&cached.ops, case.point), cached.ops.len() as u64);
    let case = case.clone();
    let plain = on_first_use(1, move || {
        Ok(resetting(State::new(&case, empty_cache())?, State::reset, |state| {
            naive(&state.shop, &state.ops).expect("the shop answers")
        }))
    });
    Ok(Trial::new(share, plain, optimized_runner(cached)).units(units))
}

fn optimized_runner<C: Cache + 'static>(state: State<C>) -> impl Runner + 'static {
    resetting(state, State::reset, |state| {
        optimized(&state.shop, &mut state.cache, &state.ops).expect("the shop answers")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn prices(reads: &[Rc<Product>]) -> Vec<i64> {
        reads.iter().map(|product| product.price_cents).collect()
    }

    #[test]
    fn known_answers() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name, description, price_cents, stock);
             INSERT INTO products VALUES (1, 'a', '', 100, 0), (2, 'b', '', 200, 0)",
        )
        .unwrap();
        let ops = [Op::Read(1), Op::Read(1), Op::SetPrice(1, 101), Op::Read(1), Op::Read(2)];
        assert_eq!(prices(&naive(&shop, &ops).unwrap()), [100, 100, 101, 200]);
        let mut cache = Lru::with_hasher(NonZeroUsize::MIN, FixedState::default());
        let ops = [Op::Read(1), Op::SetPrice(1, 102), Op::Read(1), Op::Read(2), Op::Read(1)];
        assert_eq!(prices(&optimized(&shop, &mut cache, &ops).unwrap()), [101, 102, 200, 102]);
        assert_eq!(cache.len(), 1, "the cache is bounded");
    }

    /// A cache that is not told of writes.
    #[derive(Clone)]
    struct NeverInvalidated(Lru);

    impl Cache for NeverInvalidated {
        fn get(&mut self, id: i64) -> Option<Rc<Product>> {
            Cache::get(&mut self.0, id)
        }
        fn put(&mut self, id: i64, product: &Rc<Product>) {
            Cache::put(&mut self.0, id, product);
        }
        fn forget(&mut self, _: i64) {}
    }

    #[test]
    fn trap_a_cache_that_is_never_invalidated_disagrees() {
        for percent in PAIR.axis.points.default_points() {
            let case = Case { proof_size: Some(PRODUCTS), ..Case::realistic(percent, 0, 42) };
            let plain = State::new(&case, empty_cache()).unwrap();
            let stale = State::new(&case, NeverInvalidated(empty_cache())).unwrap();
            let plain = resetting(plain, State::reset, |s| naive(&s.shop, &s.ops).unwrap());
            let mut trial = Trial::new(percent, plain, optimized_runner(stale));
            // At 1 % there are two writes, and by chance the stream may read neither product again.
            assert!(trial.verify().is_err() || percent <= 1, "{percent} %");
        }
    }

    /// A cache of everything, or one for a single key, would always hit.
    #[test]
    fn trap_the_cache_is_bounded_and_misses() {
        let case = Case { proof_size: Some(PRODUCTS), ..Case::realistic(0, 0, 42) };
        let state = State::new(&case, empty_cache()).unwrap();
        assert_eq!(state.warm.len(), CAPACITY.get());
        let products = ids(&case, "stream ids", OPS as usize, PRODUCTS);
        let missed = products.iter().filter(|id| !state.warm.contains(id)).count();
        assert!((10..100).contains(&missed), "{missed} of {OPS}");
        assert!(products.iter().collect::<HashSet<_>>().len() > 50);
    }

    #[test]
    fn every_iteration_starts_from_the_same_state() {
        let case = Case { proof_size: Some(PRODUCTS), ..Case::realistic(50, 0, 42) };
        let mut state = State::new(&case, empty_cache()).unwrap();
        let first = optimized(&state.shop, &mut state.cache, &state.ops).unwrap();
        state.reset();
        let second = optimized(&state.shop, &mut state.cache, &state.ops).unwrap();
        assert_eq!(first, second);
    }
}
