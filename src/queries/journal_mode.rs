//! Commit to a SQLite file often: keep a write-ahead log that a checkpoint flushes, not a journal that each commit flushes.

use rand::RngExt;
use rusqlite::{Connection, Row};

use crate::fixtures::shop::{self, ShopFile, Size};
use worthit_pair::prelude::*;

/// Orders in the shop before each batch.
const ORDERS: u64 = 400;
const INSERT_ORDER: &str =
    "INSERT INTO orders (customer_id, placed_at, status, note) VALUES (?1, ?2, 'paid', ?3)";
const INSERT_PAYMENT: &str =
    "INSERT INTO payments (order_id, method, amount_cents, paid_at) VALUES (?1, 'card', ?2, ?3)";

pub const PAIR: Pair = Pair {
    title: "Keep a write-ahead log and flush it at checkpoints",
    review: Review {
        smell: "A program that opens a SQLite file and sets no `journal_mode`: it has a rollback journal and \
                `synchronous = FULL`, so each commit flushes several times.",
        remedy: "`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL` on each connection. The mode stays with the \
                 file, the setting does not. SQLite makes a checkpoint by itself whenever the log has 1,000 pages.",
        keep_naive_when: "Processes on several machines share the file over a network, which WAL does not support. Or the \
                          database has to be a single file while it is open. If each commit must survive a power cut, \
                          keep `synchronous = FULL`, but with WAL, as the alternative does: that takes no rollback \
                          journal.",
        costs: "A power cut or a crash of the system may take back transactions that were committed since the last \
                checkpoint: some or all of them, the latest first, each as a whole. It never damages the file, and a \
                crash of the program alone takes nothing back. With `synchronous = FULL`, a power cut takes nothing back \
                either. (With a rollback journal and `FULL` it may still take back the very last transaction, if the \
                removal of the journal has not reached the disk; `EXTRA` rules that out.) There are two more files \
                beside the database, `-wal` and `-shm`. The log grows for as long as a read transaction stays open, and \
                the commit that fills it pays for the checkpoint.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a rollback journal, flushed at each commit",
        growth: Growth::Other(
            "four flushes a commit, which take as long as the device takes at the moment",
        ),
    },
    optimized: Side {
        summary: "a write-ahead log, flushed at the checkpoint",
        growth: Growth::Other("three flushes, and the writes of each commit"),
    },
    input: "Orders of a SQLite shop on the device of the data folder, each with its payment and in a transaction of \
            its own. The axis is how many are committed until the write-ahead log is copied to the database. The timed \
            work of the optimized side includes this checkpoint with all its flushes, and the start of the log. By \
            SQLite's own setting, a checkpoint comes after some hundred commits of this size, so later than here.",
    axis: Axis {
        name: "commits",
        unit: "commits",
        is_size: true,
        // A commit costs four flushes, each of which takes milliseconds on many disks: more only on request.
        points: Points::Fixed { default: &[1, 2, 3, 5], deep: &[16, 64, 250] },
    },
    unit: "commit",
    headline: Headline::At { level: "", point: 5 },
    alternatives: &[SideBeside {
        name: "wal_full",
        summary: "a write-ahead log, flushed at each commit and at the checkpoint",
    }],
    causes: &[Claim {
        cause: causes::FSYNCS,
        naive: Count::Exactly(|case| 4 * case.point),
        optimized: Count::Exactly(|_| 3),
    }],
    explanation: Explanation {
        why: "A commit with a rollback journal writes the old pages to a new file and flushes it, the folder that it is \
              in, and then its header. Only then it writes the new pages to the database, flushes that too, and removes \
              the journal. A commit with a write-ahead log appends the new pages to the log. With `synchronous = NORMAL` \
              nothing is flushed until the checkpoint, and then the same flushes serve all commits: of the header when \
              the log begins, of the log before its pages are copied, and of the database afterwards. So the gain is the \
              ratio of flushes until the writes of the commits weigh as much as the flushes of a checkpoint. It may be \
              more, as a flush takes longer where a file is new or a folder has changed, and even a single commit \
              between checkpoints gains by that. The alternative flushes the log once for each commit, so that the \
              commit is durable, and gains as well: a rollback journal needs more flushes for the same promise.",
        share_of_cause: ShareOfCause::Within(0.5, 2.0),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[&Trap {
        name: "the orders are empty",
        reason: "a commit would write less than a real order does",
        check: |inputs: &[Vec<Order>]| {
            let shortest = inputs.iter().flatten().map(|order| order.note.len()).min();
            ensure(shortest >= Some(10), || format!("a note of {shortest:?} bytes"))
        },
        sprung: || {
            vec![vec![Order { customer_id: 1, placed_at: 0, note: String::new(), cents: 0 }]]
        },
    }],
    // Of the log and of the database. SQLite also flushes the header of the log, which is a small write.
    limit: Limit::Work(&[Work::OverwritingFsyncs(|_| 2)]),
    proof: Proof { resources: Resources::System, max_size: 4 },
    prepare,
    ..Pair::DEFAULTS
};

/// Batches in the rotation. They differ only in their content, which does not change the time of a flush.
const TURNS: u64 = 8;

/// An order with its payment.
#[derive(Clone, Debug, PartialEq)]
struct Order {
    customer_id: i64,
    placed_at: i64,
    note: String,
    cents: i64,
}

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// Commits each order, over a connection with a rollback journal.
fn naive(shop: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    commit_each(shop, orders)
}

/// Commits each order, over a connection with `journal_mode = WAL` and `synchronous = NORMAL`.
fn optimized(shop: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    commit_each(shop, orders)?;
    checkpoint(shop)
}

/// Commits each order, over a connection with `journal_mode = WAL` and `synchronous = FULL`.
fn wal_full(shop: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    commit_each(shop, orders)?;
    checkpoint(shop)
}

/// The same code for all sides; their connections differ.
fn commit_each(shop: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    for Order { customer_id, placed_at, note, cents } in orders {
        let transaction = shop.transaction()?;
        transaction.prepare_cached(INSERT_ORDER)?.execute((customer_id, placed_at, note))?;
        let id = transaction.last_insert_rowid();
        transaction.prepare_cached(INSERT_PAYMENT)?.execute((id, cents, placed_at))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Copies the log to the database, as SQLite does by itself once the log is long enough.
fn checkpoint(shop: &Connection) -> rusqlite::Result<()> {
    shop.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row((), |_| Ok(()))
}

/// The orders after the one with the id `last`, with their payments.
fn orders_after(shop: &Connection, last: i64) -> rusqlite::Result<Vec<Order>> {
    let order = |row: &Row<'_>| {
        let (customer_id, placed_at) = (row.get(0)?, row.get(1)?);
        Ok(Order { customer_id, placed_at, note: row.get(2)?, cents: row.get(3)? })
    };
    let sql = "SELECT o.customer_id, o.placed_at, o.note, p.amount_cents
               FROM orders o JOIN payments p ON p.id = o.id WHERE o.id > ?1 ORDER BY o.id";
    shop.prepare_cached(sql)?.query_map([last], order)?.collect()
}

/// How a database is kept.
#[derive(Clone, Copy)]
struct Mode {
    journal: &'static str,
    synchronous: &'static str,
}

const ROLLBACK: Mode = Mode { journal: "DELETE", synchronous: "FULL" };
const WAL: Mode = Mode { journal: "WAL", synchronous: "NORMAL" };
const WAL_FULL: Mode = Mode { journal: "WAL", synchronous: "FULL" };

struct State {
    shop: Connection,
    mode: Mode,
    /// Id of the last order and of its payment before each batch.
    last: i64,
    _file: ShopFile,
}

impl State {
    fn new(case: &Case, mode: Mode) -> Result<State, Unavailable> {
        let last = case.items(ORDERS) as i64;
        let file =
            ShopFile::new(paths::durable_scratch()?, case, Size::of_orders(last as u64), "")?;
        // The reset sets `synchronous`, and only it and the sides make checkpoints.
        let pragmas = format!(
            "PRAGMA synchronous = OFF; PRAGMA journal_mode = {}; PRAGMA wal_autocheckpoint = 0",
            mode.journal
        );
        Ok(State { shop: file.open_with(&pragmas)?, mode, last, _file: file })
    }

    /// Deletes the batch. Copies the log to the database, so that the next commit starts it anew. The reset flushes
    /// nothing, to be quick.
    fn reset(&mut self) {
        let reset = || -> rusqlite::Result<()> {
            let shop = &self.shop;
            shop.execute_batch("PRAGMA synchronous = OFF")?;
            shop.execute("DELETE FROM payments WHERE id > ?1", [self.last])?;
            shop.execute("DELETE FROM orders WHERE id > ?1", [self.last])?;
            // It does nothing without a log.
            shop.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()))?;
            shop.pragma_update(None, "synchronous", self.mode.synchronous)
        };
        reset().expect("the batch can be deleted");
    }
}

