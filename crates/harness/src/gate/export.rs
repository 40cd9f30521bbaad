//! Exports the files of a revision to a folder.
//!
//! The folder gets what a checkout of the revision would have: its files, its submodules, the ignored files that cargo
//! or rustup read, and a git folder at the revision's commit, because build scripts ask git for it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    repository::{Repository, entries, git_in, output, submodules},
    revision::{Revision, RevisionError},
};

/// Exports a revision to `folder`, which must be empty.
///
/// `ignored` are files that git ignores, as paths from the repository's root.
///
/// # Errors
/// If git fails, a file cannot be written, or this clone lacks a submodule.
pub fn export(
    repository: &Repository,
    revision: &Revision,
    ignored: &[PathBuf],
    folder: &Path,
) -> Result<(), RevisionError> {
    repository.git(&["read-tree", &revision.tree])?;
    let mut prefix = folder.as_os_str().to_owned();
    prefix.push("/");
    let checkout = ["checkout-index", "-a", "-f", "--prefix"].map(OsStr::new);
    repository.git(&checkout.into_iter().chain([prefix.as_os_str()]).collect::<Vec<_>>())?;
    for (path, commit) in &revision.submodules {
        let submodule = Submodule {
            checkout: repository.top.join(path),
            git_folder: repository.modules().join(path),
            path: path.clone(),
            commit: commit.clone(),
        };
        submodule.export(&revision.name, &repository.own_index(), folder)?;
    }
    for file in ignored {
        let to = folder.join(file);
        if !to.exists() {
            copy(&repository.top.join(file), &to)
                .map_err(|error| RevisionError::Write { path: to, error })?;
        }
    }
    add_git_folder(repository, revision, folder)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
    fs::copy(from, to).map(drop)
}

/// A submodule of a revision, or of another submodule.
struct Submodule {
    /// Path from the root of the outermost repository.
    path: String,
    /// Commit that the revision names.
    commit: String,
    /// Its folder in the working tree, which may be empty.
    checkout: PathBuf,
    /// Folder in which git keeps it, even if the working tree does not have it.
    git_folder: PathBuf,
}

impl Submodule {
    /// Exports the submodule and its own submodules to their paths in `folder`.
    fn export(&self, revision: &str, index: &Path, folder: &Path) -> Result<(), RevisionError> {
        let git_folder = self.git_folder().ok_or_else(|| RevisionError::SubmoduleMissing {
            name: revision.to_owned(),
            path: self.path.clone(),
            commit: self.commit[..self.commit.len().min(12)].to_owned(),
        })?;
        let to = folder.join(&self.path);
        fs::create_dir_all(&to)
            .map_err(|error| RevisionError::Write { path: to.clone(), error })?;
        let git = |arguments: &[&str]| {
            let mut command = git_in(&to);
            command.env("GIT_DIR", &git_folder).env("GIT_WORK_TREE", &to);
            output(command.env("GIT_INDEX_FILE", index).args(arguments))
        };
        git(&["read-tree", &self.commit])?;
        git(&["checkout-index", "-a", "-f"])?;
        let listed = git(&["ls-tree", "-r", "-z", "--full-tree", &self.commit])?;
        let inner: BTreeMap<String, String> = submodules(&entries(&listed));
        for (path, commit) in inner {
            let submodule = Submodule {
                checkout: self.checkout.join(&path),
                git_folder: git_folder.join("modules").join(&path),
                path: format!("{}/{path}", self.path),
                commit,
            };
            submodule.export(revision, index, folder)?;
        }
        Ok(())
    }

    /// Returns the git folder that has the commit.
    fn git_folder(&self) -> Option<PathBuf> {
        // Without this check, git would find the repository around an empty folder.
        let is_checked_out = self.checkout.join(".git").exists();
        let own = || output(git_in(&self.checkout).args(["rev-parse", "--absolute-git-dir"])).ok();
        let checked_out = is_checked_out.then(own).flatten().map(PathBuf::from);
        let has_commit = |git_folder: &PathBuf| {
            let mut command = git_in(Path::new("/"));
            command.env("GIT_DIR", git_folder);
            let commit = format!("{}^{{commit}}", self.commit);
            git_folder.is_dir() && output(command.args(["cat-file", "-e", &commit])).is_ok()
        };
        [checked_out, Some(self.git_folder.clone())].into_iter().flatten().find(has_commit)
    }
}

/// Makes the export a git repository of its own, which borrows the objects of the real one.
///
/// A link to the real git folder would let a build script write to it, and would name the same commit for both
/// revisions.
fn add_git_folder(
    repository: &Repository,
    revision: &Revision,
    folder: &Path,
) -> Result<(), RevisionError> {
    let format = repository.git(&["rev-parse", "--show-object-format"])?;
    let format = format!("--object-format={format}");
    output(git_in(folder).args(["init", "--quiet", "--template=", &format, "."]))?;
    let git_folder = folder.join(".git");
    let objects = repository.objects().map(|folder| folder.to_string_lossy().into_owned() + "\n");
    let tags = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/tags"];
    let mut tags = repository.git(&tags)?;
    if !tags.is_empty() {
        tags.push('\n');
    }
    let write = |path: &Path, text: &str| {
        let written = fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| fs::write(path, text));
        written.map_err(|error| RevisionError::Write { path: path.to_owned(), error })
    };
    write(&git_folder.join("objects/info/alternates"), &objects.concat())?;
    write(&git_folder.join("packed-refs"), &tags)?;
    for (from, name) in [(repository.shallow(), "shallow"), (&repository.own_index(), "index")] {
        let to = git_folder.join(name);
        match fs::copy(from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(RevisionError::Write { path: to, error });
            }
            // Only a shallow clone has the list of its last commits.
            _ => (),
        }
    }
    let head = ["update-ref", "--no-deref", "HEAD", &revision.commit];
    output(git_in(folder).args(head)).map(drop)
}
