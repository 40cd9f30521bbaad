//! Many requests miss the same key at once: one computes, the others wait for it.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex},
};

use rand::RngExt;
use tokio::{runtime, sync::OnceCell};

use crate::fixtures::origin::{Client, Origin};
use worthit_pair::prelude::*;

/// Orders that the origin scans for one page.
const ORDERS: u64 = 131_072;

pub const PAIR: Pair = Pair {
    title: "Let one miss compute while the others wait",
    review: Review {
        smell: "`if let Some(page) = cache.get(&key) { return page }`, then an `.await` that computes or fetches, \
                then `cache.insert(key, page)`: every request that arrives before the insert misses too. It shows \
                as a surge at the origin when a popular key expires: a cache stampede.",
        remedy: "Put one of tokio's `OnceCell` per key into the map, and let requests `get_or_init` it.",
        keep_naive_when: "Two requests seldom ask for the same key at once, or the value is cheap and its origin \
                          has capacity to spare. Or a slow first computation must not hold up others: all waiting \
                          requests share its latency and, unless it is retried, its failure.",
        costs: "One cell per key, until somebody bounds the map; a cache that has single flight built in, such as the \
                peer, does. Failures need a decision: with `get_or_try_init` the next waiting request tries again, as \
                it does when the computing one is cancelled. It works within one process; several processes need a \
                lock or a lease where the value is kept.",
        lint: Lint::None,
    },
    naive: Side { summary: "every miss computes", growth: Growth::Linear },
    optimized: Side {
        summary: "one computes, the others wait (OnceCell a key)",
        growth: Growth::Other("one computation, and a wake-up for each waiting request"),
    },
    input: "Requests that all arrive at once, for the same key, while the cache is empty. The next burst is for \
            another key. The origin answers over loopback and computes one page at a time, from a scan of 131,072 \
            orders.",
    axis: Axis {
        name: "concurrent misses",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 2, 8, 32, 128], deep: &[] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 32 },
    peers: &[SideBeside {
        name: "quick_cache",
        summary: "a bounded cache with get_or_insert_async",
    }],
    causes: &[Claim {
        cause: causes::COMPUTATIONS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.min(1)),
    }],
    explanation: Explanation {
        why: "n computations became one, at an origin that does one at a time (it has one core for us). Each request \
              also costs its task and its wake-up, which the waiting ones pay too. The more of them wait, the more of \
              the time that is, so the gain falls behind the ratio of computations. An origin with more cores to \
              spare than there are requests would hide the difference in time and pay for it in load.",
        share_of_cause: ShareOfCause::Within(0.25, 1.0),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "the requests of a burst are for different keys",
            reason: "each of them would have to be computed, on either side",
            check: |inputs: &[Vec<u64>]| {
                let mixed = inputs.iter().find(|burst| burst.iter().any(|key| *key != burst[0]));
                ensure(mixed.is_none(), || format!("a burst asks for {mixed:?}"))
            },
            sprung: || vec![vec![1, 1, 2]],
        },
        &Trap {
            name: "every burst is for the same page",
            reason: "what the origin reads for it would stay in its nearest cache",
            check: |inputs: &[Vec<u64>]| {
                let pages: HashSet<u8> = inputs.iter().map(|burst| customer(burst[0])).collect();
                ensure(pages.len() > 8, || format!("{} pages", pages.len()))
            },
            sprung: || vec![vec![7; 3]; 16],
        },
    ],
    limit: Limit::Work(&[
        Work::RoundTrips(|_| 1),
        Work::BytesStreamed(|_| ORDERS * size_of::<Order>() as u64),
    ]),
    proof: Proof { resources: Resources::System, max_size: 64 },
    prepare,
    ..Pair::DEFAULTS
};

type Page = Arc<str>;
type Cache = Mutex<HashMap<u64, Page>>;
type CellCache = Mutex<HashMap<u64, Arc<OnceCell<Page>>>>;

/// Requests that arrive at once, all for the same key, and the origin of its page.
struct Input {
    requests: Vec<u64>,
    client: Arc<Client>,
    _origin: Arc<Origin>,
}

