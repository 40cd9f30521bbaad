//! Hand items to a slower task: through a queue with a bound, not through one that grows.

use std::{cell::Cell, collections::HashSet, sync::Arc};

use rand::{Rng, RngExt};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::yield_now,
};

use worthit_pair::{case::fnv1a, prelude::*};

/// Records that one iteration hands over.
const RECORDS: u64 = 1_024;
/// Records that wait at most on the optimized side.
const BOUND: usize = 64;

/// Records that were produced and not consumed, at most.
const LONGEST_QUEUE: Cause = Cause::new("longest_queue", "records waiting at the worst moment")
    .counted("with closures that count what is produced and what is consumed");

pub const PAIR: Pair = Pair {
    title: "Bound the queue",
    review: Review {
        smell: "`mpsc::unbounded_channel()`, `std::sync::mpsc::channel()` or a `VecDeque` behind a lock between a task that \
                receives and one that does more for each item.",
        remedy: "`mpsc::channel(BOUND)`, and `sender.send(record).await`, which waits while the queue is full. So the \
                 producer slows down to the pace of the consumer, and reads no more from its socket: backpressure.",
        keep_naive_when: "The consumer is never the slower one, or the items are few and known beforehand. Or the producer \
                          must not wait, as in a destructor or a signal handler: then a bound needs `try_send`, and a \
                          decision what to drop.",
        costs: "The producer waits, so it must be able to: whoever sends to it waits in turn, up to a client, which sees a \
                slow service instead of one that dies later. Where nobody can wait, shed: `try_send` fails when the queue \
                is full. Two bounded queues in a circle can stop each other for ever. A bound of a few items makes \
                both tasks take turns, and one that is too large is none.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "an unbounded channel",
        growth: Growth::Other("the same for all: each record is consumed once"),
    },
    optimized: Side {
        summary: "a channel of 64 records, whose sender waits",
        growth: Growth::Other("the same for all: each record is consumed once"),
    },
    input: "1,024 records of 200 to 1,800 bytes, which one task produces and another adds up, on one thread. The producer \
            gets the stated number of records at a time before it lets the other task run, and the consumer lets the \
            producer run after each record. So the schedule repeats exactly, and the overload is what the axis says until \
            the producer has to wait. Lists of records alternate.",
    axis: Axis {
        name: "overload",
        unit: "records produced per record consumed",
        is_size: false,
        points: Points::Fixed { default: &[1, 2, 4, 8, 16], deep: &[] },
    },
    unit: "record",
    headline: Headline::At { level: "", point: 4 },
    metric: Metric::BytesHeld,
    causes: &[
        Claim {
            cause: causes::PEAK_BYTES,
            naive: Count::AtLeast(|case| waiting(case.point) * SHORTEST),
            // Beside the queue, the record that waits to be sent and the one that is consumed.
            optimized: Count::AtMost(|_| (BOUND as u64 + 2) * LONGEST + CHANNEL),
        },
        Claim {
            cause: LONGEST_QUEUE,
            naive: Count::AtLeast(|case| waiting(case.point)),
            optimized: Count::AtMost(|_| BOUND as u64 + 2),
        },
    ],
    explanation: Explanation {
        why: "The gain is the ratio of bytes held, which are counted. Without a bound, all records wait that were produced \
              and not yet consumed: with every record that the consumer takes, the queue grows by the others that came \
              meanwhile. It ends only because the input does. With the bound, as many records wait as it says, however \
              large the overload is and however long it lasts. A record waits for all that are before it, so the longest \
              queue is also the longest wait in the queue; with a bound the wait is the producer's instead. The consumer \
              sets the pace of both sides, so the bound gains no time. Without overload the queue is empty on both.",
        share_of_cause: ShareOfCause::Within(0.999, 1.001),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "records of a few bytes",
            reason: "the channel itself would be most of what is held",
            check: |inputs: &[Input]| {
                let shortest = inputs.iter().flat_map(|input| &input.records).map(Vec::len).min();
                ensure(shortest >= Some(SHORTEST as usize), || format!("{shortest:?} bytes"))
            },
            sprung: || vec![Input { overload: 4, records: vec![vec![7; 8]; 1_024] }],
        },
        &Trap {
            name: "fewer records than the bound lets wait",
            reason: "the producer would never wait",
            check: |inputs: &[Input]| {
                let fewest = inputs.iter().map(|input| input.records.len()).min();
                ensure(fewest >= Some(8 * BOUND), || format!("{fewest:?} records"))
            },
            sprung: || vec![Input { overload: 4, records: vec![vec![7; 300]; BOUND] }],
        },
        &Trap {
            name: "the same records again and again",
            reason: "a consumer could keep what it has computed",
            check: |inputs: &[Input]| {
                let all = inputs.iter().flat_map(|input| &input.records);
                let distinct = all.clone().collect::<HashSet<_>>().len();
                ensure(distinct == all.count(), || format!("{distinct} differ"))
            },
            sprung: || vec![Input { overload: 4, records: vec![vec![7; 300]; 1_024] }],
        },
    ],
    limit: Limit::None("the metric is bytes, which are counted: no machine number bounds them"),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Lengths of records in bytes.