fn orders(case: &Case) -> Vec<Order> {
    let mut rng = case.rng("notes");
    // In a proof, the shop may have a single customer.
    let customers = case.items(ORDERS) as u64 / 4 + 1;
    let order = |value: u64| {
        let mut note = String::new();
        shop::words(&mut rng, 5..25, &mut note);
        let customer_id = (value % customers) as i64 + 1;
        Order { customer_id, placed_at: value as i64, note, cents: rng.random_range(100..100_000) }
    };
    case.values(case.point as usize).into_iter().map(order).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let batches = case.rotate(TURNS, orders);
    let over = |state, side: fn(&mut Connection, &[Order]) -> rusqlite::Result<()>| {
        let add = move |state: &mut State, orders: &Vec<Order>| {
            side(&mut state.shop, orders).expect("the shop takes orders");
        };
        let summary = |state: &mut State| {
            orders_after(&state.shop, state.last).expect("the shop is readable")
        };
        changing(&batches, state, State::reset, add, summary)
    };
    let trial = Trial::new(
        batches.measured(|orders| orders.len() as u64),
        over(State::new(case, ROLLBACK)?, naive),
        over(State::new(case, WAL)?, optimized),
    );
    Ok(trial.alternative(over(State::new(case, WAL_FULL)?, wal_full)).units(case.point))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fixtures::sqlite;

    type CommitAll = fn(&mut Connection, &[Order]) -> rusqlite::Result<()>;
    const SIDES: [(Mode, CommitAll); 3] =
        [(ROLLBACK, naive), (WAL, optimized), (WAL_FULL, wal_full)];

    /// `None` on a file system in memory: there the pair only reports that, and there is nothing to test.
    fn state(mode: Mode) -> Option<State> {
        let case = Case { proof_size: Some(3), ..Case::realistic(1, 0, 42) };
        let mut state = State::new(&case, mode).ok()?;
        state.reset();
        Some(state)
    }

    fn order(placed_at: i64) -> Order {
        Order { customer_id: 1, placed_at, note: "it's §".to_owned(), cents: -placed_at }
    }

    #[test]
    fn known_answers() {
        for (mode, side) in SIDES {
            let Some(mut state) = state(mode) else { return };
            for _ in 0..2 {
                side(&mut state.shop, &[]).unwrap();
                assert_eq!(orders_after(&state.shop, state.last).unwrap(), []);
                side(&mut state.shop, &[order(2), order(1)]).unwrap();
                assert_eq!(orders_after(&state.shop, state.last).unwrap(), [order(2), order(1)]);
                assert!(state.shop.is_autocommit(), "everything is committed");
                state.reset();
            }
            assert_eq!(orders_after(&state.shop, 0).unwrap().len(), 3);
        }
    }

    /// A toy benchmark commits to a file that nobody flushes, or compares two logs.
    #[test]
    fn trap_the_journals_are_as_named_and_on_a_device_when_timed() {
        for ((mode, _), expected) in SIDES.into_iter().zip([("delete", 2), ("wal", 1), ("wal", 2)])
        {
            let Some(state) = state(mode) else { return };
            let pragma = |name| {
                state
                    .shop
                    .query_row(&format!("PRAGMA {name}"), (), |row| {
                        row.get::<_, rusqlite::types::Value>(0)
                    })
                    .unwrap()
            };
            let (journal, synchronous) = expected;
            assert_eq!(pragma("journal_mode"), journal.to_owned().into());
            assert_eq!(pragma("synchronous"), i64::from(synchronous).into());
            let folder = std::path::Path::new(state.shop.path().unwrap()).parent().unwrap();
            let kind = paths::filesystem(folder).unwrap();
            assert!(!["tmpfs", "ramfs"].contains(&kind.as_str()), "{kind}");
        }
    }

    /// The orders in a copy of the database with `log` as its write-ahead log, as a power cut may leave them.
    fn after_a_power_cut(state: &State, log: &[u8]) -> Vec<Order> {
        let folder = paths::scratch().unwrap();
        let copy = folder.path().join("shop.db");
        fs::copy(state.shop.path().unwrap(), &copy).unwrap();
        fs::write(folder.path().join("shop.db-wal"), log).unwrap();
        let shop = sqlite::open(&copy).unwrap();
        let check = "SELECT integrity_check FROM pragma_integrity_check";
        assert_eq!(shop.query_row(check, (), |row| row.get(0)), Ok("ok".to_owned()));
        orders_after(&shop, state.last).unwrap()
    }

    /// What the card says of a power cut: what is in a log that was not flushed may be lost from any byte on.
    #[test]
    fn a_power_cut_may_lose_the_latest_commits_since_the_checkpoint_and_nothing_else() {
        let Some(mut state) = state(WAL) else { return };
        optimized(&mut state.shop, &[order(1), order(2)]).unwrap();
        let later = [order(3), order(4), order(5)];
        commit_each(&mut state.shop, &later).unwrap();
        let log = fs::read(format!("{}-wal", state.shop.path().unwrap())).unwrap();
        let all = [order(1), order(2), order(3), order(4), order(5)];
        assert_eq!(after_a_power_cut(&state, &log), all, "a crash of the program loses nothing");
        let mut left = Vec::new();
        for kept in (0..log.len()).step_by(1_000) {
            let mut damaged = log.clone();
            damaged[kept] ^= 0xff;
            for log in [&log[..kept], &damaged] {
                let orders = after_a_power_cut(&state, log);
                assert!(orders.len() >= 2 && all.starts_with(&orders), "{kept}: {orders:?}");
                left.push(orders.len());
            }
        }
        assert_eq!((left.iter().min(), left.iter().max()), (Some(&2), Some(&4)));
    }

    #[test]
    fn trap_every_iteration_finds_the_same_rows_and_the_log_neither_grows_nor_shrinks() {
        let Some(mut state) = state(WAL) else { return };
        let log = format!("{}-wal", state.shop.path().unwrap());
        let mut lengths = Vec::new();
        for _ in 0..4 {
            state.reset();
            assert_eq!(orders_after(&state.shop, state.last).unwrap(), []);
            optimized(&mut state.shop, &[order(1), order(2)]).unwrap();
            lengths.push(fs::metadata(&log).unwrap().len());
        }
        assert!(lengths.windows(2).skip(1).all(|two| two[0] == two[1]), "{lengths:?}");
    }
}
