//! A cache whose working set is wanted again and again while a scan reads everything once: keep what is asked for often,
//! not what was asked for last.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc};

use foldhash::fast::FixedState;
use lru::LruCache;
use quick_cache::{UnitWeighter, unsync};
use rand::{RngExt, seq::SliceRandom};
use rusqlite::Connection;

use crate::fixtures::{
    price_stream::{Op, reads_what_it_wrote},
    shop::{ShopFile, Size},
    sqlite,
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Reads in one iteration; a multiple of 100, so that each share is exact.
const READS: u64 = 1_000;
/// Changes of a price in one iteration.
const WRITES: u64 = READS / 100;
/// Products in the shop.
const PRODUCTS: u64 = 10_000;
/// Customers read one product in this many, all over the table; the scan reads the others.
const POPULAR_EVERY: u64 = 22;
/// Most products that a cache holds: a little more than customers read.
const CAPACITY: usize = 500;
/// Streams in the rotation: the scan comes back to a product after it is forgotten.
const TURNS: u64 = 24;
/// Reads before the first stream, so that it meets a cache in use.
const WARMING_READS: u64 = 20_000;

const SELECT: &str = "SELECT name, description, price_cents FROM products WHERE id = ?1";

/// Reads of the scan in one iteration.
const fn scanned(percent: u64) -> u64 {
    READS * percent / 100
}

pub const PAIR: Pair = Pair {
    title: "Cache what is asked for often, not what was asked for last",
    review: Review {
        smell: "An LRU cache that an export, a report or a crawler reads through too. Each product of the scan is wanted \
                once, and evicts one that is wanted again.",
        remedy: "A cache that keeps new entries on probation and evicts these first, of the same capacity: \
                 `unsync::Cache` of quick_cache, which is close to S3-FIFO. Each write drops the entry with \
                 `cache.remove`, as before.",
        keep_naive_when: "Nothing scans, or all that is wanted fits in the cache beside the scan. Or the scan is your own \
                          code: let it read past the cache. If what is wanted changes all the time, what was asked for \
                          last is the better guess.",
        costs: "A dependency. Which keys stay is harder to foresee than with LRU. A key that becomes popular is evicted a \
                few times before the cache keeps it. Keys that were evicted are remembered for a while, which takes some \
                memory beside the entries. `moka`, the peer, does the same with W-TinyLFU, for threads; its policy works \
                in batches after the requests.",
        lint: Lint::None,
    },
    naive: Side { summary: "lru::LruCache", growth: Growth::Other("grows with the misses") },
    optimized: Side {
        summary: "quick_cache, of the same capacity",
        growth: Growth::Other("grows with the reads of the scan, which miss in any cache"),
    },
    input: "1,000 reads of single products through a cache of 500, from a SQLite table of 10,000. Exactly the stated share \
            walks through the products that no customer reads, in the order of their ids, as an export does; the others go \
            to 455 products all over the table, some of which are wanted more often. Ten reads are followed by a new price \
            for one of these. The places are random. Streams alternate and go on with the cache of the stream before, which \
            at first has seen 20,000 such reads.",
    axis: Axis {
        name: "share of scanning reads",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 5, 10, 20, 50], deep: &[80] },
    },
    unit: "read",
    headline: Headline::At { level: "", point: 20 },
    peers: &[SideBeside { name: "moka", summary: "W-TinyLFU, for threads" }],
    causes: &[Claim {
        cause: causes::STATEMENTS,
        naive: Count::AtLeast(|case| 2 * WRITES + scanned(case.point)),
        // Of customers' reads, those after a write miss, and few others.
        optimized: Count::AtMost(|case| 7 * WRITES + scanned(case.point)),
    }],
    explanation: Explanation {
        why: "Between two reads of the same product by customers lie the reads of others and of the scan. With enough of \
              the scan's, LRU has evicted the product by then, though the cache has room for all that customers want. A \
              cache with probation evicts the scan's products first, so nearly every read of a customer hits. The reads of \
              the scan miss on both sides: the more of them there are, the more of the time they take, so the gain is \
              largest at a moderate share. Without a scan, both caches keep the working set, and the gain is what a hit \
              costs in each, beside the writes.",
        share_of_cause: ShareOfCause::Within(0.5, 1.25),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "no written product is read again",
            reason: "a cache that is never told of a write would give the same answers",
            check: |inputs: &[Vec<Op>]| {
                let told = inputs.iter().filter(|ops| reads_what_it_wrote(ops)).count();
                ensure(told * 2 > inputs.len(), || format!("{told} of {} streams", inputs.len()))
            },
            sprung: || vec![vec![Op::Read(1), Op::SetPrice(1, 2), Op::Read(2)]],
        },
        &Trap {
            name: "customers want one product",
            reason: "any cache would keep it",
            check: |inputs: &[Vec<Op>]| {
                let asked = inputs.iter().flatten().map(|op| op.product());
                let wanted = asked.filter(|id| is_popular(*id)).collect::<HashSet<i64>>().len();
                ensure(wanted * 10 > CAPACITY * 8, || format!("{wanted} products"))
            },
            sprung: || vec![(0..1_000).map(|i| Op::Read(i % 10)).collect()],
        },
    ],
    limit: Limit::Work(&[
        Work::FileStatements(|case| scanned(case.point)),
        Work::Hashes(|_| READS),
    ]),
    proof: Proof { resources: Resources::System, max_size: 24 },
    prepare,
    ..Pair::DEFAULTS
};

