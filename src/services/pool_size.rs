//! Size a pool of connections by the cores of the server, not by the number of requests.

use std::{cell::RefCell, collections::HashSet, rc::Rc, sync::Arc, time::Duration};

use deadpool_postgres::{Pool, PoolError};
use futures_util::future::{join_all, try_join_all};

use crate::fixtures::{
    pg_shop,
    postgres::{Database, answered, pool},
    shop::Size,
    zipf::Zipf,
};
use worthit_pair::{cores, prelude::*};

/// Products in the shop; requests for them follow Zipf's law.
const PRODUCTS: usize = 500;
/// Orders in the shop.
const ORDERS: u64 = 10_000;

const TABLES: &str = "
    CREATE INDEX lines_by_product ON order_lines (product_id);
    CREATE TABLE views (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, product_id bigint NOT NULL)";
/// Who bought a product most, as a page shows it.
const BUYERS: &str = "SELECT name, sum(quantity)::bigint AS bought
     FROM order_lines l JOIN orders o ON o.id = l.order_id JOIN customers c ON c.id = o.customer_id
     WHERE product_id = $1 GROUP BY c.id ORDER BY bought DESC, c.id LIMIT 5";
const VIEW: &str = "INSERT INTO views (product_id) VALUES ($1)";

const CONNECTIONS_A_CORE: Cause = Cause::new("connections_a_core", "connections for a core")
    .counted("and asks the server for its sessions (pg_stat_activity)");

pub const PAIR: Pair = Pair {
    title: "Size the pool by the cores",
    review: Review {
        smell: "A pool of hundreds of connections, or one that was raised whenever requests waited for a connection.",
        remedy: "About two connections a core of the server, and one more for each disk that a commit waits for, over all \
                 processes of the application together. Then measure with more and with fewer. Where many processes need \
                 connections, put a pooler between them and the server.",
        keep_naive_when: "Connections spend their time waiting, not computing: for locks, for the disk, for the program \
                          between two statements of a transaction. Then more of them overlap.",
        costs: "Requests wait in the program, which must bound how long. One slow query holds a larger part of the pool.",
        lint: Lint::None,
    },
    naive: Side { summary: "a connection for each request of the burst", growth: Growth::Linear },
    optimized: Side { summary: "two connections a core", growth: Growth::Linear },
    input: "A burst of requests at once. Each runs two prepared statements: who bought a product most, from a join of three \
            tables, and a row that says that it was seen. Products are random ones of 500 by Zipf's law. Commits wait \
            for no flush (`synchronous_commit = off`). All connections are open before, each is a process of the server, \
            which runs on the same cores as the program.",
    axis: Axis {
        name: "requests at once",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 16, 256], deep: &[] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 256 },
    alternatives: &[SideBeside { name: "single", summary: "a single connection" }],
    causes: &[Claim {
        cause: CONNECTIONS_A_CORE,
        naive: Count::Exactly(|case| a_core(case.point)),
        optimized: Count::Exactly(|case| a_core(case.point.min(about_cores() as u64))),
    }],
    explanation: Explanation {
        why: "A core runs one process at a time. More connections than that do not compute more; they take turns, each with \
              its memory and its caches, and the server looks at all of them for each snapshot of what is committed. \
              Fewer than the cores leave cores idle while the program handles an answer.",
        share_of_cause: ShareOfCause::Within(0.005, 0.2),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "all requests are for one product",
        reason: "its rows would lie in the nearest cache of whichever core",
        check: |inputs: &[Vec<i64>]| {
            let products: HashSet<&i64> = inputs.iter().flatten().collect();
            let requests: usize = inputs.iter().map(Vec::len).sum();
            ensure(products.len() >= (requests / 4).min(100), || {
                format!("{} products in {requests} requests", products.len())
            })
        },
        sprung: || vec![vec![7; 64]; 4],
    }],
    limit: Limit::None("no machine number is the CPU time of a query"),
    proof: Proof { resources: Resources::System, max_size: 12 },
    servers: &[Program::Postgres],
    prepare,
    ..Pair::DEFAULTS
};

/// Connections of the optimized side: two a core, where the server runs on the same cores.
fn about_cores() -> usize {
    2 * cores::at_first().len()
}

/// The share of a core, where the server runs on the same cores, so that it is the same on every machine.
fn a_core(connections: u64) -> u64 {
    connections.div_ceil(cores::at_first().len() as u64)
}

/// Names and how many they bought, of those who bought a product most.
type Buyers = Vec<(String, i64)>;

/// A shop with the pool of one side.
struct Shop {
    database: Database,
    pool: Pool,
    /// What the iteration found for each request.
    found: Vec<Buyers>,
    /// The id of the last view before it.
    last: u64,
}

impl Shop {
    fn new(case: &Case, size: usize) -> Result<Shop, Unavailable> {
        let database = Database::new(Duration::ZERO)?;
        let products = case.items(PRODUCTS as u64).max(1) as u64;
        let rows = Size {
            customers: 1_000,
            products,
            orders: case.items(ORDERS) as u64,
            ..Size::default()
        };
        pg_shop::fill(&database, case, rows, TABLES)?;
        let mut config = database.config.clone();
        let options = config.get_options().unwrap_or_default().to_owned();
        config.options(format!("{options} -c synchronous_commit=off"));
        let pool = pool(&config, size)?;
        // It opens a connection when it has none left, so all of them are taken at once, and each prepares.
        let opened = database.runtime.block_on(async {
            let clients = try_join_all((0..size).map(|_| pool.get())).await?;
            for client in &clients {
                client.prepare_cached(BUYERS).await?;
                client.prepare_cached(VIEW).await?;
            }
            Ok(())
        });
        opened.map_err(|error: PoolError| {
            Unavailable(format!("PostgreSQL gives no {size} connections: {error}"))
        })?;
        Ok(Shop { database, pool, found: Vec::new(), last: 0 })
    }

