//! The bank in an SQLite file, where PostgreSQL is not installed. SQLite runs in the process.
//!
//! One transaction at a time writes to the file, so a transaction takes that right when it begins and locks no rows.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use rusqlite::{ErrorCode, params_from_iter};
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    time::sleep,
};

use super::connection::{Error, Row, Values};
use crate::fixtures::{
    background_task::BackgroundTask,
    outside::{self, Notice},
    sqlite,
};
use worthit_pair::{pair::Unavailable, paths};

/// What SQLite calls otherwise than PostgreSQL, of what the bank uses. A transaction that writes begins as one, and so
/// needs no locks on rows.
const IN_SQLITE: [(&str, &str); 4] = [
    ("$", "?"),
    ("BEGIN", "BEGIN IMMEDIATE"),
    (" FOR UPDATE", ""),
    ("bigint GENERATED ALWAYS AS IDENTITY", "integer"),
];
/// A transaction that another one keeps from beginning tries again after this time, and a worker whose notice was not taken.
const PAUSE: Duration = Duration::from_millis(1);

fn in_sqlite(sql: &str) -> String {
    let replaced = |sql: String, (from, to): &(&str, &str)| sql.replace(from, to);
    IN_SQLITE.iter().fold(sql.to_owned(), replaced)
}

/// An SQLite file in a folder of its own. Dropping it removes both.
pub struct File {
    /// Runs the requests; all on one thread.
    pub runtime: Arc<Runtime>,
    /// Fills the file, and keeps its log from being emptied between two requests.
    owner: rusqlite::Connection,
    access: Access,
    _folder: TempDir,
}

impl File {
    pub fn new() -> Result<File, Unavailable> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))?;
        let folder = paths::durable_scratch()?;
        let access = Access { path: folder.path().join("bank"), woken: Arc::default() };
        let owner = sqlite::open(&access.path).map_err(|error| unprepared(&error))?;
        Ok(File { runtime: Arc::new(runtime), owner, access, _folder: folder })
    }

    /// Returns how requests open the file.
    pub fn access(&self) -> Access {
        self.access.clone()
    }

    /// Runs statements that return nothing.
    pub fn execute(&self, sql: &str) -> Result<(), Unavailable> {
        self.owner.execute_batch(&in_sqlite(sql)).map_err(|error| unprepared(&error))
    }

    /// Returns the rows that a query returns.
    pub fn rows(&self, sql: &str) -> Result<Vec<Row>, Unavailable> {
        rows(&self.owner, sql, &[]).map_err(|error| unprepared(&error))
    }

    /// Starts a worker. It delivers the notices of the table and then deletes them. Dropping the task ends the worker as a kill
    /// would.
    pub fn start_worker(&self, companies: SocketAddr) -> io::Result<BackgroundTask> {
        let access = self.access();
        BackgroundTask::start("worker", move || async move { deliver(&access, companies).await })
    }
}

fn unprepared(error: &rusqlite::Error) -> Unavailable {
    Unavailable(format!("SQLite refuses to prepare a case: {error}"))
}

/// How a request opens the file.
#[derive(Clone)]
pub struct Access {
    path: PathBuf,
    /// Told of each commit.
    woken: Arc<Notify>,
}

impl Access {
    /// Opens the file.
    pub fn open(&self) -> rusqlite::Result<Session> {
        let connection = open(&self.path)?;
        Ok(Session { connection: Rc::new(connection), woken: Arc::clone(&self.woken) })
    }
}

/// Opens the file for somebody who waits outside of SQLite, as others on the thread must go on meanwhile. What is committed
/// is on the device.
fn open(path: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let connection = sqlite::open(path)?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// Sessions that stay open.
#[derive(Default)]
pub struct Kept(RefCell<Vec<Session>>);

impl Kept {
    /// Takes a session that nobody else has; opens one if there is none. It is free again when it is dropped.
    pub fn take(&self, access: &Access) -> rusqlite::Result<Session> {
        let mut kept = self.0.borrow_mut();
        if let Some(free) = kept.iter().find(|session| Rc::strong_count(&session.connection) == 1) {
            return Ok(free.clone());
        }
        let opened = access.open()?;
        kept.push(opened.clone());
        Ok(opened)
    }
}

/// The file, open for one request at a time.
#[derive(Clone)]
pub struct Session {
    connection: Rc<rusqlite::Connection>,
    woken: Arc<Notify>,
}

impl Session {
    /// Runs a statement, when no transaction is in its way.
    pub async fn rows(&self, sql: &str, values: Values<'_>) -> rusqlite::Result<Vec<Row>> {
        let found = loop {
            match rows(&self.connection, sql, values) {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    sleep(PAUSE).await;
                }
                found => break found?,
            }
        };
        if sql == "COMMIT" {
            self.woken.notify_one();
        }
        Ok(found)
    }
}

fn rows(
    connection: &rusqlite::Connection,
    sql: &str,
    values: Values<'_>,
) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(&in_sqlite(sql))?;
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get(column));
        found.push(Row::File(values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(found)
}

/// Delivers what is in the table, and then whatever is put into it.
///
/// No transaction is open while receivers take notices: it would keep every request from writing. So nothing but the end of
/// the worker before this one keeps the two from delivering the same.
async fn deliver(access: &Access, companies: SocketAddr) -> Result<(), Error> {
    let session = access.open()?;
    loop {
        let all = "SELECT id, receiver, key, text FROM outbox ORDER BY id";
        let rows = session.rows(all, &[]).await?;
        let Some(last) = rows.last().map(|row| row.get::<i64>(0)) else {
            session.woken.notified().await;
            continue;
        };
        let notice = |row: &Row| Notice { to: row.get(1), key: row.get(2), text: row.get(3) };
        let notices: Vec<Notice> = rows.iter().map(notice).collect();
        let sent = join_all(notices.iter().map(|notice| outside::send(companies, notice))).await;
        if sent.iter().all(Result::is_ok) {
            // Ids ascend as transactions are committed.
            session.rows("DELETE FROM outbox WHERE id <= $1", &[&last]).await?;
        } else {
            sleep(PAUSE).await;
        }
    }
}
