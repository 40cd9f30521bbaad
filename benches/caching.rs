//! The benches of the family `caching`.

fn main() {
    worthit_harness::bench::run(&worthit::caching::FAMILY, &worthit::CATALOGUE);
}
