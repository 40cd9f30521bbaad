//! Find rows by a column: through an index, not by reading the table.

use std::{collections::HashSet, rc::Rc};

use rand::RngExt;
use rusqlite::Connection;

use crate::fixtures::shop::{Shop, Size};
use worthit_pair::prelude::*;

const INDEX: &str = "CREATE INDEX orders_by_customer ON orders (customer_id)";
const ORDERS_OF_CUSTOMER: &str =
    "SELECT id, placed_at, status FROM orders WHERE customer_id = ?1 ORDER BY id";

pub const PAIR: Pair = Pair {
    title: "Look up through an index",
    review: Review {
        smell: "A query whose WHERE names a column without an index: `EXPLAIN QUERY PLAN` says `SCAN`. \
                Often a foreign key: SQLite and PostgreSQL do not index the referring column by themselves.",
        remedy: "`CREATE INDEX orders_by_customer ON orders (customer_id)`. Test that the query plan is a search by \
                 it.",
        keep_naive_when: "The table stays small, or the condition holds for a large share of the rows: then a scan \
                          reads fewer pages than a search by the index.",
        costs: "Space for a copy of the column and the row ids; every insert, delete and change of the \
                column writes one more tree.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "full scan of the table",
        growth: Growth::Until(&Growth::Linear, "the table outgrows SQLite's page cache"),
    },
    optimized: Side {
        summary: "search of an index",
        growth: Growth::Until(&Growth::Logarithmic, "the table outgrows SQLite's page cache"),
    },
    input: "Lookups in a SQLite table of orders, each for the customer of a random order, so that those who order \
            often are looked up often. There are four orders per customer on average and, in a large table, nine \
            per lookup, which lie on as many pages. The table without the index has the same rows.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[10, 100, 1_000, 10_000, 100_000], deep: &[] },
    },
    unit: "lookup",
    headline: Headline::At { level: "", point: 10_000 },
    causes: &[
        Claim {
            cause: causes::VM_STEPS,
            naive: Count::AtLeast(|case| case.point * 2),
            // A handful for each order of the customer; those with the most have some tens.
            optimized: Count::AtMost(|_| 500),
        },
        Claim {
            cause: causes::FULL_SCAN_STEPS,
            // Going to the first row is no step; each other row is one.
            naive: Count::Exactly(|case| case.point - 1),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "A step for each row of the table became a descent of a few pages and a look at each row found. A step of \
              the scan is cheap, because it goes on within its page. On both sides, a statement on a file has a fixed \
              cost, which a scan of a small table hardly exceeds. Once the table no longer fits SQLite's page cache, \
              each scan reads it again, and the search reads the pages of the rows that it finds.",
        share_of_cause: ShareOfCause::Within(0.03, 0.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(10),
    },
    traps: &[
        &Trap {
            name: "the customer has no orders",
            reason: "the sides would find nothing, and a search for nothing reads no row",
            check: |inputs: &[Input]| {
                let found = |input: &Input| optimized(input).expect("the shop answers").len();
                ensure(inputs.iter().all(|input| found(input) > 0), || {
                    "a lookup finds nothing".to_owned()
                })
            },
            sprung: || vec![Input { customer: -1, ..small_input() }],
        },
        &Trap {
            name: "the same customer again and again",
            reason: "its rows would stay in SQLite's page cache, as those of a random customer do not",
            check: |inputs: &[Input]| {
                let customers = inputs.iter().map(|input| input.customer);
                let distinct = customers.collect::<HashSet<_>>().len() as u64;
                // Ten orders have three customers.
                let expected = (inputs.len() as u64 / 4).min(rows(&inputs[0].shop) / 10);
                ensure(distinct >= expected, || format!("{distinct} customers"))
            },
            sprung: || {
                let Input { shop, customer } = small_input();
                (0..64).map(|_| Input { shop: Rc::clone(&shop), customer }).collect()
            },
        },
    ],
    // The customer of a random order has three orders or more on average, in a shop of any size.
    limit: Limit::Work(&[Work::FileStatements(|_| 1), Work::RowsReturned(|_| 2)]),
    proof: Proof { resources: Resources::System, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Lookups in the rotation. Where the table outgrows SQLite's page cache, so do the rows that they find.
fn turns(rows: u64) -> u64 {
    if rows <= 10_000 { 256 } else { 64 }
}

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// Whose orders to find.
    customer: i64,
}

#[derive(Debug, PartialEq)]
struct Order {
    id: i64,
    placed_at: i64,
    status: String,
}

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// The orders of a customer, in a shop without an index for it.
fn naive(input: &Input) -> rusqlite::Result<Vec<Order>> {
    orders_of(&input.shop.connection, input.customer)
}

/// The orders of a customer, in a shop with an index for it.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Order>> {
    orders_of(&input.shop.connection, input.customer)
}

/// The same query for both sides; the database chooses the plan.
fn orders_of(shop: &Connection, customer: i64) -> rusqlite::Result<Vec<Order>> {
    let mut query = shop.prepare_cached(ORDERS_OF_CUSTOMER)?;
    let order = |row: &rusqlite::Row<'_>| {
        Ok(Order { id: row.get(0)?, placed_at: row.get(1)?, status: row.get(2)? })
    };
    query.query_map([customer], order)?.collect()
}

