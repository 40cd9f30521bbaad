//! Ctrl-C: end own children, remove temporary files, exit 130 at once.
//!
//! Nothing has to be saved then: every finished case is already on disk, and a file that is being
//! written is finished first.

use std::{
    io,
    process::{Child, Command, ExitStatus},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, waitid,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};

use worthit_pair::{causes, paths};

/// Exit status after an interrupt: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static WRITING: Mutex<()> = Mutex::new(());

/// Handles interrupts from now on.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn handle() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (started, has_started) = mpsc::channel();
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        causes::exclude_thread();
        // Nobody to tell is nobody who waits.
        let _ = started.send(());
        if signals.forever().next().is_some() {
            // Held until the process is gone: no file is left half written, no child is started.
            let _writing = uninterrupted();
            let children = lock(&CHILDREN);
            let pids = children.iter().filter_map(|id| Pid::from_raw(i32::try_from(*id).ok()?));
            let pids: Vec<Pid> = pids.collect();
            pids.iter().for_each(|pid| end(*pid));
            pids.iter().for_each(|pid| await_end(*pid));
            paths::remove_own();
            low_level::exit(INTERRUPTED);
        }
    })?;
    // What a thread allocates as it starts would be counted in whatever window is open by then.
    let _ = has_started.recv();
    Ok(())
}

/// Ends a child; if it leads a process group, as a cargo does here, then all that it has started.
fn end(child: Pid) {
    let leads = getpgid(Some(child)).is_ok_and(|group| group == child);
    // It may have ended by itself.
    let _ = if leads {
        kill_process_group(child, Signal::TERM)
    } else {
        kill_process(child, Signal::TERM)
    };
}

/// Waits until a child no longer writes where something is to be removed; its status is left to
/// whoever else waits for it.
fn await_end(child: Pid) {
    // An error says that it is gone.
    let _ = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
}

/// While the guard lives, an interrupt waits.
pub fn uninterrupted() -> MutexGuard<'static, ()> {
    lock(&WRITING)
}

/// Runs `command` to its end, and ends it if this process is interrupted.
///
/// # Errors
/// If it cannot be started or waited for.
pub fn run_child(command: &mut Command) -> io::Result<ExitStatus> {
    let mut child = spawn(command)?;
    let status = child.wait();
    forget(child.id());
    status
}

/// As [`run_child`], and returns what it prints to standard output.
///
/// # Errors
/// If it cannot be started or waited for.
pub fn output_of_child(command: &mut Command) -> io::Result<std::process::Output> {
    let child = spawn(command.stdout(std::process::Stdio::piped()))?;
    let id = child.id();
    let output = child.wait_with_output();
    forget(id);
    output
}

/// Starts `command`, and ends it if this process is interrupted before it is forgotten.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut children = lock(&CHILDREN);
    let child = command.spawn()?;
    children.push(child.id());
    Ok(child)
}

/// The child has ended.
pub(crate) fn forget(id: u32) {
    lock(&CHILDREN).retain(|child| *child != id);
}

/// A panic while a lock is held leaves nothing broken behind it here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
