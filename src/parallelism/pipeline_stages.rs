//! Run the stages of a stream of records on a thread each, with bounded channels between them, not in sequence.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    io::{self, Write},
    mem,
    ops::Range,
    sync::{Mutex, mpsc},
    thread,
};

use foldhash::fast::FixedState;
use rand::{RngExt, seq::IndexedRandom};

use worthit_pair::prelude::*;

/// Steps of the thread that makes the most. A step takes one request through one stage.
const BUSIEST_THREAD: Cause = Cause::new("busiest_thread", "steps of the busiest thread")
    .counted("with a closure that notes the thread of each step");

/// Requests in one iteration, a multiple of every point of the axis.
const REQUESTS: u64 = 8_192;
/// Stages: parse, pseudonymise, encode, write.
const STAGES: usize = 4;

pub const PAIR: Pair = Pair {
    title: "Run the stages of a stream side by side",
    review: Review {
        smell: "A loop that parses a record, transforms it, encodes it and writes it before it looks at the next, on one core. \
                The records must stay in order, or a stage remembers what came before, so that they cannot simply be \
                shared out.",
        remedy: "A thread for each stage, or for neighbouring stages where there are fewer cores: `scope.spawn(…)` in \
                 `thread::scope(…)`, and `mpsc::sync_channel(waiting(per_batch))` between two of them. `sender.send(batch)` \
                 hands over a batch of records, never a single one. An error goes down the channel like a batch, so that it \
                 comes out in its place; a stage that fails drops its end of the channel, and the stages before it end.",
        keep_naive_when: "One stage takes nearly all the time: the others then wait for it. Or records do not depend on \
                          each other: sharing them out among the cores (`par_iter`) uses all of them, however many, and \
                          balances by itself. Or the stream is short.",
        costs: "Threads to start and to join; batches that wait in channels, which must be bounded, or a slow stage fills the \
                memory; the latency of filling a batch. What a batch holds is allocated by one thread and freed by another. \
                Errors, shutting down and panics need thought at each channel. It scales to as many cores as there are \
                stages and no further.",
        lint: Lint::None,
    },
    naive: Side { summary: "each request through all stages", growth: Growth::Constant },
    optimized: Side {
        summary: "a thread for each stage or two, batches in between",
        growth: Growth::Other(
            "shrinks with longer batches until the busiest thread takes the time",
        ),
    },
    input: "8,192 lines of a request log in memory. A line is parsed, its user replaced by a pseudonym, encoded as JSON, added to \
            a checksum of all output so far, and written to a writer that drops it, so that no device takes part. The four \
            stages take about equally long. Neighbouring stages share a thread where there are fewer threads than stages; \
            with one thread, nothing goes through a channel. Logs alternate.",
    axis: Axis {
        name: "requests per batch",
        unit: "requests",
        is_size: false,
        points: Points::Fixed { default: &[1, 8, 128, 512], deep: &[] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "request",
    headline: Headline::AllCoresOf(128),
    causes: &[Claim {
        cause: BUSIEST_THREAD,
        naive: Count::Exactly(|_| REQUESTS * STAGES as u64),
        optimized: Count::Exactly(|case| REQUESTS * STAGES.div_ceil(threads(case)) as u64),
    }],
    explanation: Explanation {
        why: "While one batch is written, the next is encoded, and so on: the threads work at once, and the stream is as fast \
              as the busiest of them. How even the stages are decides how near the gain comes to the number of threads; it \
              never exceeds the number of stages. A batch pays the channel's locks and atomics, and the waking of the other \
              side, once for all its requests: one request alone costs less than handing it over. Long batches fill and \
              drain the pipeline more slowly, as the last stage waits for the first batch.",
        share_of_cause: ShareOfCause::Within(0.55, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "lines are alike",
            reason: "the branch predictor would know them, and parsing would cost next to nothing",
            check: |inputs: &[Input]| {
                let lines: Vec<&String> = inputs.iter().flat_map(|input| &input.lines).collect();
                let distinct = lines.iter().collect::<HashSet<_>>().len();
                ensure(distinct * 10 > lines.len() * 9, || {
                    format!("{distinct} of {} lines are distinct", lines.len())
                })
            },
            sprung: || {
                let lines = vec!["1700000000000,5,/orders,200,17".to_owned(); 1_000];
                vec![Input { lines, per_batch: 8 }]
            },
        },
        &Trap {
            name: "few batches",
            reason: "the threads would wait for the first and the last of them most of the time",
            check: |inputs: &[Input]| {
                let batches = |input: &Input| input.lines.len() / input.per_batch;
                let fewest = inputs.iter().map(batches).min();
                ensure(fewest >= Some(16), || format!("{fewest:?} batches"))
            },
            sprung: || vec![Input { per_batch: 1_000, ..input(&Case::realistic(1, 2, 1)) }],
        },
        &Trap {
            name: "a line that cannot be parsed",
            reason: "all that follows would be left out",
            check: |inputs: &[Input]| {
                let lines = inputs.iter().flat_map(|input| &input.lines);
                let wrong = lines.filter(|line| parse(line).is_none()).count();
                ensure(wrong == 0, || format!("{wrong} wrong lines"))
            },
            sprung: || vec![Input { lines: vec!["1,2,/,200".to_owned(); 100], per_batch: 2 }],
        },
    ],
    limit: Limit::Cores,
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Hashes of a pseudonym, so that guessing users takes long, and about as long as each of the other stages.
const ROUNDS: u32 = 64;
/// Bytes of an encoded request, about.
const ENCODED: usize = 96;

/// Requests that may wait between two threads.
const WAITING: usize = 1_024;

/// Batches that may wait between two threads.
fn waiting(per_batch: usize) -> usize {
    (WAITING / per_batch).max(2)
}

/// Threads among which a case shares out the stages.
fn threads(case: &Case) -> usize {
    (case.level as usize).min(STAGES)
}

struct Request<'a> {
    at_ms: u64,
    user: u64,
    path: &'a str,
    status: u16,
    bytes: u64,
}

/// Why a stream ends early.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    /// The line of this number, from 0, is no request.
    Line(usize),
    Write(io::ErrorKind),
}

/// All that was written, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Digest {
    bytes: u64,
    checksum: u64,
}

