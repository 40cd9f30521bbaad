//! The application: what the shop answers, with whichever fixes the step has.

use std::{
    fmt::Write,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use deadpool_postgres::{Pool, PoolError};
use futures_util::future::{try_join, try_join_all};
use hyper::body::Bytes;
use tokio_postgres::{Row, types::PgLsn};

use super::{
    cache::{self, Page, Pages},
    checkout::{self, Bought},
    plan::Plan,
    queue,
    replica::{self, Follower, Reading},
    statements::{Statements, Tally},
    wire::{Answer, Ask, Session},
};
use crate::fixtures::postgres::pool;
use worthit_pair::pair::Unavailable;

/// Most of one product in a basket.
const MOST: u64 = 99;

/// One server of the shop. Its connections belong to the runtime in which it was opened.
pub struct Shop {
    pub plan: Plan,
    pub primary: Pool,
    follower: Option<Follower>,
    pub pages: Option<Arc<Pages>>,
    pub statements: Arc<Statements>,
    /// What makes pages in the background: the same, but neither marked nor counted.
    background: Statements,
    pub tally: Arc<Tally>,
}

impl Shop {
    /// Connects to the databases, and makes the first pages.
    pub async fn open(plan: Plan) -> Result<Arc<Shop>, Unavailable> {
        let primary = pool(&plan.primary.config(), plan.scale.pool)?;
        let tally = Arc::new(Tally::default());
        let fixes = plan.fixes;
        let follower = match fixes.replica {
            true => {
                let pool = pool(&plan.follower.config(), plan.scale.pool)?;
                let background = Arc::new(Statements::new("", Arc::default()));
                Some(Follower::watch(pool, background).await.map_err(|error| refused(&error))?)
            }
            false => None,
        };
        let pages = fixes.cache.then(|| Arc::new(Pages::new()));
        if let Some(pages) = &pages {
            tokio::spawn(cache::watch_age(Arc::clone(pages)));
        }
        let shop = Arc::new(Shop {
            primary,
            follower,
            pages: pages.clone(),
            statements: Arc::new(Statements::new(&plan.mark, Arc::clone(&tally))),
            background: Statements::new("", Arc::default()),
            tally,
            plan,
        });
        if shop.plan.scale.is_warm {
            shop.warm(pages).await.map_err(|error| refused(&error))?;
        }
        Ok(shop)
    }

    /// Opens the connections and prepares the statements, so that no request waits for that, and makes the pages.
    async fn warm(self: &Arc<Shop>, pages: Option<Arc<Pages>>) -> Result<(), PoolError> {
        let size = self.plan.scale.pool;
        prepare(&self.primary, size, &self.statements.of_requests()).await?;
        if let Some(follower) = &self.follower {
            prepare(&follower.pool, size, &self.statements.of_pages()).await?;
        }
        if let Some(pages) = pages {
            cache::fill(self, &pages, self.plan.since).await?;
            tokio::spawn(cache::renew(Arc::clone(self), pages));
        }
        Ok(())
    }

    pub fn categories(&self) -> u64 {
        self.plan.categories
    }

    /// Answers a request.
    pub async fn answer(self: &Arc<Shop>, ask: Option<Ask>, session: Session) -> Answer {
        let answered = match ask {
            None => Ok(Answer::new(404, "There is no such page.")),
            Some(Ask::Page(category)) => self.page(category, session.seen).await,
            Some(Ask::Image { product, .. }) => Ok(self.image(product).await),
            Some(Ask::Add { product, quantity }) => self.add(session, product, quantity).await,
            Some(Ask::Basket) => self.basket(session).await,
            Some(Ask::Checkout) => self.checkout(session).await,
            Some(Ask::Orders) => self.orders(session).await,
        };
        answered.unwrap_or_else(|error| Answer::new(503, format!("Try again later: {error}")))
    }

    async fn page(&self, category: u64, seen: u64) -> Result<Answer, PoolError> {
        let page = match &self.pages {
            None => cache::before(self, category, seen).await?,
            Some(pages) => cache::after(self, pages, category, seen).await?,
        };
        Ok(match page.body {
            Some(body) => Answer::new(200, body),
            None => Answer::new(404, "There is no such category."),
        })
    }

    /// Makes the page of a category for a request of somebody who has seen the log up to `seen`.
    pub async fn make_page(&self, category: u64, seen: u64) -> Result<Page, PoolError> {
        self.make_page_by(&self.statements, category, seen).await
    }

    /// Makes the page when nobody has asked for it.
    pub async fn renew_page(&self, category: u64, seen: u64) -> Result<Page, PoolError> {
        self.make_page_by(&self.background, category, seen).await
    }

    async fn make_page_by(
        &self,
        statements: &Statements,
        category: u64,
        seen: u64,
    ) -> Result<Page, PoolError> {
        let Some(follower) = &self.follower else {
            return self
                .read_page(replica::before(&self.primary).await?, statements, category)
                .await;
        };
        let reading = replica::after(&self.primary, follower, seen).await?;
        let is_follower = reading.is_follower;
        match self.read_page(reading, statements, category).await {
            // A replica ends a query whose rows it may keep no longer.
            Err(_) if is_follower => {
                let reading = replica::before(&self.primary).await?;
                self.read_page(reading, statements, category).await
            }
            read => read,
        }
    }

    async fn read_page(
        &self,
        Reading { client, is_follower }: Reading,
        statements: &Statements,
        category: u64,
    ) -> Result<Page, PoolError> {
        let number = i64::try_from(category).unwrap_or(0);
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&number];
        let page = statements.query(&client, &statements.page, &values);
        let position = if is_follower { &statements.replayed } else { &statements.position };
        // A page that is kept says how new it is. The position is sent first, so that all commits before it are in the page.
        let (rows, as_of) = match self.pages {
            None => (page.await?, 0),
            Some(_) => {
                let position = statements.query_one(&client, position, &[]);
                let (position, rows) = try_join(position, page).await?;
                (rows, position.get::<_, Option<PgLsn>>(0).map_or(0, u64::from))
            }
        };
        Ok(Page { body: (!rows.is_empty()).then(|| rendered(category, &rows)), as_of })
    }

    /// Reads the picture of a product from the disk.
    async fn image(&self, product: u64) -> Answer {
        let path = self.plan.images.join(product.to_string());
        self.tally.files.fetch_add(1, Relaxed);
        let read = tokio::task::spawn_blocking(|| std::fs::read(path)).await;
        let read: io::Result<Vec<u8>> = read.map_err(io::Error::other).and_then(|read| read);
        match read {
            Ok(image) => Answer { is_lasting: true, ..Answer::new(200, image) },
            Err(_) => Answer::new(404, "There is no such picture."),
        }
    }

    async fn add(
        &self,
        session: Session,
        product: u64,
        quantity: u64,
    ) -> Result<Answer, PoolError> {
        let refused = || Ok(Answer::new(404, "There is no such product, or number of it."));
        let Ok(product) = i64::try_from(product) else { return refused() };
        if !(1..=MOST).contains(&quantity) {
            return refused();
        }
        let client = self.primary.get().await?;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&(session.customer as i64), &product, &(quantity as i64)];
        let added = self.statements.query_opt(&client, &self.statements.add, &values).await?;
        let Some(added) = added else { return refused() };
        Ok(Answer::new(200, format!("In your basket: {}", added.get::<_, i64>(0))))
    }

    async fn basket(&self, session: Session) -> Result<Answer, PoolError> {
        let client = self.primary.get().await?;
        let customer = session.customer as i64;
        let rows = self.statements.query(&client, &self.statements.basket, &[&customer]).await?;
        let line = |row: &Row| {
            let (name, quantity, cents): (&str, i64, i64) = (row.get(1), row.get(2), row.get(3));
            format!("{quantity} x {name}: {}\n", quantity * cents)
        };
        Ok(Answer::new(200, format!("Your basket\n{}", rows.iter().map(line).collect::<String>())))
    }

    async fn orders(&self, session: Session) -> Result<Answer, PoolError> {
        let client = self.primary.get().await?;
        let customer = session.customer as i64;
        let rows = self.statements.query(&client, &self.statements.orders, &[&customer]).await?;
        let line = |row: &Row| {
            let (id, name): (i64, &str) = (row.get(0), row.get(1));
            let (quantity, cents): (i64, i64) = (row.get(2), row.get(3));
            format!("Order #{id}: {quantity} x {name}: {}\n", quantity * cents)
        };
        Ok(Answer::new(200, format!("Your orders\n{}", rows.iter().map(line).collect::<String>())))
    }

    /// Sells what is in the basket. A customer who leaves before the answer does not stop it half way: it is a task.
    async fn checkout(self: &Arc<Shop>, session: Session) -> Result<Answer, PoolError> {
        let shop = Arc::clone(self);
        let sold = tokio::spawn(async move { shop.sell(session).await }).await;
        sold.unwrap_or_else(|_| Ok(Answer::new(503, "The checkout has failed.")))
    }

    async fn sell(&self, session: Session) -> Result<Answer, PoolError> {
        let mut client = self.primary.get().await?;
        let bought = checkout::sell(self, &mut client, session.customer).await?;
        let (order, mail) = match bought {
            Bought::Nothing => return Ok(Answer::new(409, "Your basket is empty.")),
            Bought::SoldOut(product) => {
                return Ok(Answer::new(409, format!("Sold out: product {product}")));
            }
            Bought::Order { order, mail } => (order, mail),
        };
        let seen = match self.plan.fixes.may_be_late() {
            true => {
                let written =
                    self.statements.query_one(&client, &self.statements.written, &[]).await?;
                Some(u64::from(written.get::<_, PgLsn>(0)))
            }
            false => None,
        };
        // Others need the connection while this one waits.
        drop(client);
        if !self.plan.fixes.queue {
            self.tally.mails.fetch_add(1, Relaxed);
            if let Err(error) = queue::before(self.plan.provider, &mail).await {
                eprintln!("order {order}: {error}");
            }
        }
        Ok(Answer { seen, ..Answer::new(200, format!("Thank you for order #{order}")) })
    }
}

