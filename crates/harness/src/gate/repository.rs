//! The git repository of the gate's package. The gate only reads it.
//!
//! The gate registers no worktree, and it writes the index and the objects of a dirty tree to a folder of its own.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::revision::{Revision, RevisionError};
use crate::interrupt;
use worthit_pair::paths;

/// Variables by which git finds a repository. A hook sets them for its own repository.
pub(super) const GIT_VARIABLES: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_PREFIX",
];
/// Mode of a submodule in a tree.
const SUBMODULE: &str = "160000";

/// A git repository.
#[derive(Debug)]
pub struct Repository {
    /// Root folder of the working tree.
    pub top: PathBuf,
    /// Git's index and object folder.
    git_index: PathBuf,
    git_objects: PathBuf,
    /// Folder of the git folders of submodules.
    git_modules: PathBuf,
    /// List of the commits whose parents a shallow clone lacks; exists only in such a clone.
    git_shallow: PathBuf,
    /// The gate's own folder.
    folder: PathBuf,
}

impl Repository {
    /// Returns the repository around a package, which keeps the gate's files in `folder`.
    ///
    /// # Errors
    /// If there is no repository, or git cannot be run.
    pub fn around(package: &Path, folder: &Path) -> Result<Repository, RevisionError> {
        let paths = Command::new("git")
            .arg("-C")
            .arg(package)
            .args(["rev-parse", "--path-format=absolute", "--show-toplevel"])
            .args(
                ["index", "objects", "modules", "shallow"]
                    .map(|name| ["--git-path", name])
                    .concat(),
            )
            .output()
            .map_err(RevisionError::NoGit)?;
        if !paths.status.success() {
            let message = String::from_utf8_lossy(&paths.stderr).trim().to_owned();
            return Err(RevisionError::NoRepository(message));
        }
        let paths = String::from_utf8_lossy(&paths.stdout).into_owned();
        let mut paths = paths.lines().map(PathBuf::from);
        let mut path = || paths.next().unwrap_or_default();
        Ok(Repository {
            top: path(),
            git_index: path(),
            git_objects: path(),
            git_modules: path(),
            git_shallow: path(),
            folder: folder.to_owned(),
        })
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
        self.of_tree(name, commit, tree, false)
    }

    /// Returns the content of a file of a revision; `None` if the revision does not have the file.
    pub(super) fn file_of(&self, revision: &Revision, path: &Path) -> Option<String> {
        let name = path.to_str().filter(|name| revision.files.contains_key(*name))?;
        self.git(&["cat-file", "blob", &revision.files[name]]).ok()
    }

    /// Returns the working tree with its changed, added and removed files, but without ignored ones.
    ///
    /// # Errors
    /// If git fails.
    pub fn working_tree(&self) -> Result<Revision, RevisionError> {
        let commit = self.git(&["rev-parse", "HEAD"])?;
        let committed = self.git(&["rev-parse", "HEAD^{tree}"])?;
        let objects = self.own_objects();
        fs::create_dir_all(&objects)
            .map_err(|error| RevisionError::Write { path: objects, error })?;
        // Only one gate runs at a time, so this lock was left by a git that was killed.
        let _ = fs::remove_file(self.folder.join("index.lock"));
        self.copy_index()?;
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
        self.of_tree(name, commit, tree, dirty)
    }

    fn of_tree(
        &self,
        name: String,
        commit: String,
        tree: String,
        dirty: bool,
    ) -> Result<Revision, RevisionError> {
        let entries = entries(&self.git(&["ls-tree", "-r", "-z", "--full-tree", &tree])?);
        let submodules = submodules(&entries);
        let files = entries.into_iter().map(|entry| (entry.path, entry.id)).collect();
        Ok(Revision { name, commit, dirty, tree, files, submodules })
    }

    /// Returns the submodules of the working tree that have uncommitted changes.
    pub fn changed_submodules(&self, working_tree: &Revision) -> Vec<String> {
        let is_changed = |path: &&String| {
            let folder = self.top.join(path);
            let mut status = git_in(&folder);
            status.args(["status", "--porcelain"]);
            folder.join(".git").exists() && output(&mut status).is_ok_and(|text| !text.is_empty())
        };
        working_tree.submodules.keys().filter(is_changed).cloned().collect()
    }

