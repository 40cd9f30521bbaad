//! Find rows of a PostgreSQL table by a column: through an index, not by reading the table.

use std::{collections::HashSet, rc::Rc, time::Duration};

use rand::RngExt;
use tokio_postgres::{Client, Statement};

use crate::fixtures::{
    pg_shop,
    postgres::{Database, PAGES_READ, ROWS_READ, answered},
    shop::Size,
};
use worthit_pair::prelude::*;

const INDEX: &str = "CREATE INDEX orders_by_customer ON orders (customer_id)";
const ORDERS_OF_CUSTOMER: &str =
    "SELECT id, placed_at, status FROM orders WHERE customer_id = $1 ORDER BY id";

pub const PAIR: Pair = Pair {
    title: "Look up through an index of PostgreSQL",
    review: Review {
        smell: "`EXPLAIN` says `Seq Scan` with a `Filter` that removes nearly every row. Often the column is a foreign \
                key: PostgreSQL indexes the column that is referred to, not the one that refers.",
        remedy: "`CREATE INDEX CONCURRENTLY orders_by_customer ON orders (customer_id)`, which lets others write \
                 meanwhile.",
        keep_naive_when: "The table is some pages long, so that the round trip is most of the time. The condition holds \
                          for a large share of the rows: then the planner scans in spite of the index.",
        costs: "Space; each insert, and each update that cannot stay on its page, writes the index too. An index that \
                no query uses is pure cost: `pg_stat_user_indexes` counts its scans.",
        lint: Lint::None,
    },
    naive: Side { summary: "sequential scan of the table", growth: Growth::Linear },
    optimized: Side {
        summary: "search of an index",
        growth: Growth::Other("the round trip is most of the time"),
    },
    input: "Lookups in a table of orders, each for the customer of a random order, so that those who order often are \
            looked up often. There are four orders per customer on average. The table fits into the server's buffers \
            and has been vacuumed and analyzed; the table without the index has the same rows. The statement is \
            prepared. Parallel scans are off, as a busy server has no idle cores for them.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[10, 100, 1_000, 10_000, 100_000], deep: &[500_000] },
    },
    unit: "lookup",
    headline: Headline::At { level: "", point: 100_000 },
    causes: &[
        Claim {
            cause: ROWS_READ,
            naive: Count::Exactly(|case| case.point),
            // The planner scans a table of a page or two, too. Customers with the most orders have some tens.
            optimized: Count::AtMost(|case| case.point.min(100)),
        },
        Claim {
            cause: PAGES_READ,
            naive: Count::AtLeast(|case| case.point / 100),
            optimized: Count::AtMost(|_| 110),
        },
    ],
    explanation: Explanation {
        why: "The scan looks at every row. The search descends some pages of the index and looks at the rows that it \
              finds. So the naive side grows with the table and the optimized one hardly does. A row of the scan is \
              cheap, and the round trip and the statement cost both sides the same, which is why the gain is far below \
              the ratio of rows.",
        share_of_cause: ShareOfCause::Within(0.003, 0.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(100),
    },
    traps: &[
        &Trap {
            name: "the customer has no orders",
            reason: "the sides would find nothing, and a search for nothing reads no row",
            check: |inputs: &[Lookup]| {
                let nothing = inputs.iter().filter(|lookup| lookup.orders == 0).count();
                ensure(nothing == 0, || format!("{nothing} lookups find nothing"))
            },
            sprung: || vec![Lookup { customer: 1, orders: 0, rows: 10 }],
        },
        &Trap {
            name: "the same customer again and again",
            reason: "its rows would lie in the nearest cache, as those of a random customer do not",
            check: |inputs: &[Lookup]| {
                let customers: HashSet<i64> = inputs.iter().map(|lookup| lookup.customer).collect();
                // Ten orders have three customers.
                let expected = (inputs.len() as u64 / 4).min(inputs[0].rows / 10);
                ensure(customers.len() as u64 >= expected, || {
                    format!("{} customers", customers.len())
                })
            },
            sprung: || vec![Lookup { customer: 1, orders: 4, rows: 10_000 }; 64],
        },
    ],
    limit: Limit::Work(&[Work::RoundTrips(|_| 1)]),
    proof: Proof { resources: Resources::System, max_size: 24 },
    servers: &[Program::Postgres],
    prepare,
    ..Pair::DEFAULTS
};

/// Whose orders to find, and among how many.
#[derive(Clone, Copy, Debug)]
struct Lookup {
    customer: i64,
    /// Number of this customer's orders.
    orders: u64,
    /// Number of rows in the table.
    rows: u64,
}

#[derive(Debug, PartialEq)]
struct Order {
    id: i64,
    placed_at: i64,
    status: String,
}

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// A shop with one connection, of one side.
struct Shop {
    database: Database,
    client: Client,
    statement: Statement,
}

