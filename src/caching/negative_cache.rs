//! Look up keys that do not exist, again and again: remember that they are absent until somebody inserts them.

use std::{collections::HashSet, num::NonZeroUsize, rc::Rc};

use foldhash::fast::FixedState;
use lru::LruCache;
use rusqlite::{Connection, OptionalExtension};

use crate::fixtures::{
    recency::{Keys, Recency, distinct, shuffled_hits},
    shop::{ShopFile, Size},
    sqlite,
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Lookups of absent keys in one iteration; a multiple of 100, so that each share is exact.
const ABSENT: u64 = 900;
/// Lookups of products that the shop sells, in one iteration.
const SOLD: u64 = ABSENT / 9;
/// Products that are added meanwhile.
const ADDED: u64 = ABSENT / 225;
/// Products in the shop.
const PRODUCTS: u64 = 2_000;
/// Most products that a cache holds, and most absent keys.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64).unwrap();

const SELECT: &str = "SELECT id, name, price_cents FROM products WHERE sku = ?1";

pub const PAIR: Pair = Pair {
    title: "Remember that a key is absent",
    review: Review {
        smell: "A cache that keeps only what was found: `if let Some(row) = select(key)? { cache.put(key, row) }`. A \
                key that does not exist is asked of the database each time.",
        remedy: "A bounded `LruCache` of absent keys beside the cache: `absent.put(sku, ())` where `select` finds \
                 nothing. Each insert drops the key with `absent.pop` after the database has taken the row.",
        keep_naive_when: "Absent keys seldom come again, as when somebody tries keys at random. Or rows come into \
                          being without passing through this process: then an absence may be remembered only for as \
                          long as a new row may stay unseen.",
        costs: "Memory up to the bound. Every present and future insert must forget the absence, and the compiler \
                checks none of it. In one cache with the rows found, absent keys would evict these, and clients who \
                make up keys could empty it; so absences have a bound of their own. Across threads it also takes a lock, \
                and a lookup that finds nothing while another thread inserts can remember an absence that is over.",
        lint: Lint::None,
    },
    naive: Side { summary: "an LRU cache of rows that were found", growth: Growth::Constant },
    optimized: Side {
        summary: "and one of keys that were not",
        growth: Growth::Other("falls with the absent keys that are new"),
    },
    input: "1,000 lookups by SKU in a SQLite table of 2,000 products, for SKUs as in old links: nine in ten are not \
            sold. Exactly the stated share of those hits an LRU cache of 64 absent keys and favours recent ones; a miss \
            is a new key or an evicted one. Four of the SKUs that are remembered as absent are added, and then looked \
            up. Streams alternate, and each meets empty caches.",
    axis: Axis {
        name: "repeated absent keys",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 10, 25, 50, 75, 90], deep: &[] },
    },
    unit: "lookup",
    headline: Headline::At { level: "", point: 75 },
    causes: &[Claim {
        cause: causes::STATEMENTS,
        naive: Count::AtLeast(|_| ABSENT + ADDED),
        // Those for products that are sold are the same on both sides, and at most all of them.
        optimized: Count::AtMost(|case| ABSENT * (100 - case.point) / 100 + SOLD + ADDED),
    }],
    explanation: Explanation {
        why: "Each remembered absence saves a statement. A key that is new costs a statement as before, and a lookup, an \
              insertion and an eviction in the cache of absences, which are cheap beside a statement: so the cache pays \
              from a low share of repeats on. Products that are sold are cached on both sides, and their misses and the \
              inserts stay; so the gain ends there, however often the absent keys repeat.",
        share_of_cause: ShareOfCause::Within(0.4, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "no remembered absence is inserted",
            reason: "a cache of absences that is never told of an insert would give the same answers",
            check: |inputs: &[Vec<Op>]| {
                let told = inputs.iter().filter(|ops| finds_what_was_absent(ops)).count();
                ensure(told == inputs.len(), || format!("{told} of {} streams", inputs.len()))
            },
            sprung: || vec![vec![Op::Find(unsold(1)), Op::Add(unsold(2)), Op::Find(unsold(2))]],
        },
        &Trap {
            name: "the cache holds every absent key",
            reason: "none would be evicted, and what a bound costs would not show",
            check: |inputs: &[Vec<Op>]| {
                let few = inputs.iter().map(|ops| distinct(asked_in_vain(ops)));
                let fewest = few.min().unwrap_or(0);
                ensure(fewest > CAPACITY.get(), || format!("{fewest} absent keys"))
            },
            sprung: || vec![(0..900).map(|i| Op::Find(unsold(i % 60))).collect()],
        },
    ],
    // A lookup of the products that are sold may miss as well, but none has to.
    limit: Limit::Work(&[
        Work::FileStatements(|case| ABSENT * (100 - case.point) / 100 + ADDED),
        Work::Hashes(|_| ABSENT + SOLD),
    ]),
    proof: Proof { resources: Resources::System, max_size: 8 },
    prepare,
    ..Pair::DEFAULTS
};

