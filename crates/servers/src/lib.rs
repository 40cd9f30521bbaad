//! Server programs that pairs measure. A server is an address: of one's own, named by an environment variable, or of a
//! program that is installed, which is then started as a child process on loopback. It may be several, of programs that
//! belong together.
//!
//! A process starts one server of a kind and uses it to its end ([`server`]). It hands the address on to the processes that
//! it starts ([`handed_on`]), and those start none. What was started ends with the process that started it, even if that
//! is killed: a supervisor, a small shell script, waits for its end on a pipe. See `supervisor.sh`.

mod child;
pub mod distance;
mod folder;
pub mod helper;
pub mod link;
pub mod nginx;
mod password;
mod postgres;
mod processes;
mod program;
mod proxy;
mod rabbitmq;
mod redis;
pub mod slow_device;
mod spent;
mod tcp;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use url::{Host, Url};

use child::{Child, Children};
pub use processes::memory;
pub use program::Program;
use program::{Addresses, Started};

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
    /// Its addresses; none if each case starts its own.
    urls: Vec<Url>,
    /// The processes that it and all that it starts descend from; none if it is not known to run on this machine.
    roots: Vec<u32>,
    /// They end when dropped.
    children: Children,
}

/// Leaves out the addresses, which may hold a password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { program, version, origin, .. } = self;
        let places: Vec<String> = self.urls.iter().map(place).collect();
        write!(f, "{program} {version} at {} ({origin:?})", places.join(", "))
    }
}

impl Server {
    /// Its address, or its first, as clients take it; empty if each case starts its own. It may hold a password: never
    /// print it.
    pub fn url(&self) -> &str {
        self.urls.first().map_or("", Url::as_str)
    }

    /// Its addresses, as clients take them. They may hold passwords: never print them.
    pub fn urls(&self) -> Vec<&str> {
        self.urls.iter().map(Url::as_str).collect()
    }

    /// Host and port of its address, or of its first, for people.
    pub fn place(&self) -> String {
        self.urls.first().map(place).unwrap_or_default()
    }

