//! The family of techniques for more machines.

worthit_pair::family! {
    "scaleout": "Spread the work over more machines";
    load_balancing,
}
