//! Fix: read the history and its names in one query.

use super::{
    connection::{Connection, Error, Row},
    teller::Line,
};
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "join",
    title: "Read the history in one query",
    why: "A query for each line costs a round trip and the work of the query for each line. One join costs them once, and \
          where an index is missing the server reads the table once, not once a line.",
    costs: "A longer query, written for this page.",
    source: include_str!("join.rs"),
};

/// Asks for the newest lines of an account, and then for the name of the other side of each.
pub async fn before(bank: &Connection, iban: &str, lines: i64) -> Result<Vec<Line>, Error> {
    let account = bank.query_opt("SELECT id FROM accounts WHERE iban = $1", &[&iban]).await?;
    let Some(account) = account.map(|row| row.get::<i64>(0)) else { return Ok(Vec::new()) };
    let newest = "SELECT cents, memo, counterparty FROM entries WHERE account = $1
                  ORDER BY id DESC LIMIT $2";
    let mut history = Vec::new();
    for row in bank.query(newest, &[&account, &lines]).await? {
        let counterparty: String = row.get(2);
        let name = "SELECT name FROM customers WHERE id =
                    (SELECT customer FROM accounts WHERE iban = $1)";
        let name = bank.query_opt(name, &[&counterparty]).await?;
        history.push(Line {
            cents: row.get(0),
            memo: row.get(1),
            name: name.map(|row| row.get(0)),
        });
    }
    Ok(history)
}

/// Asks for the newest lines of an account with the names of the other sides.
pub async fn after(bank: &Connection, iban: &str, lines: i64) -> Result<Vec<Line>, Error> {
    let joined = "SELECT entries.cents, memo, name FROM entries
                  LEFT JOIN accounts ON accounts.iban = counterparty
                  LEFT JOIN customers ON customers.id = accounts.customer
                  WHERE account = (SELECT id FROM accounts WHERE iban = $1)
                  ORDER BY entries.id DESC LIMIT $2";
    let rows = bank.query(joined, &[&iban, &lines]).await?;
    let line = |row: &Row| Line { cents: row.get(0), memo: row.get(1), name: row.get(2) };
    Ok(rows.iter().map(line).collect())
}
