//! Fix: write mails down with the order, and let a worker send them.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

use deadpool_postgres::Transaction;
use futures_util::future::join_all;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls};

use super::{
    provider::{self, Mail},
    statements::Statements,
};
use crate::fixtures::background_task::BackgroundTask;
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "queue",
    title: "Leave mails to a worker",
    why: "A checkout waits for a company elsewhere, and a sale brings it as many mails at once as it has never had. A \
          row in a table of the same transaction is as safe as the order itself: the mail is there if and only if the \
          order is. Nothing is lost when a server dies between the two.",
    costs: "The mail arrives a moment after the answer, and may be sent a second time when a worker dies, so the \
            provider must recognise it. Somebody must watch that the table does not grow. Pages are as slow as before.",
    source: include_str!("queue.rs"),
};

/// After the order is committed: sends the mail, again and again if that fails, and waits until the provider has it. If the
/// server dies first, it is lost.
pub async fn before(provider: SocketAddr, mail: &Mail) -> io::Result<()> {
    for _ in 1..TRIES {
        if provider::send(provider, mail).await.is_ok() {
            return Ok(());
        }
        // A server with very many customers has no descriptor left for this connection.
        sleep(TRY_AGAIN).await;
    }
    provider::send(provider, mail).await
}

/// In the transaction of the order: writes the mail into a table, and wakes the worker when the order is committed.
pub async fn after(
    order: &Transaction<'_>,
    statements: &Statements,
    mail: &Mail,
) -> Result<(), Error> {
    statements.execute(order, &statements.mail, &[&mail.key, &mail.text]).await?;
    statements.execute(order, &statements.wake, &[]).await?;
    Ok(())
}

/// How often a server that sends a mail itself tries it, and how long it waits in between: half a minute in all.
const TRIES: u32 = 300;
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// A worker looks for mails that are left at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Mails that a worker sends at once.
const AT_ONCE: i64 = 100;

/// Starts a worker on the schema that `config` names. It sends the mails of the table and then deletes them, in one
/// transaction. Dropping the task ends the worker as a kill would: an open transaction is rolled back.
pub fn start_worker(config: Config, provider: SocketAddr) -> io::Result<BackgroundTask> {
    // If the database is gone, whoever waits for a mail says so.
    BackgroundTask::start("worker", move || async move { work(&config, provider).await })
}

/// Sends what is in the table, and then whatever is put into it.
async fn work(config: &Config, provider: SocketAddr) -> Result<(), Error> {
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
        while send_some(&client, provider).await? {}
        // Also without a new one, as those that the provider did not take are still there.
        let _ = timeout(LOOK_AGAIN, woken.notified()).await;
    }
}

/// Sends some mails of the table and removes those that were taken; returns whether there were any.
async fn send_some(shop: &Client, provider: SocketAddr) -> Result<bool, Error> {
    shop.batch_execute("BEGIN").await?;
    // Waits for the transaction of a worker that died, until the server has rolled it back.
    let oldest = "SELECT order_id, text FROM outbox ORDER BY order_id LIMIT $1 FOR UPDATE";
    let rows = shop.query(oldest, &[&AT_ONCE]).await?;
    let mails: Vec<Mail> =
        rows.iter().map(|row| Mail { key: row.get(0), text: row.get(1) }).collect();
    let sent = join_all(mails.iter().map(|mail| provider::send(provider, mail))).await;
    let taken: Vec<i64> = mails
        .iter()
        .zip(&sent)
        .filter(|(_, sent)| sent.is_ok())
        .map(|(mail, _)| mail.key)
        .collect();
    shop.execute("DELETE FROM outbox WHERE order_id = ANY ($1)", &[&taken]).await?;
    shop.batch_execute("COMMIT").await?;
    Ok(!taken.is_empty())
}
