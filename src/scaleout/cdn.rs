//! Answer from an edge near the client what a distant origin has answered before.

use std::{collections::HashSet, io, net::SocketAddr, sync::Arc, time::Duration};

use rand::seq::SliceRandom;
use tokio::runtime::Runtime;

use crate::fixtures::{
    distance,
    edge::{self, Site},
    http::{Backend, Client, Pages, runtime},
    zipf::Zipf,
};
use worthit_pair::{causes::Event, prelude::*};

/// Pages of the site; requests for them follow Zipf's law.
const PAGES: u64 = 500;
/// Requests in a stream.
const REQUESTS: u64 = 20;
/// Time that the origin takes for a page, all of it waiting. It stands for the queries of the page.
const RENDERING: Duration = Duration::from_micros(500);

/// Distances of the origin; the one of a millisecond is confirmed.
const DISTANCES: [Level; 3] = distance::levels(&[80]);

const ORIGIN_HITS: Cause = Cause::new("origin_hits", "requests that reach the origin")
    .counted("and asks the origin how many it has served");

pub const PAIR: Pair = Pair {
    title: "Put a cache at the edge",
    review: Review {
        smell: "Clients far away ask the origin for pages that are the same for all of them, and change seldom.",
        remedy: "A cache near the clients, as a CDN rents it: nginx with `proxy_cache_path cache keys_zone=edge:8m;` and, in the \
                 location, `proxy_cache edge;`. The origin says with `Cache-Control: max-age=3600` for how long an answer may \
                 be kept. Who changes a page makes the edge fetch it anew (`proxy_cache_bypass $http_x_purge;`, for those who \
                 may), or gives it another name.",
        keep_naive_when: "Each client sees something else, as after a login. Or nearly no page is asked for again before it \
                          expires. Or the origin is near and its answers are ready.",
        costs: "Pages are old until they expire or are purged, at every edge. A page with `max-age` that is for one client \
                only is shown to others: say `private` or `no-store`. A miss takes a hop and a file more. The first requests after \
                an expiry all reach the origin, unless `proxy_cache_lock` lets one of them go.",
        lint: Lint::None,
    },
    naive: Side { summary: "each request to the origin", growth: Growth::Constant },
    optimized: Side {
        summary: "nginx with proxy_cache in front of the client",
        growth: Growth::Other("a hit costs less than a miss does"),
    },
    input: "20 GETs, one after another: one client, a closed loop. Pages are 200 to 4,000 bytes of text. Which of 500 is asked \
            for follows Zipf's law, under the condition that exactly the stated share of requests is for one that the stream \
            has asked for before. The cache has none of them at the start. The origin takes 500 µs for a page (a stated wait, \
            which stands for its queries). The round-trip time is that between the origin and those who ask it; the edge is \
            on loopback. All connections are kept.",
    axis: Axis {
        name: "requests that hit",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 50, 80, 90], deep: &[] },
    },
    parameter: Some(Parameter { name: "round-trip time", levels: Levels::Fixed(&DISTANCES) }),
    unit: "request",
    headline: Headline::At { level: "loopback", point: 80 },
    causes: &[
        Claim {
            cause: ORIGIN_HITS,
            naive: Count::Exactly(|_| REQUESTS),
            optimized: Count::Exactly(misses),
        },
        Claim {
            cause: causes::ROUND_TRIPS,
            naive: Count::Exactly(|_| REQUESTS),
            optimized: Count::Exactly(misses),
        },
    ],
    explanation: Explanation {
        why: "A hit is answered near by, from a file of the edge: neither the distance nor the origin's work is in it. A miss \
              is the request to the origin, the hop and the writing of the file. So the share of hits decides. Over \
              loopback, where only the origin's work is saved, the hop is a part of what is left; at a distance the gain is \
              the ratio of round trips.",
        share_of_cause: ShareOfCause::Within(0.2, 1.05),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[&Trap {
        name: "a few pages are asked for again and again",
        reason: "the edge would find them in its nearest cache",
        check: |inputs: &[Vec<String>]| {
            let pages: HashSet<&String> = inputs.iter().flatten().collect();
            ensure(pages.len() >= inputs.len(), || format!("{} pages", pages.len()))
        },
        sprung: || vec![(0..20).map(|request| (request % 5).to_string()).collect(); 32],
    }],
    limit: Limit::Work(&[
        Work::Waiting(|case| misses(case) * (RENDERING.as_nanos() as u64 + case.level * 1_000)),
        Work::RoundTrips(|case| REQUESTS + misses(case)),
    ]),
    proof: Proof { resources: Resources::System, max_size: 3 },
    servers: &[Program::Nginx],
    prepare,
    ..Pair::DEFAULTS
};

/// Requests of a stream that miss.
fn misses(case: &Case) -> u64 {
    REQUESTS - REQUESTS * case.point / 100
}