/// A step of a stream, with the SKU that it is about.
#[derive(Debug)]
enum Op {
    Find(String),
    Add(String),
}

/// A product, which cache and readers share.
type Product = Rc<Row>;

#[derive(Debug, PartialEq)]
struct Row {
    id: i64,
    name: String,
    price_cents: i64,
}

impl Found for Row {
    fn found(&self) -> u64 {
        1
    }
}

type Cache<V> = LruCache<String, V, FixedState>;

/// What each lookup of the stream finds.
fn naive(
    shop: &Connection,
    cache: &mut Cache<Product>,
    ops: &[Op],
) -> rusqlite::Result<Vec<Option<Product>>> {
    let mut found = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Find(sku) => {
                if let Some(product) = cache.get(sku) {
                    found.push(Some(product.clone()));
                } else {
                    let product = select(shop, sku)?;
                    if let Some(product) = &product {
                        cache.put(sku.clone(), product.clone());
                    }
                    found.push(product);
                }
            }
            Op::Add(sku) => insert(shop, sku)?,
        }
    }
    Ok(found)
}

/// What each lookup of the stream finds.
fn optimized(
    shop: &Connection,
    cache: &mut Cache<Product>,
    absent: &mut Cache<()>,
    ops: &[Op],
) -> rusqlite::Result<Vec<Option<Product>>> {
    let mut found = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Find(sku) => {
                if let Some(product) = cache.get(sku) {
                    found.push(Some(product.clone()));
                } else if absent.get(sku).is_some() {
                    found.push(None);
                } else {
                    let product = select(shop, sku)?;
                    match &product {
                        Some(product) => drop(cache.put(sku.clone(), product.clone())),
                        None => drop(absent.put(sku.clone(), ())),
                    }
                    found.push(product);
                }
            }
            Op::Add(sku) => {
                insert(shop, sku)?;
                absent.pop(sku);
            }
        }
    }
    Ok(found)
}

fn select(shop: &Connection, sku: &str) -> rusqlite::Result<Option<Product>> {
    let row = |row: &rusqlite::Row<'_>| {
        let (id, name, price_cents) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Rc::new(Row { id, name, price_cents }))
    };
    shop.prepare_cached(SELECT)?.query_row([sku], row).optional()
}

fn insert(shop: &Connection, sku: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO products (sku, name, description, price_cents, stock)
               VALUES (?1, 'New ' || ?1, 'just in', 999, 10)";
    shop.prepare_cached(sql)?.execute([sku]).map(drop)
}

struct State {
    shop: Connection,
    /// The last product that the shop has at first.
    last: i64,
    cache: Cache<Product>,
    absent: Cache<()>,
    _file: ShopFile,
}

impl State {
    fn new(case: &Case) -> Result<State, Unavailable> {
        let size = Size { products: products(case), ..Size::default() };
        let file = ShopFile::new(paths::scratch()?, case, size, "")?;
        let shop = file.open()?;
        let last = shop.query_row("SELECT max(id) FROM products", (), |row| row.get(0));
        let last = last.expect("there is a product");
        Ok(State { shop, last, cache: empty(), absent: empty(), _file: file })
    }

