//! Read a SQLite file while another connection writes: with a write-ahead log, readers do not wait for the writer.

use std::{
    cell::Cell,
    collections::HashSet,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

use rand::RngExt;
use rusqlite::{Connection, OptionalExtension};

use crate::fixtures::shop::{ShopFile, Size};
use worthit_pair::prelude::*;

/// Orders in the shop.
const ORDERS: u64 = 2_000;
/// Orders that each reader reads in an iteration.
const READS: u64 = 20;
/// Pages that the writer's page cache holds.
const CACHE_PAGES: i64 = 10;
/// Products that the writer changes before the readers come: more pages than its cache holds.
const CHANGED_BEFORE: u64 = 400;
/// Products that it changes after they have come.
const CHANGED_AFTER: u64 = 2_000;
const UPDATE: &str = "UPDATE products SET price_cents = price_cents + 1 WHERE id BETWEEN ?1 AND ?2";
/// What a reader reads, by primary keys. The writer changes none of it, so that both sides have the same answer.
const ORDER: &str = "SELECT o.placed_at, o.status,
         (SELECT coalesce(sum(l.quantity * l.price_cents), 0) FROM order_lines l WHERE l.order_id = o.id)
     FROM orders o WHERE o.id = ?1";

/// Pragmas of a side. Neither flushes, so that the device plays no part.
const ROLLBACK: &str = "PRAGMA synchronous = OFF; PRAGMA journal_mode = DELETE";
const WAL: &str = "PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL";

/// Level without a writer. Each read is a transaction of its own.
const ALONE: u64 = 0;
/// Level of a writer whose changes fit its cache: it has the reserved lock, and commits when the readers are done.
const RESERVED: u64 = 1;
/// Level of a writer whose cache has spilled: it has the exclusive lock, and commits as soon as it can.
const EXCLUSIVE: u64 = 2;

const WAITS: Cause = Cause::new("waits", "reads that wait for the writer")
    .counted("with the busy handler that also wakes the readers");

pub const PAIR: Pair = Pair {
    title: "Read beside a writer with a write-ahead log",
    review: Review {
        smell: "Errors `database is locked`, or reads that now and then take as long as a write, in a program that reads \
                and writes a SQLite file over several connections and sets no `journal_mode`.",
        remedy: "`PRAGMA journal_mode = WAL`, once for the file. A reader then reads the state before the transaction \
                 that is being written, and no writer waits for a reader either.",
        keep_naive_when: "Nothing writes while others read, and those read many rows in each transaction. Or the \
                          transactions that write are small: until it commits, a writer whose changes fit its page cache \
                          lets readers in with either journal. WAL needs shared memory, so it does not work over a \
                          network file system.",
        costs: "There are two more files beside the database. Each page that is read is first looked up in the index of \
                the log. The log grows for as long as a read transaction stays open, as no checkpoint can pass it. A \
                transaction that has read fails when it wants to write, if another one has written since. There is \
                still one writer at a time, so a `busy_timeout` stays necessary.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a rollback journal",
        growth: Growth::Other(
            "what is left of the write, and the reads, once there are more readers than cores",
        ),
    },
    optimized: Side {
        summary: "a write-ahead log",
        growth: Growth::Other("the reads, once there are more readers than cores"),
    },
    input: "Readers on threads of their own, each with 20 random orders of a SQLite shop with 2,000, and the totals of \
            their lines. The clock stops when the last reader has its answers, and does not wait for the commit. Under \
            the exclusive lock, a writer is in the midst of a transaction that has spilled its page cache (of 10 pages, \
            so that it soon does), and has yet to change 2,000 of 2,400 prices and to commit. Under the reserved lock, \
            its changes fit the cache, and it commits later. In both cases each reader reads in one transaction. Alone, \
            there is no writer, and each order is read in a transaction of its own. A reader that finds the file locked \
            is woken at the commit, while SQLite's `busy_timeout` would sleep beyond it. Neither side flushes, and the \
            log holds some pages.",
    axis: Axis {
        name: "reader threads",
        unit: "threads",
        is_size: false,
        points: Points::Fixed { default: &[1, 4, 16], deep: &[] },
    },
    parameter: Some(Parameter {
        name: "lock of the writer",
        levels: Levels::Fixed(&[
            Level { label: "alone", value: ALONE, origin: Origin::Measured },
            Level { label: "reserved", value: RESERVED, origin: Origin::Measured },
            Level { label: "exclusive", value: EXCLUSIVE, origin: Origin::Measured },
        ]),
    }),
    unit: "read",
    headline: Headline::At { level: "exclusive", point: 4 },
    causes: &[Claim {
        cause: WAITS,
        naive: Count::Exactly(|case| if case.level == EXCLUSIVE { case.point } else { 0 }),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "A rollback journal keeps the old pages, and the new ones go to the database itself. So from the moment when \
              a writer has to write one there, because its page cache is full or because it commits, nobody may read: a \
              reader waits for the rest of the transaction. With a write-ahead log the new pages go to the log, and \
              readers read what was there before. What is gained is the wait, so a writer that holds only the reserved \
              lock leaves nothing to gain. More readers than cores spend more of their time on their own reads, and all \
              of them wait at once, so the gain falls. Reads that are transactions of their own gain even without a \
              writer: with a rollback journal, each takes more locks, looks whether a crash has left a journal, and \
              reads the counter of changes in the file.",
        share_of_cause: ShareOfCause::NoRatio(
            "no read of the optimized side waits, and the length of a wait is the writer's",
        ),
        far_end: FarEnd::Falls(
            "the readers' own work, which the cores share, while all wait at once",
        ),
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the orders do not exist",
            reason: "a read that finds no row leaves out most of its work",
            check: |inputs: &[Asked]| {
                let missing = inputs.iter().flatten().flatten();
                let missing = missing.filter(|id| !(1..=ORDERS as i64).contains(*id)).count();
                ensure(missing == 0, || format!("{missing} orders are missing"))
            },
            sprung: || vec![vec![vec![1, -1]]],
        },
        &Trap {
            name: "all readers read the same few orders",
            reason: "their pages would stay in the nearest cache",
            check: |inputs: &[Asked]| {
                let distinct = inputs.iter().flatten().flatten().collect::<HashSet<&i64>>().len();
                ensure(distinct >= 500, || format!("{distinct} orders"))
            },
            sprung: || vec![vec![vec![7; 20]; 100]],
        },
    ],
    // Each read looks up an order and its lines, without a lock of its own in a transaction: about as much as one look-up
    // with a lock.
    limit: Limit::Work(&[Work::FileStatements(|_| READS)]),
    proof: Proof { resources: Resources::System, max_size: 6 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug, PartialEq)]
struct Order {
    placed_at: i64,
    status: String,
    total_cents: i64,
}

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// The orders that each reader is asked for, by their ids.
type Asked = Vec<Vec<i64>>;
/// What a reader has read; `None` for an id that no order has.
type Answers = rusqlite::Result<Vec<Option<Order>>>;

/// Has all readers read at once, in a shop with a rollback journal.
fn naive(shop: &mut Shop, asked: &Asked) -> Vec<Answers> {
    read_beside_writer(shop, asked)
}

/// Has all readers read at once, in a shop with `journal_mode = WAL`.
fn optimized(shop: &mut Shop, asked: &Asked) -> Vec<Answers> {
    read_beside_writer(shop, asked)
}

/// The same code for both sides; their files differ.
fn read_beside_writer(shop: &mut Shop, asked: &Asked) -> Vec<Answers> {
    shop.readers.iter().zip(asked).for_each(|(reader, ids)| reader.ask(ids.clone()));
    if shop.level == EXCLUSIVE {
        shop.writer.ask(Step::Commit { readers: asked.len() as u64 });
        shop.phase = Phase::Committing;
    }
    shop.readers.iter().map(Worker::answer).collect()
}

/// Reads these orders, in one transaction or each in its own. `read_one` is called after each.
fn read(shop: &Connection, ids: &[i64], in_one: bool, read_one: impl Fn()) -> Answers {
    let transaction = in_one.then(|| shop.unchecked_transaction()).transpose()?;
    let order = |id: &i64| {
        let mut query = shop.prepare_cached(ORDER)?;
        let order = query.query_row([id], |row| {
            Ok(Order { placed_at: row.get(0)?, status: row.get(1)?, total_cents: row.get(2)? })
        });
        read_one();
        order.optional()
    };
    let orders = ids.iter().map(order).collect();
    transaction.map_or(Ok(()), rusqlite::Transaction::commit)?;
    orders
}

/// What the writer is asked to do.
enum Step {
    /// Begins a transaction.
    Begin,
    /// Goes on, commits once this many readers have met the open transaction, and wakes those that wait.
    Commit { readers: u64 },
}

/// The state of the writer's transaction, as readers meet it.
#[derive(Default)]
struct Meeting {
    state: Mutex<Met>,
    changed: Condvar,
}

#[derive(Default)]
struct Met {
    is_committed: bool,
    /// Readers that have read something, or wait.
    readers: u64,
    /// Reads that have waited.
    waits: u64,
}

impl Meeting {
    fn met(&self) -> MutexGuard<'_, Met> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader has read something, or has nothing to read.
    fn meet(&self) {
        self.met().readers += 1;
        self.changed.notify_all();
    }

    /// A read has found the file locked. Waits for the commit.
    fn wait_for_commit(&self) {
        let mut met = self.met();
        met.waits += 1;
        met.readers += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(met, |met| !met.is_committed));
    }

    fn wait_for_readers(&self, readers: u64) {
        drop(self.changed.wait_while(self.met(), |met| met.readers < readers));
    }

    fn commit(&self) {
        self.met().is_committed = true;
        self.changed.notify_all();
    }
}

