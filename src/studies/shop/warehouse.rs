//! What all steps of the shop share: the tables and their replica, the pictures, the mail provider and the worker.

use std::{fs, path::Path};

use rand::RngExt;
use tempfile::TempDir;
use tokio_postgres::{Config, types::PgLsn};

use super::provider;
use crate::fixtures::{
    background_task::BackgroundTask,
    outbox,
    outside::Companies,
    postgres::Database,
    replica::{self, Replica},
};
use worthit_pair::{
    pair::{Case, Unavailable},
    paths,
};

/// Sizes of the shop when it is measured.
const PRODUCTS: u64 = 2_000;
const REVIEWS_OF_ONE: u64 = 20;
/// Products of a category.
const OF_A_CATEGORY: u64 = 40;
/// What there is of each product at first; in a proof so little that some is sold out.
const STOCK: u64 = 500;
const STOCK_IN_PROOFS: u64 = 5;
/// Sizes of pictures, bytes.
const IMAGE: std::ops::Range<u64> = 2_048..20_480;

const TABLES: &str = "
    CREATE TABLE products (
        id          bigint PRIMARY KEY,
        category    bigint NOT NULL,
        name        text NOT NULL,
        cents       bigint NOT NULL,
        opening     bigint NOT NULL,
        stock       bigint NOT NULL CHECK (stock >= 0)
    ) WITH (fillfactor = 80);
    CREATE INDEX ON products (category);
    CREATE TABLE reviews (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        product     bigint NOT NULL REFERENCES products,
        stars       bigint NOT NULL,
        helped      bigint NOT NULL,
        text        text NOT NULL
    );
    CREATE TABLE baskets (
        customer    bigint NOT NULL,
        product     bigint NOT NULL,
        quantity    bigint NOT NULL CHECK (quantity > 0),
        PRIMARY KEY (customer, product)
    );
    -- What is in the baskets at first.
    CREATE TABLE opening_baskets (LIKE baskets);
    CREATE TABLE orders (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        customer    bigint NOT NULL
    );
    CREATE INDEX ON orders (customer);
    CREATE TABLE order_lines (
        order_id    bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
        product     bigint NOT NULL REFERENCES products,
        quantity    bigint NOT NULL,
        cents       bigint NOT NULL,
        PRIMARY KEY (order_id, product)
    );
    CREATE TABLE outbox (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        receiver    text NOT NULL,
        key         bigint NOT NULL,
        text        text NOT NULL
    )";

/// In a proof, whose database does not fail, a commit need not reach the device before it is answered.
const SOON: &str = "SET synchronous_commit = off";

/// How large the shop is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub products: u64,
    pub categories: u64,
    /// What there is of each product at first.
    pub stock: u64,
    /// Customers who have something in their baskets; others may come.
    pub customers: u64,
}

impl Size {
    /// Returns the `nth` product of a category, which starts again after the last.
    pub fn product_of(self, category: u64, nth: u64) -> u64 {
        let first = if category == 1 { self.categories } else { category - 1 };
        first + nth % ((self.products - first) / self.categories + 1) * self.categories
    }

    /// The size in a case: of a proof, or with as many customers as its level says.
    pub fn of(case: &Case) -> Size {
        let products = (case.items(PRODUCTS) as u64).max(4);
        let (stock, customers) = match case.proof_size {
            Some(_) => (STOCK_IN_PROOFS, 0),
            None => (STOCK, case.level.max(1)),
        };
        let categories = products.div_ceil(OF_A_CATEGORY).max(2);
        Size { products, categories, stock, customers }
    }
}

/// What an order left.
#[derive(Debug, PartialEq, Eq)]
pub struct Ordered {
    pub customer: i64,
    /// Products and numbers.
    pub lines: Vec<(i64, i64)>,
    pub mail: String,
}

/// The shop's tables, and everybody who acts on them beside its servers.
pub struct Warehouse {
    /// Ends first: it has a transaction open, for which the end of the database would wait.
    worker: Option<BackgroundTask>,
    pub size: Size,
    /// How everybody connects to the primary.
    pub config: Config,
    pub replica: Replica,
    pub database: Database,
    pub provider: Companies,
    images: TempDir,
    edge: TempDir,
}

