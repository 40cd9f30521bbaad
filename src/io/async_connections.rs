//! Keep many connections open that are idle most of the time: a task for each, not a thread.

use std::{
    collections::HashSet,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};

use rand::seq::SliceRandom;
use rustix::net::sockopt::{self, Timeout};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
    time::timeout,
};

use worthit_pair::prelude::*;

/// Threads that serve connections.
const THREADS: Cause = Cause::new("threads", "threads that serve")
    .counted("with a closure that notes the thread of each connection");

pub const PAIR: Pair = Pair {
    title: "Give each connection a task",
    review: Review {
        smell: "`thread::spawn(move || serve(stream))` for each connection that a listener accepts, in a server whose \
                clients stay: chat, devices, browsers that keep their connections.",
        remedy: "`tokio::spawn(serve_task(stream, …))`: an asynchronous function for each connection, on a runtime of one \
                 thread, or of one for each core.",
        keep_naive_when: "There are a few connections, or a few at a time: a runtime costs more than they do, and blocking \
                          code is easier to write and to debug. Or each connection computes or calls what blocks: that \
                          needs a thread anyway.",
        costs: "A dependency, and `async` in everything that a connection calls. Nothing in it may block or compute for \
                long: all connections of the runtime's thread would wait. A large value that lives across an `.await` is \
                part of the task of each connection, as is a buffer.",
        lint: Lint::None,
    },
    naive: Side { summary: "a thread for each connection", growth: Growth::Linear },
    optimized: Side {
        summary: "a tokio task for each connection, all on one thread",
        growth: Growth::Linear,
    },
    input: "Clients over loopback that come one after another, each of which says eight bytes and is answered. When all \
            have come, each says eight bytes again, in random order, and then they leave. In between they are idle: one \
            client says one thing at a time. Of a thread's stack, the pages count that are in memory and in use. What the \
            kernel holds does not: on both sides a socket with its buffers, and for a thread also its kernel stack and its \
            entry in the scheduler. Neither does a buffer for what is read, of which each connection of a real server has \
            one on both sides. All ends are in one process, which limits how many connections it may hold.",
    axis: Axis {
        name: "connections",
        unit: "connections",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 10, 30, 100], deep: &[400] },
    },
    unit: "connection",
    headline: Headline::At { level: "", point: 30 },
    metric: Metric::BytesHeld,
    causes: &[
        Claim {
            cause: causes::PEAK_BYTES,
            // At least a page of each stack.
            naive: Count::AtLeast(|case| case.point * PAGE),
            optimized: Count::AtMost(|case| RUNTIME + case.point * TASK),
        },
        Claim {
            cause: THREADS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|_| 1),
        },
    ],
    explanation: Explanation {
        why: "The gain is the ratio of bytes held, which are counted. A thread has a stack, of which the pages that it has \
              touched stay in memory for as long as it lives: the frames of its calls, and what libc and std keep for each \
              thread. A task is one value that holds what lives across its awaits, and an entry in the runtime's list of \
              sockets. The runtime itself is paid for once: it has buffers for events and timers, which outweigh a few \
              threads and are shared by many tasks. The times are measured, too. They include that threads are made and \
              ended, and to wake another thread for each message.",
        share_of_cause: ShareOfCause::Within(0.999, 1.001),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "clients that leave at once",
            reason: "no more than one would be served at a time, and one thread would do",
            check: |inputs: &[Arc<Input>]| {
                let stay = |input: &&Arc<Input>| {
                    let later: HashSet<usize> = input.later.iter().map(|(who, _)| *who).collect();
                    later.len() == input.first.len()
                };
                let leave = inputs.iter().filter(|input| !stay(input)).count();
                ensure(leave == 0, || format!("some clients of {leave} inputs say nothing later"))
            },
            sprung: || vec![Arc::new(Input { first: vec![3, 4], later: vec![(1, 5)] })],
        },
        &Trap {
            name: "clients speak in the order in which they came",
            reason: "the next stack or task would always be near the last one in memory",
            check: |inputs: &[Arc<Input>]| {
                let in_turn =
                    |input: &&Arc<Input>| input.later.len() > 4 && input.later.is_sorted();
                let in_turn = inputs.iter().filter(in_turn).count();
                ensure(in_turn == 0, || format!("in {in_turn} inputs"))
            },
            sprung: || {
                let later = (0..20).map(|client| (client, 7)).collect();
                vec![Arc::new(Input { first: vec![7; 20], later })]
            },
        },
    ],
    limit: Limit::None("the metric is bytes, which are counted: no machine number bounds them"),
    proof: Proof { resources: Resources::System, max_size: 16 },
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
const TURNS: u64 = 4;

