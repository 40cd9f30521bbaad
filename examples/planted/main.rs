//! A bench binary with planted faults: `tests/bench_process.rs` runs it.

mod faults;

fn main() {
    worthit::bench::run(&faults::FAMILY);
}
