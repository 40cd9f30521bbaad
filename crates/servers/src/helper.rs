//! Helpers: this program once more, as a process that does a part of the work. It has descriptors of its own, of which a
//! process may hold only some thousands, and it ends with the process that started it, as servers do.
//!
//! Both ends say lines to each other over a connection on loopback.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    child::{Child, Start},
    password,
};

/// Variable of the environment that tells a helper where its user listens, and the word that it says first.
const CONTROL: &str = "WORTHIT_HELPER_CONTROL";
/// Time in which a helper must begin and end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Another process of this program. It ends when this is dropped, or when this process does.
#[derive(Debug)]
pub struct Helper {
    lines: Lines,
    child: Child,
}

impl Helper {
    /// Starts this program with these arguments and one more variable in its environment, by which its `main` knows what to do.
    ///
    /// # Errors
    /// If it does not start, or does not connect to this process.
    pub fn start(
        arguments: &[&str],
        variable: &'static str,
        value: &str,
    ) -> Result<Helper, String> {
        let failed = |error: io::Error| format!("a helper process: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        listener.set_nonblocking(true).map_err(failed)?;
        // Any program on this machine could connect.
        let word = password::choose();
        // Right even if the file has been replaced by a later build.
        let program = format!("/proc/{}/exe", process::id());
        let words =
            [program.as_str()].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
        let child = Child::start(&Start {
            words,
            environment: vec![(variable, value.to_owned()), (CONTROL, format!("{port} {word}"))],
            signal: "KILL",
            patience: PATIENCE,
        })?;
        let lines = child.ready(|| accept(&listener, &word).map_err(|error| error.to_string()))?;
        Ok(Helper { lines, child })
    }

    /// Says a line to it.
    ///
    /// # Errors
    /// If it has ended.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        self.lines.tell(line)
    }

    /// Waits for its next line.
    ///
    /// # Errors
    /// If it has ended.
    pub fn hear(&mut self) -> io::Result<String> {
        self.lines.hear()?.ok_or_else(|| io::Error::other("a helper process has ended"))
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.program()
    }
}

/// Returns the connection of the helper that knows the word.
fn accept(listener: &TcpListener, word: &str) -> io::Result<Lines> {
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = Lines(BufReader::new(stream));
    if lines.hear()?.as_deref() != Some(word) {
        return Err(io::Error::other("somebody else has connected"));
    }
    lines.0.get_ref().set_read_timeout(None)?;
    Ok(lines)
}

/// The helper's end: what the process that started it says.
#[derive(Debug)]
pub struct Control(Lines);

impl Control {
    /// Connects a helper to the process that started it, and lets it hold as many descriptors as the system allows.
    ///
    /// # Errors
    /// If that process is gone, or has started none.
    pub fn connect() -> io::Result<Control> {
        let named = env::var(CONTROL).map_err(io::Error::other)?;
        let (port, word) = named.split_once(' ').ok_or_else(|| io::Error::other(CONTROL))?;
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        let mut lines = Lines(BufReader::new(stream));
        lines.tell(word)?;
        allow_descriptors();
        Ok(Control(lines))
    }

    /// Waits for the next line; `None` if the other process has ended.
    pub fn hear(&mut self) -> Option<String> {
        self.0.hear().ok().flatten()
    }

    /// Says a line. If the other process has ended, the next [`Control::hear`] says so.
    pub fn tell(&mut self, line: &str) {
        let _ = self.0.tell(line);
    }
}

/// Lets this process hold as many descriptors as the system allows without asking.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, connections fail, and that is seen.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

#[derive(Debug)]
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn tell(&mut self, line: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    /// Returns the next line; `None` at the end.
    fn hear(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Ok(None),
            _ => Ok(Some(line.trim_end_matches('\n').to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_word_is_listened_to() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        for (said, is_heard) in [("word", true), ("another", false)] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(format!("{said}\nhello\n").as_bytes()).unwrap();
            let accepted = accept(&listener, "word");
            assert_eq!(accepted.is_ok(), is_heard);
            if let Ok(mut lines) = accepted {
                assert_eq!(lines.hear().unwrap().as_deref(), Some("hello"));
                drop(stream);
                assert_eq!(lines.hear().unwrap(), None);
            }
        }
    }
}
