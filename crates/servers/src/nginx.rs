//! nginx: each case starts its own, which takes some milliseconds, because what a pair measures is a configuration.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::process::geteuid;

use crate::{
    Missing,
    child::{self, Child, Children, Start},
    processes,
    program::{Program, Started},
    server, tcp,
};

/// What every configuration has outside of its `http` block. The supervisor is what daemons have otherwise.
const MAIN: &str = "daemon off;
pid nginx.pid;
error_log stderr;
";

/// How many connections an nginx may have.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// Processes that share the work.
    pub processes: u32,
    /// Connections of each, to clients and to upstreams. Each takes a descriptor, of which a process may hold only some
    /// thousands.
    pub connections: u32,
}

impl Workers {
    /// One worker does all the work on one core, so that the clients that drive it have another one.
    const ONE: Workers = Workers { processes: 1, connections: 2_048 };

    fn directives(self) -> String {
        let Workers { processes, connections } = self;
        // Files and sockets that listen need some too.
        let descriptors = connections + connections.min(1_900);
        format!(
            "worker_processes {processes};
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; }}
"
        )
    }
}
/// Modules that make a folder for their temporary files even if no location uses them. By default that is one of the
/// system's. Each has its option of `configure` that leaves it out.
const TEMPORARY: [(&str, &str); 5] = [
    ("client_body", ""),
    ("proxy", "--without-http_proxy_module"),
    ("fastcgi", "--without-http_fastcgi_module"),
    ("uwsgi", "--without-http_uwsgi_module"),
    ("scgi", "--without-http_scgi_module"),
];
/// Writes the configuration and becomes the server.
const SCRIPT: &str = r#"printf '%s' "$2" >nginx.conf && exec "$1" -p "$PWD" -c "$PWD/nginx.conf""#;

/// An nginx with a configuration of its own: a master and one worker, which end with their files when this is dropped or
/// this process ends.
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    version: String,
}

impl fmt::Debug for Nginx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nginx {} at {}", self.version, self.address)
    }
}

impl Nginx {
    /// Starts one and waits until it answers. `http` returns the content of the `http` block; a server in it must listen at
    /// `127.0.0.1` and the port that it gets. It is called again for another port if that one is taken. Relative paths,
    /// such as that of a cache, lie in [`Nginx::folder`].
    ///
    /// No request reaches a location of the configuration meanwhile, and requests are not logged unless a `server` block
    /// says so.
    ///
    /// # Errors
    /// If nginx is not installed or too old, or does not start, for example because the configuration is broken.
    pub fn start(http: impl Fn(u16) -> String) -> Result<Nginx, Missing> {
        Nginx::start_with(Workers::ONE, http)
    }

    /// Starts one for many connections. For them to be spread evenly over the workers, the server must listen with
    /// `reuseport`.
    ///
    /// # Errors
    /// As [`Nginx::start`].
    pub fn start_with(workers: Workers, http: impl Fn(u16) -> String) -> Result<Nginx, Missing> {
        let version = server(Program::Nginx)?.version.clone();
        let program = Program::Nginx.installed().ok_or(Missing::NotInstalled(Program::Nginx))?;
        let failed = |problem| Missing::NotStarted(Program::Nginx, problem);
        let build = build(&program).map_err(failed)?;
        let (child, port) = child::at_some_ports(|| {
            let [port] = child::free_ports(&[])?;
            let child =
                Child::start(&start(&program, &configuration(&build, workers, &http(port))))?;
            child.ready(|| greet(&child, port).map_err(tcp::in_words))?;
            Ok((child, port))
        })
        .map_err(failed)?;
        Ok(Nginx { child, address: (Ipv4Addr::LOCALHOST, port).into(), version })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.child.folder()
    }

    /// Its version: "1.22.1".
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Process id of its master.
    pub fn process(&self) -> u32 {
        self.child.program()
    }
}

/// Returns what is known of nginx before a case starts one.
///
/// # Errors
/// If the program does not tell its version.
pub(crate) fn installed(program: &Path) -> Result<Started, String> {
    let build = build(program)?;
    let (_, version) = build.split_once("nginx/").ok_or("it does not tell its version")?;
    let version = version.split_whitespace().next().map(str::to_owned);
    Ok(Started { children: Children::default(), urls: Vec::new(), version })
}

/// Returns what the program says of its version and of how it was built.
fn build(program: &Path) -> Result<String, String> {
    let output = Command::new(program).arg("-V").output().map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Returns the configuration with this `http` block, for a program built like this.
fn configuration(build: &str, workers: Workers, http: &str) -> String {
    // Workers of a master that is root would be somebody who cannot enter the folder.
    let user = if geteuid().is_root() { "user root;\n" } else { "" };
    let has = |option: &str| option.is_empty() || !build.contains(option);
    let temporary = TEMPORARY.iter().filter(|(_, option)| has(option));
    let temporary: String =
        temporary.map(|(name, _)| format!("{name}_temp_path temporary_{name};\n")).collect();
    let workers = workers.directives();
    format!("{user}{MAIN}{workers}http {{\naccess_log off;\n{temporary}{http}\n}}\n")
}

fn start(program: &Path, configuration: &str) -> Start {
    let program = program.to_string_lossy();
    Start {
        words: ["/bin/sh", "-c", SCRIPT, "worthit-nginx", &program, configuration]
            .map(str::to_owned)
            .to_vec(),
        environment: Vec::new(),
        signal: "TERM",
        patience: Duration::from_secs(30),
    }
}

/// Asks for an answer that nginx gives by itself: no upstream and no cache of a case hears of it.
fn greet(child: &Child, port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    // Another one may have taken the port.
    if !processes::listens(child.program(), port) {
        return Err(io::Error::other(format!("it does not listen at 127.0.0.1:{port}")));
    }
    stream.set_read_timeout(Some(tcp::PATIENCE))?;
    // HTTP/1.1 asks for the name of a host.
    stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    match &answer {
        b"HTTP/" => Ok(()),
        _ => Err(io::Error::other("it does not answer as a web server does")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_that_were_built_get_a_folder() {
        let build = "nginx version: nginx/1.22.1\nconfigure arguments: --without-http_uwsgi_module";
        let configuration = configuration(build, Workers::ONE, "server { }");
        for line in ["client_body_temp_path", "proxy_temp_path", "server { }\n}"] {
            assert!(configuration.contains(&format!("\n{line}")), "{configuration}");
        }
        assert!(!configuration.contains("uwsgi"), "{configuration}");
    }
}
