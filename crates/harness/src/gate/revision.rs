//! Exports and builds the two trees that the gate compares.
//!
//! The trees are exported to the same folder, one after the other, and built into cargo's usual target folder.
//! Dependencies are therefore built only once. A crate at the same path also has the same symbols, so identical
//! sources produce bit-identical binaries.
//!
//! The repository itself is not touched: the gate registers no worktree, and it writes the objects of a dirty
//! tree to an object folder of its own.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::protocol::VERSION;
use crate::interrupt;
use worthit_pair::paths;

/// Number of builds that are kept.
const KEPT_BUILDS: usize = 6;

/// A tree of files, committed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Display name: the requested revision with its commit, or "the working tree".
    pub name: String,
    /// Id of the commit; for a dirty working tree, of the commit that it is based on.
    pub commit: String,
    /// Whether the tree has uncommitted changes.
    pub dirty: bool,
    /// Git's object id of the tree.
    tree: String,
    /// Git's object id of each file, by the file's path from the repository's root.
    pub files: BTreeMap<String, String>,
}

/// A built revision.
#[derive(Clone, Debug)]
pub struct Build {
    /// Bench binaries by name.
    pub benches: BTreeMap<String, PathBuf>,
    /// Binary that counts causes.
    pub counter: PathBuf,
    /// Folder of the binaries and of the counts taken with them.
    pub folder: PathBuf,
}

impl Build {
    /// Returns whether both builds have the same binaries, byte for byte.
    ///
    /// Equal sources at the same path produce such binaries.
    pub fn is_same_as(&self, other: &Build) -> bool {
        let is_same_file = |own: &Path, others: &Path| match (fs::read(own), fs::read(others)) {
            (Ok(own), Ok(others)) => own == others,
            _ => false,
        };
        let benches = self.benches.iter().zip(&other.benches);
        self.folder == other.folder
            || (self.benches.len() == other.benches.len()
                && is_same_file(&self.counter, &other.counter)
                && benches
                    .into_iter()
                    .all(|(own, others)| own.0 == others.0 && is_same_file(own.1, others.1)))
    }
}

