//! The `worthit` command.

worthit::counting_binary!();

fn main() {}
