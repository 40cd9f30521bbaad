//! The family of database queries: SQLite through rusqlite.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/queries.md"))]

worthit_pair::family! {
    "queries": "Let the database find it";
    aggregate_in_sql,
    bulk_load_index,
    composite_order,
    connection_pool,
    covering_index,
    exists_not_count,
    foreign_key_index,
    full_text,
    index,
    index_order,
    journal_mode,
    keyset_pagination,
    n_plus_one,
    needed_columns,
    optional_filters,
    over_indexing,
    prepared_statement,
    sargable_range,
    sequential_keys,
    upsert,
    wal_readers,
    window_function,
}
