//! The kinds of servers: their names, how each is started, and what it is asked.

use std::{
    env, fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use url::Url;

use crate::{postgres, redis};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The relational database.
    Postgres,
    /// The cache and data structure server.
    Redis,
}

/// What is fixed about a kind of server.
struct Kind {
    name: &'static str,
    title: &'static str,
    /// The variable that names one's own server, and the one that hands a server on.
    variables: [&'static str; 2],
    package: &'static str,
    /// The name of the program's file.
    file: &'static str,
    example: &'static str,
    oldest: &'static str,
}

const POSTGRES: Kind = Kind {
    name: "postgres",
    title: "PostgreSQL",
    variables: ["WORTHIT_POSTGRES", "WORTHIT_STARTED_POSTGRES"],
    package: "postgresql",
    file: "postgres",
    example: "postgres://user:password@127.0.0.1:5432/database",
    oldest: "13",
};

const REDIS: Kind = Kind {
    name: "redis",
    title: "Redis",
    variables: ["WORTHIT_REDIS", "WORTHIT_STARTED_REDIS"],
    package: "redis-server",
    file: "redis-server",
    example: "redis://127.0.0.1:6379",
    oldest: "6.0",
};

/// A program to run as a server.
pub(crate) struct Start {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Variables of its environment, beside those that every server inherits.
    pub environment: Vec<(&'static str, String)>,
    /// The signal that ends it.
    pub signal: &'static str,
    /// Its address.
    pub url: String,
}

/// What a server says of itself before anybody has logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Its version: "7.0.15". `None` if only a client learns it.
    pub version: Option<String>,
    /// Its process id, on its own machine, if it tells.
    pub process: Option<u32>,
}

impl Program {
    /// All kinds.
    pub const ALL: [Program; 2] = [Program::Postgres, Program::Redis];

    fn kind(self) -> &'static Kind {
        match self {
            Program::Postgres => &POSTGRES,
            Program::Redis => &REDIS,
        }
    }

    /// Its name in protocols and results.
    pub fn name(self) -> &'static str {
        self.kind().name
    }

    /// Returns the kind with this name.
    pub fn named(name: &str) -> Option<Program> {
        Program::ALL.into_iter().find(|program| program.name() == name)
    }

    /// The variable of the environment that names one's own server.
    pub fn variable(self) -> &'static str {
        self.kind().variables[0]
    }

    /// The variable of the environment that hands on a server.
    pub(crate) fn handed_on(self) -> &'static str {
        self.kind().variables[1]
    }

    /// The Debian package that has the program.
    pub fn package(self) -> &'static str {
        self.kind().package
    }

    /// The name of the program's file.
    pub(crate) fn file(self) -> &'static str {
        self.kind().file
    }

    /// An address.
    pub(crate) fn example(self) -> &'static str {
        self.kind().example
    }

    /// The scheme of its addresses.
    pub(crate) fn scheme(self) -> &'static str {
        self.kind().name
    }

    /// The oldest version that pairs can use.
    pub(crate) fn oldest(self) -> &'static str {
        self.kind().oldest
    }

    /// Returns the path of the program; `None` if it is not installed.
    pub(crate) fn installed(self) -> Option<PathBuf> {
        match self {
            Program::Postgres => postgres::installed().or_else(|| in_path(self.file())),
            Program::Redis => in_path(self.file()),
        }
    }

    /// Describes how to start `program` at a port of loopback.
    pub(crate) fn start(self, program: &Path, port: u16) -> Start {
        match self {
            Program::Postgres => postgres::start(program, port),
            Program::Redis => redis::start(program, port),
        }
    }

    /// Asks the server at `url` whether it is one. No error names a password.
    pub(crate) fn greet(self, url: &Url) -> Result<Greeting, String> {
        match self {
            Program::Postgres => postgres::greet(url),
            Program::Redis => redis::greet(url),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().title)
    }
}

/// Returns the executable file of this name in a folder of `PATH`.
fn in_path(file: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).map(|folder| folder.join(file)).find(|path| is_program(path))
}

/// Returns whether a path is one of an executable file.
pub(crate) fn is_program(path: &Path) -> bool {
    let found = fs::metadata(path);
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executable_files_are_programs() {
        assert!(in_path("sh").is_some());
        for no_program in ["", "no-such-program"] {
            assert_eq!(in_path(no_program), None);
        }
        assert!(!is_program(Path::new("/etc/passwd")));
    }

    #[test]
    fn names_are_read_back() {
        for program in Program::ALL {
            assert_eq!(Program::named(program.name()), Some(program));
            assert!(program.example().starts_with(&format!("{}://", program.scheme())));
        }
        assert_eq!(Program::named("oracle"), None);
    }
}
