//! The cores that this process may run on, and keeping a thread on one of them.

use rustix::{
    io::Result,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The cores that the calling thread may run on, ascending; core 0 if the system does not tell.
pub fn allowed() -> Vec<usize> {
    sched_getaffinity(None).map_or_else(
        |_| vec![0],
        |set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
    )
}

/// This core alone.
pub fn only(core: usize) -> CpuSet {
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
