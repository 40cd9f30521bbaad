//! Order the columns of an index: first those that are compared for equality, then the range.

use std::rc::Rc;

use rand::RngExt;
use rusqlite::Row;

use crate::fixtures::shop::{OPENED_AT, Shop, Size};
use worthit_pair::prelude::*;

/// Orders in the shop, a multiple of 100, so that each share is exact.
const ORDERS: u64 = 20_000;
/// Orders in the period that is asked for.
const PERIOD: u64 = 1_000;
/// Seconds from one order to the next: no two have the same time.
const SECONDS: i64 = 40;
const RANGE_FIRST: &str = "CREATE INDEX orders_by_time_and_status ON orders (placed_at, status)";
const EQUAL_FIRST: &str = "CREATE INDEX orders_by_status_and_time ON orders (status, placed_at)";
const RETURNED_ORDERS: &str = "SELECT id, placed_at, customer_id FROM orders
     WHERE status = 'returned' AND placed_at >= unixepoch(?1) AND placed_at < unixepoch(?2) ORDER BY placed_at";

pub const PAIR: Pair = Pair {
    title: "Put the range last in an index",
    review: Review {
        smell: "An index on several columns whose first one is compared with `<`, `>` or BETWEEN, where the query also \
                compares another one with `=`: `(placed_at, status)`. The plan says `SEARCH`, but names only the first \
                column.",
        remedy: "`CREATE INDEX orders_by_status_and_time ON orders (status, placed_at)`: the columns that are compared \
                 for equality, in any order, then the one that has a range or that the rows are sorted by. Test that \
                 the plan names them all.",
        keep_naive_when: "Nearly all rows in the range have the status that is asked for. Or the index also serves \
                          queries that ask for the time alone, and a second index costs more than it gains.",
        costs: "The index no longer finds rows by their time alone, except by a skip-scan: one search for each status, \
                which SQLite makes after `ANALYZE` if there are few of them. Entries of one status lie together, so an \
                order that changes its status moves to another place in the index.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "index on (placed_at, status)",
        growth: Growth::Other(
            "grows with the orders found, and less where they are neighbours in the table",
        ),
    },
    optimized: Side {
        summary: "index on (status, placed_at)",
        growth: Growth::Other(
            "grows with the orders found, and less where they are neighbours in the table",
        ),
    },
    input: "The returned orders of a period in which 1,000 orders were placed, from a SQLite table of 20,000, each \
            time from another order on. Exactly the stated share of the table was returned, spread over all of its \
            life. Each row that is found is read from the table. The table with the other index has the same \
            rows.",
    axis: Axis {
        name: "selectivity",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[1, 5, 20, 100], deep: &[] },
    },
    unit: "query",
    headline: Headline::At { level: "", point: 5 },
    causes: &[Claim {
        cause: causes::VM_STEPS,
        // Each order of the period is a step along the index and a look at its status; some more if it is found.
        naive: Count::AtLeast(|case| 2 * PERIOD + 5 * PERIOD * case.point / 100),
        optimized: Count::AtMost(|case| 60 + 12 * PERIOD * case.point / 100),
    }],
    explanation: Explanation {
        why: "An index is sorted by its first column, and by the next one only among equal ones. A range of times is a \
              stretch of the index in which every status occurs, so the naive side steps through all of it and looks at \
              each status. With the status first, what is asked for is one stretch, and each step finds a row. Reading \
              the rows from the table is the same on both sides and costs more than a step, so the gain is smaller than \
              the ratio of steps, and nothing is left where all orders have the status.",
        share_of_cause: ShareOfCause::Within(0.06, 0.6),
        far_end: FarEnd::Falls("reading the rows that are found, which both sides do"),
        keep_naive: KeepNaive::From(100),
    },
    traps: &[
        &Trap {
            name: "no order of the period was returned",
            reason: "one side would look at all of them, and the other would find an empty stretch",
            check: |inputs: &[Input]| {
                let found = |input: &Input| optimized(input).expect("the shop answers").len();
                let empty = inputs.iter().filter(|input| found(input) == 0).count();
                ensure(empty == 0, || format!("{empty} periods have none"))
            },
            sprung: || {
                let input = small_input();
                let shipped = "UPDATE orders SET status = 'shipped'";
                input.shop.connection.execute_batch(shipped).expect("the shop takes it");
                vec![input]
            },
        },
        &Trap {
            name: "the returned orders are the latest",
            reason: "the two columns would say the same, and the range alone would find them",
            check: |inputs: &[Input]| {
                let sql = "SELECT max(id) - min(id) FROM orders WHERE status = 'returned'";
                let shop = &inputs[0].shop;
                let spread = shop.number(sql, ());
                let all = shop.number("SELECT count(*) FROM orders", ());
                ensure(2 * spread > all, || format!("they are within {spread} of {all} orders"))
            },
            sprung: || {
                let input = small_input();
                let latest = "UPDATE orders SET status = iif(id > 90, 'returned', 'shipped')";
                input.shop.connection.execute_batch(latest).expect("the shop takes it");
                vec![input]
            },
        },
    ],
    limit: Limit::Work(&[
        Work::FileStatements(|_| 1),
        Work::RowsReturned(|case| (PERIOD * case.point / 100).saturating_sub(1)),
    ]),
    proof: Proof { resources: Resources::System, max_size: 60 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// Start of the period, as SQLite writes it: `2023-11-15 07:13:20`.
    from: String,
    /// Its end, which is not part of it.
    to: String,
}

