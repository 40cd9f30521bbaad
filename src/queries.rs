//! The family of database queries: SQLite through rusqlite.

crate::family! {
    "queries": "Let the database find it";
    n_plus_one,
}
