//! The CPU time that servers have spent on this machine: of those that run, and of those that have ended. It never falls.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::processes;

/// What is known about the servers of this process so far.
struct Spent {
    /// What each has spent when it was last asked, by the process that all of it descends from.
    running: BTreeMap<u32, Duration>,
    /// What those have spent that this process has started and that have ended.
    ended: Duration,
}

static SPENT: Mutex<Spent> = Mutex::new(Spent { running: BTreeMap::new(), ended: Duration::ZERO });

fn spent() -> MutexGuard<'static, Spent> {
    // A panic cannot leave the numbers inconsistent.
    SPENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the time of a process and of all that it starts from now on.
pub fn count(root: u32) {
    spent().running.entry(root).or_default();
}

/// Waits for a child process that has been counted, and keeps its time. It must be about to end: meanwhile nobody learns
/// the total.
pub fn wait_for(child: u32) {
    let mut spent = spent();
    let before = spent.running.remove(&child).unwrap_or_default();
    // An error means that it has been waited for.
    let whole = processes::wait_for(child).unwrap_or_default();
    spent.ended += before.max(whole);
}

/// Returns the time of all so far.
pub fn total() -> Duration {
    let mut spent = spent();
    for (root, time) in &mut spent.running {
        // What has ended is known less exactly than what runs, so the sum may fall by some milliseconds.
        *time = processes::cpu_time(*root).max(*time);
    }
    spent.ended + spent.running.values().sum::<Duration>()
}