#[derive(Debug, PartialEq)]
struct Order {
    id: i64,
    placed_at: i64,
    customer_id: i64,
}

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// The returned orders of the period, in a shop whose index begins with the time.
fn naive(input: &Input) -> rusqlite::Result<Vec<Order>> {
    returned_orders(input)
}

/// The returned orders of the period, in a shop whose index begins with the status.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Order>> {
    returned_orders(input)
}

/// The same query for both sides; the database makes the best of its index.
fn returned_orders(input: &Input) -> rusqlite::Result<Vec<Order>> {
    let mut query = input.shop.connection.prepare_cached(RETURNED_ORDERS)?;
    let order = |row: &Row<'_>| {
        Ok(Order { id: row.get(0)?, placed_at: row.get(1)?, customer_id: row.get(2)? })
    };
    query.query_map([&input.from, &input.to], order)?.collect()
}

/// Orders in the shop of a case.
fn orders_in(case: &Case) -> u64 {
    if case.proof_size.is_some() { 100 } else { ORDERS }
}

/// A shop in which exactly `case.point` percent of the orders were returned.
fn shop(case: &Case, index: &str) -> Result<Rc<Shop>, Unavailable> {
    let orders = orders_in(case);
    // In a proof, some are a second apart, at the ends of periods too.
    let jitter = if case.shape == Shape::Realistic { 0 } else { SECONDS - 1 };
    // 37 and 100 have no common factor: among each hundred ids, each remainder occurs once.
    let sql = format!(
        "UPDATE orders SET placed_at = {OPENED_AT} + id * {SECONDS} - id % 2 * {jitter},
             status = CASE WHEN id * 37 % 100 < {returned} THEN 'returned'
                           WHEN status = 'returned' THEN 'delivered' ELSE status END;
         {index}",
        returned = case.point
    );
    Ok(Rc::new(Shop::new(case, Size::of_orders(orders), &sql)?))
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let orders = orders_in(case);
    let period = case.items(PERIOD) as i64;
    let first = case.rng("period").random_range(1..=orders as i64 - period + 1);
    let text = |id: i64| {
        let sql = "SELECT datetime(?1, 'unixepoch')";
        let text = shop.connection.query_row(sql, [OPENED_AT + id * SECONDS], |row| row.get(0));
        text.expect("a time")
    };
    Input { shop: Rc::clone(shop), from: text(first), to: text(first + period) }
}

/// The share of the orders that were returned, in percent; `u64::MAX` if it is not a whole number.
fn returned_percent(input: &Input) -> u64 {
    let sql = "SELECT count(*) FILTER (WHERE status = 'returned'), count(*) FROM orders";
    let counts = input
        .shop
        .connection
        .query_row(sql, (), |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)));
    let (returned, all) = counts.expect("two counts");
    if 100 * returned % all == 0 { 100 * returned / all } else { u64::MAX }
}

