//! Fix: index the columns that requests look up.

use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "indexes",
    title: "Index what requests look up",
    why: "Without an index the server reads the whole table to find one row. A request does that for each account that it \
          names, and in its history for each line.",
    costs: "Each index is written with each row, and takes memory and disk.",
    source: include_str!("indexes.rs"),
};

/// The tables have their primary keys.
pub fn before() -> &'static str {
    ""
}

/// The same, and an index on each column that a request looks up.
pub fn after() -> &'static str {
    "CREATE UNIQUE INDEX accounts_iban ON accounts (iban);
     CREATE UNIQUE INDEX customers_email ON customers (email);
     CREATE INDEX entries_account ON entries (account, id)"
}
