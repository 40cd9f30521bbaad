//! One request: a transfer, from the connection to the receipt, with whichever fixes the step has.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    connection::{Connection, Error, Tally},
    function, join, outbox,
    outside::{CARD, MAIL},
    pool, report,
    store::Access,
};
use crate::fixtures::outside::Notice;
use worthit_pair::study::Applied;

/// What a customer asks for.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Who is logged in.
    pub email: String,
    pub from: String,
    pub to: String,
    pub cents: i64,
    pub memo: String,
    /// Lines of the history that the receipt shows.
    pub lines: i64,
}

/// A line of an account's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub cents: i64,
    pub memo: String,
    /// The name of the other side, if it is a customer.
    pub name: Option<String>,
}

/// What became of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booked {
    Yes {
        /// The id of the transfer.
        id: i64,
        /// What is left, cents.
        balance: i64,
    },
    NoSuchAccount,
    NotYours,
    NoFunds,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The newest lines before the transfer.
    pub history: Vec<Line>,
    pub booked: Booked,
}

/// Who serves requests, in the way of one step.
pub struct Teller {
    pub applied: Applied,
    pub access: Access,
    /// Where the receivers of notices are.
    pub outside: SocketAddr,
    pub tally: Tally,
    /// Connections that requests opened.
    pub connects: AtomicU64,
    /// Notices whose receivers requests waited for.
    pub awaited: AtomicU64,
}

impl Teller {
    /// Serves a request.
    ///
    /// # Panics
    /// If the database or a receiver is gone.
    pub async fn serve(&self, transfer: &Transfer) -> Receipt {
        self.try_to_serve(transfer).await.unwrap_or_else(|error| {
            panic!("the database did not answer: {error}. If it was killed, or out of memory, run this again")
        })
    }

    async fn try_to_serve(&self, transfer: &Transfer) -> Result<Receipt, Error> {
        let held = match self.applied.has(&pool::FIX) {
            true => pool::after(&self.access).await?,
            false => {
                self.connects.fetch_add(1, Relaxed);
                pool::before(&self.access).await?
            }
        };
        let bank = &Connection::new(held, &self.tally);
        let history = match self.applied.has(&join::FIX) {
            true => join::after(bank, &transfer.from, transfer.lines).await?,
            false => join::before(bank, &transfer.from, transfer.lines).await?,
        };
        match self.applied.has(&report::FIX) {
            true => report::after(),
            false => drop(report::before(bank).await?),
        }
        let booked = self.book(bank, transfer).await?;
        Ok(Receipt { history, booked })
    }

    async fn book(&self, bank: &Connection, transfer: &Transfer) -> Result<Booked, Error> {
        let has_outbox = self.applied.has(&outbox::FIX);
        let has_function = self.applied.has(&function::FIX) && bank.has_functions();
        if has_outbox && has_function {
            // A statement is a transaction.
            return function::after(bank, transfer, true).await;
        }
        bank.run("BEGIN").await?;
        let booked = match has_function {
            true => function::after(bank, transfer, false).await?,
            false => function::before(bank, transfer).await?,
        };
        let Booked::Yes { id, .. } = booked else {
            bank.run("ROLLBACK").await?;
            return Ok(booked);
        };
        let notices = [
            Notice {
                to: CARD.to_owned(),
                key: id,
                text: format!("{} {}", transfer.from, transfer.cents),
            },
            Notice {
                to: MAIL.to_owned(),
                key: id,
                text: format!("{} {}", transfer.email, transfer.to),
            },
        ];
        match has_outbox {
            true => outbox::after(bank, &notices).await?,
            false => {
                outbox::before(self.outside, &notices).await;
                self.awaited.fetch_add(notices.len() as u64, Relaxed);
            }
        }
        bank.run("COMMIT").await?;
        Ok(booked)
    }
}
