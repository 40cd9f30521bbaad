//! RabbitMQ: how it is started, and what it is asked to see that it answers.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use url::Url;

use crate::{
    child::{self, Child, Children, Start},
    password,
    program::{Greeting, Started, address, in_path, is_program},
    tcp,
};

/// The script that makes the folders and the configuration and becomes the server.
const SCRIPT: &str = include_str!("rabbitmq.sh");

/// Returns the program that Debian's `rabbitmq-server` runs as a user of its own. It runs as every user.
pub fn installed() -> Option<PathBuf> {
    let path = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    if is_program(&path) { Some(path) } else { in_path("rabbitmq-server") }
}

/// Starts a node on loopback, with a password that nobody else knows and without plugins. What it promises to keep it
/// writes to the device, as by default.
///
/// Nodes of Erlang find each other by a daemon, `epmd`, which a node starts if there is none. It would outlive the node, so
/// this node has its own.
///
/// # Errors
/// If it does not answer.
pub fn start(program: &Path) -> Result<Started, String> {
    let [port, names, distribution] = child::free_ports(&[])?;
    let names_daemon =
        in_path("epmd").ok_or("epmd is not installed: apt-get install erlang-base")?;
    let names_daemon =
        [&*names_daemon.to_string_lossy(), "-address", "127.0.0.1", "-port", &names.to_string()]
            .map(str::to_owned);
    let daemon = Child::start(&Start {
        words: names_daemon.to_vec(),
        environment: Vec::new(),
        signal: "TERM",
        patience: Duration::from_secs(30),
    })?;
    let place = address(&format!("epmd://127.0.0.1:{names}"))?;
    daemon.ready(|| tcp::connect(&place, names).map_err(tcp::in_words))?;

    let (password, name) = (password::choose(), format!("worthit_{:016x}", fastrand::u64(..)));
    let url = address(&format!("amqp://worthit:{password}@127.0.0.1:{port}/%2f"))?;
    let words = [
        "/bin/sh",
        "-c",
        SCRIPT,
        "worthit-rabbitmq",
        &program.to_string_lossy(),
        &port.to_string(),
    ];
    let child = Child::start(&Start {
        words: words.map(str::to_owned).to_vec(),
        environment: vec![
            ("WORTHIT_PASSWORD", password),
            ("WORTHIT_COOKIE", password::choose()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", names.to_string()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_NODENAME", format!("{name}@localhost")),
        ],
        // To end by itself takes it a second, and its files are removed anyway.
        signal: "KILL",
        // It takes five seconds alone on two cores.
        patience: Duration::from_secs(120),
    })?;
    let greeting = child.ready(|| match hello(&url).map_err(tcp::in_words)? {
        // The name of the cluster is that of the node, at the machine's name.
        (greeting, cluster) if cluster.split('@').next() == Some(&name) => Ok(greeting),
        _ => Err("another server has taken the port".to_owned()),
    })?;
    // The node ends first.
    let children = Children(vec![child, daemon]);
    Ok(Started { children, urls: vec![url], version: greeting.version })
}

/// Begins a connection and reads what the server tells of itself before anybody has logged in.
///
/// # Errors
/// If it cannot be reached, or answers something else than a RabbitMQ server does.
pub fn greet(url: &Url) -> Result<Greeting, String> {
    hello(url).map(|(greeting, _)| greeting).map_err(tcp::in_words)
}

/// Returns a server's greeting and the name of its cluster: that of its first node, if nobody has changed it.
///
/// <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, sections 4.2.2 to 4.2.5
fn hello(url: &Url) -> io::Result<(Greeting, String)> {
    /// A frame of a method, of the connection itself (channel 0).
    const METHOD: [u8; 3] = [1, 0, 0];
    /// The class `connection`, its method `start`, version 0-9 of the protocol.
    const START: [u8; 6] = [0, 10, 0, 10, 0, 9];
    let mut stream = tcp::connect(url, 5672)?;
    stream.write_all(b"AMQP\0\0\x09\x01")?;
    let rubbish = || io::Error::other("it does not answer as RabbitMQ does");
    let mut read = |bytes: &mut [u8]| {
        stream.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => rubbish(),
            _ => error,
        })
    };
    let mut head = [0; 7];
    read(&mut head)?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    // No server tells more than some lines of itself.
    if head[..3] != METHOD || length > 65_536 {
        return Err(rubbish());
    }
    let mut body = vec![0; length as usize];
    read(&mut body)?;
    let version = property(&body, "version");
    match version.zip(property(&body, "cluster_name")) {
        Some((version, cluster)) if body.starts_with(&START) => {
            Ok((Greeting { version: Some(version), process: None }, cluster))
        }
        _ => Err(rubbish()),
    }
}

/// Returns a text from a table of fields: a short name with its length, the type, a long text with its length.
fn property(table: &[u8], name: &str) -> Option<String> {
    let mut field = vec![name.len() as u8];
    field.extend(name.as_bytes());
    field.push(b'S');
    let begin = table.windows(field.len()).position(|bytes| bytes == field)? + field.len();
    let (length, text) = table[begin..].split_first_chunk()?;
    let text = text.get(..u32::from_be_bytes(*length) as usize)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_tables() {
        let table = b"\x07productS\0\0\0\x01x\x07versionS\0\0\0\x063.10.8\x04trueS\0\0\0\x09cut";
        assert_eq!(property(table, "version").as_deref(), Some("3.10.8"));
        for missing in ["cluster_name", "true", "product\0"] {
            assert_eq!(property(table, missing), None, "{missing}");
        }
    }
}
