//! A connection to the database of the bank, whose statements are counted: to a PostgreSQL server or to an SQLite file.

use std::{
    error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use deadpool_postgres::Object;
use rusqlite::types::{Value, ValueRef};
use tokio_postgres::{
    Client,
    types::{FromSql, ToSql},
};

use super::file::Session;

/// Why a statement failed, whichever database it is.
pub type Error = Box<dyn error::Error + Send + Sync>;

/// A value that both databases take.
pub trait Parameter: ToSql + rusqlite::ToSql + Sync {}
impl<T: ToSql + rusqlite::ToSql + Sync> Parameter for T {}

/// Values of a statement's parameters.
pub type Values<'a> = &'a [&'a dyn Parameter];

/// A value that both databases return.
pub trait Cell: for<'a> FromSql<'a> + rusqlite::types::FromSql {}
impl<T: for<'a> FromSql<'a> + rusqlite::types::FromSql> Cell for T {}

/// A row that a statement returned.
pub enum Row {
    Server(tokio_postgres::Row),
    File(Vec<Value>),
}

impl Row {
    /// Returns the value at a place, from 0.
    ///
    /// # Panics
    /// If it is of another type.
    pub fn get<T: Cell>(&self, place: usize) -> T {
        match self {
            Row::Server(row) => row.get(place),
            Row::File(values) => {
                let value = T::column_result(ValueRef::from(&values[place]));
                value.unwrap_or_else(|error| panic!("value {place} of a row: {error}"))
            }
        }
    }
}

/// A connection that counts its statements, and marks them, so that a server tells the pages that it looks at for them from
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

/// What a request holds until it is answered.
pub enum Held {
    /// A connection to a server, for one request alone.
    Own(Client),
    /// Goes back into its pool.
    Pooled(Object),
    /// An SQLite file that is open.
    File(Session),
}

impl Connection {
    pub fn new(held: Held, tally: &Tally) -> Connection {
        Connection { held, tally: tally.clone() }
    }

    pub async fn query(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        self.tally.statements.fetch_add(1, Relaxed);
        let client: &Client = match &self.held {
            Held::Own(client) => client,
            Held::Pooled(object) => object,
            Held::File(session) => return Ok(session.rows(sql, values).await?),
        };
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| *value as &(dyn ToSql + Sync)).collect();
        let rows = client.query(&format!("{sql}{}", self.tally.mark), &values).await?;
        Ok(rows.into_iter().map(Row::Server).collect())
    }

    pub async fn query_one(&self, sql: &str, values: Values<'_>) -> Result<Row, Error> {
        self.query_opt(sql, values).await?.ok_or_else(|| "a row is missing".into())
    }

    pub async fn query_opt(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    pub async fn execute(&self, sql: &str, values: Values<'_>) -> Result<(), Error> {
        self.query(sql, values).await.map(drop)
    }

    /// Runs a statement without values, in one message.
    pub async fn run(&self, sql: &str) -> Result<(), Error> {
        let client: &Client = match &self.held {
            Held::Own(client) => client,
            Held::Pooled(object) => object,
            Held::File(_) => return self.execute(sql, &[]).await,
        };
        self.tally.statements.fetch_add(1, Relaxed);
        Ok(client.batch_execute(&format!("{sql}{}", self.tally.mark)).await?)
    }

    /// Wakes the worker when the transaction is committed. A file does that by itself.
    pub async fn wake_worker(&self) -> Result<(), Error> {
        match self.held {
            Held::File(_) => Ok(()),
            _ => self.execute("SELECT pg_notify(current_schema, '')", &[]).await,
        }
    }

    /// Returns whether the database has functions of its own.
    pub fn has_functions(&self) -> bool {
        !matches!(self.held, Held::File(_))
    }
}
