//! Insert many rows durably: one transaction, not a commit for each.

use rusqlite::{Connection, Row};

use crate::fixtures::shop::{self, ShopFile, Size};
use worthit_pair::prelude::*;

const CUSTOMERS: u64 = 100;
const INSERT: &str =
    "INSERT INTO orders (customer_id, placed_at, status, note) VALUES (?1, ?2, 'paid', ?3)";

pub const PAIR: Pair = Pair {
    title: "Write many rows in one transaction",
    review: Review {
        smell: "`execute(\"INSERT …\")` in a loop without a transaction around it: each row is a \
                transaction of its own, and waits for the disk.",
        remedy: "`let transaction = shop.transaction()?`, the loop, `transaction.commit()`.",
        keep_naive_when: "Each row must be acknowledged before the next one comes, or rows must succeed or fail \
                          one by one.",
        costs: "A crash or an error loses the whole batch, not one row; other writers wait for as long as \
                the transaction is open. So an endless stream needs batches: by a number of rows, or by time.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a commit for each row",
        growth: Growth::Other(
            "a flush a row, which takes as long as the device takes at the moment",
        ),
    },
    optimized: Side { summary: "one transaction around the loop", growth: Growth::Constant },
    input: "Orders with notes of 5 to 24 words, inserted into an empty SQLite table on the device of the data \
            folder. The database keeps a write-ahead log and flushes it at every commit (`synchronous = FULL`), so the \
            number of commits decides.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        // A row costs a flush, milliseconds on many disks: more rows only on request.
        points: Points::Fixed { default: &[1, 2, 3, 5], deep: &[16, 64, 256] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 5 },
    causes: &[Claim {
        cause: causes::FSYNCS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: Explanation {
        why: "n flushes became one. A flush waits for the disk, far longer than inserting a row takes. So the ratio of \
              flushes is the gain, until there are enough rows that inserting them takes as long as one flush.",
        share_of_cause: ShareOfCause::Within(0.5, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the rows are empty",
        reason: "a commit would write less than a real row does, and inserting would cost nothing beside it",
        check: |inputs: &[Vec<Order>]| {
            let shortest = inputs.iter().flatten().map(|order| order.note.len()).min();
            ensure(shortest >= Some(10), || format!("a note of {shortest:?} bytes"))
        },
        sprung: || vec![vec![Order { customer_id: 1, placed_at: 0, note: String::new() }]],
    }],
    limit: Limit::Work(&[Work::OverwritingFsyncs(|_| 1)]),
    proof: Proof { resources: Resources::System, max_size: 8 },
    prepare,
    ..Pair::DEFAULTS
};

/// Batches in the rotation. They differ only in their content, which does not change the time of a flush.
const TURNS: u64 = 8;

#[derive(Clone, Debug, PartialEq)]
struct Order {
    customer_id: i64,
    placed_at: i64,
    note: String,
}

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

struct State {
    shop: Connection,
    _file: ShopFile,
}

/// Adds the orders.
fn naive(shop: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    for order in orders {
        insert(shop, order)?;
    }
    Ok(())
}

/// Adds the orders, all or none.
fn optimized(shop: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    let transaction = shop.transaction()?;
    for order in orders {
        insert(&transaction, order)?;
    }
    transaction.commit()
}

fn insert(shop: &Connection, order: &Order) -> rusqlite::Result<()> {
    let mut insert = shop.prepare_cached(INSERT)?;
    insert.execute((order.customer_id, order.placed_at, &order.note)).map(drop)
}

/// The orders in the shop.
fn stored(shop: &Connection) -> rusqlite::Result<Vec<Order>> {
    let order = |row: &Row<'_>| {
        Ok(Order { customer_id: row.get(0)?, placed_at: row.get(1)?, note: row.get(2)? })
    };
    let sql = "SELECT customer_id, placed_at, note FROM orders ORDER BY id";
    shop.prepare_cached(sql)?.query_map((), order)?.collect()
}

impl State {
    fn new(case: &Case) -> Result<State, Unavailable> {
        let size = Size { customers: CUSTOMERS, products: 1, ..Size::default() };
        let file = ShopFile::new(paths::durable_scratch()?, case, size, "")?;
        let shop = file.open()?;
        // Only the reset makes checkpoints. Automatic ones would come now and then, and flush.
        shop.execute_batch("PRAGMA wal_autocheckpoint = 0").expect("SQLite knows it");
        Ok(State { shop, _file: file })
    }

    /// Deletes the orders and restarts the write-ahead log in its existing file. So the timed side neither
    /// extends the file (after its first run) nor writes the log's header, which takes a flush of its own.
    /// The reset itself flushes nothing, to be quick.
    fn reset(&mut self) {
        let reset = || -> rusqlite::Result<()> {
            let shop = &self.shop;
            shop.execute_batch("PRAGMA synchronous = OFF; DELETE FROM orders")?;
            shop.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()))?;
            shop.execute_batch("UPDATE products SET stock = stock + 1; PRAGMA synchronous = FULL")
        };
        reset().expect("the shop can be emptied");
    }
}

