//! Fetch rows by a list of keys: with one statement, not with one for each key.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use rand::seq::SliceRandom;
use rusqlite::{Connection, ToSql};

use crate::fixtures::{
    shop::{ShopFile, Size},
    sql_server::{Columns, DISTANCES, Database, RemoteDatabase, delay, is_remote},
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Products in the shop.
const PRODUCTS: u64 = 10_000;
const BY_KEY: &str = "SELECT id, name, price_cents, stock FROM products WHERE id = ?1";
const BY_KEYS: &str = "SELECT id, name, price_cents, stock FROM products
     WHERE id IN (SELECT value FROM json_each(?1))";

pub const PAIR: Pair = Pair {
    title: "Fetch a list of keys with one statement",
    review: Review {
        smell: "`SELECT … WHERE id = ?1` in a loop over ids that are all known beforehand: from a search engine, a \
                cart, a cache, another service.",
        remedy: "One statement that takes the whole list as one parameter: `WHERE id IN (SELECT value FROM \
                 json_each(?1))`. Collect its rows into a `HashMap` by id, then look up each key in the order of the \
                 list.",
        keep_naive_when: "There is one key, or a key is only known once the row of the last one has been read. Or the \
                          database is in process, as SQLite is, and the loop can run inside one read transaction: that \
                          is as good, needs no map, and may be the clearer code.",
        costs: "The statement returns each row once and in an order of its own, so rows are put back in the order of \
                the list, and keys that are missing or repeated need care. Each database takes a list in its own way: \
                PostgreSQL as `= ANY($1)`, SQLite as JSON or, in process, as rusqlite's `rarray`. Many write a \
                placeholder for each key instead: that is a text for each length of the list, which fills the cache of \
                prepared statements, and SQLite accepts at most 32,766 of them.",
        lint: Lint::None,
    },
    naive: Side { summary: "a statement for each key", growth: Growth::Linear },
    optimized: Side { summary: "one statement over the list of keys", growth: Growth::Linear },
    input: "Lists of distinct product ids in a SQLite shop with 10,000 products, as a search or a cart makes them: the \
            popular products are on more lists (Zipf's law with the exponent 0.75), and lie anywhere in the table. \
            All of them exist. Both sides find rows by the primary key. A closed loop of one client: it asks again \
            once it has the answer.",
    axis: Axis {
        name: "keys",
        unit: "keys",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64, 256], deep: &[] },
    },
    parameter: Some(Parameter { name: "round-trip time", levels: Levels::Fixed(&DISTANCES) }),
    unit: "key",
    headline: Headline::At { level: "loopback", point: 64 },
    alternatives: &[
        SideBeside {
            name: "one_transaction",
            summary: "a statement for each key, all in one read transaction",
        },
        SideBeside {
            name: "placeholders",
            summary: "one statement with a placeholder for each key",
        },
    ],
    causes: &[
        Claim {
            cause: causes::STATEMENTS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|_| 1),
        },
        Claim {
            cause: causes::ROUND_TRIPS,
            naive: Count::Exactly(|case| if is_remote(case.level) { case.point } else { 0 }),
            optimized: Count::Exactly(|case| u64::from(is_remote(case.level))),
        },
    ],
    explanation: Explanation {
        why: "n statements became one. Across a network each is a round trip, which outweighs all else, and their ratio \
              is the gain. Over loopback a round trip costs more than a row, but searching the table for each key and \
              copying its columns remain and bound the gain. In process there is no round trip. There each statement \
              outside a transaction takes a lock on the file and gives it back, which are system calls, and this is \
              all that the list saves: the alternative that runs the loop in one read transaction gains as much. The \
              list costs something of its own: SQLite parses it and copies it into a sorted table, and the rows go \
              through a map. For a single key that is more than it saves.",
        share_of_cause: ShareOfCause::Within(0.05, 0.7),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "keys without a row",
            reason: "a search for nothing copies no columns, which both sides would otherwise do alike",
            check: |inputs: &[Input]| {
                let found = |input: &Input| optimized(&input.shop.connection, &input.ids).len();
                let missing = inputs.iter().find(|input| found(input) < input.ids.len());
                ensure(missing.is_none(), || "a key has no row".to_owned())
            },
            sprung: || vec![Input { ids: vec![1, -1], ..small_input() }],
        },
        &Trap {
            name: "the same products again and again",
            reason: "their pages would stay in the caches of SQLite and of the processor",
            check: |inputs: &[Input]| {
                let distinct: HashSet<i64> = inputs.iter().flat_map(|i| &i.ids).copied().collect();
                ensure(distinct.len() >= 200, || format!("{} products", distinct.len()))
            },
            sprung: || {
                let Input { shop, ids } = small_input();
                (0..256).map(|_| Input { shop: Rc::clone(&shop), ids: ids.clone() }).collect()
            },
        },
    ],
    limit: Limit::Work(&[
        Work::FileStatements(|_| 1),
        Work::RowsReturned(|case| case.point.saturating_sub(1)),
        Work::RoundTrips(|case| u64::from(is_remote(case.level))),
        Work::Waiting(|case| delay(case.level).map_or(0, |delay| delay.as_nanos() as u64)),
    ]),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

