//! Fix: serve connections with tasks, not threads.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{
    application::Shop,
    wire::{self, Answer, Ask, Head, Session},
};
use crate::fixtures::http::{Reply, Service};
use worthit_pair::{causes, pair::Unavailable, study::Fix};

pub const FIX: Fix = Fix {
    name: "asynchronous",
    title: "Serve connections with tasks",
    why: "A customer reads most of the time, and his connection holds a thread all that time. When there are as many \
          customers as threads, the next one waits until somebody leaves, however idle the machine is. A task that waits \
          holds little memory and no thread.",
    costs: "Code that may wait must say so: a call that blocks holds up everybody on its thread. No request gets quicker.",
    source: include_str!("asynchronous.rs"),
};

/// A pool of threads, each of which serves one connection for as long as the customer keeps it. Further customers wait
/// until one is free.
pub fn before(shop: Arc<Shop>, runtime: Runtime) -> io::Result<Threads> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut threads = Threads::new(listener, runtime)?;
    for _ in 0..shop.plan.scale.threads {
        let shop = Arc::clone(&shop);
        threads.start(move |stream, handle| serve(&shop, stream, handle))?;
    }
    Ok(threads)
}

/// One thread that serves all connections, each by a task.
pub fn after(
    open: impl AsyncFnOnce() -> Result<Arc<Shop>, Unavailable> + Send + 'static,
) -> Result<Service, Unavailable> {
    Service::start(async move || {
        let shop = open().await?;
        Ok(move |request: Request<Incoming>| {
            let shop = Arc::clone(&shop);
            async move { reply(&shop.answer(asked(&request), session(&request)).await) }
        })
    })
}

/// Reads requests from a connection and answers them, until the customer closes it.
fn serve(shop: &Arc<Shop>, mut stream: &TcpStream, runtime: &Handle) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    let mut buffer = [0; 2_048];
    loop {
        let Some(head) = Head::parse(&received) else {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                bytes => received.extend_from_slice(&buffer[..bytes]),
            }
            continue;
        };
        received.drain(..head.length);
        let mut words = head.first.split(' ');
        let ask = Ask::parse(words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let session = Session::parse(head.header("cookie").unwrap_or_default());
        let answer = runtime.block_on(shop.answer(ask, session));
        stream.write_all(&wire::response(&answer))?;
    }
}

fn asked(request: &Request<Incoming>) -> Option<Ask> {
    Ask::parse(request.method().as_str(), request.uri().path())
}

fn session(request: &Request<Incoming>) -> Session {
    let cookie = request.headers().get(header::COOKIE).and_then(|cookie| cookie.to_str().ok());
    Session::parse(cookie.unwrap_or_default())
}

fn reply(answer: &Answer) -> Reply {
    let mut reply = Response::new(Full::new(answer.body.clone()));
    *reply.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seen) = answer.seen {
        let cookie = header::HeaderValue::try_from(format!("seen={seen}"));
        reply.headers_mut().extend(cookie.ok().map(|cookie| (header::SET_COOKIE, cookie)));
    }
    if answer.is_lasting {
        let lasting = header::HeaderValue::from_static(wire::LASTING);
        reply.headers_mut().insert(header::CACHE_CONTROL, lasting);
    }
    reply
}

/// Returns the runtime of a server with threads: one more thread, which talks to the databases.
pub fn runtime() -> io::Result<Runtime> {
    let start = causes::exclude_thread;
    Builder::new_multi_thread().worker_threads(1).on_thread_start(start).enable_all().build()
}

/// Stack of a thread, bytes. Only what is used of it takes memory.
const STACK: usize = 512 << 10;

/// How long the end of a server waits for its threads before it looks again, and for a place in its queue.
const A_MOMENT: Duration = Duration::from_millis(1);
const A_WHILE: Duration = Duration::from_millis(100);

/// A server with threads. Dropping it closes its connections and ends it.
pub struct Threads {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    is_over: Arc<AtomicBool>,
    threads: Vec<(JoinHandle<()>, Arc<Served>)>,
    runtime: Runtime,
}

/// The connection that a thread serves.
type Served = Mutex<Option<Arc<TcpStream>>>;

impl Threads {
    fn new(listener: TcpListener, runtime: Runtime) -> io::Result<Threads> {
        Ok(Threads {
            address: listener.local_addr()?,
            listener: Arc::new(listener),
            is_over: Arc::default(),
            threads: Vec::new(),
            runtime,
        })
    }

    /// Starts one more thread, which serves one connection after another.
    fn start(
        &mut self,
        serve: impl Fn(&TcpStream, &Handle) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let (listener, is_over) = (Arc::clone(&self.listener), Arc::clone(&self.is_over));
        let (served, handle) = (Arc::<Served>::default(), self.runtime.handle().clone());
        let serving = Arc::clone(&served);
        let thread = thread::Builder::new().name("customer".to_owned()).stack_size(STACK);
        let thread = thread.spawn(move || {
            causes::exclude_thread();
            loop {
                let accepted = listener.accept();
                if is_over.load(SeqCst) {
                    return;
                }
                let Ok((stream, _)) = accepted else { continue };
                let stream = Arc::new(stream);
                hold(&serving, Some(Arc::clone(&stream)));
                // A customer that has gone is no concern of the server.
                let _ = serve(&stream, &handle);
                hold(&serving, None);
            }
        })?;
        self.threads.push((thread, served));
        Ok(())
    }

    /// Address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn hold(served: &Served, stream: Option<Arc<TcpStream>>) {
    *served.lock().unwrap_or_else(PoisonError::into_inner) = stream;
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        let mut left = std::mem::take(&mut self.threads);
        let mut wakes = left.len();
        while !left.is_empty() {
            for (_, served) in &left {
                if let Some(stream) = &*served.lock().unwrap_or_else(PoisonError::into_inner) {
                    // The thread reads the end. Fails if the customer has gone.
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            // One connection wakes one thread. More would fill the queue, and nobody empties it any more.
            match wakes {
                0 => thread::sleep(A_MOMENT),
                _ if TcpStream::connect_timeout(&self.address, A_WHILE).is_ok() => wakes -= 1,
                _ => {}
            }
            let (ended, running) = left.into_iter().partition(|(thread, _)| thread.is_finished());
            left = running;
            for (thread, _) in ended {
                // A panic of the thread has already been printed.
                let _ = thread.join();
            }
        }
    }
}
