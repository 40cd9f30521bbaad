//! Ask a server many times: over one connection that is kept, not over one for each request.

use std::{
    collections::HashSet,
    convert::Infallible,
    io,
    net::SocketAddr,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header, server,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    time::timeout,
};

use crate::fixtures::{background_task::BackgroundTask, distance, http::Pages, loopback};
use worthit_pair::{causes::Event, prelude::*, wait};

/// Distances of the server; the one of a millisecond is confirmed.
const DISTANCES: [Level; 3] = distance::levels(&[3]);

pub const PAIR: Pair = Pair {
    title: "Keep the connection for the next request",
    review: Review {
        smell: "A client that is made where it is used, in a loop or in the handler of a request: `reqwest::get(url)`, \
                `ureq::get(url)`, `Client::new()`, `TcpStream::connect(address)`.",
        remedy: "`Client::new(address)` once, outside, and `client.get(path)` for each request. A client keeps its \
                 connection, or several. The clients of reqwest, ureq (an agent) and hyper-util (the peer) do it by \
                 themselves, if they live long enough.",
        keep_naive_when: "There is one request, or the next one comes after the server has given up on the connection. Or \
                          a balancer spreads connections, and a connection that stays would send everything to one server.",
        costs: "A server may close a connection at any time, and the next request may meet that: a request that may be \
                repeated, as a GET may, is sent once more over a new connection; one that may not (a payment) \
                fails, and needs a key by which the server knows it again. An answer must be read to its end before the \
                next request. A connection that is kept holds a socket at both ends, and does not notice that the name \
                of its server now means another address.",
        lint: Lint::None,
    },
    naive: Side { summary: "a client, and a connection, for each request", growth: Growth::Linear },
    optimized: Side { summary: "one client, which keeps its connection", growth: Growth::Linear },
    input: "Pages of 200 to 4,000 bytes that one client asks for, one after another, over HTTP/1.1 without TLS: with it, \
            opening a connection would take one more round trip or two, and signatures. All pages differ, and the server \
            does nothing but look them up. It resets a connection that its client has closed, so that the client's ports \
            are free again at once and none is missing after some ten thousand connections.",
    axis: Axis {
        name: "requests",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 10, 30, 100], deep: &[] },
    },
    parameter: Some(Parameter { name: "round-trip time", levels: Levels::Fixed(&DISTANCES) }),
    unit: "request",
    headline: Headline::At { level: "loopback", point: 30 },
    peers: &[SideBeside {
        name: "hyper_util",
        summary: "hyper-util's Client, a pool of connections",
    }],
    causes: &[
        Claim {
            cause: causes::CONNECTS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|_| 1),
        },
        Claim {
            cause: causes::ROUND_TRIPS,
            naive: Count::Exactly(|case| 2 * case.point),
            optimized: Count::Exactly(|case| case.point + 1),
        },
    ],
    explanation: Explanation {
        why: "n connections became one. A connection costs a round trip before the request can be sent, so at a distance \
              the gain approaches the ratio of round trips. Over loopback the handshake needs no other thread and is quick. \
              There both ends pay for a socket, its registration with the runtime, a task and \
              buffers, and for taking all that down again. What stays is the request itself, with a switch to the \
              server's thread and back, so the gain settles far below the ratio of connections.",
        share_of_cause: ShareOfCause::Within(0.05, 0.3),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the same page again and again",
        reason: "the server would look up one page in its nearest cache, and a client could keep it",
        check: |inputs: &[Vec<String>]| {
            let paths: HashSet<&String> = inputs.iter().flatten().collect();
            let requests: usize = inputs.iter().map(Vec::len).sum();
            ensure(paths.len() == requests, || {
                format!("{} pages in {requests} requests", paths.len())
            })
        },
        sprung: || vec![vec!["/pages/7".to_owned(); 30]; 8],
    }],
    limit: Limit::Work(&[
        Work::RoundTrips(|case| case.point),
        Work::Waiting(|case| (case.point + 1) * case.level * 1_000),
    ]),
    proof: Proof { resources: Resources::System, max_size: 24 },
    prepare,
    ..Pair::DEFAULTS
};

/// Lists of pages in the rotation.
fn turns(requests: u64) -> u64 {
    (256 / requests.max(1)).clamp(8, 64)
}

/// Time in which a side must have all its answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pages at these paths, in order.
async fn naive(address: SocketAddr, paths: &[String]) -> io::Result<Vec<String>> {
    let mut pages = Vec::with_capacity(paths.len());
    for path in paths {
        let mut client = Client::new(address);
        pages.push(client.get(path).await?);
    }
    Ok(pages)
}

