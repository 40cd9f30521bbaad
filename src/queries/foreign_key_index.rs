//! Index the columns that refer to other tables: deleting a parent looks its children up.

use std::rc::Rc;

use rand::RngExt;
use rusqlite::Connection;

use crate::fixtures::shop::{ShopFile, Size, number};
use worthit_pair::prelude::*;

const DELETE: &str = "DELETE FROM carts WHERE id = ?1";
const INDEX: &str = "CREATE INDEX cart_items_by_cart ON cart_items (cart_id)";
/// Carts as the orders were before they were placed.
const CARTS: &str = "
    CREATE TABLE carts (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, touched_at INTEGER NOT NULL);
    CREATE TABLE cart_items (
        id         INTEGER PRIMARY KEY,
        cart_id    INTEGER NOT NULL REFERENCES carts (id) ON DELETE CASCADE,
        product_id INTEGER NOT NULL,
        quantity   INTEGER NOT NULL,
        added_at   INTEGER NOT NULL
    );
    INSERT INTO carts SELECT id, customer_id, placed_at FROM orders;";

pub const PAIR: Pair = Pair {
    title: "Index the columns of foreign keys",
    review: Review {
        smell: "`REFERENCES carts (id)` in a table without an index that begins with the referring column. SQLite and \
                PostgreSQL index what is referred to, and not what refers. `.lint fkey-indexes` in SQLite's shell lists \
                such columns.",
        remedy: "`CREATE INDEX cart_items_by_cart ON cart_items (cart_id)`, for every foreign key whose parents are \
                 deleted or change their keys.",
        keep_naive_when: "Parents are never deleted, and nobody asks for the children of one. Or the table of children \
                          stays small.",
        costs: "Space for a copy of the column and the row ids. Every insert and delete of a child writes one more \
                tree, and so does a change of its parent.",
        lint: Lint::None,
    },
    naive: Side { summary: "full scans of the children", growth: Growth::Linear },
    optimized: Side { summary: "searches of an index", growth: Growth::Logarithmic },
    input: "Carts deleted one at a time from a SQLite shop, each the cart of a random item, with its one to five items, by \
            a foreign key with ON DELETE CASCADE. Each is deleted in a transaction that stays open, and is rolled back \
            off the clock; no commit is timed. The axis is the number of items of all carts together.",
    axis: Axis {
        name: "children",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[10, 100, 1_000, 10_000, 30_000], deep: &[300_000] },
    },
    unit: "delete",
    headline: Headline::At { level: "", point: 10_000 },
    causes: &[
        Claim {
            cause: causes::VM_STEPS,
            naive: Count::AtLeast(|case| 5 * case.point),
            // A few for each of the items that are deleted.
            optimized: Count::AtMost(|_| 250),
        },
        Claim {
            cause: causes::FULL_SCAN_STEPS,
            // One scan counts the children and another one deletes them. Going to the first item is no step.
            naive: Count::Exactly(|case| 2 * (case.point - 1)),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "Before it deletes a parent, the database has to find the children that refer to it: to refuse the delete, \
              or to delete them as well. Without an index it reads all children of all parents, once to count those of \
              this one and once more to delete them. The statement names one row by its key, so its text does not show \
              the scans; its query plan in SQLite does. A step of a scan is cheap, so the gain stays below the ratio of \
              steps. In a small table, deleting the entries of the index as well costs more than the scans.",
        share_of_cause: ShareOfCause::Within(0.03, 0.6),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(10),
    },
    traps: &[
        &Trap {
            name: "foreign keys are not enforced",
            reason: "SQLite's own default is not to look for children at all, and they would stay",
            check: |inputs: &[Input]| {
                let enforced = inputs.iter().all(|input| enforces(&input.shop.connection));
                ensure(enforced, || "`PRAGMA foreign_keys` is off".to_owned())
            },
            sprung: || {
                let input = small_input();
                let off = "PRAGMA foreign_keys = OFF";
                input.shop.connection.execute_batch(off).expect("SQLite knows it");
                vec![input]
            },
        },
        &Trap {
            name: "the carts are empty",
            reason: "a search would find nothing to delete, and a scan would still read all items",
            check: |inputs: &[Input]| {
                let empty = inputs.iter().filter(|input| items_of(input) == 0).count();
                ensure(empty == 0, || format!("{empty} carts are empty"))
            },
            sprung: || vec![Input { cart: -1, ..small_input() }],
        },
    ],
    // The transaction is open, so no lock on the file is taken. The delete of the cart, and of each of its items (more than
    // two on average), is the work of a statement at least.
    limit: Limit::Work(&[Work::Statements(|_| 3)]),
    proof: Proof { resources: Resources::System, max_size: 60 },
    prepare,
    ..Pair::DEFAULTS
};

