//! A running total of rows: with a window function, not with a subquery for each row.

use std::rc::Rc;

use rand::RngExt;
use rusqlite::Row;

use crate::fixtures::shop::{Shop, Size};
use worthit_pair::prelude::*;

/// Payments in the shop.
const PAYMENTS: u64 = 4_000;
/// Some payments were cancelled, so that ids have gaps, and some are refunds.
const CANCEL_AND_REFUND: &str = "DELETE FROM payments WHERE id % 16 = 5;
     UPDATE payments SET amount_cents = -amount_cents WHERE id % 9 = 4";
/// In proofs, totals exceed the integers that a float holds exactly, and do not overflow.
const LARGE_AMOUNTS: &str =
    "UPDATE payments SET amount_cents = amount_cents * 100000000000 WHERE id % 5 = 1";
const CORRELATED: &str = "SELECT id, amount_cents,
         (SELECT sum(e.amount_cents) FROM payments e WHERE e.id BETWEEN ?1 AND p.id) AS total
     FROM payments p WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
const WINDOW: &str = "SELECT id, amount_cents,
         sum(amount_cents) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total
     FROM payments WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
const PLAIN: &str = "SELECT id, amount_cents FROM payments WHERE id BETWEEN ?1 AND ?2 ORDER BY id";

pub const PAIR: Pair = Pair {
    title: "Total up with a window function",
    review: Review {
        smell: "A subquery in the SELECT list that sums, counts or ranks the rows up to the one of the outer query: \
                `CORRELATED SCALAR SUBQUERY` in the query plan.",
        remedy: "`sum(amount_cents) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING)`. With `PARTITION BY` it begins anew \
                 for each group. Ranks and the row before have window functions, too. Where the program reads every \
                 row anyway, add up there: that is the alternative.",
        keep_naive_when: "Only a few rows are listed, as on a page of a statement.",
        costs: "By default a window takes rows that tie in the order together; `ROWS` takes each by itself, so the order \
                must be unique. If the frame begins later than at the first row, or ends after the current one, the \
                database holds its rows while it works.",
        lint: Lint::None,
    },
    naive: Side { summary: "a subquery for the total of each row", growth: Growth::Quadratic },
    optimized: Side { summary: "one window function", growth: Growth::Linear },
    input: "Statements of consecutive payments with their running total, each from another payment on, in a SQLite \
            table of about 3,750. Amounts differ, one in nine is a refund, and the ids have gaps. Both sides find the \
            payments by their primary key, and the table fits SQLite's page cache.",
    axis: Axis {
        name: "rows listed",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[1, 5, 20, 100, 400], deep: &[1_500] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 100 },
    alternatives: &[SideBeside { name: "fold", summary: "the plain rows, added up in Rust" }],
    causes: &[Claim {
        cause: causes::VM_STEPS,
        // The subquery takes three steps or more for each row up to this one.
        naive: Count::AtLeast(|case| 3 * case.point * case.point / 2),
        optimized: Count::AtMost(|case| 100 + 60 * case.point),
    }],
    explanation: Explanation {
        why: "For each row, the subquery reads all rows up to it again, so its steps grow with the square of the \
              rows. The window function reads each row once and keeps the sum. But a row costs it far more steps \
              than a row costs the subquery, because it puts the rows aside, reads them back and updates the state \
              of the sum. So for a few rows the subqueries are quicker. The fold in Rust needs none of this: where \
              the rows come to the program anyway, it is the best of the three at every size.",
        share_of_cause: ShareOfCause::Within(0.2, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(5),
    },
    traps: &[
        &Trap {
            name: "the statement has fewer rows than asked for",
            reason: "the totals of few rows are cheap in any way",
            check: |inputs: &[Input]| {
                let listed = |input: &Input| optimized(input).expect("the shop answers").len();
                let (first, asked) = (listed(&inputs[0]), inputs[0].rows);
                ensure(inputs.iter().all(|input| listed(input) as u64 == asked), || {
                    format!("{first} rows, where {asked} are asked for")
                })
            },
            sprung: || vec![Input { last: 0, ..small_input() }],
        },
        &Trap {
            name: "every statement begins at the same payment",
            reason: "its rows would be the hottest ones, and the totals the same",
            check: |inputs: &[Input]| {
                let mut firsts: Vec<i64> = inputs.iter().map(|input| input.first).collect();
                firsts.sort_unstable();
                firsts.dedup();
                ensure(2 * firsts.len() > inputs.len(), || format!("{} beginnings", firsts.len()))
            },
            sprung: || {
                let Input { shop, rows, first, last } = small_input();
                (0..8).map(|_| Input { shop: Rc::clone(&shop), rows, first, last }).collect()
            },
        },
    ],
    limit: Limit::Work(&[
        Work::FileStatements(|_| 1),
        Work::RowsReturned(|case| case.point.saturating_sub(1)),
    ]),
    proof: Proof { resources: Resources::System, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Statements in the rotation.
const TURNS: u64 = 64;

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// Number of payments from the first to the last.
    rows: u64,
    /// Id of the first payment.
    first: i64,
    /// Id of the last payment; before the first if there are none.
    last: i64,
}

#[derive(Debug, PartialEq)]
struct Payment {
    id: i64,
    amount_cents: i64,
    /// Of all payments of the statement up to this one.
    total_cents: i64,
}

impl Found for Payment {
    fn found(&self) -> u64 {
        1
    }
}

/// A statement of payments with their running total.
fn naive(input: &Input) -> rusqlite::Result<Vec<Payment>> {
    let mut query = input.shop.connection.prepare_cached(CORRELATED)?;
    query.query_map([input.first, input.last], payment)?.collect()
}

/// A statement of payments with their running total.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Payment>> {
    let mut query = input.shop.connection.prepare_cached(WINDOW)?;
    query.query_map([input.first, input.last], payment)?.collect()
}

/// A statement of payments with their running total.
fn fold(input: &Input) -> rusqlite::Result<Vec<Payment>> {
    let mut query = input.shop.connection.prepare_cached(PLAIN)?;
    let mut total_cents = 0;
    let payment = |row: &Row<'_>| {
        let amount_cents: i64 = row.get(1)?;
        total_cents += amount_cents;
        Ok(Payment { id: row.get(0)?, amount_cents, total_cents })
    };
    query.query_map([input.first, input.last], payment)?.collect()
}

