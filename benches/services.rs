//! The benches of the family `services`.

fn main() {
    worthit_harness::bench::run(&worthit::services::FAMILY, &worthit::CATALOGUE);
}
