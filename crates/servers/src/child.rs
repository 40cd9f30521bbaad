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
    process::{Pid, WaitId, WaitIdOptions, getpid, set_child_subreaper, waitid},
    thread::{CpuSet, sched_setaffinity},
};

use crate::{folder::Folder, processes, spent};

/// The script that runs and ends the program; see there.
const SUPERVISOR: &str = include_str!("supervisor.sh");
/// Variables of the environment that a server inherits. Others, such as those that tune the allocator of a worker of the
/// gate, are not for it.
const INHERITED: [&str; 4] = ["PATH", "TMPDIR", "TZ", "USER"];

/// A program to run as a server.
#[derive(Debug)]
pub struct Start {
    /// The program and its arguments. Its current folder is one of its own.
    pub words: Vec<String>,
    /// Variables of its environment, beside those that every server inherits.
    pub environment: Vec<(&'static str, String)>,
    /// The signal that ends it.
    pub signal: &'static str,
    /// Time in which it must answer, and in which it must end before it is killed, on a machine that is busy with others.
    pub patience: Duration,
}

/// A server program, running until this is dropped or this process ends.
#[derive(Debug)]
pub struct Child {
    /// The supervisor waits for its end.
    ends_it: Option<ChildStdin>,
    supervisor: process::Child,
    program: u32,
    folder: PathBuf,
    patience: Duration,
}

impl Child {
    /// Starts a program.
    ///
    /// # Errors
    /// If its folder cannot be chosen, or the supervisor cannot be started.
    pub fn start(start: &Start) -> Result<Child, String> {
        let folder = Folder::choose().map_err(|error| error.to_string())?;
        Child::start_in(folder, start).map_err(|error| error.to_string())
    }

    fn start_in(folder: Folder, start: &Start) -> io::Result<Child> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SUPERVISOR, "worthit-supervisor"]);
        command.arg(folder.path()).arg(start.signal).arg(start.patience.as_secs().to_string());
        command.args(&start.words);
        command.env_clear().env("LC_ALL", "C").envs(start.environment.iter().cloned());
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // A group of its own: Ctrl-C is for the process that uses the server.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let path = folder.path().to_owned();
        // SAFETY: the closure makes system calls only, which are allowed between fork and exec.
        unsafe { command.pre_exec(move || become_supervisor(&folder)) };
        let mut supervisor = command.spawn()?;
        spent::count(supervisor.id());
        let mut line = String::new();
        let read = BufReader::new(supervisor.stdout.take().expect("piped")).read_line(&mut line);
        let program = read.ok().and_then(|_| line.trim().parse().ok());
        let child = Child {
            ends_it: supervisor.stdin.take(),
            supervisor,
            program: program.unwrap_or(0),
            folder: path,
            patience: start.patience,
        };
        match child.program {
            0 => Err(io::Error::other("/bin/sh cannot supervise it")),
            _ => Ok(child),
        }
    }

    /// Waits until `answer` gives a server's first answer.
    ///
    /// # Errors
    /// With the last error and what the program has logged, if it ends before or takes longer than it may.
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
            if start.elapsed() > self.patience {
                let seconds = self.patience.as_secs();
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

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.folder
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
        // This leaves the supervisor as a zombie, so that the time of all is known at every moment.
        let ends = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(Pid::from_child(&self.supervisor)), ends);
        spent::wait_for(self.supervisor());
    }
}

/// Programs that are one server together. They end at the same time.
#[derive(Debug, Default)]
pub struct Children(pub Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.ends_it.take());
        }
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

/// Returns ports of loopback that no socket uses, and neither those at these distances above. Another process may take one
/// first; see [`at_some_ports`].
///
/// # Errors
/// If there are none.
pub fn free_ports<const N: usize>(above: &[u16]) -> Result<[u16; N], String> {
    const TRIES: usize = 1_000;
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    // All are held until the last is chosen, so that they differ.
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..TRIES {
        let listener = listen(0).map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let others = above.iter().map(|distance| listen(port.checked_add(*distance)?).ok());
        if let Some(others) = others.collect::<Option<Vec<TcpListener>>>() {
            held.push((listener, others));
            ports.push(port);
        }
        if let Ok(ports) = ports.as_slice().try_into() {
            return Ok(ports);
        }
    }
    Err(format!("there are no {N} free ports at 127.0.0.1"))
}

/// Starts something at ports that it chooses, and again at others if it fails, since another process may have taken a port
/// between its choice and its use. What does not answer in time is not tried for long.
///
/// # Errors
/// With the last one.
pub fn at_some_ports<T>(mut start: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    const TRIES: usize = 5;
    const PATIENCE: Duration = Duration::from_secs(60);
    let begin = Instant::now();
    let mut result = start();
    for _ in 1..TRIES {
        if result.is_ok() || begin.elapsed() > PATIENCE {
            break;
        }
        result = start();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Child {
        let start = Start {
            words: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: Vec::new(),
            signal: "TERM",
            patience: Duration::from_secs(2),
        };
        Child::start(&start).unwrap()
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
            let before = spent::total();
            drop(child);
            assert!(before > Duration::ZERO && spent::total() >= before);
            assert!(!processes::is_running(program) && !folder.exists(), "{script}");
        }
    }

    #[test]
    fn programs_that_belong_together_end_together() {
        let children = Children(vec![start("exec sleep 1000"), start("exec sleep 1000")]);
        let programs: Vec<u32> = children.0.iter().map(Child::program).collect();
        drop(children);
        assert!(!programs.into_iter().any(processes::is_running));
    }

    #[test]
    fn ports_that_are_chosen_together_differ() {
        let [one, two, three] = free_ports(&[10_000]).unwrap();
        assert!(one != two && two != three && three != one);
        assert!([one, two, three].iter().all(|port| port.checked_add(10_000).is_some()));
        assert!(free_ports::<1>(&[u16::MAX]).is_err());
    }

    #[test]
    fn what_fails_is_tried_again() {
        let mut tries = 0;
        let mut third_time = || {
            tries += 1;
            if tries == 3 { Ok(tries) } else { Err(tries.to_string()) }
        };
        assert_eq!(at_some_ports(&mut third_time), Ok(3));
        assert_eq!(at_some_ports(third_time), Err("8".to_owned()));
    }

    #[test]
    fn a_program_that_ends_shows_the_last_lines_of_its_log() {
        let child = start("seq 9; echo; echo the reason");
        let problem = child.ready(|| Err::<(), _>(String::new())).unwrap_err();
        assert_eq!(problem, "it ended at once; it logged:\n6\n7\n8\n9\nthe reason");
    }
}
