//! Fetch the children of many rows of PostgreSQL: one query for all of them, not one for each.

use std::{rc::Rc, time::Duration};

use rand::RngExt;
use tokio_postgres::{Client, Row, Statement};

use crate::fixtures::{
    distance, pg_shop,
    postgres::{Database, SERVER_STATEMENTS, answered},
    shop::Size,
};
use worthit_pair::prelude::*;

/// Orders in the shop.
const ORDERS: u64 = 4_000;
const ORDERS_ALONE: &str =
    "SELECT id, placed_at, note FROM orders WHERE id <= $1 ORDER BY id DESC LIMIT $2";
const LINES_OF_ONE: &str =
    "SELECT product_id, quantity, price_cents FROM order_lines WHERE order_id = $1 ORDER BY line";
const LINES_OF_MANY: &str = "SELECT product_id, quantity, price_cents, order_id FROM order_lines
     WHERE order_id = ANY($1) ORDER BY order_id DESC, line";
const JOIN: &str = "SELECT product_id, quantity, l.price_cents, o.id, placed_at, note
     FROM (SELECT * FROM orders WHERE id <= $1 ORDER BY id DESC LIMIT $2) o
     LEFT JOIN order_lines l ON l.order_id = o.id ORDER BY o.id DESC, line";

/// Distances of the server; the one of a millisecond is confirmed.
const DISTANCES: [Level; 3] = distance::levels(&[4]);

pub const PAIR: Pair = Pair {
    title: "Fetch children from PostgreSQL at once",
    review: Review {
        smell: "A query inside a loop over the rows of another query; an association of an object-relational mapper \
                that is loaded in a loop or a template.",
        remedy: "One more query for all of them: `WHERE order_id = ANY($1)` with the ids as an array, then give each \
                 parent its rows. A mapper calls it preloading. A join, the alternative, takes one statement.",
        keep_naive_when: "Few of the parents turn out to need their children.",
        costs: "The rows must be given to their parents. Very many ids are better read from a table or a `VALUES` \
                list, for which the planner has estimates. The join repeats the parent's columns with every child.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "one query for the orders, one for the lines of each",
        growth: Growth::Linear,
    },
    optimized: Side {
        summary: "one query for the orders, one for all of their lines",
        growth: Growth::Linear,
    },
    input: "Pages of orders from a shop with 4,000, each from another order on, with their notes of up to 24 words and all \
            their lines: 0 to 5 each, so one order in six has none. Lines are found by their primary key. All statements \
            are prepared. A closed loop of one client: it asks again once it has the answer.",
    axis: Axis {
        name: "parents",
        unit: "orders",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64], deep: &[256] },
    },
    parameter: Some(Parameter { name: "round-trip time", levels: Levels::Fixed(&DISTANCES) }),
    unit: "order",
    headline: Headline::At { level: "loopback", point: 64 },
    alternatives: &[SideBeside { name: "join", summary: "one join of orders and lines" }],
    causes: &[
        Claim {
            cause: SERVER_STATEMENTS,
            naive: Count::Exactly(|case| case.point + 1),
            optimized: Count::Exactly(|_| 2),
        },
        Claim {
            cause: causes::ROUND_TRIPS,
            naive: Count::Exactly(|case| case.point + 1),
            optimized: Count::Exactly(|_| 2),
        },
    ],
    explanation: Explanation {
        why: "A statement and a round trip for each order became two for all. At a distance the round trips are all that \
              counts, and their ratio is the gain. Over loopback a round trip wakes two processes, which costs more than \
              the look-up of a few rows does; the rows that both sides fetch alike bound the gain.",
        share_of_cause: ShareOfCause::Within(0.15, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "orders have no lines",
        reason: "the loop would fetch nothing, and a side could leave such orders out unnoticed",
        check: |inputs: &[Page]| {
            let (orders, lines) = inputs
                .iter()
                .fold((0, 0), |(orders, lines), page| (orders + page.existing, lines + page.lines));
            let any_without = inputs.iter().any(|page| page.without_lines > 0);
            ensure(any_without && 2 * lines > 3 * orders, || {
                format!("{lines} lines of {orders} orders")
            })
        },
        sprung: || vec![Page { existing: 64, without_lines: 64, ..Page::default() }],
    }],
    limit: Limit::Work(&[Work::RoundTrips(|_| 2), Work::Waiting(|case| 2 * case.level * 1_000)]),
    proof: Proof { resources: Resources::System, max_size: 24 },
    servers: &[Program::Postgres],
    prepare,
    ..Pair::DEFAULTS
};

