//! Records of a log: read, joined, made unique.

worthit_pair::family! {
    "records": "Handle records without waste";
    distinct_ids,
    join_fields,
}