/// The pages at these paths, in order.
async fn optimized(address: SocketAddr, paths: &[String]) -> io::Result<Vec<String>> {
    let mut client = Client::new(address);
    let mut pages = Vec::with_capacity(paths.len());
    for path in paths {
        pages.push(client.get(path).await?);
    }
    Ok(pages)
}

/// The pages at these paths, in order.
async fn hyper_util(address: SocketAddr, paths: &[String]) -> io::Result<Vec<String>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = legacy::Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let mut pages = Vec::with_capacity(paths.len());
    for path in paths {
        let url = format!("http://{address}{path}").parse().map_err(io::Error::other)?;
        pages.push(page(client.get(url).await.map_err(io::Error::other)?).await?);
    }
    Ok(pages)
}

type Connection = SendRequest<Empty<Bytes>>;

/// A client of one server, which keeps its connection. Its task ends when this is dropped.
struct Client {
    address: SocketAddr,
    kept: Option<Connection>,
}

impl Client {
    fn new(address: SocketAddr) -> Client {
        Client { address, kept: None }
    }

    /// The page at this path.
    ///
    /// If the server has closed the connection that was kept, the request is sent once more, over a new one.
    async fn get(&mut self, path: &str) -> io::Result<String> {
        if let Some(mut kept) = self.kept.take()
            && let Ok(answer) = ask(&mut kept, path).await
        {
            return self.read(kept, answer).await;
        }
        let mut fresh = connect(self.address).await?;
        let answer = ask(&mut fresh, path).await.map_err(io::Error::other)?;
        self.read(fresh, answer).await
    }

    /// Only a connection whose answer was read to the end can be used again.
    async fn read(
        &mut self,
        connection: Connection,
        answer: Response<Incoming>,
    ) -> io::Result<String> {
        let page = page(answer).await?;
        self.kept = Some(connection);
        Ok(page)
    }
}

async fn connect(address: SocketAddr) -> io::Result<Connection> {
    causes::count(Event::RoundTrip, 1);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (connection, driver) = handshake.map_err(io::Error::other)?;
    // It ends with its connection. An error reaches whoever asks.
    tokio::spawn(driver);
    Ok(connection)
}

async fn ask(connection: &mut Connection, path: &str) -> hyper::Result<Response<Incoming>> {
    connection.ready().await?;
    causes::count(Event::RoundTrip, 1);
    let request = Request::get(path).header(header::HOST, "127.0.0.1").body(Empty::new());
    connection.send_request(request.expect("paths are valid")).await
}

async fn page(answer: Response<Incoming>) -> io::Result<String> {
    match answer.status() {
        StatusCode::OK => {}
        status => return Err(io::Error::other(status.to_string())),
    }
    let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    String::from_utf8(body.into()).map_err(io::Error::other)
}

/// A server of pages, as far away as `distance` says. It has one thread, and so serves one request at a time.
async fn serve(
    listener: std::net::TcpListener,
    pages: Pages,
    distance: Duration,
) -> io::Result<()> {
    // The kernel may end a sleep late by the timer slack, 50 µs by default.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A reset when this is dropped: the client has closed it by then, so that nothing is lost.
        stream.set_zero_linger()?;
        let pages = pages.clone();
        // Over loopback the connection was open at once: the first request waits for that round trip, too.
        let round_trips = AtomicU32::new(2);
        let service = service_fn(move |request: Request<Incoming>| {
            wait::exactly(distance * round_trips.swap(1, Relaxed));
            let reply = pages.reply(request.uri().path());
            async move { Ok::<_, Infallible>(reply) }
        });
        let http = server::conn::http1::Builder::new();
        // The task ends when its client disconnects.
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service).without_shutdown());
    }
}

/// Starts a server, and returns its address.
fn start(pages: Pages, distance: Duration) -> Result<(SocketAddr, BackgroundTask), Unavailable> {
    let (listener, address) = loopback::listen()?;
    let server = BackgroundTask::start("pages", move || serve(listener, pages, distance));
    Ok((address, server.map_err(loopback::unavailable)?))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), |case| Pages::paths(case, case.point as usize));
    let distance = Duration::from_micros(case.level);
    let (address, server) = start(Pages::new(case), distance)?;
    let server = Arc::new(server);
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = Arc::new(runtime.map_err(loopback::unavailable)?);
    let [of_naive, of_optimized, of_peer] = [(); 3].map(|()| Arc::clone(&server));
    Ok(Trial::new(
        inputs.measured(|paths| paths.len() as u64),
        asynchronous(&runtime, &inputs, async move |paths: &Vec<String>| {
            let _server = &of_naive;
            answered(naive(address, paths)).await
        }),
        asynchronous(&runtime, &inputs, async move |paths: &Vec<String>| {
            let _server = &of_optimized;
            answered(optimized(address, paths)).await
        }),
    )
    .peer(asynchronous(&runtime, &inputs, async move |paths: &Vec<String>| {
        let _server = &of_peer;
        answered(hyper_util(address, paths)).await
    }))
    .units(case.point))
}

