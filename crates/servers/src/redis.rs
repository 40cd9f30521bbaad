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
    let [port] = child::free_ports()?;
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
        words: words.map(str::to_owned).to_vec(),
        environment: Vec::new(),
        signal: "TERM",
        patience: Duration::from_secs(30),
    })?;
    let url = address(&format!("redis://127.0.0.1:{port}"))?;
    let greeting = child.ready(|| greet(&url)?.of(&child))?;
    Ok(Started { children: Children(vec![child]), urls: vec![url], version: greeting.version })
}

/// Asks the server at `url` for its version.
///
/// # Errors
/// If it cannot be reached, refuses the password, or answers something else than a Redis server does.
pub fn greet(url: &Url) -> Result<Greeting, String> {
    info(url).map_err(tcp::in_words)
}

fn info(url: &Url) -> io::Result<Greeting> {
    let mut connection = BufReader::new(tcp::connect(url, 6379)?);
    if let Some(password) = url.password() {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
        let password = decoded(password);
        let words = ["AUTH"].into_iter().chain(user.as_deref()).chain([&*password]);
        let words: Vec<&str> = words.collect();
        ask(&mut connection, &words)?;
    }
    let text = ask(&mut connection, &["INFO", "server"])?;
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let (version, process) = (field("redis_version"), field("process_id"));
    match version.zip(process.and_then(|process| process.parse().ok())) {
        Some((version, process)) => {
            Ok(Greeting { version: Some(version.to_owned()), process: Some(process) })
        }
        None => Err(io::Error::other("it does not answer as Redis does")),
    }
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
    let rubbish = || io::Error::other("it does not answer as Redis does");
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
