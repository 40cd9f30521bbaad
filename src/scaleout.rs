//! The family of techniques for more machines.

worthit_pair::family! {
    "scaleout": "Spread the work over more machines";
    cdn,
    http_compression,
    least_connections,
    load_balancing,
}
