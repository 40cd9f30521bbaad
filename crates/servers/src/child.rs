//! A server program as a child process that ends with the process that uses it, however that ends.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{getpid, set_child_subreaper},
    thread::{CpuSet, sched_setaffinity},
};

use crate::{folder::Folder, processes, program::Start};

/// The script that runs and ends the program; see there.
const SUPERVISOR: &str = include_str!("supervisor.sh");
/// Variables of the environment that a server inherits. Others, such as those that tune the allocator of a worker of the
/// gate, are not for it.
const INHERITED: [&str; 4] = ["PATH", "TMPDIR", "TZ", "USER"];
/// Time in which a server must answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server program, running until this is dropped or this process ends.
#[derive(Debug)]
pub struct Child {
    /// The supervisor waits for its end.
    ends_it: Option<ChildStdin>,
    supervisor: process::Child,
    program: u32,
    folder: PathBuf,
}

impl Child {
    /// Starts a program whose files are in `folder`.
    ///
    /// # Errors
    /// If the supervisor cannot be started.
    pub fn start(folder: Folder, start: &Start) -> io::Result<Child> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SUPERVISOR, "worthit-supervisor"]);
        command.arg(folder.path()).arg(start.signal).args(&start.words);
        command.env_clear().env("LC_ALL", "C").envs(start.environment.iter().cloned());
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // A group of its own: Ctrl-C is for the process that uses the server.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let path = folder.path().to_owned();
        // SAFETY: the closure makes system calls only, which are allowed between fork and exec.
        unsafe { command.pre_exec(move || become_supervisor(&folder)) };
        let mut supervisor = command.spawn()?;
        let mut line = String::new();
        let read = BufReader::new(supervisor.stdout.take().expect("piped")).read_line(&mut line);
        let program = read.ok().and_then(|_| line.trim().parse().ok());
        let child = Child {
            ends_it: supervisor.stdin.take(),
            supervisor,
            program: program.unwrap_or(0),
            folder: path,
        };
        match child.program {
            0 => Err(io::Error::other("/bin/sh cannot supervise it")),
            _ => Ok(child),
        }
    }

    /// Waits until `answer` gives a server's first answer.
    ///
    /// # Errors
    /// With the last error and what the program has logged, if it ends before or takes longer than half a minute.
    pub fn ready<T>(&self, mut answer: impl FnMut() -> Result<T, String>) -> Result<T, String> {
        let start = Instant::now();
        loop {
            let problem = match answer() {
                Ok(answer) => return Ok(answer),
                Err(problem) => problem,
            };
            if !self.is_alive() {
                return Err(format!("it ended at once{}", self.logged()));
            }
            if start.elapsed() > PATIENCE {
                let seconds = PATIENCE.as_secs();
                return Err(format!("no answer for {seconds} s: {problem}{}", self.logged()));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Process id of the supervisor.
    pub fn supervisor(&self) -> u32 {
        self.supervisor.id()
    }

    /// Process id of the program.
    pub fn program(&self) -> u32 {
        self.program
    }

    /// Returns whether the program runs.
    pub fn is_alive(&self) -> bool {
        processes::is_running(self.program)
    }

    /// Returns the last lines that the program has logged, after a colon; empty without any.
    fn logged(&self) -> String {
        last_lines(&self.folder.join("log"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.ends_it.take());
        // An error means that it has been waited for.
        let _ = self.supervisor.wait();
    }
}

/// Makes the process that is about to be the supervisor independent of the one that starts it: an adopter of orphans that
/// holds the folder, on every core, without real-time priority. It makes system calls only.
///
/// The supervisor removes the folder, so it makes it too: if the starting process is killed, the folder goes with it.
fn become_supervisor(folder: &Folder) -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    let mut every_core = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| every_core.set(core));
    // If these fail, the server runs as the starting process does.
    let _ = sched_setaffinity(None, &every_core);
    let _ = processes::leave_real_time();
    folder.make()
}

/// Returns the last lines of a log, after a colon; empty without any.
fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match &lines[lines.len().saturating_sub(5)..] {
        [] => String::new(),
        last => format!("; it logged:\n{}", last.join("\n")),
    }
}

/// Returns a port of loopback that no socket uses. Another process may take it first, so a server that cannot is started
/// again at another.
///
/// # Errors
/// If loopback cannot be used.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Child {
        let start = Start {
            words: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: Vec::new(),
            signal: "TERM",
            url: String::new(),
        };
        Child::start(Folder::choose().unwrap(), &start).unwrap()
    }

    #[test]
    fn a_program_is_ended_with_its_files_even_if_it_refuses_or_leaves_others_behind() {
        for script in [
            "exec sleep 1000",
            "trap '' TERM; while :; do sleep 1000; done",
            "setsid sleep 1000 & sleep 1000",
        ] {
            let child = start(&format!("echo $$ >pid; {script}"));
            let (program, folder) = (child.program(), child.folder.clone());
            let pid =
                child.ready(|| fs::read_to_string(folder.join("pid")).map_err(|e| e.to_string()));
            assert_eq!(pid.unwrap().trim(), program.to_string());
            assert!(child.is_alive());
            assert!(processes::cpu_time(child.supervisor()) > Duration::ZERO);
            drop(child);
            assert!(!processes::is_running(program) && !folder.exists(), "{script}");
        }
    }

    #[test]
    fn a_program_that_ends_shows_the_last_lines_of_its_log() {
        let child = start("seq 9; echo; echo the reason");
        let problem = child.ready(|| Err::<(), _>(String::new())).unwrap_err();
        assert_eq!(problem, "it ended at once; it logged:\n6\n7\n8\n9\nthe reason");
    }
}