impl Digest {
    /// Adds to the checksum (FNV-1a).
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.checksum = bytes.iter().fold(self.checksum, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    }
}

/// Writes each request under a pseudonym. Stops at the first line that is none, after those before it. Each step calls
/// `step`.
fn naive(lines: &[String], mut sink: impl Write, step: impl Fn()) -> Result<Digest, Failure> {
    let (mut digest, mut out) = (Digest::default(), Vec::new());
    for (nth, line) in lines.iter().enumerate() {
        step();
        let mut request = parse(line).ok_or(Failure::Line(nth))?;
        step();
        request.user = pseudonym(request.user);
        step();
        out.clear();
        encode(&request, &mut out);
        step();
        digest.add(&out);
        sink.write_all(&out).map_err(|error| Failure::Write(error.kind()))?;
    }
    Ok(digest)
}

/// Writes each request under a pseudonym. Stops at the first line that is none, after those before it. Each step calls
/// `step`.
fn optimized(
    Input { lines, per_batch }: &Input,
    threads: usize,
    sink: impl Write,
    step: impl Fn() + Sync,
) -> Result<Digest, Failure> {
    let (per_batch, step) = (*per_batch, &step);
    let lines = lines.chunks(per_batch).enumerate();
    let batches = lines.map(move |(nth, lines)| Batch::new(nth * per_batch, lines));
    thread::scope(|scope| {
        let mut batches: Batches<'_> = Box::new(batches);
        for thread in 0..threads - 1 {
            let (sender, receiver) = mpsc::sync_channel(waiting(per_batch));
            let incoming = mem::replace(&mut batches, Box::new(receiver.into_iter()));
            scope.spawn(move || {
                for mut batch in incoming {
                    stages(thread, threads).for_each(|stage| batch.go_through(stage, step));
                    let is_last = batch.failure.is_some();
                    // Nobody receives once a later stage has failed.
                    if sender.send(batch).is_err() || is_last {
                        return;
                    }
                }
            });
        }
        write(batches, stages(threads - 1, threads), sink, step)
    })
}

/// The last thread: takes each batch through its stages, the last of which writes. When this returns, the channel before
/// it is closed.
fn write(
    batches: Batches<'_>,
    stages: Range<usize>,
    mut sink: impl Write,
    step: &impl Fn(),
) -> Result<Digest, Failure> {
    let mut digest = Digest::default();
    for mut batch in batches {
        (stages.start..STAGES - 1).for_each(|stage| batch.go_through(stage, step));
        batch.requests.iter().for_each(|_| step());
        digest.add(&batch.out);
        sink.write_all(&batch.out).map_err(|error| Failure::Write(error.kind()))?;
        if let Some(failure) = batch.failure {
            return Err(failure);
        }
    }
    Ok(digest)
}

/// The stages of this thread.
fn stages(thread: usize, threads: usize) -> Range<usize> {
    thread * STAGES / threads..(thread + 1) * STAGES / threads
}

type Batches<'a> = Box<dyn Iterator<Item = Batch<'a>> + Send + 'a>;

/// Lines and what the stages so far have made of them.
struct Batch<'a> {
    /// Number of the first line.
    first: usize,
    lines: &'a [String],
    requests: Vec<Request<'a>>,
    out: Vec<u8>,
    /// What ends the stream after these requests.
    failure: Option<Failure>,
}

