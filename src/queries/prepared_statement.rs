//! Run a statement again and again: keep it prepared, do not have its text compiled each time.

use std::{collections::HashSet, rc::Rc};

use rand::RngExt;
use rusqlite::{Connection, OptionalExtension, Row, Statement, StatementStatus};

use crate::fixtures::shop::{ShopFile, Size};
use worthit_pair::prelude::*;

/// Orders in the shop.
const ORDERS: u64 = 4_000;
/// Everything is found by primary keys.
const ORDER: &str = "SELECT o.placed_at, o.status, o.note,
         (SELECT coalesce(sum(l.quantity * l.price_cents), 0) FROM order_lines l WHERE l.order_id = o.id)
     FROM orders o WHERE o.id = ?1";

const PREPARES: Cause = Cause::new("prepares", "statements compiled")
    .counted("with a closure that asks each statement how often it was compiled and run");

pub const PAIR: Pair = Pair {
    title: "Keep statements prepared",
    review: Review {
        smell: "`shop.prepare(…)`, `query_row` or `execute` with the same text in a loop, or in a function that is \
                called often: each call has SQLite parse and plan the text anew.",
        remedy: "`shop.prepare_cached(…)`, with values as parameters and not in the text: the connection keeps the \
                 statement, and finds it by its text the next time.",
        keep_naive_when: "The statement runs once in the life of its connection. Or it is kept in vain, because SQLite \
                          compiles it anew to plan for the value of a parameter: one that is compared with an indexed \
                          column other than the integer primary key, after `ANALYZE` in a build with STAT4, as \
                          rusqlite's is; one in LIMIT or LIKE; or one that is compared with a key of a join, as \
                          rusqlite's cache clears the values. Then `SQLITE_DBCONFIG_ENABLE_QPSG` makes SQLite keep \
                          what it compiled.",
        costs: "Memory for each statement that is kept. The cache of a connection holds few: a program that runs more \
                statements in turn than it holds finds none of them, and needs \
                `set_prepared_statement_cache_capacity`. Preparing the statement before the loop, as the alternative \
                does, also saves the search in the cache.",
        lint: Lint::None,
    },
    naive: Side { summary: "prepare for each execution", growth: Growth::Linear },
    optimized: Side { summary: "prepare_cached, which compiles once", growth: Growth::Linear },
    input: "Random orders of a SQLite shop with 4,000, each with the total of its lines, all found by primary keys. \
            Each iteration begins with an empty cache of statements, as a new connection does, and runs the same text \
            as often as the axis says. Lists of orders alternate.",
    axis: Axis {
        name: "executions",
        unit: "executions",
        is_size: true,
        points: Points::Fixed { default: &[1, 2, 5, 20, 100, 300], deep: &[] },
    },
    unit: "execution",
    headline: Headline::At { level: "", point: 100 },
    alternatives: &[SideBeside {
        name: "prepare_once",
        summary: "one statement, prepared before the loop",
    }],
    causes: &[Claim {
        cause: PREPARES,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.min(1)),
    }],
    explanation: Explanation {
        why: "Compiling a statement means parsing its text, looking its tables up in the schema, planning, and \
              generating a program; none of it depends on the values. For a statement that finds a few rows by their \
              keys it costs more than the execution. What stays is the execution, with its lock on the file, so the \
              gain settles at the ratio of both together to the execution alone, however few statements are compiled. \
              A shorter text costs less to compile, and a statement that reads many rows hides the cost. A single \
              execution pays for the cache and gains nothing by it.",
        share_of_cause: ShareOfCause::Within(0.01, 0.15),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "the orders do not exist",
            reason: "a search that finds no row leaves out most of an execution",
            check: |inputs: &[Vec<i64>]| {
                let missing = |id: &&i64| !(1..=ORDERS as i64).contains(*id);
                let missing = inputs.iter().flatten().find(missing);
                ensure(missing.is_none(), || format!("there is no order {missing:?}"))
            },
            sprung: || vec![vec![1, -1]],
        },
        &Trap {
            name: "one order again and again",
            reason: "its pages would stay in the nearest cache",
            check: |inputs: &[Vec<i64>]| {
                let distinct: HashSet<&i64> = inputs.iter().flatten().collect();
                ensure(distinct.len() >= 1_000, || format!("{} orders", distinct.len()))
            },
            sprung: || vec![vec![7; 10_000]],
        },
    ],
    limit: Limit::Work(&[Work::FileStatements(|case| case.point)]),
    proof: Proof { resources: Resources::System, max_size: 80 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug, PartialEq)]
