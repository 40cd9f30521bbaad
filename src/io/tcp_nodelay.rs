//! Send a small message in two writes: at once, not when the first part has been acknowledged.

use std::{
    cell::Cell,
    collections::HashSet,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use worthit_pair::{case::fnv1a, prelude::*};

/// Writes that the kernel holds back.
const HELD_BACK: Cause = Cause::new("held_back", "writes held back for an acknowledgement")
    .counted("over a stream that holds a write back whenever Nagle's algorithm does");

pub const PAIR: Pair = Pair {
    title: "Send small messages at once",
    review: Review {
        smell: "Two writes to a bare `TcpStream` for one message (a length and a body, a head and a payload), and then a \
                read of the answer. `write!` with arguments to a socket makes one for each piece of its format string.",
        remedy: "`socket.set_nodelay(true)?` when the connection is opened, at each end that writes. And write a message \
                 with one call, as the alternative does.",
        keep_naive_when: "The socket carries a stream of small writes that nobody waits for, and there is no `BufWriter` in \
                          front of it: then Nagle's algorithm packs them into fewer packets. Or each message is written \
                          with one call and waits for its answer, or is longer than a packet: Nagle's algorithm does not \
                          hold these back.",
        costs: "Each write is a packet of its own, with its headers, and one more that both kernels handle: whoever sets \
                `TCP_NODELAY` must buffer. Only the end that has set it sends at once, so the other needs it as well if \
                it answers in pieces.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "two writes with the system's defaults",
        growth: Growth::Other(
            "the timer of a delayed acknowledgement, up to the length of a packet",
        ),
    },
    optimized: Side {
        summary: "two writes with TCP_NODELAY",
        growth: Growth::Other("a round trip, and the copying of the body"),
    },
    input: "A message of 8 bytes of head and a body of the stated length to a server that answers with 8 bytes, over one \
            connection on loopback that is kept, and has exchanged messages before: the first one on a new connection is \
            acknowledged at once. Both ends have the system's defaults. A packet carries up to 64 KiB over loopback, and \
            some 1,400 bytes over most networks. As a naive iteration waits for a timer of the kernel, it is longer than \
            those of other pairs, and sends one message only: the next one waits as long again.",
    axis: Axis {
        name: "body",
        unit: "B",
        is_size: true,
        points: Points::Fixed { default: &[20, 200, 2_000, 20_000, 2_000_000], deep: &[] },
    },
    unit: "message",
    headline: Headline::At { level: "", point: 200 },
    alternatives: &[SideBeside {
        name: "one_write",
        summary: "head and body in one buffer and one write, with the system's defaults",
    }],
    causes: &[Claim {
        cause: HELD_BACK,
        naive: Count::Exactly(|case| u64::from(case.point < PACKET)),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "Nagle's algorithm holds a write that is shorter than a packet back while a short one before it is \
              unacknowledged, so the body waits for the acknowledgement of the head. The server cannot answer a head \
              alone, and its kernel delays an acknowledgement, in the hope that it can be sent along with an answer. Each \
              end waits for the other until the server's kernel gives up hope, for each message anew. With `TCP_NODELAY` \
              the body follows the head, and the answer carries the acknowledgement of both. A message in one write has \
              nothing before it that is unacknowledged. What is left is a round trip. A body longer than a packet is not \
              held back, as its first packet is full, and acknowledged at once.",
        share_of_cause: ShareOfCause::NoRatio("nothing is held back"),
        far_end: FarEnd::Falls("a body that fills a packet, which neither side holds back"),
        keep_naive: KeepNaive::From(2_000_000),
    },
    traps: &[
        &Trap {
            name: "a message without a body",
            reason: "nothing would be written after the head",
            check: |inputs: &[Message]| {
                let empty = inputs.iter().filter(|message| message.body.is_empty()).count();
                ensure(empty == 0, || format!("{empty} empty bodies"))
            },
            sprung: || vec![Message::new(Vec::new())],
        },
        &Trap {
            name: "the same message again and again",
            reason: "one answer would serve all",
            check: |inputs: &[Message]| {
                let bodies: HashSet<&[u8]> = inputs.iter().map(|m| &m.body[..]).collect();
                ensure(bodies.len() == inputs.len(), || format!("{} bodies", bodies.len()))
            },
            sprung: || vec![Message::new(vec![7; 30]), Message::new(vec![7; 30])],
        },
    ],
    limit: Limit::Work(&[Work::RoundTrips(|_| 1), Work::BytesStreamed(|case| case.point)]),
    // A message of the naive side takes its 40 ms in a proof, too.
    proof: Proof { resources: Resources::System, max_size: 3 },
    prepare,
    ..Pair::DEFAULTS
};

/// Messages in the rotation.
const TURNS: u64 = 8;

/// What a packet carries at least over loopback, whose packets have 65,536 bytes with their headers.
const PACKET: u64 = 65_400;

/// Time in which an answer must come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Message {
    /// The length of the body.
    head: [u8; 8],
    body: Vec<u8>,
}

impl Message {
    fn new(body: Vec<u8>) -> Message {
        Message { head: (body.len() as u64).to_le_bytes(), body }
    }
}

/// A connection that a side sets an option of.
trait Socket: Read + Write {
    fn set_nodelay(&self, nodelay: bool) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        TcpStream::set_nodelay(self, nodelay)
    }
}

/// The answer to a message.
fn naive(socket: &mut impl Socket, Message { head, body }: &Message) -> io::Result<u64> {
    socket.write_all(head)?;
    socket.write_all(body)?;
    answer(socket)
}

/// The answer to a message.
fn optimized(socket: &mut impl Socket, Message { head, body }: &Message) -> io::Result<u64> {
    socket.set_nodelay(true)?;
    socket.write_all(head)?;
    socket.write_all(body)?;
    answer(socket)
}

