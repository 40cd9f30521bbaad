//! Page through a list: continue from the last row seen, do not count the rows before it.

use std::sync::Arc;

use rand::RngExt;
use rusqlite::{Connection, Row};

use crate::fixtures::shop::{ShopFile, Size};
use worthit_pair::prelude::*;

/// Orders in the shop.
const ORDERS: u64 = 60_000;
/// Orders on a page.
const PAGE: u64 = 50;
/// An index in SQLite ends in the rowid, so that ties are in order.
const INDEX: &str = "CREATE INDEX orders_by_time ON orders (placed_at)";
const BY_OFFSET: &str = "SELECT id, placed_at, status, note FROM orders
     ORDER BY placed_at DESC, id DESC LIMIT ?1 OFFSET ?2";
const BY_KEY: &str = "SELECT id, placed_at, status, note FROM orders
     WHERE (placed_at, id) < (?2, ?3)
     ORDER BY placed_at DESC, id DESC LIMIT ?1";

pub const PAIR: Pair = Pair {
    title: "Go on from the last key",
    review: Review {
        smell: "`LIMIT 50 OFFSET page * 50`: the database walks over and throws away every row before \
                the page.",
        remedy: "Give the client the last row's sort key and ask for the rows that follow it: `WHERE (placed_at, \
                 id) < (?, ?) ORDER BY placed_at DESC, id DESC LIMIT 50`, with an index on the same columns (in \
                 SQLite every index ends in the rowid by itself). The key must end in a unique column, else rows \
                 that tie with the last one are lost.",
        keep_naive_when: "Users must jump to page 317, or nobody ever leaves the first pages.",
        costs: "No jump to a page by its number; the cursor carries the sort key, so every sort order needs its \
                own cursor and index. In return, rows inserted meanwhile neither repeat nor hide others.",
        lint: None,
    },
    naive: Side { summary: "LIMIT and OFFSET", growth: Growth::Linear },
    optimized: Side { summary: "rows after the last key", growth: Growth::Constant },
    input: "60,000 orders in a SQLite table with an index on their time, read latest first in pages of 50. Times \
            are whole minutes, so some orders tie. The axis is how many pages lie before the one that is read.",
    axis: Axis {
        name: "page depth",
        unit: "pages skipped",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 10, 100, 1_000], deep: &[] },
    },
    unit: "page",
    causes: &[Claim {
        cause: causes::VM_STEPS,
        // At least a step to the next row and one to count it off.
        naive: Count::AtLeast(|case| 2 * case.point * PAGE),
        // About a dozen for each delivered row, wherever the page is.
        optimized: Count::AtMost(|_| 20 * PAGE),
    }],
    explanation: "Steps for each skipped row became one descent of the index. Skipping a row only moves along the \
                  index, without a look at the table, so it costs far less than delivering one. The page must lie \
                  some pages deep before skipping costs as much as the page itself; from there on the gain follows \
                  the ratio of steps.",
    limit: Limit::Statements(|_| 1),
    proof: Proof { resources: Resources::System, max_size: 4 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    shop: Connection,
    /// Orders on a page.
    page: u64,
    /// Which page, from 0.
    depth: u64,
    /// Time and id of the last order before the page.
    last: (i64, i64),
    _file: ShopFile,
}

#[derive(Debug, PartialEq)]
struct Order {
    id: i64,
    placed_at: i64,
    status: String,
    note: String,
}

/// One page of orders, latest first.
fn naive(input: &Input) -> rusqlite::Result<Vec<Order>> {
    let mut query = input.shop.prepare_cached(BY_OFFSET)?;
    let (limit, offset) = (input.page as i64, (input.depth * input.page) as i64);
    query.query_map((limit, offset), order)?.collect()
}

/// One page of orders, latest first.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Order>> {
    let mut query = input.shop.prepare_cached(BY_KEY)?;
    let (placed_at, id) = input.last;
    query.query_map((input.page as i64, placed_at, id), order)?.collect()
}

fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order { id: row.get(0)?, placed_at: row.get(1)?, status: row.get(2)?, note: row.get(3)? })
}

