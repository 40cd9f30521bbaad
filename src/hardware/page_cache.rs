//! Look rows up in a SQLite file: with a page cache that holds the working set, not one that is too small for it.

use std::{collections::HashSet, fs::File, rc::Rc};

use rusqlite::Connection;
use rustix::fs::{Advice, fadvise};

use crate::fixtures::{
    device_reads,
    shop::{ShopFile, Size, number},
};
use worthit_pair::prelude::*;

/// Rows of the table that is timed.
const PRODUCTS: u64 = 20_000;
/// Rows in a proof: enough for a hundred pages, so that each percentage of them is a whole number.
const PRODUCTS_IN_PROOFS: u64 = 2_000;
/// Look-ups in one iteration.
const LOOKUPS: u64 = 100;
/// Inputs in the rotation.
const TURNS: u64 = 64;
/// Pages that a cache has room for beside those of the table: the schema, and what SQLite reads at a start.
const OTHER_PAGES: u64 = 8;
/// Bytes of a page.
const PAGE: u64 = 4_096;

/// Level at which the cache of the operating system has the whole file.
const WARM: u64 = 0;
/// Level at which it has nothing of the file when an iteration begins.
const COLD: u64 = 1;

const LOOKUP: &str = "SELECT name, price_cents FROM products WHERE id = ?1";

