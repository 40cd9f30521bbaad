//! Many requests miss the same key at once: one computes, the others wait for it.

use std::{
    collections::HashMap,
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
                as a surge at the origin when a popular key expires.",
        remedy: "Put one `tokio::sync::OnceCell` per key into the map and let requests `get_or_init` it. Or take a \
                 cache that has this: `get_or_insert_async` of `quick_cache`, `get_with` of `moka`.",
        keep_naive_when: "Two requests seldom ask for the same key at once, or the value is cheap and its origin \
                          has capacity to spare. Or a slow first computation must not hold up others: all waiting \
                          requests share its latency and, unless it is retried, its failure.",
        costs: "One cell per key. Failures need a decision: with `get_or_try_init` the next waiting request tries \
                again, as it does when the computing one is cancelled. It works within one process; several \
                processes need a lock or a lease where the value is kept.",
        lint: None,
    },
    naive: Side { summary: "every miss computes", growth: Growth::Linear },
    optimized: Side {
        summary: "one computes, the others wait (OnceCell a key)",
        growth: Growth::Other("one computation, and a wake-up for each waiting request"),
    },
    input: "Requests that all arrive at once, for the same key, while the cache is empty. The origin answers \
            over loopback and computes one page at a time, from a scan of 131,072 orders.",
    axis: Axis {
        name: "concurrent misses",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 2, 8, 32, 128], deep: &[] },
    },
    unit: "request",
    peer: Some("quick_cache"),
    causes: &[Claim {
        cause: causes::COMPUTATIONS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.min(1)),
    }],
    explanation: "n computations became one, at an origin that does one at a time (it has one core for us). Each \
                  request also costs its task and its wake-up, which the waiting ones pay too. At the far end \
                  these together cost as much as the one computation, and the gain is little more than half of n. \
                  An origin with more cores to spare than there are requests would hide the difference in time and \
                  pay for it in load.",
    limit: Limit::RoundTrips(|_| 1),
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
    origin: Origin,
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

struct Order {
    customer: u8,
    month: u8,
    cents: u32,
}

/// The origin's computation: a customer's turnover by month, from all orders.
fn page(orders: &[Order], key: u64) -> String {
    let customer = (key % 256) as u8;
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

fn input(case: &Case, runtime: &runtime::Runtime) -> Result<Input, Unavailable> {
    let mut rng = case.rng("orders");
    let orders: Vec<Order> = (0..case.items(ORDERS))
        .map(|_| Order {
            customer: rng.random(),
            month: rng.random_range(0..12),
            cents: rng.random_range(100..100_000),
        })
        .collect();
    let requests = vec![case.values(1)[0]; case.point as usize];
    let origin = Origin::start(move |key| page(&orders, key).into_bytes())?;
    let client = Arc::new(runtime.block_on(Client::connect(&origin, requests.len()))?);
    Ok(Input { requests, client, origin })
}

fn runtime() -> Result<Arc<runtime::Runtime>, Unavailable> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    let unavailable =
        |error| Unavailable(format!("cannot start a tokio runtime: {error}; raise `ulimit -n`"));
    runtime.map(Arc::new).map_err(unavailable)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let runtime = runtime()?;
    let input = Arc::new(input(case, &runtime)?);
    let trial = Trial::new(
        input.requests.len() as u64,
        asynchronous(&runtime, &input, naive_burst),
        asynchronous(&runtime, &input, optimized_burst),
    )
    .peer(asynchronous(&runtime, &input, quick_cache_burst));
    Ok(trial.units(input.requests.len() as u64).counting(move |role, counts| {
        let before = input.origin.computed();
        runtime.block_on(async {
            match role {
                Role::Naive => naive_burst(&input).await,
                Role::Optimized => optimized_burst(&input).await,
                Role::Peer => quick_cache_burst(&input).await,
            }
        });
        counts.set(causes::COMPUTATIONS, input.origin.computed() - before);
    }))
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
        let input = input(&Case::realistic(8, 0, 1), &runtime).unwrap();
        let fetched = runtime.block_on(fetch(&input.client, input.requests[0]));
        let served = Served { callers: 8, page: Some(fetched), differing: 0, cached: 1 };
        assert_eq!(runtime.block_on(naive_burst(&input)), served);
        assert_eq!(runtime.block_on(optimized_burst(&input)), served);
        assert_eq!(runtime.block_on(quick_cache_burst(&input)), served);
    }

    #[test]
    fn trap_the_stampede_is_concurrent() {
        // Every time, not by luck of scheduling: no request finds a page that another has just stored.
        let runtime = runtime().unwrap();
        let input = input(&Case::realistic(128, 0, 1), &runtime).unwrap();
        for _ in 0..20 {
            let before = input.origin.computed();
            runtime.block_on(naive_burst(&input));
            assert_eq!(input.origin.computed() - before, 128);
            runtime.block_on(optimized_burst(&input));
            runtime.block_on(quick_cache_burst(&input));
            assert_eq!(input.origin.computed() - before, 128 + 1 + 1);
        }
    }

    #[test]
    fn trap_the_naive_side_has_a_cache_that_works() {
        // Only concurrency defeats it: requests one after another compute once.
        let runtime = runtime().unwrap();
        let input = input(&Case::realistic(3, 0, 1), &runtime).unwrap();
        let cache = Arc::new(Cache::default());
        for key in &input.requests {
            runtime.block_on(naive(Arc::clone(&cache), Arc::clone(&input.client), *key));
        }
        assert_eq!(input.origin.computed(), 1);
    }
}
