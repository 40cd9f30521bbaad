//! Page through a list: continue from the last row seen, do not count the rows before it.

use std::rc::Rc;

use rand::RngExt;
use rusqlite::{Connection, Row};

use crate::fixtures::shop::{Shop, Size};
use worthit_pair::prelude::*;

/// Orders in the shop.
const ORDERS: u64 = 60_000;
/// Orders on a page.
const PAGE: u64 = 50;
/// An index in SQLite ends in the rowid, so that ties are in order.
const INDEX: &str = "CREATE INDEX orders_by_time ON orders (placed_at)";
const BY_OFFSET: &str = "SELECT id, placed_at, status, note FROM orders WHERE placed_at <= ?2
     ORDER BY placed_at DESC, id DESC LIMIT ?1 OFFSET ?3";
const BY_KEY: &str = "SELECT id, placed_at, status, note FROM orders
     WHERE (placed_at, id) < (?2, ?3)
     ORDER BY placed_at DESC, id DESC LIMIT ?1";

pub const PAIR: Pair = Pair {
    title: "Go on from the last key",
    review: Review {
        smell: "`LIMIT 50 OFFSET page * 50`: the database walks over and throws away every row before \
                the page.",
        remedy: "Give the client the last row's sort key and ask for the rows that follow it: `WHERE (placed_at, \
                 id) < (?2, ?3) ORDER BY placed_at DESC, id DESC LIMIT ?1`, with an index on the same columns (in \
                 SQLite every index ends in the rowid by itself). The key must end in a unique column, else rows \
                 that tie with the last one are lost.",
        keep_naive_when: "Users must jump to page 317, or nobody ever leaves the first pages.",
        costs: "No jump to a page by its number; the cursor carries the sort key, so every sort order needs its \
                own cursor and index. In return, rows inserted meanwhile neither repeat nor hide others.",
        lint: Lint::None,
    },
    naive: Side { summary: "LIMIT and OFFSET", growth: Growth::Linear },
    optimized: Side { summary: "rows after the last key", growth: Growth::Constant },
    input: "60,000 orders in a SQLite table with an index on their time, read latest first in pages of 50, each time \
            from another day on. Times are whole minutes, so some orders tie. The axis is how many pages lie before \
            the one that is read.",
    axis: Axis {
        name: "page depth",
        unit: "pages skipped",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 10, 100, 1_000], deep: &[] },
    },
    unit: "page",
    headline: Headline::At { level: "", point: 100 },
    causes: &[Claim {
        cause: causes::VM_STEPS,
        // At least a step to the next row and one to count it off.
        naive: Count::AtLeast(|case| 2 * case.point * PAGE),
        // About a dozen for each delivered row, wherever the page is.
        optimized: Count::AtMost(|_| 20 * PAGE),
    }],
    explanation: Explanation {
        why: "Steps for each skipped row became one descent of the index. Skipping a row only moves along the \
              index, without a look at the table, so its steps cost far less than those that deliver a row. The page \
              must lie some pages deep before skipping costs as much as the page itself; from there on the gain \
              follows the ratio of steps.",
        share_of_cause: ShareOfCause::Within(0.08, 0.35),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "the page lies behind the end of the list",
            reason: "the sides would deliver no rows, which is most of the work of a page",
            check: |inputs: &[Input]| {
                let rows = |input: &Input| optimized(input).expect("the shop answers").len() as u64;
                let short = inputs.iter().map(rows).find(|rows| *rows < PAGE);
                ensure(short.is_none(), || format!("a page has {short:?} rows"))
            },
            sprung: || vec![Input { last: (i64::MIN, 0), ..small_input() }],
        },
        &Trap {
            name: "no orders tie",
            reason: "the key would need no second column, and the comparison of rows would be another one",
            check: |inputs: &[Input]| {
                let sql = "SELECT 1 FROM orders GROUP BY placed_at HAVING count(*) > 1 LIMIT 1";
                let tie = inputs[0].shop.connection.query_row(sql, (), |row| row.get(0));
                ensure(tie == Ok(1), || "all times differ".to_owned())
            },
            sprung: || {
                let input = small_input();
                let spread = "UPDATE orders SET placed_at = 3600 * id";
                input.shop.connection.execute_batch(spread).expect("the shop takes times");
                vec![input]
            },
        },
    ],
    limit: Limit::Work(&[Work::FileStatements(|_| 1), Work::RowsReturned(|_| PAGE - 1)]),
    proof: Proof { resources: Resources::System, max_size: 4 },
    prepare,
    ..Pair::DEFAULTS
};

/// Days to begin from.
const TURNS: u64 = 64;

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// Orders on a page.
    page: u64,
    /// Time of the latest order in the list.
    until: i64,
    /// Which page, from 0.
    depth: u64,
    /// Time and id of the last order before the page.
    last: (i64, i64),
}

