//! Redis: how it is started, and what it is asked to see that it answers.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{
    child::{self, Child, Children, Start},
    program::{Greeting, Started, address},
    tcp,
};

/// Starts a server on loopback that keeps nothing on disk.
///
/// # Errors
/// If it does not answer.
pub fn start(program: &Path) -> Result<Started, String> {
    let [port] = child::free_ports(&[])?;
    let (child, url) = launch(program, port, &[])?;
    let greeting = child.ready(|| greet(&url)?.of(&child))?;
    Ok(Started { children: Children(vec![child]), urls: vec![url], version: greeting.version })
}

/// Starts three servers on loopback that share all keys of a cluster and have no replicas.
///
/// # Errors
/// If they do not answer or do not find each other.
pub fn start_cluster(program: &Path) -> Result<Started, String> {
    const NODES: usize = 3;
    // They talk to each other at these ports.
    let ports: [u16; NODES] = child::free_ports(&[10_000])?;
    let nodes = ports.map(|port| {
        launch(program, port, &["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"])
    });
    let nodes: Vec<(Child, Url)> = nodes.into_iter().collect::<Result<_, _>>()?;
    for (index, (child, url)) in nodes.iter().enumerate() {
        child.ready(|| greet(url)?.of(child))?;
        share(url, index, NODES, &ports).map_err(tcp::in_words)?;
    }
    let mut version = None;
    for (child, url) in &nodes {
        version = child.ready(|| greet_cluster(url))?.version;
    }
    let (children, urls) = nodes.into_iter().unzip();
    Ok(Started { children: Children(children), urls, version })
}

fn launch(program: &Path, port: u16, more: &[&str]) -> Result<(Child, Url), String> {
    let (program, number) = (program.to_string_lossy(), port.to_string());
    let words = [
        &*program,
        "--bind",
        "127.0.0.1",
        "--port",
        &number,
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
    ];
    let child = Child::start(&Start {
        words: words.iter().chain(more).map(|word| (*word).to_owned()).collect(),
        environment: Vec::new(),
        signal: "TERM",
        patience: Duration::from_secs(30),
    })?;
    Ok((child, address(&format!("redis://127.0.0.1:{port}"))?))
}

/// Gives the server at `url` its part of the slots, which hold the keys, and makes it known to the servers at `ports`.
fn share(url: &Url, index: usize, nodes: usize, ports: &[u16]) -> io::Result<()> {
    const SLOTS: usize = 16_384;
    let mut connection = connect(url)?;
    // Servers believe the one with the higher number, so all must differ.
    ask(&mut connection, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
    let slots = SLOTS * index / nodes..SLOTS * (index + 1) / nodes;
    let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
    let words = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
    ask(&mut connection, &words.collect::<Vec<_>>())?;
    for port in ports {
        ask(&mut connection, &["CLUSTER", "MEET", "127.0.0.1", &port.to_string()])?;
    }
    Ok(())
}

/// Asks the server at `url` for its version, and whether all keys of its cluster can be used.
///
/// # Errors
/// As [`greet`], or if it has no cluster or keys cannot be used.
pub fn greet_cluster(url: &Url) -> Result<Greeting, String> {
    let state = || {
        let mut connection = connect(url)?;
        let text = ask(&mut connection, &["CLUSTER", "INFO"])?;
        match text.lines().find_map(|line| line.strip_prefix("cluster_state:")) {
            Some("ok") => Ok(()),
            Some(state) => Err(io::Error::other(format!("the state of its cluster is {state:?}"))),
            None => Err(rubbish()),
        }
    };
    let greeting = greet(url)?;
    state().map_err(tcp::in_words)?;
    Ok(greeting)
}

/// Asks the server at `url` for its version.
///
/// # Errors
/// If it cannot be reached, refuses the password, or answers something else than a Redis server does.
pub fn greet(url: &Url) -> Result<Greeting, String> {
    info(url).map_err(tcp::in_words)
}

/// Connects and logs in.
fn connect(url: &Url) -> io::Result<BufReader<TcpStream>> {
    let mut connection = BufReader::new(tcp::connect(url, 6379)?);
    if let Some(password) = url.password() {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
        let password = decoded(password);
        let words = ["AUTH"].into_iter().chain(user.as_deref()).chain([&*password]);
        let words: Vec<&str> = words.collect();
        ask(&mut connection, &words)?;
    }
    Ok(connection)
}

fn info(url: &Url) -> io::Result<Greeting> {
    let mut connection = connect(url)?;
    let text = ask(&mut connection, &["INFO", "server"])?;
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let (version, process) = (field("redis_version"), field("process_id"));
    match version.zip(process.and_then(|process| process.parse().ok())) {
        Some((version, process)) => {
            Ok(Greeting { version: Some(version.to_owned()), process: Some(process) })
        }
        None => Err(rubbish()),
    }
}

fn rubbish() -> io::Error {
    io::Error::other("it does not answer as Redis does")
}

/// Sends a command and returns its answer, a simple or a bulk string.
///
/// <https://redis.io/docs/latest/develop/reference/protocol-spec/>
fn ask(connection: &mut BufReader<TcpStream>, words: &[&str]) -> io::Result<String> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    connection.get_mut().write_all(command.as_bytes())?;
    let mut line = Vec::new();
    // What answers otherwise may never end its line.
    connection.by_ref().take(1_024).read_until(b'\n', &mut line)?;
    let line = String::from_utf8(line).map_err(|_| rubbish())?;
    let line = line.strip_suffix("\r\n").ok_or_else(rubbish)?;
    match line.split_at_checked(1) {
        Some(("+", text)) => Ok(text.to_owned()),
        Some(("-", problem)) => Err(io::Error::other(format!("it says {problem:?}"))),
        Some(("$", length)) => {
            let length: u16 = length.parse().map_err(|_| rubbish())?;
            let mut bulk = vec![0; usize::from(length) + 2];
            connection.read_exact(&mut bulk)?;
            String::from_utf8(bulk).map_err(|_| rubbish())
        }
        _ => Err(rubbish()),
    }
}
