//! The artifacts of a build, as cargo reports them: which executables there are, and what they were made from.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::outside::{self, OutsideFiles};
use worthit_pair::paths;

/// What cargo has built.
pub(super) struct Compiled {
    pub artifacts: Vec<Artifact>,
    /// What the build scripts of packages on disk told cargo.
    pub script_results: Vec<ScriptResults>,
    /// Root folder of the workspace.
    pub workspace: PathBuf,
}

impl Compiled {
    /// Reads cargo's messages.
    pub fn from_messages(messages: &str, workspace: PathBuf) -> Compiled {
        let read = |line: &str| serde_json::from_str::<Artifact>(line).ok();
        let artifacts = messages.lines().filter_map(read).collect();
        let results = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
        let results = results.filter(|it: &ScriptResults| it.package_id.starts_with("path+"));
        Compiled { artifacts, script_results: results.collect(), workspace }
    }

    /// Returns the artifacts of packages that no registry has.
    pub fn on_disk(&self) -> impl Iterator<Item = &Artifact> {
        self.artifacts.iter().filter(|artifact| artifact.package_id.starts_with("path+"))
    }

    /// Returns the files that an artifact was compiled from.
    pub fn sources(&self, artifact: &Artifact) -> BTreeSet<PathBuf> {
        let lists = artifact.lists();
        let files = lists.iter().flat_map(|list| outside::listed(list));
        files.map(|file| self.workspace.join(file)).collect()
    }

    /// Returns the variables that an artifact was compiled with, and that neither its manifest nor its place sets.
    pub fn variables(&self, artifact: &Artifact) -> BTreeSet<(String, String)> {
        let lists = artifact.lists();
        let rules = lists.iter().flat_map(|list| list.lines());
        let variables = rules.filter_map(|rule| rule.strip_prefix("# env-dep:"));
        let pairs = variables.map(|rule| rule.split_once('=').unwrap_or((rule, "")));
        pairs
            .filter(|(name, _)| !name.starts_with("CARGO") && *name != "OUT_DIR")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

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
        let files = self.on_disk().flat_map(|artifact| {
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
    pub manifest_path: PathBuf,
    pub target: Target,
    pub profile: Profile,
    filenames: Vec<PathBuf>,
    pub executable: Option<PathBuf>,
}

impl Artifact {
    /// Returns the name of its package.
    pub fn package_name(&self) -> &str {
        // `path+file:///folder#name@version`, or `path+file:///folder/name#version`.
        let (folder, rest) = self.package_id.split_once('#').unwrap_or((&self.package_id, ""));
        let folder_name = || folder.rsplit('/').next().unwrap_or_default();
        rest.split_once('@').map_or_else(folder_name, |(name, _)| name)
    }

    /// Returns whether it is a target of this kind.
    pub fn is_of_kind(&self, kind: &str) -> bool {
        self.target.kind.iter().any(|own| own == kind)
    }

    /// Returns whether it is a build script.
    pub fn is_build_script(&self) -> bool {
        self.is_of_kind("custom-build")
    }

    /// Returns whether it is a library.
    pub fn is_library(&self) -> bool {
        ["lib", "rlib", "dylib"].iter().any(|kind| self.is_of_kind(kind)) && !self.profile.test
    }

    /// Returns the lists of files that the compiler wrote; those that cargo wrote if there are none.
    fn lists(&self) -> Vec<String> {
        let folder_of = |file: &PathBuf| file.parent().map(Path::to_owned);
        if self.is_build_script() {
            let folders: BTreeSet<PathBuf> = self.filenames.iter().filter_map(folder_of).collect();
            let files = folders.iter().flat_map(fs::read_dir).flatten().flatten();
            let lists = files.map(|file| file.path());
            let lists = lists.filter(|file| file.extension().is_some_and(|end| end == "d"));
            return lists.filter_map(|list| fs::read_to_string(list).ok()).collect();
        }
        // What cargo copies elsewhere has a list of cargo's beside it, with the files of all that is linked.
        let is_by_compiler =
            |file: &&PathBuf| folder_of(file).is_some_and(|folder| !folder.ends_with("release"));
        let by_compiler: Vec<String> = self
            .filenames
            .iter()
            .filter(is_by_compiler)
            .flat_map(|file| outside::lists(file))
            .collect();
        match by_compiler.is_empty() {
            true => self.filenames.iter().flat_map(|file| outside::lists(file)).collect(),
            false => by_compiler,
        }
    }
}

/// Cargo's message about what a build script has printed.
#[derive(Deserialize)]
pub(super) struct ScriptResults {
    pub package_id: String,
    linked_libs: Vec<String>,
    linked_paths: Vec<String>,
    cfgs: Vec<String>,
}

impl ScriptResults {
    /// Returns the results as text. Variables are left out: the compiler lists those that code reads.
    pub fn text(&self) -> String {
        format!("{:?}", (&self.linked_libs, &self.linked_paths, &self.cfgs))
    }
}

#[derive(Deserialize)]
pub(super) struct Profile {
    pub test: bool,
}

#[derive(Deserialize)]
pub(super) struct Target {
    kind: Vec<String>,
    pub name: String,
    pub src_path: PathBuf,
    pub edition: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(package_id: &str) -> Artifact {
        let message = serde_json::json!({
            "package_id": package_id, "manifest_path": "/w/Cargo.toml", "profile": { "test": false },
            "target": { "kind": ["lib"], "name": "pairs", "src_path": "/w/src/lib.rs", "edition": "2024" },
            "filenames": [], "executable": null,
        });
        let messages = format!("{message}\n{{\"reason\":\"build-finished\"}}\n");
        Compiled::from_messages(&messages, PathBuf::new()).artifacts.remove(0)
    }

    #[test]
    fn a_package_is_named_with_or_without_its_version() {
        assert_eq!(artifact("path+file:///w/a#b@0.1.0").package_name(), "b");
        assert_eq!(artifact("path+file:///w/a#0.1.0").package_name(), "a");
    }

    #[test]
    fn the_compilers_lists_are_read_rather_than_cargos() {
        let place = tempfile::tempdir().unwrap();
        let (release, deps) = (place.path().join("release"), place.path().join("release/deps"));
        fs::create_dir_all(&deps).unwrap();
        fs::write(release.join("libpairs.d"), "libpairs.rlib: /w/src /other/lib.rs\n").unwrap();
        let list = "libpairs-1.rlib: src/lib.rs\n# env-dep:CARGO_PKG_NAME=w\n# env-dep:X=y=z\n";
        fs::write(deps.join("pairs-1.d"), list).unwrap();
        let workspace = PathBuf::from("/w");
        let compiled = Compiled { artifacts: vec![], script_results: vec![], workspace };
        let filenames = [release.join("libpairs.rlib"), deps.join("libpairs-1.rmeta")];
        let mut artifact = Artifact { filenames: filenames.into(), ..artifact("path+file:///w#1") };
        assert_eq!(compiled.sources(&artifact), BTreeSet::from(["/w/src/lib.rs".into()]));
        let variables = BTreeSet::from([("X".to_owned(), "y=z".to_owned())]);
        assert_eq!(compiled.variables(&artifact), variables);
        artifact.filenames.pop();
        assert!(compiled.sources(&artifact).contains(Path::new("/other/lib.rs")));
    }
}