/// The smallest page of any processor that Linux runs on, bytes.
const PAGE: u64 = 4_096;
/// What a runtime takes at most, bytes…
const RUNTIME: u64 = 64 << 10;
/// …and a task with its socket.
const TASK: u64 = 2_048;

/// Size of a thread's stack in bytes. Of a larger one no more would be in memory. But libc keeps only 40 MiB of stacks for
/// later threads and maps others anew, and then the tree in which std has its threads by address differs from run to run.
const STACK: usize = 128 << 10;

/// Time in which a client must come, and say something or be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// What clients say.
struct Input {
    /// What each says when it has come. Then the next one comes.
    first: Vec<u64>,
    /// What is said when all have come, and by whom.
    later: Vec<(usize, u64)>,
}

/// Serves this number of clients, each on a thread of its own, until all have gone. `arrives` is called there for each, and
/// what it returns lives until its client has gone.
fn naive<T>(
    listener: &TcpListener,
    clients: usize,
    arrives: impl Fn() -> T + Clone + Send + 'static,
) -> io::Result<()> {
    let mut threads = Vec::with_capacity(clients);
    for stream in listener.incoming().take(clients) {
        let (stream, arrives) = (stream?, arrives.clone());
        let thread = thread::Builder::new().stack_size(STACK);
        threads.push(thread.spawn(move || serve(stream, arrives))?);
    }
    let ended = threads.into_iter().map(|thread| thread.join().expect("no thread panics"));
    ended.fold(Ok(()), Result::and)
}

fn serve<T>(mut stream: TcpStream, arrives: impl Fn() -> T) -> io::Result<()> {
    let mut message = [0; 8];
    stream.read_exact(&mut message)?;
    let _lives = arrives();
    loop {
        stream.write_all(&answer(message))?;
        match stream.read_exact(&mut message) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
    }
}

/// Serves this number of clients, each in a task of its own, until all have gone. `arrives` is called there for each, and
/// what it returns lives until its client has gone.
fn optimized<T: Send + 'static>(
    listener: &TcpListener,
    clients: usize,
    arrives: impl Fn() -> T + Clone + Send + 'static,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
        let mut tasks = Vec::with_capacity(clients);
        for _ in 0..clients {
            let (stream, _) = timeout(PATIENCE, listener.accept()).await??;
            tasks.push(tokio::spawn(serve_task(stream, arrives.clone())));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

async fn serve_task<T>(
    mut stream: tokio::net::TcpStream,
    arrives: impl Fn() -> T,
) -> io::Result<()> {
    let mut message = [0; 8];
    timeout(PATIENCE, stream.read_exact(&mut message)).await??;
    let _lives = arrives();
    loop {
        stream.write_all(&answer(message)).await?;
        match timeout(PATIENCE, stream.read_exact(&mut message)).await? {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        };
    }
}

fn answer(message: [u8; 8]) -> [u8; 8] {
    let said = u64::from_le_bytes(message);
    said.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

/// A listener, and the clients that come to it, all of them on one thread. They end when this is dropped.
struct Hall {
    listener: TcpListener,
    asks: Option<SyncSender<Arc<Input>>>,
    answers: Receiver<io::Result<Vec<u64>>>,
    clients: Option<JoinHandle<()>>,
}

impl Hall {
    fn open(is_blocking: bool) -> io::Result<Hall> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(!is_blocking)?;
        // What it accepts inherits both. A connection that its client has closed is reset when it is closed here, so that
        // the client's port is free at once.
        sockopt::set_socket_linger(&listener, Some(Duration::ZERO))?;
        sockopt::set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))?;
        let (asks, asked) = mpsc::sync_channel::<Arc<Input>>(1);
        let (answer, answers) = mpsc::sync_channel(1);
        let clients = thread::Builder::new().name("clients".to_owned()).spawn(move || {
            causes::exclude_thread();
            for input in asked {
                // Fails when nobody waits for it.
                let _ = answer.send(visit(address, &input));
            }
        })?;
        Ok(Hall { listener, asks: Some(asks), answers, clients: Some(clients) })
    }

    /// Lets the clients of an input come while a side serves, and returns what they are answered.
    fn serve(
        &self,
        input: &Arc<Input>,
        side: impl FnOnce(&TcpListener, usize) -> io::Result<()>,
    ) -> io::Result<Vec<u64>> {
        let asks = self.asks.as_ref().expect("it is open");
        asks.send(Arc::clone(input)).expect("the clients' thread waits");
        let served = side(&self.listener, input.first.len());
        // If a client cannot come, this says why.
        let answers = self.answers.recv().expect("the clients' thread answers")?;
        served.map(|()| answers)
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        drop(self.asks.take());
        // A panic of the thread has already been printed.
        let _ = self.clients.take().map(JoinHandle::join);
    }
}