impl Warehouse {
    /// Makes it. The provider answers after `delays` times its delays.
    pub fn open(case: &Case, size: Size, delays: f64) -> Result<Warehouse, Unavailable> {
        let database = replica::primary()?;
        let Size { products, categories, stock, customers } = size;
        database.execute(&format!(
            "{TABLES};
             INSERT INTO products
                SELECT n, 1 + n % {categories}, 'Product ' || md5(n::text), 99 + n * 7919 % 20000, {stock}, {stock}
                FROM generate_series(1, {products}) n;
             -- As they are written: those of a product lie far apart.
             INSERT INTO reviews (product, stars, helped, text)
                SELECT 1 + n % {products}, 1 + n::bigint * n / 7 % 5, n * 7919 % 1000, 'It is as described: ' || md5(n::text)
                FROM generate_series(1, {products} * {REVIEWS_OF_ONE}) n;
             CREATE INDEX ON reviews (product);
             -- Two products each; some are in many baskets.
             INSERT INTO opening_baskets
                SELECT DISTINCT n, 1 + (n * 7919 + m * 31) % (1 + n * 104729 % {products}), 1 + n % 2
                FROM generate_series(1::bigint, {customers}::bigint) n, generate_series(0, 1) m;
             INSERT INTO baskets TABLE opening_baskets;
             -- Quicker than a look at each row.
             ALTER TABLE baskets ADD FOREIGN KEY (product) REFERENCES products"
        ))?;
        database.execute("VACUUM (ANALYZE) products, reviews, baskets, opening_baskets")?;
        if case.proof_size.is_some() {
            database.execute(SOON)?;
        }
        let (images, edge) = (paths::scratch()?, paths::scratch()?);
        write_images(case, products, images.path())
            .map_err(|error| Unavailable(format!("the pictures of the shop: {error}")))?;
        let provider = provider::start(delays)?;
        let replica = Replica::of(&database)?;
        let mut config = database.config.clone();
        if case.proof_size.is_some() {
            let options = config.get_options().unwrap_or_default().to_owned();
            config.options(format!("{options} -c synchronous_commit=off"));
        }
        let mut warehouse =
            Warehouse { worker: None, size, config, replica, database, provider, images, edge };
        warehouse.start_worker()?;
        Ok(warehouse)
    }

    /// Starts a worker, in the place of the one before, which dies wherever it is.
    pub fn start_worker(&mut self) -> Result<(), Unavailable> {
        drop(self.worker.take());
        let worker = outbox::start_worker(self.config.clone(), self.provider.address());
        let worker = worker.map_err(|error| Unavailable(format!("the worker: {error}")))?;
        self.worker = Some(worker);
        Ok(())
    }

    /// The folder of the pictures: one for each product, named after it.
    pub fn images(&self) -> &Path {
        self.images.path()
    }

    /// The folder in which edges keep pictures.
    pub fn edge(&self) -> &Path {
        self.edge.path()
    }

    /// Waits until no order comes any more, and all mails have been taken. Customers who gave up have left requests behind.
    ///
    /// # Errors
    /// If a mail is lost.
    pub fn settle(&self) -> Result<(), Unavailable> {
        let mut orders = Vec::new();
        loop {
            let found = self.order_ids()?;
            self.provider.taken(&found)?;
            if found == orders {
                return Ok(());
            }
            orders = found;
        }
    }

    /// Takes all orders back, and gives each customer the basket that he had. Returns the end of the log: what is older
    /// shows something else.
    pub fn restore(&self) -> Result<u64, Unavailable> {
        self.database.execute(
            "BEGIN;
             UPDATE products SET stock = opening WHERE stock <> opening;
             DELETE FROM orders;
             DELETE FROM baskets WHERE NOT EXISTS (
                SELECT FROM opening_baskets o
                WHERE o.customer = baskets.customer AND o.product = baskets.product AND o.quantity = baskets.quantity
             );
             INSERT INTO baskets (TABLE opening_baskets EXCEPT TABLE baskets);
             COMMIT",
        )?;
        let written = "SELECT pg_logical_emit_message(false, 'shop', '')";
        Ok(self.database.query(written)?[0].get::<_, PgLsn>(0).into())
    }

    /// Removes the rows that earlier steps have changed and deleted, so that each step finds tables of the same size.
    pub fn tidy(&self) -> Result<(), Unavailable> {
        self.database.execute("VACUUM products, baskets, orders, order_lines, outbox")
    }

    /// Returns the ids of all orders, in their order.
    pub fn order_ids(&self) -> Result<Vec<i64>, Unavailable> {
        let rows = self.database.query("SELECT id FROM orders ORDER BY id")?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Returns all orders with their mails, for which it waits.
    ///
    /// # Errors
    /// If a mail is lost.
    pub fn orders(&self) -> Result<Vec<Ordered>, Unavailable> {
        let ids = self.order_ids()?;
        let mails = self.provider.taken(&ids)?;
        let of = |(id, mail): (&i64, String)| {
            let lines = self.database.query(&format!(
                "SELECT customer, product, quantity FROM orders
                 JOIN order_lines ON order_lines.order_id = orders.id WHERE id = {id} ORDER BY product"
            ))?;
            Ok(Ordered {
                customer: lines.first().map_or(0, |row| row.get(0)),
                lines: lines.iter().map(|row| (row.get(1), row.get(2))).collect(),
                mail,
            })
        };
        ids.iter().zip(mails).map(of).collect()
    }

    /// Returns how much of each product is gone, of which any is.
    pub fn sold(&self) -> Vec<(i64, i64)> {
        let sold = "SELECT id, opening - stock FROM products WHERE stock <> opening ORDER BY id";
        self.database.rows(sold).iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// Writes a picture for each product: bytes that no compression shortens.
fn write_images(case: &Case, products: u64, folder: &Path) -> std::io::Result<()> {
    let mut rng = case.rng("images");
    // A picture of a proof is as small as the rest of it.
    let sizes = if case.proof_size.is_some() { 10..200 } else { IMAGE };
    for product in 1..=products {
        let mut image = vec![0_u8; rng.random_range(sizes.clone()) as usize];
        rand::Rng::fill_bytes(&mut rng, &mut image);
        fs::write(folder.join(product.to_string()), image)?;
    }
    Ok(())
}
