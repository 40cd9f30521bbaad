//! The benches of the family `caching`.

fn main() {
    worthit::bench::run(&worthit::caching::FAMILY);
}
