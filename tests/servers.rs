//! What is left of the servers when the command that uses them ends in a hurry, or when a server does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use procfs::process::all_processes;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use worthit_pair::{prelude::Program, proof::has_servers};

/// The command, counting what pairs do on both servers, with a folder of its own for their files.
struct Counting {
    process: Child,
    data: PathBuf,
    _folder: TempDir,
}

impl Counting {
    fn start(environment: &[(&str, &str)]) -> Counting {
        Counting::of(&["services/redis_pipeline", "services/pg_copy", "--quick"], environment)
    }

    fn of(arguments: &[&str], environment: &[(&str, &str)]) -> Counting {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_worthit"));
        command.arg("causes").args(arguments);
        command.env("WORTHIT_HOME", folder.path().join("home")).env("WORTHIT_DATA", "data");
        command.current_dir(folder.path());
        command.env_remove("WORTHIT_REDIS").env_remove("WORTHIT_POSTGRES");
        command.envs(environment.iter().copied()).stdin(Stdio::null());
        let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Counting { process, data, _folder: folder }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for the end, and then until no process and no file of a server is left.
    fn end(self) -> Output {
        let output = self.process.wait_with_output().unwrap();
        let left = || (processes_in(&self.data), files_in(&self.data));
        let nothing = || {
            let (processes, files) = left();
            processes.is_empty() && files.is_empty()
        };
        assert!(eventually(nothing), "{:?}", left());
        output
    }
}

/// Waits for something that becomes true within seconds.
fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    is_so()
}

/// Returns the ids and names of the processes whose current folder is in `folder`, also if that is gone.
fn processes_in(folder: &Path) -> Vec<(i32, String)> {
    let processes = all_processes().unwrap().flatten();
    let within = processes.filter(|process| process.cwd().is_ok_and(|cwd| cwd.starts_with(folder)));
    let named = within.filter_map(|process| Some((process.pid, process.stat().ok()?.comm)));
    named.collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn are_there() -> bool {
    has_servers(&[Program::Postgres, Program::Redis], "the end of servers")
}

#[test]
fn nothing_is_left_after_a_normal_end() {
    if !are_there() {
        return;
    }
    let output = Counting::start(&[]).end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("round_trips") && printed.contains("commits"), "{printed}");
}

#[test]
fn nothing_is_left_after_a_kill_or_an_interrupt_at_any_moment() {
    if !are_there() {
        return;
    }
    // PostgreSQL is the slower one to start and to end. (`crates/servers` tests Redis alike.)
    let counting = || Counting::of(&["services/pg_copy"], &[]);
    let start = Instant::now();
    counting().end();
    let whole = start.elapsed();
    let end_after = |signal, parts: u32| {
        for moment in 1..=parts {
            let counting = counting();
            thread::sleep(whole * moment / (parts + 1));
            counting.signal(signal);
            counting.end();
        }
    };
    end_after(Signal::KILL, 20);
    end_after(Signal::INT, 4);
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_case_is_named_and_nothing_is_left() {
    if !are_there() {
        return;
    }
    for (pair, program, name) in [
        ("services/redis_pipeline", "redis-server", "Redis"),
        ("services/pg_copy", "postgres", "PostgreSQL"),
    ] {
        let start = Instant::now();
        Counting::of(&[pair, "--quick"], &[]).end();
        let whole = start.elapsed();
        let mut has_failed = false;
        for moment in 1..=3 {
            let counting = Counting::of(&[pair, "--quick"], &[]);
            thread::sleep(whole * moment / 4);
            for (pid, _) in processes_in(&counting.data).iter().filter(|(_, name)| name == program)
            {
                let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
            }
            let output = counting.end();
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8(printed).unwrap();
            // Before the first case it is a server that cannot be started, after the last one nobody notices.
            has_failed |= !output.status.success();
            assert!(output.status.success() || printed.contains(name), "{printed}");
        }
        assert!(has_failed, "{name}");
    }
}

#[test]
fn an_address_where_nothing_answers_makes_a_row_that_says_so() {
    let nowhere = "redis://:secret@127.0.0.1:9";
    let output = Counting::start(&[("WORTHIT_REDIS", nowhere)]).end();
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(printed.contains("127.0.0.1:9") && printed.contains("Redis"), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
}