#[derive(Debug, PartialEq)]
struct Order {
    id: i64,
    placed_at: i64,
    status: String,
    note: String,
}

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// One page of orders, latest first.
fn naive(input: &Input) -> rusqlite::Result<Vec<Order>> {
    let mut query = input.shop.connection.prepare_cached(BY_OFFSET)?;
    let (limit, offset) = (input.page as i64, (input.depth * input.page) as i64);
    query.query_map((limit, input.until, offset), order)?.collect()
}

/// One page of orders, latest first.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Order>> {
    let mut query = input.shop.connection.prepare_cached(BY_KEY)?;
    let (placed_at, id) = input.last;
    query.query_map((input.page as i64, placed_at, id), order)?.collect()
}

fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order { id: row.get(0)?, placed_at: row.get(1)?, status: row.get(2)?, note: row.get(3)? })
}

/// Time and id of the order at a place in the list, from 0.
fn key(shop: &Connection, until: i64, place: u64) -> (i64, i64) {
    let sql = "SELECT placed_at, id FROM orders WHERE placed_at <= ?1
               ORDER BY placed_at DESC, id DESC LIMIT 1 OFFSET ?2";
    shop.query_row(sql, (until, place as i64), |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("there are that many orders")
}

/// Sort key of the last order before a page, which a client that paged there was given. For the first page it
/// is above all orders of the list.
fn last_before(shop: &Connection, until: i64, skipped: u64) -> (i64, i64) {
    if skipped == 0 { (until, i64::MAX) } else { key(shop, until, skipped - 1) }
}

/// Number of orders of the list before the page, counted from its cursor and not from the depth.
fn orders_before(input: &Input) -> u64 {
    let sql = "SELECT count(*) FROM orders WHERE placed_at <= ?1 AND (placed_at, id) >= (?2, ?3)";
    let (placed_at, id) = input.last;
    input.shop.number(sql, (input.until, placed_at, id))
}

/// A shop with pages of `page` orders.
fn shop(case: &Case, page: u64) -> Result<Rc<Shop>, Unavailable> {
    let orders = match case.proof_size {
        None => ORDERS,
        // The page itself may be full, cut short or empty.
        Some(_) => case.point * page + case.rng("last page").random_range(0..=page),
    };
    Ok(Rc::new(Shop::new(case, Size::of_orders(orders), INDEX)?))
}

fn input(case: &Case, shop: &Rc<Shop>, page: u64) -> Input {
    let connection = &shop.connection;
    let orders = shop.number("SELECT count(*) FROM orders", ());
    // The list begins at any order that leaves enough of them for the page.
    let spare = orders.saturating_sub((case.point + 1) * page);
    let first = case.rng("first order").random_range(0..=spare);
    let until = if orders == 0 { 0 } else { key(connection, i64::MAX, first).0 };
    let last = last_before(connection, until, case.point * page);
    Input { shop: Rc::clone(shop), page, until, depth: case.point, last }
}

/// An input of a small shop.
fn small_input() -> Input {
    let case = Case { proof_size: Some(PAGE), ..Case::realistic(20, 0, 42) };
    input(&case, &shop(&case, PAGE).expect("a shop of a thousand orders"), PAGE)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let page = case.items(PAGE).max(1) as u64;
    let shop = shop(case, page)?;
    let inputs = case.rotate(TURNS, |case| input(case, &shop, page));
    Ok(Trial::new(
        inputs.measured(|input| orders_before(input) / input.page),
        by_ref(&inputs, |input| naive(input).expect("the shop answers")),
        by_ref(&inputs, |input| optimized(input).expect("the shop answers")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers_with_ties_across_pages() {
        let Input { shop, .. } = small_input();
        shop.connection
            .execute_batch(
                "DELETE FROM order_lines; DELETE FROM payments; DELETE FROM shipments; DELETE FROM orders;
                 INSERT INTO orders VALUES (1, 1, 30, '', ''), (2, 1, 10, '', ''), (3, 1, 20, '', ''),
                     (4, 1, 20, '', ''), (5, 1, 20, '', ''), (6, 1, 10, '', '')",
            )
            .unwrap();
        for (until, depth, last, ids) in [
            (99, 0, (99, i64::MAX), &[1, 5][..]),
            (99, 1, (20, 5), &[4, 3]),
            (99, 2, (20, 3), &[6, 2]),
            (99, 3, (10, 2), &[]),
            (20, 1, (20, 4), &[3, 6]),
        ] {
            assert_eq!(last_before(&shop.connection, until, 2 * depth), last);
            let input = Input { shop: Rc::clone(&shop), page: 2, until, depth, last };
            assert_eq!(orders_before(&input), 2 * depth);
            for side in [naive, optimized] {
                let found = side(&input).unwrap();
                assert_eq!(found.iter().map(|order| order.id).collect::<Vec<_>>(), ids);
            }
        }
    }

    /// A naive side that sorts for every page would be a straw man: both walk the same index.
    #[test]
    fn trap_both_sides_use_the_index_and_neither_sorts() {
        let shop = &small_input().shop.connection;
        for sql in [BY_OFFSET, BY_KEY] {
            let plan = query_plan(shop, sql);
            assert_eq!(plan, "SEARCH orders USING INDEX orders_by_time (placed_at<?)");
        }
    }
}