/// A page of orders, and what the database says of it.
#[derive(Clone, Debug, Default)]
struct Page {
    /// Id of the latest order on the page.
    latest: i64,
    /// Number of orders that are asked for.
    asked: i64,
    /// Number of orders that there are.
    existing: u64,
    /// Number of these that have no lines.
    without_lines: u64,
    /// Number of their lines.
    lines: u64,
}

#[derive(Debug, PartialEq)]
struct Order {
    id: i64,
    placed_at: i64,
    note: String,
    lines: Vec<Line>,
}

#[derive(Debug, PartialEq)]
struct Line {
    product_id: i64,
    quantity: i64,
    price_cents: i64,
}

impl Found for Order {
    fn found(&self) -> u64 {
        1
    }
}

/// A shop with the connection that the sides use, one after the other, and what it has prepared.
struct Shop {
    database: Database,
    client: Client,
    orders_alone: Statement,
    lines_of_one: Statement,
    lines_of_many: Statement,
    join: Statement,
}

impl Shop {
    fn new(case: &Case) -> Result<Shop, Unavailable> {
        let orders = match case.proof_size {
            None => ORDERS,
            Some(_) => case.point + case.rng("earlier orders").random_range(0..8),
        };
        let database = Database::new(Duration::from_micros(case.level))?;
        pg_shop::fill(&database, case, Size::of_orders(orders), "")?;
        let client = database.connect()?;
        let prepare = |sql| database.prepare(&client, sql);
        let (orders_alone, join) = (prepare(ORDERS_ALONE)?, prepare(JOIN)?);
        let (lines_of_one, lines_of_many) = (prepare(LINES_OF_ONE)?, prepare(LINES_OF_MANY)?);
        Ok(Shop { database, client, orders_alone, lines_of_one, lines_of_many, join })
    }

    async fn orders(&self, page: &Page) -> Vec<Order> {
        causes::count(causes::Event::RoundTrip, 1);
        let rows = self.client.query(&self.orders_alone, &[&page.latest, &page.asked]).await;
        answered(rows).iter().map(|row| order(row, 0)).collect()
    }
}

async fn naive(shop: &Shop, page: &Page) -> Vec<Order> {
    let mut orders = shop.orders(page).await;
    for order in &mut orders {
        causes::count(causes::Event::RoundTrip, 1);
        let rows = shop.client.query(&shop.lines_of_one, &[&order.id]).await;
        order.lines = answered(rows).iter().map(line).collect();
    }
    orders
}

async fn optimized(shop: &Shop, page: &Page) -> Vec<Order> {
    let mut orders = shop.orders(page).await;
    let ids: Vec<i64> = orders.iter().map(|order| order.id).collect();
    causes::count(causes::Event::RoundTrip, 1);
    let rows = answered(shop.client.query(&shop.lines_of_many, &[&ids]).await);
    // Both come in the order of the ids.
    let mut rows = rows.iter().peekable();
    for order in &mut orders {
        let own = std::iter::from_fn(|| rows.next_if(|row| row.get::<_, i64>(3) == order.id));
        order.lines = own.map(line).collect();
    }
    orders
}

async fn join(shop: &Shop, page: &Page) -> Vec<Order> {
    causes::count(causes::Event::RoundTrip, 1);
    let rows = shop.client.query(&shop.join, &[&page.latest, &page.asked]).await;
    let mut orders: Vec<Order> = Vec::new();
    for row in &answered(rows) {
        if orders.last().is_none_or(|last| last.id != row.get::<_, i64>(3)) {
            orders.push(order(row, 3));
        }
        // An order without lines has one row, whose line is NULL.
        if let (Some(order), Some(_)) = (orders.last_mut(), row.get::<_, Option<i64>>(0)) {
            order.lines.push(line(row));
        }
    }
    orders
}

/// The order whose columns begin at `first`, without its lines.
fn order(row: &Row, first: usize) -> Order {
    let (id, placed_at, note) = (row.get(first), row.get(first + 1), row.get(first + 2));
    Order { id, placed_at, note, lines: Vec::new() }
}

fn line(row: &Row) -> Line {
    Line { product_id: row.get(0), quantity: row.get(1), price_cents: row.get(2) }
}

