//! PostgreSQL: how it is started, and what it is asked to see that it answers.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use url::Url;

use crate::{
    child::{self, Child, Children, Start},
    password,
    program::{Greeting, Started, address, is_program},
    tcp,
};

/// The script that makes a data folder and becomes the server.
const SCRIPT: &str = include_str!("postgres.sh");
/// The error code of a server that is not ready yet: "cannot_connect_now" (PostgreSQL, appendix A).
const STARTING: &str = "57P03";

/// Returns the newest program of those that Debian keeps side by side, outside of `PATH`.
pub fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let program = |entry: fs::DirEntry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let path = entry.path().join("bin/postgres");
        is_program(&path).then_some((version, path))
    };
    versions.filter_map(program).max().map(|(_, path)| path)
}

/// Starts a server on loopback with a data folder of its own and a password that nobody else knows. What it promises to
/// keep it writes to the device, as by default.
///
/// # Errors
/// If it does not answer.
pub fn start(program: &Path) -> Result<Started, String> {
    let ports: [u16; 1] = child::free_ports(&[])?;
    let server = launch(program, ports[0], None, &password::choose(), &["max_connections=400"])?;
    answering(program, vec![server])
}

/// Starts a primary and a replica that follows it, with the same password.
///
/// # Errors
/// If one of them does not answer.
pub fn start_with_replica(program: &Path) -> Result<Started, String> {
    let [port, of_replica] = child::free_ports(&[])?;
    let (password, settings) = (password::choose(), ["max_connections=200"]);
    let (primary, url) = launch(program, port, None, &password, &settings)?;
    primary.ready(|| greet(&url))?;
    // It answers as soon as it has what the primary had when it was copied, and then follows.
    let replica = launch(program, of_replica, Some(port), &password, &settings)?;
    answering(program, vec![(primary, url), replica])
}

/// Starts four servers that do not know of each other, with the same password.
///
/// # Errors
/// If one of them does not answer.
pub fn start_shards(program: &Path) -> Result<Started, String> {
    let ports: [u16; 4] = child::free_ports(&[])?;
    let password = password::choose();
    // Together they use no more memory than a single one.
    let settings = ["max_connections=100", "shared_buffers=32MB"];
    let shards = ports.map(|port| launch(program, port, None, &password, &settings));
    answering(program, shards.into_iter().collect::<Result<_, _>>()?)
}

/// Starts a server that does not answer yet; with the data of the one at the port `primary`, if given.
fn launch(
    program: &Path,
    port: u16,
    primary: Option<u16>,
    password: &str,
    settings: &[&str],
) -> Result<(Child, Url), String> {
    let folder = program.parent().unwrap_or(Path::new("/")).to_string_lossy();
    let (number, primary) =
        (port.to_string(), primary.map(|port| port.to_string()).unwrap_or_default());
    let words = ["/bin/sh", "-c", SCRIPT, "worthit-postgres", &folder, &number, &primary];
    let child = Child::start(&Start {
        words: words.iter().chain(settings).map(|word| (*word).to_owned()).collect(),
        environment: vec![("WORTHIT_PASSWORD", password.to_owned())],
        // It ends the sessions and writes what is in memory.
        signal: "INT",
        patience: Duration::from_secs(60),
    })?;
    Ok((child, address(&format!("postgres://worthit:{password}@127.0.0.1:{port}/postgres"))?))
}

/// Waits until all servers answer.
fn answering(program: &Path, servers: Vec<(Child, Url)>) -> Result<Started, String> {
    for (child, url) in &servers {
        child.ready(|| greet(url))?;
    }
    let (children, urls) = servers.into_iter().unzip();
    Ok(Started { children: Children(children), urls, version: version(program) })
}

/// Returns the version of the program, if it tells: "15.18" of "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    version.split_whitespace().next().map(str::to_owned)
}

/// Begins a session and sees how the server answers: it asks for a password, or is content without.
///
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
///
/// # Errors
/// If it cannot be reached, is not ready, or answers something else than a PostgreSQL server does.
pub fn greet(url: &Url) -> Result<Greeting, String> {
    session(url).map_err(tcp::in_words)
}

fn session(url: &Url) -> io::Result<Greeting> {
    let mut stream = tcp::connect(url, 5432)?;
    let user = Some(url.username()).filter(|user| !user.is_empty()).unwrap_or("postgres");
    // Its length, which comes last, and the version of the protocol, 3.0.
    let mut message = vec![0; 4];
    message.extend(196_608_u32.to_be_bytes());
    for text in ["user", user, "database", "postgres", ""] {
        message.extend(text.as_bytes());
        message.push(0);
    }
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&message)?;
    let rubbish = || io::Error::other("it does not answer as PostgreSQL does");
    let mut read = |bytes: &mut [u8]| {
        stream.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => rubbish(),
            _ => error,
        })
    };
    let mut head = [0; 5];
    read(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    // The length counts itself. No refusal is longer than some lines.
    let mut body = vec![0; length.saturating_sub(4).min(4_096) as usize];
    match head[0] {
        b'R' => Ok(Greeting::default()),
        b'E' => {
            read(&mut body)?;
            let fields: Vec<String> = body
                .split(|byte| *byte == 0)
                .map(|field| String::from_utf8_lossy(field).into_owned())
                .collect();
            let field = |name| fields.iter().find_map(|field| field.strip_prefix(name));
            match (field('C'), field('M')) {
                (Some(STARTING), Some(_)) => Err(io::Error::other("it is not ready yet")),
                (Some(_), Some(message)) => Err(io::Error::other(format!("it says {message:?}"))),
                _ => Err(rubbish()),
            }
        }
        _ => Err(rubbish()),
    }
}