const SHORTEST: u64 = 200;
const LONGEST: u64 = 1_800;
/// What a channel takes itself, with its blocks of 32 places, bytes.
const CHANNEL: u64 = 8_192;

/// Records that wait when the last one has been produced, if the producer never waits. Either task may be a turn ahead.
fn waiting(overload: u64) -> u64 {
    (RECORDS - RECORDS.div_ceil(overload)).saturating_sub(overload)
}

/// Lists of records in the rotation.
const TURNS: u64 = 4;

struct Input {
    /// Records that are produced for each that is consumed.
    overload: u64,
    records: Vec<Vec<u8>>,
}

/// Number of records, and the hash of all in order.
type Summary = (u64, u64);

/// Hands what `next` produces to `consume`.
async fn naive(
    mut next: impl AsyncFnMut() -> Option<Vec<u8>>,
    mut consume: impl AsyncFnMut(Vec<u8>),
) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let produce = async move {
        while let Some(record) = next().await {
            sender.send(record).expect(STAYS);
        }
    };
    let consume = async {
        while let Some(record) = receiver.recv().await {
            consume(record).await;
        }
    };
    tokio::join!(produce, consume);
}

/// Hands what `next` produces to `consume`.
async fn optimized(
    mut next: impl AsyncFnMut() -> Option<Vec<u8>>,
    mut consume: impl AsyncFnMut(Vec<u8>),
) {
    let (sender, mut receiver) = mpsc::channel(BOUND);
    let produce = async move {
        while let Some(record) = next().await {
            sender.send(record).await.expect(STAYS);
        }
    };
    let consume = async {
        while let Some(record) = receiver.recv().await {
            consume(record).await;
        }
    };
    tokio::join!(produce, consume);
}

const STAYS: &str = "the consumer stays";

/// Gives copies of the records, as many at a time as the overload says. Then the other task has its turn.
fn source(input: &Input) -> impl AsyncFnMut() -> Option<Vec<u8>> {
    let (mut records, mut given) = (input.records.iter(), 0);
    async move || {
        let record = records.next()?;
        if given == input.overload {
            given = 0;
            yield_now().await;
        }
        given += 1;
        Some(record.clone())
    }
}

/// Adds each record. Then the other task has its turn.
fn sink(summary: &mut Summary) -> impl AsyncFnMut(Vec<u8>) {
    async move |record: Vec<u8>| {
        let (count, hash) = *summary;
        let bytes = hash.to_le_bytes().into_iter().chain(record.iter().copied());
        *summary = (count + 1, fnv1a(bytes));
        yield_now().await;
    }
}

/// Watches how many records wait.
#[derive(Default)]
struct Watch {
    waiting: Cell<u64>,
    longest: Cell<u64>,
}

impl Watch {
    fn source(&self, input: &Input) -> impl AsyncFnMut() -> Option<Vec<u8>> {
        let mut next = source(input);
        async move || {
            let record = next().await?;
            self.waiting.set(self.waiting.get() + 1);
            self.longest.set(self.longest.get().max(self.waiting.get()));
            Some(record)
        }
    }

    fn sink(&self) -> impl AsyncFnMut(Vec<u8>) {
        async |_| {
            self.waiting.set(self.waiting.get() - 1);
            yield_now().await;
        }
    }
}

