//! The two trees that are compared, and their builds.
//!
//! Both are exported, one after the other, to the same folder and built there into cargo's usual
//! target folder: dependencies build once, and a crate at the same path has the same symbols, so equal
//! sources make equal binaries. The repository itself is not touched: no worktree is registered, and
//! what a dirty tree needs is written to an object folder of the gate's own.

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

/// Builds that are kept.
const KEPT_BUILDS: usize = 6;

/// A tree of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// As it is shown: what was asked for and the commit, or "the working tree".
    pub name: String,
    /// Commit; that of a dirty working tree is the one it is based on.
    pub commit: String,
    /// Whether it has changes that are not committed.
    pub dirty: bool,
    /// Git's id of the tree.
    tree: String,
    /// Git's id of each file, by its path from the top.
    pub files: BTreeMap<String, String>,
}

/// A built revision.
#[derive(Clone, Debug)]
pub struct Build {
    /// The bench binaries by name.
    pub benches: BTreeMap<String, PathBuf>,
    /// The command that counts causes.
    pub counter: PathBuf,
    /// Where it is kept, and what was counted in it.
    pub folder: PathBuf,
}

impl Build {
    /// Whether both have the same binaries, byte for byte: equal sources at the same path make them.
    pub fn is_same_as(&self, other: &Build) -> bool {
        let same = |own: &Path, others: &Path| matches!((fs::read(own), fs::read(others)), (Ok(own), Ok(others)) if own == others);
        let benches = self.benches.iter().zip(&other.benches);
        self.folder == other.folder
            || (self.benches.len() == other.benches.len()
                && same(&self.counter, &other.counter)
                && benches
                    .into_iter()
                    .all(|(own, others)| own.0 == others.0 && same(own.1, others.1)))
    }
}

/// Why revisions cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// There is no git.
    #[error(
        "git cannot be run: {0}; install it (`apt-get install git`): the gate compares revisions"
    )]
    NoGit(io::Error),
    /// There is no repository.
    #[error(
        "this folder is in no git repository: {0}; the gate compares revisions, so run it in a clone"
    )]
    NoRepository(String),
    /// The revision is not known.
    #[error("there is no revision `{asked}`{}: {said}", if *.shallow { " in this clone, which is shallow; fetch its history (`git fetch --unshallow`, or `fetch-depth: 0` of actions/checkout)" } else { "" })]
    Unknown {
        /// What was asked for.
        asked: String,
        /// What git says.
        said: String,
        /// Whether history is missing here.
        shallow: bool,
    },
    /// Git failed otherwise.
    #[error("git {command} failed: {said}")]
    Git {
        /// What it was asked for.
        command: String,
        /// What it said.
        said: String,
    },
    /// There is no package here.
    #[error("no cargo package is found from here: {0}")]
    NoPackage(String),
    /// It has no such package.
    #[error("{name} has no package at `{prefix}`")]
    PackageMissing {
        /// The revision.
        name: String,
        /// Path of the package from the top.
        prefix: String,
    },
    /// It does not build.
    #[error("{name} does not build: `{command}` failed (see above)")]
    Build {
        /// The revision.
        name: String,
        /// What was run.
        command: String,
    },
    /// Nothing is there to be compared.
    #[error("{name} has no {what}")]
    Nothing {
        /// The revision.
        name: String,
        /// What is missing.
        what: String,
    },
    /// Files cannot be written.
    #[error("cannot write {}: {error}; free some space or make it writable, and run again", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The repository around the package that this command belongs to.
#[derive(Debug)]
pub struct Repository {
    /// Top of the repository.
    top: PathBuf,
    /// Git's index and object folder, which are only read.
    git_index: PathBuf,
    git_objects: PathBuf,
    /// The package from the top; empty if it is the top.
    prefix: PathBuf,
    /// Folder of the gate.
    folder: PathBuf,
    /// Name of the binary that counts, which is this one.
    command: String,
    /// What cargo is told besides.
    cargo_arguments: Vec<String>,
}

