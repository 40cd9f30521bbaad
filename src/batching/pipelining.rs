//! Ask many questions over one connection: write all, then read all answers.

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
        smell: "A loop that sends a request and waits for its answer before it sends the next, which does \
                not depend on it.",
        remedy: "Write the requests in one call, then read the answers in their order: a pipeline of the \
                 Redis client, HTTP/2, PostgreSQL's pipeline mode.",
        keep_naive_when: "The next request depends on the answer to the last, there is only one, or the \
                          server does not promise answers in order (then tag them).",
        costs: "What was already sent is carried out even if an early answer is an error. And a deadlock, \
                if both sides only write: the server stops reading once its answers fill the socket \
                buffers, and the client once its requests do. So the requests in flight are bounded here, \
                at 512; to go beyond, read answers on another thread or task while writing.",
        lint: None,
    },
    naive: Side { summary: "request, wait, request", growth: Growth::Linear },
    optimized: Side {
        summary: "write all requests, then read all answers",
        growth: Growth::Linear,
    },
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
    explanation: "As many round trips as requests became one. At a distance that is the gain, request for \
                  request. Over loopback a round trip is two switches between threads and four \
                  system calls, some tens of requests' worth of work at the server, and that ratio is \
                  where the gain settles: what is left is formatting, looking up and parsing.",
    limit: Limit::RoundTrips(|case| case.point.div_ceil(WINDOW as u64)),
    proof: Proof { resources: Resources::System, max_size: 1_200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Requests in flight at most. At their longest, 21 bytes, that is 11 KB each way, which the buffers
/// of a socket hold: neither end ever waits to write while the other does.
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

    /// The next answer.
    fn receive(&mut self) -> io::Result<Option<u64>> {
        self.answer.clear();
        self.stream.read_line(&mut self.answer)?;
        parse_answer(&self.answer)
    }
}

/// The values of `keys`, in their order.
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

/// The values of `keys`, in their order.
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

/// A stream that counts how often it is read after it was written: each time an answer is awaited.
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
    // Both sides over one connection: over two, the scheduler may put one's thread of the server on
    // the client's core and the other's elsewhere, which changes a round trip several times over.
    let connection = Rc::new(RefCell::new(Connection::new(server.connect()?)));
    // The server is kept with each side, and ends with the last.
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
        let stream = server.connect().expect("it took the others");
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
        // A deadlock ends in an error.
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut connection = Connection::new(stream);
        // Written at once these would be 4 MB each way: more than some systems' buffers, less than
        // others', hence the count below.
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
