//! Serve requests from a database: take a connection from a pool, do not open one for each.

use std::{
    collections::HashSet,
    ops::Deref,
    path::Path,
    rc::Rc,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use rand::RngExt;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::fixtures::{
    shop::{ShopFile, Size, number},
    sqlite,
};
use worthit_pair::prelude::*;

/// Orders in the shop.
const ORDERS: u64 = 4_000;
/// Tables in the schema of the shop.
const TABLES: u64 = 12;
/// Connections that the pool opens at most.
const LIMIT: usize = 4;
/// What a request asks for. Everything is found by primary keys.
const ORDER: &str = "SELECT c.name, o.placed_at, o.status,
         (SELECT coalesce(sum(l.quantity * l.price_cents), 0) FROM order_lines l WHERE l.order_id = o.id)
     FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = ?1";

const OPENS: Cause = Cause::new("opens", "connections opened")
    .counted("with a closure that opens a connection and notes it");

pub const PAIR: Pair = Pair {
    title: "Take connections from a pool",
    review: Review {
        smell: "`Connection::open(path)?` in the handler of a request, or in a function that is called for each.",
        remedy: "A pool that the requests share: `pool.take()?` returns a connection that another request has given \
                 back. It opens one only if none is idle, up to a limit, and then waits. Dropping the connection gives \
                 it back. An open transaction is rolled back before, so a request that fails or \
                 panics leaves nothing to the next one. There are crates that do this: take r2d2_sqlite or \
                 deadpool-sqlite if they support your version of rusqlite, which here they did not.",
        keep_naive_when: "The program asks once and ends, as a command line tool does. A program of one thread needs \
                          no pool either: one connection, opened at the start and handed on, is enough.",
        costs: "A pool keeps connections open, each with its own copy of the schema, its own page cache and its own \
                prepared statements. What a request changes on its connection outside of a transaction stays for the \
                next one: pragmas, temporary tables, attached files. A request waits if all connections are in use, \
                and one that takes a second connection while it holds the first may wait for ever.",
        lint: Lint::None,
    },
    naive: Side { summary: "open a connection for each request", growth: Growth::Linear },
    optimized: Side {
        summary: "take one from a pool, which opens it once",
        growth: Growth::Other("O(n), after one open"),
    },
    input: "Requests one after another, each for a random order of a SQLite shop of a dozen tables and 4,000 orders, \
            with the name of its customer and the total of its lines, found by primary keys. Each iteration is a program \
            from its start to its end, so it also closes the connections of its pool. Every connection gets the same \
            pragmas and prepares its statement with `prepare_cached`. One more connection stays open meanwhile, so that \
            no close is the last one, which would also remove the write-ahead log.",
    axis: Axis {
        name: "requests",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 2, 5, 15, 50], deep: &[200] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 50 },
    alternatives: &[SideBeside {
        name: "prepare_each_time",
        summary: "the pool, with a statement that is compiled for each request",
    }],
    causes: &[Claim {
        cause: OPENS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.min(1)),
    }],
    explanation: Explanation {
        why: "To open a connection, SQLite opens the file, maps the index of the write-ahead log, and runs the pragmas. \
              Before the first of them, or the first statement, it reads and parses the statements that created the \
              tables and indexes, all of them, and reads the statistics that `ANALYZE` has left. Then the request's own \
              statement is compiled, and its pages are read into a page cache that is still empty. A pooled connection \
              has all that from its first request on. What stays is the query, with its lock on the file. So the gain \
              rises with the requests, up to the ratio of a request that opens a connection to one that does not. A \
              larger schema makes opening cost more, and a longer query hides it.",
        share_of_cause: ShareOfCause::Within(0.1, 0.9),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "the schema is small",
            reason: "opening costs less the less there is to parse, and a real program has more than a table or two",
            check: |inputs: &[Requests]| {
                let fewest = inputs.iter().map(|requests| tables(&requests.shop.connection)).min();
                ensure(fewest >= Some(TABLES), || format!("{fewest:?} tables"))
            },
            sprung: || {
                let requests = few_requests();
                let drop = "DROP TABLE visits; DROP TABLE daily_views";
                requests.shop.connection.execute_batch(drop).expect("it has these tables");
                vec![requests]
            },
        },
        &Trap {
            name: "the orders do not exist",
            reason: "a request that finds no row leaves out most of its query",
            check: |inputs: &[Requests]| {
                let missing = inputs.iter().flat_map(|requests| &requests.orders);
                let missing = missing.filter(|id| !(1..=ORDERS as i64).contains(*id)).count();
                ensure(missing == 0, || format!("{missing} orders are missing"))
            },
            sprung: || vec![Requests { orders: vec![1, -1], ..few_requests() }],
        },
        &Trap {
            name: "one order again and again",
            reason: "its pages would stay in the nearest cache",
            check: |inputs: &[Requests]| {
                let all = inputs.iter().flat_map(|requests| &requests.orders);
                let distinct = all.collect::<HashSet<&i64>>().len();
                ensure(distinct >= 400, || format!("{distinct} orders"))
            },
            sprung: || vec![Requests { orders: vec![7; 10_000], ..few_requests() }],
        },
    ],
    limit: Limit::Work(&[Work::FileStatements(|case| case.point)]),
    proof: Proof { resources: Resources::System, max_size: 16 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug, PartialEq)]
