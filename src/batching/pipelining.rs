//! Send many requests over one connection: write them all, then read all answers.

use std::{
    cell::RefCell,
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    rc::Rc,
    time::Duration,
};

use crate::fixtures::kv_server::{KvServer, parse_answer};
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Pipeline requests",
    review: Review {
        smell: "A loop that sends a request and waits for its answer before it sends the next, although the next \
                does not depend on it.",
        remedy: "Write the requests in one call, then read the answers in order: a pipeline of the Redis client, \
                 HTTP/2, PostgreSQL's pipeline mode.",
        keep_naive_when: "The next request depends on the answer to the last, there is only one, or the \
                          server does not promise answers in order (then tag them).",
        costs: "Requests that were already sent are carried out even if an early answer is an error. And a \
                deadlock, if both ends only write: the server stops reading once its answers fill the socket \
                buffers, and the client blocks once its requests fill theirs. So at most 512 requests are in \
                flight here; to go beyond, read answers on another thread or task while writing.",
        lint: None,
    },
    naive: Side { summary: "request, wait, request", growth: Growth::Linear },
    optimized: Side {
        summary: "write all requests, then read all answers",
        growth: Growth::Linear,
    },
    input: "Random keys of a key-value server, asked for over one connection; every other key has a value. A \
            request and an answer are one line of at most 21 bytes each, and no request needs the answer to \
            another.",
    axis: Axis {
        name: "requests",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64, 256], deep: &[4_096] },
    },
    parameter: Some(Parameter {
        name: "round-trip time",
        levels: Levels::Fixed(&[
            Level { label: "loopback", value: 0, origin: Origin::Measured },
            Level {
                label: "rtt=1ms",
                value: 1_000,
                origin: Origin::Distance { rtt_us: 1_000, confirmed_at: &[16] },
            },
            Level {
                label: "rtt=30ms",
                value: 30_000,
                origin: Origin::Distance { rtt_us: 30_000, confirmed_at: &[] },
            },
        ]),
    }),
    unit: "request",
    causes: &[
        Claim {
            cause: causes::ROUND_TRIPS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|case| case.point.div_ceil(WINDOW as u64)),
        },
        Claim {
            cause: causes::WRITE_CALLS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|case| case.point.div_ceil(WINDOW as u64)),
        },
    ],
    explanation: "One round trip per request became one for all of them. At a distance the gain is that ratio. \
                  Over loopback a round trip is two switches between threads and four system calls, as much as the \
                  server's work for some tens of requests. The gain settles at that ratio, because formatting, \
                  looking up and parsing are left.",
    limit: Limit::RoundTrips(|case| case.point.div_ceil(WINDOW as u64)),
    proof: Proof { resources: Resources::System, max_size: 1_200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Largest number of requests in flight. At 21 bytes each, the longest, that is 11 KB each way, which socket
/// buffers hold: the two ends never both wait to write.
const WINDOW: usize = 512;

/// The client's end of a connection.
struct Connection<S> {
    stream: BufReader<S>,
    request: String,
    answer: String,
}

impl<S: Read + Write> Connection<S> {
    fn new(stream: S) -> Connection<S> {
        let stream = BufReader::with_capacity(64 * 1024, stream);
        Connection { stream, request: String::new(), answer: String::new() }
    }

    /// Writes the requests for `keys` in one call.
    fn send(&mut self, keys: &[u64]) -> io::Result<()> {
        self.request.clear();
        for key in keys {
            writeln!(self.request, "{key}").expect("a String takes it");
        }
        self.stream.get_mut().write_all(self.request.as_bytes())
    }

    /// Reads the next answer.
    fn receive(&mut self) -> io::Result<Option<u64>> {
        self.answer.clear();
        self.stream.read_line(&mut self.answer)?;
        parse_answer(&self.answer)
    }
}

/// The values of `keys`, in order.
fn naive<S: Read + Write>(
    server: &mut Connection<S>,
    keys: &[u64],
) -> io::Result<Vec<Option<u64>>> {
    keys.iter()
        .map(|key| {
            server.send(std::slice::from_ref(key))?;
            server.receive()
        })
        .collect()
}

/// The values of `keys`, in order.
fn optimized<S: Read + Write>(
    server: &mut Connection<S>,
    keys: &[u64],
) -> io::Result<Vec<Option<u64>>> {
    let mut values = Vec::with_capacity(keys.len());
    for keys in keys.chunks(WINDOW) {
        server.send(keys)?;
        for _ in keys {
            values.push(server.receive()?);
        }
    }
    Ok(values)
}

/// A stream that counts round trips: the reads after a write, each of which awaits an answer.
struct RoundTrips<S> {
    stream: S,
    is_waiting_next: bool,
    count: u64,
}

impl<S: Read> Read for RoundTrips<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.count += u64::from(std::mem::take(&mut self.is_waiting_next));
        self.stream.read(bytes)
    }
}

