//! The family of better algorithms and data layouts.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/algorithms.md"))]

worthit_pair::family! {
    "algorithms": "Do less work";
    binary_search,
    bitset,
    branchless_filter,
    cached_sort_key,
    contiguous_list,
    dense_map,
    dynamic_programming,
    edit_distance,
    front_removal,
    hash_dedup,
    hash_join,
    incremental_update,
    matrix_product,
    multi_pattern,
    prefix_sum,
    radix_sort,
    retain,
    struct_of_arrays,
    substring,
    top_k,
    wide_sum,
}
