//! Send many requests to a distant server: a bounded number at once, not one after another.

use std::{
    collections::HashSet,
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
        remedy: "`stream::iter(keys).map(|key| call(*key)).buffered(AT_ONCE).try_collect().await` \
                 (futures-util).",
        keep_naive_when: "There is one request, each depends on the one before, the first error must keep the rest \
                          from being sent, or the server handles one at a time anyway.",
        costs: "As many connections as concurrent requests, and a burst of load on the server: never leave the \
                fan-out unbounded (`join_all`, a `spawn` for each). `buffered` starts nothing new while the oldest \
                request hangs, so give each call a timeout; `buffer_unordered` does, where the order of answers does \
                not matter. The gain does not come from asynchrony: a pool of blocking threads waits as well.",
        lint: Lint::None,
    },
    naive: Side { summary: "await one after another", growth: Growth::Linear },
    optimized: Side {
        summary: "await up to 8 at once, in order",
        growth: Growth::Other("constant up to 8 requests, then linear in waves of 8"),
    },
    input: "Requests for random keys to a server that waits half a millisecond before each answer, from one client in \
            a closed loop. Eight connections are open beforehand, the waits on different connections overlap, and no \
            request needs the answer to another.",
    axis: Axis {
        name: "requests",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 2, 4, 8, 24], deep: &[256] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 24 },
    alternatives: &[SideBeside {
        name: "blocking_threads",
        summary: "a pool of 8 threads, each with a connection of its own",
    }],
    causes: &[Claim {
        cause: WAVES,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(waves),
    }],
    explanation: Explanation {
        why: "Waits one after another became waves of eight. A wave lasts for the server's delay, plus the work of \
              sending, waking and receiving for each of its requests. The cores cannot overlap that work as they \
              overlap the waits, so the gain stays below the number of requests in a wave.",
        share_of_cause: ShareOfCause::Within(0.7, 1.05),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the same key again and again",
        reason: "one answer would serve all requests, and a client could keep it",
        check: |inputs: &[Vec<u64>]| {
            let keys: HashSet<u64> = inputs.iter().flatten().copied().collect();
            let requests: usize = inputs.iter().map(Vec::len).sum();
            ensure(keys.len() == requests, || format!("{} keys in {requests} requests", keys.len()))
        },
        sprung: || vec![vec![7; 24]; 16],
    }],
    limit: Limit::Work(&[Work::Waiting(|case| waves(case) * SERVER_DELAY.as_nanos() as u64)]),
    proof: Proof { resources: Resources::System, max_size: 20 },
    prepare,
    ..Pair::DEFAULTS
};

/// Sets of keys in the rotation.
const TURNS: u64 = 16;

/// Waves in which the optimized side waits.
fn waves(case: &Case) -> u64 {
    case.point.div_ceil(AT_ONCE as u64)
}

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

/// What the sides share; dropping it ends the server.
struct Setup {
    client: Client,
    /// One connection for each thread of the pool.
    blocking: Vec<Mutex<io::BufReader<TcpStream>>>,
    _server: KvServer,
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, |case| case.values(case.point as usize));
    // Every other key has a value.
    let known = inputs.iter().flat_map(|keys| keys.iter().step_by(2));
    let server =
        KvServer::start(known.map(|key| (*key, key.wrapping_mul(31))).collect(), SERVER_DELAY)?;
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
    let setup = Arc::new(Setup { client, blocking, _server: server });
    let [for_naive, for_optimized, for_threads] = [(); 3].map(|()| Arc::clone(&setup));
    let [of_naive, of_optimized] = [(); 2].map(|()| inputs.clone());
    Ok(Trial::new(
        inputs.measured(|keys| keys.len() as u64),
        asynchronous(&runtime, &inputs, async move |keys: &Vec<u64>| {
            naive(|key| for_naive.client.call(key), keys).await.expect(ANSWERS)
        })
        .counting(WAVES, move |i| {
            waves_of(async |waits: &Waits| naive(|key| waits.call(key), &of_naive[i]).await)
        }),
        asynchronous(&runtime, &inputs, async move |keys: &Vec<u64>| {
            optimized(|key| for_optimized.client.call(key), keys).await.expect(ANSWERS)
        })
        .counting(WAVES, move |i| {
            waves_of(async |waits: &Waits| optimized(|key| waits.call(key), &of_optimized[i]).await)
        }),
    )
    .alternative(pooled(&pool, &inputs, move |keys: &Vec<u64>| {
        blocking_threads(&for_threads.blocking, keys).expect(ANSWERS)
    }))
    .units(inputs[0].len() as u64))
}

const ANSWERS: &str = "the server answers";

/// Number of waves in which a side waits for a client without a server.
fn waves_of<E>(side: impl AsyncFn(&Waits) -> Result<Vec<u64>, E>) -> u64 {
    let waits = Waits::default();
    drop(waits.drive(side(&waits)));
    waits.waves()
}

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
