//! The benches of the family `batching`.

fn main() {
    worthit::bench::run(&worthit::batching::FAMILY);
}
