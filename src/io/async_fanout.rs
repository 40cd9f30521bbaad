//! Send many requests to a distant server: a bounded number at once, not one after another.

use std::{
    io,
    io::{BufRead, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use rayon::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use self::instrumented::Waits;
use crate::fixtures::kv_server::{KvServer, parse_answer};
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Await a bounded number of requests at once",
    review: Review {
        smell: "`for request in requests { answers.push(client.call(request).await?) }`, where no request needs \
                another's answer.",
        remedy: "`stream::iter(requests).map(|request| client.call(request)).buffered(8).try_collect().await` \
                 (futures-util; `buffer_unordered` where the order of answers does not matter). The gain does not \
                 come from asynchrony: a pool of eight blocking threads, the peer, waits as well.",
        keep_naive_when: "There is one request, each depends on the one before, the first error must keep the rest \
                          from being sent, or the server handles one at a time anyway.",
        costs: "As many connections as concurrent requests, and a burst of load on the server: never leave the \
                fan-out unbounded (`join_all`, a `spawn` for each). `buffered` starts nothing new while the oldest \
                request hangs, so give each call a timeout.",
        lint: None,
    },
    naive: Side { summary: "await one after another", growth: Growth::Linear },
    optimized: Side {
        summary: "await up to 8 at once, in order",
        growth: Growth::Other("constant up to 8 requests, then linear in waves of 8"),
    },
    input: "Requests for random keys to a server that waits half a millisecond before each answer. Eight \
            connections are open beforehand, the waits on different connections overlap, and no request needs \
            the answer to another.",
    axis: Axis {
        name: "requests",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 2, 4, 8, 24], deep: &[256] },
    },
    unit: "request",
    peer: Some("blocking_threads"),
    causes: &[Claim {
        cause: WAVES,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.div_ceil(AT_ONCE as u64)),
    }],
    explanation: "24 waits one after another became three waves of eight. A wave lasts for the server's delay of \
                  half a millisecond, plus the work of sending, waking and receiving for each of its requests. Two \
                  cores cannot overlap that work as they overlap the waits, so the gain stays below eight.",
    limit: Limit::Waiting(|case| {
        case.point.div_ceil(AT_ONCE as u64) * SERVER_DELAY.as_nanos() as u64
    }),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

/// Times that a side has nothing left to do but wait for the server.
const WAVES: Cause = Cause::new("waves", "waits for the server")
    .counted("against a client that answers only when the side can do nothing but wait");

/// Largest number of requests that wait at once, and number of connections.
const AT_ONCE: usize = 8;

/// Time the server takes to answer, like a service in the same data centre.
const SERVER_DELAY: Duration = Duration::from_micros(500);

/// The answers to `keys`, in order.
async fn naive<T, E>(call: impl AsyncFn(u64) -> Result<T, E>, keys: &[u64]) -> Result<Vec<T>, E> {
    let mut answers = Vec::with_capacity(keys.len());
    for key in keys {
        answers.push(call(*key).await?);
    }
    Ok(answers)
}

/// The answers to `keys`, in order.
async fn optimized<T, E>(
    call: impl AsyncFn(u64) -> Result<T, E>,
    keys: &[u64],
) -> Result<Vec<T>, E> {
    stream::iter(keys).map(|key| call(*key)).buffered(AT_ONCE).try_collect().await
}

