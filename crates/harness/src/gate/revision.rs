//! A revision of the repository, and the reasons why one cannot be found or built.

use std::{collections::BTreeMap, io, path::PathBuf};

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
    pub(super) tree: String,
    /// Commit of each submodule, by the submodule's path from the repository's root.
    pub(super) submodules: BTreeMap<String, String>,
    /// Git's object id of each file, by the file's path from the repository's root.
    pub files: BTreeMap<String, String>,
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
    /// No package around the current folder has the command.
    #[error(
        "no package of this workspace has a binary `{command}`, which is this command; \
         run it in the package that has your pairs (`cargo run --release -p PACKAGE -- gate`)"
    )]
    NoCommand {
        /// Name of this command's binary.
        command: String,
    },
    /// Several packages of the workspace have the command.
    #[error(
        "several packages of this workspace have a binary `{command}`: {}; \
         name one (`cargo run --release -p PACKAGE -- gate`) or run it in the package's folder",
        candidates.join(", ")
    )]
    SeveralCommands {
        /// Name of this command's binary.
        command: String,
        /// Names of the packages.
        candidates: Vec<String>,
    },
    /// The revision does not contain the package.
    #[error("{name} has no {manifest}")]
    PackageMissing {
        /// Name of the revision.
        name: String,
        /// Path of the package's manifest from the repository's root.
        manifest: String,
    },
    /// This clone does not have the commit of a submodule.
    #[error(
        "{name} has the submodule `{path}` at {commit}, which this clone does not have; \
         fetch it (`git submodule update --init --recursive`, or `git fetch` in the submodule's folder)"
    )]
    SubmoduleMissing {
        /// Name of the revision.
        name: String,
        /// Path of the submodule from the repository's root.
        path: String,
        /// The missing commit.
        commit: String,
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
