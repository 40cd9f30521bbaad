//! A server at a distance: a proxy on loopback that delays every request by a round-trip time.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A proxy. What a client sends arrives after the delay, in as many pieces as it was sent in, which travel together;
/// answers come back at once. Its threads end when it is dropped.
#[derive(Debug)]
pub struct Distance {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    is_over: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    at_start: fn(),
}

impl Distance {
    /// Puts `delay` between clients and the server at `target`. Each thread of the proxy calls `at_start` first.
    ///
    /// # Errors
    /// If loopback cannot be used.
    pub fn to(target: String, delay: Duration, at_start: fn()) -> io::Result<Distance> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (is_over, connections, threads) =
            (AtomicBool::new(false), Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { is_over, connections, threads, at_start });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                at_start();
                for client in listener.incoming() {
                    if shared.is_over.load(SeqCst) {
                        return;
                    }
                    // A connection that fails is closed, as a distant server would do it.
                    let _ = client.and_then(|client| connect(&client, &target, delay, &shared));
                }
            })
        };
        Ok(Distance { address, shared, accepting: Some(accepting) })
    }

    /// Returns where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        self.shared.is_over.store(true, SeqCst);
        // Wakes the accepting thread, which is gone already if this fails.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().expect("the proxy does not panic");
        }
        for connection in lock(&self.shared.connections).drain(..) {
            // Fails if it is closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
        let threads: Vec<JoinHandle<()>> = lock(&self.shared.threads).drain(..).collect();
        for thread in threads {
            thread.join().expect("the proxy does not panic");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects a client with the server, by three threads: one takes requests and the time, one passes them on when they
/// are due, one passes answers back.
fn connect(
    client: &TcpStream,
    target: &str,
    delay: Duration,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
        lock(&shared.connections).push(stream.try_clone()?);
    }
    let (sent, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let (mut from_client, mut to_client) = (client.try_clone()?, client.try_clone()?);
    let (mut to_server, mut from_server) = (server.try_clone()?, server);
    let at_start = shared.at_start;
    let take = thread::spawn(move || {
        at_start();
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut piece) {
            if sent.send((Instant::now() + delay, piece[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    let pass_on = thread::spawn(move || {
        at_start();
        // The kernel may end a sleep late by the timer slack, 50 µs by default.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        for (at, piece) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to_server.write_all(&piece).is_err() {
                break;
            }
        }
        // Fails if it is closed already.
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let pass_back = thread::spawn(move || {
        at_start();
        // An error means that one end is gone, which the other learns.
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    lock(&shared.threads).extend([take, pass_on, pass_back]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        address
    }

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