fn refused(error: &PoolError) -> Unavailable {
    Unavailable(format!("the shop cannot ask its database: {error}"))
}

/// Prepares statements on each of `size` connections of a pool.
async fn prepare(pool: &Pool, size: usize, statements: &[&str]) -> Result<(), PoolError> {
    let connections = (0..size).map(async |_| {
        let client = pool.get().await?;
        for sql in statements {
            client.prepare_cached(sql).await?;
        }
        // Held until all have one, so that each is another one.
        Ok::<_, PoolError>(client)
    });
    try_join_all(connections).await.map(drop)
}

/// The page of a category.
fn rendered(category: u64, rows: &[Row]) -> Bytes {
    let mut page = format!("<!doctype html><title>Category {category}</title>\n<ul>\n");
    for row in rows {
        let (id, name, cents, stock): (i64, &str, i64, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let (stars, number): (Option<f64>, Option<i64>) = (row.get(4), row.get(5));
        let helpful: Option<&str> = row.get(6);
        // A text takes whatever is written.
        let _ = writeln!(
            page,
            "<li id={id}>{name}: {cents} cents, {stock} in stock, {:.2} stars of {}: {}",
            stars.unwrap_or(0.0),
            number.unwrap_or(0),
            helpful.unwrap_or("")
        );
    }
    page += "</ul></html>\n";
    page.into()
}
