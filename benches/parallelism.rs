//! The benches of the family `parallelism`.

fn main() {
    worthit::bench::run(&worthit::parallelism::FAMILY);
}
