//! Send many requests over one connection: write them all, then read all answers.

use std::{
    cell::RefCell,
    collections::HashSet,
    fmt::Write as _,
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    rc::Rc,
    time::Duration,
};

use crate::fixtures::{
    distance,
    kv_server::{KvServer, parse_answer},
};
use worthit_pair::{causes::Event, prelude::*};

/// Distances of the server; the one of a millisecond is confirmed.
const DISTANCES: [Level; 3] = distance::levels(&[16]);

pub const PAIR: Pair = Pair {
    title: "Pipeline requests",
    review: Review {
        smell: "A loop that sends a request and waits for its answer before it sends the next, although the next \
                does not depend on it.",
        remedy: "Write the requests in one call, then read the answers in order. A client may offer it: a Redis \
                 pipeline, HTTP/2, PostgreSQL's pipeline mode.",
        keep_naive_when: "The next request depends on the answer to the last, there is only one, or the \
                          server does not promise answers in order (then tag them).",
        costs: "Requests that were already sent are carried out even if an early answer is an error. And a \
                deadlock, if both ends only write: the server stops reading once its answers fill the socket \
                buffers, and the client blocks once its requests fill theirs. So at most 512 requests are in \
                flight here; to go beyond, read answers on another thread or task while writing.",
        lint: Lint::None,
    },
    naive: Side { summary: "request, wait, request", growth: Growth::Linear },
    optimized: Side {
        summary: "write all requests, then read all answers",
        growth: Growth::Other(
            "a round trip, whose time the scheduler decides, and a little work for each request",
        ),
    },
    input: "Random keys of a key-value server, asked for over one connection by one client in a closed loop; every \
            other key has a value. A request and an answer are one line of at most 21 bytes each, and no request \
            needs the answer to another.",
    axis: Axis {
        name: "requests",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64, 256], deep: &[4_096] },
    },
    parameter: Some(Parameter { name: "round-trip time", levels: Levels::Fixed(&DISTANCES) }),
    unit: "request",
    headline: Headline::At { level: "loopback", point: 64 },
    causes: &[
        Claim {
            cause: causes::ROUND_TRIPS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(windows),
        },
        Claim {
            cause: causes::WRITE_CALLS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(windows),
        },
    ],
    explanation: Explanation {
        why: "One round trip per request became one for all that are in flight. At a distance the gain is that ratio. \
              Over loopback a round trip is two switches between threads and four system calls, and formatting, \
              looking up and parsing are left, which both sides do alike. The gain falls behind the ratio as these \
              add up to a round trip.",
        share_of_cause: ShareOfCause::Within(0.4, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the same key again and again",
        reason: "requests would be as short as the key, and the server would look up one entry in its nearest cache",
        check: |inputs: &[Vec<u64>]| {
            let keys: HashSet<u64> = inputs.iter().flatten().copied().collect();
            let requests: usize = inputs.iter().map(Vec::len).sum();
            ensure(keys.len() == requests, || format!("{} keys in {requests} requests", keys.len()))
        },
        sprung: || vec![vec![7; 64]; 16],
    }],
    limit: Limit::Work(&[
        Work::RoundTrips(windows),
        Work::Waiting(|case| windows(case) * case.level * 1_000),
    ]),
    proof: Proof { resources: Resources::System, max_size: 1_200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Sets of keys in the rotation.
fn turns(requests: u64) -> u64 {
    if requests < 16 { 64 } else { 16 }
}

/// Largest number of requests in flight. At 21 bytes each, the longest, that is 11 KB each way, which socket
/// buffers hold: the two ends never both wait to write.
const WINDOW: usize = 512;

/// Round trips of the optimized side.
fn windows(case: &Case) -> u64 {
    case.point.div_ceil(WINDOW as u64)
}

/// The client's end of a connection. It counts the answers that it awaits: the first one after each write.
struct Connection {
    stream: BufReader<TcpStream>,
    request: String,
    answer: String,
    is_awaiting: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        let stream = BufReader::with_capacity(64 * 1024, stream);
        Connection { stream, request: String::new(), answer: String::new(), is_awaiting: false }
    }

    /// Writes the requests for `keys` in one call.
    fn send(&mut self, keys: &[u64]) -> io::Result<()> {
        self.request.clear();
        for key in keys {
            writeln!(self.request, "{key}").expect("a String takes it");
        }
        self.is_awaiting = true;
        self.stream.get_mut().write_all(self.request.as_bytes())
    }

    /// Reads the next answer.
    fn receive(&mut self) -> io::Result<Option<u64>> {
        if std::mem::take(&mut self.is_awaiting) {
            causes::count(Event::RoundTrip, 1);
        }
        self.answer.clear();
        self.stream.read_line(&mut self.answer)?;
        parse_answer(&self.answer)
    }
}

/// A side: the values of the keys, in order.
type AskAll = fn(&mut Connection, &[u64]) -> io::Result<Vec<Option<u64>>>;

/// A connection with its server. Both sides share one: with two, the scheduler may put one server thread on the
/// client's core and the other elsewhere, which changes the round-trip time several times over.
struct Session {
    connection: RefCell<Connection>,
    _server: KvServer,
}

/// The values of `keys`, in order.
fn naive(server: &mut Connection, keys: &[u64]) -> io::Result<Vec<Option<u64>>> {
    keys.iter()
        .map(|key| {
            server.send(std::slice::from_ref(key))?;
            server.receive()
        })
        .collect()
}

/// The values of `keys`, in order.
fn optimized(server: &mut Connection, keys: &[u64]) -> io::Result<Vec<Option<u64>>> {
    let mut values = Vec::with_capacity(keys.len());
    for keys in keys.chunks(WINDOW) {
        server.send(keys)?;
        for _ in keys {
            values.push(server.receive()?);
        }
    }
    Ok(values)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), |case| case.values(case.point as usize));
    // Every other key has a value.
    let known = inputs.iter().flat_map(|keys| keys.iter().step_by(2));
    let store = known.map(|key| (*key, key.wrapping_mul(31))).collect();
    let server = KvServer::start(store, Duration::from_micros(case.level))?;
    let connection = RefCell::new(Connection::new(server.connect()?));
    let session = Rc::new(Session { connection, _server: server });
    let over = |side: AskAll| {
        let session = Rc::clone(&session);
        by_ref(&inputs, move |keys: &Vec<u64>| {
            side(&mut session.connection.borrow_mut(), keys).expect("the server answers")
        })
    };
    let trial = Trial::new(inputs.measured(|keys| keys.len() as u64), over(naive), over(optimized));
    Ok(trial.units(inputs[0].len() as u64))
}

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
        // Written at once these would be 4 MB each way, more than the buffers of most systems hold.
        let keys = vec![u64::MAX; 200_000];
        assert_eq!(optimized(&mut connection, &keys).unwrap(), vec![Some(0); keys.len()]);
    }

    /// With Nagle's algorithm on, small writes would wait for delayed acknowledgements, and the pair would show
    /// another technique's gain.
    #[test]
    fn trap_small_requests_leave_at_once() {
        assert!(server().connect().unwrap().nodelay().unwrap());
    }
}