/// A product, which cache and readers share.
type Product = Arc<Row>;

#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    description: String,
    price_cents: i64,
}

impl Found for Row {
    fn found(&self) -> u64 {
        1
    }
}

type Lru = LruCache<i64, Product, FixedState>;
type Moka = moka::sync::Cache<i64, Product, FixedState>;
type Quick = unsync::Cache<i64, Product, UnitWeighter, FixedState>;

/// The products that the reads of the stream found.
fn naive(shop: &Connection, cache: &mut Lru, ops: &[Op]) -> rusqlite::Result<Vec<Product>> {
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

/// The products that the reads of the stream found.
fn optimized(shop: &Connection, cache: &mut Quick, ops: &[Op]) -> rusqlite::Result<Vec<Product>> {
    let mut reads = Vec::with_capacity(ops.len());
    for op in ops {
        match *op {
            Op::Read(id) => reads.push(match cache.get(&id) {
                Some(product) => product.clone(),
                None => {
                    let product = select(shop, id)?;
                    cache.insert(id, product.clone());
                    product
                }
            }),
            Op::SetPrice(id, price_cents) => {
                set_price(shop, id, price_cents)?;
                cache.remove(&id);
            }
        }
    }
    Ok(reads)
}

/// The products that the reads of the stream found.
fn moka(shop: &Connection, cache: &Moka, ops: &[Op]) -> rusqlite::Result<Vec<Product>> {
    let mut reads = Vec::with_capacity(ops.len());
    for op in ops {
        match *op {
            Op::Read(id) => reads.push(match cache.get(&id) {
                Some(product) => product.clone(),
                None => {
                    let product = select(shop, id)?;
                    cache.insert(id, product.clone());
                    product
                }
            }),
            Op::SetPrice(id, price_cents) => {
                set_price(shop, id, price_cents)?;
                cache.invalidate(&id);
            }
        }
    }
    Ok(reads)
}

fn select(shop: &Connection, id: i64) -> rusqlite::Result<Product> {
    shop.prepare_cached(SELECT)?.query_row([id], |row| {
        let (name, description, price_cents) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Arc::new(Row { name, description, price_cents }))
    })
}

fn set_price(shop: &Connection, id: i64, price_cents: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE products SET price_cents = ?2 WHERE id = ?1";
    shop.prepare_cached(sql)?.execute((id, price_cents)).map(drop)
}

/// What a side does with a shop and a cache.
type Run<C> = fn(&Connection, &mut C, &[Op]) -> rusqlite::Result<Vec<Product>>;

/// A shop with a cache in use.
struct State<C> {
    shop: Connection,
    cache: C,
    run: Run<C>,
    _file: ShopFile,
}

