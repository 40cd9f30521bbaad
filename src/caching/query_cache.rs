//! Read rows of a database again and again: through a bounded cache that is told of every write.

use std::{collections::HashSet, num::NonZeroUsize, rc::Rc};

use foldhash::fast::FixedState;
use lru::LruCache;
use rand::{RngExt, seq::SliceRandom};
use rusqlite::Connection;

use crate::fixtures::{
    price_stream::{Op, by_popularity, reads_what_it_wrote},
    shop::{ShopFile, Size},
    sqlite,
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Reads and writes in one iteration.
const OPS: u64 = 200;
/// Products in the shop; requests for them follow Zipf's law.
const PRODUCTS: u64 = 2_000;
/// Most products that the cache holds: a quarter of all.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(PRODUCTS as usize / 4).expect("not zero");
/// Warm-up reads before the stream, so that it meets a cache in use.
const WARMING_READS: usize = 5_000;

pub const PAIR: Pair = Pair {
    title: "Cache rows, and forget them on write",
    review: Review {
        smell: "The same few rows are selected by key over and over: settings, products, the current user.",
        remedy: "A bounded, read-through `LruCache` in front of the query (`cache.get`, else `select` and \
                 `cache.put`). Each write drops the row's entry with `cache.pop` after the database has taken the \
                 write. Put both behind one type, so that no write can go around the cache.",
        keep_naive_when: "Others write to the same tables, from other processes or by hand; writes are more frequent \
                          than reads; or a stale read costs more than a query does.",
        costs: "Memory up to the bound. Every present and future write to the row must go through the cache, and \
                the compiler checks none of it. Across threads it also takes a lock, and a read that misses while \
                another thread writes can put the old row back.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a SELECT by primary key for each read",
        growth: Growth::Other("writes cost more than reads"),
    },
    optimized: Side {
        summary: "read through a bounded LRU cache, forget on write",
        growth: Growth::Other("writes cost more than reads that hit"),
    },
    input: "200 reads and writes of single rows by primary key, in a SQLite table of 2,000 products whose popularity \
            follows Zipf's law. Writes have exactly the stated share and random places; the cache holds 500 products \
            and has seen 5,000 reads before. Streams alternate. The file is in WAL mode with `synchronous = NORMAL`, \
            so commits wait for no flush; no checkpoint is timed.",
    axis: Axis {
        name: "share of writes",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 5, 20, 50, 80], deep: &[] },
    },
    unit: "operation",
    headline: Headline::At { level: "", point: 5 },
    causes: &[Claim {
        cause: causes::STATEMENTS,
        naive: Count::Exactly(|_| OPS),
        // Every write. Bound, skew and forgotten entries let some of the reads miss, but not most.
        optimized: Count::AtMost(|case| {
            let writes = writes(OPS, case.point);
            writes + (OPS - writes) * 3 / 4
        }),
    }],
    explanation: Explanation {
        why: "A read that hits costs no statement, and next to nothing. Without writes the gain is about the ratio of \
              statements, one over the share of misses, which the bound and the skew decide. Writes are statements on \
              both sides and cost more than reads, and each makes one of the most wanted entries miss. So their share \
              soon decides the time of both sides.",
        share_of_cause: ShareOfCause::Within(0.5, 1.2),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::From(80),
    },
    traps: &[
        &Trap {
            name: "no written product is read again",
            reason: "a cache that is never told of a write would give the same answers",
            check: |inputs: &[Vec<Op>]| {
                let writes = inputs.iter().flatten().any(|op| matches!(op, Op::SetPrice(..)));
                ensure(!writes || inputs.iter().any(|ops| reads_what_it_wrote(ops)), || {
                    "each product is read before it is written".to_owned()
                })
            },
            sprung: || vec![vec![Op::Read(1), Op::SetPrice(1, 2), Op::Read(2)]],
        },
        &Trap {
            name: "the cache holds all that is read",
            reason: "only writes would make it miss, and its bound would cost nothing",
            check: |inputs: &[Vec<Op>]| {
                let products: HashSet<i64> =
                    inputs.iter().flatten().map(|op| op.product()).collect();
                ensure(products.len() > CAPACITY.get(), || format!("{} products", products.len()))
            },
            sprung: || vec![(1..=400).map(Op::Read).collect()],
        },
    ],
    // Of Zipf's requests, 17 % are for other products than the 500 most popular: no cache of this size misses fewer.
    // A write also appends a page and its header to the log.
    limit: Limit::Work(&[
        Work::FileStatements(|case| {
            let writes = writes(OPS, case.point);
            writes + (OPS - writes) * 17 / 100
        }),
        Work::BytesWritten(|case| writes(OPS, case.point) * (4_096 + 24)),
    ]),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