/// Lists in the rotation.
fn turns(keys: u64) -> u64 {
    (2_048 / keys.max(1)).clamp(16, 256)
}

struct Shop {
    /// A connection beside that of the sides.
    connection: Connection,
    file: ShopFile,
}

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// The products to fetch.
    ids: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Product {
    id: i64,
    name: String,
    price_cents: i64,
    stock: i64,
}

impl Found for Product {
    fn found(&self) -> u64 {
        1
    }
}

/// The products with these ids, in their order; ids without a product are left out.
fn naive<D: Database>(shop: &D, ids: &[i64]) -> Vec<Product> {
    let mut products = Vec::with_capacity(ids.len());
    for id in ids {
        shop.query(BY_KEY, &[id], |row| products.push(product(row)));
    }
    products
}

/// The products with these ids, in their order; ids without a product are left out.
fn optimized<D: Database>(shop: &D, ids: &[i64]) -> Vec<Product> {
    let list = serde_json::to_string(ids).expect("integers are JSON");
    in_order(shop, BY_KEYS, &[&list], ids)
}

/// The products that a statement over all ids finds, in the order of the ids.
fn in_order<D: Database>(shop: &D, sql: &str, params: &[&dyn ToSql], ids: &[i64]) -> Vec<Product> {
    let mut by_id = HashMap::with_capacity(ids.len());
    shop.query(sql, params, |row| {
        let product = product(row);
        by_id.insert(product.id, product);
    });
    ids.iter().filter_map(|id| by_id.get(id).cloned()).collect()
}

/// The naive side, which locks the file once.
fn one_transaction<D: Database>(shop: &D, ids: &[i64]) -> Vec<Product> {
    shop.query("BEGIN", &[], |_| ());
    let products = naive(shop, ids);
    shop.query("COMMIT", &[], |_| ());
    products
}

/// The optimized side, with a parameter for each key.
fn placeholders<D: Database>(shop: &D, ids: &[i64]) -> Vec<Product> {
    let params: Vec<&dyn ToSql> = ids.iter().map(|id| id as &dyn ToSql).collect();
    in_order(shop, &by_placeholders(ids.len()), &params, ids)
}

/// The statement with this many placeholders.
fn by_placeholders(count: usize) -> String {
    let marks = vec!["?"; count].join(", ");
    format!("SELECT id, name, price_cents, stock FROM products WHERE id IN ({marks})")
}

fn product(row: &dyn Columns) -> Product {
    Product {
        id: row.int(0),
        name: row.text(1).to_owned(),
        price_cents: row.int(2),
        stock: row.int(3),
    }
}

fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let size = Size { products: case.items(PRODUCTS) as u64, ..Size::default() };
    let file = ShopFile::new(paths::scratch()?, case, size, "")?;
    Ok(Rc::new(Shop { connection: file.open()?, file }))
}

