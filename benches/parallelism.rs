//! The benches of the family `parallelism`.

fn main() {
    worthit_harness::bench::run(&worthit::parallelism::FAMILY, &worthit::CATALOGUE);
}
