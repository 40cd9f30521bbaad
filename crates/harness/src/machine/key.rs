//! The machine key: what decides the speed of a machine, in one short word that is safe as the name of a folder.

use super::{Processor, UNKNOWN};

/// What a machine key is made of.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// The processor.
    pub processor: &'a Processor,
    /// Data caches of one core: "L1d 32K, L2 1024K, L3 32768K".
    pub caches: &'a str,
    /// Logical cores that this process may use.
    pub logical_cores: u64,
    /// Memory, bytes; 0 if it is unknown.
    pub memory_bytes: u64,
    /// Kernel release: `6.18.44-generic`.
    pub kernel: &'a str,
    /// File system of the data folder.
    pub filesystem: &'a str,
}

/// Makes the machine key.
///
/// ```text
/// amd-25.17.1-avx512-32k.1m.32m-2c-24g-linux6.18-ext4
/// │   │       │      │          │  │   │         └ file system of the data folder
/// │   │       │      │          │  │   └ kernel, major and minor version
/// │   │       │      │          │  └ memory, GiB
/// │   │       │      │          └ logical cores
/// │   │       │      └ data caches from L1 on
/// │   │       └ widest vector extension
/// │   └ family, model and stepping; on Arm part and revision: d0c.r3p1
/// └ vendor
/// ```
///
/// A part that the system does not report is `unknown`.
pub fn key(description: &Description<'_>) -> String {
    let Description { processor, caches, logical_cores, memory_bytes, kernel, filesystem } =
        description;
    let part = |part: &Option<String>| word(part.as_deref().unwrap_or_default());
    let gib = (*memory_bytes as f64 / f64::from(1 << 30)).round();
    [
        part(&processor.vendor),
        model(processor),
        part(&processor.vectors),
        sizes(caches),
        format!("{logical_cores}c"),
        if *memory_bytes == 0 { UNKNOWN.to_owned() } else { format!("{gib}g") },
        format!("linux{}", version(kernel)),
        word(filesystem),
    ]
    .join("-")
}

/// `25.17.1`. Arm has no family.
fn model(processor: &Processor) -> String {
    let Processor { family, model, stepping, .. } = processor;
    if [family, model, stepping].into_iter().all(Option::is_none) {
        return UNKNOWN.to_owned();
    }
    let part = |part: &Option<String>| word(part.as_deref().unwrap_or_default());
    let family = family.as_deref().map(word);
    let parts = family.into_iter().chain([part(model), part(stepping)]);
    parts.collect::<Vec<_>>().join(".")
}

/// `32k.1m.32m`
fn sizes(caches: &str) -> String {
    let size = |cache: &str| {
        let (_, size) = cache.split_once(' ')?;
        let kib = match size.strip_suffix('K') {
            Some(kib) => kib.parse().ok()?,
            None => size.strip_suffix('M')?.parse::<u64>().ok()?.checked_mul(1_024)?,
        };
        Some(if kib % 1_024 == 0 { format!("{}m", kib / 1_024) } else { format!("{kib}k") })
    };
    let sizes: Option<Vec<String>> = caches.split(", ").map(size).collect();
    sizes.map_or(UNKNOWN.to_owned(), |sizes| sizes.join("."))
}

/// `6.18` of `6.18.44-generic`.
fn version(kernel: &str) -> String {
    let number = |part: Option<&str>| part?.parse::<u32>().ok();
    let mut parts = kernel.split(['.', '-']);
    match (number(parts.next()), number(parts.next())) {
        (Some(major), Some(minor)) => format!("{major}.{minor}"),
        _ => UNKNOWN.to_owned(),
    }
}

/// The text in small letters; what is no letter, digit or plus sign becomes `_`, so that it neither separates parts nor
/// leaves the folder.
fn word(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '+' { c } else { '_' };
    match text {
        "" => UNKNOWN.to_owned(),
        text => text.to_ascii_lowercase().chars().map(safe).collect(),
    }
}

#[cfg(test)]
mod tests;
