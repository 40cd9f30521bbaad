//! The benches of the family `io`.

fn main() {
    worthit_harness::bench::run(&worthit::io::FAMILY, &worthit::CATALOGUE);
}
