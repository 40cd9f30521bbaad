//! Builds the two revisions that the gate compares.
//!
//! The trees are exported to the same folder, one after the other, and built into cargo's usual target folder.
//! Dependencies are therefore built only once. A crate at the same path also has the same symbols, so identical
//! sources produce bit-identical binaries. `surroundings` says where that folder is, `toolchain` what builds there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::{Deserialize, Serialize};

use super::{
    artifacts::Compiled,
    build_key::BuildKey,
    dependencies::Dependencies,
    export::export,
    outside::OutsideFiles,
    package::Package,
    repository::Repository,
    revision::{Revision, RevisionError},
    surroundings::{LOCK, LOOKED_UP, Surroundings},
    toolchain::Toolchain,
};
use crate::{
    cargo::{self, Workspace, separate_build_folder},
    interrupt,
};
use worthit_pair::paths;

/// Number of builds that are kept.
const KEPT_BUILDS: usize = 6;

/// A built revision.
#[derive(Clone, Debug)]
pub struct Build {
    /// Bench binaries by name.
    pub benches: BTreeMap<String, PathBuf>,
    /// Binary that counts causes.
    pub counter: PathBuf,
    /// Folder of the binaries and of the counts taken with them.
    pub folder: PathBuf,
    /// The compiler, as `rustc --version` prints it.
    pub rustc: String,
    /// What its pairs depend on.
    pub(super) dependencies: Dependencies,
    /// Whether it was made from files outside of the repository, which no revision has.
    pub(super) uses_outside_files: bool,
}

impl Build {
    /// Returns whether both builds have the same binaries, byte for byte.
    ///
    /// Equal sources at the same path produce such binaries.
    pub fn is_same_as(&self, other: &Build) -> bool {
        let benches = self.benches.iter().zip(&other.benches);
        self.folder == other.folder
            || (self.benches.len() == other.benches.len()
                && is_same_file(&self.counter, &other.counter)
                && benches
                    .into_iter()
                    .all(|(own, others)| own.0 == others.0 && is_same_file(own.1, others.1)))
    }
}

/// Builds revisions of the package to which this command belongs.
#[derive(Debug)]
pub struct Builder {
    /// The package.
    pub package: Package,
    /// The package's repository.
    pub repository: Repository,
    /// Path of the package from the repository's root; empty if the package is at the root.
    prefix: PathBuf,
    /// The gate's own folder.
    folder: PathBuf,
    /// Additional arguments for cargo.
    cargo_arguments: Vec<String>,
    toolchain: Toolchain,
    /// Cargo's folder of intermediate artifacts, if it is another one than the target folder. A relative path would
    /// start in the exported tree.
    build_folder: Option<PathBuf>,
    surroundings: Surroundings,
    /// Files that git ignores although cargo or rustup read them, as paths from the repository's root.
    ignored: Vec<PathBuf>,
}

impl Builder {
    /// Returns a builder for the package around the current folder. Every build gets `cargo_arguments`.
    ///
    /// # Errors
    /// If there is no package or no repository here.
    pub fn here(cargo_arguments: &[String]) -> Result<Builder, RevisionError> {
        let package = Package::of_this_command()?;
        let folder = paths::home().join("gate");
        let repository = Repository::around(&package.folder, &folder)?;
        let prefix = package.folder.strip_prefix(&repository.top).unwrap_or(Path::new(""));
        let prefix = prefix.to_owned();
        let looked_up = prefix
            .ancestors()
            .flat_map(|above| LOOKED_UP.into_iter().chain([LOCK]).map(|name| above.join(name)));
        let looked_up = looked_up.filter(|file| repository.top.join(file).is_file()).collect();
        Ok(Builder {
            toolchain: Toolchain::for_package(&package.folder),
            build_folder: separate_build_folder(),
            surroundings: Surroundings::choose(&repository.top, &folder),
            ignored: repository.ignored(looked_up),
            cargo_arguments: cargo_arguments.to_vec(),
            folder,
            package,
            prefix,
            repository,
        })
    }

