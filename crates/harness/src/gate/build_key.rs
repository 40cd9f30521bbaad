//! What the binaries of a build depend on, so that builds with the same key are made once.
//!
//! The key covers what is known before cargo runs. `outside` covers the rest, which only cargo and the compiler know.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    protocol::VERSION,
    surroundings::{LOCK, LOOKED_UP, cargo_home},
};

/// Variables that change what cargo builds, or prefixes of their names.
const BUILD_VARIABLES: [&str; 8] = [
    "RUSTFLAGS",
    "RUSTC",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "CARGO_INCREMENTAL",
];

/// The key of a build. It also covers cargo's configuration, the variables that it reads, and the gate's version.
pub(super) struct BuildKey<'a> {
    /// Git's id of the tree.
    pub tree: &'a str,
    /// Name of the change to the tree; empty if it is unchanged.
    pub change: &'a str,
    /// Folder of the exported package.
    pub package: &'a Path,
    /// Name of the binary that counts causes.
    pub command: &'a str,
    /// Additional arguments for cargo.
    pub cargo_arguments: &'a [String],
    /// What `rustc -vV` prints.
    pub rustc: &'a str,
}

impl BuildKey<'_> {
    /// Returns the key as the name of a folder.
    pub fn name(&self) -> String {
        let gate = concat!(env!("CARGO_PKG_VERSION"), " of the gate");
        let mut hash = Sha256::new();
        for part in [self.tree, self.change, self.command, self.rustc, gate] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(self.package.as_os_str().as_encoded_bytes());
        hash.update(VERSION.to_le_bytes());
        hash.update(format!("{:?}", build_variables(std::env::vars_os())).as_bytes());
        hash.update(self.cargo_arguments.join("\n").as_bytes());
        for (file, content) in configuration_files(self.package) {
            hash.update(file.as_os_str().as_encoded_bytes());
            hash.update(Sha256::digest(content));
        }
        BASE64_URL_SAFE_NO_PAD.encode(&hash.finalize()[..18]).trim_start_matches('-').to_owned()
    }
}

/// Returns the files that configure cargo and rustup in the folder of an exported package: in it, above it and in
/// cargo's home.
pub(super) fn configuration_files(package: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let above = package
        .ancestors()
        .flat_map(|folder| LOOKED_UP.into_iter().chain([LOCK]).map(|name| folder.join(name)));
    let home = cargo_home().into_iter();
    let home = home.flat_map(|home| ["config.toml", "config"].map(|name| home.join(name)));
    above.chain(home).filter_map(|file| Some((file.clone(), fs::read(file).ok()?))).collect()
}

/// Returns the variables that change what cargo builds, in a fixed order.
fn build_variables(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    all.filter(|(name, _)| {
        let name = name.to_string_lossy();
        // These are folders, which change nothing that is built.
        let is_folder = name == "CARGO_TARGET_DIR" || name == "CARGO_TARGET_TMPDIR";
        BUILD_VARIABLES.iter().any(|start| name.starts_with(start)) && !is_folder
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_covers_the_variables_that_change_a_build() {
        let variables = |names: &[&str]| {
            build_variables(names.iter().map(|name| ((*name).into(), "value".into()))).len()
        };
        let relevant = ["RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "RUSTC_WRAPPER"];
        assert_eq!(variables(&relevant), 3);
        assert_eq!(variables(&["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS"]), 1);
        assert_eq!(variables(&["CARGO_TARGET_DIR", "CARGO_PKG_NAME", "PATH"]), 0);
    }

    #[test]
    fn lock_file_and_configuration_of_the_folders_above_count() {
        let top = tempfile::tempdir().unwrap();
        let package = top.path().join("package");
        fs::create_dir_all(top.path().join(".cargo")).unwrap();
        fs::create_dir(&package).unwrap();
        let files = [package.join("Cargo.lock"), top.path().join(".cargo/config.toml")];
        files.iter().for_each(|file| fs::write(file, "text").unwrap());
        let found: Vec<PathBuf> =
            configuration_files(&package).into_iter().map(|(file, _)| file).collect();
        assert!(files.iter().all(|file| found.contains(file)), "{found:?}");
    }
}
