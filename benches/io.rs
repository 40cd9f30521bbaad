//! The benches of the family `io`.

fn main() {
    worthit::bench::run(&worthit::io::FAMILY);
}