/// Number of writes among `ops`.
const fn writes(ops: u64, percent: u64) -> u64 {
    ops * percent / 100
}

/// A product, which cache and readers share.
type Product = Rc<Row>;

#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    description: String,
    price_cents: i64,
    stock: i64,
}

impl Found for Row {
    fn found(&self) -> u64 {
        1
    }
}

type Cache = LruCache<i64, Product, FixedState>;

/// The products that the reads of the stream found.
fn naive(shop: &Connection, ops: &[Op]) -> rusqlite::Result<Vec<Product>> {
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
fn optimized(shop: &Connection, cache: &mut Cache, ops: &[Op]) -> rusqlite::Result<Vec<Product>> {
    let mut reads = Vec::with_capacity(ops.len());
    for op in ops {
        match *op {
            Op::Read(id) => reads.push(match cache.get(&id) {
                Some(product) => product.clone(),
                None => {
                    let product = select(shop, id)?;
                    cache.put(id, product.clone());
                    product
                }
            }),
            Op::SetPrice(id, price_cents) => {
                set_price(shop, id, price_cents)?;
                cache.pop(&id);
            }
        }
    }
    Ok(reads)
}

fn select(shop: &Connection, id: i64) -> rusqlite::Result<Product> {
    let sql = "SELECT name, description, price_cents, stock FROM products WHERE id = ?1";
    shop.prepare_cached(sql)?.query_row([id], |row| {
        Ok(Rc::new(Row {
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

struct State {
    shop: Connection,
    cache: Cache,
    /// The cache at the start of each stream.
    warm: Cache,
    _file: ShopFile,
}

impl State {
    fn new(case: &Case, by_rank: &[i64]) -> Result<State, Unavailable> {
        let size = Size { products: by_rank.len() as u64, ..Size::default() };
        let file = ShopFile::new(paths::scratch()?, case, size, "")?;
        let shop = file.open()?;
        let first = "CREATE TEMP TABLE first_prices AS SELECT id, price_cents FROM products";
        shop.execute_batch(first).expect("there is room for the prices");
        let quarter = NonZeroUsize::new(by_rank.len() / 4).unwrap_or(NonZeroUsize::MIN);
        // The crate's default hasher is the same, but seeded anew by each process.
        let mut warm = Cache::with_hasher(quarter, FixedState::default());
        for id in ids(case, by_rank, "warming", WARMING_READS) {
            if warm.get(&id).is_none() {
                warm.put(id, select(&shop, id).expect("the product is there"));
            }
        }
        Ok(State { cache: warm.clone(), shop, warm, _file: file })
    }

    /// Restores the state before the first stream. Commits then go to the write-ahead log without a flush, as in a busy
    /// shop between two checkpoints.
    fn reset(&mut self) {
        let reset = self.shop.execute_batch(
            "UPDATE products SET price_cents = first.price_cents FROM first_prices AS first
             WHERE first.id = products.id AND first.price_cents <> products.price_cents",
        );
        reset.and_then(|()| sqlite::restart_log(&self.shop)).expect("old prices come back");
        self.cache = self.warm.clone();
    }
}

/// A stream of reads and writes. The share of writes is exact, their positions are random.
fn stream(case: &Case, by_rank: &[i64]) -> Vec<Op> {
    // In a multiple of 100, every point of the axis is a whole number of writes.
    let count = case.items(OPS).max(1).next_multiple_of(100);
    let mut rng = case.rng("stream");
    let mut writing = vec![false; count];
    writing[..writes(count as u64, case.point) as usize].fill(true);
    writing.shuffle(&mut rng);
    let op = |(writes, id)| {
        if writes { Op::SetPrice(id, rng.random_range(99..50_000)) } else { Op::Read(id) }
    };
    writing.into_iter().zip(ids(case, by_rank, "stream ids", count)).map(op).collect()
}

/// Ids of products in the order of requests.
fn ids(case: &Case, by_rank: &[i64], purpose: &str, count: usize) -> Vec<i64> {
    if case.shape != Shape::Realistic {
        let products = by_rank.len() as u64;
        let values = case.values(count).into_iter();
        return values.map(|value| (value % products) as i64 + 1).collect();
    }
    let zipf = Zipf::new(by_rank.len(), 4);
    let mut rng = case.rng(purpose);
    (0..count).map(|_| by_rank[zipf.sample(&mut rng)]).collect()
}

/// Percentage of writes in `ops`.
fn share_of_writes(ops: &[Op]) -> u64 {
    let writes = ops.iter().filter(|op| matches!(op, Op::SetPrice(..))).count();
    (100 * writes / ops.len()) as u64
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let by_rank = by_popularity(case, case.items(PRODUCTS).max(1));
    let inputs = case.rotate(16, |case| stream(case, &by_rank));
    let state = || State::new(case, &by_rank);
    let naive = resetting(&inputs, state()?, State::reset, |state, ops| {
        naive(&state.shop, ops).expect("the shop answers")
    });
    let optimized = resetting(&inputs, state()?, State::reset, |state, ops| {
        optimized(&state.shop, &mut state.cache, ops).expect("the shop answers")
    });
    let units = inputs[0].len() as u64;
    Ok(Trial::new(inputs.measured(|ops| share_of_writes(ops)), naive, optimized).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(reads: &[Product]) -> Vec<i64> {
        reads.iter().map(|product| product.price_cents).collect()
    }

    fn state() -> (State, Vec<i64>, Case) {
        let case = Case { proof_size: Some(PRODUCTS), ..Case::realistic(50, 0, 42) };
        let by_rank = by_popularity(&case, case.items(PRODUCTS).max(1));
        (State::new(&case, &by_rank).unwrap(), by_rank, case)
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
        let mut cache = Cache::with_hasher(NonZeroUsize::MIN, FixedState::default());
        let ops = [Op::Read(1), Op::SetPrice(1, 102), Op::Read(1), Op::Read(2), Op::Read(1)];
        assert_eq!(prices(&optimized(&shop, &mut cache, &ops).unwrap()), [101, 102, 200, 102]);
        assert_eq!(cache.len(), 1, "the cache is bounded");
    }

    #[test]
    fn trap_the_warm_cache_is_full_and_the_journal_is_as_stated() {
        let (mut state, ..) = state();
        state.reset();
        assert_eq!(state.cache.len(), CAPACITY.get());
        let pragma = |name: &str| -> String {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            state.shop.query_row(&sql, (), |row| row.get(0)).unwrap()
        };
        assert_eq!((pragma("journal_mode"), pragma("synchronous")), ("wal".into(), "1".into()));
    }

    #[test]
    fn a_read_that_fails_leaves_nothing_behind() {
        let (mut state, ..) = state();
        optimized(&state.shop, &mut state.cache, &[Op::Read(-1)]).unwrap_err();
        assert!(!state.cache.contains(&-1));
    }

    #[test]
    fn every_iteration_starts_from_the_same_state() {
        let (mut state, by_rank, case) = state();
        let ops = stream(&case, &by_rank);
        assert!(reads_what_it_wrote(&ops));
        let run = |state: &mut State| optimized(&state.shop, &mut state.cache, &ops).unwrap();
        let first = run(&mut state);
        state.reset();
        assert_eq!(first, run(&mut state));
    }
}
