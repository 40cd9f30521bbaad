//! Give a lock back before waiting for something else, so that others need not wait for it, too.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use rand::seq::SliceRandom;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    runtime::{Builder, Runtime},
    sync::{Mutex, Semaphore},
};

use crate::fixtures::{
    kv_server::{KvServer, parse_answer},
    share,
};
use worthit_pair::prelude::*;

/// Requests that wait for the other service while they hold the lock.
const WAITS_UNDER_LOCK: Cause = Cause::new("waits_under_lock", "fetches awaited under the lock")
    .counted("with a fetch that asks whether the lock is held");

pub const PAIR: Pair = Pair {
    title: "Drop the guard before the await",
    review: Review {
        smell: "A guard of `tokio::sync::Mutex` that is alive at an `.await` which waits for a socket, a query, a timer \
                or another lock: `let mut prices = prices.lock().await;`, then `fetch(…).await`, then \
                `prices.insert(…)`. (With std's guard clippy reports it as `await_holding_lock`, and the task cannot be \
                spawned.)",
        remedy: "Wait first, then take the lock for the moment of the change: `let price = \
                 fetch(request.product).await;`, `prices.lock().await.insert(request.product, price);`.",
        keep_naive_when: "Nobody else may come in between, as with a connection that one task at a time may use: then \
                          it is the lock's job to make the others wait. Or it is a lock for this one entry, so that \
                          only those wait who want it. Or the wait is rare and short, and nobody looks at the slowest \
                          requests.",
        costs: "What was read before the wait may have changed: read it again under the lock, or compare a version. Two \
                tasks may fetch the same thing at once, which single flight avoids. The lock is taken once more where the \
                naive side took it once.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "await the fetch under the lock",
        growth: Growth::Other(
            "a queue: a multiple of the fetch's time, and without bound once fetches arrive faster than they end one \
             after another",
        ),
    },
    optimized: Side {
        summary: "fetch, then lock",
        growth: Growth::Other("constant while the worker gets through the load"),
    },
    input: "An open loop: 1,300 requests at random times (a Poisson process), one every 45 µs on average, to a runtime \
            with one worker. Each looks up the price of one of 1,024 products in a map behind one lock. Exactly the \
            stated percentage of them, at random places, finds it out of date and fetches it over loopback first, from \
            a server that waits half a millisecond before each answer. Only the latency of the others counts, each of \
            which is a microsecond of work or less.",
    axis: Axis {
        name: "fetching share of requests",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 2, 4], deep: &[] },
    },
    unit: "request",
    metric: Metric::P99Latency,
    headline: Headline::At { level: "", point: 2 },
    causes: &[Claim {
        cause: WAITS_UNDER_LOCK,
        naive: Count::Exactly(|case| REQUESTS * case.point / 100),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "While a fetch is awaited under the lock, no request gets at the map, though the worker has nothing to do. \
              All that are due meanwhile queue, and further fetches among them wait for their turn and then hold the \
              lock as long again. Even at the smallest share these are more than one request in a hundred, so the 99th \
              percentile is a wait. With the lock taken only for the look-up and the change, fetches wait at the same \
              time and nobody waits for them. Where nothing is fetched, the sides do the same.",
        share_of_cause: ShareOfCause::NoRatio("nothing is awaited under the lock any more"),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "too few of the other requests for a percentile",
            reason: "the 99th percentile would be the slowest few of them",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let others = |load: &Arc<Vec<Request>>| load.iter().filter(|r| !r.is_stale).count();
                let fewest = inputs.iter().map(others).min();
                ensure(fewest >= Some(MIN_LATENCY_SAMPLES), || format!("{fewest:?} of them"))
            },
            sprung: || vec![Arc::new(vec![Request { product: 1, is_stale: false }; 100])],
        },
        &Trap {
            name: "fetches under the lock arrive faster than they end",
            reason: "the queue would grow for as long as the load lasts, and the figure would be its length",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let fetches = |load: &Arc<Vec<Request>>| load.iter().filter(|r| r.is_stale).count();
                let held = |load| SERVER_DELAY * fetches(load) as u32;
                let half = |load: &Arc<Vec<Request>>| INTERVAL * load.len() as u32 / 2;
                ensure(inputs.iter().all(|load| held(load) <= half(load)), || {
                    "fetches hold the lock for more than half of the load".to_owned()
                })
            },
            sprung: || vec![Arc::new(requests(&Case::realistic(10, 0, 1)))],
        },
        &Trap {
            name: "fetches come at regular places",
            reason: "they would never queue behind each other",
            check: |inputs: &[Arc<Vec<Request>>]| {
                let gaps: HashSet<usize> = inputs.iter().flat_map(|load| gaps(load)).collect();
                let any = inputs.iter().flat_map(|load| load.iter()).any(|r| r.is_stale);
                ensure(!any || gaps.len() > 10, || format!("{} distances", gaps.len()))
            },
            sprung: || {
                let request = |i| Request { product: i, is_stale: i % 50 == 0 };
                vec![Arc::new((0..REQUESTS).map(request).collect())]
            },
        },
    ],
    limit: Limit::None("the latency of waking a worker, which the scheduler sets"),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Requests in one load, of which enough do not fetch for a 99th percentile.
