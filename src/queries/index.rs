//! Find rows by a column: through an index, not by reading the table.

use std::sync::Arc;

use rand::RngExt;
use rusqlite::Connection;

use crate::fixtures::shop::{ShopFile, Size};
use worthit_pair::prelude::*;

/// Lookups in one iteration, each of a random customer.
const LOOKUPS: u64 = 2;
const INDEX: &str = "CREATE INDEX orders_by_customer ON orders (customer_id)";
const ORDERS_OF_CUSTOMER: &str =
    "SELECT id, placed_at, status FROM orders WHERE customer_id = ?1 ORDER BY id";

pub const PAIR: Pair = Pair {
    title: "Look up through an index",
    review: Review {
        smell: "A query whose WHERE names a column without an index: `EXPLAIN QUERY PLAN` says `SCAN`. \
                Often a foreign key: SQLite and PostgreSQL do not index the referring column by themselves.",
        remedy: "`CREATE INDEX orders_by_customer ON orders (customer_id)`, and a test that \
                 `EXPLAIN QUERY PLAN` says `SEARCH … USING INDEX`.",
        keep_naive_when: "The table stays within a hundred rows or so, or the condition holds for a large share of \
                          the rows: then a scan reads fewer pages than a search by the index.",
        costs: "Space for a copy of the column and the row ids; every insert, delete and change of the \
                column writes one more tree.",
        lint: None,
    },
    naive: Side {
        summary: "full scan of the table",
        growth: Growth::Until(&Growth::Linear, "the table outgrows SQLite's page cache"),
    },
    optimized: Side { summary: "search of an index", growth: Growth::Logarithmic },
    input: "Two lookups of random customers in a SQLite table of orders. There are four orders per customer on \
            average and more for some, so a lookup in a large table finds a small share of it. The table without \
            the index has the same rows.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[10, 100, 1_000, 10_000, 100_000], deep: &[] },
    },
    unit: "lookup",
    causes: &[
        Claim {
            cause: causes::FULL_SCAN_STEPS,
            // Going to the first row is no step; each other row is one.
            naive: Count::Exactly(|case| LOOKUPS * (case.point - 1)),
            optimized: Count::Exactly(|_| 0),
        },
        Claim {
            cause: causes::VM_STEPS,
            naive: Count::AtLeast(|case| LOOKUPS * case.point * 2),
            // The customer with the most orders has some tens; each takes a handful of steps.
            optimized: Count::AtMost(|_| LOOKUPS * 500),
        },
    ],
    explanation: "n steps through the table became a descent of a few pages and a look at each row found. On both \
                  sides, starting a statement on a file costs as much as scanning a few hundred rows. So the gain \
                  is far below n: n divided by a few hundred, and more once the table no longer fits SQLite's page \
                  cache (2 MB by default) and each scan reads it again.",
    limit: Limit::Statements(|_| LOOKUPS),
    proof: Proof { resources: Resources::System, max_size: 500 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    shop: Connection,
    /// Customers to look up.
    customers: Vec<i64>,
    _file: ShopFile,
}

#[derive(Debug, PartialEq)]
struct Order {
    id: i64,
    placed_at: i64,
    status: String,
}

/// The orders of each customer, in a shop without an index for it.
fn naive(input: &Input) -> rusqlite::Result<Vec<Vec<Order>>> {
    orders_of(&input.shop, &input.customers)
}

/// The orders of each customer, in a shop with an index for it.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Vec<Order>>> {
    orders_of(&input.shop, &input.customers)
}

/// The same query for both sides; the database chooses the plan.
fn orders_of(shop: &Connection, customers: &[i64]) -> rusqlite::Result<Vec<Vec<Order>>> {
    let mut query = shop.prepare_cached(ORDERS_OF_CUSTOMER)?;
    let of_one = |customer| {
        let rows = query.query_map([customer], |row| {
            Ok(Order { id: row.get(0)?, placed_at: row.get(1)?, status: row.get(2)? })
        })?;
        rows.collect()
    };
    customers.iter().map(of_one).collect()
}

/// Builds the same shop and customers for any `indexes`.
fn input(case: &Case, indexes: &str) -> Result<Input, Unavailable> {
    let size = Size::of_orders(case.point);
    let file = ShopFile::new(paths::scratch()?, case, size, indexes)?;
    let mut rng = case.rng("lookups");
    // The last id is one that never ordered.
    let any = |_| rng.random_range(1..=size.customers as i64 + 1);
    Ok(Input {
        shop: file.open()?,
        customers: (0..case.items(LOOKUPS)).map(any).collect(),
        _file: file,
    })
}

/// Number of rows in the table.
fn rows(shop: &Connection) -> u64 {
    shop.query_row("SELECT count(*) FROM orders", (), |row| row.get(0))
        .map(|count: i64| count as u64)
        .expect("a count")
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let indexed = input(case, INDEX)?;
    let (size, units) = (rows(&indexed.shop), indexed.customers.len() as u64);
    let case = case.clone();
    let naive_side = on_first_use(1, move || {
        let plain = input(&case, "")?;
        assert_eq!(size, rows(&plain.shop), "both sides look up in the same table");
        Ok(over(plain, naive))
    });
    Ok(Trial::new(size, naive_side, over(indexed, optimized)).units(units))
}

fn over(input: Input, side: fn(&Input) -> rusqlite::Result<Vec<Vec<Order>>>) -> impl Runner {
    #[expect(clippy::arc_with_non_send_sync, reason = "one thread runs both sides")]
    by_ref(&Arc::new(input), move |input| side(input).expect("the shop answers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id, placed_at, status);
             INSERT INTO orders VALUES (1, 7, 10, 'paid'), (2, 8, 20, 'paid'), (3, 7, 30, 'shipped')",
        )
        .unwrap();
        let order = |id, status: &str| Order { id, placed_at: 10 * id, status: status.to_owned() };
        let expected =
            [vec![order(1, "paid"), order(3, "shipped")], vec![], vec![order(2, "paid")]];
        assert_eq!(orders_of(&shop, &[7, 9, 8]).unwrap(), expected);
        shop.execute_batch(INDEX).unwrap();
        assert_eq!(orders_of(&shop, &[7, 9, 8]).unwrap(), expected);
    }

    /// A toy benchmark scans a hundred rows in memory.
    #[test]
    fn trap_the_table_is_a_large_file_and_only_one_side_has_an_index() {
        let case = Case::realistic(10_000, 0, 42);
        let search = "SEARCH orders USING INDEX orders_by_customer (customer_id=?)";
        for (indexes, plan) in [("", "SCAN orders"), (INDEX, search)] {
            let shop = &input(&case, indexes).unwrap().shop;
            assert_eq!(rows(shop), 10_000);
            let file = std::fs::metadata(shop.path().unwrap()).unwrap();
            assert!(file.len() > 10_000 * 100, "{} bytes", file.len());
            assert_eq!(query_plan(shop, ORDERS_OF_CUSTOMER), plan);
        }
    }

    /// A scan takes as long for a customer without orders, so not all answers may be empty.
    #[test]
    fn trap_lookups_find_something() {
        let found: usize = (0..20)
            .map(|seed| {
                let case = Case { proof_size: Some(LOOKUPS), ..Case::realistic(400, 0, seed) };
                optimized(&input(&case, INDEX).unwrap())
                    .unwrap()
                    .iter()
                    .map(Vec::len)
                    .sum::<usize>()
            })
            .sum();
        let expected = 20 * LOOKUPS as usize * 4;
        assert!((expected / 2..expected * 2).contains(&found), "{found}");
    }
}