async fn answered(pages: impl Future<Output = io::Result<Vec<String>>>) -> Vec<String> {
    timeout(PATIENCE, pages).await.expect("in time").expect("the server answers")
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
        net::Shutdown,
        thread::{self, JoinHandle},
    };

    use super::*;

    /// A socket's state in `/proc/net/tcp`.
    const TIME_WAIT: &str = "06";

    /// What a server does with a connection after its first answer.
    #[derive(Clone, Copy, PartialEq)]
    enum Then {
        /// It closes its half.
        Ends,
        /// It lets the next request come, and resets the connection.
        Resets,
        /// It never answered, and closes.
        SaysNothing,
    }

    /// Serves this number of connections, each with one answer: the path that was asked for, in two pieces.
    fn server(connections: usize, then: Then) -> (SocketAddr, JoinHandle<()>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move |mut stream: std::net::TcpStream| -> io::Result<()> {
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte)?;
                request.push(byte[0]);
            }
            if then == Then::SaysNothing {
                return Ok(());
            }
            let path = request.split(|byte| *byte == b' ').nth(1).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Le")?;
            write!(stream, "ngth: {}\r\n\r\n{}", path.len(), str::from_utf8(path).unwrap())?;
            match then {
                Then::Ends => {
                    stream.shutdown(Shutdown::Write)?;
                    stream.read_to_end(&mut request).map(drop)
                }
                // What is left unread makes its end a reset.
                _ => stream.peek(&mut byte).map(drop),
            }
        };
        let serve_all = move || {
            for stream in listener.incoming().take(connections) {
                // An error is a client that has gone.
                let _ = serve(stream.unwrap());
            }
        };
        (address, thread::spawn(serve_all))
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { timeout(PATIENCE, future).await.unwrap() })
    }

    fn paths() -> Vec<String> {
        ["/one", "/two", "/one", "/three"].map(str::to_owned).to_vec()
    }

    #[test]
    fn known_answers() {
        let paths = paths();
        for side in 0..3 {
            let (address, server) = server(paths.len(), Then::Ends);
            let pages = block_on(async {
                match side {
                    0 => naive(address, &paths).await,
                    1 => optimized(address, &paths).await,
                    _ => hyper_util(address, &paths).await,
                }
            });
            assert_eq!(pages.unwrap(), paths);
            server.join().unwrap();
        }
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(block_on(naive(nobody, &[])).unwrap(), [""; 0]);
        assert_eq!(block_on(optimized(nobody, &[])).unwrap(), [""; 0]);
    }

    /// A server may close a connection while the next request is on its way.
    #[test]
    fn a_request_that_a_kept_connection_loses_is_sent_once_more() {
        let paths = paths();
        let (address, server) = server(paths.len(), Then::Resets);
        assert_eq!(block_on(optimized(address, &paths)).unwrap(), paths);
        // The last connection has no next request.
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_never_answers_is_an_error() {
        for side in 0..2 {
            let (address, server) = server(1, Then::SaysNothing);
            let pages = block_on(async {
                match side {
                    0 => naive(address, &paths()).await,
                    _ => optimized(address, &paths()).await,
                }
            });
            assert!(pages.is_err());
            server.join().unwrap();
        }
    }

    /// Ports that wait for a minute would run out, as there are some ten thousand.
    /// The ports of clients of this server that wait for late packets.
    fn waiting_ports(server: SocketAddr) -> HashSet<String> {
        let server = format!(":{:04X}", server.port());
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        let sockets = sockets.lines().map(|socket| socket.split_whitespace().collect::<Vec<_>>());
        let waiting =
            sockets.filter(|fields| fields[2].ends_with(&server) && fields[3] == TIME_WAIT);
        waiting.map(|fields| fields[1].to_owned()).collect()
    }

    #[test]
    fn trap_no_port_is_left_waiting() {
        let case = Case::realistic(20, 0, 1);
        let (address, _server) = start(Pages::new(&case), Duration::ZERO).unwrap();
        // An earlier server of another test may have had the same port.
        let earlier = waiting_ports(address);
        block_on(naive(address, &Pages::paths(&case, 20))).unwrap();
        assert_eq!(waiting_ports(address).difference(&earlier).count(), 0);
    }
}
