//! Find the rows of a day: compare the column itself with the ends of the day, not a function of it.

use std::rc::Rc;

use rand::RngExt;
use rusqlite::Row;

use crate::fixtures::shop::{OPENED_AT, Shop, Size};
use worthit_pair::prelude::*;

const INDEX: &str = "CREATE INDEX orders_by_time ON orders (placed_at)";
const BY_FUNCTION: &str = "SELECT id, placed_at, status FROM orders
     WHERE date(placed_at, 'unixepoch') = ?1 ORDER BY placed_at, id";
const BY_RANGE: &str = "SELECT id, placed_at, status FROM orders
     WHERE placed_at >= unixepoch(?1) AND placed_at < unixepoch(?1, '+1 day') ORDER BY placed_at, id";

pub const PAIR: Pair = Pair {
    title: "Compare the column, not a function of it",
    review: Review {
        smell: "A WHERE that passes an indexed column to a function: `date(placed_at) = ?1`, `lower(email) = ?1`, \
                `price * 1.2 < ?1`. `EXPLAIN QUERY PLAN` says `SCAN`.",
        remedy: "Leave the column alone and compute the bounds: `placed_at >= unixepoch(?1) AND placed_at < \
                 unixepoch(?1, '+1 day')`. The range is half-open, so that it needs no last second of the day.",
        keep_naive_when: "No index begins with the column, the table stays small, or most rows are of that day. Or the \
                          function has no range of its own, as `lower` has none: then an index on the expression \
                          helps.",
        costs: "The bounds must be those of the day that is meant: in the zone of the shop, whose days are shorter or \
                longer when clocks change. So compute both ends in that zone, and never add 86,400 seconds.",
        lint: Lint::None,
    },
    naive: Side { summary: "date(placed_at) = ?1", growth: Growth::Linear },
    optimized: Side {
        summary: "a half-open range of placed_at",
        growth: Growth::Until(&Growth::Constant, "the table outgrows SQLite's page cache"),
    },
    input: "Days drawn at random from the life of a shop with about a hundred orders a day, in a SQLite table with an \
            index on the time of the order, which both sides use. Times are seconds since 1970, and days are UTC. The \
            axis is the number of orders, and so the number of days.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[100, 300, 1_000, 3_000, 10_000], deep: &[100_000] },
    },
    unit: "query",
    headline: Headline::At { level: "", point: 10_000 },
    causes: &[
        Claim {
            cause: causes::VM_STEPS,
            naive: Count::AtLeast(|case| 5 * case.point),
            // About a dozen for each order of the day.
            optimized: Count::AtMost(|_| 1_500),
        },
        Claim {
            cause: causes::FULL_SCAN_STEPS,
            // Going to the first entry is no step; each other entry is one.
            naive: Count::Exactly(|case| case.point - 1),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "An index is sorted by the column, and does not say where a function of it has a given value. So the naive \
              side goes through all entries and computes the calendar date of each, which takes longer than the step \
              itself. The range is found by one search, and then only the orders of the day are read. Those are the \
              same on both sides, so in a shop that is a few days old there is little to gain.",
        share_of_cause: ShareOfCause::Within(0.08, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "a day without orders",
            reason: "the range would find nothing, and the function would still be computed for all",
            check: |inputs: &[Input]| {
                let found = |input: &Input| optimized(input).expect("the shop answers").len();
                let empty = inputs.iter().filter(|input| found(input) == 0).count();
                ensure(empty == 0, || format!("{empty} days have no orders"))
            },
            sprung: || vec![Input { day: "1999-12-31".to_owned(), ..small_input() }],
        },
        &Trap {
            name: "all orders are of one day",
            reason: "the range would hold the whole table",
            check: |inputs: &[Input]| {
                let sql = "SELECT count(DISTINCT placed_at / 86400) FROM orders";
                let days = inputs[0].shop.number(sql, ());
                ensure(days >= 2, || format!("{days} days"))
            },
            sprung: || {
                let input = small_input();
                let one_day = "UPDATE orders SET placed_at = placed_at % 86400";
                input.shop.connection.execute_batch(one_day).expect("the shop takes it");
                vec![input]
            },
        },
    ],
    // A day has about a hundred orders. Of the first and the last one, only a part may be in the life of the shop.
    limit: Limit::Work(&[Work::FileStatements(|_| 1), Work::RowsReturned(|_| 60)]),
    proof: Proof { resources: Resources::System, max_size: 150 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// A day as SQLite writes it: `2023-11-15`.
    day: String,
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

/// The orders of the day.
fn naive(input: &Input) -> rusqlite::Result<Vec<Order>> {
    let mut query = input.shop.connection.prepare_cached(BY_FUNCTION)?;
    query.query_map([&input.day], order)?.collect()
}

/// The orders of the day.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Order>> {
    let mut query = input.shop.connection.prepare_cached(BY_RANGE)?;
    query.query_map([&input.day], order)?.collect()
}

fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order { id: row.get(0)?, placed_at: row.get(1)?, status: row.get(2)? })
}

/// Seconds of a day in UTC.
const DAY: i64 = 86_400;