/// The page for one request.
async fn naive(cache: Arc<Cache>, client: Arc<Client>, key: u64) -> Page {
    let cached = cache.lock().expect("no side panics").get(&key).cloned();
    if let Some(page) = cached {
        return page;
    }
    let page = fetch(&client, key).await;
    cache.lock().expect("no side panics").insert(key, Arc::clone(&page));
    page
}

/// The page for one request.
async fn optimized(cache: Arc<CellCache>, client: Arc<Client>, key: u64) -> Page {
    let cell = Arc::clone(cache.lock().expect("no side panics").entry(key).or_default());
    Arc::clone(cell.get_or_init(|| fetch(&client, key)).await)
}

/// The page for one request, from a bounded cache that lets one request compute.
async fn quick_cache(
    cache: Arc<quick_cache::sync::Cache<u64, Page>>,
    client: Arc<Client>,
    key: u64,
) -> Page {
    let fetched = async { Ok::<_, Infallible>(fetch(&client, key).await) };
    let Ok(page) = cache.get_or_insert_async(&key, fetched).await;
    page
}

async fn fetch(client: &Client, key: u64) -> Page {
    let page = client.fetch(key).await.expect("the origin answers");
    String::from_utf8(page).expect("pages are text").into()
}

/// The pages that a burst of requests got, and the cached entries after it.
#[derive(Debug, PartialEq)]
struct Served {
    callers: usize,
    page: Option<Page>,
    /// Callers whose page is not equal to that of the first.
    differing: usize,
    cached: usize,
}

impl Found for Served {
    fn found(&self) -> u64 {
        self.callers as u64
    }
}

/// Runs all requests at once, one task each, on an empty cache.
///
/// They all miss, because a current-thread runtime polls tasks in the order in which they were spawned or
/// woken. All are spawned before the first is polled, each looks up when first polled, and a fetch always
/// yields. So a task that wakes with a page is polled after the last one has looked up.
async fn burst<C, F: Future<Output = Page> + Send + 'static>(
    input: &Input,
    empty: C,
    request: impl Fn(Arc<C>, Arc<Client>, u64) -> F,
    cached: impl Fn(&C) -> usize,
) -> Served {
    let cache = Arc::new(empty);
    let spawn = |key| tokio::spawn(request(Arc::clone(&cache), Arc::clone(&input.client), key));
    let tasks: Vec<_> = input.requests.iter().map(|key| spawn(*key)).collect();
    let mut served = Served { callers: 0, page: None, differing: 0, cached: 0 };
    for task in tasks {
        let page = task.await.expect("no request panics");
        served.callers += 1;
        served.differing += usize::from(*served.page.get_or_insert_with(|| page.clone()) != page);
    }
    served.cached = cached(&cache);
    served
}

async fn naive_burst(input: &Input) -> Served {
    burst(input, Cache::default(), naive, |cache| cache.lock().unwrap().len()).await
}

async fn optimized_burst(input: &Input) -> Served {
    burst(input, CellCache::default(), optimized, |cache| cache.lock().unwrap().len()).await
}

async fn quick_cache_burst(input: &Input) -> Served {
    let empty = quick_cache::sync::Cache::new(64);
    burst(input, empty, quick_cache, |cache| cache.len()).await
}

#[repr(C)]
struct Order {
    customer: u8,
    month: u8,
    cents: u32,
}

/// The customer whose page has this key.
fn customer(key: u64) -> u8 {
    (key % 256) as u8
}

/// The origin's computation: a customer's turnover by month, from all orders.
fn page(orders: &[Order], key: u64) -> String {
    let customer = customer(key);
    let mut months = [0_u64; 12];
    for order in orders.iter().filter(|order| order.customer == customer) {
        months[usize::from(order.month)] += u64::from(order.cents);
    }
    let lines = months
        .iter()
        .zip(1..)
        .map(|(cents, month)| format!("{key} month {month}: {}.{:02}\n", cents / 100, cents % 100));
    lines.collect()
}

fn orders(case: &Case) -> Vec<Order> {
    let mut rng = case.rng("orders");
    let mut order = || Order {
        customer: rng.random(),
        month: rng.random_range(0..12),
        cents: rng.random_range(100..100_000),
    };
    (0..case.items(ORDERS)).map(|_| order()).collect()
}