impl Shop {
    fn new(case: &Case, indexes: &str) -> Result<Shop, Unavailable> {
        let database = Database::new(Duration::ZERO)?;
        pg_shop::fill(&database, case, Size::of_orders(case.point), indexes)?;
        let client = database.connect()?;
        let statement = database.prepare(&client, ORDERS_OF_CUSTOMER)?;
        Ok(Shop { database, client, statement })
    }
}

/// The orders of a customer, in a shop without an index for it.
async fn naive(shop: &Shop, customer: i64) -> Vec<Order> {
    orders_of(shop, customer).await
}

/// The orders of a customer, in a shop with an index for it.
async fn optimized(shop: &Shop, customer: i64) -> Vec<Order> {
    orders_of(shop, customer).await
}

/// The same query for both sides; the server chooses the plan.
async fn orders_of(shop: &Shop, customer: i64) -> Vec<Order> {
    let rows = answered(shop.client.query(&shop.statement, &[&customer]).await);
    let order = |row: &tokio_postgres::Row| Order {
        id: row.get(0),
        placed_at: row.get(1),
        status: row.get(2),
    };
    rows.iter().map(order).collect()
}

fn lookup(case: &Case, shop: &Shop) -> Lookup {
    let number = |sql: String| shop.database.number(&sql);
    let rows = number("SELECT count(*) FROM orders".to_owned());
    let mut rng = case.rng("lookup");
    let customer = match (case.shape, rows) {
        // In a proof, it may be one that never ordered.
        (Shape::Sorted, _) | (_, 0) => rng.random_range(1..=rows / 4 + 2),
        (_, orders) => {
            let order = rng.random_range(1..=orders);
            number(format!("SELECT customer_id FROM orders WHERE id = {order}"))
        }
    };
    let orders = number(format!("SELECT count(*) FROM orders WHERE customer_id = {customer}"));
    Lookup { customer: customer as i64, orders, rows }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let indexed = Rc::new(Shop::new(case, INDEX)?);
    let lookups = case.rotate(64, |case| lookup(case, &indexed));
    let naive_side = {
        let (case, lookups) = (case.clone(), lookups.clone());
        on_first_use(1, move || {
            let plain = Rc::new(Shop::new(&case, "")?);
            let side = {
                let plain = Rc::clone(&plain);
                async move |lookup: &Lookup| naive(&plain, lookup.customer).await
            };
            let runtime = plain.database.runtime.clone();
            Ok(counted(asynchronous(&runtime, &lookups, side), lookups, plain))
        })
    };
    let side = {
        let indexed = Rc::clone(&indexed);
        async move |lookup: &Lookup| optimized(&indexed, lookup.customer).await
    };
    let runtime = indexed.database.runtime.clone();
    let measured = lookups.measured(|lookup| lookup.rows);
    let optimized_side = counted(asynchronous(&runtime, &lookups, side), lookups, indexed);
    Ok(Trial::new(measured, naive_side, optimized_side))
}

/// The same side, of which the server says how many rows and pages it reads.
fn counted(
    side: impl Runner + 'static,
    lookups: Inputs<Lookup>,
    shop: Rc<Shop>,
) -> impl Runner + 'static {
    let explained = move |customer: i64| {
        shop.database.explained(&ORDERS_OF_CUSTOMER.replace("$1", &customer.to_string()))
    };
    let explained = Rc::new(explained);
    let (also, then) = (lookups.clone(), Rc::clone(&explained));
    side.counting(ROWS_READ, move |input| explained(lookups[input].customer).rows_read)
        .counting(PAGES_READ, move |input| then(also[input].customer).pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "pg_index") {
            return;
        }
        let shop =
            Shop::new(&Case { proof_size: Some(0), ..Case::realistic(0, 0, 1) }, "").unwrap();
        shop.database
            .execute(
                "INSERT INTO customers VALUES (7, '', '', '', 0), (8, ' ', '', '', 0);
                 INSERT INTO orders VALUES (3, 7, 30, 'shipped', ''), (2, 8, 20, 'paid', ''), (1, 7, 10, 'paid', '')",
            )
            .unwrap();
        let order = |id, status: &str| Order { id, placed_at: 10 * id, status: status.to_owned() };
        let expected =
            [vec![order(1, "paid"), order(3, "shipped")], vec![], vec![order(2, "paid")]];
        for index in ["SELECT 1", INDEX] {
            shop.database.execute(index).unwrap();
            let found = [7, 9, 8]
                .map(|customer| shop.database.runtime.block_on(orders_of(&shop, customer)));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn trap_only_one_side_has_an_index() {
        if !has_servers(PAIR.servers, "pg_index") {
            return;
        }
        let case = Case::realistic(10_000, 0, 42);
        for (indexes, is_scan) in [("", true), (INDEX, false)] {
            let shop = Shop::new(&case, indexes).unwrap();
            let explained = shop.database.explained(&ORDERS_OF_CUSTOMER.replace("$1", "7"));
            assert_eq!(explained.scans == ["Seq Scan"], is_scan, "{:?}", explained.scans);
            assert_eq!(explained.rows_read == 10_000, is_scan, "{}", explained.rows_read);
        }
    }
}
