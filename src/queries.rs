//! The family of database queries: SQLite through rusqlite.

worthit_pair::family! {
    "queries": "Let the database find it";
    index,
    keyset_pagination,
    n_plus_one,
}
