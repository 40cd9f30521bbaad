//! A server at a distance: a proxy on loopback that delays every request by a round-trip time.

use std::{io, net::SocketAddr, time::Duration};

use crate::proxy::{Proxy, Schedule};

/// A proxy. What a client sends arrives after the delay, in as many pieces as it was sent in, which travel together;
/// answers come back at once. Its threads end when it is dropped.
#[derive(Debug)]
pub struct Distance(Proxy);

impl Distance {
    /// Puts `delay` between clients and the server at `target`. Each thread of the proxy calls `at_start` first.
    ///
    /// # Errors
    /// If loopback cannot be used.
    pub fn to(target: String, delay: Duration, at_start: fn()) -> io::Result<Distance> {
        let schedule =
            move || Schedule { requests: Some(Box::new(move |now, _| now + delay)), answers: None };
        Proxy::to(target, schedule, at_start).map(Distance)
    }

    /// Returns where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
        thread,
        time::Instant,
    };

    use super::*;
    use crate::proxy::echo;

    #[test]
    fn requests_that_follow_each_other_travel_together() {
        let delay = Duration::from_millis(100);
        let distance = Distance::to(echo(), delay, || ()).unwrap();
        let mut client = TcpStream::connect(distance.address()).unwrap();
        client.set_nodelay(true).unwrap();
        let start = Instant::now();
        let mut answer = [0; 3];
        for request in [b"a", b"b", b"c"] {
            client.write_all(request).unwrap();
            // Each piece is taken before the next one is sent.
            thread::yield_now();
        }
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"abc");
        assert!(start.elapsed() >= delay, "{:?}", start.elapsed());
        // One after the other they take at least as many delays.
        let start = Instant::now();
        for _ in 0..3 {
            client.write_all(b"a").unwrap();
            client.read_exact(&mut answer[..1]).unwrap();
        }
        assert!(start.elapsed() >= 3 * delay, "{:?}", start.elapsed());
    }

    #[test]
    fn much_data_arrives_whole() {
        let distance = Distance::to(echo(), Duration::from_millis(1), || ()).unwrap();
        let client = TcpStream::connect(distance.address()).unwrap();
        let sent: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
        let received = thread::scope(|scope| {
            scope.spawn(|| {
                (&client).write_all(&sent).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            (&client).read_to_end(&mut received).unwrap();
            received
        });
        assert_eq!(received, sent);
    }

    #[test]
    fn dropping_it_ends_its_connections() {
        let distance = Distance::to(echo(), Duration::ZERO, || ()).unwrap();
        let mut client = TcpStream::connect(distance.address()).unwrap();
        client.write_all(b"a").unwrap();
        client.read_exact(&mut [0]).unwrap();
        drop(distance);
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }

    #[test]
    fn a_server_that_is_not_there_closes_the_connection() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let distance = Distance::to(closed.to_string(), Duration::ZERO, || ()).unwrap();
        let mut client = TcpStream::connect(distance.address()).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
}