pub const PAIR: Pair = Pair {
    title: "Give the database a cache that holds the working set",
    review: Review {
        smell: "A SQLite file of some megabytes or more, opened without `PRAGMA cache_size`: the default of 2 MB holds \
                part of what is asked for again and again. Or a machine whose memory is smaller than what its database \
                reads in an hour.",
        remedy: "`PRAGMA cache_size = -200000` for each connection: more than the pages that queries come back to. \
                 (A negative number is in KiB.) Where the machine lacks the memory for it, more memory.",
        keep_naive_when: "The operating system has the file in its own cache, and that holds what the small one misses: \
                          then a miss costs a system call and a copy. Or nothing is read again. Or there are many \
                          connections, each of which would hold the same pages once more; `PRAGMA mmap_size` then lets \
                          them share those of the operating system.",
        costs: "Memory, for each connection. It is lost to the cache of the operating system, which would hold other \
                files with it. A cache starts empty after each start, and as soon as another connection has written, \
                SQLite drops the pages that it holds.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a page cache for the stated share",
        growth: Growth::Other("falls as fewer pages are missing"),
    },
    optimized: Side { summary: "a page cache for all pages", growth: Growth::Constant },
    input: "Look-ups of random products by primary key, in a SQLite table of 20,000, all equally likely: the working set \
            is the table. The stated percentage of its pages fits the small cache, which is full. The file is in WAL \
            mode and nobody writes. Warm, the operating system has all of it. Cold, it has been told to drop the file \
            before each iteration, off the clock, so that a page is read from the device; what the device or the host \
            of a virtual machine still have, only they know.",
    axis: Axis {
        name: "share that fits",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[5, 25, 50, 90, 100], deep: &[] },
    },
    parameter: Some(Parameter {
        name: "operating system's cache",
        levels: Levels::Fixed(&[
            Level { label: "warm", value: WARM, origin: Origin::Measured },
            Level { label: "cold", value: COLD, origin: Origin::Measured },
        ]),
    }),
    unit: "look-up",
    headline: Headline::At { level: "cold", point: 50 },
    causes: &[Claim {
        cause: causes::READ_CALLS,
        // A random row is on a page that the cache has with the probability of its share.
        naive: Count::AtLeast(|case| LOOKUPS * (100 - case.point) / 100 * 8 / 10),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "Each look-up descends to one page of rows, and if the cache of the connection lacks it, SQLite reads it from \
              the file. Where the operating system has the page, that is a system call and a copy, about as much as the \
              rest of a look-up. Where it does not, the thread waits for the device. A cache that holds all pages reads \
              none, whatever is behind it. The share that fits is the share of look-ups that hit, as all products are \
              equally likely; where some are wanted far more often, a small cache hits more.",
        share_of_cause: ShareOfCause::NoRatio("a cache that holds all pages reads none"),
        far_end: FarEnd::Falls("the small cache, which then holds all pages, too"),
        keep_naive: KeepNaive::From(100),
    },
    traps: &[
        &Trap {
            name: "another cache than the level's answers",
            reason: "if the operating system had the pages, a cold read would be a copy; and a warm one must not wait",
            check: |inputs: &[Input]| {
                let (look_up, bytes) = device_reads::during(|| {
                    inputs.iter().try_for_each(|input| {
                        input.shops.cool();
                        naive(input).map(drop)
                    })
                })?;
                look_up.map_err(|error| format!("cannot look up: {error}"))?;
                let look_ups: usize = inputs.iter().map(|input| input.ids.len()).sum();
                let missing = look_ups as u64 * (100 - fits(&inputs[0])) / 100 * PAGE;
                let is_cold = inputs[0].shops.level == COLD;
                let holds = if is_cold { bytes >= missing / 2 } else { bytes == 0 };
                ensure(holds, || {
                    format!("{bytes} bytes came from the device, and the cache lacks {missing}")
                })
            },
            sprung: || {
                // The file was just written, so the operating system has it, and nothing makes it drop it.
                let mut shops = Shops::new(&Case::realistic(50, WARM, 1), 1_000)
                    .unwrap_or_else(|Unavailable(why)| panic!("{why}"));
                shops.level = COLD;
                let shops = Rc::new(shops);
                vec![Input { ids: (1..1_000).step_by(7).collect(), shops }]
            },
        },
        &Trap {
            name: "the same few products",
            reason: "their pages would fit the small cache, too",
            check: |inputs: &[Input]| {
                let ids: HashSet<&i64> = inputs.iter().flat_map(|input| &input.ids).collect();
                ensure(ids.len() as u64 * 5 >= inputs[0].shops.products, || {
                    format!("{} of {} products", ids.len(), inputs[0].shops.products)
                })
            },
            sprung: || {
                let shops = Shops::new(&Case::realistic(50, WARM, 1), 1_000)
                    .unwrap_or_else(|Unavailable(why)| panic!("{why}"));
                vec![Input { ids: vec![7; 100], shops: Rc::new(shops) }]
            },
        },
    ],
    limit: Limit::Work(&[Work::FileStatements(|_| LOOKUPS)]),
    proof: Proof { resources: Resources::System, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// A shop with two connections, which differ in nothing but the size of their page cache.
struct Shops {
    /// Its cache has room for a share of the table.
    small: Connection,
    /// Its cache has room for all of it.
    large: Connection,
    /// The file, to have its pages dropped before an iteration.
    file: Option<File>,
    level: u64,
    products: u64,
    /// Pages of the table.
    pages: u64,
    _folder: ShopFile,
}

impl Shops {
    fn new(case: &Case, products: u64) -> Result<Shops, Unavailable> {
        let folder = if case.level == COLD { paths::durable_scratch()? } else { paths::scratch()? };
        let size = Size { products, ..Size::default() };
        let shop = ShopFile::new(folder, case, size, "")?;
        let (small, large) = (shop.open()?, shop.open()?);
        let pages = number(&small, "SELECT count(*) FROM dbstat WHERE name = 'products'", ());
        let fitting = (pages * case.point + 50) / 100;
        for (connection, fitting) in [(&small, fitting), (&large, pages)] {
            let cache_size = format!("PRAGMA cache_size = {}", fitting + OTHER_PAGES);
            connection.execute_batch(&cache_size).expect("it is a size");
            // So that no read of a page for the first time is timed, and the small cache is full.
            number(connection, "SELECT sum(price_cents) FROM products", ());
        }
        let path = small.path().expect("it is in a file").to_owned();
        let file = File::open(&path).and_then(|file| file.sync_all().map(|()| file));
        let file = file.map_err(|error| Unavailable(format!("cannot flush {path}: {error}")))?;
        let file = (case.level == COLD).then_some(file);
        Ok(Shops { small, large, file, level: case.level, products, pages, _folder: shop })
    }

    /// Has the operating system drop its pages of the file, if that is the level.
    fn cool(&self) {
        if let Some(file) = &self.file {
            fadvise(file, 0, None, Advice::DontNeed).expect("it is a file on a disk");
        }
    }
}

struct Input {
    /// The same ones in each input of the rotation.
    shops: Rc<Shops>,
    /// The products to look up.
    ids: Vec<i64>,
}

/// Name and price of a product.
type Product = (String, i64);

/// The products, over the connection with the small cache.
fn naive(input: &Input) -> rusqlite::Result<Vec<Product>> {
    look_up(&input.shops.small, &input.ids)
}

/// The products, over the connection with the large cache.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Product>> {
    look_up(&input.shops.large, &input.ids)
}

/// The same code for both sides; their connections differ in `PRAGMA cache_size`.
fn look_up(shop: &Connection, ids: &[i64]) -> rusqlite::Result<Vec<Product>> {
    let mut query = shop.prepare_cached(LOOKUP)?;
    let product = |id: &i64| query.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)));
    ids.iter().map(product).collect()
}

