//! Handles Ctrl-C: ends our children, removes temporary files and exits with status 130 at once.
//!
//! An interrupt has nothing to save: every finished case is already on disk, and a file that is being
//! written is completed first.

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

use crate::printing::say;
use worthit_pair::{causes, paths};

/// Exit status after an interrupt: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static WRITING: Mutex<()> = Mutex::new(());
static MESSAGE: Mutex<Option<String>> = Mutex::new(None);

/// Sets the message that an interrupt prints: what is kept, and where.
pub fn say_when_interrupted(message: String) {
    *lock(&MESSAGE) = Some(message);
}

/// Starts to handle interrupts.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn handle() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (started, has_started) = mpsc::channel();
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        causes::exclude_thread();
        // Sending fails only if nobody waits for it.
        let _ = started.send(());
        if signals.forever().next().is_some() {
            // Hold both locks until exit, so that no file is half written and no child starts.
            let _writing = uninterrupted();
            let children = lock(&CHILDREN);
            let pids = children.iter().filter_map(|id| Pid::from_raw(i32::try_from(*id).ok()?));
            let pids: Vec<Pid> = pids.collect();
            pids.iter().for_each(|pid| end(*pid));
            pids.iter().for_each(|pid| await_end(*pid));
            paths::remove_own();
            if let Some(message) = lock(&MESSAGE).take() {
                say(&message);
            }
            low_level::exit(INTERRUPTED);
        }
    })?;
    // Wait: allocations of a starting thread would be counted in whatever window is open by then.
    let _ = has_started.recv();
    Ok(())
}

/// Ends a child, or its whole process group if it leads one (as our cargo children do).
fn end(child: Pid) {
    let leads = getpgid(Some(child)).is_ok_and(|group| group == child);
    // Ignore the error: the child may have ended already.
    let _ = if leads {
        kill_process_group(child, Signal::TERM)
    } else {
        kill_process(child, Signal::TERM)
    };
}

/// Waits for a child to end, so that it no longer writes into folders that we remove. Leaves its exit
/// status to the thread that waits for it.
fn await_end(child: Pid) {
    // An error means that it is gone.
    let _ = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
}

/// Delays interrupts while the guard lives.
pub fn uninterrupted() -> MutexGuard<'static, ()> {
    lock(&WRITING)
}

/// Runs `command` to its end, and ends it if this process is interrupted.
///
/// # Errors
/// If the command cannot be started or waited for.
pub fn run_child(command: &mut Command) -> io::Result<ExitStatus> {
    let mut child = spawn(command)?;
    let status = child.wait();
    forget(child.id());
    status
}

/// Like [`run_child`], and captures standard output.
///
/// # Errors
/// If the command cannot be started or waited for.
pub fn output_of_child(command: &mut Command) -> io::Result<std::process::Output> {
    let child = spawn(command.stdout(std::process::Stdio::piped()))?;
    let id = child.id();
    let output = child.wait_with_output();
    forget(id);
    output
}

/// Starts `command`, and ends it on an interrupt unless [`forget`] is called first.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut children = lock(&CHILDREN);
    let child = command.spawn()?;
    children.push(child.id());
    Ok(child)
}

/// Removes a child that has ended from the list.
pub(crate) fn forget(id: u32) {
    lock(&CHILDREN).retain(|child| *child != id);
}

/// Ignores poisoning: a panic cannot leave the data of these locks inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
