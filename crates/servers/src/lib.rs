//! Server programs that pairs measure. A server is an address: of one's own, named by an environment variable, or of a
//! program that is installed, which is then started as a child process on loopback.
//!
//! A process starts one server of a kind and uses it to its end ([`server`]). It hands the address on to the processes that
//! it starts ([`handed_on`]), and those start none. What was started ends with the process that started it, even if that
//! is killed: a supervisor, a small shell script, waits for its end on a pipe. See `supervisor.sh`.

mod child;
pub mod distance;
mod folder;
pub mod link;
mod postgres;
mod processes;
mod program;
mod proxy;
mod redis;
mod tcp;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use url::{Host, Url};

use child::Child;
use folder::Folder;
pub use program::Program;

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This process has started it.
    Started,
    /// The process that has started this one has started it.
    HandedOn,
    /// It is one's own: nothing is started, and only what the suite has made there is removed.
    Given,
}

/// A server that answers.
pub struct Server {
    /// Its kind.
    pub program: Program,
    /// Its version, as it or its program says: "7.0.15"; empty if only a client can learn it.
    pub version: String,
    /// Where it comes from.
    pub origin: Origin,
    url: Url,
    /// The process that it and all that it starts descend from; `None` if it is not known to run on this machine.
    root: Option<u32>,
    /// Ends it when dropped.
    child: Option<Child>,
}

/// Leaves out the address, which may hold a password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { program, version, origin, .. } = self;
        write!(f, "{program} {version} at {} ({origin:?})", self.place())
    }
}

impl Server {
    /// Its address as clients take it. It may hold a password: never print it.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its host and port, for people.
    pub fn place(&self) -> String {
        place(&self.url)
    }

    /// Process id of the program, if this process has started it.
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::program)
    }
}

fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Reason why there is no server, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Its program is not installed.
    #[error("{} is not installed: apt-get install {}, or set {} to the address of a server", .0, .0.package(), .0.variable())]
    NotInstalled(Program),
    /// The program does not start.
    #[error("{0} cannot be started: {1}")]
    NotStarted(Program, String),
    /// The variable of one's own server has no address.
    #[error("{} is no address such as {}: {}", .0.variable(), .0.example(), .1)]
    NoAddress(Program, String),
    /// The server that is named does not answer.
    #[error(
        "{variable} names {place}: {problem}; see that {program} runs there and takes connections from here, or unset {variable}"
    )]
    Unreachable {
        /// Its kind.
        program: Program,
        /// The variable that names it.
        variable: &'static str,
        /// Its host and port.
        place: String,
        /// The error, without a password.
        problem: String,
    },
    /// Its version is too old.
    #[error("{program} {version} is too old: install {} or later", program.oldest())]
    TooOld {
        /// Its kind.
        program: Program,
        /// Its version.
        version: String,
    },
}

static SERVERS: Mutex<BTreeMap<Program, Result<Arc<Server>, Missing>>> =
    Mutex::new(BTreeMap::new());

/// Returns the server of a kind, and starts it at the first call, or if it has ended.
///
/// # Errors
/// If there is none. It is not tried again.
pub fn server(program: Program) -> Result<Arc<Server>, Missing> {
    let mut servers = servers();
    let has_ended =
        |server: &Arc<Server>| server.child.as_ref().is_some_and(|child| !child.is_alive());
    match servers.get(&program) {
        Some(Ok(server)) if has_ended(server) => {}
        Some(found) => return found.clone(),
        None => {}
    }
    let found = find(program).map(Arc::new);
    servers.insert(program, found.clone());
    found
}

/// Ends all servers that this process has started, and waits until they and their files are gone.
pub fn end_all() {
    servers().clear();
}

/// Returns the variables of the environment that hand the servers of this process on to another one.
pub fn handed_on() -> Vec<(&'static str, OsString)> {
    let servers = servers();
    let running = servers.values().filter_map(|server| server.as_ref().ok());
    let ours = running.filter(|server| server.origin != Origin::Given);
    let handed_on = ours.filter_map(|server| {
        let text = format!("{}@{}", server.root?, server.url);
        Some((server.program.handed_on(), text.into()))
    });
    handed_on.collect()
}

/// Returns the CPU time that the servers in use have spent on this machine so far. It is no load of others.
pub fn cpu_time() -> Duration {
    let servers = servers();
    let roots = servers.values().filter_map(|server| server.as_ref().ok()?.root);
    roots.map(processes::cpu_time).sum()
}