impl<C> State<C> {
    fn new(case: &Case, cache: C, run: Run<C>) -> Result<State<C>, Unavailable> {
        let size = Size { products: products(case), ..Size::default() };
        let file = ShopFile::new(paths::scratch()?, case, size, "")?;
        let shop = file.open()?;
        let first = "CREATE TEMP TABLE first_prices AS SELECT id, price_cents FROM products";
        shop.execute_batch(first).expect("there is room for the prices");
        let before = Case { turn: 1 << 40, ..case.clone() };
        let before = reads(&before, case.items(WARMING_READS));
        let mut state = State { shop, cache, run, _file: file };
        state.run(&before);
        Ok(state)
    }

    fn run(&mut self, ops: &[Op]) -> Vec<Product> {
        (self.run)(&self.shop, &mut self.cache, ops).expect("the shop answers")
    }

    /// Sets the prices that have changed to what they were, which drops the entries of these products.
    fn reset(&mut self) {
        let changed = || -> rusqlite::Result<Vec<Op>> {
            let mut changed = self.shop.prepare_cached(
                "SELECT id, first.price_cents FROM products JOIN first_prices AS first USING (id)
                 WHERE first.price_cents <> products.price_cents",
            )?;
            let op = |row: &rusqlite::Row<'_>| Ok(Op::SetPrice(row.get(0)?, row.get(1)?));
            changed.query_map((), op)?.collect()
        };
        let changed = changed().expect("the shop knows its prices");
        self.run(&changed);
        sqlite::restart_log(&self.shop).expect("nobody else uses the shop");
    }
}

fn lru() -> Lru {
    // The crate's default hasher is the same, but seeded anew by each process.
    Lru::with_hasher(NonZeroUsize::new(CAPACITY).expect("not zero"), FixedState::default())
}

fn quick() -> Quick {
    let (capacity, hasher) = (CAPACITY as u64, FixedState::default());
    Quick::with(CAPACITY, capacity, UnitWeighter, hasher, Default::default())
}

fn moka_cache() -> Moka {
    let builder = moka::sync::Cache::builder().max_capacity(CAPACITY as u64);
    builder.build_with_hasher(FixedState::default())
}

fn products(case: &Case) -> u64 {
    case.items(PRODUCTS).max(2) as u64
}

fn is_popular(id: i64) -> bool {
    id as u64 % POPULAR_EVERY == 1
}

/// The products that customers read, and the others.
fn parted(case: &Case) -> (Vec<i64>, Vec<i64>) {
    (1..=products(case) as i64).partition(|id| is_popular(*id))
}

/// Reads by customers, and by a scan that has got to some place in the table.
fn reads(case: &Case, count: usize) -> Vec<Op> {
    let mut rng = case.rng("reads");
    let mut is_scan = vec![false; count];
    is_scan[..count * case.point as usize / 100].fill(true);
    is_scan.shuffle(&mut rng);
    let (popular, others) = parted(case);
    // Which products are the most popular is the same in every stream: 455 of them and 8 have no common divisor.
    let zipf = Zipf::new(popular.len(), if case.shape == Shape::Random { 0 } else { 2 });
    // Each stream scans on from where the one before it in the rotation ended.
    let mut place = (case.turn * (count as u64 * case.point / 100) % others.len() as u64) as usize;
    let mut read = |is_scan: bool| {
        Op::Read(match case.shape {
            _ if is_scan => {
                place = (place + 1) % others.len();
                others[place]
            }
            Shape::DuplicateHeavy => popular[0],
            _ => popular[zipf.sample(&mut rng) * 8 % popular.len()],
        })
    };
    is_scan.into_iter().map(&mut read).collect()
}

/// A stream of reads, of which exactly the stated share scans, and of changes of prices.
fn stream(case: &Case) -> Vec<Op> {
    // In a multiple of 100, every point of the axis is a whole number of reads.
    let count = case.items(READS).max(1).next_multiple_of(100);
    let (popular, _) = parted(case);
    let mut rng = case.rng("writes");
    let mut ops = Vec::new();
    for reads in reads(case, count).chunks((READS / WRITES) as usize) {
        ops.extend_from_slice(reads);
        let product = popular[rng.random_range(0..popular.len())];
        let place = ops.len() - rng.random_range(0..=reads.len());
        ops.insert(place, Op::SetPrice(product, rng.random_range(1..90_000)));
    }
    ops
}