    /// Returns what the reader must know about the builds.
    pub fn notes(&self) -> Vec<String> {
        let ignored: Vec<_> = self.ignored.iter().map(|file| file.display().to_string()).collect();
        let ignored = (!ignored.is_empty())
            .then(|| format!("both builds use {}, which git ignores", ignored.join(" and ")));
        [self.surroundings.note(), self.toolchain.note(), ignored].into_iter().flatten().collect()
    }

    /// Builds a revision, or reuses its kept build.
    ///
    /// # Errors
    /// If it does not build, or lacks a binary that the gate needs.
    pub fn build(&self, revision: &Revision) -> Result<Build, RevisionError> {
        self.build_changed(revision, "", |_| Ok(()))
    }

    /// Builds a revision after `change` has been applied to the exported package.
    ///
    /// # Errors
    /// As [`Builder::build`], or if the change cannot be made.
    pub fn build_changed(
        &self,
        revision: &Revision,
        change_name: &str,
        change: impl Fn(&Path) -> io::Result<()>,
    ) -> Result<Build, RevisionError> {
        let top = self.surroundings.mirrored(&self.repository.top);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| RevisionError::Write { path, error }
        };
        let _mirror = self.surroundings.mirror().map_err(failed(&top))?;
        export(&self.repository, revision, &self.ignored, &top)?;
        let package = top.join(&self.prefix);
        let manifest = self.prefix.join("Cargo.toml");
        if !top.join(&manifest).is_file() {
            let (name, manifest) = (revision.name.clone(), manifest.display().to_string());
            return Err(RevisionError::PackageMissing { name, manifest });
        }
        change(&package).map_err(failed(&package))?;
        let rustc = self.toolchain.version(&self.surroundings, &package);
        let key = BuildKey {
            tree: &revision.tree,
            change: change_name,
            package: &package,
            command: &self.package.command,
            cargo_arguments: &self.cargo_arguments,
            rustc: &rustc,
        };
        let folder = self.folder.join("builds").join(key.name());
        if let Some(build) = kept(&folder) {
            return Ok(build);
        }
        let compiled = self.compile(revision, &package)?;
        let manifest = BuildManifest {
            benches: compiled.executables("bench").map(|(name, _)| name).collect(),
            command: self.package.command.clone(),
            rustc: rustc.lines().next().unwrap_or_default().to_owned(),
            outside: compiled.outside_files(&top),
            dependencies: Dependencies::of(&compiled, &top, &package, &rustc),
        };
        let build = self.keep(revision, &compiled, manifest, &folder)?;
        self.remove_old_builds(&folder);
        Ok(build)
    }

    /// Runs cargo in an exported package.
    fn compile(&self, revision: &Revision, package: &Path) -> Result<Compiled, RevisionError> {
        let cargo = || self.toolchain.cargo(&self.surroundings, package);
        // If this fails, cargo reports the problem when it builds.
        let workspace = Workspace::described_by(cargo().arg("metadata")).unwrap_or_default();
        let mut arguments =
            ["build", "--release", "--benches", "--bin"].map(str::to_owned).to_vec();
        arguments.push(self.package.command.clone());
        // Without a name, cargo builds what the workspace names as its default.
        let name = workspace.package_in(package).map(|package| package.name.as_str());
        arguments
            .extend(name.into_iter().flat_map(|name| ["--package".to_owned(), name.to_owned()]));
        // Each package that a change can touch is built in one codegen unit, because inlining must not depend on what
        // else is in the crate. With sixteen units, a pair added to one family changed the instruction count of a pair
        // in another family by a third.
        let one_codegen_unit =
            workspace.packages.iter().flat_map(|cargo::Package { name, .. }| {
                let key = format!("profile.release.package.\"{name}\".codegen-units=1");
                ["--config".to_owned(), key]
            });
        let mut command = cargo();
        command
            .args(&arguments)
            .args(one_codegen_unit)
            .args(&self.cargo_arguments)
            .args(["--quiet", "--message-format", "json-render-diagnostics", "--target-dir"])
            .arg(paths::target())
            .envs(self.build_folder.iter().map(|folder| ("CARGO_BUILD_BUILD_DIR", folder)))
            // In a process group, so that a signal to the gate also ends compilers and build scripts.
            .process_group(0)
            .stdin(Stdio::null());
        let output = interrupt::output_of_child(&mut command);
        let output = output.ok().filter(|output| output.status.success());
        let output = output.ok_or_else(|| RevisionError::Build {
            name: revision.name.clone(),
            command: format!("cargo {} {}", arguments.join(" "), self.cargo_arguments.join(" ")),
        })?;
        let messages = String::from_utf8_lossy(&output.stdout);
        Ok(Compiled::from_messages(&messages, workspace.root))
    }

    /// Copies the binaries to the folder of the build, where the next build does not overwrite them.
    fn keep(
        &self,
        revision: &Revision,
        compiled: &Compiled,
        manifest: BuildManifest,
        folder: &Path,
    ) -> Result<Build, RevisionError> {
        let missing =
            |what: String| RevisionError::BinaryMissing { name: revision.name.clone(), what };
        if manifest.benches.is_empty() {
            return Err(missing("benches: nothing to compare".to_owned()));
        }
        let counter = compiled.executables("bin").find(|(name, _)| *name == manifest.command);
        let (_, counter) =
            counter.ok_or_else(|| missing(format!("binary `{}`", manifest.command)))?;
        let failed = |path: PathBuf| move |error| RevisionError::Write { path, error };
        // Counts of an earlier build with the same key are there too. The folder may not exist.
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(failed(folder.to_owned()))?;
        let copy = |from: &Path, name: &str| {
            let to = folder.join(name);
            fs::copy(from, &to).map_err(failed(to.clone()))
        };
        copy(counter, &manifest.command)?;
        for (name, bench) in compiled.executables("bench") {
            copy(bench, &bench_file(&name))?;
        }
        let path = folder.join(MANIFEST);
        let text = serde_json::to_vec(&manifest).unwrap_or_default();
        fs::write(&path, text).map_err(failed(path.clone()))?;
        Ok(manifest.build_in(folder))
    }

    /// Removes old builds, but never `kept`.
    fn remove_old_builds(&self, kept: &Path) {
        let builds = fs::read_dir(self.folder.join("builds")).into_iter().flatten().flatten();
        let mut builds: Vec<_> = builds
            .filter(|build| build.path() != kept)
            .map(|build| (build.metadata().and_then(|meta| meta.modified()).ok(), build.path()))
            .collect();
        builds.sort();
        for (_, old) in builds.iter().rev().skip(KEPT_BUILDS - 1) {
            // If this fails, it is tried again after the next build.
            let _ = fs::remove_dir_all(old);
        }
    }
}

