//! Refuses a pair's file that no list names: it would be neither built nor tested, and nobody would be told.

use std::{fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=src");
    for family in fs::read_dir("src").into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Ok(list) = fs::read_to_string(family.with_extension("rs")) else { continue };
        if !family.is_dir() || !list.contains("family!") {
            continue;
        }
        for file in fs::read_dir(&family).into_iter().flatten().flatten().map(|entry| entry.path())
        {
            check(&file, &family, &list);
        }
    }
}

/// Tells cargo of an error if the file is a Rust file whose name is no line of its family's list.
fn check(file: &Path, family: &Path, list: &str) {
    let is_rust = file.extension().is_some_and(|extension| extension == "rs");
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let line = format!("{name},");
    if is_rust && !list.lines().any(|listed| listed.trim() == line) {
        let (file, family) = (file.display(), family.display());
        println!("cargo::error={file} is in no list: add the line `{line}` to {family}.rs");
    }
}
