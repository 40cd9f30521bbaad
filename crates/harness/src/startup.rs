//! Starts a bench process: reads its flags, asks cargo where things are, and executes the binary again with the
//! arguments that criterion understands.
//!
//! Cargo starts a bench in its package's folder and tells it little. The process finds out the rest, hands it to itself
//! in environment variables and executes the binary again. Its own children inherit the variables.

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::{
    cargo::{self, Invocation, Workspace},
    criterion_pages,
    flags::{Flags, Mode, Threads},
};
use worthit_pair::{paths, threads};

/// Environment variable with what a process knows before it executes the binary again.
const HANDED_OVER: &str = "WORTHIT_STARTED";

/// A bench process that is ready to work.
#[derive(Debug)]
pub struct Started {
    /// Its flags.
    pub flags: Flags,
    /// Its arguments as they were given.
    pub arguments: Vec<String>,
    /// The cargo command that started it.
    pub invocation: Option<Invocation>,
    /// Names of the bench targets of its package; `None` if cargo did not tell.
    pub benches: Option<Vec<String>>,
}

/// What a process knows before it executes the binary again.
#[derive(Debug, Serialize, Deserialize)]
struct HandedOver {
    /// The process. Executing a program keeps the id; a child that inherits the variable has another one.
    pid: u32,
    arguments: Vec<String>,
    benches: Option<Vec<String>>,
}

impl HandedOver {
    fn read() -> Option<HandedOver> {
        let text = env::var(HANDED_OVER).ok()?;
        let handed_over: HandedOver = serde_json::from_str(&text).ok()?;
        (handed_over.pid == std::process::id()).then_some(handed_over)
    }
}

/// Reads the flags of a bench process of `package`. Where criterion will be used, it executes this binary again.
///
/// # Errors
/// If the binary cannot be executed again. Invalid flags end the process with status 2.
pub fn start(package: &str) -> Result<Started, std::io::Error> {
    let invocation = Invocation::of_parent();
    if let Some(HandedOver { arguments, benches, .. }) = HandedOver::read() {
        let program = "bench".to_owned();
        let flags = Flags::parse_from([&program].into_iter().chain(&arguments));
        ask_for_threads(&flags);
        return Ok(Started { flags, arguments, invocation, benches });
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let flags = Flags::parse();
    ask_for_threads(&flags);
    if flags.gate_worker {
        return Ok(Started { flags, arguments, invocation, benches: None });
    }
    let workspace = Workspace::ask(invocation.as_ref());
    let own = paths::own_target();
    let target = cargo::target_folder(invocation.as_ref(), workspace.as_ref(), own.as_deref());
    if let Some(target) = target {
        paths::settle(target);
    }
    let benches = workspace.map(|workspace| {
        workspace.benches(package).into_iter().map(str::to_owned).collect::<Vec<_>>()
    });
    if matches!(flags.mode(), Mode::List | Mode::Test) {
        return Ok(Started { flags, arguments, invocation, benches });
    }
    // Relative paths start where the user stands.
    let here = invocation.and_then(|invocation| invocation.folder).unwrap_or_default();
    let named = |name| paths::from_environment(name, &here);
    let home = named("WORTHIT_HOME").unwrap_or_else(paths::home);
    let criterion = named("CRITERION_HOME").unwrap_or_else(criterion_pages::home);
    let counter =
        named("WORTHIT_COUNTER").or_else(|| own_counter(&paths::target(), own.as_deref()?));
    let handed_over = HandedOver { pid: std::process::id(), arguments, benches };
    let mut again = Command::new(env::current_exe()?);
    again.args(flags.for_criterion());
    again.env(HANDED_OVER, serde_json::to_string(&handed_over)?);
    again.env("WORTHIT_HOME", home).env("CRITERION_HOME", criterion);
    again.envs(flags.threads.as_ref().map(|asked| (threads::VARIABLE, asked.to_string())));
    again.envs(counter.map(|counter| ("WORTHIT_COUNTER", counter)));
    again.envs(named("WORTHIT_DATA").map(|data| ("WORTHIT_DATA", data)));
    Err(again.exec())
}

/// Sets the numbers of threads that the flags ask for.
fn ask_for_threads(flags: &Flags) {
    if let Some(Threads(counts)) = &flags.threads
        && !counts.is_empty()
    {
        threads::ask_for(counts);
    }
}

/// Returns the path of the command that counts causes: `worthit`, which cargo puts into the folder of the profile in its
/// target folder. This executable is in the folder of the same profile, in the target or the build folder `own`.
fn own_counter(target: &Path, own: &Path) -> Option<PathBuf> {
    let exe = env::current_exe().ok()?;
    counter(target, exe.strip_prefix(own).ok()?)
}

/// `exe` is the path of a bench binary from its target or build folder: `release/deps/io-1234`, or with a platform
/// `x86_64-unknown-linux-musl/release/deps/io-1234`.
fn counter(target: &Path, exe: &Path) -> Option<PathBuf> {
    let kinds = ["deps", "build", "examples"];
    let is_kind =
        |part: &std::path::Component<'_>| kinds.iter().any(|kind| part.as_os_str() == *kind);
    let profile: PathBuf = exe.components().take_while(|part| !is_kind(part)).collect();
    (profile != exe).then(|| target.join(profile).join("worthit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counting_command_is_in_the_target_folder_of_the_same_profile() {
        let found = |exe: &str| counter(Path::new("/t"), Path::new(exe));
        assert_eq!(found("release/deps/io-1"), Some("/t/release/worthit".into()));
        assert_eq!(
            found("aarch64-x/release/deps/io-1"),
            Some("/t/aarch64-x/release/worthit".into())
        );
        assert_eq!(found("release/build/worthit/1/out/io-1"), Some("/t/release/worthit".into()));
        assert_eq!(found("elsewhere/io-1"), None);
    }

    #[test]
    fn what_was_handed_to_another_process_is_not_read() {
        let text = serde_json::to_string(&HandedOver { pid: 1, arguments: vec![], benches: None });
        let read: HandedOver = serde_json::from_str(&text.unwrap()).unwrap();
        assert_ne!(read.pid, std::process::id());
        assert!(HandedOver::read().is_none());
    }
}
