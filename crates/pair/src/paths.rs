//! Places on disk: the suite's own folder under `target/`, data files, fixtures.
//!
//! The temporary folders of a process are named after its process id. The next process can therefore recognise and
//! remove those that a killed process left behind.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tempfile::TempDir;

use crate::{case::fnv1a, unavailable::Unavailable};

/// Returns the folder of runs, fixtures and data: `$WORTHIT_HOME`, else `worthit/` in cargo's target folder.
pub fn home() -> PathBuf {
    std::env::var_os("WORTHIT_HOME").map_or_else(|| target().join("worthit"), PathBuf::from)
}

/// Returns cargo's target folder: `$CARGO_TARGET_DIR`, else the nearest folder above this executable that has a
/// `CACHEDIR.TAG`, else `target` in the current folder.
pub fn target() -> PathBuf {
    if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR") {
        return PathBuf::from(dir);
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let marked = exe.ancestors().skip(1).find(|dir| dir.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(|| PathBuf::from("target"), Path::to_owned)
}

/// Returns the folder of data files that must be durable: `$WORTHIT_DATA`, else `data/` in [`home`].
pub fn data() -> PathBuf {
    std::env::var_os("WORTHIT_DATA").map_or_else(|| home().join("data"), PathBuf::from)
}

/// Makes a folder in [`data`] for this process alone; it is removed when dropped.
///
/// # Errors
/// If the folder cannot be made.
pub fn scratch() -> Result<TempDir, Unavailable> {
    let data = data();
    let made = fs::create_dir_all(&data)
        .and_then(|()| tempfile::Builder::new().prefix(&own_prefix()).tempdir_in(&data));
    made.map_err(|error| {
        Unavailable(format!(
            "cannot make a data folder in {}: {error}; set WORTHIT_DATA to a writable folder",
            data.display()
        ))
    })
}

/// Makes a folder as [`scratch`] does, on a file system where a flush reaches a device.
///
/// # Errors
/// If the folder cannot be made, or is on a file system in memory, where a flush is free.
pub fn durable_scratch() -> Result<TempDir, Unavailable> {
    let scratch = scratch()?;
    match filesystem(scratch.path()).as_deref() {
        Ok(memory @ ("tmpfs" | "ramfs")) => Err(Unavailable(format!(
            "not measured: fsync is free here ({} is on {memory}); set WORTHIT_DATA to a folder on a disk",
            data().display()
        ))),
        _ => Ok(scratch),
    }
}

/// Returns the type of the file system that holds `path`, as `/proc/mounts` names it.
///
/// # Errors
/// If `path` does not exist, or the mounts cannot be read.
pub fn filesystem(path: &Path) -> io::Result<String> {
    let path = path.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let holding = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (mount, kind) = (fields.nth(1)?.replace("\\040", " "), fields.next()?);
        path.starts_with(&mount).then_some((mount.len(), kind))
    });
    // The longest mount point holds the path. Of two mounts at one place, the later one covers the earlier.
    let kind = holding.max_by_key(|(length, _)| *length).map(|(_, kind)| kind.to_owned());
    kind.ok_or_else(|| io::Error::other("no mount point holds it"))
}

/// A data file that is expensive to build.
#[derive(Clone, Copy, Debug)]
pub struct Fixture<'a> {
    /// What the file contains, for its name: "orders".
    pub name: &'a str,
    /// Text that changes whenever the generator does: `include_str!` of the generator's source.
    pub recipe: &'a str,
    /// Seed of the content.
    pub seed: u64,
    /// Size of the content.
    pub size: u64,
}

impl Fixture<'_> {
    /// Returns the path of the file, which `build(&path)` builds once for all processes. Copy it before changing it.
    ///
    /// # Errors
    /// If the file cannot be built.
    pub fn file(
        &self,
        build: impl FnOnce(&Path) -> Result<(), Unavailable>,
    ) -> Result<PathBuf, Unavailable> {
        let hash = fnv1a(self.recipe.bytes());
        let Fixture { name, seed, size, .. } = self;
        let folder = home().join("fixtures");
        let file = folder.join(format!("{name}-{size}-{seed:x}-{hash:016x}"));
        if file.exists() {
            return Ok(file);
        }
        let failed = |error: io::Error| {
            Unavailable(format!("cannot build the fixture {}: {error}", file.display()))
        };
        fs::create_dir_all(&folder).map_err(failed)?;
        let temp =
            tempfile::Builder::new().prefix(&own_prefix()).tempdir_in(&folder).map_err(failed)?;
        let built = temp.path().join("file");
        build(&built)?;
        // If two processes build it at once, the second replaces the file of the first by an equal one.
        fs::rename(&built, &file).map_err(failed)?;
        Ok(file)
    }
}

/// A folder that this process uses alone and that must be gone when the process ends, however it ends.
#[derive(Debug)]
pub struct Owned(PathBuf);

static OWNED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

impl Owned {
    /// Takes `path` for this process and removes what an earlier process left there.
    pub fn new(path: PathBuf) -> Owned {
        // This fails if there is nothing to remove.
        let _ = fs::remove_dir_all(&path);
        OWNED.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Owned(path)
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // This fails if the folder is already gone.
        let _ = fs::remove_dir_all(&self.0);
        OWNED.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| path != &self.0);
    }
}

fn own_prefix() -> String {
    format!("pid-{}-", std::process::id())
}

/// Removes the temporary folders of this process, for an exit that does not drop them.
pub fn remove_own() {
    for path in OWNED.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        // This fails if the folder is already gone.
        let _ = fs::remove_dir_all(path);
    }
    remove_where(|pid| pid == std::process::id());
}

/// Removes the temporary folders of processes that no longer exist.
pub fn remove_abandoned() {
    remove_where(|pid| !Path::new(&format!("/proc/{pid}")).exists());
}

fn remove_where(matches: impl Fn(u32) -> bool) {
    for folder in [data(), home().join("fixtures")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix("pid-")?.split('-').next());
            if pid.and_then(|pid| pid.parse().ok()).is_some_and(&matches) {
                // If this fails, the next process tries again.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_found_by_its_mount_point() {
        assert_eq!(filesystem(Path::new("/proc/self")).unwrap(), "proc");
        assert!(filesystem(Path::new("/no/such/place")).is_err());
    }

    #[test]
    fn a_fixture_is_built_once() {
        let fixture = Fixture {
            name: "test",
            recipe: &format!("{:?}", std::time::Instant::now()),
            seed: 1,
            size: 2,
        };
        let build = |path: &Path| fs::write(path, "built").map_err(|e| Unavailable(e.to_string()));
        let file = fixture.file(build).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "built");
        let again = fixture.file(|_| panic!("built twice")).unwrap();
        assert_eq!(file, again);
        let other = Fixture { seed: 2, ..fixture }.file(build).unwrap();
        assert_ne!(file, other);
        fs::remove_file(file).unwrap();
        fs::remove_file(other).unwrap();
    }

    #[test]
    fn a_scratch_folder_is_removed_when_dropped() {
        let scratch = scratch().unwrap();
        let path = scratch.path().to_owned();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }
}
