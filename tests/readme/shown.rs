//! Family of the pair that README shows.

worthit_pair::family! {
    "shown": "Show how a pair is added";
    single_pass,
}
