//! The compiler and the flags that built the timing loops and the pairs, as results record them.

/// Output of `rustc --version`.
pub const RUSTC: &str = env!("WORTHIT_RUSTC");
/// Compiler flags in addition to those of the profile.
pub const RUSTFLAGS: &str = env!("WORTHIT_RUSTFLAGS");
/// The optimization level: 0 to 3, `s` or `z`.
pub const OPT_LEVEL: &str = env!("WORTHIT_OPT_LEVEL");
/// The target triple.
pub const TARGET: &str = env!("WORTHIT_TARGET");
