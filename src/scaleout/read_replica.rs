//! Read from a replica of PostgreSQL too, but one's own writes only from where they are.

use std::{
    cell::RefCell,
    collections::HashSet,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod};
use futures_util::future::{join_all, try_join_all};
use tokio_postgres::{Config, NoTls, types::PgLsn};

use crate::fixtures::{
    pg_shop,
    postgres::{Database, answered},
    replica::{self, Replica},
    shop::Size,
    zipf::Zipf,
};
use worthit_pair::{prelude::*, trial::Loads};

/// Products in the shop; requests for them follow Zipf's law.
const PRODUCTS: usize = 500;
/// Orders in the shop.
const ORDERS: u64 = 5_000;
/// Customers, each with a cart.
const CUSTOMERS: u64 = 1_000;
/// One request in as many changes the customer's cart before it reads.
const WRITE_ONE_IN: u64 = 8;
/// Connections to a server: its slots.
const SLOTS: usize = 4;
/// Which of two servers has the next read of those that either may have. The primary has fewer, as it alone has the
/// writes and the reads after them.
const TURNS: [At; 7] =
    [At::Primary, At::Replica, At::Primary, At::Replica, At::Primary, At::Replica, At::Replica];

const TABLES: &str = "
    CREATE INDEX lines_by_product ON order_lines (product_id);
    CREATE TABLE carts (id bigint PRIMARY KEY, note text NOT NULL) WITH (fillfactor = 50);
    INSERT INTO carts SELECT id, '' FROM customers";
/// A product, how often it was sold, and the customer's cart.
const COMPUTED: &str = "SELECT p.name, c.note,
         (SELECT count(DISTINCT customer_id) FROM order_lines l JOIN orders o ON o.id = l.order_id
          WHERE product_id = p.id),
         (SELECT coalesce(sum(quantity), 0)::bigint FROM order_lines WHERE product_id = p.id)
     FROM products p, carts c WHERE p.id = $1 AND c.id = $2";
/// The same without the sums, after a wait.
const AWAITED: &str = "SELECT p.name, c.note, p.price_cents, p.stock
     FROM products p, carts c, pg_sleep(0.001) WHERE p.id = $1 AND c.id = $2";
const SET_NOTE: &str = "UPDATE carts SET note = $2 WHERE id = $1";
const WRITTEN: &str = "SELECT pg_current_wal_insert_lsn()";

const BUSIEST: Cause = Cause::new("reads_on_the_busiest", "reads on the busiest server")
    .counted("between two readings of each server's pg_stat_statements");

