//! A connection to the database of the bank, whose statements the server counts.

use deadpool_postgres::Object;
use tokio_postgres::{Client, Error, Row, types::ToSql};

/// Values of a statement's parameters.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection that marks its statements, so that the server's counts tell them from those of the worker.
pub struct Connection {
    held: Held,
    mark: String,
}

enum Held {
    /// For one request alone.
    Own(Client),
    /// Goes back into its pool.
    Pooled(Object),
}

impl Connection {
    pub fn own(client: Client, mark: &str) -> Connection {
        Connection { held: Held::Own(client), mark: mark.to_owned() }
    }

    pub fn pooled(object: Object, mark: &str) -> Connection {
        Connection { held: Held::Pooled(object), mark: mark.to_owned() }
    }

    fn client(&self) -> &Client {
        match &self.held {
            Held::Own(client) => client,
            Held::Pooled(object) => object,
        }
    }

    fn marked(&self, sql: &str) -> String {
        format!("{sql}{}", self.mark)
    }

    pub async fn query(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        self.client().query(&self.marked(sql), values).await
    }

    pub async fn query_one(&self, sql: &str, values: Values<'_>) -> Result<Row, Error> {
        self.client().query_one(&self.marked(sql), values).await
    }

    pub async fn query_opt(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Error> {
        self.client().query_opt(&self.marked(sql), values).await
    }

    pub async fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
        self.client().execute(&self.marked(sql), values).await
    }

    /// Runs a statement without values, in one message.
    pub async fn run(&self, sql: &str) -> Result<(), Error> {
        self.client().batch_execute(&self.marked(sql)).await
    }
}
