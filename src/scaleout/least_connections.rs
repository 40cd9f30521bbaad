//! Balance over backends of which one is slow: to the one with the fewest requests in progress, not in turn.

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use tokio::runtime::Runtime;

use crate::fixtures::{
    http::{Backend, Client, Pages, Simulated, closed_loop, loads, runtime, simulated_loop},
    nginx,
};
use worthit_pair::prelude::*;
use worthit_servers::nginx::Nginx;

/// Backends. The last of them is the slow one.
const BACKENDS: usize = 3;
/// Requests that a backend serves at a time.
const SLOTS: usize = 2;
/// Time that each takes on the backends that are not slow, all of it waiting.
const DELAY: Duration = Duration::from_millis(1);
/// Requests in a stream.
const REQUESTS: u64 = 30;
/// Pages that open-loop loads ask for, in turn.
const LOADED_PAGES: usize = 500;
/// Clients, as many as there are slots.
const CLIENTS: usize = BACKENDS * SLOTS;

const ON_THE_SLOW_ONE: Cause = Cause::new("on_the_slow_one", "requests on the slow backend")
    .counted("against backends that hold requests and answer in simulated time, through an nginx just started");

pub const PAIR: Pair = Pair {
    title: "Send a request where the fewest are in progress",
    review: Review {
        smell: "An upstream without a method, over backends that are not equally quick at all times: other machines, a \
                neighbour that takes their CPU time, a pause of the garbage collector, requests of different weight.",
        remedy: "`least_conn;` in the block of the upstream. With several balancers, which do not know of each other's requests, \
                 `random two least_conn;`, the alternative: else all of them choose the same backend.",
        keep_naive_when: "Backends are equally quick and so are requests: then round robin does the same. Or a backend fails \
                          quickly: with the fewest requests in progress it would get most, so check its health.",
        costs: "Nothing here: the balancer counts what it has sent. A backend that has just started gets many requests at \
                once, before its caches are warm.",
        lint: Lint::None,
    },
    naive: Side { summary: "round robin", growth: Growth::Linear },
    optimized: Side {
        summary: "least_conn",
        growth: Growth::Other("what the other backends take, and the last request of the slow one"),
    },
    input: "A closed loop: 6 clients make 30 GETs through nginx, each the next one when its last is answered. There are 3 \
            backends, each with 2 slots. A request waits 1 ms in its slot (a stated wait, which stands for a query), and on one \
            of the backends the stated multiple of it. Pages are 200 to 4,000 bytes of text. nginx has one worker.",
    axis: Axis {
        name: "slowness of one backend",
        unit: "times",
        is_size: false,
        points: Points::Fixed { default: &[1, 2, 4], deep: &[8] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 4 },
    alternatives: &[SideBeside { name: "two_choices", summary: "random two least_conn" }],
    causes: &[Claim {
        cause: ON_THE_SLOW_ONE,
        naive: Count::Exactly(|_| REQUESTS / BACKENDS as u64),
        optimized: Count::AtMost(|case| REQUESTS.div_ceil(2 * case.point + 1)),
    }],
    explanation: Explanation {
        why: "Round robin gives the slow backend as many requests as the others. Clients wait in its queue, until nearly all \
              of them do, and the others have nothing to do. With the fewest in progress, it gets the next request only when \
              it has answered one, so each backend gets as many as it can serve. A stream as short as this one ends \
              with a request on the slow backend, for which the others no longer make up.",
        share_of_cause: ShareOfCause::Within(0.6, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "the same page again and again",
            reason: "all answers would be equally large",
            check: |inputs: &[Stream]| {
                let pages: HashSet<&String> =
                    inputs.iter().flat_map(|stream| &stream.paths).collect();
                let requests: usize = inputs.iter().map(|stream| stream.paths.len()).sum();
                ensure(pages.len() == requests, || format!("{} pages in {requests}", pages.len()))
            },
            sprung: || vec![Stream { slowness: 4, paths: vec!["/pages/7".to_owned(); 30] }; 16],
        },
        &Trap {
            name: "there are more clients than requests",
            reason: "all would be sent before the first is answered, and then no method knows which backend is slow",
            check: |inputs: &[Stream]| {
                let shortest = inputs.iter().map(|stream| stream.paths.len()).min();
                ensure(shortest >= Some(4 * CLIENTS), || format!("{shortest:?} requests"))
            },
            sprung: || {
                let paths = (0..CLIENTS).map(|page| format!("/pages/{page}")).collect();
                vec![Stream { slowness: 4, paths }; 16]
            },
        },
    ],
    limit: Limit::Work(&[Work::Waiting(|case| {
        // What all slots together can serve, if none is ever free.
        let quick = (BACKENDS - 1) as u64 * case.point;
        let delay = DELAY.as_nanos() as u64;
        REQUESTS * delay * case.point / (SLOTS as u64 * (quick + 1))
    })]),
    proof: Proof { resources: Resources::System, max_size: 3 },
    servers: &[Program::Nginx],
    under_load: Some(UnderLoad { p99: Duration::from_millis(20), rates: Rates::Capacity }),
    prepare,
    ..Pair::DEFAULTS
};

/// What stands in the block of the upstream.
const ROUND_ROBIN: &str = "";
const LEAST_CONNECTIONS: &str = "least_conn;";
const TWO_CHOICES: &str = "random two least_conn;";

/// Requests, and how many times slower than the others one backend is.
#[derive(Clone, Debug)]
struct Stream {
    slowness: u64,
    paths: Vec<String>,
}

/// The balancer has the method `ROUND_ROBIN`.
async fn naive(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    stream(client, paths).await
}

/// The balancer has the method `LEAST_CONNECTIONS`.
async fn optimized(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    stream(client, paths).await
}

/// The balancer has the method `TWO_CHOICES`.
async fn two_choices(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    stream(client, paths).await
}

async fn stream(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    closed_loop(CLIENTS, paths.iter().map(|path| client.text(path))).await
}

/// How long a request takes on each backend, in units of [`DELAY`].
fn delays(slowness: u64) -> [u64; BACKENDS] {
    std::array::from_fn(|place| if place + 1 == BACKENDS { slowness } else { 1 })
}

/// Returns how many requests of a stream a balancer with this method sends to the slow backend.
async fn on_the_slow_one(
    method: &str,
    case: &Case,
    slowness: u64,
    paths: &[String],
) -> Result<u64, Unavailable> {
    let pages = Pages::new(case);
    let simulated = |delay| {
        let pages = pages.clone();
        let backend = Backend::holding(move |path| pages.reply(path))?;
        Ok(Simulated { backend, slots: SLOTS, delay })
    };
    let backends: Vec<Simulated> =
        delays(slowness).into_iter().map(simulated).collect::<Result<_, Unavailable>>()?;
    // What another one has chosen before would decide between backends that are equally loaded.
    let balancer =
        nginx::balancer(method, backends.iter().map(|simulated| &simulated.backend), "")?;
    let client = Client::connect(balancer.address(), CLIENTS).await?;
    simulated_loop(CLIENTS, &client, paths, &backends).await.expect(ANSWERED);
    Ok(backends[BACKENDS - 1].backend.served())
}

fn requests(case: &Case) -> Stream {
    Stream { slowness: case.point, paths: Pages::paths(case, case.items(REQUESTS)) }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let streams = case.rotate(6, requests);
    let pages = Pages::new(case);
    let backend = |delay: u64| {
        let pages = pages.clone();
        Backend::start(SLOTS, DELAY * delay as u32, move |path| pages.reply(path))
    };
    let backends = delays(case.point).into_iter().map(backend);
    let backends: Arc<[Backend]> = backends.collect::<Result<_, Unavailable>>()?;
    let balancer = |method| Ok(Arc::new(nginx::balancer(method, backends.iter(), "")?));
    let (in_turn, fewest) = (balancer(ROUND_ROBIN)?, balancer(LEAST_CONNECTIONS)?);
    let loads =
        |balancer: &Nginx| loads(balancer.address(), &pages, &Pages::paths(case, LOADED_PAGES));
    let loads = (loads(&in_turn), loads(&fewest));
    let runtime = runtime()?;
    let site = (&runtime, &streams, &backends);
    let trial = Trial::new(
        streams.measured(|stream| stream.slowness),
        over(case, ROUND_ROBIN, in_turn, site, async |client, paths| naive(client, paths).await)?,
        over(case, LEAST_CONNECTIONS, fewest, site, async |client, paths| {
            optimized(client, paths).await
        })?,
    );
    let two = over(case, TWO_CHOICES, balancer(TWO_CHOICES)?, site, async |client, paths| {
        two_choices(client, paths).await
    })?;
    Ok(trial.alternative(two).under_load(loads.0, loads.1).units(REQUESTS))
}

/// The side with each stream, through a balancer with this method, and a count of the requests on the slow backend.
fn over(
    case: &Case,
    method: &'static str,
    balancer: Arc<Nginx>,
    (runtime, streams, backends): (&Arc<Runtime>, &Inputs<Stream>, &Arc<[Backend]>),
    side: impl AsyncFn(&Client, &[String]) -> io::Result<Vec<String>> + 'static,
) -> Result<impl Runner + 'static, Unavailable> {
    let client = runtime.block_on(Client::connect(balancer.address(), CLIENTS))?;
    let running = (balancer, Arc::clone(backends));
    let (counted, case, counting) = (streams.clone(), case.clone(), Arc::clone(runtime));
    let runner = asynchronous(runtime, streams, async move |stream: &Stream| {
        let _running = &running;
        side(&client, &stream.paths).await.expect(ANSWERED)
    });
    Ok(runner.counting(ON_THE_SLOW_ONE, move |input| {
        let Stream { slowness, paths } = &counted[input];
        let count = counting.block_on(on_the_slow_one(method, &case, *slowness, paths));
        count.unwrap_or_else(|Unavailable(reason)| panic!("{reason}"))
    }))
}

const ANSWERED: &str = "all requests are answered";

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "least_connections") {
            return;
        }
        let case = Case::realistic(4, 0, 1);
        let (runtime, paths) = (runtime().unwrap(), requests(&case).paths);
        for (method, slowness, expected) in [
            (ROUND_ROBIN, 1, 10),
            (ROUND_ROBIN, 4, 10),
            (LEAST_CONNECTIONS, 1, 10),
            (LEAST_CONNECTIONS, 2, 6),
            (LEAST_CONNECTIONS, 4, 4),
            // It serves two, and then nothing is left to do.
            (LEAST_CONNECTIONS, 100, 2),
        ] {
            let counted = on_the_slow_one(method, &case, slowness, &paths);
            assert_eq!(runtime.block_on(counted).unwrap(), expected, "{method} {slowness}");
        }
    }
}
