//! A bench binary with planted faults: `tests/bench_process.rs` runs it.

mod faults;

fn main() {
    worthit_harness::bench::run(&faults::FAMILY, &[&faults::FAMILY]);
}
