//! Folders of servers: made by the process that removes them, and found by the next server if even that was killed.
//!
//! A server holds a lock in its folder while any of its processes lives. A folder whose lock is free was abandoned.

use std::{
    env,
    ffi::CString,
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf, absolute},
};

use rustix::fs::{FlockOperation, Mode, OFlags, chmod, flock, mkdir, open, rename};

/// How the names of the folders begin.
const PREFIX: &str = "worthit-server-";
/// File in the folder that its server has locked.
const LOCK: &str = "lock";

/// A folder that is still to be made.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Its path for system calls, that of its lock until it is locked, and from then on.
    names: [CString; 3],
}

impl Folder {
    /// Chooses a folder, and removes those that were abandoned.
    ///
    /// # Errors
    /// If the folder above it cannot be made.
    pub fn choose() -> io::Result<Folder> {
        // The supervisor removes the folder from another current folder.
        let parent = absolute(parent())?;
        fs::create_dir_all(&parent)?;
        remove_abandoned(&parent);
        let path = parent.join(format!("{PREFIX}{:016x}", fastrand::u64(..)));
        let name = |path: PathBuf| CString::new(path.as_os_str().as_bytes());
        let names = [name(path.clone())?, name(path.join("new"))?, name(path.join(LOCK))?];
        Ok(Folder { path, names })
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it and locks it for this process and those that it executes or starts, until the last of them ends. It makes
    /// system calls only.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn make(&self) -> io::Result<()> {
        let [folder, new, lock] = &self.names;
        // A server may run as another user, who has a folder of its own in this one.
        let mode = Mode::RWXU | Mode::XGRP | Mode::XOTH;
        mkdir(folder, mode)?;
        chmod(folder, mode)?;
        // The lock is held before another process can find it.
        let locked = open(new, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR | Mode::WUSR)?;
        flock(&locked, FlockOperation::LockExclusive)?;
        rename(new, lock)?;
        std::mem::forget(locked);
        Ok(())
    }
}

/// Returns the folder that holds those of servers: `$WORTHIT_DATA`, or `/var/tmp`, which every user can enter and which is
/// on a disk.
fn parent() -> PathBuf {
    let named = env::var_os("WORTHIT_DATA").filter(|folder| !folder.is_empty());
    named.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

/// Removes the folders that no server uses any more.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // A folder that was made this moment has no lock yet.
        let lock = is_ours.then(|| File::open(entry.path().join(LOCK))).and_then(Result::ok);
        if lock.is_some_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            // If this fails, the next server tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_whose_lock_is_free_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let [abandoned, used, new, other] =
            ["worthit-server-a", "worthit-server-b", "worthit-server-c", "orders"].map(make);
        let lock = |path: &Path| File::create(path.join(LOCK)).unwrap();
        lock(&abandoned);
        lock(&other);
        let held = lock(&used);
        flock(&held, FlockOperation::LockExclusive).unwrap();
        remove_abandoned(parent.path());
        let exist = [&abandoned, &used, &new, &other].map(|path| path.exists());
        assert_eq!(exist, [false, true, true, true]);
        drop(held);
        remove_abandoned(parent.path());
        assert!(!used.exists());
    }
}
