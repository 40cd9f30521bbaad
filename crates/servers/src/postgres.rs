//! PostgreSQL: how it is started, and what it is asked to see that it answers.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::rand::GetRandomFlags;
use url::Url;

use crate::{
    child::{self, Child, Children, Start},
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
    let [port] = child::free_ports()?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    let password = password();
    let words =
        ["/bin/sh", "-c", SCRIPT, "worthit-postgres", &folder.to_string_lossy(), &port.to_string()];
    let url = address(&format!("postgres://worthit:{password}@127.0.0.1:{port}/postgres"))?;
    let child = Child::start(&Start {
        words: words.map(str::to_owned).to_vec(),
        environment: vec![("WORTHIT_PASSWORD", password)],
        // It ends the sessions and writes what is in memory.
        signal: "INT",
        patience: Duration::from_secs(30),
    })?;
    child.ready(|| greet(&url))?;
    let version = version(program);
    Ok(Started { children: Children(vec![child]), urls: vec![url], version })
}

/// Returns the version of the program, if it tells: "15.18" of "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    version.split_whitespace().next().map(str::to_owned)
}

/// Returns a password that nobody can guess. Whoever knows it can run programs as the server's user.
fn password() -> String {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())
        .expect("sixteen bytes are never too many");
    format!("{:032x}", u128::from_le_bytes(random))
}

/// Begins a session and sees how the server answers: it asks for a password, or is content without.
///
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
///
/// # Errors
/// If it cannot be reached, is not ready, or answers something else than a PostgreSQL server does.
pub fn greet(url: &Url) -> Result<Greeting, String> {
    begin(url).map_err(tcp::in_words)
}

fn begin(url: &Url) -> io::Result<Greeting> {
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