struct Order {
    customer: String,
    placed_at: i64,
    status: String,
    total_cents: i64,
}

/// The answers to requests in their order; `None` for an id that no order has.
type Orders = rusqlite::Result<Vec<Option<Order>>>;

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// Answers each request over a connection of its own.
fn naive(open: impl Fn() -> rusqlite::Result<Connection>, requests: &[i64]) -> Orders {
    let answer = |id: &i64| order(&open()?, *id);
    requests.iter().map(answer).collect()
}

/// Answers each request over a connection of a pool.
fn optimized(open: impl Fn() -> rusqlite::Result<Connection>, requests: &[i64]) -> Orders {
    let pool = Pool::new(LIMIT, open);
    let answer = |id: &i64| order(&*pool.take()?, *id);
    requests.iter().map(answer).collect()
}

/// The same, with a statement that is compiled for each request.
fn prepare_each_time(open: impl Fn() -> rusqlite::Result<Connection>, requests: &[i64]) -> Orders {
    let pool = Pool::new(LIMIT, open);
    let answer = |id: &i64| pool.take()?.query_row(ORDER, [*id], row).optional();
    requests.iter().map(answer).collect()
}

/// One request.
fn order(shop: &Connection, id: i64) -> rusqlite::Result<Option<Order>> {
    shop.prepare_cached(ORDER)?.query_row([id], row).optional()
}

fn row(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order {
        customer: row.get(0)?,
        placed_at: row.get(1)?,
        status: row.get(2)?,
        total_cents: row.get(3)?,
    })
}

/// Connections that requests share.
struct Pool<F> {
    open: F,
    /// Number of connections that it opens at most.
    limit: usize,
    state: Mutex<PoolState>,
    given_back: Condvar,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Connection>,
    in_use: usize,
}

impl<F: Fn() -> rusqlite::Result<Connection>> Pool<F> {
    fn new(limit: usize, open: F) -> Pool<F> {
        Pool { open, limit, state: Mutex::default(), given_back: Condvar::new() }
    }

    /// Takes the connection that was given back last, or opens one if none is idle. Waits while as many as the limit are
    /// in use.
    fn take(&self) -> rusqlite::Result<Pooled<'_, F>> {
        let full = |state: &mut PoolState| state.in_use == self.limit;
        let waited = self.given_back.wait_while(self.lock(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.in_use += 1;
        let idle = state.idle.pop();
        drop(state);
        // If opening fails, dropping this gives the place back.
        let mut pooled = Pooled { pool: self, connection: idle };
        if pooled.connection.is_none() {
            pooled.connection = Some((self.open)()?);
        }
        Ok(pooled)
    }
}

impl<F> Pool<F> {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use. Dropping this gives it back.
struct Pooled<'a, F> {
    pool: &'a Pool<F>,
    /// `None` only while it is opened.
    connection: Option<Connection>,
}

impl<F> Deref for Pooled<'_, F> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it was opened")
    }
}

