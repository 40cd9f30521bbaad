//! Read a file from a task: all of it in one call on a thread for blocking calls, not a hop there for each chunk.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use tempfile::TempDir;
use tokio::{io::AsyncReadExt, task::spawn_blocking};

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Do all work on a file in one blocking call",
    review: Review {
        smell: "`tokio::fs::File` read in small pieces: `file.read(&mut chunk).await?` in a loop, `lines()` over \
                `tokio::io::BufReader`, or a `ReaderStream`. So are several calls of `tokio::fs` one after another.",
        remedy: "`spawn_blocking(move || lines_in(File::open(path)?)).await?`: open, read and digest the file in \
                 one closure, with the blocking calls of std, and return the result.",
        keep_naive_when: "The pieces go somewhere asynchronous, one by one: to a socket, which sets the pace. Then ask for \
                          large pieces, as the alternative does: a `tokio::fs::File` takes up to 2 MiB in one hop. A file \
                          that fits in memory comes with one hop from `tokio::fs::read`.",
        costs: "The closure owns what it uses, and cannot be cancelled once it has begun: a task that is dropped leaves it \
                to run to its end. It holds a thread of the pool, of which tokio makes up to 512, for all of the file. So \
                bound how many run at once.",
        lint: Lint::None,
    },
    naive: Side { summary: "tokio::fs::File, read 8 KiB at a time", growth: Growth::Linear },
    optimized: Side { summary: "std::fs in one spawn_blocking", growth: Growth::Linear },
    input: "Log files in the page cache, whose line ends a task counts, on a runtime of one thread that has nothing else \
            to do. Its pool for blocking calls has a thread that waits for work. Both sides read 8 KiB at a time, as \
            `tokio::io::BufReader` does.",
    axis: Axis {
        name: "file size",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[1_000, 16_000, 100_000, 1_000_000, 3_000_000],
            deep: &[],
        },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 100_000 },
    alternatives: &[
        SideBeside { name: "chunks_1m", summary: "tokio::fs::File, read 1 MiB at a time" },
        SideBeside { name: "on_worker", summary: "std::fs on the runtime's thread, without a hop" },
    ],
    causes: &[Claim {
        cause: HOPS,
        // One opens the file, and one finds its end.
        naive: Count::Exactly(|case| case.point.div_ceil(CHUNK as u64) + 2),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: Explanation {
        why: "tokio has no asynchronous files: it hands each call to a thread that may block, and wakes the task when the \
              call is done. Two threads wake each other for each chunk, which takes longer than to read the chunk from \
              the page cache. One hop for the whole file remains. The reading itself is the same on both sides and \
              bounds the gain once the file has many chunks. Without any hop the worker reads sooner still, but serves \
              nobody else meanwhile.",
        share_of_cause: ShareOfCause::Within(0.2, 1.5),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "one small file that stays in the nearest cache",
        reason: "its chunks would cost less than those of a file that is read after others, and the hops would seem more",
        check: |inputs: &[Log]| {
            let bytes: u64 = inputs.iter().map(Log::size).sum();
            ensure(bytes >= 100_000, || format!("{bytes} bytes in {} files", inputs.len()))
        },
        sprung: || vec![log(&[b'x'; 10_000])],
    }],
    limit: Limit::Work(&[
        Work::BytesRead(|case| case.point),
        Work::SystemCalls(|case| case.point.div_ceil(CHUNK as u64) + 3),
    ]),
    proof: Proof { resources: Resources::System, max_size: 40_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Calls that a task hands to the pool of blocking threads, and then waits for.
const HOPS: Cause = Cause::new("hops", "hops to a blocking thread").counted(
    "on a runtime that starts a thread for each call that blocks and lets none run before the task waits",
);

/// Bytes of a chunk.
const CHUNK: usize = 8 * 1024;

/// Logs in the rotation.
fn turns(bytes: u64) -> u64 {
    if bytes <= 16_000 { 128 } else { 16 }
}

/// The number of lines in the file at `path`.
async fn naive(path: &Path) -> io::Result<u64> {
    tokio_lines_in(path, CHUNK).await
}

/// The number of lines in the file at `path`.
async fn optimized(path: &Path) -> io::Result<u64> {
    let path = path.to_owned();
    spawn_blocking(move || lines_in(File::open(path)?)).await?
}

/// The number of lines in the file at `path`, in chunks of a size at which hops no longer matter.
async fn chunks_1m(path: &Path) -> io::Result<u64> {
    tokio_lines_in(path, 1 << 20).await
}

/// The number of lines in the file at `path`. The worker serves nobody else meanwhile.
async fn on_worker(path: &Path) -> io::Result<u64> {
    lines_in(File::open(path)?)
}

async fn tokio_lines_in(path: &Path, chunk_bytes: usize) -> io::Result<u64> {
    let mut file = tokio::fs::File::open(path).await?;
    let (mut chunk, mut count) = (vec![0; chunk_bytes], 0);
    loop {
        match file.read(&mut chunk).await? {
            0 => return Ok(count),
            length => count += lines(&chunk[..length]),
        }
    }
}

fn lines_in(mut file: impl Read) -> io::Result<u64> {
    let (mut chunk, mut count) = (vec![0; CHUNK], 0);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(count),
            Ok(length) => count += lines(&chunk[..length]),
            // tokio goes on, too.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytecount::count(bytes, b'\n') as u64
}

/// A log in a file, in a folder that goes with it.
struct Log {
    path: PathBuf,
    _folder: Rc<TempDir>,
}

impl Log {
    fn size(&self) -> u64 {
        fs::metadata(&self.path).expect("it was written").len()
    }
}

/// A log of these bytes, for the trap.
fn log(bytes: &[u8]) -> Log {
    let log = paths::scratch().and_then(|folder| write(&Rc::new(folder), 0, bytes));
    log.unwrap_or_else(|Unavailable(reason)| panic!("{reason}"))
}

fn write(folder: &Rc<TempDir>, number: usize, bytes: &[u8]) -> Result<Log, Unavailable> {
    let path = folder.path().join(number.to_string());
    let written = fs::write(&path, bytes);
    written.map_err(|e| Unavailable(format!("cannot write {}: {e}", path.display())))?;
    Ok(Log { path, _folder: Rc::clone(folder) })
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let folder = Rc::new(paths::scratch()?);
    let texts =
        case.rotate(turns(case.point), |case| log_lines(case, case.point as usize).concat());
    let logs = texts.iter().enumerate().map(|(number, text)| write(&folder, number, text));
    let logs = Inputs::rotating(logs.collect::<Result<Vec<Log>, Unavailable>>()?);
    // As a server has it: with what waits for sockets, so that a thread that wakes the task goes through that.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        Arc::new(runtime.map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))?);
    const THERE: &str = "the file is there";
    let (of_naive, of_optimized) = (logs.clone(), logs.clone());
    Ok(Trial::new(
        logs.measured(Log::size),
        asynchronous(&runtime, &logs, async |log: &Log| naive(&log.path).await.expect(THERE))
            .counting(HOPS, move |i| counted_pool::hops(naive(&of_naive[i].path))),
        asynchronous(&runtime, &logs, async |log: &Log| optimized(&log.path).await.expect(THERE))
            .counting(HOPS, move |i| counted_pool::hops(optimized(&of_optimized[i].path))),
    )
    .alternative(asynchronous(&runtime, &logs, async |log: &Log| {
        chunks_1m(&log.path).await.expect(THERE)
    }))
    .alternative(asynchronous(&runtime, &logs, async |log: &Log| {
        on_worker(&log.path).await.expect(THERE)
    }))
    .units(case.point))
}

/// Counts the calls that a task hands to blocking threads.
///
/// Threads of the pool are not kept: each call gets a thread of its own, which counts itself when it starts. It runs once
/// the task waits, and the task goes on once it has ended. So no call ends before the task waits for it, and none finds
/// a thread that is still there.
mod counted_pool {
    use std::{
        future::Future,
        pin::pin,
        sync::{Arc, Condvar, Mutex, MutexGuard},
        task::{Context, Wake, Waker},
        time::Duration,
    };

    #[derive(Default)]
    struct Pool {
        state: Mutex<State>,
        changed: Condvar,
    }

    #[derive(Default)]
    struct State {
        /// Threads that have started, and that have ended.
        started: u64,
        ended: u64,
        /// Whether threads may run.
        is_open: bool,
        /// Whether the task can go on.
        is_woken: bool,
    }

    impl Pool {
        fn change(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.state.lock().expect("no holder panics"));
            self.changed.notify_all();
        }

        fn wait_until(&self, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
            let state = self.state.lock().expect("no holder panics");
            let waited = self.changed.wait_while(state, |state| !holds(state));
            waited.expect("no holder panics")
        }

        /// What a thread of the pool does first.
        fn start(&self) {
            self.change(|state| state.started += 1);
            drop(self.wait_until(|state| state.is_open));
        }

        /// Lets the threads run until the task can go on and no thread is left.
        fn run(&self) {
            self.change(|state| state.is_open = true);
            let mut state = self.wait_until(|state| state.is_woken && state.started == state.ended);
            (state.is_open, state.is_woken) = (false, false);
        }
    }

    impl Wake for Pool {
        fn wake(self: Arc<Pool>) {
            self.change(|state| state.is_woken = true);
        }
    }

    /// Runs a side and returns how many calls it hands over.
    pub fn hops(side: impl Future) -> u64 {
        let pool = Arc::new(Pool::default());
        let [starts, ends] = [(); 2].map(|()| Arc::clone(&pool));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_keep_alive(Duration::ZERO)
            .on_thread_start(move || starts.start())
            .on_thread_stop(move || ends.change(|state| state.ended += 1))
            .build()
            .expect("there was one for the timed sides");
        let waker = Waker::from(Arc::clone(&pool));
        {
            let _inside = runtime.enter();
            let mut side = pin!(side);
            while side.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                pool.run();
            }
        }
        // A call that the side did not wait for may run now; the runtime waits for its threads.
        pool.change(|state| state.is_open = true);
        drop(runtime);
        pool.wait_until(|_| true).started
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Runtime;

    use super::*;

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// The answers of all sides.
    fn answers(path: &Path) -> [io::Result<u64>; 4] {
        runtime().block_on(async {
            [naive(path).await, optimized(path).await, chunks_1m(path).await, on_worker(path).await]
        })
    }

    #[test]
    fn known_answers() {
        let folder = paths::scratch().unwrap();
        let path = folder.path().join("log");
        let large = "x".repeat(2 * CHUNK - 1) + "\n\ny";
        for (text, expected) in [("", 0), ("\n", 1), ("one\ntwo\nthe rest", 2), (&large, 2)] {
            fs::write(&path, text).unwrap();
            assert!(answers(&path).into_iter().all(|answer| answer.unwrap() == expected));
        }
    }

    #[test]
    fn a_missing_file_and_a_folder_are_errors() {
        for (path, kind) in
            [("/no/such", io::ErrorKind::NotFound), ("/", io::ErrorKind::IsADirectory)]
        {
            for answer in answers(Path::new(path)) {
                assert_eq!(answer.unwrap_err().kind(), kind);
            }
        }
    }

    /// A file that hands out one byte with each call, and is interrupted before each.
    struct Trickle {
        left: usize,
        is_ready: bool,
    }

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_ready = !self.is_ready;
            if self.is_ready {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = self.left.min(1);
            buffer[..length].fill(b'\n');
            self.left -= length;
            Ok(length)
        }
    }

    #[test]
    fn calls_that_are_interrupted_or_fill_a_part_go_on() {
        assert_eq!(lines_in(Trickle { left: 100, is_ready: false }).unwrap(), 100);
    }

    #[test]
    fn trap_each_hop_is_counted_and_nothing_else() {
        let folder = paths::scratch().unwrap();
        let path = folder.path().join("log");
        for (bytes, chunks) in [(0, 0), (1, 1), (CHUNK, 1), (CHUNK + 1, 2), (10 * CHUNK, 10)] {
            fs::write(&path, vec![b'\n'; bytes]).unwrap();
            assert_eq!(counted_pool::hops(naive(&path)), chunks + 2);
            assert_eq!(counted_pool::hops(chunks_1m(&path)), chunks.min(1) + 2);
            assert_eq!(counted_pool::hops(optimized(&path)), 1);
            assert_eq!(counted_pool::hops(on_worker(&path)), 0);
        }
        // Two calls at once, one after another, and one that nobody waits for.
        let calls = async {
            let both = [spawn_blocking(|| ()), spawn_blocking(|| ())];
            for call in both {
                call.await.unwrap();
            }
            spawn_blocking(|| ()).await.unwrap();
            drop(spawn_blocking(|| ()));
        };
        assert_eq!(counted_pool::hops(calls), 4);
    }
}
