//! Fix: write notices down with the transfer, and let a worker deliver them.

use std::net::SocketAddr;

use super::connection::{Connection, Error};
use crate::fixtures::outside::{self, Notice};
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "outbox",
    title: "Leave notices to a worker",
    why: "The transfer, and whoever waits for its rows, waits for two companies elsewhere. A row in a table of the same \
          transaction is as safe: the notice is there if and only if the transfer is.",
    costs: "A notice arrives a moment after the answer, and may be sent a second time when a worker dies, so its receiver \
            must recognise it. Somebody must watch that the table does not grow.",
    source: include_str!("outbox.rs"),
};

/// Sends the notices and waits for their receivers, while the transaction is open.
///
/// # Panics
/// If a receiver is gone, which lives as long as the bank.
pub async fn before(receivers: SocketAddr, notices: &[Notice]) {
    for notice in notices {
        let sent = outside::send(receivers, notice).await;
        sent.unwrap_or_else(|error| panic!("a notice was not taken: {error}"));
    }
}

/// Writes the notices into a table in the same transaction, and wakes the worker
/// ([`crate::fixtures::outbox`]) when it is committed.
pub async fn after(bank: &Connection, notices: &[Notice]) -> Result<(), Error> {
    for Notice { to, key, text } in notices {
        let insert = "INSERT INTO outbox (receiver, key, text) VALUES ($1, $2, $3)";
        bank.execute(insert, &[to, key, text]).await?;
    }
    bank.wake_worker().await
}
