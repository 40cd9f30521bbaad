//! The family of database queries: SQLite through rusqlite.

crate::family! {
    "queries": "Let the database find it";
    index,
    n_plus_one,
}
