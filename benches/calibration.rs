//! The benches of the family `calibration`.

fn main() {
    worthit_harness::bench::run(&worthit::calibration::FAMILY, &worthit::CATALOGUE);
}