impl<S: Write> Write for RoundTrips<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_waiting_next = true;
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn round_trips(
    stream: TcpStream,
    side: impl Fn(&mut Connection<RoundTrips<TcpStream>>) -> io::Result<Vec<Option<u64>>>,
) -> u64 {
    let mut server = Connection::new(RoundTrips { stream, is_waiting_next: false, count: 0 });
    side(&mut server).expect("the server answers");
    server.stream.get_ref().count
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let keys = Rc::new(case.values(case.point as usize));
    // Every other key has a value.
    let store = keys.iter().step_by(2).map(|key| (*key, key.wrapping_mul(31))).collect();
    let server = Rc::new(KvServer::start(store, Duration::from_micros(case.level))?);
    // Both sides share one connection. With two, the scheduler may put one server thread on the
    // client's core and the other elsewhere, which changes the round-trip time several times over.
    let connection = Rc::new(RefCell::new(Connection::new(server.connect()?)));
    // Each side keeps the server. Dropping the last side ends it.
    let state = || (Rc::clone(&connection), Rc::clone(&keys), Rc::clone(&server));
    let counted = state();
    Ok(Trial::new(
        keys.len() as u64,
        resetting(
            state(),
            |_| {},
            |(server, keys, _)| naive(&mut server.borrow_mut(), keys).expect(ANSWERS),
        ),
        resetting(
            state(),
            |_| {},
            |(server, keys, _)| optimized(&mut server.borrow_mut(), keys).expect(ANSWERS),
        ),
    )
    .units(keys.len() as u64)
    .counting(move |role, counts| {
        let (_, keys, server) = &counted;
        let stream = server.connect().expect("the server accepted the other connections");
        let count = round_trips(stream, |server| match role {
            Role::Naive => naive(server, keys),
            _ => optimized(server, keys),
        });
        counts.set(causes::ROUND_TRIPS, count);
    }))
}

const ANSWERS: &str = "the server answers";

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> KvServer {
        KvServer::start([(1, 10), (2, 20), (u64::MAX, 0)].into(), Duration::ZERO).unwrap()
    }

    #[test]
    fn known_answers() {
        let server = server();
        let mut connection = Connection::new(server.connect().unwrap());
        let expected = [Some(20), None, Some(10), Some(0), Some(20)];
        for ask in [naive, optimized] {
            assert_eq!(ask(&mut connection, &[2, 3, 1, u64::MAX, 2]).unwrap(), expected);
            assert_eq!(ask(&mut connection, &[]).unwrap(), []);
        }
    }

    #[test]
    fn a_server_that_is_gone_is_an_error() {
        let server = server();
        let mut connection = Connection::new(server.connect().unwrap());
        drop(server);
        assert!(naive(&mut connection, &[1]).is_err());
        assert!(optimized(&mut connection, &[1]).is_err());
    }

    #[test]
    fn trap_requests_in_flight_are_bounded_so_that_nobody_deadlocks() {
        let server = server();
        let stream = server.connect().unwrap();
        // Turns a deadlock into an error.
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut connection = Connection::new(stream);
        // Written at once these would be 4 MB each way. Some systems' buffers hold that, so the
        // count below checks too.
        let keys = vec![u64::MAX; 200_000];
        assert_eq!(optimized(&mut connection, &keys).unwrap(), vec![Some(0); keys.len()]);
        assert_eq!(round_trips(server.connect().unwrap(), |s| optimized(s, &keys)), 391);
    }

    #[test]
    fn trap_the_naive_side_waits_once_for_each_request_and_no_longer() {
        // With Nagle's algorithm on, small writes would wait for delayed acknowledgements, and the
        // pair would show another technique's gain.
        let server = server();
        assert!(server.connect().unwrap().nodelay().unwrap());
        assert_eq!(round_trips(server.connect().unwrap(), |s| naive(s, &[1; 100])), 100);
    }
}