/// Returns whether two files have the same content.
pub(super) fn is_same_file(own: &Path, other: &Path) -> bool {
    matches!((fs::read(own), fs::read(other)), (Ok(own), Ok(other)) if own == other)
}

/// Returns the build in a folder, if it is complete and nothing outside of the repository has changed since.
fn kept(folder: &Path) -> Option<Build> {
    let manifest = fs::read(folder.join(MANIFEST)).ok()?;
    let manifest: BuildManifest = serde_json::from_slice(&manifest).ok()?;
    manifest.outside.are_unchanged().then(|| manifest.build_in(folder))
}

/// Name of the file that describes a build. It is written last.
const MANIFEST: &str = "build.json";

/// Contents of `build.json` in the folder of a build.
#[derive(Serialize, Deserialize)]
struct BuildManifest {
    benches: BTreeSet<String>,
    command: String,
    rustc: String,
    outside: OutsideFiles,
    dependencies: Dependencies,
}

impl BuildManifest {
    fn build_in(self, folder: &Path) -> Build {
        let bench = |name: String| (name.clone(), folder.join(bench_file(&name)));
        Build {
            benches: self.benches.into_iter().map(bench).collect(),
            counter: folder.join(self.command),
            folder: folder.to_owned(),
            rustc: self.rustc,
            dependencies: self.dependencies,
            uses_outside_files: !self.outside.is_empty(),
        }
    }
}

fn bench_file(name: &str) -> String {
    format!("bench-{name}")
}
