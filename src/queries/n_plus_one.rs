//! Fetch the children of many parents: one join, not one query per parent.

use std::rc::Rc;

use rand::RngExt;
use rusqlite::{Connection, types::ValueRef};

use crate::fixtures::{
    shop::{ShopFile, Size, number},
    sql_server::{Columns, DISTANCES, Database, RemoteDatabase, delay, is_remote},
};
use worthit_pair::prelude::*;

/// Orders in the shop.
const ORDERS: u64 = 4_000;
const ORDERS_ALONE: &str =
    "SELECT id, placed_at, note FROM orders WHERE id <= ?1 ORDER BY id DESC LIMIT ?2";
const LINES: &str =
    "SELECT product_id, quantity, price_cents FROM order_lines WHERE order_id = ?1 ORDER BY line";
const JOIN: &str = "SELECT o.id, o.placed_at, o.note, l.product_id, l.quantity, l.price_cents
     FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id
     WHERE o.id IN (SELECT id FROM orders WHERE id <= ?1 ORDER BY id DESC LIMIT ?2)
     ORDER BY o.id DESC, l.line";

pub const PAIR: Pair = Pair {
    title: "Fetch children with a join",
    review: Review {
        smell: "A query inside a loop over the rows of another query; a lazily loaded relation \
                (`order.lines()`) in a loop or a template.",
        remedy: "One query: `FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id`, ordered by parent; begin a \
                 new group where the parent's id changes.",
        keep_naive_when: "Few of the parents turn out to need their children. Or the database is in process, as SQLite \
                          is, so that there is no round trip: for one parent a join is the slower way, and for many a \
                          loop inside one read transaction, which locks the file once, may be the clearer code.",
        costs: "The parent's columns are repeated with every child, which is expensive where they include a large \
                text or there are several kinds of children (then fetch each kind with a query of its own), and the \
                rows must be regrouped. An inner join silently loses parents without children.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "one query for the orders, one for the lines of each",
        growth: Growth::Linear,
    },
    optimized: Side { summary: "one join of orders and lines", growth: Growth::Linear },
    input: "Pages of orders from a SQLite shop with 4,000, each from another order on, with their notes of up to 24 \
            words and all their lines: 0 to 5 each, so one order in six has none. Lines are found by their primary \
            key, without a scan. A closed loop of one client: it asks again once it has the answer.",
    axis: Axis {
        name: "parents",
        unit: "orders",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64, 256], deep: &[] },
    },
    parameter: Some(Parameter { name: "round-trip time", levels: Levels::Fixed(&DISTANCES) }),
    unit: "order",
    headline: Headline::At { level: "loopback", point: 64 },
    causes: &[
        Claim {
            cause: causes::STATEMENTS,
            naive: Count::Exactly(|case| case.point + 1),
            optimized: Count::Exactly(|_| 1),
        },
        Claim {
            cause: causes::ROUND_TRIPS,
            naive: Count::Exactly(|case| if is_remote(case.level) { case.point + 1 } else { 0 }),
            optimized: Count::Exactly(|case| u64::from(is_remote(case.level))),
        },
    ],
    explanation: Explanation {
        why: "n + 1 statements became one. Across a network each of them is a round trip, which outweighs all else, \
              and their ratio is the gain. On loopback a round trip costs little more than the rows, which both \
              sides fetch alike and which bound the gain. In process there is no round trip, but each statement \
              outside a transaction takes and gives back a lock on the file, which are system calls. The join is \
              the more expensive statement.",
        share_of_cause: ShareOfCause::Within(0.1, 0.7),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "parents have no children",
        reason: "the loop would fetch nothing, and a join could leave parents out unnoticed",
        check: |inputs: &[Page]| {
            let orders = |page: &Page| optimized(&page.shop.connection, page.latest, page.orders);
            let orders: Vec<Order> = inputs.iter().flat_map(orders).collect();
            let lines: usize = orders.iter().map(|order| order.lines.len()).sum();
            let any_without = orders.iter().any(|order| order.lines.is_empty());
            ensure(any_without && 2 * lines > 3 * orders.len(), || {
                format!("{lines} lines of {} orders", orders.len())
            })
        },
        sprung: || {
            let case = Case { proof_size: Some(64), ..Case::realistic(64, 0, 1) };
            let shop = shop(&case).expect("a shop of some orders");
            shop.connection.execute_batch("DELETE FROM order_lines").expect("it has lines");
            vec![page(&case, &shop)]
        },
    }],
    // Orders have five lines at most and two and a half on average; one without lines has a row, too.
    limit: Limit::Work(&[
        Work::FileStatements(|_| 1),
        Work::RowsReturned(|case| (2 * case.point).saturating_sub(1)),
        Work::RoundTrips(|case| u64::from(is_remote(case.level))),
        Work::Waiting(|case| delay(case.level).map_or(0, |delay| delay.as_nanos() as u64)),
    ]),
    proof: Proof { resources: Resources::System, max_size: 64 },
    prepare,
    ..Pair::DEFAULTS
};