/// The answer to a message.
fn one_write(socket: &mut impl Socket, Message { head, body }: &Message) -> io::Result<u64> {
    let mut message = Vec::with_capacity(head.len() + body.len());
    message.extend_from_slice(head);
    message.extend_from_slice(body);
    socket.write_all(&message)?;
    answer(socket)
}

fn answer(socket: &mut impl Socket) -> io::Result<u64> {
    let mut answer = [0; 8];
    socket.read_exact(&mut answer)?;
    Ok(u64::from_le_bytes(answer))
}

/// A connection to a server with a thread of its own, which ends when this is dropped.
struct Session {
    stream: TcpStream,
    server: Option<JoinHandle<()>>,
}

impl Session {
    fn open() -> io::Result<Session> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (served, _) = listener.accept()?;
        let server = thread::Builder::new().name("messages".to_owned()).spawn(move || {
            causes::exclude_thread();
            // It ends when its client disconnects: nothing to report.
            let _ = serve(served);
        })?;
        let mut session = Session { stream, server: Some(server) };
        // From now on the server's kernel delays acknowledgements.
        for nth in 0..2 {
            one_write(&mut session.stream, &Message::new(vec![nth]))?;
        }
        Ok(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An error means that the server has ended the connection.
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.server.take().map(JoinHandle::join);
    }
}

/// Answers each message with the hash of its body.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (mut head, mut body) = ([0; 8], Vec::new());
    loop {
        stream.read_exact(&mut head)?;
        body.resize(u64::from_le_bytes(head) as usize, 0);
        stream.read_exact(&mut body)?;
        stream.write_all(&fnv1a(body.iter().copied()).to_le_bytes())?;
    }
}

fn message(case: &Case) -> Message {
    let bytes = case.values(case.point.div_ceil(8) as usize).into_iter().flat_map(u64::to_le_bytes);
    Message::new(bytes.take(case.point as usize).collect())
}

/// A stream without a server. It holds a write back as Nagle's algorithm does: if it is short, and a short one before it is
/// not acknowledged. An answer acknowledges all.
#[derive(Default)]
struct Nagle {
    nodelay: Cell<bool>,
    is_unacknowledged: bool,
    held_back: u64,
}

impl Read for Nagle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_unacknowledged = false;
        buffer.fill(0);
        Ok(buffer.len())
    }
}

impl Write for Nagle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_short = (bytes.len() as u64) < PACKET;
        let holds = is_short && self.is_unacknowledged && !self.nodelay.get();
        self.held_back += u64::from(holds);
        self.is_unacknowledged |= is_short;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Nagle {
    fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.nodelay.set(nodelay);
        Ok(())
    }
}

type Ask<S> = fn(&mut S, &Message) -> io::Result<u64>;

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, message);
    let over = |side: Ask<TcpStream>| {
        let session = Session::open().map_err(|error| {
            let remedy = "allow 127.0.0.1";
            Unavailable(format!("cannot open a TCP connection over loopback: {error}; {remedy}"))
        })?;
        let ask = move |session: &mut Session, message: &Message| {
            side(&mut session.stream, message).expect("the server answers")
        };
        Ok(resetting(&inputs, session, |_| (), ask))
    };
    let held_back = |side: Ask<Nagle>| {
        let inputs = inputs.clone();
        move |i: usize| {
            let mut stream = Nagle::default();
            side(&mut stream, &inputs[i]).expect("it answers");
            stream.held_back
        }
    };
    Ok(Trial::new(
        inputs.measured(|message| message.body.len() as u64),
        over(naive)?.counting(HELD_BACK, held_back(naive)),
        over(optimized)?.counting(HELD_BACK, held_back(optimized)),
    )
    .alternative(over(one_write)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: [Ask<TcpStream>; 3] = [naive, optimized, one_write];

    #[test]
    fn known_answers() {
        for side in SIDES {
            let mut session = Session::open().unwrap();
            let mut hash = |body: &[u8]| side(&mut session.stream, &Message::new(body.to_vec()));
            assert_eq!(hash(b"a").unwrap(), 0xaf63_dc4c_8601_ec8c);
            assert_eq!(hash(b"").unwrap(), 0xcbf2_9ce4_8422_2325);
            assert_eq!(hash(b"foobar").unwrap(), 0x8594_4171_f739_67e8);
            // In several packets and reads.
            let long = vec![7; 3_000_000];
            assert_eq!(hash(&long).unwrap(), fnv1a(long.into_iter()));
        }
    }

    #[test]
    fn a_server_that_is_gone_is_an_error() {
        for side in SIDES {
            let mut session = Session::open().unwrap();
            session.stream.shutdown(Shutdown::Both).unwrap();
            assert!(side(&mut session.stream, &Message::new(vec![1])).is_err());
        }
    }

    #[test]
    fn trap_a_write_is_held_back_only_behind_a_short_unacknowledged_one() {
        let held_back = |side: Ask<Nagle>| {
            let mut stream = Nagle::default();
            for length in [1, 0, 60_000, 100_000, 1] {
                side(&mut stream, &Message::new(vec![7; length])).unwrap();
            }
            stream.held_back
        };
        assert_eq!([held_back(naive), held_back(optimized), held_back(one_write)], [3, 0, 0]);
    }

    #[test]
    fn trap_only_the_optimized_side_sets_the_option() {
        for (side, sets) in SIDES.into_iter().zip([false, true, false]) {
            let mut session = Session::open().unwrap();
            side(&mut session.stream, &Message::new(vec![1])).unwrap();
            assert_eq!(session.stream.nodelay().unwrap(), sets);
        }
    }
}