    /// Process ids of its programs, if this process has started them.
    pub fn processes(&self) -> Vec<u32> {
        self.children.0.iter().map(Child::program).collect()
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
    #[error("{_0} is not installed: apt-get install {}{}", _0.package(), or_ones_own(*_0))]
    NotInstalled(Program),
    /// The program does not start.
    #[error("{0} cannot be started: {1}")]
    NotStarted(Program, String),
    /// A variable does not name a server.
    #[error("{variable} must be like {example}: {problem}")]
    NoAddress {
        /// The variable.
        variable: &'static str,
        /// What it may hold.
        example: &'static str,
        /// What is wrong, without a password.
        problem: String,
    },
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

/// Returns what one can do without installing a program, for the end of a sentence.
fn or_ones_own(program: Program) -> String {
    let named = |addresses: &Addresses| {
        let what = match addresses.number() {
            1 => "the address of a server",
            _ => "the addresses of servers",
        };
        format!(", or set {} to {what}", addresses.variable)
    };
    program.addresses().map(named).unwrap_or_default()
}

static SERVERS: Mutex<BTreeMap<Program, Result<Arc<Server>, Missing>>> =
    Mutex::new(BTreeMap::new());
/// Held while a server of a kind is looked for, so that it is started once, and others meanwhile.
static STARTING: [Mutex<()>; Program::ALL.len()] = [const { Mutex::new(()) }; Program::ALL.len()];

/// Returns the server of a kind, and starts it at the first call, or if it has ended.
///
/// # Errors
/// If there is none. It is not tried again.
pub fn server(program: Program) -> Result<Arc<Server>, Missing> {
    let _turn = STARTING[program as usize].lock().unwrap_or_else(PoisonError::into_inner);
    let has_ended = |server: &Arc<Server>| !server.children.0.iter().all(Child::is_alive);
    match servers().get(&program) {
        Some(Ok(server)) if has_ended(server) => {}
        Some(found) => return found.clone(),
        None => {}
    }
    let found = find(program).map(Arc::new);
    servers().insert(program, found.clone());
    found
}

/// Starts servers of these kinds at the same time, and waits until all answer. [`server`] says what is missing.
pub fn start_all(programs: impl IntoIterator<Item = Program>) {
    let programs: BTreeSet<Program> = programs.into_iter().collect();
    thread::scope(|scope| {
        for program in programs {
            scope.spawn(move || server(program));
        }
    });
}

/// Ends all servers that this process has started, and waits until they and their files are gone.
pub fn end_all() {
    let all = std::mem::take(&mut *servers());
    // Each takes a while, in which the others can end too.
    thread::scope(|scope| {
        for server in all.into_values() {
            scope.spawn(move || drop(server));
        }
    });
}

/// Returns the variables of the environment that hand the servers of this process on to another one.
pub fn handed_on() -> Vec<(&'static str, OsString)> {
    let servers = servers();
    let running = servers.values().filter_map(|server| server.as_ref().ok());
    let ours = running.filter(|server| server.origin != Origin::Given);
    let handed_on = ours.filter_map(|server| {
        let addresses = server.program.addresses()?;
        let roots: Vec<String> = server.roots.iter().map(u32::to_string).collect();
        let text = format!("{}@{}", roots.join(","), server.urls().join(","));
        Some((addresses.handed_on, text.into()))
    });
    handed_on.collect()
}

/// Returns the CPU time that the servers of this process have spent on this machine so far, also those of single cases and
/// those that have ended. It is no load of others, and never falls.
pub fn cpu_time() -> Duration {
    spent::total()
}

fn servers() -> MutexGuard<'static, BTreeMap<Program, Result<Arc<Server>, Missing>>> {
    // A panic cannot leave the map inconsistent.
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(program: Program) -> Result<Server, Missing> {
    let named = |variable| env::var(variable).ok().filter(|value| !value.is_empty());
    let Some(addresses) = program.addresses() else { return start(program) };
    if let Some(text) = named(addresses.variable) {
        let urls = parse(addresses, &text)?;
        return reach(program, addresses.variable, urls, Origin::Given, Vec::new());
    }
    if let Some(text) = named(addresses.handed_on) {
        let (roots, urls) = parse_handed_on(addresses, &text)?;
        return reach(program, addresses.handed_on, urls, Origin::HandedOn, roots);
    }
    start(program)
}

/// Parses addresses: `redis://user:password@host:port`, or without scheme; as many as the example has, separated by commas.
fn parse(addresses: &Addresses, text: &str) -> Result<Vec<Url>, Missing> {
    let Addresses { variable, example, scheme, .. } = *addresses;
    let refuse = |problem| Missing::NoAddress { variable, example, problem };
    let number = addresses.number();
    // A single one may have a comma in its password.
    let texts: Vec<&str> = if number == 1 { vec![text] } else { text.split(',').collect() };
    if texts.len() != number {
        let problem =
            format!("addresses are separated by commas; {number} are needed, not {}", texts.len());
        return Err(refuse(problem));
    }
    texts.into_iter().map(|text| parse_one(scheme, text.trim()).map_err(refuse)).collect()
}

fn parse_one(scheme: &str, address: &str) -> Result<Url, String> {
    let with_scheme =
        if address.contains("://") { address.to_owned() } else { format!("{scheme}://{address}") };
    let url = program::address(&with_scheme)?;
    if url.scheme() != scheme {
        return Err(format!("its scheme is {:?}", url.scheme()));
    }
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err("it has no host".to_owned()),
    }
}

/// Parses what [`handed_on`] has written: processes and addresses.
fn parse_handed_on(addresses: &Addresses, text: &str) -> Result<(Vec<u32>, Vec<Url>), Missing> {
    let (variable, example) = (addresses.handed_on, addresses.example);
    let broken = || {
        let problem = "the one that was handed on is broken".to_owned();
        Missing::NoAddress { variable, example, problem }
    };
    let (roots, urls) = text.split_once('@').ok_or_else(broken)?;
    let roots: Option<Vec<u32>> = roots.split(',').map(|root| root.parse().ok()).collect();
    Ok((roots.ok_or_else(broken)?, parse(addresses, urls).map_err(|_| broken())?))
}

/// Returns the server at the addresses that a variable names. `roots` are the processes that it descends from, if known.
fn reach(
    program: Program,
    variable: &'static str,
    urls: Vec<Url>,
    origin: Origin,
    mut roots: Vec<u32>,
) -> Result<Server, Missing> {
    let mut version = None;
    for url in &urls {
        let greeting = program.greet(url).map_err(|problem| {
            let place = place(url);
            Missing::Unreachable { program, variable, place, problem }
        })?;
        // The process of the same id on this machine is another one if the server runs elsewhere.
        let is_it = |process: &u32| is_loopback(url) && processes::runs(*process, program.file());
        if origin == Origin::Given {
            roots.extend(greeting.process.filter(is_it));
        }
        version = version.or(greeting.version);
    }
    roots.iter().for_each(|root| spent::count(*root));
    let version = version.unwrap_or_default();
    check_version(Server { program, version, origin, urls, roots, children: Children::default() })
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
    let path = program.installed().ok_or(Missing::NotInstalled(program))?;
    let started = child::at_some_ports(|| program.start(&path));
    let Started { children, urls, version } =
        started.map_err(|problem| Missing::NotStarted(program, problem))?;
    let roots = children.0.iter().map(Child::supervisor).collect();
    let (origin, version) = (Origin::Started, version.unwrap_or_default());
    check_version(Server { program, version, origin, urls, roots, children })
}

fn check_version(server: Server) -> Result<Server, Missing> {
    let is_known = !server.version.is_empty();
    match is_known && numbers(&server.version) < numbers(server.program.oldest()) {
        false => Ok(server),
        true => Err(Missing::TooOld { program: server.program, version: server.version }),
    }
}

/// Returns the numbers of a version: 17 and 0 of "17beta1.0".
fn numbers(version: &str) -> Vec<u32> {
    let number = |part: &str| {
        let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().unwrap_or(0)
    };
    version.split('.').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ones_own() {
        let parse = |address| parse(Program::Redis.addresses().unwrap(), address);
        for (address, expected) in [
            ("127.0.0.1:6379", "127.0.0.1:6379"),
            ("redis://cache.example", "cache.example"),
            ("redis://me:secret@[::1]:7000/2", "[::1]:7000"),
        ] {
            assert_eq!(place(&parse(address).unwrap()[0]), expected);
        }
        for (address, problem) in [
            ("http://cache.example", "its scheme is \"http\""),
            ("redis://", "it has no host"),
            ("redis://me:secret@host:port", "invalid port"),
        ] {
            let message = parse(address).unwrap_err().to_string();
            assert!(
                message.starts_with("WORTHIT_REDIS must be like") && message.contains(problem),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn as_many_addresses_as_servers() {
        let addresses = Program::PostgresReplica.addresses().unwrap();
        let both = parse(addresses, "10.0.0.1, postgres://me:secret@10.0.0.2:5433/db").unwrap();
        assert_eq!(both.iter().map(place).collect::<Vec<_>>(), ["10.0.0.1", "10.0.0.2:5433"]);
        for (text, number) in [("me:secret@primary", 1), ("me:secret@a,b,c", 3), ("", 1)] {
            let message = parse(addresses, text).unwrap_err().to_string();
            let expected = format!("addresses are separated by commas; 2 are needed, not {number}");
            assert!(message.ends_with(&expected), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        assert!(parse(addresses, "primary,").unwrap_err().to_string().ends_with("no host"));
    }

    #[test]
    fn what_is_handed_on_is_read_back() {
        let addresses = Program::PostgresReplica.addresses().unwrap();
        let (roots, urls) = parse_handed_on(addresses, "7,8@postgres://a,postgres://b").unwrap();
        assert_eq!((roots, urls.len()), (vec![7, 8], 2));
        for broken in ["", "7", "7,@postgres://a,postgres://b", "7,8@postgres://a"] {
            let message = parse_handed_on(addresses, broken).unwrap_err().to_string();
            assert!(message.starts_with("WORTHIT_STARTED_POSTGRES_REPLICA"), "{message}");
        }
    }

    #[test]
    fn no_password_is_printed() {
        let program = Program::Redis;
        let urls = parse(program.addresses().unwrap(), "redis://me:secret@host:7000").unwrap();
        let (version, roots, children) = ("7.0".to_owned(), Vec::new(), Children::default());
        let server = Server { program, version, origin: Origin::Given, urls, roots, children };
        assert_eq!(format!("{server:?}"), "Redis 7.0 at host:7000 (Given)");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (older, newer) in [("6.2", "6.10"), ("9", "13"), ("16.1", "17beta1"), ("13", "13.1")] {
            assert!(numbers(older) < numbers(newer), "{older} {newer}");
        }
    }

    #[test]
    fn what_is_not_installed_is_named_with_what_can_be_done() {
        for program in Program::ALL {
            let message = Missing::NotInstalled(program).to_string();
            assert!(message.contains(&format!("apt-get install {}", program.package())));
            let variable = program.addresses().map(|addresses| addresses.variable);
            assert_eq!(message.contains(variable.unwrap_or("WORTHIT")), variable.is_some());
        }
    }
}
