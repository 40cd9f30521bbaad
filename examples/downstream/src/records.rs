//! Log records: reading, joining, deduplicating.

worthit_pair::family! {
    "records": "Handle records without waste";
    distinct_ids,
    join_fields,
}