/// Percentage of the table's pages that the small cache has room for.
fn fits(input: &Input) -> u64 {
    let size = number(&input.shops.small, "PRAGMA cache_size", ());
    ((size - OTHER_PAGES) * 100 + input.shops.pages / 2) / input.shops.pages
}

fn input(case: &Case, shops: &Rc<Shops>) -> Input {
    let values = case.values(case.items(LOOKUPS)).into_iter();
    let ids = values.map(|value| (value % shops.products) as i64 + 1).collect();
    Input { shops: Rc::clone(shops), ids }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let products = if case.proof_size.is_some() { PRODUCTS_IN_PROOFS } else { PRODUCTS };
    let shops = Rc::new(Shops::new(case, products)?);
    let inputs = case.rotate(TURNS, |case| input(case, &shops));
    let over = |side: fn(&Input) -> rusqlite::Result<Vec<Product>>| {
        let cool = |shops: &mut Rc<Shops>| shops.cool();
        resetting(&inputs, Rc::clone(&shops), cool, move |_, i| side(i).expect("the shop answers"))
    };
    Ok(Trial::new(inputs.measured(fits), over(naive), over(optimized))
        .units(inputs[0].ids.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name, price_cents);
             INSERT INTO products VALUES (1, 'lamp', 1999), (2, 'rug', 4900)",
        )
        .unwrap();
        let found = look_up(&shop, &[2, 1, 2]).unwrap();
        let expected = [("rug", 4_900), ("lamp", 1_999), ("rug", 4_900)];
        assert_eq!(found, expected.map(|(name, price)| (name.to_owned(), price)));
        assert!(look_up(&shop, &[]).unwrap().is_empty());
        assert_eq!(look_up(&shop, &[3]), Err(rusqlite::Error::QueryReturnedNoRows));
        for level in [WARM, COLD] {
            let shops = Rc::new(Shops::new(&Case::realistic(25, level, 1), 500).unwrap());
            let input = Input { shops, ids: vec![500, 1, 77] };
            input.shops.cool();
            let names: Vec<String> =
                naive(&input).unwrap().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["Product 500", "Product 1", "Product 77"]);
            assert_eq!(naive(&input), optimized(&input));
        }
    }

    #[test]
    fn trap_only_the_size_of_the_cache_differs() {
        let shops = Shops::new(&Case::realistic(25, COLD, 1), 2_000).unwrap();
        for (pragma, expected) in
            [("page_size", "4096"), ("journal_mode", "wal"), ("mmap_size", "0")]
        {
            for connection in [&shops.small, &shops.large] {
                let value: rusqlite::types::Value = connection
                    .query_row(&format!("PRAGMA {pragma}"), (), |row| row.get(0))
                    .unwrap();
                let text = match value {
                    rusqlite::types::Value::Text(text) => text,
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    other => panic!("{pragma} is {other:?}"),
                };
                assert_eq!(text, expected, "{pragma}");
            }
        }
        let sizes = [&shops.small, &shops.large].map(|c| number(c, "PRAGMA cache_size", ()));
        assert_eq!(sizes, [shops.pages / 4 + OTHER_PAGES, shops.pages + OTHER_PAGES]);
        assert!(shops.pages >= 100, "{} pages", shops.pages);
    }
}
