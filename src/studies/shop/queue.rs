//! Fix: write mails down with the order, and let a worker send them.

use std::{io, net::SocketAddr, time::Duration};

use deadpool_postgres::Transaction;
use tokio::time::sleep;
use tokio_postgres::Error;

use super::statements::Statements;
use crate::fixtures::outside::{self, Notice};
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
pub async fn before(provider: SocketAddr, mail: &Notice) -> io::Result<()> {
    for _ in 1..TRIES {
        if outside::send(provider, mail).await.is_ok() {
            return Ok(());
        }
        // A server with very many customers has no descriptor left for this connection.
        sleep(TRY_AGAIN).await;
    }
    outside::send(provider, mail).await
}

/// In the transaction of the order: writes the mail into a table, and wakes the worker ([`crate::fixtures::outbox`]) when the
/// order is committed.
pub async fn after(
    order: &Transaction<'_>,
    statements: &Statements,
    mail: &Notice,
) -> Result<(), Error> {
    statements.execute(order, &statements.mail, &[&mail.to, &mail.key, &mail.text]).await?;
    statements.execute(order, &statements.wake, &[]).await?;
    Ok(())
}

/// How often a server that sends a mail itself tries it, and how long it waits in between: half a minute in all.
const TRIES: u32 = 300;
const TRY_AGAIN: Duration = Duration::from_millis(100);