/// The percentage of reads that scan.
fn share_of_scan(ops: &[Op]) -> u64 {
    let reads = ops.iter().filter(|op| matches!(op, Op::Read(_)));
    let (popular, others): (Vec<&Op>, Vec<&Op>) = reads.partition(|op| is_popular(op.product()));
    (others.len() * 100 / (popular.len() + others.len())) as u64
}

/// A side with a shop and a cache of its own.
fn side<C: 'static>(
    case: &Case,
    inputs: &Inputs<Vec<Op>>,
    cache: C,
    run: Run<C>,
) -> Result<impl Runner + 'static, Unavailable> {
    let state = State::new(case, cache, run)?;
    Ok(resetting(inputs, state, State::reset, |state, ops| state.run(ops)))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, stream);
    let naive = side(case, &inputs, lru(), naive)?;
    let optimized = side(case, &inputs, quick(), optimized)?;
    let moka = side(case, &inputs, moka_cache(), |shop, cache, ops| moka(shop, cache, ops))?;
    let reads = inputs[0].iter().filter(|op| matches!(op, Op::Read(_))).count() as u64;
    let measured = inputs.measured(|ops| share_of_scan(ops));
    Ok(Trial::new(measured, naive, optimized).peer(moka).units(reads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    fn shop() -> (Connection, State<Lru>) {
        let case = Case { proof_size: Some(3), ..Case::realistic(20, 0, 42) };
        let state = State::new(&case, lru(), naive).unwrap();
        state.shop.execute("UPDATE products SET price_cents = 100 * id", ()).unwrap();
        (state._file.open().unwrap(), state)
    }

    fn prices(reads: &[Product]) -> Vec<i64> {
        reads.iter().map(|product| product.price_cents).collect()
    }

    #[test]
    fn known_answers() {
        let ops = [Op::Read(1), Op::SetPrice(1, 7), Op::Read(1), Op::Read(3), Op::SetPrice(3, 8)];
        let ops: Vec<Op> = ops.into_iter().chain([Op::Read(3), Op::Read(1)]).collect();
        let expected = [100, 7, 300, 8, 7];
        assert_eq!(prices(&naive(&shop().0, &mut lru(), &ops).unwrap()), expected);
        assert_eq!(prices(&optimized(&shop().0, &mut quick(), &ops).unwrap()), expected);
        assert_eq!(prices(&moka(&shop().0, &moka_cache(), &ops).unwrap()), expected);
    }

    #[test]
    fn the_caches_are_equally_bounded() {
        let case = Case { proof_size: Some(2_000), ..Case::realistic(50, 0, 42) };
        let lru = State::new(&case, lru(), naive).unwrap().cache;
        let quick = State::new(&case, quick(), optimized).unwrap().cache;
        assert_eq!((lru.len(), lru.cap().get()), (CAPACITY, CAPACITY));
        assert_eq!((quick.len(), quick.capacity()), (CAPACITY, CAPACITY as u64));
        let run: Run<Moka> = |shop, cache, ops| moka(shop, cache, ops);
        let moka = State::new(&case, moka_cache(), run).unwrap().cache;
        moka.run_pending_tasks();
        assert!(moka.entry_count() <= CAPACITY as u64);
    }

    #[test]
    fn a_read_that_fails_leaves_nothing_behind() {
        let (mut lru, mut quick, cache) = (lru(), quick(), moka_cache());
        let nobody = [Op::Read(99)];
        naive(&shop().0, &mut lru, &nobody).unwrap_err();
        optimized(&shop().0, &mut quick, &nobody).unwrap_err();
        moka(&shop().0, &cache, &nobody).unwrap_err();
        assert!(lru.is_empty() && quick.is_empty() && cache.get(&99).is_none());
    }

    #[test]
    fn trap_a_miss_searches_by_the_primary_key_in_a_table_that_outgrows_the_cache() {
        let (shop, _state) = shop();
        let plan = "SEARCH products USING INTEGER PRIMARY KEY (rowid=?)";
        assert_eq!(query_plan(&shop, SELECT), plan);
        assert!(PRODUCTS as usize > 10 * CAPACITY);
    }
}
