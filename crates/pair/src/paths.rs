//! Places on disk: the suite's own folder under `target/`, data files, fixtures.
//!
//! Only cargo knows where its target folder is: the harness asks it and calls [`settle`]. Without that, as in unit
//! tests, it is the folder that holds this executable.
//!
//! The temporary folders of a process are named after its id and start time. The next process can therefore recognise
//! and remove those that a killed process left behind, even if the system has given the id to another process.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use tempfile::TempDir;

use crate::{case::fnv1a, unavailable::Unavailable};

static TARGET: OnceLock<PathBuf> = OnceLock::new();

/// Sets cargo's target folder for this process. Only the first call has an effect.
pub fn settle(target: PathBuf) {
    // This fails if it is already set.
    let _ = TARGET.set(target);
}

/// Returns the folder of runs, fixtures and data: `$WORTHIT_HOME`, else `worthit/` in cargo's target folder.
pub fn home() -> PathBuf {
    from_environment("WORTHIT_HOME", Path::new("")).unwrap_or_else(|| target().join("worthit"))
}

/// Returns cargo's target folder, as [`settle`] set it, or else the one that holds this executable.
pub fn target() -> PathBuf {
    let settled = TARGET.get().cloned().or_else(own_target);
    settled.unwrap_or_else(|| absolute(Path::new("target")))
}

/// Returns the nearest folder above this executable that cargo has marked as its own (`CACHEDIR.TAG`). It is cargo's
/// target folder or its build folder; `None` if the executable was moved elsewhere.
pub fn own_target() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    exe.ancestors().skip(1).find(|dir| dir.join("CACHEDIR.TAG").is_file()).map(Path::to_owned)
}

/// Returns the absolute path that an environment variable names; `None` if it is unset or empty. A relative path starts
/// in `folder`, which itself may be relative to the current folder.
pub fn from_environment(name: &str, folder: &Path) -> Option<PathBuf> {
    let path = std::env::var_os(name).filter(|path| !path.is_empty())?;
    Some(absolute(&folder.join(path)))
}

/// An error means that the current folder is gone: what follows fails with a message that names the path.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns the folder of data files that must be durable: `$WORTHIT_DATA`, else `data/` in [`home`].
pub fn data() -> PathBuf {
    from_environment("WORTHIT_DATA", Path::new("")).unwrap_or_else(|| home().join("data"))
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

/// Makes a folder as [`scratch`] does, on a file system where a flush reaches a device and a read past the page cache asks it.
///
/// # Errors
/// If the folder cannot be made, or is on a file system in memory.
pub fn durable_scratch() -> Result<TempDir, Unavailable> {
    let scratch = scratch()?;
    match filesystem(scratch.path()).as_deref() {
        Ok(memory @ ("tmpfs" | "ramfs")) => Err(Unavailable(format!(
            "not measured: {} is in memory ({memory}); set WORTHIT_DATA to a folder on a disk",
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

/// A process: its id, and its start time in ticks since boot, because the system reuses ids.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner {
    pid: u32,
    start: u64,
}

impl Owner {
    fn this() -> Owner {
        let pid = std::process::id();
        Owner { pid, start: start_ticks(pid).unwrap_or(0) }
    }

    fn prefix(self) -> String {
        format!("pid-{}-{}-", self.pid, self.start)
    }

    /// Reads the owner from the name of a temporary folder.
    fn of(name: &str) -> Option<Owner> {
        let mut parts = name.strip_prefix("pid-")?.split('-');
        Some(Owner { pid: parts.next()?.parse().ok()?, start: parts.next()?.parse().ok()? })
    }

    fn is_alive(self) -> bool {
        start_ticks(self.pid) == Some(self.start)
    }
}

/// Returns when a process started, in ticks since boot (field 22 of `/proc/PID/stat`, see proc(5)).
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may contain spaces.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

fn own_prefix() -> String {
    Owner::this().prefix()
}

/// Removes the temporary folders of this process, for an exit that does not drop them.
pub fn remove_own() {
    for path in OWNED.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        // This fails if the folder is already gone.
        let _ = fs::remove_dir_all(path);
    }
    let this = Owner::this();
    remove_where(|owner| owner == this);
}

/// Removes the temporary folders of processes that no longer exist.
pub fn remove_abandoned() {
    remove_where(|owner| !owner.is_alive());
}

fn remove_where(matches: impl Fn(Owner) -> bool) {
    for folder in [data(), home().join("fixtures")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let owner = entry.file_name().to_str().and_then(Owner::of);
            if owner.is_some_and(&matches) {
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
    fn a_process_is_told_apart_from_a_later_one_with_its_id() {
        let this = Owner::this();
        assert!(this.is_alive() && this.start > 0);
        assert!(Owner::of(&(this.prefix() + "x1")) == Some(this));
        assert!(!Owner { start: this.start + 1, ..this }.is_alive());
        for other in ["pid-", "pid-7", "pid-7-x-", "orders-1-2"] {
            assert!(Owner::of(other).is_none(), "{other}");
        }
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
