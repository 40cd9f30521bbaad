//! A process that uses servers, and what tests ask of it, of servers and of the system.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use crate::left::{Running, assert_nothing_is_left_in, eventually, files_in, processes_in};

/// A process that uses servers, whose files are in a folder of its own.
pub struct User {
    pub process: Child,
    pub output: BufReader<std::process::ChildStdout>,
    pub folder: TempDir,
}

impl User {
    pub fn new() -> User {
        User::with(&[])
    }

    pub fn with(environment: &[(&str, &str)]) -> User {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["user", "--exact", "--nocapture", "--test-threads=1"]);
        command.env("LIVES_OF_SERVERS", "").env("WORTHIT_DATA", "data").current_dir(folder.path());
        command.env_remove("WORTHIT_REDIS").envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut user = User { process, output, folder };
        assert_eq!(user.line(), "ready");
        user
    }

    pub fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the user has ended");
            if let Some(line) = line.trim_end().strip_prefix("> ") {
                return line.to_owned();
            }
        }
    }

    pub fn order(&mut self, order: &str) {
        writeln!(self.process.stdin.as_ref().unwrap(), "{order}").unwrap();
    }

    pub fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.line()
    }

    /// Returns the address and the process id of the Redis server.
    pub fn use_server(&mut self) -> (String, u32) {
        self.started("use")
    }

    /// Returns the address and the process id of the server that an order is about.
    pub fn started(&mut self, order: &str) -> (String, u32) {
        let (urls, processes) = self.started_all(order);
        let ([url], [process]) = (&urls[..], &processes[..]) else { panic!("{urls:?}") };
        (url.clone(), *process)
    }

    /// Returns the addresses and the process ids of the server that an order is about.
    pub fn started_all(&mut self, order: &str) -> (Vec<String>, Vec<u32>) {
        let line = self.ask(order);
        let words: Vec<&str> = line.split(' ').collect();
        let [urls, _, "Started", processes] = words[..] else { panic!("{line}") };
        let processes = processes.split(',').map(|process| process.parse().unwrap());
        (urls.split(',').map(str::to_owned).collect(), processes.collect())
    }

    /// Returns the variable that hands the only server on, and its value.
    pub fn hand_on(&mut self) -> (String, String) {
        let variables = self.ask("hand on");
        let (name, value) = variables["handed on: ".len()..].split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    }

    /// Ends the servers and sees that everything is gone by then.
    pub fn end(&mut self) {
        assert_eq!(self.ask("end"), "ended");
        assert_eq!(processes_in(&self.data()), Vec::<Running>::new());
        assert_eq!(files_in(&self.data()), Vec::<PathBuf>::new());
    }

    /// Returns the folder of the servers' folders. It is named by a relative path, and made by the first server.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Waits until no process and no file of a server is left.
    pub fn assert_nothing_is_left(&self) {
        assert_nothing_is_left_in(&self.data());
    }
}

impl Drop for User {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

/// Sends a command of one line to a Redis server and returns the first line of the answer.
pub fn redis(url: &str, command: &str) -> String {
    let place = url.strip_prefix("redis://").unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Asks a web server and returns its whole answer.
pub fn get(place: &str) -> String {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Returns whether a process has ended with all its threads, so that its files are closed, whether or not somebody has
/// waited for it.
pub fn has_ended(pid: u32) -> bool {
    let stat = Process::new(pid.cast_signed()).and_then(|process| process.stat());
    stat.is_ok_and(|stat| matches!(stat.state, 'Z' | 'X') && stat.num_threads <= 1)
        || !Path::new(&format!("/proc/{pid}")).exists()
}

pub fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}