fn payment(row: &Row<'_>) -> rusqlite::Result<Payment> {
    Ok(Payment { id: row.get(0)?, amount_cents: row.get(1)?, total_cents: row.get(2)? })
}

fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let orders = match case.proof_size {
        None => PAYMENTS,
        // Enough for the statement, or about as many as it has.
        Some(_) => case.point * 16 / 15 + 2 + case.rng("more").random_range(0..8),
    };
    let changes = match case.shape {
        Shape::Realistic => CANCEL_AND_REFUND.to_owned(),
        _ => format!("{CANCEL_AND_REFUND}; {LARGE_AMOUNTS}"),
    };
    Ok(Rc::new(Shop::new(case, Size::of_orders(orders), &changes)?))
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let connection = &shop.connection;
    let payments = shop.number("SELECT count(*) FROM payments", ()) as i64;
    let rows = case.point as i64;
    let skipped = case.rng("first").random_range(0..=(payments - rows).max(0));
    let id_at = |place: i64| -> i64 {
        let sql = "SELECT id FROM payments ORDER BY id LIMIT 1 OFFSET ?1";
        connection.query_row(sql, [place], |row| row.get(0)).expect("there are that many payments")
    };
    let (first, last) =
        if rows == 0 { (1, 0) } else { (id_at(skipped), id_at(skipped + rows - 1)) };
    Input { shop: Rc::clone(shop), rows: case.point, first, last }
}

/// Number of payments of a statement, counted from its ends.
fn listed(input: &Input) -> u64 {
    let sql = "SELECT count(*) FROM payments WHERE id BETWEEN ?1 AND ?2";
    input.shop.number(sql, [input.first, input.last])
}

/// An input of a small shop.
fn small_input() -> Input {
    let case = Case { proof_size: Some(20), ..Case::realistic(20, 0, 42) };
    input(&case, &shop(&case).expect("a shop of some payments"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let inputs = case.rotate(TURNS, |case| input(case, &shop));
    let over = |side: fn(&Input) -> rusqlite::Result<Vec<Payment>>| {
        by_ref(&inputs, move |input| side(input).expect("the shop answers"))
    };
    let trial = Trial::new(inputs.measured(listed), over(naive), over(optimized));
    Ok(trial.alternative(over(fold)).units(case.point))
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
                "DELETE FROM payments;
                 INSERT INTO payments VALUES (2, 1, '', 500, 0), (3, 1, '', -200, 0), (7, 1, '', 40, 0),
                     (8, 1, '', 1, 0)",
            )
            .unwrap();
        let input = |first, last| Input { shop: Rc::clone(&shop), rows: 0, first, last };
        let payment = |id, amount_cents, total_cents| Payment { id, amount_cents, total_cents };
        for side in [naive, optimized, fold] {
            let expected = [payment(2, 500, 500), payment(3, -200, 300), payment(7, 40, 340)];
            assert_eq!(side(&input(2, 7)).unwrap(), expected);
            assert_eq!(side(&input(4, 8)).unwrap(), [payment(7, 40, 40), payment(8, 1, 41)]);
            assert_eq!(side(&input(4, 6)).unwrap(), []);
        }
    }

    /// A naive side whose subquery scans the table would be a straw man.
    #[test]
    fn trap_all_sides_find_payments_by_key_and_none_sorts() {
        let search = "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
        for shop in [small_input().shop, shop(&Case::realistic(100, 0, 42)).unwrap()] {
            for (sql, searches) in [(CORRELATED, 2), (WINDOW, 1), (PLAIN, 1)] {
                let plan = query_plan(&shop.connection, sql);
                assert_eq!(plan.matches(search).count(), searches, "{plan}");
                assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN payments"), "{plan}");
            }
        }
    }
}