    /// Takes the added products away and empties the caches.
    fn reset(&mut self) {
        let reset = self.shop.execute("DELETE FROM products WHERE id > ?1", [self.last]);
        reset.and_then(|_| sqlite::restart_log(&self.shop)).expect("the added products go away");
        self.cache.clear();
        self.absent.clear();
    }
}

fn empty<V>() -> Cache<V> {
    // The crate's default hasher is the same, but seeded anew by each process.
    Cache::with_hasher(CAPACITY, FixedState::default())
}

fn products(case: &Case) -> u64 {
    case.items(PRODUCTS).max(1) as u64
}

/// The SKU of a variant that the shop does not sell. They lie all over the index, as those sold do.
fn unsold(key: usize) -> String {
    format!("SKU-{:06}-{key}", key as u64 * 7_919 % PRODUCTS + 1)
}

/// A stream of lookups, and of inserts of what was absent.
fn stream(case: &Case) -> Vec<Op> {
    // In a multiple of 100, every point of the axis is a whole number of lookups.
    let count = case.items(ABSENT).max(1).next_multiple_of(100);
    let (sold, adds) = (count / 9, (count / 225).max(1));
    let mut rng = case.rng("stream");
    let mut hits = shuffled_hits(count, count * case.point as usize / 100, &mut rng).into_iter();
    let mut keys = Keys::new(CAPACITY.get(), if case.shape == Shape::Random { 0 } else { 4 });
    let popular = Zipf::new(products(case) as usize, 4);
    let (mut ops, mut added) = (Vec::new(), Vec::new());
    for (i, is_sold) in shuffled_hits(count + sold, sold, &mut rng).into_iter().enumerate() {
        let sku = match added.pop_if(|_| is_sold) {
            Some(sku) => sku,
            None if is_sold => {
                let id = match case.shape {
                    Shape::DuplicateHeavy => 0,
                    Shape::Sorted => i % products(case) as usize,
                    _ => popular.sample(&mut rng),
                };
                format!("SKU-{:06}", id + 1)
            }
            None => {
                let hit = hits.next().expect("one for each absent key");
                unsold(keys.next(hit, &mut rng))
            }
        };
        ops.push(Op::Find(sku));
        if (i + 1) % (count / (adds + 1)) == 0 && i + 1 < count {
            let absent = keys.forget_one(&mut rng).map(unsold);
            ops.extend(absent.clone().map(Op::Add));
            added.extend(absent);
        }
    }
    ops
}

/// The keys looked up that are absent at first.
fn asked_in_vain(ops: &[Op]) -> impl Iterator<Item = &String> {
    ops.iter().filter_map(|op| match op {
        Op::Find(sku) => Some(sku).filter(|sku| is_unsold(sku)),
        Op::Add(_) => None,
    })
}

fn is_unsold(sku: &str) -> bool {
    sku.matches('-').count() == 2
}

/// The percentage of lookups of absent keys that hit an LRU cache of absent keys, by replay with a model.
fn repeats(ops: &[Op]) -> u64 {
    let (mut cache, mut added) = (Recency::new(CAPACITY.get()), HashSet::<&String>::new());
    let (mut lookups, mut hits) = (0_u64, 0_u64);
    for op in ops {
        match op {
            Op::Find(sku) if is_unsold(sku) && !added.contains(sku) => {
                lookups += 1;
                hits += u64::from(cache.ask(sku).0);
            }
            Op::Find(_) => {}
            Op::Add(sku) => {
                cache.forget(&sku);
                added.insert(sku);
            }
        }
    }
    hits * 100 / lookups
}

