//! The studies.

fn main() {
    worthit_harness::study::run(env!("CARGO_PKG_NAME"), &worthit::studies::STUDIES);
}