/// Reason why a revision cannot be found or built.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// Git cannot be run.
    #[error(
        "git cannot be run: {0}; the gate needs it to compare revisions (`apt-get install git`)"
    )]
    NoGit(io::Error),
    /// The current folder is not in a git repository.
    #[error(
        "this folder is not in a git repository: {0}; the gate compares revisions, so run it in a clone"
    )]
    NoRepository(String),
    /// This clone does not have the revision.
    #[error("there is no revision `{requested}`{}: {message}", if *.shallow { " in this clone, which is shallow; fetch its history (`git fetch --unshallow`, or `fetch-depth: 0` of actions/checkout)" } else { "" })]
    Unknown {
        /// The requested revision.
        requested: String,
        /// Git's message.
        message: String,
        /// Whether this clone lacks part of the history.
        shallow: bool,
    },
    /// A git command failed.
    #[error("git {command} failed: {message}")]
    Git {
        /// The arguments of git.
        command: String,
        /// Git's message.
        message: String,
    },
    /// No cargo package contains the current folder.
    #[error("there is no cargo package in this folder or above it: {0}")]
    NoPackage(String),
    /// The revision does not contain the package.
    #[error("{name} has no package at `{prefix}`")]
    PackageMissing {
        /// Name of the revision.
        name: String,
        /// Path of the package from the repository's root.
        prefix: String,
    },
    /// The revision does not build.
    #[error("{name} does not build: `{command}` failed (see above)")]
    Build {
        /// Name of the revision.
        name: String,
        /// The command that failed.
        command: String,
    },
    /// The revision lacks a binary that the gate needs.
    #[error("{name} has no {what}")]
    BinaryMissing {
        /// Name of the revision.
        name: String,
        /// What is missing.
        what: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {error}; free some space or make it writable, and run again", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// The git repository of the package to which this command belongs.
#[derive(Debug)]
pub struct Repository {
    /// Root folder of the repository.
    top: PathBuf,
    /// Git's index and object folder, which the gate only reads.
    git_index: PathBuf,
    git_objects: PathBuf,
    /// Path of the package from the repository's root; empty if the package is at the root.
    prefix: PathBuf,
    /// The gate's own folder.
    folder: PathBuf,
    /// Name of the binary that counts causes, which is the running program.
    command: String,
    /// Additional arguments for cargo.
    cargo_arguments: Vec<String>,
}

impl Repository {
    /// Returns the repository around the current folder. Every build gets `cargo_arguments`.
    ///
    /// # Errors
    /// If there is no repository or no package here.
    pub fn here(cargo_arguments: &[String]) -> Result<Repository, RevisionError> {
        let no_package = |message: String| RevisionError::NoPackage(message);
        let located = Command::new(cargo())
            .args(["locate-project", "--message-format", "plain"])
            .output()
            .map_err(|error| no_package(format!("cargo cannot be run: {error}")))?;
        if !located.status.success() {
            return Err(no_package(String::from_utf8_lossy(&located.stderr).trim().to_owned()));
        }
        let manifest = PathBuf::from(String::from_utf8_lossy(&located.stdout).trim());
        let package = manifest.parent().unwrap_or(Path::new("/")).to_owned();
        let package = package.canonicalize().unwrap_or(package);
        let paths = Command::new("git")
            .arg("-C")
            .arg(&package)
            .args(["rev-parse", "--path-format=absolute", "--show-toplevel"])
            .args(["--git-path", "index", "--git-path", "objects"])
            .output()
            .map_err(RevisionError::NoGit)?;
        if !paths.status.success() {
            let message = String::from_utf8_lossy(&paths.stderr).trim().to_owned();
            return Err(RevisionError::NoRepository(message));
        }
        let paths = String::from_utf8_lossy(&paths.stdout).into_owned();
        let mut paths = paths.lines().map(PathBuf::from);
        let mut path = || paths.next().unwrap_or_default();
        let (top, git_index, git_objects) = (path(), path(), path());
        let prefix = package.strip_prefix(&top).unwrap_or(Path::new("")).to_owned();
        let exe = std::env::current_exe().unwrap_or_default();
        let command = exe.file_name().unwrap_or(OsStr::new("worthit"));
        Ok(Repository {
            prefix,
            folder: paths::home().join("gate"),
            command: command.to_string_lossy().into_owned(),
            cargo_arguments: cargo_arguments.to_vec(),
            top,
            git_index,
            git_objects,
        })
    }

    /// Returns the path of the package from the repository's root; empty if the package is at the root.
    pub fn prefix(&self) -> String {
        self.prefix.to_string_lossy().into_owned()
    }

    /// Returns the package's folder.
    pub fn package(&self) -> PathBuf {
        self.top.join(&self.prefix)
    }

    /// Finds a committed revision.
    ///
    /// # Errors
    /// If this clone does not have it.
    pub fn revision(&self, requested: &str) -> Result<Revision, RevisionError> {
        let peeled = format!("{requested}^{{commit}}");
        let commit = self.git(&["rev-parse", "--verify", "--end-of-options", &peeled]);
        let commit = commit.map_err(|error| {
            let shallow = self.git(&["rev-parse", "--is-shallow-repository"]);
            let shallow = shallow.is_ok_and(|answer| answer == "true");
            match error {
                RevisionError::Git { message, .. } => {
                    RevisionError::Unknown { requested: requested.to_owned(), message, shallow }
                }
                other => other,
            }
        })?;
        let tree = self.git(&["rev-parse", &format!("{commit}^{{tree}}")])?;
        let short = &commit[..commit.len().min(12)];
        let name = if commit.starts_with(requested) {
            short.to_owned()
        } else {
            format!("{requested} ({short})")
        };
        Ok(Revision { name, dirty: false, files: self.files(&tree)?, commit, tree })
    }

    /// Returns the working tree with its changed, added and removed files, but without ignored ones.
    ///
    /// # Errors
    /// If git fails.
    pub fn working_tree(&self) -> Result<Revision, RevisionError> {
        let commit = self.git(&["rev-parse", "HEAD"])?;
        let committed = self.git(&["rev-parse", "HEAD^{tree}"])?;
        let index = self.folder.join("index");
        self.create_folder(&self.folder.join("objects"))?;
        // Only one gate runs at a time, so this lock was left by a git that was killed.
        let _ = fs::remove_file(self.folder.join("index.lock"));
        self.copy_index(&index)?;
        let everything = [OsStr::new("add"), OsStr::new("--all"), OsStr::new(".")];
        let exclusion = self.unignored_target();
        self.git(&everything.into_iter().chain(exclusion.as_deref()).collect::<Vec<_>>())?;
        let tree = self.git(&["write-tree"])?;
        let dirty = tree != committed;
        let short = &commit[..commit.len().min(12)];
        let name = if dirty {
            format!("the working tree (changed since {short})")
        } else {
            format!("the working tree ({short})")
        };
        Ok(Revision { name, commit, dirty, files: self.files(&tree)?, tree })
    }

    /// Copies git's index, so that unchanged files need not be hashed again.
    ///
    /// The copy keeps the modification time of the index. Git compares file times with it to detect files that
    /// were changed in the same second in which they were indexed.
    fn copy_index(&self, index: &Path) -> Result<(), RevisionError> {
        let copied = fs::copy(&self.git_index, index)
            .and_then(|_| fs::metadata(&self.git_index)?.modified())
            .and_then(|time| fs::File::options().write(true).open(index)?.set_modified(time));
        match copied {
            Ok(()) => Ok(()),
            // Without an index, git hashes every file.
            Err(_) => match fs::remove_file(index) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(RevisionError::Write { path: index.to_owned(), error })
                }
                _ => Ok(()),
            },
        }
    }

    /// Returns the pathspec that excludes cargo's target folder, unless git ignores that folder anyway.
    fn unignored_target(&self) -> Option<OsString> {
        let target = paths::target().canonicalize().ok()?;
        let inside = target.strip_prefix(&self.top).ok()?;
        let ignored = [OsStr::new("check-ignore"), OsStr::new("--quiet"), inside.as_os_str()];
        let mut exclusion = OsString::from(":(exclude,top)");
        exclusion.push(inside);
        self.git(&ignored).is_err().then_some(exclusion)
    }

    fn files(&self, tree: &str) -> Result<BTreeMap<String, String>, RevisionError> {
        let listed = self.git(&["ls-tree", "-r", "-z", "--full-tree", tree])?;
        let file = |line: &str| {
            let (meta, path) = line.split_once('\t')?;
            Some((path.to_owned(), meta.split(' ').nth(2)?.to_owned()))
        };
        Ok(listed.split('\0').filter_map(file).collect())
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
    /// As [`Repository::build`], or if the change cannot be made.
    pub fn build_changed(
        &self,
        revision: &Revision,
        change_name: &str,
        change: impl Fn(&Path) -> io::Result<()>,
    ) -> Result<Build, RevisionError> {
        let folder = self.folder.join("builds").join(self.build_key(revision, change_name));
        let manifest = folder.join("build.json");
        let known = fs::read(&manifest).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(BuildManifest { benches, command }) = known {
            let path = |name: &String| (name.clone(), folder.join(format!("bench-{name}")));
            let benches = benches.iter().map(path).collect();
            return Ok(Build { benches, counter: folder.join(command), folder });
        }
        let build = self.export_and_build(revision, &folder, change)?;
        self.remove_old_builds(&folder);
        Ok(build)
    }

    fn export_and_build(
        &self,
        revision: &Revision,
        folder: &Path,
        change: impl Fn(&Path) -> io::Result<()>,
    ) -> Result<Build, RevisionError> {
        let tree = paths::Owned::new(self.folder.join("tree"));
        self.create_folder(tree.path())?;
        self.git(&["read-tree", &revision.tree])?;
        let mut prefix = tree.path().as_os_str().to_owned();
        prefix.push("/");
        let export = [
            OsStr::new("checkout-index"),
            OsStr::new("-a"),
            OsStr::new("-f"),
            OsStr::new("--prefix"),
            &prefix,
        ];
        self.git(&export)?;
        let package = tree.path().join(&self.prefix);
        if !package.join("Cargo.toml").is_file() {
            return Err(RevisionError::PackageMissing {
                name: revision.name.clone(),
                prefix: self.prefix.display().to_string(),
            });
        }
        change(&package).map_err(|error| RevisionError::Write { path: package.clone(), error })?;
        let arguments = ["build", "--release", "--benches", "--bin", &self.command];
        let failed = || RevisionError::Build {
            name: revision.name.clone(),
            command: format!("cargo {} {}", arguments.join(" "), self.cargo_arguments.join(" ")),
        };
        let one_codegen_unit = members(&package).into_iter().flat_map(|member| {
            let key = format!("profile.release.package.\"{member}\".codegen-units=1");
            ["--config".to_owned(), key]
        });
        let mut command = Command::new(cargo());
        command
            .args(arguments)
            .args(one_codegen_unit)
            .args(&self.cargo_arguments)
            .args(["--quiet", "--message-format", "json-render-diagnostics", "--target-dir"])
            .arg(paths::target())
            .current_dir(&package)
            // In a process group, so that a signal to the gate also ends compilers and build scripts.
            .process_group(0)
            .stdin(Stdio::null());
        let output = interrupt::output_of_child(&mut command).map_err(|_| failed())?;
        if !output.status.success() {
            return Err(failed());
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let artifacts: Vec<Artifact> =
            messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        self.keep(revision, &artifacts, folder)
    }

    /// Copies the binaries to the folder of the build, where the next build does not overwrite them.
    fn keep(
        &self,
        revision: &Revision,
        artifacts: &[Artifact],
        folder: &Path,
    ) -> Result<Build, RevisionError> {
        let executables = |kind: &'static str| {
            artifacts.iter().filter_map(move |artifact| {
                // `--benches` also builds the unit tests of a binary, unless it sets `bench = false`.
                let is_tests = kind == "bin" && artifact.profile.test;
                let is_wanted = artifact.target.kind.iter().any(|own| own == kind) && !is_tests;
                is_wanted.then_some((artifact.target.name.clone(), artifact.executable.clone()?))
            })
        };
        let missing =
            |what: String| RevisionError::BinaryMissing { name: revision.name.clone(), what };
        let benches: Vec<(String, PathBuf)> = executables("bench").collect();
        if benches.is_empty() {
            return Err(missing("benches: nothing to compare".to_owned()));
        }
        let counter = executables("bin").find(|(name, _)| *name == self.command);
        let (_, counter) = counter.ok_or_else(|| missing(format!("binary `{}`", self.command)))?;
        self.create_folder(folder)?;
        let copy = |from: &Path, name: &str| {
            let to = folder.join(name);
            let copied = fs::copy(from, &to).map(|_| to.clone());
            copied.map_err(|error| RevisionError::Write { path: to, error })
        };
        let counter = copy(&counter, &self.command)?;
        let copied = benches
            .iter()
            .map(|(name, path)| Ok((name.clone(), copy(path, &format!("bench-{name}"))?)));
        let benches: BTreeMap<String, PathBuf> = copied.collect::<Result<_, RevisionError>>()?;
        let built = BuildManifest {
            benches: benches.keys().cloned().collect(),
            command: self.command.clone(),
        };
        let path = folder.join("build.json");
        let text = serde_json::to_vec(&built).unwrap_or_default();
        fs::write(&path, text).map_err(|error| RevisionError::Write { path, error })?;
        Ok(Build { benches, counter, folder: folder.to_owned() })
    }

    /// Returns the key of a build; builds with the same key have the same binaries.
    ///
    /// The key covers the tree, its change, the toolchain, cargo's options and configuration, and the gate's version.
    fn build_key(&self, revision: &Revision, change_name: &str) -> String {
        let version = Command::new("rustc").arg("-vV").output();
        let version = version.map(|output| output.stdout).unwrap_or_default();
        let flags = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];
        let flags = flags.map(|name| format!("{name}={:?}", std::env::var_os(name)));
        let gate = concat!(env!("CARGO_PKG_VERSION"), " of the gate");
        let mut hash = Sha256::new();
        for part in [&revision.tree, change_name, &self.command, &self.prefix(), gate] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(VERSION.to_le_bytes());
        hash.update(&version);
        hash.update(flags.join("\n").as_bytes());
        hash.update(self.cargo_arguments.join("\n").as_bytes());
        for configuration in self.cargo_configurations() {
            hash.update(configuration);
        }
        BASE64_URL_SAFE_NO_PAD.encode(&hash.finalize()[..18]).trim_start_matches('-').to_owned()
    }

    /// Returns cargo's configuration files that apply to the exported tree but are not part of it: those in the
    /// folders above it and in cargo's home.
    fn cargo_configurations(&self) -> Vec<Vec<u8>> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        let above = self.folder.ancestors().map(|folder| folder.join(".cargo"));
        let folders = above.chain(home);
        folders
            .flat_map(|folder| [folder.join("config.toml"), folder.join("config")])
            .filter_map(|file| fs::read(file).ok())
            .collect()
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

    fn create_folder(&self, folder: &Path) -> Result<(), RevisionError> {
        fs::create_dir_all(folder)
            .map_err(|error| RevisionError::Write { path: folder.to_owned(), error })
    }

    fn git<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String, RevisionError> {
        let objects = self.folder.join("objects");
        let mut command = Command::new("git");
        command.current_dir(&self.top).args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
        if objects.is_dir() {
            command.env("GIT_INDEX_FILE", self.folder.join("index"));
            command.env("GIT_OBJECT_DIRECTORY", objects);
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.git_objects);
        }
        let output = interrupt::output_of_child(&mut command).map_err(RevisionError::NoGit)?;
        if !output.status.success() {
            let words: Vec<_> =
                arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(RevisionError::Git { command: words.join(" "), message });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim_end_matches('\n').to_owned())
    }
}

/// Returns the names of all packages in a package's workspace, whose code a change can touch.
///
/// Each is built in one codegen unit, because inlining must not depend on what else is in the crate. With sixteen
/// units, a pair added to one family changed the instruction count of a pair in another family by a third.
fn members(package: &Path) -> Vec<String> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(package);
    let output = interrupt::output_of_child(command.stdin(Stdio::null()).stderr(Stdio::null()));
    // If this fails, cargo reports the problem when it builds.
    let metadata = output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let metadata: Metadata = metadata.unwrap_or_default();
    metadata.packages.into_iter().map(|package| package.name).collect()
}

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Cargo's description of a workspace.
#[derive(Default, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// Contents of `build.json` in the folder of a build.
#[derive(Serialize, Deserialize)]
struct BuildManifest {
    benches: Vec<String>,
    command: String,
}

/// Cargo's message about an artifact that it has built.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    profile: Profile,
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