    /// Returns those of `files` that git ignores, as paths from the repository's root.
    pub fn ignored(&self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let is_ignored = |file: &PathBuf| {
            let ignored = [OsStr::new("check-ignore"), OsStr::new("--quiet"), file.as_os_str()];
            self.git(&ignored).is_ok()
        };
        files.into_iter().filter(is_ignored).collect()
    }

    /// Copies git's index, so that unchanged files need not be hashed again.
    ///
    /// The copy keeps the modification time of the index. Git compares file times with it to detect files that
    /// were changed in the same second in which they were indexed.
    fn copy_index(&self) -> Result<(), RevisionError> {
        let index = self.own_index();
        let copied = fs::copy(&self.git_index, &index)
            .and_then(|_| fs::metadata(&self.git_index)?.modified())
            .and_then(|time| fs::File::options().write(true).open(&index)?.set_modified(time));
        match copied {
            Ok(()) => Ok(()),
            // Without an index, git hashes every file.
            Err(_) => match fs::remove_file(&index) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(RevisionError::Write { path: index, error })
                }
                _ => Ok(()),
            },
        }
    }

    /// Returns the pathspec that excludes cargo's target folder, unless git ignores that folder anyway.
    fn unignored_target(&self) -> Option<OsString> {
        let target = paths::target().canonicalize().ok()?;
        let inside = target.strip_prefix(&self.top).ok()?;
        let mut exclusion = OsString::from(":(exclude,top)");
        exclusion.push(inside);
        self.ignored(vec![inside.to_owned()]).is_empty().then_some(exclusion)
    }

    /// Path of the gate's own index.
    pub(super) fn own_index(&self) -> PathBuf {
        self.folder.join("index")
    }

    fn own_objects(&self) -> PathBuf {
        self.folder.join("objects")
    }

    /// Folders of the objects of every revision.
    pub(super) fn objects(&self) -> [PathBuf; 2] {
        [self.git_objects.clone(), self.own_objects()]
    }

    /// Folder of the git folders of submodules, whether they are checked out or not.
    pub(super) fn modules(&self) -> &Path {
        &self.git_modules
    }

    /// List of the commits whose parents a shallow clone lacks.
    pub(super) fn shallow(&self) -> &Path {
        &self.git_shallow
    }

    /// Runs git in the repository, with the gate's own index and object folder.
    pub(super) fn git<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String, RevisionError> {
        let objects = self.own_objects();
        let mut command = Command::new("git");
        command.current_dir(&self.top).args(arguments);
        if objects.is_dir() {
            command.env("GIT_INDEX_FILE", self.own_index());
            command.env("GIT_OBJECT_DIRECTORY", objects);
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.git_objects);
        }
        output(&mut command)
    }
}

/// An entry of a tree: a file or a submodule.
pub(super) struct Entry {
    mode: String,
    id: String,
    path: String,
}

/// Parses the output of `git ls-tree -z`.
pub(super) fn entries(listed: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let (meta, path) = line.split_once('\t')?;
        let mut meta = meta.split(' ');
        let (mode, id) = (meta.next()?.to_owned(), meta.nth(1)?.to_owned());
        Some(Entry { mode, id, path: path.to_owned() })
    };
    listed.split('\0').filter_map(entry).collect()
}

/// Returns the commits of submodules by path.
pub(super) fn submodules(entries: &[Entry]) -> BTreeMap<String, String> {
    let submodules = entries.iter().filter(|entry| entry.mode == SUBMODULE);
    submodules.map(|entry| (entry.path.clone(), entry.id.clone())).collect()
}

/// Git in a folder that belongs to another repository than the gate's package.
pub(super) fn git_in(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder);
    for name in GIT_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Returns what a git command prints.
pub(super) fn output(command: &mut Command) -> Result<String, RevisionError> {
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    // Without this, git refreshes the index of each submodule that it looks into.
    command.env("GIT_OPTIONAL_LOCKS", "0");
    let output = interrupt::output_of_child(command).map_err(RevisionError::NoGit)?;
    if !output.status.success() {
        let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(RevisionError::Git { command: words.join(" "), message });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim_end_matches('\n').to_owned())
}
