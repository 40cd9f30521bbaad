//! The template `examples/downstream`, as the tests copy it: its files, and its manifest with other dependencies.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Root of this repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Keys of a manifest that depend on a crate of this repository by its path.
pub fn by_path(name: &str) -> String {
    format!("path = {:?}", root().join("crates").join(name))
}

/// Returns the template's manifest, whose dependencies on the suite have these keys.
pub fn manifest(harness: &str, pair: &str) -> String {
    let manifest = fs::read_to_string(root().join("examples/downstream/Cargo.toml")).unwrap();
    let manifest = replaced(&manifest, r#"path = "../../crates/harness""#, harness);
    replaced(&manifest, r#"path = "../../crates/pair""#, pair)
}

/// Modification times of copied files. Cargo compares them to see whether a file has changed since it was built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Those of the originals: cargo builds nothing again. Only for copies that no test edits.
    Kept,
    /// The time of the copy.
    Now,
}

/// Copies the template's files and this repository's lock file.
pub fn copy_to(package: &Path, lock: &Path, times: Times) {
    copy_tree(&root().join("examples/downstream"), package, times);
    fs::copy(root().join("Cargo.lock"), lock).unwrap();
}

/// Replaces text, which must be there.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no `{from}` in {text}");
    text.replace(from, to)
}

/// Copies a folder without what is built or generated in it.
pub fn copy_tree(from: &Path, to: &Path, times: Times) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name();
        if ["target", "reports", ".git", "node_modules"].iter().any(|left_out| name == *left_out) {
            continue;
        }
        let to = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to, times);
        } else {
            fs::copy(entry.path(), &to).unwrap();
            if times == Times::Kept {
                let time = entry.metadata().unwrap().modified().unwrap();
                File::options().write(true).open(&to).unwrap().set_modified(time).unwrap();
            }
        }
    }
}
