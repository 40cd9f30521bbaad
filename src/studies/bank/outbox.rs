//! Fix: write notices down with the transfer, and let a worker deliver them.

use std::{future::poll_fn, io, sync::Arc};

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls};

use super::{
    connection::{self, Connection},
    outside::{Notice, Outside},
};
use crate::fixtures::background_task::BackgroundTask;
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "outbox",
    title: "Leave notices to a worker",
    why: "The transfer, and whoever waits for its rows, waits for two companies elsewhere. A row in a table of the same \
          transaction is as safe: the notice is there if and only if the transfer is.",
    costs: "A notice arrives a moment after the answer, and may be sent a second time when a worker dies, so its receiver \
            must know it again. Somebody must watch that the table does not grow.",
    source: include_str!("outbox.rs"),
};

/// Sends the notices and waits for their receivers, while the transaction is open.
pub async fn before(outside: &Outside, notices: &[Notice]) {
    for notice in notices {
        outside.send(notice).await;
    }
}

/// Writes the notices into a table in the same transaction, and wakes the worker when it is committed.
pub async fn after(bank: &Connection, notices: &[Notice]) -> Result<(), connection::Error> {
    for Notice { to, key, text } in notices {
        let insert = "INSERT INTO outbox (receiver, key, text) VALUES ($1, $2, $3)";
        bank.execute(insert, &[&to.name(), key, text]).await?;
    }
    bank.wake_worker().await
}

/// Notices that a worker delivers at once.
const AT_ONCE: i64 = 1_000;

/// Starts a worker on the schema that `config` names. It delivers the notices of the table and then deletes them, in one
/// transaction. Dropping the task ends the worker as a kill would: an open transaction is rolled back.
pub fn start_worker(config: Config, outside: Outside) -> io::Result<BackgroundTask> {
    // If the server is gone, whoever waits for the transfer says so.
    BackgroundTask::start("worker", move || async move { deliver(&config, &outside).await })
}

/// Delivers what is in the table, and then whatever is put into it.
async fn deliver(config: &Config, outside: &Outside) -> Result<(), Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let woken = Arc::new(Notify::new());
    let wakes = Arc::clone(&woken);
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message {
                wakes.notify_one();
            }
        }
    });
    let schema: String = client.query_one("SELECT current_schema::text", &[]).await?.get(0);
    client.batch_execute(&format!("LISTEN {schema}")).await?;
    loop {
        while deliver_some(&client, outside).await? {}
        woken.notified().await;
    }
}

/// Delivers some notices of the table and removes them; returns whether there were any.
async fn deliver_some(bank: &Client, outside: &Outside) -> Result<bool, Error> {
    bank.batch_execute("BEGIN").await?;
    // Waits for the transaction of a worker that died, until the server has rolled it back.
    let oldest = "SELECT id, receiver, key, text FROM outbox ORDER BY id LIMIT $1 FOR UPDATE";
    let rows = bank.query(oldest, &[&AT_ONCE]).await?;
    let notices: Vec<Notice> =
        rows.iter().map(|row| Notice::new(row.get(1), row.get(2), row.get(3))).collect();
    join_all(notices.iter().map(|notice| outside.send(notice))).await;
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    bank.execute("DELETE FROM outbox WHERE id = ANY ($1)", &[&ids]).await?;
    bank.batch_execute("COMMIT").await?;
    Ok(!ids.is_empty())
}