struct Shop {
    connection: Connection,
    file: Rc<ShopFile>,
}

struct Input {
    /// Another connection to the indexed shop, which sees no delete, as none is committed. The same one in each input
    /// of the rotation.
    shop: Rc<Shop>,
    /// Which cart to delete.
    cart: i64,
}

/// Deletes a cart with its items, in a shop without an index of its items.
fn naive(shop: &Connection, cart: i64) -> rusqlite::Result<usize> {
    delete(shop, cart)
}

/// Deletes a cart with its items, in a shop with an index of its items.
fn optimized(shop: &Connection, cart: i64) -> rusqlite::Result<usize> {
    delete(shop, cart)
}

/// The same statement for both sides; the database finds the items.
fn delete(shop: &Connection, cart: i64) -> rusqlite::Result<usize> {
    shop.prepare_cached(DELETE)?.execute([cart])
}

/// What is left.
#[derive(Debug, PartialEq)]
struct Left {
    carts: Vec<i64>,
    /// Each with its cart.
    items: Vec<(i64, i64)>,
}

impl Found for Left {
    fn found(&self) -> u64 {
        (self.carts.len() + self.items.len()) as u64
    }
}

fn left(shop: &Connection) -> rusqlite::Result<Left> {
    let mut carts = shop.prepare_cached("SELECT id FROM carts ORDER BY id")?;
    let carts = carts.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut items = shop.prepare_cached("SELECT id, cart_id FROM cart_items ORDER BY id")?;
    let items = items.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Left { carts, items: items.collect::<rusqlite::Result<_>>()? })
}

fn enforces(shop: &Connection) -> bool {
    let enforces = shop.query_row("PRAGMA foreign_keys", (), |row| row.get(0));
    enforces.expect("SQLite knows it")
}

fn shop(case: &Case, index: &str) -> Result<Shop, Unavailable> {
    // An order has two and a half lines on average.
    let orders = case.point * 4 / 5 + 8;
    // In some proofs, two carts hold all items.
    let many = if case.shape == Shape::DuplicateHeavy { "order_id % 2 + 1" } else { "order_id" };
    let sql = format!(
        "{CARTS}
         INSERT INTO cart_items (cart_id, product_id, quantity, added_at)
         SELECT {many}, product_id, quantity, order_id * 60 + line FROM order_lines LIMIT {};
         {index}",
        case.point
    );
    let file = ShopFile::new(paths::scratch()?, case, Size::of_orders(orders), &sql)?;
    Shop::of(&Rc::new(file))
}

impl Shop {
    /// Opens a connection.
    fn of(file: &Rc<ShopFile>) -> Result<Shop, Unavailable> {
        Ok(Shop { connection: file.open()?, file: Rc::clone(file) })
    }

    /// Takes back what was deleted, and begins the next transaction.
    fn reset(&mut self) {
        let shop = &self.connection;
        let reset = || -> rusqlite::Result<()> {
            if !shop.is_autocommit() {
                shop.execute_batch("ROLLBACK")?;
            }
            shop.execute_batch("BEGIN IMMEDIATE")
        };
        reset().expect("the shop can be reset");
    }
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let mut rng = case.rng("cart");
    let cart = match case.shape {
        Shape::Realistic if case.point > 0 => {
            let sql = "SELECT cart_id FROM cart_items WHERE id = ?1";
            let mut query = shop.connection.prepare_cached(sql).expect("there are items");
            let of_an_item =
                query.query_row([rng.random_range(1..=case.point as i64)], |row| row.get(0));
            of_an_item.expect("ids are from 1 on")
        }
        // In a proof, it may be empty, or not exist.
        _ => rng.random_range(-1..=case.point as i64 / 2 + 3),
    };
    Input { shop: Rc::clone(shop), cart }
}

