//! The benches of the family `scaleout`.

fn main() {
    worthit_harness::bench::run(&worthit::scaleout::FAMILY, &worthit::CATALOGUE);
}
