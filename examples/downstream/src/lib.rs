//! Pairs of our own, measured and watched by `worthit`.

pub mod checksums;
pub mod records;

use worthit::family::Family;

/// All families, in the order of the report. A new one also needs a file in `benches/`.
pub static CATALOGUE: [&Family; 2] = [&records::FAMILY, &checksums::FAMILY];
