//! Ask whether there is a row: stop at the first one, do not count them all.

use std::rc::Rc;

use rand::RngExt;

use crate::fixtures::shop::{Shop, Size};
use worthit_pair::prelude::*;

/// Customers on a page.
const PAGE: u64 = 20;
/// Of this many customers, one has no orders.
const ONE_WITHOUT: u64 = 10;
const INDEX: &str = "CREATE INDEX orders_by_customer ON orders (customer_id)";
const BY_COUNT: &str = "SELECT id FROM customers c WHERE id BETWEEN ?1 AND ?2
     AND (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) > 0 ORDER BY id";
const BY_EXISTS: &str = "SELECT id FROM customers c WHERE id BETWEEN ?1 AND ?2
     AND EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id) ORDER BY id";

pub const PAIR: Pair = Pair {
    title: "Ask with EXISTS, do not count",
    review: Review {
        smell: "`count(*) > 0` in a WHERE; `if count_orders(customer)? > 0`; a mapper's `.count() > 0` or \
                `len(rows) > 0`, where only zero or not matters.",
        remedy: "`EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)`, with an index on the column of the \
                 condition.",
        keep_naive_when: "The number itself is shown, too. Or a key sees to it that there is one match at most, and \
                          the count is in the code already.",
        costs: "Without an index on the condition it gains less: a row that exists is found early or late, and to find \
                that none exists takes the whole table. SQLite runs EXISTS as a join. One that compares a key with \
                a parameter (`c.id = ?1`) is compiled anew each time that it comes from rusqlite's cache, which costs \
                more than a count of a few rows. `SQLITE_DBCONFIG_ENABLE_QPSG` prevents that, and is set on every \
                connection here.",
        lint: Lint::None,
    },
    naive: Side { summary: "count(*) > 0", growth: Growth::Linear },
    optimized: Side { summary: "EXISTS (SELECT 1 …)", growth: Growth::Constant },
    input: "Pages of 20 customers from a SQLite table, and for each the question whether they ever ordered, which an \
            index on the customer of the orders answers. One customer in ten never did, and each of the others has as \
            many orders as the axis says. The index holds all that is asked for. Pages alternate.",
    axis: Axis {
        name: "matches",
        unit: "orders",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 10, 100, 1_000], deep: &[] },
    },
    unit: "customer",
    headline: Headline::At { level: "", point: 100 },
    causes: &[Claim {
        cause: causes::VM_STEPS,
        // Two for each order of eighteen customers.
        naive: Count::AtLeast(|case| 36 * case.point + 300),
        optimized: Count::AtMost(|_| 250),
    }],
    explanation: Explanation {
        why: "Counting steps to every entry of the index that matches, and EXISTS to the first one. A count also has to \
              be set up for each customer, so even with one match EXISTS takes fewer steps. The search in the index, \
              the row of the customer and the statement itself are the same on both sides, and a step along the index \
              is cheap. So the gain stays below the ratio of steps, and grows with the matches.",
        share_of_cause: ShareOfCause::Within(0.08, 0.8),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "all customers have orders",
            reason: "`true` would be the answer, too",
            check: |inputs: &[Input]| {
                let found =
                    |input: &Input| optimized(input).expect("the shop answers").len() as u64;
                let all = inputs.iter().filter(|input| found(input) == customers_on(input)).count();
                ensure(all == 0, || format!("on {all} pages, all customers have orders"))
            },
            sprung: || {
                let input = small_input();
                let order = "INSERT INTO orders (customer_id, placed_at, status, note)
                             SELECT id, 0, 'paid', '' FROM customers";
                input.shop.connection.execute_batch(order).expect("the shop takes orders");
                vec![input]
            },
        },
        &Trap {
            name: "the same page again and again",
            reason: "the entries of its customers would stay in the nearest cache",
            check: |inputs: &[Input]| {
                let mut first: Vec<i64> = inputs.iter().map(|input| input.first).collect();
                first.sort_unstable();
                first.dedup();
                // With the most orders of each, there are two pages of customers.
                ensure(first.len() >= 10, || format!("{} pages", first.len()))
            },
            sprung: || {
                let Input { shop, first } = small_input();
                (0..64).map(|_| Input { shop: Rc::clone(&shop), first }).collect()
            },
        },
    ],
    limit: Limit::Work(&[
        Work::FileStatements(|_| 1),
        Work::RowsReturned(|_| PAGE - PAGE / ONE_WITHOUT - 1),
    ]),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// Id of the first customer on the page.
    first: i64,
}

/// The customers on the page who have ordered.
fn naive(input: &Input) -> rusqlite::Result<Vec<i64>> {
    customers(input, BY_COUNT)
}

/// The customers on the page who have ordered.
fn optimized(input: &Input) -> rusqlite::Result<Vec<i64>> {
    customers(input, BY_EXISTS)
}

fn customers(input: &Input, sql: &str) -> rusqlite::Result<Vec<i64>> {
    let mut query = input.shop.connection.prepare_cached(sql)?;
    let page = (input.first, input.first + PAGE as i64 - 1);
    query.query_map(page, |row| row.get(0))?.collect()
}