/// A thread that does what it is asked. Dropping this ends it.
struct Worker<Q, A> {
    questions: Option<Sender<Q>>,
    answers: Receiver<A>,
    thread: Option<JoinHandle<()>>,
}

impl<Q: Send + 'static, A: Send + 'static> Worker<Q, A> {
    fn new(mut work: impl FnMut(Q) -> A + Send + 'static) -> Worker<Q, A> {
        let (questions, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let thread = thread::spawn(move || {
            // The receiver is gone if nobody wants the answer.
            asked.into_iter().for_each(|question| drop(answer.send(work(question))));
        });
        Worker { questions: Some(questions), answers, thread: Some(thread) }
    }

    fn ask(&self, question: Q) {
        let questions = self.questions.as_ref().expect("it is dropped last");
        questions.send(question).expect("no worker panics");
    }

    fn answer(&self) -> A {
        self.answers.recv().expect("no worker panics")
    }
}

impl<Q, A> Drop for Worker<Q, A> {
    fn drop(&mut self) {
        drop(self.questions.take());
        // A worker that has panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the writer is at.
#[derive(PartialEq)]
enum Phase {
    Idle,
    /// It has begun a transaction.
    Open,
    /// It has been asked to commit.
    Committing,
}

struct Shop {
    readers: Vec<Worker<Vec<i64>, Answers>>,
    writer: Worker<Step, ()>,
    phase: Phase,
    meeting: Arc<Meeting>,
    level: u64,
    _file: ShopFile,
}

impl Shop {
    fn new(case: &Case, pragmas: &str) -> Result<Shop, Unavailable> {
        let after = case.items(CHANGED_AFTER) as i64;
        let orders = if case.proof_size.is_some() { 5 } else { ORDERS };
        let size = Size { products: CHANGED_BEFORE + after as u64, ..Size::of_orders(orders) };
        let file = ShopFile::new(paths::scratch()?, case, size, "")?;
        let meeting = Arc::new(Meeting::default());
        let in_one = case.level != ALONE;
        let readers =
            (0..case.point).map(|_| Ok(reader(file.open_with(pragmas)?, in_one, &meeting)));
        let readers = readers.collect::<Result<_, Unavailable>>()?;
        let changes = if case.level == EXCLUSIVE { (CHANGED_BEFORE as i64, after) } else { (1, 0) };
        let writer = writer(file.open_with(pragmas)?, changes, &meeting);
        let level = case.level;
        let mut shop = Shop { readers, writer, phase: Phase::Idle, meeting, level, _file: file };
        // So that there is a log to look pages up in.
        shop.begin();
        shop.end();
        Ok(shop)
    }

    /// Ends the transaction before, and begins the next one.
    fn reset(&mut self) {
        self.end();
        if self.level != ALONE {
            self.begin();
        }
    }

    fn begin(&mut self) {
        *self.meeting.met() = Met::default();
        self.writer.ask(Step::Begin);
        self.writer.answer();
        self.phase = Phase::Open;
    }

    fn end(&mut self) {
        if self.phase == Phase::Open {
            self.writer.ask(Step::Commit { readers: 0 });
            self.phase = Phase::Committing;
        }
        if self.phase == Phase::Committing {
            self.writer.answer();
            self.phase = Phase::Idle;
        }
    }
}

/// A thread that reads over this connection, in one transaction or each order in its own.
fn reader(mut shop: Connection, in_one: bool, meeting: &Arc<Meeting>) -> Worker<Vec<i64>, Answers> {
    let (meeting, waiting) = (Arc::clone(meeting), Arc::clone(meeting));
    let wait = move |_| {
        waiting.wait_for_commit();
        true
    };
    shop.busy_handler(Some(wait)).expect("SQLite takes it");
    Worker::new(move |ids: Vec<i64>| {
        let is_new = Cell::new(true);
        let meet = || {
            if is_new.replace(false) {
                meeting.meet();
            }
        };
        let answers = read(&shop, &ids, in_one, meet);
        meet();
        answers
    })
}

/// A thread that changes as many products as `changes` says before and after the readers come.
fn writer(
    shop: Connection,
    (before, after): (i64, i64),
    meeting: &Arc<Meeting>,
) -> Worker<Step, ()> {
    shop.pragma_update(None, "cache_size", CACHE_PAGES).expect("SQLite knows it");
    let meeting = Arc::clone(meeting);
    Worker::new(move |step| {
        // It is what the readers meet, and no part of a side.
        causes::exclude_thread();
        match step {
            Step::Begin => {
                let begin = || -> rusqlite::Result<()> {
                    shop.execute_batch("BEGIN IMMEDIATE")?;
                    shop.prepare_cached(UPDATE)?.execute((1, before)).map(drop)
                };
                begin().expect("nobody else writes");
            }
            Step::Commit { readers } => {
                let commit = || -> rusqlite::Result<()> {
                    shop.prepare_cached(UPDATE)?.execute((before + 1, before + after))?;
                    meeting.wait_for_readers(readers);
                    shop.execute_batch("COMMIT")
                };
                let committed = commit();
                // Even if it has failed, so that nobody waits for ever.
                meeting.commit();
                committed.expect("nobody else writes");
            }
        }
    })
}

fn asked(case: &Case) -> Asked {
    let mut rng = case.rng("orders");
    let reads = case.items(READS);
    let mut order = || match case.shape {
        Shape::Realistic => rng.random_range(1..=ORDERS as i64),
        // In a proof, it may not exist.
        _ => rng.random_range(-2..8),
    };
    (0..case.point).map(|_| (0..reads).map(|_| order()).collect()).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), asked);
    let over = |pragmas, side: fn(&mut Shop, &Asked) -> Vec<Answers>| {
        let (case_counted, lists) = (case.clone(), inputs.clone());
        let mut counted = None;
        let waits = move |input: usize| {
            let shop = || Shop::new(&case_counted, pragmas).expect("the side has one already");
            let shop = counted.get_or_insert_with(shop);
            shop.reset();
            drop(side(shop, &lists[input]));
            shop.meeting.met().waits
        };
        let read = move |shop: &mut Shop, asked: &Asked| -> Vec<Vec<Option<Order>>> {
            let answers = side(shop, asked).into_iter().collect::<rusqlite::Result<_>>();
            answers.expect("the shop answers")
        };
        // The readers and the writer.
        let threads = case.point as usize + usize::from(case.level != ALONE);
        let (case, inputs) = (case.clone(), inputs.clone());
        let make = move || Ok(resetting(&inputs, Shop::new(&case, pragmas)?, Shop::reset, read));
        on_first_use(threads, make).counting(WAITS, waits)
    };
    let trial = Trial::new(
        inputs.measured(|asked| asked.len() as u64),
        over(ROLLBACK, naive),
        over(WAL, optimized),
    );
    Ok(trial.units(case.point * READS))
}

/// Inputs in the rotation.
fn turns(readers: u64) -> u64 {
    (64 / readers.max(1)).max(4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixtures::shop::query_plan;

    fn small_shop(level: u64, pragmas: &str) -> Shop {
        let case = Case { proof_size: Some(20), ..Case::realistic(2, level, 42) };
        Shop::new(&case, pragmas).unwrap()
    }

    #[test]
    fn known_answers() {
        let order = |placed_at, status: &str, total_cents| {
            Some(Order { placed_at, status: status.to_owned(), total_cents })
        };
        let (first, third) = (|| order(10, "it's §", 499), || order(30, "", 0));
        for (pragmas, side) in
            [(ROLLBACK, naive as fn(&mut Shop, &Asked) -> Vec<Answers>), (WAL, optimized)]
        {
            for level in [ALONE, RESERVED, EXCLUSIVE] {
                let mut shop = small_shop(level, pragmas);
                let other = shop._file.open_with(pragmas).unwrap();
                other
                    .execute_batch(
                        "DELETE FROM order_lines;
                         UPDATE orders SET placed_at = 10 * id, status = iif(id = 1, 'it''s §', '');
                         INSERT INTO order_lines VALUES (1, 1, 7, 2, 250), (1, 2, 7, 1, -1)",
                    )
                    .unwrap();
                for _ in 0..2 {
                    shop.reset();
                    let answers = side(&mut shop, &vec![vec![1, 3, -1], vec![3]]);
                    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
                    let expected = [vec![first(), third(), None], vec![third()]];
                    assert_eq!(answers, expected);
                }
            }
        }
    }

    /// What a connection that does not wait reads while the writer's transaction is open.
    fn price_meanwhile(level: u64, pragmas: &str) -> rusqlite::Result<i64> {
        let mut shop = small_shop(level, pragmas);
        let other = shop._file.open_with(pragmas).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        let price = || {
            let sql = "SELECT price_cents FROM products WHERE id = 1";
            other.query_row(sql, (), |row| row.get::<_, i64>(0))
        };
        let before = price().unwrap();
        shop.begin();
        let meanwhile = price();
        shop.end();
        assert_eq!(price(), Ok(before + 1));
        meanwhile.map(|price| price - before)
    }

    /// A toy benchmark has a writer that holds no lock, or one that holds it on both sides.
    #[test]
    fn trap_only_a_rollback_journal_whose_cache_has_spilled_locks_readers_out() {
        let locked = price_meanwhile(EXCLUSIVE, ROLLBACK).unwrap_err();
        assert_eq!(locked.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
        for (level, pragmas) in [(RESERVED, ROLLBACK), (RESERVED, WAL), (EXCLUSIVE, WAL)] {
            assert_eq!(price_meanwhile(level, pragmas), Ok(0), "the state before");
        }
    }

    #[test]
    fn trap_every_row_is_found_by_a_key() {
        for pragmas in [ROLLBACK, WAL] {
            let shop = small_shop(ALONE, pragmas)._file.open_with(pragmas).unwrap();
            let plan = query_plan(&shop, ORDER);
            let steps = [
                "SEARCH o USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH l USING PRIMARY KEY (order_id=?)",
            ];
            assert!(steps.iter().all(|step| plan.contains(step)), "{plan}");
            assert!(!plan.contains("SCAN"), "{plan}");
        }
    }
}