/// Sort key of the last order before a page, which a client that paged there was given. For the first page it
/// is above all orders.
fn last_before(shop: &Connection, page: u64, depth: u64) -> (i64, i64) {
    let sql = "SELECT placed_at, id FROM orders ORDER BY placed_at DESC, id DESC
               LIMIT 1 OFFSET ?1 - 1";
    match page * depth {
        0 => (i64::MAX, i64::MAX),
        skipped => shop
            .query_row(sql, [skipped as i64], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("there are that many orders"),
    }
}

/// Number of orders before the page, counted from its cursor and not from the depth.
fn orders_before(shop: &Connection, last: (i64, i64)) -> u64 {
    let sql = "SELECT count(*) FROM orders WHERE (placed_at, id) >= (?1, ?2)";
    shop.query_row(sql, last, |row| row.get(0)).map(|count: i64| count as u64).expect("a count")
}

fn input(case: &Case) -> Result<Input, Unavailable> {
    let page = case.items(PAGE).max(1) as u64;
    let orders = match case.proof_size {
        None => ORDERS,
        // The page itself may be full, cut short or empty.
        Some(_) => case.point * page + case.rng("last page").random_range(0..=page),
    };
    let file = ShopFile::new(paths::scratch()?, case, Size::of_orders(orders), INDEX)?;
    let shop = file.open()?;
    let last = last_before(&shop, page, case.point);
    Ok(Input { shop, page, depth: case.point, last, _file: file })
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let input = input(case)?;
    let depth = orders_before(&input.shop, input.last) / input.page;
    #[expect(clippy::arc_with_non_send_sync, reason = "one thread runs both sides")]
    let input = Arc::new(input);
    Ok(Trial::new(
        depth,
        by_ref(&input, |input| naive(input).expect("the shop answers")),
        by_ref(&input, |input| optimized(input).expect("the shop answers")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    fn small(point: u64) -> Case {
        Case { proof_size: Some(PAGE), ..Case::realistic(point, 0, 42) }
    }

    #[test]
    fn known_answers_with_ties_across_pages() {
        let mut input = input(&small(0)).unwrap();
        input
            .shop
            .execute_batch(
                "DELETE FROM order_lines; DELETE FROM orders;
                 INSERT INTO orders VALUES (1, 1, 30, '', ''), (2, 1, 10, '', ''), (3, 1, 20, '', ''),
                     (4, 1, 20, '', ''), (5, 1, 20, '', ''), (6, 1, 10, '', '')",
            )
            .unwrap();
        input.page = 2;
        for (depth, last, ids) in [
            (0, (i64::MAX, i64::MAX), &[1, 5][..]),
            (1, (20, 5), &[4, 3]),
            (2, (20, 3), &[6, 2]),
            (3, (10, 2), &[]),
        ] {
            (input.depth, input.last) = (depth, last_before(&input.shop, 2, depth));
            assert_eq!(input.last, last);
            assert_eq!(orders_before(&input.shop, input.last), 2 * depth);
            for side in [naive, optimized] {
                let found = side(&input).unwrap();
                assert_eq!(found.iter().map(|order| order.id).collect::<Vec<_>>(), ids);
            }
        }
    }

    /// On the first page both sides do the same, so the sweep must go deeper, to pages that exist.
    #[test]
    fn trap_deep_pages_are_full_and_far_down() {
        let deepest = *PAIR.axis.points.default_points().last().unwrap();
        assert!(deepest * PAGE > ORDERS / 2);
        let input = input(&Case::realistic(deepest, 0, 42)).unwrap();
        assert_eq!(orders_before(&input.shop, input.last), deepest * PAGE);
        assert_eq!(optimized(&input).unwrap().len() as u64, PAGE);
    }

    /// A naive side that sorts for every page would be a straw man: both walk the same index.
    #[test]
    fn trap_both_sides_use_the_index_and_neither_sorts() {
        let input = input(&small(2)).unwrap();
        let plan = query_plan(&input.shop, BY_OFFSET);
        assert_eq!(plan, "SCAN orders USING INDEX orders_by_time");
        let plan = query_plan(&input.shop, BY_KEY);
        assert_eq!(plan, "SEARCH orders USING INDEX orders_by_time (placed_at<?)");
    }

    #[test]
    fn trap_times_tie() {
        let input = input(&small(20)).unwrap();
        let ties = "SELECT 1 FROM orders GROUP BY placed_at HAVING count(*) > 1 LIMIT 1";
        assert_eq!(input.shop.query_row(ties, (), |row| row.get(0)), Ok(1));
    }
}
