//! The family of better algorithms and data layouts.

worthit_pair::family! {
    "algorithms": "Do less work";
    binary_search,
    branchless_filter,
    hash_dedup,
    struct_of_arrays,
    substring,
    wide_sum,
}
