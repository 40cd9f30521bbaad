//! The benches of the family `computation`.

fn main() {
    worthit_harness::bench::run(&worthit::computation::FAMILY, &worthit::CATALOGUE);
}
