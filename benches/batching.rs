//! The benches of the family `batching`.

fn main() {
    worthit_harness::bench::run(&worthit::batching::FAMILY, &worthit::CATALOGUE);
}
