//! What servers have not ended or removed. The tests of the suite's commands use this file too.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use procfs::process::all_processes;

/// The id and the name of a process.
pub type Running = (i32, String);

/// Waits for something that becomes true within seconds.
pub fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    is_so()
}

/// Returns the processes whose current folder is in `folder`, also those whose folder is gone.
pub fn processes_in(folder: &Path) -> Vec<Running> {
    let processes = all_processes().unwrap().flatten();
    let within = processes.filter(|process| process.cwd().is_ok_and(|cwd| cwd.starts_with(folder)));
    let named = within.filter_map(|process| Some((process.pid, process.stat().ok()?.comm)));
    named.collect()
}

/// Returns the files and folders in `folder`.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Waits until no process and no file of a server is left in `folder`.
pub fn assert_nothing_is_left_in(folder: &Path) {
    let left = || (processes_in(folder), files_in(folder));
    assert!(eventually(|| left() == (vec![], vec![])), "{:?}", left());
}