struct Order {
    placed_at: i64,
    status: String,
    note: String,
    total_cents: i64,
}

/// The orders of a list of ids, in its order; `None` for an id that no order has.
type Orders = Vec<Option<Order>>;

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// The orders with these ids. `ran` sees each statement after its execution, and does nothing when timed.
fn naive(shop: &Connection, ids: &[i64], ran: impl Fn(&Statement<'_>)) -> rusqlite::Result<Orders> {
    let mut orders = Vec::with_capacity(ids.len());
    for id in ids {
        let mut query = shop.prepare(ORDER)?;
        orders.push(query.query_row([id], order).optional()?);
        ran(&query);
    }
    Ok(orders)
}

/// The orders with these ids. `ran` sees each statement after its execution, and does nothing when timed.
fn optimized(
    shop: &Connection,
    ids: &[i64],
    ran: impl Fn(&Statement<'_>),
) -> rusqlite::Result<Orders> {
    let mut orders = Vec::with_capacity(ids.len());
    for id in ids {
        let mut query = shop.prepare_cached(ORDER)?;
        orders.push(query.query_row([id], order).optional()?);
        ran(&query);
    }
    Ok(orders)
}

/// The orders with these ids.
fn prepare_once(shop: &Connection, ids: &[i64]) -> rusqlite::Result<Orders> {
    let mut query = shop.prepare(ORDER)?;
    ids.iter().map(|id| query.query_row([id], order).optional()).collect()
}

fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order {
        placed_at: row.get(0)?,
        status: row.get(1)?,
        note: row.get(2)?,
        total_cents: row.get(3)?,
    })
}

/// Notes once for each time that the statement was compiled since the last call.
fn note_compilations(statement: &Statement<'_>) {
    let anew = statement.reset_status(StatementStatus::RePrepare);
    let is_first_run = statement.get_status(StatementStatus::Run) == 1;
    (0..anew + i32::from(is_first_run)).for_each(|_| note());
}

struct State {
    shop: Connection,
    _file: Rc<ShopFile>,
}

impl State {
    fn new(file: &Rc<ShopFile>) -> Result<State, Unavailable> {
        Ok(State { shop: file.open()?, _file: Rc::clone(file) })
    }

    /// Forgets all statements.
    fn reset(&mut self) {
        self.shop.flush_prepared_statement_cache();
    }
}

/// Lists in the rotation.
fn turns(executions: u64) -> u64 {
    (8_192 / executions.max(1)).clamp(16, 2_048)
}

