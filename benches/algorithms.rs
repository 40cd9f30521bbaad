//! The benches of the family `algorithms`.

fn main() {
    worthit::bench::run(&worthit::algorithms::FAMILY);
}