/// What clients do: they come one after another, say things, and leave, one after another, when all has been said.
fn visit(address: SocketAddr, input: &Input) -> io::Result<Vec<u64>> {
    let ask = |mut stream: &TcpStream, message: u64| {
        stream.write_all(&message.to_le_bytes())?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer)?;
        Ok::<_, io::Error>(u64::from_le_bytes(answer))
    };
    let mut answers = Vec::with_capacity(input.first.len() + input.later.len());
    let mut streams = Vec::with_capacity(input.first.len());
    for message in &input.first {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        answers.push(ask(&stream, *message)?);
        streams.push(stream);
    }
    for (client, message) in &input.later {
        answers.push(ask(&streams[*client], *message)?);
    }
    for mut stream in streams {
        stream.shutdown(Shutdown::Write)?;
        // The next one leaves when this one has been let go, so that what is held meanwhile is the same each time.
        let _ = stream.read(&mut [0]);
    }
    Ok(answers)
}

fn input(case: &Case) -> Input {
    let clients = case.point as usize;
    let mut first = case.values(2 * clients);
    let second = first.split_off(clients);
    let mut order: Vec<usize> = (0..clients).collect();
    order.shuffle(&mut case.rng("order"));
    Input { first, later: order.into_iter().zip(second).collect() }
}

/// Counts the stack of a thread that serves as held, where causes are counted.
fn hold_stack() -> Option<causes::Held> {
    causes::is_counting_binary().then(|| causes::hold(stack::bytes_in_use()))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, |case| Arc::new(input(case)));
    let hall = |is_blocking| {
        let hall = Hall::open(is_blocking).map(Rc::new);
        hall.map_err(|error| Unavailable(format!("cannot listen on loopback: {error}")))
    };
    let (of_naive, of_optimized) = (hall(true)?, hall(false)?);
    // Shows whether the system gives as many sockets and threads.
    of_naive.serve(&inputs[0], |listener, clients| naive(listener, clients, || ())).map_err(
        |error| {
            let remedy = "allow 127.0.0.1, or raise `ulimit -n` or `ulimit -u`";
            Unavailable(format!("cannot serve {} connections: {error}; {remedy}", case.point))
        },
    )?;
    let (here, there) = (Rc::clone(&of_naive), Rc::clone(&of_optimized));
    let (one, other) = (inputs.clone(), inputs.clone());
    Ok(Trial::new(
        inputs.measured(|input| input.first.len() as u64),
        by_ref(&inputs, move |input: &Arc<Input>| {
            let side = |listener: &TcpListener, clients| naive(listener, clients, hold_stack);
            of_naive.serve(input, side).expect(ANSWERED)
        })
        .counting(THREADS, move |i| {
            let threads = Threads::default();
            let note = noting_thread(&threads);
            let served = here.serve(&one[i], |listener, clients| naive(listener, clients, note));
            drop(served.expect(ANSWERED));
            count(&threads)
        }),
        by_ref(&inputs, move |input: &Arc<Input>| {
            let side = |listener: &TcpListener, clients| optimized(listener, clients, || ());
            of_optimized.serve(input, side).expect(ANSWERED)
        })
        .counting(THREADS, move |i| {
            let threads = Threads::default();
            let note = noting_thread(&threads);
            let served =
                there.serve(&other[i], |listener, clients| optimized(listener, clients, note));
            drop(served.expect(ANSWERED));
            count(&threads)
        }),
    )
    .units(case.point))
}

const ANSWERED: &str = "every message is answered";

type Threads = Arc<Mutex<HashSet<ThreadId>>>;

/// Returns what notes the thread that it is called on.
fn noting_thread(threads: &Threads) -> impl Fn() + Clone + Send + 'static {
    let threads = Arc::clone(threads);
    move || {
        threads.lock().expect("no holder panics").insert(thread::current().id());
    }
}

/// Number of threads that serve.
fn count(threads: &Threads) -> u64 {
    threads.lock().expect("no holder panics").len() as u64
}

/// How much of a thread's stack is in use.
mod stack {
    use std::{mem::MaybeUninit, ptr};

    /// Pages that are asked for at once.
    const CHUNK: usize = 16;