/// Pages in the rotation.
fn turns(parents: u64) -> u64 {
    (1_024 / parents.max(1)).clamp(16, 64)
}

struct Shop {
    /// A connection beside that of the sides.
    connection: Connection,
    file: ShopFile,
}

struct Page {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// Id of the latest order on the page.
    latest: i64,
    /// Number of orders that are asked for.
    orders: u64,
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

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// A number of orders from `latest` back, with their lines.
fn naive<D: Database>(shop: &D, latest: i64, parents: u64) -> Vec<Order> {
    let mut orders = Vec::new();
    shop.query(ORDERS_ALONE, &[&latest, &(parents as i64)], |row| orders.push(order(row)));
    for order in &mut orders {
        shop.query(LINES, &[&order.id], |row| order.lines.push(line(row, 0)));
    }
    orders
}

/// A number of orders from `latest` back, with their lines.
fn optimized<D: Database>(shop: &D, latest: i64, parents: u64) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::new();
    shop.query(JOIN, &[&latest, &(parents as i64)], |row| {
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

fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let orders = match case.proof_size {
        None => ORDERS,
        Some(_) => case.point + case.rng("earlier orders").random_range(0..8),
    };
    let file = ShopFile::new(paths::scratch()?, case, Size::of_orders(orders), "")?;
    Ok(Rc::new(Shop { connection: file.open()?, file }))
}

fn page(case: &Case, shop: &Rc<Shop>) -> Page {
    let sql = "SELECT count(*) FROM orders";
    let orders = number(&shop.connection, sql, ()) as i64;
    let latest = case.rng("page").random_range(case.point as i64..=orders);
    Page { shop: Rc::clone(shop), latest, orders: case.point }
}

/// Number of orders that exist on a page.
fn existing_orders(page: &Page) -> u64 {
    let sql = "SELECT count(*) FROM (SELECT id FROM orders WHERE id <= ?1 LIMIT ?2)";
    number(&page.shop.connection, sql, (page.latest, page.orders as i64))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let pages = case.rotate(turns(case.point), |case| page(case, &shop));
    let database = shop.file.open()?;
    Ok(match delay(case.level) {
        None => trial(database, &pages),
        Some(delay) => trial(RemoteDatabase::serve(database, delay)?, &pages),
    })
}

fn trial<D: Database + 'static>(database: D, pages: &Inputs<Page>) -> Trial {
    let database = Rc::new(database);
    let over = |side: fn(&D, i64, u64) -> Vec<Order>| {
        let database = Rc::clone(&database);
        by_ref(pages, move |page: &Page| side(&database, page.latest, page.orders))
    };
    let trial = Trial::new(pages.measured(existing_orders), over(naive), over(optimized));
    trial.units(pages[0].orders)
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
            assert_eq!(side(&shop, 3, 9), expected);
            assert_eq!(side(&shop, 9, 2), expected[..2]);
            assert_eq!(side(&shop, 2, 2), expected[1..]);
            assert_eq!(side(&shop, 3, 0), []);
        }
    }

    /// Without an index, the loop would scan, and the join would take the credit for avoiding scans.
    #[test]
    fn trap_both_sides_find_lines_by_key_and_neither_sorts() {
        let case = Case { proof_size: Some(1_000), ..Case::realistic(1_000, 0, 1) };
        let shop = &shop(&case).unwrap().connection;
        let plan = query_plan(shop, LINES);
        assert_eq!(plan, "SEARCH order_lines USING PRIMARY KEY (order_id=?)");
        let plan = query_plan(shop, JOIN);
        assert!(plan.contains("SEARCH o USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
        assert!(plan.contains("SEARCH l USING PRIMARY KEY (order_id=?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