const REQUESTS: u64 = 1_300;

/// Loads in the rotation. One lasts 60 ms.
const TURNS: u64 = 5;

/// Interval between requests: 22,000 a second, which one worker serves with ease.
const INTERVAL: Duration = Duration::from_micros(45);

/// Time the server takes to answer, like a service in the same data centre.
const SERVER_DELAY: Duration = Duration::from_micros(500);

/// Connections to the server, and fetches at once.
const CONNECTIONS: usize = 16;

const PRODUCTS: u64 = 1_024;

#[derive(Clone, Copy, Debug)]
struct Request {
    product: u64,
    /// Whether the price that is kept is out of date. It is fetched again, and is the same as before, so that answers
    /// do not depend on the order of requests.
    is_stale: bool,
}

/// The price of each product.
type Prices = HashMap<u64, u64>;

/// The answer to `request`.
async fn naive<F: Future<Output = u64>>(
    prices: &Mutex<Prices>,
    request: Request,
    fetch: impl FnOnce(u64) -> F,
) -> u64 {
    let price = {
        let mut prices = prices.lock().await;
        if request.is_stale {
            let price = fetch(request.product).await;
            prices.insert(request.product, price);
        }
        prices.get(&request.product).copied()
    };
    answer(price)
}

/// The answer to `request`.
async fn optimized<F: Future<Output = u64>>(
    prices: &Mutex<Prices>,
    request: Request,
    fetch: impl FnOnce(u64) -> F,
) -> u64 {
    if request.is_stale {
        let price = fetch(request.product).await;
        prices.lock().await.insert(request.product, price);
    }
    let price = prices.lock().await.get(&request.product).copied();
    answer(price)
}

/// What is made of a price: a microsecond of work or less.
fn answer(price: Option<u64>) -> u64 {
    let step = |x: u64, i| (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i);
    (0..200).fold(price.unwrap_or(0), step)
}

/// The service that knows the prices, and what is known of them here.
struct Shop {
    prices: Mutex<Prices>,
    idle: std::sync::Mutex<Vec<BufReader<tokio::net::TcpStream>>>,
    at_once: Semaphore,
    /// Ends when this is dropped.
    _server: KvServer,
}

impl Shop {
    /// Opens the connections. Call it inside the runtime that will wait for the server.
    fn open(delay: Duration) -> Result<Shop, Unavailable> {
        let prices: Prices = (0..PRODUCTS).map(|product| (product, product * 31 + 7)).collect();
        let server = KvServer::start(prices.clone(), delay)?;
        let connect = |_| {
            let connection = server.connect()?;
            let connection = asynchronous_stream(connection).map_err(|error| {
                Unavailable(format!("tokio does not accept a TCP connection: {error}"))
            })?;
            Ok(BufReader::new(connection))
        };
        let idle = (0..CONNECTIONS).map(connect).collect::<Result<_, Unavailable>>()?;
        Ok(Shop {
            prices: Mutex::new(prices),
            idle: std::sync::Mutex::new(idle),
            at_once: Semaphore::new(CONNECTIONS),
            _server: server,
        })
    }

    async fn fetch(&self, product: u64) -> u64 {
        let price = self.try_fetch(product).await.expect("the server answers");
        price.expect("the server knows every product")
    }

