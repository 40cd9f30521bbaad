//! Keep connections to PostgreSQL: a pool hands them from request to request.

use std::{collections::HashSet, sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use rand::RngExt;
use tokio_postgres::Config;

use crate::fixtures::postgres::{Database, answered, connect, pool};
use worthit_pair::prelude::*;

/// Customers, of whom each query looks up one.
const CUSTOMERS: u64 = 10_000;
/// Connections of the pool.
const POOL: usize = 2;

pub const PAIR: Pair = Pair {
    title: "Pool connections to PostgreSQL",
    review: Review {
        smell: "`connect` in the handler of a request.",
        remedy: "A `Pool` that the handlers share, such as deadpool-postgres, and `pool.get()` in place of connecting. To save \
                 the planning too, let each connection keep its prepared statements: the alternative.",
        keep_naive_when: "The program asks once and ends.",
        costs: "A dependency. Idle connections, each of which is a process and some megabytes on the server. What a request \
                leaves behind in its session (`SET`, temporary tables, locks) the next one finds. A size to choose: see \
                `services/pool_size`.",
        lint: Lint::None,
    },
    naive: Side { summary: "connect, ask, disconnect", growth: Growth::Linear },
    optimized: Side {
        summary: "take a connection from a pool, ask, give it back",
        growth: Growth::Linear,
    },
    input: "Requests one after the other, each of which looks up some random customers by their keys; one of sixteen is \
            unknown. 10,000 customers with a name and an address each. The user logs in with a password (SCRAM, the \
            default).",
    axis: Axis {
        name: "queries in a request",
        unit: "queries",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64], deep: &[256] },
    },
    unit: "query",
    headline: Headline::At { level: "", point: 4 },
    alternatives: &[SideBeside {
        name: "prepared",
        summary: "the same with a statement that each connection keeps",
    }],
    causes: &[Claim {
        cause: causes::CONNECTS,
        naive: Count::Exactly(|_| 1),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "The server starts a process for each connection, and client and server prove to each other that they know \
              the password, which is made to take long. That is paid once a request; the more queries the request has, \
              the less of its time it is.",
        share_of_cause: ShareOfCause::NoRatio(
            "a pool has connected before the requests come, so no connection is left to divide by",
        ),
        far_end: FarEnd::Falls("the queries themselves, which both sides ask alike"),
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "the same customer again and again",
        reason: "the server would find one row, in its nearest cache",
        check: |inputs: &[Vec<i64>]| {
            let customers: HashSet<&i64> = inputs.iter().flatten().collect();
            let queries: usize = inputs.iter().map(Vec::len).sum();
            ensure(2 * customers.len() >= queries.min(CUSTOMERS as usize / 4), || {
                format!("{} customers in {queries} queries", customers.len())
            })
        },
        sprung: || vec![vec![7; 4]; 16],
    }],
    limit: Limit::Work(&[Work::RoundTrips(|case| 2 * case.point)]),
    proof: Proof { resources: Resources::System, max_size: 64 },
    servers: &[Program::Postgres],
    prepare,
    ..Pair::DEFAULTS
};

const LOOK_UP: &str = "SELECT name, address FROM customers WHERE id = $1";

/// Name and address; `None` if there is no such customer.
type Customer = Option<(String, String)>;

async fn look_up(client: &tokio_postgres::Client, id: i64) -> Customer {
    let row = answered(client.query_opt(LOOK_UP, &[&id]).await);
    row.map(|row| (row.get(0), row.get(1)))
}

async fn naive(config: &Config, request: &[i64]) -> Vec<Customer> {
    let client = answered(connect(config).await);
    let mut customers = Vec::with_capacity(request.len());
    for id in request {
        customers.push(look_up(&client, *id).await);
    }
    customers
}

async fn optimized(pool: &Pool, request: &[i64]) -> Vec<Customer> {
    let client = answered(pool.get().await);
    let mut customers = Vec::with_capacity(request.len());
    for id in request {
        customers.push(look_up(&client, *id).await);
    }
    customers
}

async fn prepared(pool: &Pool, request: &[i64]) -> Vec<Customer> {
    let client = answered(pool.get().await);
    let statement = client.prepare_cached(LOOK_UP).await.expect("the statement is valid");
    let mut customers = Vec::with_capacity(request.len());
    for id in request {
        let row = answered(client.query_opt(&statement, &[id]).await);
        customers.push(row.map(|row| (row.get(0), row.get(1))));
    }
    customers
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let customers = case.items(CUSTOMERS).max(1) as i64;
    let database = Arc::new(Database::new(Duration::ZERO)?);
    database.execute(&format!(
        "CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, address text NOT NULL);
         INSERT INTO customers SELECT n, 'Customer ' || md5(n::text), md5((n * 7)::text) || ' Street'
         FROM generate_series(1, {customers}) n WHERE n % 16 <> 7;
         ANALYZE customers"
    ))?;
    let requests = case.rotate(16, |case| -> Vec<i64> {
        let mut rng = case.rng("requests");
        (0..case.point).map(|_| rng.random_range(1..=customers)).collect()
    });
    let pool = Arc::new(pool(&database.config, POOL)?);
    let (runtime, also) = (Arc::clone(&database.runtime), Arc::clone(&pool));
    let trial = Trial::new(
        requests.measured(|request| request.len() as u64),
        asynchronous(&runtime, &requests, async move |request: &Vec<i64>| {
            naive(&database.config, request).await
        }),
        asynchronous(&runtime, &requests, async move |request: &Vec<i64>| {
            optimized(&pool, request).await
        }),
    );
    let prepared = asynchronous(&runtime, &requests, async move |request: &Vec<i64>| {
        prepared(&also, request).await
    });
    Ok(trial.alternative(prepared).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "pg_connection_pool") {
            return;
        }
        let database = Database::new(Duration::ZERO).unwrap();
        database
            .execute(
                "CREATE TABLE customers (id bigint, name text, address text);
                 INSERT INTO customers VALUES (1, 'Ada', 'Here 1'), (2, '', 'There')",
            )
            .unwrap();
        let pool = pool(&database.config, POOL).unwrap();
        let expected = [
            None,
            Some(("".to_owned(), "There".to_owned())),
            Some(("Ada".to_owned(), "Here 1".to_owned())),
        ];
        database.runtime.block_on(async {
            let request = [3, 2, 1];
            assert_eq!(naive(&database.config, &request).await, expected);
            for _ in 0..2 {
                assert_eq!(optimized(&pool, &request).await, expected);
                assert_eq!(prepared(&pool, &request).await, expected);
            }
            assert_eq!(pool.status().size, 1, "the connection is kept");
        });
    }
}