impl<F> Drop for Pooled<'_, F> {
    fn drop(&mut self) {
        let is_clean = |connection: &Connection| {
            connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok()
        };
        let clean = self.connection.take().filter(is_clean);
        let mut state = self.pool.lock();
        state.in_use -= 1;
        state.idle.extend(clean);
        drop(state);
        self.pool.given_back.notify_one();
    }
}

struct Shop {
    /// A connection that no side uses. As long as it is open, no other close is the last one.
    connection: Connection,
    _file: ShopFile,
}

impl Shop {
    fn new(case: &Case) -> Result<Rc<Shop>, Unavailable> {
        let orders = if case.proof_size.is_some() { 5 } else { ORDERS };
        let file = ShopFile::new(paths::scratch()?, case, Size::of_orders(orders), "")?;
        Ok(Rc::new(Shop { connection: file.open()?, _file: file }))
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        sqlite::open(Path::new(self.connection.path().expect("it is in a file")))
    }
}

struct Requests {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// The order that each request asks for.
    orders: Vec<i64>,
}

fn tables(shop: &Connection) -> u64 {
    let sql =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    number(shop, sql, ())
}

/// Requests to a small shop, for the traps.
fn few_requests() -> Requests {
    let case = Case { proof_size: Some(2), ..Case::realistic(2, 0, 1) };
    requests(&case, &Shop::new(&case).expect("a shop of some orders"))
}

/// Lists in the rotation.
fn turns(requests: u64) -> u64 {
    (512 / requests.max(1)).max(16)
}

fn requests(case: &Case, shop: &Rc<Shop>) -> Requests {
    let count = case.point as usize;
    let mut rng = case.rng("orders");
    let orders = match case.shape {
        Shape::Realistic => (0..count).map(|_| rng.random_range(1..=ORDERS as i64)).collect(),
        // In a proof, they may not exist.
        Shape::Random => (0..count).map(|_| rng.random_range(-2..8)).collect(),
        _ => case.values(count).into_iter().map(|value| value as i64).collect(),
    };
    Requests { shop: Rc::clone(shop), orders }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = Shop::new(case)?;
    let inputs = case.rotate(turns(case.point), |case| requests(case, &shop));

    let naive_side = by_ref(&inputs, |Requests { shop, orders }| {
        naive(|| shop.open(), orders).expect("the shop answers")
    });
    let optimized_side = by_ref(&inputs, |Requests { shop, orders }| {
        optimized(|| shop.open(), orders).expect("the shop answers")
    });
    let prepare_each_time = by_ref(&inputs, |Requests { shop, orders }| {
        prepare_each_time(|| shop.open(), orders).expect("the shop answers")
    });
    let opens_of_naive =
        noting(&inputs, |Requests { shop, orders }| naive(noted_open(shop), orders));
    let opens_of_optimized =
        noting(&inputs, |Requests { shop, orders }| optimized(noted_open(shop), orders));
    let trial = Trial::new(
        inputs.measured(|requests| requests.orders.len() as u64),
        naive_side.counting(OPENS, opens_of_naive),
        optimized_side.counting(OPENS, opens_of_optimized),
    );
    Ok(trial.alternative(prepare_each_time).units(case.point))
}

