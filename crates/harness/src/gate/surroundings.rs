//! Where a revision is built: outside of every checkout, with the surroundings of the real repository.
//!
//! Cargo, rustup and the compiler read files around a repository: configuration, pinned toolchains and workspaces above
//! it, path dependencies and included files beside it. A revision that is exported to a folder inside the checkout finds
//! those of the checkout instead, and one that is exported to a folder of its own finds none.
//!
//! A revision is therefore exported to a *mirror*, `<root>/<absolute path of the repository>`. Each folder above the
//! repository is a folder there too, and its other entries are links to the real ones. The same checkout always gets the
//! same root, because a crate at another path has other symbols.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    process::geteuid,
};
use sha2::{Digest, Sha256};

use worthit_pair::paths;

/// Files that cargo and rustup look for in a package's folder and in each folder above it.
pub(super) const LOOKED_UP: [&str; 5] =
    [".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain", "Cargo.toml"];
/// Cargo's lock file. Cargo writes to it, so it is never linked.
pub(super) const LOCK: &str = "Cargo.lock";

/// The place of a repository's mirror.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Folder that stands for `/`.
    root: PathBuf,
    /// Root folder of the real repository.
    repository: PathBuf,
    /// Files above the mirror that cargo or rustup read, although they are not above the real repository.
    foreign: Vec<PathBuf>,
}

impl Surroundings {
    /// Chooses a place for the mirror of a repository, for the gate whose files are in `home`.
    ///
    /// The place has no files above it that cargo or rustup would read. If there is none, it is in `home`.
    pub fn choose(repository: &Path, home: &Path) -> Surroundings {
        // `/var/tmp` is first, because `TMPDIR` may name another folder in each session.
        let shared = [PathBuf::from("/var/tmp"), std::env::temp_dir()];
        Surroundings::among(&shared, repository, home)
    }

    fn among(shared: &[PathBuf], repository: &Path, home: &Path) -> Surroundings {
        let name = name(repository, home);
        let mut candidates = shared
            .iter()
            .filter_map(|folder| Some(folder.canonicalize().ok()?.join(&name)))
            .filter(|root| is_available(root) && foreign_files(root, repository).is_empty());
        let in_home = || home.canonicalize().unwrap_or_else(|_| home.to_owned()).join(&name);
        let root = candidates.next().unwrap_or_else(in_home);
        let foreign = foreign_files(&root, repository);
        Surroundings { root, repository: repository.to_owned(), foreign }
    }

    /// Returns a note for the reader if both builds read files that the real repository would not.
    pub fn note(&self) -> Option<String> {
        let foreign: Vec<_> = self.foreign.iter().map(|file| file.display().to_string()).collect();
        (!foreign.is_empty()).then(|| {
            format!(
                "both builds read {}, because no temporary folder outside of a cargo project is writable; \
                 set TMPDIR to such a folder",
                foreign.join(" and ")
            )
        })
    }

    /// Returns the path of a file of the real repository in the mirror.
    pub fn mirrored(&self, real: &Path) -> PathBuf {
        self.root.join(real.strip_prefix("/").unwrap_or(real))
    }

    /// Returns the real path of a folder in the mirror.
    pub(super) fn real(&self, mirrored: &Path) -> Option<PathBuf> {
        Some(Path::new("/").join(mirrored.strip_prefix(&self.root).ok()?))
    }

