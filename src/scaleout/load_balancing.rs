//! Spread requests over several backends: a load balancer in front of them.

use std::{collections::HashSet, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::runtime::Runtime;

use crate::fixtures::{
    http::{Backend, Client, Pages, closed_loop, loads, runtime},
    nginx,
};
use worthit_pair::prelude::*;
use worthit_servers::nginx::Nginx;

/// Requests that a backend serves at a time: connections to a database, workers of an interpreter.
const SLOTS: usize = 4;
/// Time that each of them takes, all of it waiting. It stands for a query to a database.
const DELAY: Duration = Duration::from_millis(4);
/// Requests of a burst.
const REQUESTS: u64 = 16;
/// Pages that open-loop loads ask for, in turn.
const LOADED_PAGES: usize = 500;

/// What the block of the upstream has besides the backends: nothing, which is round robin.
const ROUND_ROBIN: &str = "";

const ON_THE_BUSIEST: Cause = Cause::new("on_the_busiest", "requests on the busiest backend")
    .counted("and asks each backend how many it has served");

pub const PAIR: Pair = Pair {
    title: "Put a load balancer in front of several backends",
    review: Review {
        smell: "One process serves all requests. They queue for its workers or its connections while the machine, and \
                others beside it, have CPU time left.",
        remedy: "Run the service several times, name all of its addresses in a block `upstream { … }` of nginx, and pass requests \
                 on to it: `proxy_pass http://upstream;`. Keep the connections: `keepalive 64;` in the block, and \
                 `proxy_http_version 1.1;` and `proxy_set_header Connection \"\";` in the location. Requests go round robin.",
        keep_naive_when: "One backend has room. Or what they wait for is one thing behind all of them, such as the database. \
                          Or the CPU of one machine is used up: more processes on it do not add any.",
        costs: "One more hop, and one more thing that can fail, of which there must be two. Backends may keep nothing for \
                themselves: sessions and caches are elsewhere or doubled. A request that fails on one backend is tried on \
                the next, so only those that may run again (GET, PUT, DELETE) survive it.",
        lint: Lint::None,
    },
    naive: Side { summary: "all requests to one backend", growth: Growth::Constant },
    optimized: Side {
        summary: "nginx spreads them over all backends",
        growth: Growth::Other("divided by the number of backends"),
    },
    input: "A closed loop: a burst of 16 GETs at once over open connections, and the next one when all are answered. A \
            backend is a process of its own as far as the requests can see; it serves 4 at a time, each of which waits 4 ms \
            (a stated wait, which stands for a query), and keeps the others in a queue. Pages are 200 to 4,000 bytes of \
            text. nginx has one worker, on the same machine.",
    axis: Axis {
        name: "backends",
        unit: "backends",
        is_size: false,
        points: Points::Fixed { default: &[1, 2, 4], deep: &[] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 4 },
    causes: &[Claim {
        cause: ON_THE_BUSIEST,
        naive: Count::Exactly(|_| REQUESTS),
        optimized: Count::Exactly(|case| REQUESTS / case.point),
    }],
    explanation: Explanation {
        why: "Slots bound the naive side: requests wait for one, not for a core. Round robin gives each backend as many of \
              them, so the queue in front of each is shorter by the number of backends. What is left is the CPU time of \
              a request, which the client, nginx and the backends share here, and which the hop adds to.",
        share_of_cause: ShareOfCause::Within(0.6, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the same page again and again",
        reason: "a cache would answer, and all answers would be equally large",
        check: |inputs: &[Burst]| {
            let pages: HashSet<&String> = inputs.iter().flat_map(|burst| &burst.paths).collect();
            let requests: usize = inputs.iter().map(|burst| burst.paths.len()).sum();
            ensure(pages.len() == requests, || format!("{} pages in {requests}", pages.len()))
        },
        sprung: || vec![Burst { backends: 4, paths: vec!["/pages/7".to_owned(); 16] }; 16],
    }],
    limit: Limit::Work(&[Work::Waiting(|case| {
        let waves = REQUESTS.div_ceil(SLOTS as u64 * case.point);
        waves * DELAY.as_nanos() as u64
    })]),
    proof: Proof { resources: Resources::System, max_size: 3 },
    servers: &[Program::Nginx],
    under_load: Some(UnderLoad { p99: Duration::from_millis(20), rates: Rates::Capacity }),
    prepare,
    ..Pair::DEFAULTS
};

/// Requests that are sent at once, and how many backends there are for them.
#[derive(Clone, Debug)]
struct Burst {
    backends: usize,
    paths: Vec<String>,
}

/// The client is connected to a backend.
async fn naive(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    burst(client, paths).await
}

/// The client is connected to a load balancer.
async fn optimized(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    burst(client, paths).await
}

async fn burst(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    closed_loop(paths.len(), paths.iter().map(|path| client.text(path))).await
}

/// Backends, and the balancer in front of them.
struct Site {
    backends: Vec<Backend>,
    balancer: Nginx,
}

impl Site {
    fn new(case: &Case, backends: usize) -> Result<Site, Unavailable> {
        let pages = Pages::new(case);
        let backend = |_| {
            let pages = pages.clone();
            Backend::start(SLOTS, DELAY, move |path| pages.reply(path))
        };
        let backends = (0..backends).map(backend).collect::<Result<Vec<Backend>, _>>()?;
        let balancer = nginx::balancer(ROUND_ROBIN, &backends, "")?;
        Ok(Site { backends, balancer })
    }

    fn on_the_busiest(&self) -> u64 {
        self.backends.iter().map(Backend::served).max().unwrap_or(0)
    }
}

fn requests(case: &Case) -> Burst {
    Burst { backends: case.point as usize, paths: Pages::paths(case, case.items(REQUESTS)) }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let bursts = case.rotate(8, requests);
    let site = Arc::new(Site::new(case, case.point as usize)?);
    let runtime = runtime()?;
    let trial = Trial::new(
        bursts.measured(|burst| burst.backends as u64),
        over(&runtime, &bursts, &site, site.backends[0].address(), async |client, paths| {
            naive(client, paths).await
        })?,
        over(&runtime, &bursts, &site, site.balancer.address(), async |client, paths| {
            optimized(client, paths).await
        })?,
    );
    let (pages, paths) = (Pages::new(case), Pages::paths(case, LOADED_PAGES));
    let loads = |address| loads(address, &pages, &paths);
    let trial = trial.under_load(loads(site.backends[0].address()), loads(site.balancer.address()));
    Ok(trial.units(REQUESTS))
}

/// The side with each burst, through a client of a server at `address`, and the backends' count of its requests.
fn over(
    runtime: &Arc<Runtime>,
    bursts: &Inputs<Burst>,
    site: &Arc<Site>,
    address: SocketAddr,
    side: impl AsyncFn(&Client, &[String]) -> io::Result<Vec<String>> + 'static,
) -> Result<impl Runner + 'static, Unavailable> {
    let client = Arc::new(runtime.block_on(Client::connect(address, REQUESTS as usize))?);
    let side = Arc::new(side);
    let (counted, counting_client, counting_runtime) =
        (Arc::clone(&side), Arc::clone(&client), Arc::clone(runtime));
    let (site, counted_bursts) = (Arc::clone(site), bursts.clone());
    let runner = asynchronous(runtime, bursts, async move |burst: &Burst| {
        side(&client, &burst.paths).await.expect(ANSWERED)
    });
    Ok(runner.counting(ON_THE_BUSIEST, move |input| {
        site.backends.iter().for_each(Backend::reset);
        let paths = &counted_bursts[input].paths;
        counting_runtime.block_on(counted(&counting_client, paths)).expect(ANSWERED);
        site.on_the_busiest()
    }))
}

const ANSWERED: &str = "all requests are answered";

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "load_balancing") {
            return;
        }
        let case = Case::realistic(2, 0, 1);
        let (site, pages) = (Site::new(&case, 2).unwrap(), Pages::new(&case));
        let runtime = runtime().unwrap();
        let paths = ["/pages/one", "/pages/two", "/pages/three", "/pages/four"].map(str::to_owned);
        let expected = paths.clone().map(|path| pages.page(&path).to_owned());
        runtime.block_on(async {
            for (address, served) in
                [(site.backends[0].address(), [4, 0]), (site.balancer.address(), [2, 2])]
            {
                site.backends.iter().for_each(Backend::reset);
                let client = Client::connect(address, 4).await.unwrap();
                assert_eq!(burst(&client, &paths).await.unwrap(), expected);
                assert_eq!([0, 1].map(|backend| site.backends[backend].served()), served);
                assert!(burst(&client, &[]).await.unwrap().is_empty());
            }
        });
    }

    /// Sends eight requests to two backends, one of which ends with the four that it got, and returns how many are lost.
    async fn lost(location: &str) -> usize {
        let pages = Pages::new(&Case::realistic(2, 0, 1));
        let other = pages.clone();
        let dying = Backend::holding(move |path| pages.reply(path)).unwrap();
        let living = Backend::at_once(move |path| other.reply(path)).unwrap();
        let backends = [dying, living];
        let balancer = nginx::balancer(ROUND_ROBIN, &backends, location).unwrap();
        let client = Client::connect(balancer.address(), 8).await.unwrap();
        let [dying, living] = backends;
        let requests = join_all((0..8).map(|_| client.text("/pages/one")));
        let end = async {
            tokio::join!(dying.arrived(4), living.arrived(4));
            drop(dying);
        };
        let (answers, ()) = tokio::join!(requests, end);
        answers.iter().filter(|answer| answer.is_err()).count()
    }

    #[test]
    fn trap_a_backend_that_dies_loses_no_request_that_may_run_twice() {
        if !has_servers(PAIR.servers, "load_balancing") {
            return;
        }
        let runtime = runtime().unwrap();
        runtime.block_on(async {
            assert_eq!(lost("").await, 0, "nginx tries the next backend by default");
            assert_eq!(lost("proxy_next_upstream off;").await, 4, "those that it had");
        });
    }
}