/// SQL that gives the orders their times.
fn times(case: &Case) -> String {
    match case.shape {
        // The fixture's shop has an order every 40 seconds on average; this one has one every 14 minutes.
        Shape::Realistic => {
            format!("UPDATE orders SET placed_at = {OPENED_AT} + (placed_at - {OPENED_AT}) * 21;")
        }
        // The first and the last second of days, before and after 1970.
        Shape::Adversarial => {
            format!("UPDATE orders SET placed_at = (id % 7 - 3) * {DAY} - id % 2 WHERE id % 5 > 0;")
        }
        // Some seconds around the end of a day.
        Shape::Sorted => format!("UPDATE orders SET placed_at = {DAY} * 365 - 5 + id;"),
        _ => String::new(),
    }
}

fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let sql = format!("{}{INDEX}", times(case));
    Ok(Rc::new(Shop::new(case, Size::of_orders(case.point), &sql)?))
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let mut rng = case.rng("day");
    let start = match case.shape {
        Shape::Realistic if case.point > 0 => {
            let sql = "SELECT placed_at FROM orders WHERE id = ?1";
            let mut query = shop.connection.prepare_cached(sql).expect("there are orders");
            let of_an_order =
                query.query_row([rng.random_range(1..=case.point as i64)], |row| row.get(0));
            of_an_order.expect("ids are from 1 on")
        }
        Shape::Sorted => DAY * (365 - rng.random_range(0..=1)),
        _ => DAY * rng.random_range(-4..=4),
    };
    let sql = "SELECT date(?1, 'unixepoch')";
    let day = shop.connection.query_row(sql, [start], |row| row.get(0)).expect("a day");
    Input { shop: Rc::clone(shop), day }
}

fn orders(input: &Input) -> u64 {
    input.shop.number("SELECT count(*) FROM orders", ())
}

/// An input of a small shop, for the traps.
fn small_input() -> Input {
    let case = Case { proof_size: Some(300), ..Case::realistic(300, 0, 1) };
    input(&case, &shop(&case).expect("a shop of some orders"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let inputs = case.rotate(64, |case| input(case, &shop));
    let over = |side: fn(&Input) -> rusqlite::Result<Vec<Order>>| {
        by_ref(&inputs, move |input: &Input| side(input).expect("the shop answers"))
    };
    Ok(Trial::new(inputs.measured(orders), over(naive), over(optimized)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers_at_the_ends_of_days() {
        let Input { shop, .. } = small_input();
        shop.connection
            .execute_batch(
                "PRAGMA foreign_keys = OFF; DELETE FROM orders; INSERT INTO orders VALUES
                 (1, 1, unixepoch('2024-02-28 23:59:59'), '', ''),
                 (2, 1, unixepoch('2024-02-29 00:00:00'), '', ''),
                 (3, 1, unixepoch('2024-02-29 23:59:59'), '', ''),
                 (4, 1, unixepoch('2024-03-01 00:00:00'), '', ''),
                 (5, 1, unixepoch('1969-12-31 12:00:00'), '', ''),
                 (6, 1, unixepoch('2024-02-29 00:00:00'), '', '')",
            )
            .unwrap();
        for (day, ids) in [
            ("2024-02-28", &[1][..]),
            ("2024-02-29", &[2, 6, 3]),
            ("2024-03-01", &[4]),
            ("1969-12-31", &[5]),
            ("1970-01-01", &[]),
        ] {
            let input = Input { shop: Rc::clone(&shop), day: day.to_owned() };
            for side in [naive, optimized] {
                let found: Vec<i64> = side(&input).unwrap().iter().map(|order| order.id).collect();
                assert_eq!(found, ids, "{day}");
            }
        }
    }

    #[test]
    fn trap_both_sides_have_the_index_and_neither_sorts() {
        for point in [100, 10_000] {
            let shop = &shop(&Case::realistic(point, 0, 42)).unwrap().connection;
            for (sql, plan) in [
                (BY_FUNCTION, "SCAN orders USING INDEX orders_by_time"),
                (
                    BY_RANGE,
                    "SEARCH orders USING INDEX orders_by_time (placed_at>? AND placed_at<?)",
                ),
            ] {
                assert_eq!(query_plan(shop, sql), plan);
            }
        }
    }

    /// In a zone that is behind UTC, the same day has other ends, and both sides can ask for them.
    #[test]
    fn trap_a_day_of_another_zone_has_other_ends() {
        let Input { shop, .. } = small_input();
        let days = |sql: &str| -> (i64, i64) {
            shop.connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        let by_function = "SELECT min(placed_at), max(placed_at) FROM orders
                           WHERE date(placed_at, 'unixepoch', '-5 hours') = '2023-11-16'";
        let by_range = "SELECT min(placed_at), max(placed_at) FROM orders
                        WHERE placed_at >= unixepoch('2023-11-16', '+5 hours')
                        AND placed_at < unixepoch('2023-11-17', '+5 hours')";
        assert_eq!(days(by_function), days(by_range));
        assert_ne!(days(by_range), days(&by_range.replace(" hours", " minutes")));
    }
}
