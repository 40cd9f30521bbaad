//! A proxy on loopback that passes each piece of data on when it is due: what a distance and a link have in common.

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
    time::Instant,
};

/// Returns when a piece is due, given the time at which it came and its length in bytes.
pub type Due = Box<dyn FnMut(Instant, usize) -> Instant + Send>;

/// When the pieces of one connection are due, in each direction; `None` if at once.
pub struct Schedule {
    /// From the client to the server.
    pub requests: Option<Due>,
    /// From the server to the client.
    pub answers: Option<Due>,
}

/// A proxy. Pieces arrive as they were sent, when they are due. Its threads end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
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

impl Proxy {
    /// Stands between clients and the server at `target`. Each connection has a schedule of its own; each thread of the
    /// proxy calls `at_start` first.
    ///
    /// # Errors
    /// If loopback cannot be used.
    pub fn to(
        target: String,
        schedule: impl Fn() -> Schedule + Send + 'static,
        at_start: fn(),
    ) -> io::Result<Proxy> {
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
                    let _ =
                        client.and_then(|client| connect(&client, &target, schedule(), &shared));
                }
            })
        };
        Ok(Proxy { address, shared, accepting: Some(accepting) })
    }

    /// Returns where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
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

/// Connects a client with the server.
fn connect(
    client: &TcpStream,
    target: &str,
    schedule: Schedule,
    shared: &Shared,
) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
        lock(&shared.connections).push(stream.try_clone()?);
    }
    pass_on(client.try_clone()?, server.try_clone()?, schedule.requests, shared);
    pass_on(server, client.try_clone()?, schedule.answers, shared);
    Ok(())
}

/// Passes on what comes from one end to the other. If it is due at once, one thread does; else one takes pieces and the
/// time, and another one passes them on when they are due.
fn pass_on(mut from: TcpStream, mut to: TcpStream, due: Option<Due>, shared: &Shared) {
    let at_start = shared.at_start;
    let start = |work: Box<dyn FnOnce() + Send>| {
        let thread = thread::spawn(move || {
            at_start();
            work();
        });
        lock(&shared.threads).push(thread);
    };
    let Some(mut due) = due else {
        return start(Box::new(move || {
            // An error means that one end is gone, which the other learns.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        }));
    };
    let (sender, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
    start(Box::new(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if sender.send((due(Instant::now(), length), piece[..length].to_vec())).is_err() {
                return;
            }
        }
    }));
    start(Box::new(move || {
        // The kernel may end a sleep late by the timer slack, 50 µs by default.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        for (at, piece) in pieces {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // Fails if it is closed already.
        let _ = to.shutdown(Shutdown::Write);
    }));
}

/// Starts a server that sends back what it gets, and returns its address.
#[cfg(test)]
pub(crate) fn echo() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}
