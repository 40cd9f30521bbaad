//! Insert rows with keys made by the program: keys that begin with the time, not random ones.

use rand::RngExt;
use rusqlite::{Connection, Row};
use uuid::{Builder, Uuid};

use crate::fixtures::{
    shop::{self, ShopFile, Size},
    sqlite,
};
use worthit_pair::prelude::*;

/// Rows that one iteration adds.
const ROWS: u64 = 500;
/// Rows of each commit.
const ROWS_OF_COMMIT: usize = 20;
const CUSTOMERS: u32 = 5_000;
/// SQLite keeps such a table in the order of its rows' numbers, and an index of the keys beside it.
const TABLE: &str = "
    CREATE TABLE web_orders (
        id          BLOB PRIMARY KEY NOT NULL,
        customer_id INTEGER NOT NULL,
        placed_at   INTEGER NOT NULL,
        note        TEXT NOT NULL
    )";
const INSERT: &str =
    "INSERT INTO web_orders (id, customer_id, placed_at, note) VALUES (?1, ?2, ?3, ?4)";
const BY_KEY: &str = "SELECT customer_id, placed_at, note FROM web_orders WHERE id = ?1";

pub const PAIR: Pair = Pair {
    title: "Give rows keys that begin with the time",
    review: Review {
        smell: "A version 4 UUID, or another random value, as the primary key or in a unique index of a table that grows \
                large.",
        remedy: "Version 7 UUIDs, which begin with the milliseconds since 1970: \
                 `Builder::from_unix_timestamp_millis(millis, &random)` of the crate uuid. Its feature v7 takes time and \
                 random bits from the system. ULIDs have the same order. Keys of both versions fit the same column, so \
                 old rows can stay.",
        keep_naive_when: "The index is small and stays in the cache. Or the key is seen by people who must not learn when \
                          a row was made, or it is a secret: a session token stays random. Or many writers append to one \
                          tree of a server at once: they meet at its last page, and random keys spread them.",
        costs: "Whoever sees a key knows to the millisecond when its row was made, and with two keys, which came first. \
                Clocks of several machines differ, so the order is not exactly that of the rows. Where the key is spread \
                over shards by its range, all new rows go to one shard.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "random keys (UUID version 4)",
        growth: Growth::Other(
            "with the pages of the index, until each row of a commit changes one of its own",
        ),
    },
    optimized: Side {
        summary: "keys in the order of time (UUID version 7)",
        growth: Growth::Constant,
    },
    input: "Five hundred orders added to a SQLite table by 25 commits of 20 rows, some milliseconds apart, to the \
            write-ahead log, with a checkpoint at the end. SQLite makes one by itself after a thousand pages. The \
            checkpoint flushes and the commits do not (`synchronous = NORMAL`). The rows before have keys of the same \
            kind, in the order of arrival. From 100,000 rows on, the index of the keys outgrows SQLite's page cache of \
            2 MB.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[100, 1_000, 10_000, 100_000], deep: &[1_000_000] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 100_000 },
    causes: &[Claim {
        cause: causes::BYTES_WRITTEN,
        // A commit of twenty rows changes at most twenty pages of the index.
        naive: Count::AtLeast(|case| match case.point {
            10_000.. => 2_000_000,
            1_000.. => 1_200_000,
            _ => 700_000,
        }),
        optimized: Count::AtMost(|_| 800_000),
    }],
    explanation: Explanation {
        why: "The index of the keys is in the order of the keys. A random key belongs to a page anywhere in it, so each \
              row of a commit changes a page of its own, and the commit writes all of them, whole, into the log. The \
              checkpoint copies each of them to its place in the file. Keys in the order of time go to the last page, \
              so a commit writes that one and the last of the table. Once the index outgrows the page cache, the page \
              of a random key must also be read first. The rows themselves are appended on both sides, and each \
              checkpoint flushes the log and the database, which the ratio of bytes does not show.",
        share_of_cause: ShareOfCause::Within(0.3, 1.25),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "the random keys ascend",
            reason: "the naive side would append, too",
            check: |inputs: &[Batch]| {
                let keys = inputs.iter().flat_map(|input| &input.orders).map(|order| order.random);
                let keys: Vec<[u8; 16]> = keys.collect();
                let ascending = keys.windows(2).filter(|two| two[0] < two[1]).count();
                ensure(3 * ascending < 2 * keys.len(), || {
                    format!("{ascending} of {} keys come after the one before", keys.len())
                })
            },
            sprung: || {
                let order = |nth: u128| Order { random: nth.to_be_bytes(), ..Order::default() };
                vec![Batch { rows_before: 1, orders: (0..1_000).map(order).collect() }]
            },
        },
        &Trap {
            name: "the clock goes back",
            reason: "a key in the order of time would not go to the end",
            check: |inputs: &[Batch]| {
                let orders = inputs.iter().map(|input| &input.orders);
                let goes_back = orders.filter(|orders| !orders.is_sorted_by_key(|o| o.placed_at));
                let goes_back = goes_back.count();
                ensure(goes_back == 0, || format!("it does in {goes_back} batches"))
            },
            sprung: || {
                let order = |placed_at| Order { placed_at, ..Order::default() };
                vec![Batch { rows_before: 1, orders: (0..1_000).rev().map(order).collect() }]
            },
        },
    ],
    // A commit writes a page of the table and one of the index. A checkpoint flushes the log, and then the database.
    limit: Limit::Work(&[
        Work::Statements(|_| ROWS),
        Work::BytesWritten(|_| ROWS / ROWS_OF_COMMIT as u64 * 2 * 4_096),
        Work::OverwritingFsyncs(|_| 2),
    ]),
    proof: Proof { resources: Resources::System, max_size: 30 },
    prepare,
    ..Pair::DEFAULTS
};