    /// Remembers which views are there.
    fn reset(&mut self) {
        self.last = self.database.number("SELECT coalesce(max(id), 0) FROM views");
    }

    /// What the requests found, and the products that were seen, sorted: the order is nobody's to say.
    fn outcome(&mut self) -> (Vec<Buyers>, Vec<i64>) {
        let sql =
            format!("SELECT product_id FROM views WHERE id > {} ORDER BY product_id", self.last);
        let seen = self.database.rows(&sql).iter().map(|row| row.get(0)).collect();
        (std::mem::take(&mut self.found), seen)
    }
}

/// The pool has a connection for each request.
async fn naive(pool: &Pool, products: &[i64]) -> Result<Vec<Buyers>, PoolError> {
    burst(pool, products).await
}

/// The pool has about two connections a core.
async fn optimized(pool: &Pool, products: &[i64]) -> Result<Vec<Buyers>, PoolError> {
    burst(pool, products).await
}

/// The pool has one connection.
async fn single(pool: &Pool, products: &[i64]) -> Result<Vec<Buyers>, PoolError> {
    burst(pool, products).await
}

/// The same requests for all sides, at once; they wait where the pool has no connection left.
async fn burst(pool: &Pool, products: &[i64]) -> Result<Vec<Buyers>, PoolError> {
    let request = async |product: &i64| {
        let client = pool.get().await?;
        let buyers = client.prepare_cached(BUYERS).await?;
        let rows = client.query(&buyers, &[product]).await?;
        let view = client.prepare_cached(VIEW).await?;
        client.execute(&view, &[product]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    };
    join_all(products.iter().map(request)).await.into_iter().collect()
}

fn requests(case: &Case) -> Vec<i64> {
    let products = case.items(PRODUCTS as u64).max(1);
    let mut rng = case.rng("requests");
    let zipf = Zipf::new(products, 4);
    match case.shape {
        Shape::Realistic => (0..case.point).map(|_| zipf.sample(&mut rng) as i64 + 1).collect(),
        _ => {
            let values = case.values(case.point as usize).into_iter();
            values.map(|value| (value % products as u64) as i64 + 1).collect()
        }
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let bursts = case.rotate(6, requests);
    let most = case.point.max(1) as usize;
    let trial = Trial::new(
        bursts.measured(|products| products.len() as u64),
        over(case, &bursts, most, async |pool: &Pool, products: &[i64]| {
            naive(pool, products).await
        })?,
        over(case, &bursts, most.min(about_cores()), async |pool: &Pool, products: &[i64]| {
            optimized(pool, products).await
        })?,
    );
    let single =
        over(case, &bursts, 1, async |pool: &Pool, products: &[i64]| single(pool, products).await)?;
    Ok(trial.alternative(single).units(case.point))
}

/// The side with a pool of this size and each burst, and the server's count of its connections.
fn over(
    case: &Case,
    bursts: &Inputs<Vec<i64>>,
    size: usize,
    side: impl AsyncFn(&Pool, &[i64]) -> Result<Vec<Buyers>, PoolError> + 'static,
) -> Result<impl Runner + 'static, Unavailable> {
    let shop = Rc::new(RefCell::new(Shop::new(case, size)?));
    let runtime = Arc::clone(&shop.borrow().database.runtime);
    let counted = Rc::clone(&shop);
    let runner = changing(
        bursts,
        shop,
        |shop| shop.borrow_mut().reset(),
        move |shop, products| {
            let mut shop = shop.borrow_mut();
            let found = runtime.block_on(side(&shop.pool, products));
            shop.found = answered(found);
        },
        |shop| shop.borrow_mut().outcome(),
    );
    Ok(runner
        .counting(CONNECTIONS_A_CORE, move |_| a_core(counted.borrow().database.connections())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "pool_size") {
            return;
        }
        let case = Case { proof_size: Some(1), ..Case::realistic(1, 0, 1) };
        for (size, requests) in [(1, 3), (3, 3), (2, 7)] {
            let mut shop = Shop::new(&case, size).unwrap();
            shop.database
                .execute(
                    "DELETE FROM order_lines; DELETE FROM orders;
                     INSERT INTO customers VALUES (5001, 'a', 'Ada', '', 0), (5002, 'b', 'Bob', '', 0);
                     INSERT INTO orders VALUES
                         (1, 5001, 0, '', ''), (2, 5002, 0, '', ''), (3, 5001, 0, '', '');
                     INSERT INTO order_lines VALUES (1, 1, 1, 2, 0), (2, 1, 1, 3, 0), (3, 1, 1, 4, 0)",
                )
                .unwrap();
            shop.reset();
            let products = vec![1; requests];
            let found = shop.database.runtime.block_on(burst(&shop.pool, &products));
            shop.found = found.unwrap();
            let buyers = vec![("Ada".to_owned(), 6), ("Bob".to_owned(), 3)];
            assert_eq!(shop.outcome(), (vec![buyers; requests], products));
            assert_eq!(shop.database.connections(), size as u64);
        }
    }
}
