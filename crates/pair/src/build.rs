//! What built the timing loops, and with them the pairs: results name it.

/// `rustc --version`.
pub const RUSTC: &str = env!("WORTHIT_RUSTC");
/// The flags that the compiler was given beside the profile's.
pub const RUSTFLAGS: &str = env!("WORTHIT_RUSTFLAGS");
/// The optimization level: 0 to 3, `s` or `z`.
pub const OPT_LEVEL: &str = env!("WORTHIT_OPT_LEVEL");
/// The target triple.
pub const TARGET: &str = env!("WORTHIT_TARGET");