/// Draws products by their popularity, each at most once in a list.
struct Popularity {
    /// The ids of the products, the most popular first.
    by_rank: Vec<i64>,
    zipf: Zipf,
}

impl Popularity {
    fn new(case: &Case) -> Popularity {
        let mut by_rank: Vec<i64> = (1..=case.items(PRODUCTS).max(1) as i64).collect();
        by_rank.shuffle(&mut case.rng("popularity"));
        Popularity { zipf: Zipf::new(by_rank.len(), 3), by_rank }
    }

    fn ids(&self, case: &Case) -> Vec<i64> {
        let count = case.point as usize;
        let products = self.by_rank.len() as u64;
        match case.shape {
            Shape::Realistic if count <= self.by_rank.len() => {
                let (mut rng, mut seen) = (case.rng("list"), HashSet::new());
                let draws = std::iter::repeat_with(|| self.by_rank[self.zipf.sample(&mut rng)]);
                draws.filter(|id| seen.insert(*id)).take(count).collect()
            }
            Shape::Adversarial => case.values(count).into_iter().map(|v| v as i64).collect(),
            // Some repeat, and some have no product.
            _ => case.values(count).into_iter().map(|v| (v % (products + 2)) as i64).collect(),
        }
    }
}

/// A list of some products in a small shop.
fn small_input() -> Input {
    let case = Case { proof_size: Some(100), ..Case::realistic(50, 0, 1) };
    let shop = shop(&case).expect("a shop of a hundred products");
    Input { shop, ids: Popularity::new(&case).ids(&case) }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let popularity = Popularity::new(case);
    let list = |case: &Case| Input { shop: Rc::clone(&shop), ids: popularity.ids(case) };
    let inputs = case.rotate(turns(case.point), list);
    let database = shop.file.open()?;
    Ok(match delay(case.level) {
        None => trial(database, &inputs),
        Some(delay) => trial(RemoteDatabase::serve(database, delay)?, &inputs),
    })
}

fn trial<D: Database + 'static>(database: D, inputs: &Inputs<Input>) -> Trial {
    let database = Rc::new(database);
    let over = |side: fn(&D, &[i64]) -> Vec<Product>| {
        let database = Rc::clone(&database);
        by_ref(inputs, move |input: &Input| side(&database, &input.ids))
    };
    let measured = inputs.measured(|input| input.ids.len() as u64);
    Trial::new(measured, over(naive), over(optimized))
        .alternative(over(one_transaction))
        .alternative(over(placeholders))
        .units(inputs[0].ids.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name, price_cents, stock);
             INSERT INTO products VALUES (1, 'it''s', 100, 5), (2, '§7', 200, 0), (9, '', 0, -1)",
        )
        .unwrap();
        for side in [naive, optimized, one_transaction, placeholders] {
            let ids = |list: &[i64]| -> Vec<i64> {
                side(&shop, list).iter().map(|product| product.id).collect()
            };
            assert_eq!(ids(&[9, 1, 3, 9, 2, -1]), [9, 1, 9, 2]);
            assert_eq!(ids(&[]), [0; 0]);
            let product = Product { id: 2, name: "§7".to_owned(), price_cents: 200, stock: 0 };
            assert_eq!(side(&shop, &[i64::MIN, 2, i64::MAX]), [product]);
            assert!(shop.is_autocommit());
        }
    }

    /// If either side read the whole table, it would be another pair.
    #[test]
    fn trap_both_sides_search_by_the_primary_key() {
        let shop = shop(&Case::realistic(64, 0, 42)).unwrap();
        let search = "SEARCH products USING INTEGER PRIMARY KEY (rowid=?)";
        assert_eq!(query_plan(&shop.connection, BY_KEY), search);
        assert_eq!(query_plan(&shop.connection, &by_placeholders(64)), search);
        let plan = query_plan(&shop.connection, BY_KEYS);
        assert!(plan.starts_with(search) && plan.contains("SCAN json_each"), "{plan}");
        assert!(!plan.contains("SCAN products"), "{plan}");
    }
}