/// Batches in the rotation.
const TURNS: u64 = 16;

/// Orders to add.
struct Batch {
    /// Number of rows that the table has before.
    rows_before: u64,
    orders: Vec<Order>,
}

/// An order before it has a key.
#[derive(Clone, Debug, Default, PartialEq)]
struct Order {
    customer_id: i64,
    /// Milliseconds since 1970.
    placed_at: u64,
    note: String,
    /// What the system's generator of random numbers would give for its key.
    random: [u8; 16],
}

/// A side.
type Add = fn(&mut Connection, &[Order]) -> rusqlite::Result<()>;

/// Adds the orders under random keys.
fn naive(shop: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    add(shop, orders, |order| Builder::from_random_bytes(order.random).into_uuid())
}

/// Adds the orders under keys that begin with their time.
fn optimized(shop: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    add(shop, orders, |order| {
        let (random, _) = order.random.split_first_chunk().expect("it has 16 bytes");
        Builder::from_unix_timestamp_millis(order.placed_at, random).into_uuid()
    })
}

/// Adds the orders in commits of [`ROWS_OF_COMMIT`], and makes a checkpoint.
fn add(
    shop: &mut Connection,
    orders: &[Order],
    key: impl Fn(&Order) -> Uuid,
) -> rusqlite::Result<()> {
    for of_commit in orders.chunks(ROWS_OF_COMMIT) {
        let transaction = shop.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for order in of_commit {
                let (id, placed_at) = (key(order), order.placed_at as i64);
                insert.execute((id.as_bytes(), order.customer_id, placed_at, &order.note))?;
            }
        }
        transaction.commit()?;
    }
    shop.query_row("PRAGMA wal_checkpoint", (), |_| Ok(()))
}

/// What is stored of an order beside its key, which is another one on each side.
#[derive(Debug, PartialEq)]
struct Stored {
    customer_id: i64,
    placed_at: i64,
    note: String,
}

impl Found for Stored {
    fn found(&self) -> u64 {
        1
    }
}

/// The orders after the first `rows` rows, in the order of arrival, each found by its key.
fn stored_after(shop: &Connection, rows: i64) -> rusqlite::Result<Vec<Stored>> {
    let mut keys =
        shop.prepare_cached("SELECT id FROM web_orders WHERE rowid > ?1 ORDER BY rowid")?;
    let keys = keys.query_map([rows], |row| row.get::<_, [u8; 16]>(0))?;
    let mut by_key = shop.prepare_cached(BY_KEY)?;
    keys.map(|key| by_key.query_row([key?], stored)).collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored { customer_id: row.get(0)?, placed_at: row.get(1)?, note: row.get(2)? })
}

struct State {
    shop: Connection,
    /// Number of rows before each batch.
    rows: i64,
    _file: ShopFile,
}

impl State {
    /// A shop with the orders that came before, added by a side.
    fn new(case: &Case, add: Add) -> Result<State, Unavailable> {
        let file = ShopFile::new(paths::scratch()?, case, Size::default(), TABLE)?;
        let mut shop = file.open()?;
        // Large enough for the table, and without flushes.
        shop.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -64000")
            .expect("SQLite knows it");
        add(&mut shop, &orders(case, "orders before", case.point as usize)).expect("they are new");
        drop(shop);
        let shop = file.open()?;
        let rows = shop::number(&shop, "SELECT count(*) FROM web_orders", ()) as i64;
        Ok(State { shop, rows, _file: file })
    }

    /// Deletes the batch.
    fn reset(&mut self) {
        let deleted = self.shop.execute("DELETE FROM web_orders WHERE rowid > ?1", [self.rows]);
        deleted.and_then(|_| sqlite::restart_log(&self.shop)).expect("the batch can be deleted");
    }
}

