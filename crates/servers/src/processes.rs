//! What servers do as processes: whether they run, and what CPU time they have used.

use std::{io, time::Duration};

use procfs::{
    net::TcpState,
    process::{FDTarget, ProcState, Process},
};

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

/// Waits for a child process and returns the CPU time that it and all that it had waited for have used.
///
/// # Errors
/// If there is no such child.
pub fn wait_for(child: u32) -> io::Result<Duration> {
    let mut status = 0;
    // SAFETY: all zeros are a valid `rusage`, which has only numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: `status` and `usage` are valid for writes for the duration of the call.
        let waited =
            unsafe { libc::wait4(child.cast_signed(), &raw mut status, 0, &raw mut usage) };
        if waited > 0 {
            let time = |time: libc::timeval| {
                Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000)
            };
            return Ok(time(usage.ru_utime) + time(usage.ru_stime));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Returns whether a process of this user listens at a port of IPv4.
pub fn listens(pid: u32, port: u16) -> bool {
    let sockets = procfs::net::tcp().unwrap_or_default();
    let mut listening = sockets
        .iter()
        .filter(|socket| socket.state == TcpState::Listen && socket.local_address.port() == port);
    let files = process(pid).and_then(|process| process.fd().ok());
    let files: Vec<FDTarget> =
        files.into_iter().flatten().flatten().map(|file| file.target).collect();
    listening.any(|socket| files.contains(&FDTarget::Socket(socket.inode)))
}

/// Returns whether a process runs the program `name`, as the system shortens it.
pub fn runs(pid: u32, name: &str) -> bool {
    let stat = process(pid).and_then(|process| process.stat().ok());
    stat.is_some_and(|stat| stat.comm == name[..name.len().min(15)])
}

/// Returns the memory that a process and all that it has started hold, bytes. Pages that several processes share are divided
/// among them where the system says how many these are (PSS), and count in each elsewhere (RSS). Zero if it is gone.
pub fn memory(pid: u32) -> u64 {
    let Some(process) = process(pid) else { return 0 };
    let tasks = process.tasks().into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| task.children().ok()).flatten();
    own_memory(pid) + children.map(memory).sum::<u64>()
}

/// Returns the memory of one process.
fn own_memory(pid: u32) -> u64 {
    let of = |file: &str, name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    of("smaps_rollup", "Pss:").or_else(|| of("status", "VmRSS:")).unwrap_or(0) << 10
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn who_listens_at_a_port() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens(std::process::id(), port));
        assert!(!listens(1, port), "another process");
        drop(listener);
        assert!(!listens(std::process::id(), port), "nobody");
    }

    #[test]
    fn memory_that_is_held_is_counted() {
        let before = memory(std::process::id());
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(memory(std::process::id()) > before + (held.len() as u64) / 2);
        assert_eq!(memory(u32::MAX), 0, "no such process");
    }

    #[test]
    fn a_child_is_waited_for_once() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        assert!(wait_for(child.id()).is_ok());
        assert!(wait_for(child.id()).is_err());
        assert!(child.wait().is_err());
    }
}