/// Customers in the shop, a multiple of [`ONE_WITHOUT`]: as many as have about 20,000 orders together, but two pages at
/// least and 2,000 at most.
fn customer_count(case: &Case) -> u64 {
    match case.proof_size {
        None => (20_000 / case.point.max(1)).clamp(2 * PAGE, 2_000) / ONE_WITHOUT * ONE_WITHOUT,
        Some(_) => ONE_WITHOUT * case.rng("customers").random_range(1..=2),
    }
}

/// A shop in which nine of ten customers have exactly `case.point` orders.
fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let customers = customer_count(case);
    let buyers = customers / ONE_WITHOUT * (ONE_WITHOUT - 1);
    let size = Size { customers, products: 1, orders: buyers * case.point, ..Size::default() };
    // The buyers take turns. The tenth customer of ten is none of them.
    let deal = format!(
        "UPDATE orders SET
             customer_id = (id - 1) % {buyers} / {per} * {ONE_WITHOUT} + (id - 1) % {buyers} % {per} + 1;
         {INDEX}",
        per = ONE_WITHOUT - 1,
    );
    Ok(Rc::new(Shop::new(case, size, &deal)?))
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let customers = shop.number("SELECT count(*) FROM customers", ()) as i64;
    let first = match case.shape {
        // The last ones of a page may not exist.
        Shape::Adversarial => customers - 2,
        _ => case.rng("page").random_range(1..=(customers - PAGE as i64 + 1).max(1)),
    };
    Input { shop: Rc::clone(shop), first }
}

/// Number of customers on the page.
fn customers_on(input: &Input) -> u64 {
    let sql = format!(
        "SELECT count(*) FROM customers WHERE id BETWEEN {0} AND {0} + {PAGE} - 1",
        input.first
    );
    input.shop.number(&sql, ())
}

/// The number of orders of each customer who has any; `u64::MAX` if they differ.
fn matches(input: &Input) -> u64 {
    let sql = "SELECT coalesce(min(orders), 0), coalesce(max(orders), 0)
               FROM (SELECT count(*) AS orders FROM orders GROUP BY customer_id)";
    let range = input
        .shop
        .connection
        .query_row(sql, (), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    let (fewest, most) = range.expect("the shop answers");
    if fewest == most { most as u64 } else { u64::MAX }
}

/// An input of a small shop, for the traps.
fn small_input() -> Input {
    let case = Case { proof_size: Some(5), ..Case::realistic(5, 0, 1) };
    input(&case, &shop(&case).expect("a shop of some customers"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let inputs = case.rotate(64, |case| input(case, &shop));
    let over = |side: fn(&Input) -> rusqlite::Result<Vec<i64>>| {
        by_ref(&inputs, move |input: &Input| side(input).expect("the shop answers"))
    };
    let trial = Trial::new(inputs.measured(matches), over(naive), over(optimized));
    Ok(trial.units(PAGE))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let Input { shop, .. } = small_input();
        let found = |first| {
            let input = Input { shop: Rc::clone(&shop), first };
            [naive, optimized].map(|side| side(&input).unwrap())
        };
        let sql =
            "DELETE FROM orders; INSERT INTO orders VALUES (1, 7, 0, '', ''), (2, 3, 0, '', ''),
                   (3, 7, 0, '', ''), (4, 7, 0, '', '')";
        shop.connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        shop.connection.execute_batch(sql).unwrap();
        for (first, expected) in [(1, vec![3, 7]), (4, vec![7]), (8, vec![])] {
            assert_eq!(found(first), [expected.clone(), expected]);
        }
    }

    #[test]
    fn a_page_of_customers_of_whom_one_in_ten_has_no_orders() {
        for point in [1, 1_000] {
            let case = Case::realistic(point, 0, 42);
            let input = input(&case, &shop(&case).unwrap());
            assert_eq!(matches(&input), point);
            assert_eq!(optimized(&input).unwrap().len() as u64, PAGE - PAGE / ONE_WITHOUT);
        }
    }

    /// Else compiling would take most of the time, and only on one side.
    #[test]
    fn trap_neither_statement_is_compiled_anew_for_another_page() {
        let Input { shop, .. } = small_input();
        for sql in [BY_COUNT, BY_EXISTS] {
            for first in [1, 3, 5] {
                let mut query = shop.connection.prepare_cached(sql).unwrap();
                query.query([first, first + 9]).unwrap().next().unwrap();
                assert_eq!(query.get_status(StatementStatus::RePrepare), 0, "{sql}");
            }
        }
    }

    /// Without an index, both sides would scan the orders for each customer.
    #[test]
    fn trap_both_sides_search_the_same_index() {
        for point in [1, 1_000] {
            let case = Case::realistic(point, 0, 42);
            let shop = &shop(&case).unwrap().connection;
            for (sql, kind) in [(BY_COUNT, "o"), (BY_EXISTS, "o EXISTS")] {
                let plan = query_plan(shop, sql);
                let page = "SEARCH c USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
                let orders = "COVERING INDEX orders_by_customer (customer_id=?)";
                assert!(plan.contains(page), "{plan}");
                assert!(plan.contains(&format!("SEARCH {kind} USING {orders}")), "{plan}");
            }
        }
    }
}