pub const PAIR: Pair = Pair {
    title: "Read from a replica too",
    review: Review {
        smell: "Nearly all queries are reads, they wait for a connection or for the primary's disk, and one server answers \
                them all.",
        remedy: "A streaming replica with a pool of its own, and reads that take turns between both. After a write, remember \
                 where the primary's log then ended (`WRITTEN`), and let the session's reads go to the primary until the \
                 replica has `replayed` the log up to there. A program that does not know would show customers a cart \
                 without what they have just put into it.",
        keep_naive_when: "Reads are few enough that none waits, or they wait for cores that the replica does not add. An \
                          index, a cache or a larger server is less to run. Writes are what waits: each replica repeats \
                          them all.",
        costs: "A second server with all the data. A replica is a moment behind: rows that others have changed may be older \
                there, and two reads one after the other may go back in time. A query on the replica can be cancelled when \
                it holds up the replay. The program must know reads from writes, and carry a position with each session.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "the primary answers all",
        growth: Growth::Other("in waves of 4 reads"),
    },
    optimized: Side {
        summary: "primary and replica take turns, but for reads of one's own writes",
        growth: Growth::Other("in waves of 8 reads"),
    },
    input: "A burst of requests at once, in a closed loop, each of another customer for a product and the customer's cart. \
            One in eight changes the cart first; nobody else changes it. Each server has four connections. In `waits`, a \
            read also waits in the server, which stands for a disk: it is simulated with `pg_sleep` for a millisecond, \
            which takes two. In `computes` it joins and counts instead, with both servers on the same cores as the \
            program. Commits wait for no flush (`synchronous_commit = off`). The program learns between the bursts how \
            far the replica is.",
    axis: Axis {
        name: "requests at once",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[4, 16, 32], deep: &[256] },
    },
    parameter: Some(Parameter {
        name: "a read",
        levels: Levels::Fixed(&[
            Level { label: "waits", value: 1_000, origin: Origin::Measured },
            Level { label: "computes", value: 0, origin: Origin::Measured },
        ]),
    }),
    unit: "request",
    headline: Headline::At { level: "waits", point: 32 },
    causes: &[Claim {
        cause: BUSIEST,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.div_ceil(2)),
    }],
    explanation: Explanation {
        why: "A read that waits holds a connection, and the others stand in line for it. A second server doubles the \
              connections and the disks that reads wait for. Where they wait for cores, a second server on the same machine \
              has none to give; on a machine of its own it would.",
        share_of_cause: ShareOfCause::Within(0.6, 1.2),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(4),
    },
    traps: &[
        &Trap {
            name: "a cart that another request changes",
            reason: "what a read finds would depend on which came first, and on how far the replica is",
            check: |inputs: &[Burst]| {
                let shared = inputs.iter().find(|burst| {
                    let carts: HashSet<i64> = burst.iter().map(|request| request.cart).collect();
                    carts.len() < burst.len()
                });
                ensure(shared.is_none(), || "two requests of a burst share a cart".to_owned())
            },
            sprung: || vec![vec![Request { product: 1, cart: 1, note: None }; 2]],
        },
        &Trap {
            name: "nobody writes",
            reason: "every read could go anywhere, and a program that reads old carts would be right",
            check: |inputs: &[Burst]| {
                let is_large = inputs[0].len() as u64 >= WRITE_ONE_IN;
                let writes = inputs.iter().flatten().filter(|request| request.note.is_some());
                ensure(!is_large || writes.count() > 0, || "no request writes".to_owned())
            },
            sprung: || vec![(1..=8).map(|cart| Request { product: 1, cart, note: None }).collect()],
        },
    ],
    limit: Limit::Work(&[
        Work::RoundTrips(|_| 1),
        Work::Waiting(|case| case.level * 1_000 * case.point.div_ceil(2 * SLOTS as u64)),
    ]),
    proof: Proof { resources: Resources::System, max_size: 12 },
    servers: &[Program::PostgresReplica],
    under_load: Some(UnderLoad { p99: Duration::from_millis(20), rates: Rates::Capacity }),
    prepare,
    ..Pair::DEFAULTS
};

/// A request of a customer: for a product and the customer's cart, which may get another note first.
#[derive(Clone, Debug)]
struct Request {
    product: i64,
    cart: i64,
    note: Option<String>,
}

type Burst = Vec<Request>;

/// What a page shows.
#[derive(Debug, PartialEq)]
struct Page {
    name: String,
    note: String,
    numbers: [i64; 2],
}

impl Found for Page {
    fn found(&self) -> u64 {
        1
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Primary,
    Replica,
}

/// What requests share: the pools, and where the servers are in the log.
struct Servers {
    primary: Pool,
    replica: Pool,
    /// The query of a read.
    page: String,
    /// Up to where the replica has the log, as far as the program knows.
    replayed: AtomicU64,
    turns: AtomicU64,
}

impl Servers {
    /// Opens the connections to the primary and the replica. They belong to the runtime in which this runs.
    async fn connect(
        [primary, replica]: [&Config; 2],
        page: String,
    ) -> Result<Servers, Unavailable> {
        let servers = Servers {
            primary: pool(primary)?,
            replica: pool(replica)?,
            page,
            replayed: AtomicU64::new(0),
            turns: AtomicU64::new(0),
        };
        // A pool opens a connection when it has none left, so all of them are taken at once, and each prepares.
        let opened = async {
            for pool in [&servers.primary, &servers.replica] {
                for client in try_join_all((0..SLOTS).map(|_| pool.get())).await? {
                    for sql in [&servers.page, SET_NOTE, WRITTEN] {
                        client.prepare_cached(sql).await?;
                    }
                }
            }
            Ok(())
        };
        opened.await.map_err(|error: PoolError| {
            Unavailable(format!("PostgreSQL does not give {SLOTS} connections: {error}"))
        })?;
        Ok(servers)
    }