fn orders(case: &Case) -> Vec<Order> {
    let mut rng = case.rng("notes");
    let order = |value: u64| {
        let mut note = String::new();
        shop::words(&mut rng, 5..25, &mut note);
        Order { customer_id: (value % CUSTOMERS) as i64 + 1, placed_at: value as i64, note }
    };
    case.values(case.point as usize).into_iter().map(order).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let batches = case.rotate(TURNS, orders);
    let over = |state, side: fn(&mut Connection, &[Order]) -> rusqlite::Result<()>| {
        let add = move |state: &mut State, orders: &Vec<Order>| {
            side(&mut state.shop, orders).expect("the shop takes orders");
        };
        let summary = |state: &mut State| stored(&state.shop).expect("the shop is readable");
        changing(&batches, state, State::reset, add, summary)
    };
    let trial = Trial::new(
        batches.measured(|orders| orders.len() as u64),
        over(State::new(case)?, naive),
        over(State::new(case)?, optimized),
    );
    Ok(trial.units(batches[0].len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let order = |placed_at| Order { customer_id: 7, placed_at, note: "§".to_owned() };
        for side in [naive, optimized] {
            let mut shop = Connection::open_in_memory().unwrap();
            shop.execute_batch(
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id NOT NULL, placed_at,
                                      status, note)",
            )
            .unwrap();
            side(&mut shop, &[]).unwrap();
            side(&mut shop, &[order(2), order(1)]).unwrap();
            assert_eq!(stored(&shop).unwrap(), [order(2), order(1)]);
            assert!(shop.is_autocommit(), "everything is committed");
        }
    }

    fn durable() -> Option<(State, Vec<Order>)> {
        let case = Case { proof_size: Some(0), ..Case::realistic(5, 0, 42) };
        // On a file system in memory the pair only reports that, and there is nothing to test.
        Some((State::new(&case).ok()?, orders(&case)))
    }

    fn pragma(state: &State, name: &str) -> String {
        let value = state.shop.query_row(&format!("PRAGMA {name}"), (), |row| {
            row.get_ref(0)
                .map(|v| v.as_str().map_or_else(|_| v.as_i64().unwrap().to_string(), str::to_owned))
        });
        value.unwrap()
    }

    /// A toy benchmark commits to memory, or to a file that nobody flushes.
    #[test]
    fn trap_both_sides_are_durable_when_timed() {
        let Some((mut state, orders)) = durable() else { return };
        for _ in 0..2 {
            state.reset();
            assert_eq!(pragma(&state, "journal_mode"), "wal");
            assert_eq!(pragma(&state, "synchronous"), "2", "FULL");
            let folder = std::path::Path::new(state.shop.path().unwrap()).parent().unwrap();
            let kind = paths::filesystem(folder).unwrap();
            assert!(!["tmpfs", "ramfs"].contains(&kind.as_str()), "{kind}");
            naive(&mut state.shop, &orders).unwrap();
        }
    }

    #[test]
    fn trap_every_iteration_finds_the_same_log_and_an_empty_table() {
        let Some((mut state, orders)) = durable() else { return };
        let log = format!("{}-wal", state.shop.path().unwrap());
        let mut lengths = Vec::new();
        for _ in 0..4 {
            state.reset();
            assert_eq!(stored(&state.shop).unwrap(), []);
            naive(&mut state.shop, &orders).unwrap();
            assert_eq!(stored(&state.shop).unwrap(), orders);
            lengths.push(std::fs::metadata(&log).unwrap().len());
        }
        assert!(lengths.windows(2).skip(1).all(|pair| pair[0] == pair[1]), "{lengths:?}");
    }
}