impl Repository {
    /// The repository around the current folder. `cargo_arguments` are given to every build.
    ///
    /// # Errors
    /// If there is none, or no package in it.
    pub fn here(cargo_arguments: &[String]) -> Result<Repository, RevisionError> {
        let no_package = |said: String| RevisionError::NoPackage(said);
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
            let said = String::from_utf8_lossy(&paths.stderr).trim().to_owned();
            return Err(RevisionError::NoRepository(said));
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

    /// Path of the package from the top of the repository; empty if it is the top.
    pub fn prefix(&self) -> String {
        self.prefix.to_string_lossy().into_owned()
    }

    /// The package's folder.
    pub fn package(&self) -> PathBuf {
        self.top.join(&self.prefix)
    }

    /// A committed revision.
    ///
    /// # Errors
    /// If it is not known here.
    pub fn revision(&self, asked: &str) -> Result<Revision, RevisionError> {
        let peeled = format!("{asked}^{{commit}}");
        let commit = self.git(&["rev-parse", "--verify", "--end-of-options", &peeled]);
        let commit = commit.map_err(|error| {
            let shallow = self.git(&["rev-parse", "--is-shallow-repository"]);
            let shallow = shallow.is_ok_and(|said| said == "true");
            match error {
                RevisionError::Git { said, .. } => {
                    RevisionError::Unknown { asked: asked.to_owned(), said, shallow }
                }
                other => other,
            }
        })?;
        let tree = self.git(&["rev-parse", &format!("{commit}^{{tree}}")])?;
        let short = &commit[..commit.len().min(12)];
        let name =
            if commit.starts_with(asked) { short.to_owned() } else { format!("{asked} ({short})") };
        Ok(Revision { name, dirty: false, files: self.files(&tree)?, commit, tree })
    }

    /// The working tree as it stands: with what is changed, added and removed, without what git
    /// ignores.
    ///
    /// # Errors
    /// If git fails.
    pub fn working_tree(&self) -> Result<Revision, RevisionError> {
        let commit = self.git(&["rev-parse", "HEAD"])?;
        let committed = self.git(&["rev-parse", "HEAD^{tree}"])?;
        let index = self.folder.join("index");
        self.make(&self.folder.join("objects"))?;
        // Of a git that was killed; this process alone has the turn.
        let _ = fs::remove_file(self.folder.join("index.lock"));
        self.copy_index(&index)?;
        let everything = [OsStr::new("add"), OsStr::new("--all"), OsStr::new(".")];
        let without = self.unignored_target();
        self.git(&everything.into_iter().chain(without.as_deref()).collect::<Vec<_>>())?;
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

    /// Git's index as a start, which spares hashing what has not changed; with its time, by which git tells
    /// whether a file may have been changed after it was looked at in the same second.
    fn copy_index(&self, index: &Path) -> Result<(), RevisionError> {
        let copied = fs::copy(&self.git_index, index)
            .and_then(|_| fs::metadata(&self.git_index)?.modified())
            .and_then(|time| fs::File::options().write(true).open(index)?.set_modified(time));
        match copied {
            Ok(()) => Ok(()),
            // Without it everything is hashed.
            Err(_) => match fs::remove_file(index) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(RevisionError::Write { path: index.to_owned(), error })
                }
                _ => Ok(()),
            },
        }
    }

    /// Leaves cargo's target folder out, if git does not do so by itself.
    fn unignored_target(&self) -> Option<OsString> {
        let target = paths::target().canonicalize().ok()?;
        let inside = target.strip_prefix(&self.top).ok()?;
        let ignored = [OsStr::new("check-ignore"), OsStr::new("--quiet"), inside.as_os_str()];
        let mut without = OsString::from(":(exclude,top)");
        without.push(inside);
        self.git(&ignored).is_err().then_some(without)
    }

    fn files(&self, tree: &str) -> Result<BTreeMap<String, String>, RevisionError> {
        let listed = self.git(&["ls-tree", "-r", "-z", "--full-tree", tree])?;
        let file = |line: &str| {
            let (meta, path) = line.split_once('\t')?;
            Some((path.to_owned(), meta.split(' ').nth(2)?.to_owned()))
        };
        Ok(listed.split('\0').filter_map(file).collect())
    }

    /// Builds a revision, unless it is built.
    ///
    /// # Errors
    /// If it does not build, or has nothing to compare.
    pub fn build(&self, revision: &Revision) -> Result<Build, RevisionError> {
        self.build_changed(revision, "", |_| Ok(()))
    }

    /// Builds a revision after a change, called `what`, to the exported package.
    ///
    /// # Errors
    /// As [`Repository::build`], or if the change cannot be made.
    pub fn build_changed(
        &self,
        revision: &Revision,
        what: &str,
        change: impl Fn(&Path) -> io::Result<()>,
    ) -> Result<Build, RevisionError> {
        let folder = self.folder.join("builds").join(self.build_key(revision, what));
        let manifest = folder.join("build.json");
        let known = fs::read(&manifest).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(Built { benches, command }) = known {
            let path = |name: &String| (name.clone(), folder.join(format!("bench-{name}")));
            let benches = benches.iter().map(path).collect();
            return Ok(Build { benches, counter: folder.join(command), folder });
        }
        let build = self.build_anew(revision, &folder, change)?;
        self.remove_old_builds(&folder);
        Ok(build)
    }

