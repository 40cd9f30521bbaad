//! The benches of the family `hardware`.

fn main() {
    worthit_harness::bench::run(&worthit::hardware::FAMILY, &worthit::CATALOGUE);
}