    /// Bytes of the calling thread's stack in memory, from the caller's frame up to the top, where libc keeps what it has
    /// for each thread. Below may lie what an ended thread has left: libc gives its stack to the next one.
    #[inline(never)]
    pub fn bytes_in_use() -> u64 {
        let mut attributes = MaybeUninit::uninit();
        let (mut lowest, mut bytes) = (ptr::null_mut(), 0);
        // SAFETY: the first call initializes `attributes`, which the others use; all pointers are valid for writes.
        let page = unsafe {
            let known = libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr());
            assert_eq!(known, 0, "a thread knows its stack");
            libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut lowest, &raw mut bytes);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            libc::sysconf(libc::_SC_PAGESIZE) as usize
        };
        let here = (&raw const attributes).addr() - lowest.addr();
        let mut in_memory = 0;
        for first in (here / page..bytes / page).step_by(CHUNK) {
            let mut states = [0_u8; CHUNK];
            let pages = CHUNK.min(bytes / page - first);
            // SAFETY: these pages of the stack are mapped, and `states` has room for a byte for each.
            let known = unsafe {
                libc::mincore(lowest.byte_add(first * page), pages * page, states.as_mut_ptr())
            };
            assert_eq!(known, 0, "a stack is mapped");
            in_memory += states.iter().filter(|state| **state & 1 == 1).count();
        }
        (in_memory * page) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    /// What clients are answered by each side.
    fn answers(first: &[u64], later: &[(usize, u64)]) -> [Vec<u64>; 2] {
        let input = Arc::new(Input { first: first.to_vec(), later: later.to_vec() });
        let (blocking, other) = (Hall::open(true).unwrap(), Hall::open(false).unwrap());
        let one = blocking.serve(&input, |listener, clients| naive(listener, clients, || ()));
        let other = other.serve(&input, |listener, clients| optimized(listener, clients, || ()));
        [one.unwrap(), other.unwrap()]
    }

    #[test]
    fn known_answers() {
        let said = |message: u64| u64::from_le_bytes(answer(message.to_le_bytes()));
        assert_eq!((said(0), said(1 << 47)), (0, 0x9e37_79b9_7f4a_7c15));
        let expected = [0, 0x9e37_79b9_7f4a_7c15, said(7), said(u64::MAX), said(7)];
        assert_eq!(answers(&[0, 1 << 47], &[(1, 7), (0, u64::MAX), (1, 7)]), [expected; 2]);
        assert_eq!(answers(&[], &[]), [[0; 0]; 2]);
    }

    /// A message may come in pieces, and a client may go inside the first.
    #[test]
    fn a_message_in_pieces_is_one_and_no_message_is_an_error() {
        for is_naive in [true, false] {
            let hall = Hall::open(is_naive).unwrap();
            let address = hall.listener.local_addr().unwrap();
            let served = thread::spawn(move || match is_naive {
                true => naive(&hall.listener, 2, || ()),
                false => optimized(&hall.listener, 2, || ()),
            });
            let mut client = TcpStream::connect(address).unwrap();
            client.set_nodelay(true).unwrap();
            client.write_all(&[1, 2, 3]).unwrap();
            thread::yield_now();
            client.write_all(&[4, 5, 6, 7, 8]).unwrap();
            let mut reply = [0; 8];
            client.read_exact(&mut reply).unwrap();
            assert_eq!(reply, answer([1, 2, 3, 4, 5, 6, 7, 8]));
            drop(client);
            TcpStream::connect(address).unwrap().write_all(&[1, 2, 3]).unwrap();
            let error = served.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn trap_all_clients_are_served_at_once() {
        /// Counts what lives.
        struct Alive(Arc<(AtomicUsize, AtomicUsize)>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.0.fetch_sub(1, SeqCst);
            }
        }
        let input = Arc::new(input(&Case::realistic(20, 0, 1)));
        for is_naive in [true, false] {
            let counters = Arc::<(AtomicUsize, AtomicUsize)>::default();
            let shared = Arc::clone(&counters);
            let arrives = move || {
                shared.1.fetch_max(shared.0.fetch_add(1, SeqCst) + 1, SeqCst);
                Alive(Arc::clone(&shared))
            };
            let hall = Hall::open(is_naive).unwrap();
            let served = hall.serve(&input, |listener, clients| match is_naive {
                true => naive(listener, clients, arrives),
                false => optimized(listener, clients, arrives),
            });
            assert_eq!(served.unwrap().len(), 40);
            assert_eq!((counters.0.load(SeqCst), counters.1.load(SeqCst)), (0, 20));
        }
    }

    #[test]
    fn trap_a_stack_counts_by_the_pages_in_memory() {
        let deep = || {
            let mut frame = [0_u8; 512 << 10];
            std::hint::black_box(&mut frame).fill(1);
            let bytes = stack::bytes_in_use();
            std::hint::black_box(&frame);
            bytes
        };
        let shallow = thread::spawn(stack::bytes_in_use).join().unwrap();
        assert!((PAGE..256 << 10).contains(&shallow), "{shallow}");
        let more = thread::spawn(deep).join().unwrap() - shallow;
        assert!((512 << 10..600 << 10).contains(&more), "{more}");
    }
}
