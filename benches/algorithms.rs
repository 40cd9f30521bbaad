//! The benches of the family `algorithms`.

fn main() {
    worthit_harness::bench::run(&worthit::algorithms::FAMILY, &worthit::CATALOGUE);
}
