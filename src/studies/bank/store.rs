//! Where the bank keeps its tables: on a PostgreSQL server or in an SQLite file.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use tokio::runtime::Runtime;
use tokio_postgres::Config;

use super::{
    connection::Row,
    file::{self, File, Kept},
    function,
};
use crate::fixtures::{
    background_task::BackgroundTask,
    outbox,
    postgres::{Database, pool},
};
use worthit_pair::pair::Unavailable;

/// Connections of a pool.
const POOL: usize = 4;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Postgres,
    Sqlite,
}

/// The database of a bank. The same SQL goes to both kinds.
pub enum Store {
    Server(Box<Database>),
    File(File),
}

/// How requests connect.
pub enum Access {
    Server { config: Box<Config>, pool: Pool },
    File { file: file::Access, kept: Kept },
}

impl Store {
    pub fn new(engine: Engine) -> Result<Store, Unavailable> {
        Ok(match engine {
            Engine::Postgres => Store::Server(Box::new(Database::new(Duration::ZERO)?)),
            Engine::Sqlite => Store::File(File::new()?),
        })
    }

    pub fn runtime(&self) -> Arc<Runtime> {
        Arc::clone(match self {
            Store::Server(database) => &database.runtime,
            Store::File(file) => &file.runtime,
        })
    }

    /// Runs statements that return nothing.
    pub fn execute(&self, sql: &str) -> Result<(), Unavailable> {
        match self {
            Store::Server(database) => database.execute(sql),
            Store::File(file) => file.execute(sql),
        }
    }

    /// Gets the planner its figures, and the server its functions, once the tables are filled.
    pub fn settle(&self) -> Result<(), Unavailable> {
        match self {
            Store::Server(database) => {
                database.execute("VACUUM (ANALYZE) customers, accounts, entries")?;
                database.execute(function::CREATE)
            }
            Store::File(file) => file.execute("ANALYZE"),
        }
    }

    /// Returns the rows that a query returns.
    ///
    /// # Panics
    /// If it is refused.
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        match self {
            Store::Server(database) => database.rows(sql).into_iter().map(Row::Server).collect(),
            Store::File(file) => file.rows(sql).unwrap_or_else(|error| panic!("{error}")),
        }
    }

    /// Returns the same statement with a mark by which a server knows whose it is.
    pub fn marked(&self, sql: &str) -> String {
        match self {
            Store::Server(database) => database.marked(sql),
            Store::File(_) => sql.to_owned(),
        }
    }

    /// Returns how many pages the server has looked at for marked statements; `None` if there is no server.
    pub fn pages(&self) -> Option<u64> {
        match self {
            Store::Server(database) => Some(database.pages()),
            Store::File(_) => None,
        }
    }

    /// Returns how requests connect, with a pool of their own.
    pub fn access(&self) -> Result<Access, Unavailable> {
        Ok(match self {
            Store::Server(database) => {
                let config = database.config.clone();
                Access::Server { pool: pool(&config, POOL)?, config: Box::new(config) }
            }
            Store::File(file) => Access::File { file: file.access(), kept: Kept::default() },
        })
    }

    /// Starts a worker that delivers notices.
    pub fn start_worker(&self, companies: SocketAddr) -> io::Result<BackgroundTask> {
        match self {
            Store::Server(database) => outbox::start_worker(database.config.clone(), companies),
            Store::File(file) => file.start_worker(companies),
        }
    }
}
