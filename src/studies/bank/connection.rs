//! A connection to the database of the bank, whose statements are counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use deadpool_postgres::Object;
use tokio_postgres::{Client, Error, Row, types::ToSql};

/// Values of a statement's parameters.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection that counts its statements, and marks them, so that the server tells the pages that it looks at for them from
/// those for the worker.
pub struct Connection {
    held: Held,
    tally: Tally,
}

/// What the connections of a teller have in common.
#[derive(Clone)]
pub struct Tally {
    /// Marks statements, as a comment.
    pub mark: String,
    /// Statements that were sent.
    pub statements: Arc<AtomicU64>,
}

enum Held {
    /// For one request alone.
    Own(Client),
    /// Goes back into its pool.
    Pooled(Object),
}

impl Connection {
    pub fn own(client: Client, tally: &Tally) -> Connection {
        Connection { held: Held::Own(client), tally: tally.clone() }
    }

    pub fn pooled(object: Object, tally: &Tally) -> Connection {
        Connection { held: Held::Pooled(object), tally: tally.clone() }
    }

    fn client(&self) -> &Client {
        match &self.held {
            Held::Own(client) => client,
            Held::Pooled(object) => object,
        }
    }

    fn counted(&self, sql: &str) -> String {
        self.tally.statements.fetch_add(1, Relaxed);
        format!("{sql}{}", self.tally.mark)
    }

    pub async fn query(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        self.client().query(&self.counted(sql), values).await
    }

    pub async fn query_one(&self, sql: &str, values: Values<'_>) -> Result<Row, Error> {
        self.client().query_one(&self.counted(sql), values).await
    }

    pub async fn query_opt(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Error> {
        self.client().query_opt(&self.counted(sql), values).await
    }

    pub async fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
        self.client().execute(&self.counted(sql), values).await
    }

    /// Runs a statement without values, in one message.
    pub async fn run(&self, sql: &str) -> Result<(), Error> {
        self.client().batch_execute(&self.counted(sql)).await
    }
}