fn ids(case: &Case) -> Vec<i64> {
    let count = case.point as usize;
    let mut rng = case.rng("ids");
    match case.shape {
        Shape::Realistic => (0..count).map(|_| rng.random_range(1..=ORDERS as i64)).collect(),
        Shape::Random => (0..count).map(|_| rng.random_range(-2..8)).collect(),
        _ => case.values(count).into_iter().map(|value| value as i64).collect(),
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let orders = if case.proof_size.is_some() { 5 } else { ORDERS };
    let file = Rc::new(ShopFile::new(paths::scratch()?, case, Size::of_orders(orders), "")?);
    let inputs = case.rotate(turns(case.point), ids);

    let counting = |side: fn(&Connection, &[i64]) -> rusqlite::Result<Orders>| {
        let (state, inputs) = (State::new(&file), inputs.clone());
        move |input: usize| {
            let State { shop, .. } = state.as_ref().expect("the shop opens");
            shop.flush_prepared_statement_cache();
            noted_during(|| side(shop, &inputs[input]))
        }
    };
    let naive_side = resetting(&inputs, State::new(&file)?, State::reset, |state, ids| {
        naive(&state.shop, ids, |_| ()).expect("the shop answers")
    });
    let optimized_side = resetting(&inputs, State::new(&file)?, State::reset, |state, ids| {
        optimized(&state.shop, ids, |_| ()).expect("the shop answers")
    });
    let once = resetting(&inputs, State::new(&file)?, State::reset, |state, ids| {
        prepare_once(&state.shop, ids).expect("the shop answers")
    });
    let trial = Trial::new(
        inputs.measured(|ids| ids.len() as u64),
        naive_side.counting(PREPARES, counting(|shop, ids| naive(shop, ids, note_compilations))),
        optimized_side
            .counting(PREPARES, counting(|shop, ids| optimized(shop, ids, note_compilations))),
    );
    Ok(trial.alternative(once).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    fn shop() -> State {
        let case = Case { proof_size: Some(0), ..Case::realistic(1, 0, 42) };
        let index = "CREATE INDEX orders_by_customer ON orders (customer_id)";
        let file = ShopFile::new(paths::scratch().unwrap(), &case, Size::of_orders(400), index);
        State::new(&Rc::new(file.unwrap())).unwrap()
    }

    #[test]
    fn known_answers() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, placed_at, status, note);
             CREATE TABLE order_lines (order_id, line, quantity, price_cents);
             INSERT INTO orders VALUES (1, 10, 'paid', 'O''Brien §'), (3, 30, 'shipped', '');
             INSERT INTO order_lines VALUES (1, 1, 2, 250), (1, 2, 1, -1)",
        )
        .unwrap();
        let order = |placed_at, status: &str, note: &str, total_cents| {
            let (status, note) = (status.to_owned(), note.to_owned());
            Some(Order { placed_at, status, note, total_cents })
        };
        let expected = [order(30, "shipped", "", 0), None, order(10, "paid", "O'Brien §", 499)];
        for _ in 0..2 {
            assert_eq!(naive(&shop, &[3, 2, 1], |_| ()).unwrap(), expected);
            assert_eq!(optimized(&shop, &[3, 2, 1], |_| ()).unwrap(), expected);
            assert_eq!(prepare_once(&shop, &[3, 2, 1]).unwrap(), expected);
        }
    }

    #[test]
    fn trap_every_row_is_found_by_a_key() {
        let State { shop, _file } = shop();
        let plan = query_plan(&shop, ORDER);
        let steps = [
            "SEARCH o USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH l USING PRIMARY KEY (order_id=?)",
        ];
        assert!(steps.iter().all(|step| plan.contains(step)) && !plan.contains("SCAN"), "{plan}");
    }

    #[test]
    fn trap_a_cache_that_is_too_small_keeps_nothing() {
        let State { shop, _file } = shop();
        let round = || {
            for nth in 0..20 {
                let text = format!("{ORDER} AND o.placed_at >= {nth}");
                let mut query = shop.prepare_cached(&text).unwrap();
                query.query_row([2], order).optional().unwrap();
                note_compilations(&query);
            }
        };
        assert_eq!((noted_during(round), noted_during(round)), (20, 20));
        shop.set_prepared_statement_cache_capacity(20);
        noted_during(round);
        assert_eq!(noted_during(round), 0);
    }

    /// What the card says of statements that are kept in vain. With one of them, both sides would compile each time.
    #[test]
    fn trap_some_statements_are_compiled_anew_for_each_value() {
        use rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;

        let State { shop, _file } = shop();
        let ten_times = |sql: &str| {
            let run = || {
                for id in 11..=20 {
                    let mut query = shop.prepare_cached(sql).unwrap();
                    query.query([id]).unwrap().next().unwrap();
                    note_compilations(&query);
                }
            };
            noted_during(run);
            noted_during(run)
        };
        let by_index = "SELECT count(*) FROM orders WHERE customer_id = ?1";
        let join =
            "SELECT name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = ?1";
        let limit = "SELECT id FROM orders ORDER BY id LIMIT ?1";
        shop.set_db_config(SQLITE_DBCONFIG_ENABLE_QPSG, false).unwrap();
        assert_eq!([ORDER, by_index, join, limit].map(ten_times), [0, 10, 10, 10]);
        shop.set_db_config(SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
        shop.flush_prepared_statement_cache();
        assert_eq!([by_index, join, limit].map(ten_times), [0, 0, 0]);
    }
}