    fn build_anew(
        &self,
        revision: &Revision,
        folder: &Path,
        change: impl Fn(&Path) -> io::Result<()>,
    ) -> Result<Build, RevisionError> {
        let tree = paths::Owned::new(self.folder.join("tree"));
        self.make(tree.path())?;
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
        let whole = members(&package).into_iter().flat_map(|member| {
            let key = format!("profile.release.package.\"{member}\".codegen-units=1");
            ["--config".to_owned(), key]
        });
        let mut command = Command::new(cargo());
        command
            .args(arguments)
            .args(whole)
            .args(&self.cargo_arguments)
            .args(["--quiet", "--message-format", "json-render-diagnostics", "--target-dir"])
            .arg(paths::target())
            .current_dir(&package)
            // So that a signal to the gate ends compilers and build scripts too.
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

    /// Copies what was built to where the next build does not overwrite it.
    fn keep(
        &self,
        revision: &Revision,
        artifacts: &[Artifact],
        folder: &Path,
    ) -> Result<Build, RevisionError> {
        let executables = |kind: &'static str| {
            artifacts.iter().filter_map(move |artifact| {
                // Of a binary that is not kept out of them, `--benches` also builds its unit tests.
                let is_tests = kind == "bin" && artifact.profile.test;
                let is_it = artifact.target.kind.iter().any(|of| of == kind) && !is_tests;
                is_it.then_some((artifact.target.name.clone(), artifact.executable.clone()?))
            })
        };
        let nothing = |what: String| RevisionError::Nothing { name: revision.name.clone(), what };
        let benches: Vec<(String, PathBuf)> = executables("bench").collect();
        if benches.is_empty() {
            return Err(nothing("benches: nothing to compare".to_owned()));
        }
        let counter = executables("bin").find(|(name, _)| *name == self.command);
        let (_, counter) = counter.ok_or_else(|| nothing(format!("binary `{}`", self.command)))?;
        self.make(folder)?;
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
        let built =
            Built { benches: benches.keys().cloned().collect(), command: self.command.clone() };
        let path = folder.join("build.json");
        let text = serde_json::to_vec(&built).unwrap_or_default();
        fs::write(&path, text).map_err(|error| RevisionError::Write { path, error })?;
        Ok(Build { benches, counter, folder: folder.to_owned() })
    }

    /// Same key, same binaries: of the tree, the toolchain, whatever cargo is told, and what this gate
    /// makes of a build.
    fn build_key(&self, revision: &Revision, what: &str) -> String {
        let version = Command::new("rustc").arg("-vV").output();
        let version = version.map(|output| output.stdout).unwrap_or_default();
        let flags = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];
        let flags = flags.map(|name| format!("{name}={:?}", std::env::var_os(name)));
        let gate = concat!(env!("CARGO_PKG_VERSION"), " of the gate");
        let mut hash = Sha256::new();
        for part in [&revision.tree, what, &self.command, &self.prefix(), gate] {
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

    /// Cargo's configuration files that hold in the exported tree but are not in it: those of the
    /// folders above, and of cargo's home.
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

    /// Removes all builds but the latest and `kept`.
    fn remove_old_builds(&self, kept: &Path) {
        let builds = fs::read_dir(self.folder.join("builds")).into_iter().flatten().flatten();
        let mut builds: Vec<_> = builds
            .filter(|build| build.path() != kept)
            .map(|build| (build.metadata().and_then(|meta| meta.modified()).ok(), build.path()))
            .collect();
        builds.sort();
        for (_, old) in builds.iter().rev().skip(KEPT_BUILDS - 1) {
            // What cannot be removed is tried again after the next build.
            let _ = fs::remove_dir_all(old);
        }
    }

    fn make(&self, folder: &Path) -> Result<(), RevisionError> {
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
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(RevisionError::Git { command: words.join(" "), said });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim_end_matches('\n').to_owned())
    }
}

/// Packages of the workspace of a package: what a change can change. They are built in one codegen unit each,
/// as what is inlined must not depend on what else is in the crate: of sixteen, a pair that was added
/// to one family has changed the instructions of a pair of another by a third.
fn members(package: &Path) -> Vec<String> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(package);
    let output = interrupt::output_of_child(command.stdin(Stdio::null()).stderr(Stdio::null()));
    // What is wrong with it cargo says when it builds.
    let metadata = output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let metadata: Metadata = metadata.unwrap_or_default();
    metadata.packages.into_iter().map(|package| package.name).collect()
}

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// What cargo tells of a workspace.
#[derive(Default, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// What is in the folder of a build.
#[derive(Serialize, Deserialize)]
struct Built {
    benches: Vec<String>,
    command: String,
}

/// A message of cargo on something that it has built.
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