/// Starts an origin and puts its client beside each burst of requests.
fn with_origin(
    bursts: &Inputs<Vec<u64>>,
    orders: Vec<Order>,
    runtime: &runtime::Runtime,
) -> Result<Inputs<Input>, Unavailable> {
    let origin = Arc::new(Origin::start(move |key| page(&orders, key).into_bytes())?);
    let client = Arc::new(runtime.block_on(Client::connect(&origin, bursts[0].len()))?);
    Ok(bursts.map(|requests| Input {
        requests: requests.clone(),
        client: Arc::clone(&client),
        _origin: Arc::clone(&origin),
    }))
}

fn runtime() -> Result<Arc<runtime::Runtime>, Unavailable> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    let unavailable =
        |error| Unavailable(format!("cannot start a tokio runtime: {error}; raise `ulimit -n`"));
    runtime.map(Arc::new).map_err(unavailable)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let runtime = runtime()?;
    let bursts = case.rotate(16, |case| vec![case.values(1)[0]; case.point as usize]);
    let inputs = with_origin(&bursts, orders(case), &runtime)?;
    Ok(Trial::new(
        bursts.measured(|requests| requests.len() as u64),
        asynchronous(&runtime, &inputs, naive_burst),
        asynchronous(&runtime, &inputs, optimized_burst),
    )
    .peer(asynchronous(&runtime, &inputs, quick_cache_burst))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let order = |customer, month, cents| Order { customer, month, cents };
        let orders = [order(1, 0, 150), order(2, 0, 5), order(1, 11, 100), order(1, 0, 55)];
        let lines: Vec<_> = page(&orders, 257).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 12);
        assert_eq!((&*lines[0], &*lines[1]), ("257 month 1: 2.05", "257 month 2: 0.00"));
        assert_eq!(lines[11], "257 month 12: 1.00");
    }

    #[test]
    fn every_caller_gets_the_page_and_one_entry_is_cached() {
        let runtime = runtime().unwrap();
        let bursts = Inputs::one(vec![42; 8]);
        let inputs = with_origin(&bursts, orders(&Case::realistic(8, 0, 1)), &runtime).unwrap();
        let fetched = runtime.block_on(fetch(&inputs[0].client, 42));
        let served = Served { callers: 8, page: Some(fetched), differing: 0, cached: 1 };
        assert_eq!(runtime.block_on(naive_burst(&inputs[0])), served);
        assert_eq!(runtime.block_on(optimized_burst(&inputs[0])), served);
        assert_eq!(runtime.block_on(quick_cache_burst(&inputs[0])), served);
    }

    #[test]
    fn a_request_that_is_cancelled_leaves_the_page_to_the_next() {
        let runtime = runtime().unwrap();
        let orders = orders(&Case::realistic(1, 0, 1));
        let inputs = with_origin(&Inputs::one(vec![42; 2]), orders, &runtime).unwrap();
        let client = &inputs[0].client;
        let cache = Arc::new(CellCache::default());
        let request = || optimized(Arc::clone(&cache), Arc::clone(client), 42);
        let page = runtime.block_on(async {
            let cancelled = tokio::spawn(request());
            let next = tokio::spawn(request());
            // Both have been polled: one fetches, the other waits for it.
            tokio::task::yield_now().await;
            cancelled.abort();
            assert!(cancelled.await.unwrap_err().is_cancelled());
            next.await.unwrap()
        });
        assert_eq!(page, runtime.block_on(fetch(client, 42)));
        assert_eq!(cache.lock().unwrap().len(), 1);
    }

    #[test]
    fn trap_the_naive_side_has_a_cache_that_works() {
        // Only concurrency defeats it: requests one after another compute once.
        let runtime = runtime().unwrap();
        let inputs = with_origin(&Inputs::one(vec![42; 3]), Vec::new(), &runtime).unwrap();
        let Input { requests, client, _origin: origin } = &inputs[0];
        let cache = Arc::new(Cache::default());
        for key in requests {
            runtime.block_on(naive(Arc::clone(&cache), Arc::clone(client), *key));
        }
        assert_eq!(origin.computed(), 1);
    }
}
