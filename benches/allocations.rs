//! The benches of the family `allocations`.

fn main() {
    worthit_harness::bench::run(&worthit::allocations::FAMILY, &worthit::CATALOGUE);
}
