//! A bench process as a whole: how it ends, executes itself again, and serves the gate.

use std::{
    env, io,
    process::{Command, exit},
};

use crate::{gate::worker, interrupt, printing::say, servers};
use worthit_pair::{family::Family, paths};

/// Ends this process with a message, and leaves no temporary files behind.
pub fn fail(status: i32, message: &str) -> ! {
    say(message);
    servers::clean_up();
    exit(status)
}

/// Returns a command that executes this binary.
pub fn own_executable() -> Command {
    let exe = env::current_exe();
    Command::new(exe.unwrap_or_else(|error| fail(1, &format!("cannot find this binary: {error}"))))
}

/// Serves a gate until its requests end.
pub fn serve_gate(family: &Family) {
    if let Err(error) = interrupt::handle() {
        fail(1, &format!("cannot handle interrupts: {error}"));
    }
    paths::remove_abandoned();
    let served = worker::serve(family, io::stdin().lock(), io::stdout().lock());
    if let Err(error) = served {
        fail(1, &format!("cannot serve the gate: {error}"));
    }
    servers::clean_up();
}
