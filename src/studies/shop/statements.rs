//! The statements of the shop, each marked so that the database tells those of requests from others, and counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use deadpool_postgres::GenericClient;
use tokio_postgres::{Error, Row, types::ToSql};

/// Values of a statement's parameters.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What requests have cost so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Statements that requests sent.
    pub statements: AtomicU64,
    /// Files that requests read.
    pub files: AtomicU64,
    /// Mails that requests waited for.
    pub mails: AtomicU64,
}

impl Tally {
    pub fn counts(&self) -> [u64; 3] {
        [&self.statements, &self.files, &self.mails].map(|counter| counter.load(Relaxed))
    }
}

/// The texts of the statements.
#[derive(Debug)]
pub struct Statements {
    tally: Arc<Tally>,
    /// The products of a category with stock, stars, and the review that helped most.
    pub page: String,
    /// The end of the log of the primary, or of what the follower has of it.
    pub position: String,
    pub replayed: String,
    pub add: String,
    pub basket: String,
    pub lines: String,
    pub take: String,
    pub order: String,
    pub line: String,
    pub empty: String,
    pub orders: String,
    /// Adds to the primary's log, and returns where.
    pub written: String,
    pub mail: String,
    pub wake: String,
}

impl Statements {
    /// Statements that are counted in `tally` and end in a comment.
    pub fn new(mark: &str, tally: Arc<Tally>) -> Statements {
        let marked = |sql: &str| format!("{sql}{mark}");
        Statements {
            tally,
            page: marked(
                "SELECT products.id, name, cents, stock, stars.average, stars.number, helpful.text
                 FROM products
                 LEFT JOIN (SELECT product, avg(stars)::float8 AS average, count(*) AS number FROM reviews
                            WHERE product IN (SELECT id FROM products WHERE category = $1) GROUP BY product) stars
                    ON stars.product = products.id
                 LEFT JOIN LATERAL (SELECT text FROM reviews WHERE product = products.id
                                    ORDER BY helped DESC, id LIMIT 1) helpful ON true
                 WHERE category = $1 ORDER BY products.id",
            ),
            position: marked("SELECT pg_current_wal_insert_lsn()"),
            replayed: marked("SELECT pg_last_wal_replay_lsn()"),
            add: marked(
                "INSERT INTO baskets SELECT $1, id, $3 FROM products WHERE id = $2
                 ON CONFLICT (customer, product)
                 DO UPDATE SET quantity = least(baskets.quantity + excluded.quantity, 99)
                 RETURNING quantity",
            ),
            basket: marked(
                "SELECT products.id, name, quantity, cents FROM baskets
                 JOIN products ON products.id = product WHERE customer = $1 ORDER BY products.id",
            ),
            lines: marked(
                "SELECT product, quantity FROM baskets WHERE customer = $1 ORDER BY product FOR UPDATE",
            ),
            take: marked(
                "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2 RETURNING cents",
            ),
            order: marked("INSERT INTO orders (customer) VALUES ($1) RETURNING id"),
            line: marked("INSERT INTO order_lines VALUES ($1, $2, $3, $4)"),
            empty: marked("DELETE FROM baskets WHERE customer = $1"),
            orders: marked(
                "SELECT orders.id, name, quantity, order_lines.cents FROM orders
                 JOIN order_lines ON order_lines.order_id = orders.id
                 JOIN products ON products.id = product
                 WHERE customer = $1 ORDER BY orders.id, products.id",
            ),
            written: marked("SELECT pg_logical_emit_message(false, 'shop', '')"),
            mail: marked("INSERT INTO outbox (receiver, key, text) VALUES ($1, $2, $3)"),
            wake: marked("SELECT pg_notify(current_schema, '')"),
        }
    }

    /// The statements that requests send to a follower.
    pub fn of_pages(&self) -> [&str; 2] {
        [&self.page, &self.replayed]
    }

    /// The statements that requests send to the primary.
    pub fn of_requests(&self) -> [&str; 13] {
        [
            &self.page,
            &self.position,
            &self.add,
            &self.basket,
            &self.lines,
            &self.take,
            &self.order,
            &self.line,
            &self.empty,
            &self.orders,
            &self.mail,
            &self.written,
            &self.wake,
        ]
    }

    pub async fn query(
        &self,
        client: &impl GenericClient,
        sql: &str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.tally.statements.fetch_add(1, Relaxed);
        client.query(&client.prepare_cached(sql).await?, values).await
    }

    pub async fn query_one(
        &self,
        client: &impl GenericClient,
        sql: &str,
        values: Values<'_>,
    ) -> Result<Row, Error> {
        self.tally.statements.fetch_add(1, Relaxed);
        client.query_one(&client.prepare_cached(sql).await?, values).await
    }

    pub async fn query_opt(
        &self,
        client: &impl GenericClient,
        sql: &str,
        values: Values<'_>,
    ) -> Result<Option<Row>, Error> {
        self.tally.statements.fetch_add(1, Relaxed);
        client.query_opt(&client.prepare_cached(sql).await?, values).await
    }

    pub async fn execute(
        &self,
        client: &impl GenericClient,
        sql: &str,
        values: Values<'_>,
    ) -> Result<u64, Error> {
        self.tally.statements.fetch_add(1, Relaxed);
        client.execute(&client.prepare_cached(sql).await?, values).await
    }
}
