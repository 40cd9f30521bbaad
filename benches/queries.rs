//! The benches of the family `queries`.

fn main() {
    worthit_harness::bench::run(&worthit::queries::FAMILY, &worthit::CATALOGUE);
}