/// Orders that come some milliseconds apart, after those of the turns before.
fn orders(case: &Case, purpose: &str, count: usize) -> Vec<Order> {
    let mut rng = case.rng(purpose);
    let mut note = String::new();
    let begin = if purpose == "orders" { case.point * 40 + 1_000_000 * case.turn } else { 0 };
    let mut placed_at = shop::OPENED_AT as u64 * 1_000 + begin;
    let order = |value: u64| {
        placed_at += rng.random_range(0..40);
        shop::words(&mut rng, 5..25, &mut note);
        let (note, random) = (note.clone(), rng.random());
        let customer_id = i64::from(rng.random_range(1..=CUSTOMERS));
        match case.shape {
            Shape::Realistic => Order { customer_id, placed_at, note, random },
            // Clocks that stand still, go back or are broken; the time in a key has 48 bits.
            _ => Order { customer_id: value as i64, placed_at: value >> 1, note, random },
        }
    };
    case.values(count).into_iter().map(order).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let new = case.items(ROWS);
    let batches = case.rotate(TURNS, |case| Batch {
        rows_before: case.point,
        orders: orders(case, "orders", new),
    });
    let over = |side: Add| {
        let state = State::new(case, side)?;
        let add = move |state: &mut State, batch: &Batch| {
            side(&mut state.shop, &batch.orders).expect("the shop takes orders");
        };
        let summary = |state: &mut State| {
            stored_after(&state.shop, state.rows).expect("the shop is readable")
        };
        Ok(changing(&batches, state, State::reset, add, summary))
    };
    let (naive, optimized) = (over(naive)?, over(optimized)?);
    let trial = Trial::new(batches.measured(|batch| batch.rows_before), naive, optimized);
    Ok(trial.units(new as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    const SIDES: [Add; 2] = [naive, optimized];

    fn order(placed_at: u64, first_byte: u8) -> Order {
        let random = [first_byte; 16];
        Order { customer_id: 7, placed_at, note: "it's §7".to_owned(), random }
    }

    #[test]
    fn known_answers() {
        let orders = [order(0x0102_0304_0506, 0xff), order(0x0102_0304_0507, 0x00)];
        let random = ["FFFFFFFFFFFF4FFFBFFFFFFFFFFFFFFF", "00000000000040008000000000000000"];
        let timed = ["0102030405067FFFBFFFFFFFFFFFFFFF", "01020304050770008000000000000000"];
        for (side, keys) in SIDES.into_iter().zip([random, timed]) {
            let mut shop = Connection::open_in_memory().unwrap();
            shop.execute_batch(TABLE).unwrap();
            side(&mut shop, &[]).unwrap();
            side(&mut shop, &orders).unwrap();
            let mut query = shop.prepare("SELECT hex(id) FROM web_orders ORDER BY rowid").unwrap();
            let found = query.query_map((), |row| row.get::<_, String>(0)).unwrap();
            assert_eq!(found.collect::<rusqlite::Result<Vec<_>>>().unwrap(), keys);
            let stored =
                |placed_at| Stored { customer_id: 7, placed_at, note: "it's §7".to_owned() };
            let expected = [stored(0x0102_0304_0506), stored(0x0102_0304_0507)];
            assert_eq!(stored_after(&shop, 0).unwrap(), expected);
            assert_eq!(stored_after(&shop, 1).unwrap(), expected[1..]);
        }
    }

    #[test]
    fn trap_a_row_is_found_by_its_key_through_the_index() {
        for point in [100, 100_000] {
            for side in SIDES {
                let State { shop, _file, .. } =
                    State::new(&Case::realistic(point, 0, 42), side).unwrap();
                let search = "SEARCH web_orders USING INDEX sqlite_autoindex_web_orders_1 (id=?)";
                assert_eq!(query_plan(&shop, BY_KEY), search);
            }
        }
    }

    #[test]
    fn trap_the_index_outgrows_the_page_cache_at_the_far_end() {
        let State { shop, _file, .. } =
            State::new(&Case::realistic(100_000, 0, 42), optimized).unwrap();
        // An entry has 16 bytes of key, 3 that describe it, and 3 for the number of its row. The cache is -2,000 KiB.
        let entries = shop::number(&shop, "SELECT 22 * count(*) FROM web_orders", ());
        assert!(
            entries > 1_024 * shop::number(&shop, "SELECT -cache_size FROM pragma_cache_size", ())
        );
    }

    #[test]
    fn trap_every_batch_finds_the_same_rows() {
        let case = Case::realistic(1_000, 0, 42);
        for side in SIDES {
            let mut state = State::new(&case, side).unwrap();
            let batch = orders(&case, "orders", ROWS as usize);
            let before = stored_after(&state.shop, 0).unwrap();
            for _ in 0..3 {
                state.reset();
                assert_eq!(stored_after(&state.shop, 0).unwrap(), before);
                side(&mut state.shop, &batch).unwrap();
                assert_eq!(stored_after(&state.shop, state.rows).unwrap().len(), batch.len());
                let check = "SELECT integrity_check FROM pragma_integrity_check";
                assert_eq!(state.shop.query_row(check, (), |row| row.get(0)), Ok("ok".to_owned()));
            }
        }
    }

    #[test]
    fn the_time_of_a_key_goes_on_where_the_rows_before_ended() {
        let case = Case::realistic(1_000, 0, 42);
        let before = orders(&case, "orders before", 1_000);
        for turn in [0, 1, TURNS - 1] {
            let batch = orders(&Case { turn, ..case.clone() }, "orders", ROWS as usize);
            assert!(batch[0].placed_at >= before[999].placed_at);
        }
    }
}
