//! A link of a stated bandwidth: a proxy on loopback that passes answers on no faster.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::proxy::{Proxy, Schedule};

/// A proxy. Each piece of an answer arrives when the link, which carries one after another, has had the time for its
/// bytes; requests, which are small, arrive at once. It has no latency, and each connection has the bandwidth for itself.
/// Its threads end when it is dropped.
#[derive(Debug)]
pub struct Link {
    proxy: Proxy,
    bytes: Arc<AtomicU64>,
}

impl Link {
    /// Puts a link between clients and the server at `target`. Each thread of the proxy calls `at_start` first.
    ///
    /// # Errors
    /// If loopback cannot be used.
    ///
    /// # Panics
    /// If the bandwidth is zero.
    pub fn to(target: String, megabits_per_second: u64, at_start: fn()) -> io::Result<Link> {
        assert!(megabits_per_second > 0, "a link carries something");
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        let schedule = move || {
            let (counter, mut is_free_at) = (Arc::clone(&counter), None);
            let due = Box::new(move |now: Instant, length: usize| {
                counter.fetch_add(length as u64, SeqCst);
                let start = is_free_at.map_or(now, |free| now.max(free));
                let end = start + time_for(length as u64, megabits_per_second);
                is_free_at = Some(end);
                end
            });
            Schedule { requests: None, answers: Some(due) }
        };
        Ok(Link { proxy: Proxy::to(target, schedule, at_start)?, bytes })
    }

    /// Returns where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// Returns how many bytes of answers the link has carried so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(SeqCst)
    }
}

/// Returns the time that a link takes for some bytes.
pub fn time_for(bytes: u64, megabits_per_second: u64) -> Duration {
    Duration::from_nanos(bytes * 8_000 / megabits_per_second)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::*;
    use crate::proxy::echo;

    /// Sends this number of bytes to a server that echoes them, and waits until all are back.
    fn send(client: &mut TcpStream, bytes: usize) {
        let sent: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        client.write_all(&sent).unwrap();
        let mut received = vec![0; bytes];
        client.read_exact(&mut received).unwrap();
        assert_eq!(received, sent);
    }

    #[test]
    fn answers_take_no_less_than_the_bandwidth_says() {
        assert_eq!(time_for(125_000, 1), Duration::from_secs(1));
        assert_eq!(time_for(1_500, 10), Duration::from_micros(1_200));
        let link = Link::to(echo(), 8, || ()).unwrap();
        let mut client = TcpStream::connect(link.address()).unwrap();
        client.set_nodelay(true).unwrap();
        // A byte takes a microsecond, in one piece or in many.
        for (pieces, bytes) in [(1, 40_000), (40, 1_000)] {
            let (start, before) = (Instant::now(), link.bytes());
            (0..pieces).for_each(|_| send(&mut client, bytes));
            assert!(start.elapsed() >= Duration::from_millis(40), "{:?}", start.elapsed());
            assert_eq!(link.bytes() - before, 40_000);
        }
    }

    #[test]
    fn pieces_that_come_together_wait_for_each_other() {
        let link = Link::to(echo(), 8, || ()).unwrap();
        let mut client = TcpStream::connect(link.address()).unwrap();
        client.set_nodelay(true).unwrap();
        let start = Instant::now();
        for _ in 0..30 {
            client.write_all(&[7; 1_000]).unwrap();
            std::thread::yield_now();
        }
        client.read_exact(&mut [0; 30_000]).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(30), "{:?}", start.elapsed());
        assert_eq!(link.bytes(), 30_000);
    }
}