impl<'a> Batch<'a> {
    fn new(first: usize, lines: &'a [String]) -> Batch<'a> {
        Batch { first, lines, requests: Vec::new(), out: Vec::new(), failure: None }
    }

    /// Goes through a stage before the one that writes.
    fn go_through(&mut self, stage: usize, step: &impl Fn()) {
        match stage {
            0 => self.parse(step),
            1 => {
                for request in &mut self.requests {
                    step();
                    request.user = pseudonym(request.user);
                }
            }
            _ => {
                self.out.reserve(self.requests.len() * ENCODED);
                for request in &self.requests {
                    step();
                    encode(request, &mut self.out);
                }
            }
        }
    }

    fn parse(&mut self, step: &impl Fn()) {
        self.requests.reserve(self.lines.len());
        for (nth, line) in self.lines.iter().enumerate() {
            step();
            let Some(request) = parse(line) else {
                self.failure = Some(Failure::Line(self.first + nth));
                return;
            };
            self.requests.push(request);
        }
    }
}

fn parse(line: &str) -> Option<Request<'_>> {
    let mut fields = line.split(',');
    let request = Request {
        at_ms: fields.next()?.parse().ok()?,
        user: fields.next()?.parse().ok()?,
        path: fields.next()?,
        status: fields.next()?.parse().ok()?,
        bytes: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(request)
}

fn pseudonym(user: u64) -> u64 {
    let hasher = FixedState::default();
    (0..ROUNDS).fold(user, |hash, _| hasher.hash_one(hash))
}

fn encode(Request { at_ms, user, path, status, bytes }: &Request<'_>, out: &mut Vec<u8>) {
    writeln!(
        out,
        r#"{{"at":{at_ms},"user":"{user:016x}","path":"{path}","status":{status},"bytes":{bytes}}}"#
    )
    .expect("a Vec takes all");
}

struct Input {
    lines: Vec<String>,
    per_batch: usize,
}

/// Lines of a log. Those that are not timed may be wrong.
fn input(case: &Case) -> Input {
    const PATHS: [&str; 6] = ["/", "/orders", "/orders/items", "/customers", "/search", "/health"];
    let mut rng = case.rng("lines");
    let values = case.values(case.items(REQUESTS));
    let line = |(nth, value): (usize, &u64)| match case.shape {
        Shape::Realistic => {
            let path = PATHS.choose(&mut rng).expect("there are some");
            let status = if rng.random_range(0..50) == 0 { 503 } else { 200 };
            let (user, bytes) = (value % 1_000_000, rng.random_range(100..100_000));
            format!("{},{user},{path},{status},{bytes}", 1_700_000_000_000 + 7 * nth)
        }
        Shape::DuplicateHeavy => format!("{value},7,,0,0"),
        Shape::Sorted => format!("{nth},{value},/,200,{value}"),
        // Wrong, or as far as numbers go.
        Shape::Random if rng.random_range(0..40) == 0 => String::new(),
        Shape::Adversarial if rng.random_range(0..40) == 0 => format!("{value}0,1,/,200,1"),
        _ => format!("{value},{},\u{e4},{},{value}", u64::MAX, u16::MAX),
    };
    let lines = values.iter().enumerate().map(line).collect();
    Input { lines, per_batch: case.point as usize }
}

/// What a side answers.
#[derive(Debug, PartialEq)]
struct Outcome(Result<Digest, Failure>);

impl Found for Outcome {
    fn found(&self) -> u64 {
        self.0.map_or(0, |digest| digest.bytes)
    }
}

/// Steps of the thread that makes the most, given what a side calls at each.
fn busiest<A>(side: impl FnOnce(&(dyn Fn() + Sync)) -> A) -> u64 {
    let steps = Mutex::new(HashMap::new());
    side(&|| {
        *steps.lock().expect("no step panics").entry(thread::current().id()).or_insert(0) += 1;
    });
    steps.into_inner().expect("no step panics").into_values().max().unwrap_or(0)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let threads = threads(case);
    let inputs = case.rotate(4, input);
    let (in_sequence, side_by_side, batches) = (inputs.clone(), inputs.clone(), inputs.clone());
    let naive_side =
        by_ref(&inputs, |input: &Input| Outcome(naive(&input.lines, io::sink(), || {})));
    // Says that as many threads are busy.
    let optimized_side = on_first_use(threads, move || {
        Ok(by_ref(&batches, move |input: &Input| {
            Outcome(optimized(input, threads, io::sink(), || {}))
        }))
    });
    Ok(Trial::new(
        inputs.measured(|input| input.per_batch as u64),
        naive_side.counting(BUSIEST_THREAD, move |i| {
            busiest(|step| naive(&in_sequence[i].lines, io::sink(), step))
        }),
        optimized_side.counting(BUSIEST_THREAD, move |i| {
            busiest(|step| optimized(&side_by_side[i], threads, io::sink(), step))
        }),
    )
    .units(inputs[0].lines.len() as u64))
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicU64, Ordering::Relaxed},
    };

    use super::*;

    fn input_of(lines: &[&str], per_batch: usize) -> Input {
        Input { lines: lines.iter().map(|line| (*line).to_owned()).collect(), per_batch }
    }

    /// A sink that takes `left` bytes and is then full.
    struct Disk {
        bytes: Vec<u8>,
        left: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.left).min(7);
            self.bytes.extend_from_slice(&bytes[..taken]);
            self.left -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What each side makes of the lines, and what it leaves on a disk with so much room: first the naive side, then the
    /// other with each number of threads.
    fn all(
        lines: &[&str],
        per_batch: usize,
        room: usize,
    ) -> Vec<(Result<Digest, Failure>, Vec<u8>)> {
        let input = input_of(lines, per_batch);
        let on_disk = |side: &dyn Fn(&mut Disk) -> Result<Digest, Failure>| {
            let mut disk = Disk { bytes: Vec::new(), left: room };
            (side(&mut disk), disk.bytes)
        };
        let naive = on_disk(&|disk| naive(&input.lines, disk, || {}));
        let optimized =
            (1..=STAGES).map(|threads| on_disk(&|disk| optimized(&input, threads, disk, || {})));
        [naive].into_iter().chain(optimized).collect()
    }

    #[test]
    fn known_answers() {
        let lines = ["12,34,/a,200,56", "13,34,,503,0"];
        let user = format!("{:016x}", pseudonym(34));
        let text = format!(
            "{{\"at\":12,\"user\":\"{user}\",\"path\":\"/a\",\"status\":200,\"bytes\":56}}\n\
             {{\"at\":13,\"user\":\"{user}\",\"path\":\"\",\"status\":503,\"bytes\":0}}\n"
        );
        let mut digest = Digest::default();
        digest.add(text.as_bytes());
        for per_batch in [1, 2, 3] {
            for (outcome, written) in all(&lines, per_batch, 10_000) {
                assert_eq!((outcome, &written[..]), (Ok(digest), text.as_bytes()));
            }
            for (outcome, written) in all(&[], per_batch, 10_000) {
                assert_eq!((outcome, written.len()), (Ok(Digest::default()), 0));
            }
        }
    }

    #[test]
    fn a_wrong_line_ends_the_stream_after_those_before_it() {
        let good = "12,34,/a,200,56";
        for wrong in ["", "1,2,3", "1,2,/,200,5,6", "1,-2,/,200,5", "1,2,/,70000,5"] {
            for place in [0, 1, 5, 9] {
                let mut lines = [good; 10];
                lines[place] = wrong;
                let written = all(&lines[..place], 3, 10_000)[0].1.clone();
                for per_batch in [1, 3, 100] {
                    for outcome in all(&lines, per_batch, 10_000) {
                        assert_eq!(outcome, (Err(Failure::Line(place)), written.clone()));
                    }
                }
            }
        }
    }

    #[test]
    fn a_full_disk_ends_all_stages() {
        // Far more lines than may wait in the channels: a stage that did not notice would wait for ever.
        let lines = vec!["12,34,/a,200,56"; 8 * WAITING];
        for room in [0, 1, 5_000] {
            for per_batch in [1, 64] {
                for (outcome, written) in all(&lines, per_batch, room) {
                    assert_eq!(outcome, Err(Failure::Write(io::ErrorKind::StorageFull)));
                    assert_eq!(written.len(), room);
                }
            }
        }
    }

    #[test]
    fn a_stage_that_panics_ends_the_others() {
        let input = input_of(&vec!["12,34,/a,200,56"; 4 * WAITING], 16);
        for threads in 1..=STAGES {
            for last in [0, 1_000, 4 * WAITING as u64 * 4 - 1] {
                let steps = AtomicU64::new(0);
                let step = || assert_ne!(steps.fetch_add(1, Relaxed), last, "a step panics");
                let run = || optimized(&input, threads, io::sink(), step);
                assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            }
        }
    }

    #[test]
    fn each_stage_has_one_thread() {
        for threads in 1..=STAGES {
            let all: Vec<usize> = (0..threads).flat_map(|nth| stages(nth, threads)).collect();
            assert!(all.into_iter().eq(0..STAGES));
        }
        let input = input_of(&["12,34,/a,200,56"; 100], 10);
        let steps = |threads| busiest(|step| optimized(&input, threads, io::sink(), step));
        assert_eq!([1, 2, 3, 4].map(steps), [400, 200, 200, 100]);
    }

    #[test]
    fn trap_every_batch_is_full() {
        let points = PAIR.axis.points.default_points();
        assert!(points.into_iter().all(|point| REQUESTS.is_multiple_of(point)));
    }
}