fn noted_open(shop: &Shop) -> impl Fn() -> rusqlite::Result<Connection> {
    || {
        note();
        shop.open()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
    };

    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let folder = paths::scratch().unwrap();
        let open = || sqlite::open(&folder.path().join("shop"));
        open()
            .unwrap()
            .execute_batch(
                "CREATE TABLE customers (id INTEGER PRIMARY KEY, name);
                 CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id, placed_at, status);
                 CREATE TABLE order_lines (order_id, line, quantity, price_cents);
                 INSERT INTO customers VALUES (7, 'O''Brien §');
                 INSERT INTO orders VALUES (1, 7, 10, 'paid'), (3, 7, 30, '');
                 INSERT INTO order_lines VALUES (1, 1, 2, 250), (1, 2, 1, -1)",
            )
            .unwrap();
        let order = |placed_at, status: &str, total_cents| {
            let (customer, status) = ("O'Brien §".to_owned(), status.to_owned());
            Some(Order { customer, placed_at, status, total_cents })
        };
        let expected = [order(30, "", 0), None, order(10, "paid", 499)];
        assert_eq!(naive(open, &[3, 2, 1]).unwrap(), expected);
        assert_eq!(optimized(open, &[3, 2, 1]).unwrap(), expected);
        assert_eq!(prepare_each_time(open, &[3, 2, 1]).unwrap(), expected);
    }

    #[test]
    fn trap_every_row_is_found_by_a_key() {
        let shop = Shop::new(&Case::realistic(1, 0, 42)).unwrap();
        let plan = query_plan(&shop.connection, ORDER);
        let steps = [
            "SEARCH o USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH c USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH l USING PRIMARY KEY (order_id=?)",
        ];
        assert!(steps.iter().all(|step| plan.contains(step)) && !plan.contains("SCAN"), "{plan}");
    }

    /// What a request does to a table of the shop and then does not commit.
    fn begin_to_delete(shop: &Connection) {
        shop.execute_batch("BEGIN; DELETE FROM order_lines").unwrap();
    }

    #[test]
    fn a_request_that_fails_or_panics_leaves_a_clean_connection() {
        let shop = few_requests().shop;
        let opens = AtomicUsize::new(0);
        let pool = Pool::new(1, || {
            opens.fetch_add(1, SeqCst);
            shop.open()
        });
        let lines = "SELECT count(*) FROM order_lines";
        let before = number(&pool.take().unwrap(), lines, ());
        let request = || -> rusqlite::Result<()> {
            let shop = pool.take()?;
            begin_to_delete(&shop);
            shop.execute_batch("no SQL")
        };
        assert!(request().is_err());
        let panicking = catch_unwind(AssertUnwindSafe(|| {
            let shop = pool.take().unwrap();
            begin_to_delete(&shop);
            panic!("a request panics");
        }));
        assert!(panicking.is_err());
        let shop = pool.take().unwrap();
        assert!(shop.is_autocommit());
        assert_eq!((number(&shop, lines, ()), opens.load(SeqCst)), (before, 1));
    }

    #[test]
    fn a_connection_that_cannot_be_opened_takes_no_place() {
        let shop = few_requests().shop;
        let fails = AtomicUsize::new(2);
        let pool = Pool::new(1, || {
            let left = fails.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            if left.is_ok() { Err(rusqlite::Error::InvalidQuery) } else { shop.open() }
        });
        assert!(pool.take().is_err() && pool.take().is_err());
        assert_eq!(order(&pool.take().unwrap(), -1), Ok(None));
    }

    #[test]
    fn threads_never_have_more_connections_than_the_limit() {
        const THREADS: usize = 8;
        let folder = paths::scratch().unwrap();
        let (opens, in_use) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let pool = Pool::new(3, || {
            opens.fetch_add(1, SeqCst);
            sqlite::open(&folder.path().join("shop"))
        });
        let barrier = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    for nth in 0..100 {
                        let shop = pool.take().unwrap();
                        assert!(in_use.fetch_add(1, SeqCst) < 3);
                        let answer = shop.query_row("SELECT ?1", [nth], |row| row.get(0));
                        assert_eq!(answer, Ok(nth));
                        in_use.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
        assert!((1..=3).contains(&opens.load(SeqCst)));
        assert_eq!(pool.lock().idle.len(), opens.load(SeqCst));
    }
}
