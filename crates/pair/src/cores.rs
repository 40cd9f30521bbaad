//! The cores that this process may run on, and pinning its threads to some of them.

use std::{fs, sync::OnceLock};

use rustix::{
    io::Result,
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Returns the cores that the calling thread may run on, ascending; core 0 if the system does not report them.
pub fn allowed() -> Vec<usize> {
    sched_getaffinity(None).map_or_else(
        |_| vec![0],
        |set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
    )
}

/// Returns the cores over which threads are spread: those that were allowed at the first call.
pub fn at_first() -> &'static [usize] {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    CORES.get_or_init(allowed)
}

/// Returns the set of these cores.
fn set_of(cores: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    set
}

/// Pins the calling thread to this core.
///
/// # Errors
/// If the system does not allow it.
pub fn keep_on(core: usize) -> Result<()> {
    sched_setaffinity(None, &set_of(&[core]))
}

/// Pins the calling thread to the `nth` of `cores`, counted round-robin.
///
/// # Errors
/// If the system does not allow it.
pub fn keep_on_one_of(cores: &[usize], nth: usize) -> Result<()> {
    keep_on(cores[nth % cores.len()])
}

/// Pins every thread of this process to this core, and with them the threads that they start.
///
/// # Errors
/// If the system does not allow it.
pub fn keep_all_on(core: usize) -> Result<()> {
    keep_each(|_| set_of(&[core]));
    keep_on(core)
}

/// Pins the threads of this process to its cores round-robin, in the order in which they were started.
pub fn spread_all() {
    let cores = at_first();
    keep_each(|nth| set_of(&[cores[nth % cores.len()]]));
}

/// Lets every thread of this process run on all of its cores again.
pub fn release_all() {
    let cores = set_of(at_first());
    keep_each(|_| cores);
}

/// Pins the `nth` thread of this process to `cores(nth)`, as far as the system allows it.
fn keep_each(cores: impl Fn(usize) -> CpuSet) {
    let mut ids: Vec<i32> = tasks().collect();
    ids.sort_unstable();
    for (nth, id) in ids.into_iter().enumerate() {
        // This fails if the thread has ended in the meantime.
        let _ = sched_setaffinity(Pid::from_raw(id), &cores(nth));
    }
}

/// Returns the ids of the threads of this process, in no particular order.
fn tasks() -> impl Iterator<Item = i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_string_lossy().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::mpsc, thread};

    use rustix::thread::gettid;

    use super::*;

    #[test]
    fn a_thread_stays_on_the_core_it_is_pinned_to() {
        let cores = allowed();
        thread::spawn(move || {
            for nth in 0..2 * cores.len() {
                keep_on_one_of(&cores, nth).unwrap();
                assert_eq!(allowed(), [cores[nth % cores.len()]]);
                assert_eq!(rustix::thread::sched_getcpu(), cores[nth % cores.len()]);
            }
        })
        .join()
        .unwrap();
    }

    /// Runs in a separate process, as it would move the threads of all other tests too.
    #[test]
    fn the_threads_of_a_process_are_spread_then_pinned_to_one_core_then_released() {
        const CHILD: &str = "WORTHIT_TEST_SPREADS";
        if std::env::var_os(CHILD).is_none() {
            let name = "cores::tests::the_threads_of_a_process_are_spread_then_pinned_to_one_core_then_released";
            let this = std::env::current_exe().unwrap();
            let child = Command::new(this).args(["--exact", name]).env(CHILD, "1").output();
            let child = child.unwrap();
            let printed = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && printed.contains("1 passed"), "{printed}");
            return;
        }
        let cores = at_first();
        let (asks, answers): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (ask, asked) = mpsc::channel::<()>();
                let (answer, answers) = mpsc::channel();
                thread::spawn(move || {
                    for () in asked {
                        answer.send((gettid().as_raw_nonzero().get(), allowed())).unwrap();
                    }
                });
                (ask, answers)
            })
            .unzip();
        let ask = || -> Vec<(i32, Vec<usize>)> {
            asks.iter().for_each(|ask: &mpsc::Sender<()>| ask.send(()).unwrap());
            answers.iter().map(|answers: &mpsc::Receiver<_>| answers.recv().unwrap()).collect()
        };
        let mut thread_ids: Vec<i32> = tasks().collect();
        thread_ids.sort_unstable();
        spread_all();
        for (id, own) in ask() {
            let nth = thread_ids.iter().position(|task| *task == id).unwrap();
            assert_eq!(own, [cores[nth % cores.len()]]);
        }
        let last = *cores.last().unwrap();
        keep_all_on(last).unwrap();
        assert!(ask().iter().all(|(_, own)| *own == [last]));
        assert_eq!(allowed(), [last]);
        release_all();
        assert!(ask().iter().all(|(_, own)| own == cores));
        assert_eq!(allowed(), cores);
    }
}
