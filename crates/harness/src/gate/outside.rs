//! The files outside of the repository that a build was made from, so that a kept build is reused only while they are
//! unchanged: path dependencies beside the repository, included files, inputs of build scripts.
//!
//! They are found in the lists that cargo and rustc write beside each artifact. Packages of a registry never change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Files and the hash of each one's content; `None` for a file that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct OutsideFiles(BTreeMap<PathBuf, Option<String>>);

impl OutsideFiles {
    /// Returns the current content of those files that are in none of the folders `inside`.
    pub(super) fn of(files: BTreeSet<PathBuf>, inside: &[&Path]) -> OutsideFiles {
        let inside: Vec<PathBuf> = inside.iter().flat_map(|folder| folder.canonicalize()).collect();
        let real = files.into_iter().map(|file| file.canonicalize().unwrap_or(file));
        let outside = real.filter(|file| !inside.iter().any(|folder| file.starts_with(folder)));
        OutsideFiles(outside.map(|file| (file.clone(), content_hash(&file))).collect())
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether all files are as they were.
    pub(super) fn are_unchanged(&self) -> bool {
        self.0.iter().all(|(file, hash)| content_hash(file) == *hash)
    }
}

/// Returns the hash of a file's content; `None` if it cannot be read.
pub(super) fn content_hash(file: &Path) -> Option<String> {
    Some(hash(&fs::read(file).ok()?))
}

/// Returns the hash of a content.
pub(super) fn hash(content: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(content)[..18])
}

/// Returns the files that an artifact was made from. Relative paths start at `workspace`.
pub(super) fn sources(artifact: &Path, workspace: &Path) -> Vec<PathBuf> {
    let files = lists(artifact).into_iter().flat_map(|list| listed(&list));
    files.map(|file| workspace.join(file)).collect()
}

/// Returns the lists of files beside an artifact, which are makefiles.
pub(super) fn lists(artifact: &Path) -> Vec<String> {
    let stem = artifact.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let library = stem.strip_prefix("lib").map(str::to_owned);
    let stems = [Some(stem), library].into_iter().flatten();
    let read = |stem: String| fs::read_to_string(artifact.with_file_name(format!("{stem}.d"))).ok();
    stems.filter_map(read).collect()
}

/// Parses the rules of a makefile: `artifact: file another\ file`.
pub(super) fn listed(rules: &str) -> Vec<PathBuf> {
    let rules = rules.lines().filter(|line| !line.starts_with('#'));
    let files = rules.filter_map(|rule| rule.split_once(": ")).flat_map(|(_, files)| {
        let files = files.replace("\\ ", "\0");
        files.split_whitespace().map(|file| file.replace('\0', " ")).collect::<Vec<_>>()
    });
    files.map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_an_artifact_are_those_in_its_list() {
        let place = tempfile::tempdir().unwrap();
        let list = "/t/libpairs.rlib: src/lib.rs /other/a\\ b.rs\n\nsrc/lib.rs:\n# env-dep:X=: y\n";
        fs::write(place.path().join("pairs-1.d"), list).unwrap();
        let found = sources(&place.path().join("libpairs-1.rlib"), Path::new("/w"));
        assert_eq!(found, ["/w/src/lib.rs", "/other/a b.rs"].map(PathBuf::from));
        assert_eq!(sources(&place.path().join("other"), Path::new("/w")), [] as [PathBuf; 0]);
    }

    #[test]
    fn a_change_outside_is_noticed_and_one_inside_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("inside"), place.path().join("outside"));
        for folder in [&inside, &outside] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("file"), "text").unwrap();
        }
        let gone = outside.join("gone");
        let files = BTreeSet::from([inside.join("file"), outside.join("file"), gone.clone()]);
        let found = OutsideFiles::of(files, &[&inside]);
        fs::write(inside.join("file"), "changed").unwrap();
        assert!(found.are_unchanged());
        fs::write(&gone, "new").unwrap();
        assert!(!found.are_unchanged());
        fs::remove_file(&gone).unwrap();
        assert!(found.are_unchanged());
        fs::write(outside.join("file"), "changed").unwrap();
        assert!(!found.are_unchanged());
    }
}