/// The same shop for any `indexes`.
fn shop(case: &Case, indexes: &str) -> Result<Rc<Shop>, Unavailable> {
    Ok(Rc::new(Shop::new(case, Size::of_orders(case.point), indexes)?))
}

/// Number of rows in the table.
fn rows(shop: &Shop) -> u64 {
    shop.number("SELECT count(*) FROM orders", ())
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let mut rng = case.rng("lookup");
    let customer_of = |order| {
        let sql = "SELECT customer_id FROM orders WHERE id = ?1";
        shop.connection.prepare_cached(sql)?.query_row([order as i64], |row| row.get(0))
    };
    let customer = match (case.shape, case.point) {
        // In a proof, it may be one that never ordered.
        (Shape::Sorted, _) | (_, 0) => rng.random_range(1..=case.point as i64 / 4 + 2),
        (_, orders) => customer_of(rng.random_range(1..=orders)).expect("ids are from 1 on"),
    };
    Input { shop: Rc::clone(shop), customer }
}

/// An input of a small shop with an index.
fn small_input() -> Input {
    let case = Case { proof_size: Some(100), ..Case::realistic(100, 0, 1) };
    input(&case, &shop(&case, INDEX).expect("a shop of a hundred orders"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let indexed = shop(case, INDEX)?;
    let inputs = case.rotate(turns(case.point), |case| input(case, &indexed));
    let customers = inputs.map(|input| input.customer);
    let (case, size) = (case.clone(), rows(&indexed));
    let naive_side = on_first_use(1, move || {
        let plain = shop(&case, "")?;
        assert_eq!(size, rows(&plain), "both sides look up in the same table");
        let inputs = customers.map(|&customer| Input { shop: Rc::clone(&plain), customer });
        Ok(by_ref(&inputs, |input| naive(input).expect("the shop answers")))
    });
    let optimized_side = by_ref(&inputs, |input| optimized(input).expect("the shop answers"));
    Ok(Trial::new(inputs.measured(|input| rows(&input.shop)), naive_side, optimized_side))
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
        for index in ["", INDEX] {
            shop.execute_batch(index).unwrap();
            let found = [7, 9, 8].map(|customer| orders_of(&shop, customer).unwrap());
            let expected =
                [vec![order(1, "paid"), order(3, "shipped")], vec![], vec![order(2, "paid")]];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn trap_the_table_is_a_large_file_and_only_one_side_has_an_index() {
        let case = Case::realistic(10_000, 0, 42);
        let search = "SEARCH orders USING INDEX orders_by_customer (customer_id=?)";
        for (indexes, plan) in [("", "SCAN orders"), (INDEX, search)] {
            let shop = &shop(&case, indexes).unwrap().connection;
            let file = std::fs::metadata(shop.path().unwrap()).unwrap();
            assert!(file.len() > 10_000 * 100, "{} bytes", file.len());
            assert_eq!(query_plan(shop, ORDERS_OF_CUSTOMER), plan);
        }
    }

    #[test]
    fn a_lookup_finds_at_least_the_rows_of_the_limit() {
        for point in [10, 100, 1_000, 10_000] {
            let case = Case::realistic(point, 0, 42);
            let indexed = shop(&case, INDEX).unwrap();
            let inputs = case.rotate(turns(point), |case| input(case, &indexed));
            let found: usize = inputs.iter().map(|input| optimized(input).unwrap().len()).sum();
            assert!(found >= 3 * inputs.len(), "{found} in {} lookups", inputs.len());
        }
    }
}
