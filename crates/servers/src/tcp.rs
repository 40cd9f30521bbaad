//! Connections to servers that may not answer.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use url::Url;

/// Time in which a server must accept a connection and answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to the server at `url`; `port` is the usual one.
///
/// # Errors
/// If no address of its host accepts a connection.
pub fn connect(url: &Url, port: u16) -> io::Result<TcpStream> {
    let (host, port) = (url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(port));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::other(format!("{host} has no address"));
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Returns an error of such a connection in words.
pub fn in_words(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("it does not answer within {} s", PATIENCE.as_secs())
        }
        _ => error.to_string(),
    }
}