    /// Makes the mirror, with an empty folder for the repository. It is removed when the returned value is dropped, and
    /// when the process is interrupted.
    ///
    /// # Errors
    /// If the place belongs to another user or cannot be written to.
    pub fn mirror(&self) -> io::Result<paths::Owned> {
        fs::create_dir_all(self.root.parent().unwrap_or(Path::new("/")))?;
        // Checked again: whoever may write to a temporary folder may have made it since.
        if !is_available(&self.root) {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let mirror = paths::Owned::new(self.root.clone());
        fs::DirBuilder::new().mode(0o700).create(&self.root)?;
        let (mut real, mut mirrored) = (PathBuf::from("/"), self.root.clone());
        for component in self.repository.iter().skip(1) {
            self.link_entries(&real, &mirrored, component)?;
            real.push(component);
            mirrored.push(component);
            fs::create_dir(&mirrored)?;
        }
        Ok(mirror)
    }

    /// Links the entries of a folder above the repository, except the next folder on the way to it.
    fn link_entries(&self, real: &Path, mirrored: &Path, next: &OsStr) -> io::Result<()> {
        for name in entries(real).into_iter().filter(|name| name != next) {
            let (from, to) = (real.join(&name), mirrored.join(&name));
            // Cargo would read this configuration twice: it also is in cargo's home, or above the mirror.
            let is_read_anyway =
                name == ".cargo" && (self.root.starts_with(real) || is_cargo_home(&from));
            if is_read_anyway || from == self.root {
                continue;
            }
            if name == LOCK {
                fs::copy(&from, &to)?;
            } else {
                symlink(&from, &to)?;
            }
        }
        Ok(())
    }
}

/// Returns the name of a mirror's root, which no other checkout and no other user has.
fn name(repository: &Path, home: &Path) -> String {
    let mut hash = Sha256::new();
    for path in [repository, home] {
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update([0]);
    }
    let hash: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("worthit-gate-{}-{hash}", geteuid().as_raw())
}

/// Returns whether this user can make the folder `root`, or has made it earlier.
fn is_available(root: &Path) -> bool {
    match fs::symlink_metadata(root) {
        Ok(found) => found.is_dir() && found.uid() == geteuid().as_raw(),
        Err(_) => root
            .parent()
            .is_some_and(|parent| access(parent, Access::WRITE_OK | Access::EXEC_OK).is_ok()),
    }
}

/// Returns the files above `root` that cargo or rustup read, except those that are above the repository too.
fn foreign_files(root: &Path, repository: &Path) -> Vec<PathBuf> {
    let above_repository = repository.parent();
    let is_foreign = |folder: &&Path| !above_repository.is_some_and(|it| it.starts_with(folder));
    let folders = root.ancestors().skip(1).filter(is_foreign);
    let files = folders.flat_map(|folder| LOOKED_UP.map(|name| folder.join(name)));
    files.filter(|file| file.is_file() && !file.parent().is_some_and(is_cargo_home)).collect()
}

/// Returns cargo's home folder.
pub(super) fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

fn is_cargo_home(folder: &Path) -> bool {
    let home = cargo_home().and_then(|home| home.canonicalize().ok());
    home.is_some_and(|home| folder.canonicalize().is_ok_and(|folder| folder == home))
}

/// Returns the names in a folder; if it cannot be listed, those that may be looked up in it.
fn entries(folder: &Path) -> Vec<OsString> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
        Err(_) => {
            let names = LOOKED_UP.into_iter().skip(1).chain([LOCK]);
            let names = names.map(|name| name.split('/').next().unwrap_or(name));
            names.filter(|name| folder.join(name).exists()).map(OsString::from).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folder with the given files, for a repository at `work/repository` and the gate's files in `home`.
    fn place(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().canonicalize().unwrap();
        for folder in ["work/repository", "home", "clean", "project/inner"] {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        for file in files {
            fs::create_dir_all(top.join(file).parent().unwrap()).unwrap();
            fs::write(top.join(file), "text").unwrap();
        }
        (place, top)
    }

    #[test]
    fn the_place_is_the_first_that_no_project_is_above() {
        for file in LOOKED_UP {
            let (_place, top) = place(&[&format!("project/{file}")]);
            let (repository, home) = (top.join("work/repository"), top.join("home"));
            let among = |shared: &[&str]| {
                let shared: Vec<PathBuf> = shared.iter().map(|name| top.join(name)).collect();
                Surroundings::among(&shared, &repository, &home)
            };
            let chosen = among(&["gone", "project/inner", "clean"]);
            assert_eq!(chosen.root.parent(), Some(top.join("clean").as_path()), "{file}");
            assert_eq!(chosen.note(), None);
            let home_is_last = among(&["project/inner"]);
            assert_eq!(home_is_last.root.parent(), Some(home.as_path()));
        }
    }

    #[test]
    fn what_is_above_the_repository_too_may_be_above_the_mirror() {
        let (_place, top) = place(&[".cargo/config.toml"]);
        let (repository, home) = (top.join("work/repository"), top.join("home"));
        let chosen = Surroundings::among(&[top.join("clean")], &repository, &home);
        assert_eq!(chosen.root.parent(), Some(top.join("clean").as_path()));
        // Cargo would read it twice.
        let _mirror = chosen.mirror().unwrap();
        assert!(!chosen.mirrored(&top.join(".cargo")).exists());
    }

    #[test]
    fn without_a_clean_place_a_note_says_what_is_read() {
        let (_place, top) = place(&["home/Cargo.toml"]);
        let home = top.join("home/gate");
        fs::create_dir(&home).unwrap();
        let chosen = Surroundings::among(&[], &top.join("work/repository"), &home);
        let manifest = top.join("home/Cargo.toml");
        let note = chosen.note().unwrap();
        assert!(note.starts_with(&format!("both builds read {},", manifest.display())), "{note}");
    }

    #[test]
    fn a_mirror_has_what_is_around_the_repository_and_writes_nothing_there() {
        let (_place, top) =
            place(&["work/Cargo.lock", "work/other/file", "work/repository/file", "file"]);
        let repository = top.join("work/repository");
        let chosen = Surroundings::among(&[top.join("clean")], &repository, &top.join("home"));
        let mirror = chosen.mirror().unwrap();
        let mode = fs::metadata(mirror.path()).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let mirrored = chosen.mirrored(&repository);
        assert_eq!(fs::read_dir(&mirrored).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(mirrored.join("../other/file")).unwrap(), "text");
        assert_eq!(fs::read_to_string(mirrored.join("../../file")).unwrap(), "text");
        fs::write(mirrored.join("../Cargo.lock"), "changed").unwrap();
        assert_eq!(fs::read_to_string(top.join("work/Cargo.lock")).unwrap(), "text");
        // A mirror that a killed gate left is replaced, and what it links to stays.
        let again = chosen.mirror().unwrap();
        assert_eq!(fs::read_to_string(mirrored.join("../Cargo.lock")).unwrap(), "text");
        let root = again.path().to_owned();
        drop(again);
        assert!(!root.exists());
        assert_eq!(fs::read_to_string(top.join("work/other/file")).unwrap(), "text");
    }

    #[test]
    fn a_folder_that_is_not_ours_is_not_used() {
        let (_place, top) = place(&[]);
        let (repository, home) = (top.join("work/repository"), top.join("home"));
        let foreign = top.join("clean").join(name(&repository, &home));
        symlink(top.join("work"), &foreign).unwrap();
        let chosen = Surroundings::among(&[top.join("clean")], &repository, &home);
        assert_eq!(chosen.root.parent(), Some(home.as_path()));
        // The same if it appears after the choice.
        fs::remove_file(&foreign).unwrap();
        let chosen = Surroundings::among(&[top.join("clean")], &repository, &home);
        symlink(top.join("work"), &foreign).unwrap();
        assert!(chosen.mirror().is_err());
        assert!(repository.is_dir() && fs::symlink_metadata(&foreign).unwrap().is_symlink());
    }
}