    /// Asks over an idle connection, and waits for one if there is none. A connection that fails is not reused.
    async fn try_fetch(&self, product: u64) -> io::Result<Option<u64>> {
        let _permit = self.at_once.acquire().await.map_err(io::Error::other)?;
        let idle = self.idle.lock().expect("no holder panics").pop();
        let mut stream = idle.ok_or_else(|| io::Error::other("every connection has failed"))?;
        stream.get_mut().write_all(format!("{product}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        self.idle.lock().expect("no holder panics").push(stream);
        parse_answer(&answer)
    }
}

fn asynchronous_stream(stream: TcpStream) -> io::Result<tokio::net::TcpStream> {
    stream.set_nonblocking(true)?;
    stream.try_into()
}

/// The requests of a load. `case.point` percent of them fetch, at random places.
fn requests(case: &Case) -> Vec<Request> {
    let (count, stale) = share::exact(case, REQUESTS);
    let mut kinds: Vec<bool> = (0..count).map(|i| i < stale).collect();
    kinds.shuffle(&mut case.rng("kinds"));
    let requests = case.values(count).into_iter().zip(kinds);
    requests.map(|(value, is_stale)| Request { product: value % PRODUCTS, is_stale }).collect()
}

/// Distances between neighbouring requests that fetch.
fn gaps(requests: &[Request]) -> Vec<usize> {
    let places: Vec<usize> = (0..requests.len()).filter(|i| requests[*i].is_stale).collect();
    places.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn runtime() -> Result<Arc<Runtime>, Unavailable> {
    // One worker takes one core's load on any machine. A runtime of N workers would queue for the lock alike.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().build();
    runtime.map(Arc::new).map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))
}

/// The map without the service, to count with.
fn prices() -> Mutex<Prices> {
    Mutex::new((0..PRODUCTS).map(|product| (product, product)).collect())
}

/// A fetch without a service, which notes whether the lock is held.
async fn noting_fetch(prices: &Mutex<Prices>, product: u64) -> u64 {
    if prices.try_lock().is_err() {
        note();
    }
    product
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    if logical_cores() < 2 {
        return Err(Unavailable(
            "not measured: a spinning thread generates the load beside the worker, which needs two cores"
                .to_owned(),
        ));
    }
    let inputs = case.rotate(TURNS, |case| Arc::new(requests(case)));
    let runtime = runtime()?;
    let shop = {
        let _inside = runtime.enter();
        Arc::new(Shop::open(SERVER_DELAY)?)
    };
    let load = OpenLoop { interval: INTERVAL, requests: inputs[0].len() as u64, seed: case.seed };
    let (for_naive, for_optimized) = (Arc::clone(&shop), shop);
    // Only the latency of the requests that do not fetch counts.
    let naive_side = open_loop(&runtime, &inputs, load, move |requests, i| {
        let (request, shop) = (requests[i as usize], Arc::clone(&for_naive));
        let answer = async move { naive(&shop.prices, request, |key| shop.fetch(key)).await };
        (!request.is_stale, answer)
    });
    let optimized_side = open_loop(&runtime, &inputs, load, move |requests, i| {
        let (request, shop) = (requests[i as usize], Arc::clone(&for_optimized));
        let answer = async move { optimized(&shop.prices, request, |key| shop.fetch(key)).await };
        (!request.is_stale, answer)
    });
    let naive_side = naive_side.counting(
        WAITS_UNDER_LOCK,
        noting(&inputs, |requests: &Arc<Vec<Request>>| {
            let prices = prices();
            for request in requests.iter() {
                let fetch = |product| noting_fetch(&prices, product);
                naive(&prices, *request, fetch).now_or_never().expect("nobody else holds the lock");
            }
        }),
    );
    let optimized_side = optimized_side.counting(
        WAITS_UNDER_LOCK,
        noting(&inputs, |requests: &Arc<Vec<Request>>| {
            let prices = prices();
            for request in requests.iter() {
                let fetch = |product| noting_fetch(&prices, product);
                optimized(&prices, *request, fetch)
                    .now_or_never()
                    .expect("nobody else holds the lock");
            }
        }),
    );
    let measured = inputs.measured(|requests| share::percent(requests, |request| request.is_stale));
    Ok(Trial::new(measured, naive_side, optimized_side))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::future::join_all;

    use super::*;

    const STALE: Request = Request { product: 2, is_stale: true };
    const KNOWN: Request = Request { product: 2, is_stale: false };

    #[test]
    fn known_answers() {
        let (one, other) = (Mutex::new([(2, 5)].into()), Mutex::new([(2, 5)].into()));
        let fetch = async |product| product + 40;
        let ready = "nobody else holds the lock";
        for (request, price) in [(KNOWN, Some(5)), (STALE, Some(42)), (KNOWN, Some(42))] {
            let expected = Some(answer(price));
            assert_eq!(naive(&one, request, fetch).now_or_never(), expected, "{ready}");
            assert_eq!(optimized(&other, request, fetch).now_or_never(), expected, "{ready}");
        }
        let unknown = Request { product: 3, is_stale: false };
        assert_eq!(naive(&one, unknown, fetch).now_or_never(), Some(answer(None)));
        assert_eq!(optimized(&other, unknown, fetch).now_or_never(), Some(answer(None)));
    }

    #[test]
    fn more_fetches_than_connections_wait_for_one() {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let shop = Shop::open(Duration::ZERO).unwrap();
            let fetches = (0..3 * CONNECTIONS as u64).map(|product| shop.fetch(product));
            let prices = join_all(fetches).await;
            assert!(prices.into_iter().zip(0..).all(|(price, product)| price == product * 31 + 7));
            assert_eq!(shop.idle.lock().unwrap().len(), CONNECTIONS);
        });
    }

    #[test]
    fn trap_only_the_naive_side_keeps_others_waiting_while_it_fetches() {
        let (one, other) = (Mutex::new(Prices::new()), Mutex::new(Prices::new()));
        let mut fetching = (
            Box::pin(naive(&one, STALE, |_| pending())),
            Box::pin(optimized(&other, STALE, |_| pending())),
        );
        assert!((&mut fetching.0).now_or_never().is_none());
        assert!((&mut fetching.1).now_or_never().is_none());
        assert!(naive(&one, KNOWN, |_| pending()).now_or_never().is_none());
        assert!(optimized(&other, KNOWN, |_| pending()).now_or_never().is_some());
        // A request that is cancelled while it fetches gives the lock back.
        drop(fetching);
        assert!(naive(&one, KNOWN, |_| pending()).now_or_never().is_some());
    }
}