    /// Returns the server for a read of a session that has written up to `written`.
    fn for_read(&self, written: PgLsn) -> At {
        if u64::from(written) > self.replayed.load(Relaxed) {
            return At::Primary;
        }
        TURNS[self.turns.fetch_add(1, Relaxed) as usize % TURNS.len()]
    }

    async fn read(&self, at: At, request: &Request) -> Result<Page, PoolError> {
        let pool = if at == At::Primary { &self.primary } else { &self.replica };
        let client = pool.get().await?;
        let page = client.prepare_cached(&self.page).await?;
        let row = client.query_one(&page, &[&request.product, &request.cart]).await?;
        Ok(Page { name: row.get(0), note: row.get(1), numbers: [row.get(2), row.get(3)] })
    }
}

/// Answers the requests at once.
async fn naive(servers: &Arc<Servers>, burst: &[Request]) -> Result<Vec<Page>, PoolError> {
    let requests = burst.iter().map(|request| on_primary(Arc::clone(servers), request.clone()));
    join_all(requests).await.into_iter().collect()
}

/// Answers the requests at once.
async fn optimized(servers: &Arc<Servers>, burst: &[Request]) -> Result<Vec<Page>, PoolError> {
    let requests = burst.iter().map(|request| on_both(Arc::clone(servers), request.clone()));
    join_all(requests).await.into_iter().collect()
}

async fn on_primary(servers: Arc<Servers>, request: Request) -> Result<Page, PoolError> {
    if let Some(note) = &request.note {
        let client = servers.primary.get().await?;
        let set_note = client.prepare_cached(SET_NOTE).await?;
        client.execute(&set_note, &[&request.cart, note]).await?;
    }
    servers.read(At::Primary, &request).await
}

async fn on_both(servers: Arc<Servers>, request: Request) -> Result<Page, PoolError> {
    let mut written = PgLsn::from(0);
    if let Some(note) = &request.note {
        let client = servers.primary.get().await?;
        let set_note = client.prepare_cached(SET_NOTE).await?;
        client.execute(&set_note, &[&request.cart, note]).await?;
        let end = client.prepare_cached(WRITTEN).await?;
        written = client.query_one(&end, &[]).await?.get(0);
    }
    servers.read(servers.for_read(written), &request).await
}

/// A shop on a primary and its replica, with the pools of one side.
struct Shop {
    servers: Arc<Servers>,
    replica: Replica,
    database: Database,
    found: Vec<Page>,
}

impl Shop {
    fn new(case: &Case) -> Result<Shop, Unavailable> {
        let database = replica::primary()?;
        let products = case.items(PRODUCTS as u64).max(1) as u64;
        let rows = Size {
            customers: CUSTOMERS,
            products,
            orders: case.items(ORDERS) as u64,
            ..Size::default()
        };
        pg_shop::fill(&database, case, rows, TABLES)?;
        let replica = Replica::of(&database)?;
        let page = database.marked(if case.level > 0 { AWAITED } else { COMPUTED });
        let configs = [&database.config, &replica.config];
        let servers = database.runtime.block_on(Servers::connect(configs, page))?;
        Ok(Shop { servers: Arc::new(servers), replica, database, found: Vec::new() })
    }

