//! The cores that this process may run on, and keeping its threads on some of them.

use std::{fs, sync::OnceLock};

use rustix::{
    io::Result,
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The cores that the calling thread may run on, ascending; core 0 if the system does not tell.
pub fn allowed() -> Vec<usize> {
    sched_getaffinity(None).map_or_else(
        |_| vec![0],
        |set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
    )
}

/// The cores among which threads are spread: those that were allowed when this was first asked.
pub fn at_first() -> &'static [usize] {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    CORES.get_or_init(allowed)
}

/// This core alone.
fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}

/// Keeps the calling thread on this core.
///
/// # Errors
/// If the system does not allow it.
pub fn keep_on(core: usize) -> Result<()> {
    sched_setaffinity(None, &only(core))
}

/// Keeps the calling thread on one of `cores`, the `nth` in turn.
///
/// # Errors
/// If the system does not allow it.
pub fn keep_on_one_of(cores: &[usize], nth: usize) -> Result<()> {
    keep_on(cores[nth % cores.len()])
}

/// Keeps every thread of this process on this core, and those that they start.
///
/// # Errors
/// If the system does not allow it.
pub fn keep_all_on(core: usize) -> Result<()> {
    keep_each(|_| core);
    keep_on(core)
}

/// Spreads the threads of this process over its cores, in the order in which they were started.
pub fn spread_all() {
    let cores = at_first();
    keep_each(|nth| cores[nth % cores.len()]);
}

/// Keeps the `nth` thread of this process on `core(nth)`, as far as that is allowed.
fn keep_each(core: impl Fn(usize) -> usize) {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut ids: Vec<i32> =
        tasks.filter_map(|task| task.file_name().to_string_lossy().parse().ok()).collect();
    ids.sort_unstable();
    for (nth, id) in ids.into_iter().enumerate() {
        // A thread may have ended meanwhile.
        let _ = sched_setaffinity(Pid::from_raw(id), &only(core(nth)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_on_the_core_it_is_kept_on() {
        let cores = allowed();
        std::thread::spawn(move || {
            for nth in 0..2 * cores.len() {
                keep_on_one_of(&cores, nth).unwrap();
                assert_eq!(allowed(), [cores[nth % cores.len()]]);
                assert_eq!(rustix::thread::sched_getcpu(), cores[nth % cores.len()]);
            }
        })
        .join()
        .unwrap();
    }
}
