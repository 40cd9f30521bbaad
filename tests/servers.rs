//! What is left of the servers when the command that uses them ends in a hurry, or when a server does.

#[path = "../crates/servers/tests/lives/left.rs"]
mod left;

use std::{
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use left::{assert_nothing_is_left_in, processes_in};
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
        assert_nothing_is_left_in(&self.data);
        output
    }
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
        // Before the first case it is a server that cannot be started, after the last one nobody notices. How long
        // each part lasts depends on what else runs, so one moment after the other is tried.
        let is_noticed_at = |moment| {
            let counting = Counting::of(&[pair, "--quick"], &[]);
            thread::sleep(whole * moment / 16);
            let processes = processes_in(&counting.data);
            for (pid, _) in processes.iter().filter(|(_, name)| name == program) {
                let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
            }
            let output = counting.end();
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8(printed).unwrap();
            assert!(output.status.success() || printed.contains(name), "{printed}");
            !output.status.success()
        };
        assert!((1..16).rev().any(is_noticed_at), "{name}");
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
