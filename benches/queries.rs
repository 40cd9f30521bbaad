//! The benches of the family `queries`.

fn main() {
    worthit::bench::run(&worthit::queries::FAMILY);
}