/// The answers to `keys`, in order, from a pool with one thread per connection.
fn blocking_threads(
    connections: &[Mutex<io::BufReader<TcpStream>>],
    keys: &[u64],
) -> io::Result<Vec<Option<u64>>> {
    let call = |key: &u64| {
        let thread = rayon::current_thread_index().expect("inside the pool");
        let mut stream = connections[thread].lock().expect("no holder panics");
        stream.get_mut().write_all(format!("{key}\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_line(&mut answer)?;
        parse_answer(&answer)
    };
    keys.par_iter().with_max_len(1).map(call).collect()
}

/// A client with connections established beforehand.
struct Client {
    idle: Mutex<Vec<tokio::io::BufReader<tokio::net::TcpStream>>>,
}

impl Client {
    /// Opens the connections. Call it inside the runtime that will wait for the server.
    fn connect(server: &KvServer) -> Result<Client, Unavailable> {
        let connections = (0..AT_ONCE).map(|_| {
            let stream = server.connect()?;
            let stream = stream.set_nonblocking(true).and_then(|()| stream.try_into());
            let stream = stream.map_err(|error| {
                Unavailable(format!("tokio does not accept a TCP connection: {error}"))
            })?;
            Ok(tokio::io::BufReader::new(stream))
        });
        Ok(Client { idle: Mutex::new(connections.collect::<Result<_, Unavailable>>()?) })
    }

    /// Sends a request over an idle connection. A connection that fails is not reused.
    async fn call(&self, key: u64) -> io::Result<Option<u64>> {
        let idle = self.idle.lock().expect("no holder panics").pop();
        let mut stream = idle.ok_or_else(|| io::Error::other("every connection is in use"))?;
        stream.get_mut().write_all(format!("{key}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        self.idle.lock().expect("no holder panics").push(stream);
        parse_answer(&answer)
    }
}

struct Input {
    keys: Vec<u64>,
    client: Client,
    /// One connection for each thread of the peer.
    blocking: Vec<Mutex<io::BufReader<TcpStream>>>,
    _server: KvServer,
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let keys = case.values(case.point as usize);
    // Every other key has a value.
    let store = keys.iter().step_by(2).map(|key| (*key, key.wrapping_mul(31))).collect();
    let server = KvServer::start(store, SERVER_DELAY)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime =
        Arc::new(runtime.map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(AT_ONCE).build();
    let pool =
        Arc::new(pool.map_err(|e| Unavailable(format!("cannot start {AT_ONCE} threads: {e}")))?);
    let client = {
        let _inside = runtime.enter();
        Client::connect(&server)?
    };
    let blocking = (0..AT_ONCE).map(|_| Ok(Mutex::new(io::BufReader::new(server.connect()?))));
    let blocking = blocking.collect::<Result<_, Unavailable>>()?;
    let input = Arc::new(Input { keys, client, blocking, _server: server });
    let counted = Arc::clone(&input);
    Ok(Trial::new(
        input.keys.len() as u64,
        asynchronous(&runtime, &input, async |input: &Input| {
            naive(|key| input.client.call(key), &input.keys).await.expect(ANSWERS)
        }),
        asynchronous(&runtime, &input, async |input: &Input| {
            optimized(|key| input.client.call(key), &input.keys).await.expect(ANSWERS)
        }),
    )
    .peer(pooled(&pool, &input, |input: &Input| {
        blocking_threads(&input.blocking, &input.keys).expect(ANSWERS)
    }))
    .units(input.keys.len() as u64)
    .counting(move |role, counts| {
        let waits = Waits::default();
        let Ok(_) = match role {
            Role::Naive => waits.drive(naive(|key| waits.call(key), &counted.keys)),
            // Its threads wait for a real server.
            Role::Peer => return,
            Role::Optimized => waits.drive(optimized(|key| waits.call(key), &counted.keys)),
        };
        counts.set(WAVES, waits.waves());
    }))
}

const ANSWERS: &str = "the server answers";

/// A client without a server. It answers all waiting requests once nothing else can run.
mod instrumented {
    use std::{
        cell::{Cell, RefCell},
        convert::Infallible,
        future::{Future, poll_fn},
        pin::pin,
        task::{Context, Poll, Waker},
    };

    #[derive(Default)]
    pub struct Waits {
        waves: Cell<u64>,
        waiting: RefCell<Vec<Waker>>,
        most_waiting: Cell<usize>,
    }

    impl Waits {
        /// Ends when the wave in which it began ends.
        pub async fn call(&self, key: u64) -> Result<u64, Infallible> {
            let began = self.waves.get();
            poll_fn(|context| {
                if self.waves.get() > began {
                    return Poll::Ready(());
                }
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            })
            .await;
            Ok(key)
        }

        /// Runs `side` and begins a wave each time it can only wait.
        pub fn drive<A>(&self, side: impl Future<Output = A>) -> A {
            let mut side = pin!(side);
            loop {
                let polled = side.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(answer) = polled {
                    return answer;
                }
                let waiting = self.waiting.take();
                self.most_waiting.set(self.most_waiting.get().max(waiting.len()));
                self.waves.set(self.waves.get() + 1);
                waiting.iter().for_each(Waker::wake_by_ref);
            }
        }

        pub fn waves(&self) -> u64 {
            self.waves.get()
        }

        #[cfg(test)]
        pub fn most_waiting(&self) -> usize {
            self.most_waiting.get()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let store = [(1, 10), (2, 20)].into();
        let server = KvServer::start(store, Duration::ZERO).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let client = Client::connect(&server).unwrap();
            let expected = [Some(20), None, Some(10), Some(20)];
            let keys = [2, 3, 1, 2];
            assert_eq!(naive(|key| client.call(key), &keys).await.unwrap(), expected);
            assert_eq!(optimized(|key| client.call(key), &keys).await.unwrap(), expected);
            assert_eq!(optimized(|key| client.call(key), &[]).await.unwrap(), []);
        });
    }

    #[test]
    fn a_server_that_is_gone_is_an_error() {
        let server = KvServer::start([].into(), Duration::ZERO).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let client = Client::connect(&server).unwrap();
            drop(server);
            assert!(naive(|key| client.call(key), &[1]).await.is_err());
            assert!(optimized(|key| client.call(key), &[1]).await.is_err());
        });
    }

    #[test]
    fn trap_the_fan_out_is_bounded() {
        for (requests, at_once, waves) in [(1, 1, 1), (8, 8, 1), (9, 8, 2), (1_000, 8, 125)] {
            let keys: Vec<u64> = (0..requests).collect();
            let waits = Waits::default();
            assert_eq!(waits.drive(optimized(|key| waits.call(key), &keys)), Ok(keys.clone()));
            assert_eq!((waits.most_waiting(), waits.waves()), (at_once, waves));
            let waits = Waits::default();
            assert_eq!(waits.drive(naive(|key| waits.call(key), &keys)), Ok(keys));
            assert_eq!((waits.most_waiting(), waits.waves()), (1, requests));
        }
    }

    #[test]
    fn trap_the_server_lets_all_requests_of_a_wave_wait_at_once() {
        let server = KvServer::start([].into(), Duration::from_millis(200)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let client = Client::connect(&server).unwrap();
            naive(|key| client.call(key), &[1, 2]).await.unwrap();
            assert_eq!(server.most_waiting(), 1);
            optimized(|key| client.call(key), &[0; AT_ONCE]).await.unwrap();
            assert_eq!(server.most_waiting(), AT_ONCE);
        });
    }
}