/// The client is connected to the origin.
async fn naive(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    one_by_one(client, paths).await
}

/// The client is connected to the edge.
async fn optimized(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    one_by_one(client, paths).await
}

async fn one_by_one(client: &Client, paths: &[String]) -> io::Result<Vec<String>> {
    let mut pages = Vec::with_capacity(paths.len());
    for path in paths {
        pages.push(request(client, path).await?);
    }
    Ok(pages)
}

/// Makes one request.
async fn request(client: &Client, path: &str) -> io::Result<String> {
    let answer = client.get_whole(path).await?;
    if !edge::is_hit(&answer) {
        causes::count(Event::RoundTrip, 1);
    }
    String::from_utf8(answer.into_body().into()).map_err(io::Error::other)
}

/// A stream of which exactly the stated share is for pages that it has asked for before.
fn stream(case: &Case) -> Vec<String> {
    let mut rng = case.rng("stream");
    let pages = case.items(PAGES).max(REQUESTS as usize);
    let zipf = Zipf::new(pages, 4);
    let mut is_hit: Vec<bool> = (1..REQUESTS).map(|request| request >= misses(case)).collect();
    is_hit.shuffle(&mut rng);
    let mut asked = HashSet::new();
    let mut any = |hits: bool| loop {
        let page = zipf.sample(&mut rng);
        if asked.contains(&page) == hits {
            asked.insert(page);
            return page.to_string();
        }
    };
    // The first one cannot hit.
    [false].into_iter().chain(is_hit).map(&mut any).collect()
}

/// Percentage of the requests that are for a page again.
fn hits(names: &[String]) -> u64 {
    let pages: HashSet<&String> = names.iter().collect();
    (100 * (names.len() - pages.len()) / names.len()) as u64
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let streams = case.rotate(8, stream);
    let pages = Pages::new(case);
    let respond = move |path: &str| edge::lasting(pages.reply(path), "max-age=3600");
    let origin = Backend::start(1, RENDERING, respond)?;
    let site = Arc::new(Site::new(origin, Duration::from_micros(case.level))?);
    let runtime = runtime()?;
    let trial = Trial::new(
        streams.measured(|names| hits(names)),
        over(&runtime, &streams, &site, site.far(), async |client, paths| {
            naive(client, paths).await
        })?,
        over(&runtime, &streams, &site, site.edge.address(), async |client, paths| {
            optimized(client, paths).await
        })?,
    );
    Ok(trial.units(REQUESTS))
}

/// The side with each stream, through a client of a server at `address`, and the origin's count of its requests.
fn over(
    runtime: &Arc<Runtime>,
    streams: &Inputs<Vec<String>>,
    site: &Arc<Site>,
    address: SocketAddr,
    side: impl AsyncFn(&Client, &[String]) -> io::Result<Vec<String>> + 'static,
) -> Result<impl Runner + 'static, Unavailable> {
    let client = runtime.block_on(Client::connect(address, 1))?;
    let running = Arc::clone(site);
    let run = Arc::new(async move |names: &Vec<String>| {
        side(&client, &running.paths(names)).await.expect("all requests are answered")
    });
    let (again, counting, counted) = (Arc::clone(&run), Arc::clone(runtime), streams.clone());
    let site = Arc::clone(site);
    let runner = asynchronous(runtime, streams, async move |names: &Vec<String>| run(names).await);
    Ok(runner.counting(ORIGIN_HITS, move |input| {
        site.origin.reset();
        counting.block_on(again(&counted[input]));
        site.origin.served()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "cdn") {
            return;
        }
        let pages = Pages::new(&Case::realistic(50, 0, 1));
        let content = pages.clone();
        let respond = move |path: &str| edge::lasting(pages.reply(path), "max-age=60");
        let site = Site::new(Backend::at_once(respond).unwrap(), Duration::ZERO).unwrap();
        let names = ["home", "about", "home", "home"].map(str::to_owned);
        let expected = names.each_ref().map(|name| content.page(name).to_owned());
        runtime().unwrap().block_on(async {
            for (address, served) in [(site.far(), 4), (site.edge.address(), 2)] {
                let client = Client::connect(address, 1).await.unwrap();
                // The second stream is of another edition, so that it finds as little as the first.
                for _ in 0..2 {
                    site.origin.reset();
                    let pages = one_by_one(&client, &site.paths(&names)).await.unwrap();
                    assert_eq!((pages, site.origin.served()), (expected.to_vec(), served));
                }
            }
        });
    }

    #[test]
    fn a_stream_hits_as_often_as_it_should() {
        for point in [0, 50, 80, 90] {
            let names = stream(&Case::realistic(point, 0, 42));
            assert_eq!((hits(&names), names.len() as u64), (point, REQUESTS));
        }
    }
}
