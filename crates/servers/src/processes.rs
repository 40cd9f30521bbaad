//! What servers do as processes: whether they run, and what CPU time they have used.

use std::{io, time::Duration};

use procfs::process::{ProcState, Process};

/// Returns whether a process runs; a zombie does not.
pub fn is_running(pid: u32) -> bool {
    let stat = process(pid).and_then(|process| process.stat().ok());
    let state = stat.and_then(|stat| stat.state().ok());
    state.is_some_and(|state| !matches!(state, ProcState::Zombie | ProcState::Dead))
}

/// Returns the CPU time that a process and all that it has started have used so far; zero if it is gone.
///
/// Time of processes that have ended is known to a hundredth of a second, all other to the nanosecond.
pub fn cpu_time(pid: u32) -> Duration {
    let Some(process) = process(pid) else { return Duration::ZERO };
    let Ok(stat) = process.stat() else { return Duration::ZERO };
    // Of children that have been waited for.
    let ended = u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
    let ended = Duration::from_secs_f64(ended as f64 / ticks_per_second());
    let tasks = process.tasks().into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| task.children().ok()).flatten();
    own_cpu_time(process.pid) + ended + children.map(cpu_time).sum::<Duration>()
}

/// Returns the unit of CPU times in `/proc`. (`procfs` reads it where valgrind has nothing.)
fn ticks_per_second() -> f64 {
    // SAFETY: the call has no conditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ticks.max(1) as f64
}

/// Returns the CPU time of all threads of a process; zero if it is gone.
fn own_cpu_time(pid: i32) -> Duration {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock` and `time` are valid for writes for the duration of the calls.
    let is_known = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    if is_known { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
}

/// Returns whether a process runs the program `name`, as the system shortens it.
pub fn runs(pid: u32, name: &str) -> bool {
    let stat = process(pid).and_then(|process| process.stat().ok());
    stat.is_some_and(|stat| stat.comm == name[..name.len().min(15)])
}

fn process(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

/// Makes the calling thread an ordinary one, even if it has inherited real-time priority. It makes one system call.
///
/// # Errors
/// If the system refuses.
pub fn leave_real_time() -> io::Result<()> {
    let no_priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: `no_priority` is valid for reads for the duration of the call.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const no_priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