/// Whether a key is looked up while it is absent, and found after it was added.
fn finds_what_was_absent(ops: &[Op]) -> bool {
    let find =
        |sku: &String, ops: &[Op]| ops.iter().any(|op| matches!(op, Op::Find(s) if s == sku));
    let is_told = |(place, op): (usize, &Op)| match op {
        Op::Add(sku) => find(sku, &ops[..place]) && find(sku, &ops[place..]),
        Op::Find(_) => false,
    };
    ops.iter().enumerate().any(is_told)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, stream);
    let naive = resetting(&inputs, State::new(case)?, State::reset, |state, ops| {
        naive(&state.shop, &mut state.cache, ops).expect("the shop answers")
    });
    let optimized = resetting(&inputs, State::new(case)?, State::reset, |state, ops| {
        let State { shop, cache, absent, .. } = state;
        optimized(shop, cache, absent, ops).expect("the shop answers")
    });
    let finds = inputs[0].iter().filter(|op| matches!(op, Op::Find(_))).count();
    Ok(Trial::new(inputs.measured(|ops| repeats(ops)), naive, optimized).units(finds as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    fn state() -> State {
        State::new(&Case { proof_size: Some(PRODUCTS), ..Case::realistic(50, 0, 42) }).unwrap()
    }

    fn ids(found: &[Option<Product>]) -> Vec<Option<i64>> {
        found.iter().map(|product| product.as_ref().map(|product| product.id)).collect()
    }

    #[test]
    fn known_answers() {
        let find = |sku: &str| Op::Find(sku.to_owned());
        let ops = [
            find("SKU-000007"),
            find("it's 20 % näw"),
            find("it's 20 % näw"),
            Op::Add("it's 20 % näw".to_owned()),
            find("it's 20 % näw"),
            find(""),
            find("SKU-000007"),
        ];
        let expected = [Some(7), None, None, Some(2_001), None, Some(7)];
        let State { shop, mut cache, .. } = state();
        assert_eq!(ids(&naive(&shop, &mut cache, &ops).unwrap()), expected);
        assert_eq!(cache.len(), 2, "what was found, and no more");
        let State { shop, mut cache, mut absent, .. } = state();
        assert_eq!(ids(&optimized(&shop, &mut cache, &mut absent, &ops).unwrap()), expected);
        assert_eq!((cache.len(), absent.len()), (2, 1));
    }

    #[test]
    fn the_caches_are_bounded_and_keys_that_somebody_makes_up_evict_no_product() {
        let State { shop, mut cache, mut absent, .. } = state();
        let ops =
            |sku: fn(usize) -> String| (1..=500).map(|i| Op::Find(sku(i))).collect::<Vec<_>>();
        optimized(&shop, &mut cache, &mut absent, &ops(|i| format!("SKU-{i:06}"))).unwrap();
        optimized(&shop, &mut cache, &mut absent, &ops(unsold)).unwrap();
        assert_eq!((cache.len(), absent.len()), (CAPACITY.get(), CAPACITY.get()));
        assert!(cache.contains("SKU-000500") && absent.contains(&unsold(500)));
    }

    #[test]
    fn a_lookup_that_fails_leaves_nothing_behind_and_a_failed_insert_no_row() {
        let State { shop, mut cache, mut absent, .. } = state();
        let sku = "SKU-000007".to_owned();
        shop.execute_batch("ALTER TABLE products RENAME TO away").unwrap();
        optimized(&shop, &mut cache, &mut absent, &[Op::Find(sku.clone())]).unwrap_err();
        assert!(cache.is_empty() && absent.is_empty(), "an error is no absence");
        shop.execute_batch("ALTER TABLE away RENAME TO products").unwrap();
        let gone = [Op::Find(unsold(1)), Op::Add(sku), Op::Find(unsold(1))];
        optimized(&shop, &mut cache, &mut absent, &gone).unwrap_err();
        assert_eq!(absent.len(), 1, "the SKU is taken, and nothing else has changed");
    }

    #[test]
    fn every_iteration_starts_from_the_same_state() {
        let mut state = state();
        let ops = stream(&Case::realistic(50, 0, 42));
        let mut run = || {
            state.reset();
            let State { shop, cache, absent, .. } = &mut state;
            optimized(shop, cache, absent, &ops).unwrap()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn trap_a_lookup_searches_an_index_on_both_sides() {
        let plan = "SEARCH products USING INDEX sqlite_autoindex_products_1 (sku=?)";
        assert_eq!(query_plan(&state().shop, SELECT), plan);
    }
}
