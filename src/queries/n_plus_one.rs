//! Fetch the children of many parents: one join, not one query per parent.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, types::ValueRef};

use crate::fixtures::{
    shop::{ShopFile, Size},
    sql_server::{Columns, CountedTrips, Database, RemoteDatabase},
};
use worthit_pair::prelude::*;

/// Orders in the shop.
const ORDERS: u64 = 1_000;
const ORDERS_ALONE: &str = "SELECT id, placed_at, note FROM orders ORDER BY id DESC LIMIT ?1";
const LINES: &str =
    "SELECT product_id, quantity, price_cents FROM order_lines WHERE order_id = ?1 ORDER BY line";
const JOIN: &str = "SELECT o.id, o.placed_at, o.note, l.product_id, l.quantity, l.price_cents
     FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id
     WHERE o.id IN (SELECT id FROM orders ORDER BY id DESC LIMIT ?1)
     ORDER BY o.id DESC, l.line";

/// Level of a database in this process, without a round trip.
const IN_PROCESS: u64 = 0;
/// Level of a server on this machine; larger levels are round-trip times in µs.
const LOOPBACK: u64 = 1;

pub const PAIR: Pair = Pair {
    title: "Fetch children with a join",
    review: Review {
        smell: "A query inside a loop over the rows of another query; a lazily loaded relation \
                (`order.lines()`) in a loop or a template.",
        remedy: "One query: `… FROM orders LEFT JOIN order_lines …`, ordered by parent; begin a new group where \
                 the parent's id changes. Where parents are wide or have several kinds of children, one query for \
                 the parents and one `WHERE order_id IN (…)` per kind.",
        keep_naive_when: "There is one parent, or few of the parents turn out to need their children. \
                          In process, as with SQLite, there is no round trip: a loop inside one read \
                          transaction, which locks the file once, may stay where it is the clearer code.",
        costs: "The parent's columns are repeated with every child, which is expensive where they include a large \
                text, and the rows must be regrouped. An inner join silently loses parents without children.",
        lint: None,
    },
    naive: Side {
        summary: "one query for the orders, one for the lines of each",
        growth: Growth::Linear,
    },
    optimized: Side { summary: "one join of orders and lines", growth: Growth::Linear },
    input: "The latest orders of a SQLite shop with 1,000, with their notes of up to 24 words and all their \
            lines: 0 to 5 each, so one order in six has none. Lines are found by their primary key, without a \
            scan.",
    axis: Axis {
        name: "parents",
        unit: "orders",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64, 256], deep: &[] },
    },
    parameter: Some(Parameter {
        name: "round-trip time",
        levels: Levels::Fixed(&[
            Level { label: "in-process", value: IN_PROCESS, origin: Origin::Measured },
            Level { label: "loopback", value: LOOPBACK, origin: Origin::Measured },
            Level {
                label: "rtt=1ms",
                value: 1_000,
                origin: Origin::Distance { rtt_us: 1_000, confirmed_at: &[4] },
            },
            Level {
                label: "rtt=30ms",
                value: 30_000,
                origin: Origin::Distance { rtt_us: 30_000, confirmed_at: &[] },
            },
        ]),
    }),
    unit: "order",
    causes: &[Claim {
        cause: causes::ROUND_TRIPS,
        naive: Count::Exactly(|case| case.point + 1),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: "n + 1 round trips became one. Across a network they are nearly all of the time, and their ratio \
                  is the gain. On loopback a round trip costs no more than some tens of rows, which both sides \
                  fetch alike and which bound the gain. In process there is no round trip, but each statement \
                  outside a transaction locks and unlocks the file: several system calls that cost as much as ten \
                  rows or so. The join is the more expensive statement and loses where there is one parent.",
    limit: Limit::RoundTrips(|_| 1),
    proof: Proof { resources: Resources::System, max_size: 64 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input<D> {
    shop: D,
    /// Number of latest orders that are asked for.
    parents: u64,
    _file: ShopFile,
}

#[derive(Debug, PartialEq)]
struct Order {
    id: i64,
    placed_at: i64,
    note: String,
    lines: Vec<Line>,
}

#[derive(Debug, PartialEq)]
struct Line {
    product_id: i64,
    quantity: i64,
    price_cents: i64,
}

/// The latest orders with their lines.
fn naive<D: Database>(shop: &D, parents: u64) -> Vec<Order> {
    let mut orders = Vec::new();
    shop.query(ORDERS_ALONE, &[&(parents as i64)], |row| orders.push(order(row)));
    for order in &mut orders {
        shop.query(LINES, &[&order.id], |row| order.lines.push(line(row, 0)));
    }
    orders
}

/// The latest orders with their lines.
fn optimized<D: Database>(shop: &D, parents: u64) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::new();
    shop.query(JOIN, &[&(parents as i64)], |row| {
        if orders.last().is_none_or(|last| last.id != row.int(0)) {
            orders.push(order(row));
        }
        // An order without lines has one row, whose line is NULL.
        if let (Some(order), true) = (orders.last_mut(), row.get(3) != ValueRef::Null) {
            order.lines.push(line(row, 3));
        }
    });
    orders
}

fn order(row: &dyn Columns) -> Order {
    Order { id: row.int(0), placed_at: row.int(1), note: row.text(2).to_owned(), lines: Vec::new() }
}

/// The line that begins at column `first`.
fn line(row: &dyn Columns, first: usize) -> Line {
    Line {
        product_id: row.int(first),
        quantity: row.int(first + 1),
        price_cents: row.int(first + 2),
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let file = ShopFile::new(paths::scratch()?, case, Size::of_orders(ORDERS), "")?;
    let shop = file.open()?;
    let parents = existing_orders(&shop, case.point);
    Ok(match delay(case.level) {
        None => trial(Input { shop, parents, _file: file }),
        Some(delay) => {
            trial(Input { shop: RemoteDatabase::serve(shop, delay)?, parents, _file: file })
        }
    })
}

/// Delay of the server's answers at a level; `None` without a server.
fn delay(level: u64) -> Option<Duration> {
    match level {
        IN_PROCESS => None,
        LOOPBACK => Some(Duration::ZERO),
        rtt_us => Some(Duration::from_micros(rtt_us)),
    }
}

/// Number of orders that exist, `asked` at most.
fn existing_orders(shop: &Connection, asked: u64) -> u64 {
    let sql = "SELECT count(*) FROM (SELECT id FROM orders LIMIT ?1)";
    shop.query_row(sql, [asked as i64], |row| row.get(0)).map(|n: i64| n as u64).expect("a count")
}

fn trial<D: Database + 'static>(input: Input<D>) -> Trial {
    let input = Arc::new(input);
    let counted = Arc::clone(&input);
    Trial::new(
        input.parents,
        by_ref(&input, |input| naive(&input.shop, input.parents)),
        by_ref(&input, |input| optimized(&input.shop, input.parents)),
    )
    .units(input.parents)
    .counting(move |role, counts| {
        let shop = CountedTrips::new(&counted.shop);
        match role {
            Role::Naive => naive(&shop, counted.parents),
            _ => optimized(&shop, counted.parents),
        };
        counts.set(causes::ROUND_TRIPS, shop.trips());
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, placed_at, note);
             CREATE TABLE order_lines (order_id, line, product_id, quantity, price_cents);
             INSERT INTO orders VALUES (1, 10, 'first'), (2, 20, 'empty'), (3, 30, 'last');
             INSERT INTO order_lines VALUES (3, 2, 8, 1, 300), (3, 1, 7, 2, 200), (1, 1, 9, 3, 100)",
        )
        .unwrap();
        let line = |product_id, quantity, price_cents| Line { product_id, quantity, price_cents };
        let order =
            |id, note: &str, lines| Order { id, placed_at: 10 * id, note: note.to_owned(), lines };
        let expected = [
            order(3, "last", vec![line(7, 2, 200), line(8, 1, 300)]),
            order(2, "empty", vec![]),
            order(1, "first", vec![line(9, 3, 100)]),
        ];
        for side in [naive::<Connection>, optimized::<Connection>] {
            assert_eq!(side(&shop, 9), expected);
            assert_eq!(side(&shop, 2), expected[..2]);
            assert_eq!(side(&shop, 0), []);
        }
    }

    /// A toy benchmark measures calls in one process and calls them queries over a network. (The server's own
    /// tests check that it really waits.)
    #[test]
    fn trap_every_distance_is_computed_from_a_real_round_trip() {
        let Some(Parameter { levels: Levels::Fixed(levels), .. }) = PAIR.parameter else {
            panic!()
        };
        let mut nearest_measured = None;
        for level in levels {
            match level.origin {
                Origin::Distance { rtt_us, .. } => {
                    assert_eq!(nearest_measured, Some(Some(Duration::ZERO)), "{}", level.label);
                    assert_eq!(delay(level.value), Some(Duration::from_micros(rtt_us)));
                }
                _ => nearest_measured = Some(delay(level.value)),
            }
        }
    }

    /// Without an index, the loop would scan, and the join would take the credit for avoiding scans.
    #[test]
    fn trap_both_sides_find_lines_by_key_and_neither_sorts() {
        let case = Case { proof_size: Some(0), ..Case::realistic(1, 0, 1) };
        let size = Size::of_orders(1);
        let file = ShopFile::new(paths::scratch().unwrap(), &case, size, "").unwrap();
        let shop = file.open().unwrap();
        let plan = query_plan(&shop, LINES);
        assert_eq!(plan, "SEARCH order_lines USING PRIMARY KEY (order_id=?)");
        let plan = query_plan(&shop, JOIN);
        assert!(plan.contains("SEARCH o USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
        assert!(plan.contains("SEARCH l USING PRIMARY KEY (order_id=?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    /// A toy benchmark compares few rows with many. Here parents have as many children as claimed.
    #[test]
    fn trap_parents_have_children() {
        let case = Case { proof_size: Some(0), ..Case::realistic(256, 0, 1) };
        let size = Size::of_orders(ORDERS);
        let file = ShopFile::new(paths::scratch().unwrap(), &case, size, "").unwrap();
        let orders = optimized(&file.open().unwrap(), 256);
        let lines: usize = orders.iter().map(|order| order.lines.len()).sum();
        assert_eq!(orders.len(), 256);
        assert!((500..800).contains(&lines), "{lines}");
        assert!(orders.iter().any(|order| order.lines.is_empty()));
    }
}
