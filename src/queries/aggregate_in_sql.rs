//! Sum rows in the database: one row comes back, not all of them.

use std::rc::Rc;

use rand::RngExt;
use rusqlite::Error;

use crate::fixtures::shop::{Shop, Size};
use worthit_pair::prelude::*;

/// Payments in the shop.
const PAYMENTS: u64 = 20_000;
/// In the order in which SQLite adds, so that both sides overflow alike. The order of the key costs no sort.
const AMOUNTS: &str = "SELECT amount_cents FROM payments WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
/// `sum` of no rows is NULL.
const SUM: &str = "SELECT coalesce(sum(amount_cents), 0) FROM payments WHERE id BETWEEN ?1 AND ?2";

pub const PAIR: Pair = Pair {
    title: "Sum in the database",
    review: Review {
        smell: "A query whose rows are only added up, counted, or searched for the largest: `for row in rows { total += \
                row.amount }`, or a list that is fetched for its `len()`.",
        remedy: "`SELECT coalesce(sum(amount_cents), 0) …` and `query_row`. The same goes for counts, extremes and \
                 groups. Without `coalesce`, the sum of no rows is NULL.",
        keep_naive_when: "The rows are needed anyway, or there are few of them. Or the sum is one that the database \
                          does in other arithmetic than the program: with decimals, with weights that only the \
                          program knows.",
        costs: "The sum follows the rules of another language: integers that overflow are an error in SQLite's `sum` \
                (`total` adds in floating point), NULLs are skipped, and no rows give NULL. The database does the \
                work, which matters where it is shared.",
        lint: Lint::None,
    },
    naive: Side { summary: "fetch the rows and add them up", growth: Growth::Linear },
    optimized: Side { summary: "SELECT sum(…)", growth: Growth::Linear },
    input: "Amounts of consecutive payments, each time from another one on, in a SQLite table of 20,000 with five \
            columns, in this process. Both sides find them by a range of the primary key.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[1, 10, 100, 1_000, 10_000], deep: &[] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 1_000 },
    causes: &[Claim {
        cause: causes::ROWS_RETURNED,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: Explanation {
        why: "For each row that it returns, SQLite's virtual machine stops and is entered again, and the value passes \
              through calls that check its type. A row that is summed costs some steps of the virtual machine. In process \
              that is all there is to gain, so the gain settles far below the ratio of rows: both sides find and \
              decode each row. Across a network the rows would also be sent.",
        share_of_cause: ShareOfCause::Within(0.001, 0.01),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "there are no payments in the range",
            reason: "the sides would only find that out",
            check: |inputs: &[Input]| {
                let none = inputs.iter().filter(|input| payments(input) == 0).count();
                ensure(none == 0, || format!("{none} ranges are empty"))
            },
            sprung: || vec![Input { first: -9, last: -1, ..small_input() }],
        },
        &Trap {
            name: "all amounts are equal",
            reason: "one amount times the number of rows would be the answer, too",
            check: |inputs: &[Input]| {
                let shop = &inputs[0].shop;
                let distinct = shop.number("SELECT count(DISTINCT amount_cents) FROM payments", ());
                let all = shop.number("SELECT count(*) FROM payments", ());
                ensure(2 * distinct > all, || format!("{distinct} amounts in {all} payments"))
            },
            sprung: || {
                let input = small_input();
                let equal = "UPDATE payments SET amount_cents = 100";
                input.shop.connection.execute_batch(equal).expect("the shop takes it");
                vec![input]
            },
        },
    ],
    limit: Limit::Work(&[Work::FileStatements(|_| 1)]),
    proof: Proof { resources: Resources::System, max_size: 120 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// Id of the first payment.
    first: i64,
    /// Id of the last payment.
    last: i64,
}

/// The sum of the payments, in cents.
fn naive(input: &Input) -> rusqlite::Result<i64> {
    let mut query = input.shop.connection.prepare_cached(AMOUNTS)?;
    let mut rows = query.query((input.first, input.last))?;
    let mut total: i64 = 0;
    while let Some(row) = rows.next()? {
        let cents = row.get(0)?;
        total = total.checked_add(cents).ok_or(Error::IntegralValueOutOfRange(0, total))?;
    }
    Ok(total)
}

/// The sum of the payments, in cents.
fn optimized(input: &Input) -> rusqlite::Result<i64> {
    let mut query = input.shop.connection.prepare_cached(SUM)?;
    query.query_row((input.first, input.last), |row| row.get(0))
}

/// The sum, or `None` if it does not fit in 64 bits: both sides return an error then, each its own.
fn unless_too_large(sum: rusqlite::Result<i64>) -> Option<i64> {
    match sum {
        Ok(sum) => Some(sum),
        Err(Error::IntegralValueOutOfRange(..)) => None,
        Err(Error::SqliteFailure(_, Some(why))) if why == "integer overflow" => None,
        Err(error) => panic!("the shop does not answer: {error}"),
    }
}

/// Number of payments in the range.
fn payments(input: &Input) -> u64 {
    let sql = "SELECT count(*) FROM payments WHERE id BETWEEN ?1 AND ?2";
    input.shop.number(sql, (input.first, input.last))
}

/// Payments beyond those of the range.
const BEYOND: u64 = 4;

fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let orders = if case.proof_size.is_some() { case.point + BEYOND } else { PAYMENTS };
    let values = case.values(orders as usize);
    let set = |(id, cents): (usize, &u64)| {
        format!("UPDATE payments SET amount_cents = {} WHERE id = {};", *cents as i64, id + 1)
    };
    let amounts = match case.shape {
        Shape::Realistic => String::new(),
        // The sums overflow.
        _ => values.iter().enumerate().map(set).collect(),
    };
    Ok(Rc::new(Shop::new(case, Size::of_orders(orders), &amounts)?))
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let payments = shop.number("SELECT count(*) FROM payments", ());
    let first = case.rng("first").random_range(1..=payments - case.point) as i64;
    Input { shop: Rc::clone(shop), first, last: first + case.point as i64 - 1 }
}

/// An input of a small shop, for the traps.
fn small_input() -> Input {
    let case = Case { proof_size: Some(8), ..Case::realistic(8, 0, 1) };
    input(&case, &shop(&case).expect("a shop of some payments"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let inputs = case.rotate(64, |case| input(case, &shop));
    let over = |side: fn(&Input) -> rusqlite::Result<i64>| {
        by_ref(&inputs, move |input: &Input| unless_too_large(side(input)))
    };
    let trial = Trial::new(inputs.measured(payments), over(naive), over(optimized));
    Ok(trial.units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let Input { shop, .. } = small_input();
        let amounts = |amounts: [i64; 4]| {
            let values: Vec<String> =
                amounts.iter().map(|cents| format!("(1, '', {cents}, 0)")).collect();
            let rows = values.join(", ");
            let sql = format!(
                "DELETE FROM payments;
                 INSERT INTO payments (order_id, method, amount_cents, paid_at) VALUES {rows}"
            );
            shop.connection.execute_batch(&sql).unwrap();
        };
        let sums = |first, last| {
            let input = Input { shop: Rc::clone(&shop), first, last };
            [naive, optimized].map(|side| unless_too_large(side(&input)))
        };
        amounts([100, -30, 5, 0]);
        assert_eq!(sums(1, 4), [Some(75); 2]);
        assert_eq!(sums(2, 2), [Some(-30); 2]);
        assert_eq!(sums(5, 9), [Some(0); 2], "no rows");
        amounts([i64::MAX, 1, -1, i64::MIN]);
        assert_eq!(sums(1, 1), [Some(i64::MAX); 2]);
        assert_eq!(sums(3, 4), [None; 2]);
        assert_eq!(sums(1, 3), [None; 2], "the sum would fit, but not on the way");
    }

    #[test]
    fn trap_both_sides_search_by_the_key_and_neither_sorts() {
        let shop = &shop(&Case::realistic(1_000, 0, 42)).unwrap().connection;
        for sql in [AMOUNTS, SUM] {
            let plan = query_plan(shop, sql);
            assert_eq!(plan, "SEARCH payments USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
        }
    }
}