    /// Empties the carts.
    fn reset(&mut self) {
        let emptied = self.database.execute("UPDATE carts SET note = '' WHERE note <> ''");
        emptied.expect("carts can be emptied");
        self.learn();
    }

    /// The replica catches up, and the program learns of it.
    fn learn(&self) {
        self.replica.catch_up(&self.database);
        self.servers.replayed.store(self.replica.replayed().into(), Relaxed);
        self.servers.turns.store(0, Relaxed);
    }

    /// What the requests found, and the carts that have a note.
    fn outcome(&mut self) -> (Vec<Page>, Vec<(i64, String)>) {
        let rows = self.database.rows("SELECT id, note FROM carts WHERE note <> '' ORDER BY id");
        (std::mem::take(&mut self.found), rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    fn reads(&self) -> [u64; 2] {
        [self.database.statements(), self.replica.statements()]
    }
}

fn pool(config: &Config) -> Result<Pool, Unavailable> {
    let mut config = config.clone();
    let options = config.get_options().unwrap_or_default().to_owned();
    config.options(format!("{options} -c synchronous_commit=off"));
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let pool = Pool::builder(Manager::from_config(config, NoTls, manager)).max_size(SLOTS).build();
    pool.map_err(|error| Unavailable(format!("the pool cannot be made: {error}")))
}

fn burst(case: &Case) -> Burst {
    let products = case.items(PRODUCTS as u64).max(1);
    let mut rng = case.rng("products");
    let zipf = Zipf::new(products, 4);
    let values = case.values(case.point as usize).into_iter().enumerate();
    let request = |(place, value): (usize, u64)| {
        let product = match case.shape {
            Shape::Realistic => zipf.sample(&mut rng) as u64,
            _ => value % products as u64,
        };
        let writes = place as u64 % WRITE_ONE_IN == WRITE_ONE_IN - 1;
        Request {
            product: product as i64 + 1,
            cart: place as i64 + 1,
            note: writes.then(|| format!("{value:x}")),
        }
    };
    values.map(request).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let bursts = case.rotate(8, burst);
    let shop = Rc::new(RefCell::new(Shop::new(case)?));
    let trial = Trial::new(
        bursts.measured(|burst| burst.len() as u64),
        over(&shop, &bursts, async |servers: &Arc<Servers>, burst: &[Request]| {
            naive(servers, burst).await
        }),
        over(&shop, &bursts, async |servers: &Arc<Servers>, burst: &[Request]| {
            optimized(servers, burst).await
        }),
    );
    let loaded: Arc<[Request]> = bursts[0].clone().into();
    let trial = trial.under_load(
        loads(&shop.borrow(), &loaded, on_primary),
        loads(&shop.borrow(), &loaded, on_both),
    );
    Ok(trial.units(case.point))
}

/// Open-loop loads of these requests in turn, over connections of their own. A cart gets the same note each time.
fn loads<A, F>(shop: &Shop, requests: &Arc<[Request]>, answer: A) -> impl Loads + use<A, F>
where
    A: Fn(Arc<Servers>, Request) -> F + 'static,
    F: Future<Output = Result<Page, PoolError>> + Send + 'static,
{
    let configs = [shop.database.config.clone(), shop.replica.config.clone()];
    let (page, requests) = (shop.servers.page.clone(), Arc::clone(requests));
    at_rates(async move || {
        let servers = Servers::connect(configs.each_ref(), page).await?;
        let servers = Arc::new(servers);
        Ok(move |place: u64| {
            let request = requests[place as usize % requests.len()].clone();
            let note = request.note.clone();
            let page = answer(Arc::clone(&servers), request);
            async move { page.await.is_ok_and(|page| note.is_none_or(|written| page.note == written)) }
        })
    })
}

/// The side with each burst, and the servers' counts of its reads.
fn over(
    shop: &Rc<RefCell<Shop>>,
    bursts: &Inputs<Burst>,
    side: impl AsyncFn(&Arc<Servers>, &[Request]) -> Result<Vec<Page>, PoolError> + 'static,
) -> impl Runner + 'static {
    let runtime = Arc::clone(&shop.borrow().database.runtime);
    let answer = Rc::new(move |shop: &RefCell<Shop>, burst: &[Request]| {
        let mut shop = shop.borrow_mut();
        shop.found = answered(runtime.block_on(side(&shop.servers, burst)));
    });
    let (counted, again, counted_bursts) = (Rc::clone(shop), Rc::clone(&answer), bursts.clone());
    let runner = changing(
        bursts,
        Rc::clone(shop),
        |shop| shop.borrow_mut().reset(),
        move |shop, burst| answer(shop, burst),
        |shop| shop.borrow_mut().outcome(),
    );
    runner.counting(BUSIEST, move |input| {
        counted.borrow_mut().reset();
        let before = counted.borrow().reads();
        again(&counted, &counted_bursts[input]);
        let after = counted.borrow().reads();
        (after[0] - before[0]).max(after[1] - before[1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    fn shop() -> Option<Shop> {
        let case = Case { proof_size: Some(3), ..Case::realistic(0, 0, 1) };
        has_servers(PAIR.servers, "read_replica").then(|| Shop::new(&case).unwrap())
    }

    fn noted(cart: i64, note: &str) -> Request {
        Request { product: 1, cart, note: Some(note.to_owned()) }
    }

    #[test]
    fn known_answers() {
        let Some(mut shop) = shop() else { return };
        let sql = "DELETE FROM order_lines; DELETE FROM orders;
            INSERT INTO orders VALUES (1, 7, 0, '', ''), (2, 7, 0, '', '');
            INSERT INTO order_lines VALUES (1, 1, 1, 2, 0), (2, 1, 1, 3, 0);
            UPDATE products SET name = 'Tea'";
        shop.database.execute(sql).unwrap();
        shop.reset();
        let runtime = Arc::clone(&shop.database.runtime);
        let reads = vec![Request { product: 1, cart: 1, note: None }; 14];
        let page =
            |note: &str| Page { name: "Tea".to_owned(), note: note.to_owned(), numbers: [1, 5] };
        let burst = [noted(1, "two"), noted(2, "")];
        let found = runtime.block_on(naive(&shop.servers, &burst)).unwrap();
        assert_eq!(found, [page("two"), page("")]);
        shop.learn();
        let before = shop.reads();
        let found = runtime.block_on(optimized(&shop.servers, &reads)).unwrap();
        assert!(found.iter().all(|found| *found == page("two")), "{found:?}");
        let after = shop.reads();
        assert_eq!([after[0] - before[0], after[1] - before[1]], [6, 8]);
        assert_eq!(shop.outcome().1, [(1, "two".to_owned())]);
    }

    #[test]
    fn trap_a_replica_does_not_have_what_was_just_written() {
        let Some(mut shop) = shop() else { return };
        let runtime = Arc::clone(&shop.database.runtime);
        shop.reset();
        let paused = shop.replica.pause();
        let found = runtime.block_on(optimized(&shop.servers, &[noted(1, "new")])).unwrap();
        assert_eq!(found[0].note, "new");
        // Without the rule, the customer's next read is of the cart before.
        let read = |at| runtime.block_on(shop.servers.read(at, &noted(1, ""))).unwrap().note;
        assert_eq!([read(At::Primary), read(At::Replica)], ["new", ""]);
        let written = replica::written(&shop.database);
        assert_eq!(shop.servers.for_read(written), At::Primary);
        drop(paused);
        shop.learn();
        assert_eq!(
            runtime.block_on(shop.servers.read(At::Replica, &noted(1, ""))).unwrap().note,
            "new"
        );
        let may_be_at: Vec<At> = TURNS.map(|_| shop.servers.for_read(written)).to_vec();
        assert_eq!(may_be_at, TURNS);
    }
}