/// An input of a small shop, for the traps.
fn small_input() -> Input {
    let case = Case { proof_size: Some(60), ..Case::realistic(5, 0, 1) };
    input(&case, &shop(&case, EQUAL_FIRST).expect("a shop of some orders"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let right = shop(case, EQUAL_FIRST)?;
    let wrong = shop(case, RANGE_FIRST)?;
    let rows = |shop: &Shop| -> (i64, i64) {
        let sql =
            "SELECT count(*), sum(placed_at % 1009 * id) FROM orders WHERE status = 'returned'";
        shop.connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).expect("sums")
    };
    assert_eq!(rows(&right), rows(&wrong), "both sides search the same table");
    let inputs = case.rotate(64, |case| input(case, &right));
    let in_wrong = inputs.map(|input| Input {
        shop: Rc::clone(&wrong),
        from: input.from.clone(),
        to: input.to.clone(),
    });
    Ok(Trial::new(
        inputs.measured(returned_percent),
        by_ref(&in_wrong, |input| naive(input).expect("the shop answers")),
        by_ref(&inputs, |input| optimized(input).expect("the shop answers")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let Input { shop, .. } = small_input();
        shop.connection
            .execute_batch(
                "PRAGMA foreign_keys = OFF; DELETE FROM orders; INSERT INTO orders VALUES
                 (1, 7, unixepoch('2024-02-29 10:00:00'), 'returned', ''),
                 (2, 8, unixepoch('2024-02-29 11:00:00'), 'shipped', ''),
                 (3, 9, unixepoch('2024-02-29 12:00:00'), 'returned', ''),
                 (4, 7, unixepoch('2024-02-29 11:00:00'), 'returned', ''),
                 (5, 7, unixepoch('2024-02-29 11:00:01'), 'returned', '')",
            )
            .unwrap();
        let found = |from: &str, to: &str| -> Vec<i64> {
            let (from, to) = (format!("2024-02-29 {from}"), format!("2024-02-29 {to}"));
            let input = Input { shop: Rc::clone(&shop), from, to };
            let ids = |orders: Vec<Order>| orders.iter().map(|order| order.id).collect();
            let found: [Vec<i64>; 2] = [naive, optimized].map(|side| ids(side(&input).unwrap()));
            assert_eq!(found[0], found[1]);
            found[0].clone()
        };
        for index in ["", RANGE_FIRST] {
            shop.connection.execute_batch(index).unwrap();
            assert_eq!(found("10:00", "12:00"), [1, 4, 5]);
            assert_eq!(found("11:00", "12:01"), [4, 5, 3]);
            assert!(found("12:01", "13:00").is_empty());
            shop.connection
                .execute_batch("DROP INDEX IF EXISTS orders_by_status_and_time")
                .unwrap();
        }
    }

    #[test]
    fn trap_both_sides_search_an_index_and_neither_sorts() {
        for point in [1, 5, 100] {
            for (index, plan) in [
                (RANGE_FIRST, "orders_by_time_and_status (placed_at>? AND placed_at<?)"),
                (
                    EQUAL_FIRST,
                    "orders_by_status_and_time (status=? AND placed_at>? AND placed_at<?)",
                ),
            ] {
                let shop = shop(&Case::realistic(point, 0, 42), index).unwrap();
                let plan = format!("SEARCH orders USING INDEX {plan}");
                assert_eq!(query_plan(&shop.connection, RETURNED_ORDERS), plan, "{point} %");
            }
        }
    }

    #[test]
    fn a_period_has_as_many_orders_as_the_card_says() {
        let case = Case::realistic(5, 0, 42);
        let shop = shop(&case, EQUAL_FIRST).unwrap();
        for turn in 0..8 {
            let input = input(&Case { turn, ..case.clone() }, &shop);
            let sql = "SELECT count(*) FROM orders
                       WHERE placed_at >= unixepoch(?1) AND placed_at < unixepoch(?2)";
            assert_eq!(shop.number(sql, [&input.from, &input.to]), PERIOD);
            assert_eq!(optimized(&input).unwrap().len() as u64, PERIOD * 5 / 100);
        }
    }
}