fn input(case: &Case) -> Input {
    let mut rng = case.rng("records");
    let length = |nth: usize| match case.shape {
        Shape::Realistic => rng.random_range(SHORTEST..=LONGEST) as usize,
        Shape::Random => rng.random_range(0..100),
        Shape::DuplicateHeavy => 3,
        Shape::Sorted => nth,
        Shape::Adversarial => [0, 5_000][nth % 2],
    };
    let lengths: Vec<usize> = (0..case.items(RECORDS)).map(length).collect();
    let record = |length| {
        let mut bytes = vec![0; length];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    Input { overload: case.point, records: lengths.into_iter().map(record).collect() }
}

fn runtime() -> Result<Runtime, Unavailable> {
    let runtime = Builder::new_current_thread().build();
    runtime.map_err(|error| Unavailable(format!("cannot start a tokio runtime: {error}")))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, input);
    let runtime = Arc::new(runtime()?);
    let naive_side = asynchronous(&runtime, &inputs, async |input: &Input| {
        let mut summary = Summary::default();
        naive(source(input), sink(&mut summary)).await;
        summary
    });
    let optimized_side = asynchronous(&runtime, &inputs, async |input: &Input| {
        let mut summary = Summary::default();
        optimized(source(input), sink(&mut summary)).await;
        summary
    });
    let (of_naive, of_optimized) = (inputs.clone(), inputs.clone());
    let (here, there) = (Arc::clone(&runtime), Arc::clone(&runtime));
    Ok(Trial::new(
        inputs.measured(|input| input.overload),
        naive_side.counting(LONGEST_QUEUE, move |i| {
            let watch = Watch::default();
            here.block_on(naive(watch.source(&of_naive[i]), watch.sink()));
            watch.longest.get()
        }),
        optimized_side.counting(LONGEST_QUEUE, move |i| {
            let watch = Watch::default();
            there.block_on(optimized(watch.source(&of_optimized[i]), watch.sink()));
            watch.longest.get()
        }),
    )
    .units(inputs[0].records.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each side hands over, in order.
    fn handed_over(overload: u64, records: &[&str]) -> [Vec<Vec<u8>>; 2] {
        let records: Vec<Vec<u8>> =
            records.iter().map(|record| record.as_bytes().to_vec()).collect();
        let input = Input { overload, records };
        let runtime = runtime().unwrap();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        runtime.block_on(naive(source(&input), async |record| one.push(record)));
        runtime.block_on(optimized(source(&input), async |record| other.push(record)));
        [one, other]
    }

    #[test]
    fn known_answers() {
        for overload in [1, 2, 16] {
            assert_eq!(handed_over(overload, &["one", "", "two"]), [[&b"one"[..], b"", b"two"]; 2]);
            assert_eq!(handed_over(overload, &[]), [[&b""[..]; 0]; 2]);
        }
        let many = vec!["x"; 3 * BOUND + 1];
        assert!(handed_over(16, &many).iter().all(|all| all.len() == many.len()));
        let mut summary = Summary::default();
        let input = Input { overload: 1, records: vec![b"a".to_vec()] };
        runtime().unwrap().block_on(naive(source(&input), sink(&mut summary)));
        assert_eq!(summary, (1, fnv1a(b"\0\0\0\0\0\0\0\0a".iter().copied())));
    }

    /// The overload is what the axis says until the producer has to wait.
    #[test]
    fn trap_the_schedule_is_the_axis() {
        let runtime = runtime().unwrap();
        for overload in [1, 2, 4, 8, 16] {
            let input = Input { overload, records: vec![vec![7]; RECORDS as usize] };
            let (watch, bounded) = (Watch::default(), Watch::default());
            runtime.block_on(naive(watch.source(&input), watch.sink()));
            runtime.block_on(optimized(bounded.source(&input), bounded.sink()));
            let expected = RECORDS - RECORDS / overload;
            assert!(watch.longest.get().abs_diff(expected) <= overload + 1, "{:?}", watch.longest);
            let most = if overload == 1 { 2 } else { BOUND as u64 + 2 };
            assert!(bounded.longest.get() <= most, "{:?}", bounded.longest);
        }
    }
}