fn servers() -> MutexGuard<'static, BTreeMap<Program, Result<Arc<Server>, Missing>>> {
    // A panic cannot leave the map inconsistent.
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(program: Program) -> Result<Server, Missing> {
    let named = |variable| env::var(variable).ok().filter(|value| !value.is_empty());
    if let Some(address) = named(program.variable()) {
        let url = parse(program, &address)?;
        return reach(program, program.variable(), url, Origin::Given, None);
    }
    if let Some(text) = named(program.handed_on()) {
        let broken =
            || Missing::NoAddress(program, "the one that was handed on is broken".to_owned());
        let (supervisor, address) = text.split_once('@').ok_or_else(broken)?;
        let root = supervisor.parse().map_err(|_| broken())?;
        let url = parse(program, address)?;
        return reach(program, program.handed_on(), url, Origin::HandedOn, Some(root));
    }
    start(program)
}

/// Parses an address: `redis://user:password@host:port`, or without scheme.
fn parse(program: Program, address: &str) -> Result<Url, Missing> {
    let scheme = program.scheme();
    let with_scheme =
        if address.contains("://") { address.to_owned() } else { format!("{scheme}://{address}") };
    let refuse = |problem: &str| Missing::NoAddress(program, problem.to_owned());
    let url = Url::parse(&with_scheme).map_err(|error| refuse(&error.to_string()))?;
    if url.scheme() != scheme {
        return Err(refuse(&format!("its scheme is {:?}", url.scheme())));
    }
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err(refuse("it has no host")),
    }
}

/// Returns the server at an address that a variable names. `root` is the process that it descends from, if known.
fn reach(
    program: Program,
    variable: &'static str,
    url: Url,
    origin: Origin,
    root: Option<u32>,
) -> Result<Server, Missing> {
    let greeting = program.greet(&url).map_err(|problem| {
        let place = place(&url);
        Missing::Unreachable { program, variable, place, problem }
    })?;
    // The process of the same id on this machine is another one if the server runs elsewhere.
    let is_it = |process: &u32| is_loopback(&url) && processes::runs(*process, program.file());
    let root = root.or_else(|| greeting.process.filter(is_it));
    let version = greeting.version.unwrap_or_default();
    check_version(Server { program, version, origin, url, root, child: None })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // Url parses the host of a scheme that it does not know as a name.
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
        None => false,
    }
}

/// Starts a server on loopback.
fn start(program: Program) -> Result<Server, Missing> {
    /// Another process may take a port between its choice and its use.
    const PORTS: usize = 5;
    let path = program.installed().ok_or(Missing::NotInstalled(program))?;
    let mut last = String::new();
    for _ in 0..PORTS {
        match start_at_free_port(program, &path) {
            Ok(server) => return check_version(server),
            Err(problem) => last = problem,
        }
    }
    Err(Missing::NotStarted(program, last))
}

fn start_at_free_port(program: Program, path: &Path) -> Result<Server, String> {
    let io = |error: std::io::Error| error.to_string();
    let start = program.start(path, child::free_port().map_err(io)?);
    let url = Url::parse(&start.url).map_err(|error| error.to_string())?;
    let child = Child::start(Folder::choose().map_err(io)?, &start).map_err(io)?;
    let greeting = child.ready(|| {
        let greeting = program.greet(&url)?;
        match greeting.process.is_none_or(|process| process == child.program()) {
            true => Ok(greeting),
            false => Err("another server has taken the port".to_owned()),
        }
    })?;
    let (root, origin) = (Some(child.supervisor()), Origin::Started);
    let version = greeting.version.unwrap_or_default();
    Ok(Server { program, version, origin, url, root, child: Some(child) })
}

fn check_version(server: Server) -> Result<Server, Missing> {
    let numbers = |version: &str| -> Vec<u32> {
        version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
    };
    let is_known = !server.version.is_empty();
    match is_known && numbers(&server.version) < numbers(server.program.oldest()) {
        false => Ok(server),
        true => Err(Missing::TooOld { program: server.program, version: server.version }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ones_own() {
        let parse = |address| parse(Program::Redis, address);
        for (address, expected) in [
            ("127.0.0.1:6379", "127.0.0.1:6379"),
            ("redis://cache.example", "cache.example"),
            ("redis://me:secret@[::1]:7000/2", "[::1]:7000"),
        ] {
            assert_eq!(place(&parse(address).unwrap()), expected);
        }
        for (address, problem) in [
            ("http://cache.example", "its scheme is \"http\""),
            ("redis://", "it has no host"),
            ("redis://me:secret@host:port", "invalid port"),
        ] {
            let message = parse(address).unwrap_err().to_string();
            assert!(
                message.starts_with("WORTHIT_REDIS is no address") && message.contains(problem),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn no_password_is_printed() {
        let url = parse(Program::Redis, "redis://me:secret@host:7000").unwrap();
        let (program, version, origin) = (Program::Redis, "7.0".to_owned(), Origin::Given);
        let server = Server { program, version, origin, url, root: None, child: None };
        assert_eq!(format!("{server:?}"), "Redis 7.0 at host:7000 (Given)");
    }
}
