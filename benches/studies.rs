//! The benches of the family `studies`.

fn main() {
    worthit_harness::bench::run(&worthit::studies::FAMILY, &worthit::CATALOGUE);
}
