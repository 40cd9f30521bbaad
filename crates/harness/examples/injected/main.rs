//! A bench binary with injected faults: `tests/bench_process.rs` runs it.

mod faults;

fn main() {
    worthit_harness::bench::run(&faults::FAMILY, &[&faults::FAMILY]);
}