fn items(input: &Input) -> u64 {
    number(&input.shop.connection, "SELECT count(*) FROM cart_items", ())
}

fn items_of(input: &Input) -> u64 {
    let sql = "SELECT count(*) FROM cart_items WHERE cart_id = ?1";
    number(&input.shop.connection, sql, [input.cart])
}

/// An input of a small shop, for the traps.
fn small_input() -> Input {
    let case = Case { proof_size: Some(50), ..Case::realistic(50, 0, 1) };
    input(&case, &Rc::new(shop(&case, INDEX).expect("a shop of some carts")))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let untouched = Rc::new(shop(case, INDEX)?);
    let inputs = case.rotate(64, |case| input(case, &untouched));
    let summary = |shop: &mut Shop| left(&shop.connection).expect("the shop is readable");
    let plain = shop(case, "")?;
    assert_eq!(
        left(&plain.connection),
        left(&untouched.connection),
        "both sides have the same rows"
    );
    let naive_side = changing(
        &inputs,
        plain,
        Shop::reset,
        |shop, input| {
            naive(&shop.connection, input.cart).expect("the shop takes it");
        },
        summary,
    );
    let optimized_side = changing(
        &inputs,
        Shop::of(&untouched.file)?,
        Shop::reset,
        |shop, input| {
            optimized(&shop.connection, input.cart).expect("the shop takes it");
        },
        summary,
    );
    Ok(Trial::new(inputs.measured(items), naive_side, optimized_side))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch("CREATE TABLE orders (id, customer_id, placed_at)").unwrap();
        shop.execute_batch(CARTS).unwrap();
        for (index, delete) in [("", naive as fn(&Connection, i64) -> _), (INDEX, optimized)] {
            shop.execute_batch(index).unwrap();
            shop.execute_batch(
                "DELETE FROM carts; INSERT INTO carts VALUES (1, 1, 0), (2, 1, 0), (3, 1, 0);
                 INSERT INTO cart_items VALUES (7, 2, 1, 1, 0), (8, 1, 1, 1, 0), (9, 2, 1, 1, 0)",
            )
            .unwrap();
            assert_eq!(delete(&shop, 2), Ok(1));
            assert_eq!(left(&shop), Ok(Left { carts: vec![1, 3], items: vec![(8, 1)] }));
            assert_eq!((delete(&shop, 2), delete(&shop, 3)), (Ok(0), Ok(1)));
            assert_eq!(left(&shop), Ok(Left { carts: vec![1], items: vec![(8, 1)] }));
        }
    }

    #[test]
    fn trap_one_side_scans_the_items_and_the_other_has_an_index_for_them() {
        let search = "SEARCH cart_items USING COVERING INDEX cart_items_by_cart (cart_id=?)";
        for point in [10, 10_000] {
            for (index, plan) in [("", "SCAN cart_items"), (INDEX, search)] {
                let shop = &shop(&Case::realistic(point, 0, 42), index).unwrap().connection;
                assert!(enforces(shop));
                let plan = format!("SEARCH carts USING INTEGER PRIMARY KEY (rowid=?); {plan}");
                assert_eq!(query_plan(shop, DELETE), plan);
            }
        }
    }

    #[test]
    fn every_iteration_finds_the_same_rows() {
        let case = Case { proof_size: Some(0), ..Case::realistic(50, 0, 42) };
        let mut shop = shop(&case, INDEX).unwrap();
        let before = left(&shop.connection);
        for _ in 0..2 {
            shop.reset();
            assert_eq!(left(&shop.connection), before);
            assert_eq!(optimized(&shop.connection, 2), Ok(1));
            assert_ne!(left(&shop.connection), before);
        }
    }
}
