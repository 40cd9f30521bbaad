//! Refuses a file of a pair or a study that no list names: it would be neither built nor tested, and no test could say so.

use std::{fs, path::PathBuf};

#[path = "crates/pair/src/listing.rs"]
mod listing;

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=crates/pair/src/listing.rs");
    let files = fs::read_dir("src").into_iter().flatten().flatten().map(|entry| entry.path());
    for list in files.filter(is_family) {
        for line in listing::missing_lines(&list).unwrap_or_default() {
            println!("cargo::error={} lacks the line `{line}`", list.display());
        }
    }
}

fn is_family(path: &PathBuf) -> bool {
    let is_list = |text: &str| text.contains("family!") || text.contains("studies!");
    fs::read_to_string(path).is_ok_and(|text| is_list(&text))
}
