//! The benches of the family `calibration`: the suite measures itself.

fn main() {
    worthit::bench::run(&worthit::calibration::FAMILY);
}
