//! The artifacts of a build, as cargo reports them: which executables there are, and what they were made from.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::outside::{self, OutsideFiles};
use worthit_pair::paths;

/// What cargo has built.
pub(super) struct Compiled {
    pub artifacts: Vec<Artifact>,
    /// Root folder of the workspace.
    pub workspace: PathBuf,
}

impl Compiled {
    /// Returns the executables of a kind of target, by name.
    pub fn executables(&self, kind: &'static str) -> impl Iterator<Item = (String, &Path)> {
        self.artifacts.iter().filter_map(move |artifact| {
            // `--benches` also builds the unit tests of a binary, unless it sets `bench = false`.
            let is_tests = kind == "bin" && artifact.profile.test;
            let is_wanted = artifact.target.kind.iter().any(|own| own == kind) && !is_tests;
            is_wanted.then_some((artifact.target.name.clone(), artifact.executable.as_deref()?))
        })
    }

    /// Returns the files outside of the exported repository that the packages were built from.
    pub fn outside_files(&self, top: &Path) -> OutsideFiles {
        let on_disk = self.artifacts.iter().filter(|it| it.package_id.starts_with("path+"));
        let files = on_disk.flat_map(|artifact| {
            let sources = artifact.filenames.iter();
            let sources = sources.flat_map(|file| outside::sources(file, &self.workspace));
            sources.chain([artifact.manifest_path.clone()])
        });
        OutsideFiles::of(files.collect(), &[top, &paths::target()])
    }
}

/// Cargo's message about an artifact that it has built.
#[derive(Deserialize)]
pub(super) struct Artifact {
    package_id: String,
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    filenames: Vec<PathBuf>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}
