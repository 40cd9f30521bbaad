//! Fix: do nothing that the request does not need.

use super::connection::{Connection, Error};
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "report",
    title: "Leave the report to the night",
    why: "The totals of the whole bank were wanted on a dashboard once, and the request was where somebody could add them. \
          Nobody waits for them, and they grow with the bank.",
    costs: "The dashboard shows totals of last night.",
    source: include_str!("report.rs"),
};

/// The totals of the whole bank, for the dashboard, with every transfer.
pub async fn before(bank: &Connection) -> Result<u64, Error> {
    let totals = "SELECT customers.city, count(*), CAST(sum(entries.cents) AS bigint) FROM entries
                  JOIN accounts ON accounts.id = entries.account
                  JOIN customers ON customers.id = accounts.customer
                  GROUP BY customers.city";
    Ok(bank.query(totals, &[]).await?.len() as u64)
}

/// Nothing: a job makes the totals at night.
pub fn after() {}