fn page(case: &Case, shop: &Shop) -> Page {
    let number = |sql: &str| shop.database.number(sql);
    let orders = number("SELECT count(*) FROM orders");
    let latest = case.rng("page").random_range(case.point as i64..=orders as i64);
    let asked = case.point as i64;
    let on_page = format!(
        "FROM (SELECT id FROM orders WHERE id <= {latest} ORDER BY id DESC LIMIT {asked}) o"
    );
    let lines = "SELECT 1 FROM order_lines WHERE order_id = o.id";
    Page {
        latest,
        asked,
        existing: number(&format!("SELECT count(*) {on_page}")),
        without_lines: number(&format!("SELECT count(*) {on_page} WHERE NOT EXISTS ({lines})")),
        lines: number(&format!("SELECT count(*) {on_page} JOIN order_lines ON order_id = o.id")),
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = Rc::new(Shop::new(case)?);
    let turns = (1_024 / case.point.max(1)).clamp(16, 64);
    let pages = case.rotate(turns, |case| page(case, &shop));
    let trial = Trial::new(
        pages.measured(|page| page.existing),
        over(&shop, &pages, async |shop, page| naive(shop, page).await),
        over(&shop, &pages, async |shop, page| optimized(shop, page).await),
    );
    let join = over(&shop, &pages, async |shop, page| join(shop, page).await);
    Ok(trial.alternative(join).units(case.point))
}

/// The side on each page, and the server's count of its statements.
fn over(
    shop: &Rc<Shop>,
    pages: &Inputs<Page>,
    side: impl AsyncFn(&Shop, &Page) -> Vec<Order> + Clone + 'static,
) -> impl Runner + 'static {
    let (counted, counted_pages, again) = (Rc::clone(shop), pages.clone(), side.clone());
    let timed = Rc::clone(shop);
    asynchronous(&shop.database.runtime, pages, async move |page: &Page| side(&timed, page).await)
        .counting(SERVER_STATEMENTS, move |input| {
            counted.database.statements_during(again(&counted, &counted_pages[input]))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "pg_n_plus_one") {
            return;
        }
        let case = Case { proof_size: Some(0), ..Case::realistic(0, 0, 1) };
        let shop = Shop::new(&case).unwrap();
        shop.database
            .execute(
                "DELETE FROM order_lines; DELETE FROM orders; DELETE FROM customers;
                 INSERT INTO customers VALUES (5, '', '', '', 0);
                 INSERT INTO orders VALUES
                     (1, 5, 10, '', 'first'), (2, 5, 20, '', 'empty'), (3, 5, 30, '', 'last');
                 INSERT INTO order_lines VALUES (3, 2, 1, 1, 300), (3, 1, 1, 2, 200), (1, 1, 1, 3, 100)",
            )
            .unwrap();
        let line = |quantity, price_cents| Line { product_id: 1, quantity, price_cents };
        let order =
            |id, note: &str, lines| Order { id, placed_at: 10 * id, note: note.to_owned(), lines };
        let expected = || {
            [
                order(3, "last", vec![line(2, 200), line(1, 300)]),
                order(2, "empty", vec![]),
                order(1, "first", vec![line(3, 100)]),
            ]
        };
        let page = |latest, asked| Page { latest, asked, ..Page::default() };
        shop.database.runtime.block_on(async {
            for (page, shown) in
                [(page(3, 9), 0..3), (page(9, 2), 0..2), (page(2, 2), 1..3), (page(3, 0), 0..0)]
            {
                assert_eq!(naive(&shop, &page).await, expected()[shown.clone()]);
                assert_eq!(optimized(&shop, &page).await, expected()[shown.clone()]);
                assert_eq!(join(&shop, &page).await, expected()[shown]);
            }
        });
    }

    /// Without an index, the loop would scan, and the other sides would take the credit for avoiding scans.
    #[test]
    fn trap_every_side_finds_lines_by_key() {
        if !has_servers(PAIR.servers, "pg_n_plus_one") {
            return;
        }
        let shop = Shop::new(&Case::realistic(64, 0, 42)).unwrap();
        for (sql, lines) in [
            (LINES_OF_ONE.replace("$1", "7"), 5),
            (LINES_OF_MANY.replace("$1", "ARRAY[7, 8, 9]"), 15),
            (JOIN.replace("$1", "900").replace("$2", "4"), 24),
        ] {
            let explained = shop.database.explained(&sql);
            assert!(explained.rows_read <= lines, "{sql}: {explained:?}");
            assert!(!explained.scans.contains(&"Seq Scan".to_owned()), "{sql}: {explained:?}");
        }
    }
}
