//! Hand items to another thread: in chunks, not one by one.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard,
        mpsc::{self, Receiver, SyncSender},
    },
};

use worthit_pair::prelude::*;

/// Messages that go through the channel.
const SENDS: Cause = Cause::new("sends", "sends into the channel")
    .counted("into a channel that holds all, which is then read");

/// Readings in one iteration, a multiple of every point of the axis.
const READINGS: u64 = 8_192;
/// Readings that wait in the channel at most, on both sides.
const WAITING: usize = 4_096;
const SENSORS: u32 = 512;

pub const PAIR: Pair = Pair {
    title: "Send chunks through a channel",
    review: Review {
        smell: "`sender.send(item)` for each small item in a loop that produces many, while another thread does little \
                for each.",
        remedy: "Send a `Vec` of items: `for chunk in readings.chunks(chunk_length) { sender.send(chunk.to_vec()) }`, and \
                 loop over the chunk that is received. Send a chunk that is not full when the producer pauses.",
        keep_naive_when: "Items come slowly and each must arrive at once, or the receiver works for microseconds on \
                          each: then the channel is not what takes the time.",
        costs: "An item waits until its chunk is sent, so a producer that may pause needs a limit of time, too. Each \
                chunk is an allocation that another thread frees. A bound on the channel counts chunks, no longer \
                items.",
        lint: Lint::None,
    },
    naive: Side { summary: "a send for each reading", growth: Growth::Constant },
    optimized: Side {
        summary: "a send for each chunk of readings",
        growth: Growth::Other("shrinks as 1/chunk until the readings themselves take the time"),
    },
    input: "8,192 readings of 512 sensors, 16 bytes each, which one thread sends and another adds up for each sensor. \
            The channel is std's `sync_channel`, and lets as many readings wait on one side as on the other. The \
            sender does nothing but send, so that the channel is always in use. Lists of readings alternate.",
    axis: Axis {
        name: "readings per send",
        unit: "readings",
        is_size: false,
        points: Points::Fixed { default: &[1, 2, 8, 32, 128, 512], deep: &[] },
    },
    unit: "reading",
    headline: Headline::At { level: "", point: 32 },
    causes: &[Claim {
        cause: SENDS,
        naive: Count::Exactly(|_| READINGS),
        optimized: Count::Exactly(|case| READINGS / case.point),
    }],
    explanation: Explanation {
        why: "n readings go through the channel with one send. Each send and each receive are atomic operations on cache \
              lines that the other thread has just written, and a thread that sleeps because the channel is full or \
              empty must be woken by a system call. A chunk costs an allocation in the one thread and its release in \
              the other, so short chunks lose. In a long chunk, what remains is to copy the readings \
              and to add them up, which does not shrink.",
        share_of_cause: ShareOfCause::Within(0.05, 1.0),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(2),
    },
    traps: &[&Trap {
        name: "few sensors",
        reason: "each sum would wait for the one before, and the receiver would keep the sender waiting",
        check: |inputs: &[Input]| {
            let sensors: HashSet<u32> =
                inputs.iter().flat_map(|i| &i.readings).map(|reading| reading.sensor).collect();
            ensure(sensors.len() > 256, || format!("{} sensors", sensors.len()))
        },
        sprung: || {
            let readings = vec![Reading { sensor: 7, value: 1, at_ms: 0 }; 1_000];
            vec![Input { readings, chunk_length: 32 }]
        },
    }],
    // A send and a receive each change a word, at least, that the other thread has just changed.
    limit: Limit::Work(&[
        Work::ContendedAtomics(|case| 2 * READINGS / case.point),
        Work::StreamedInTurn {
            bytes: |_| READINGS * size_of::<Reading>() as u64,
            within_bytes: |_| TURNS * READINGS * size_of::<Reading>() as u64,
        },
    ]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Lists in the rotation.
const TURNS: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    sensor: u32,
    value: i32,
    at_ms: u64,
}

/// The sum of a sensor's readings and the time of the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Total {
    sum: i64,
    latest_ms: u64,
}

impl Found for Total {
    fn found(&self) -> u64 {
        u64::from(self.latest_ms > 0)
    }
}

struct Input {
    readings: Vec<Reading>,
    chunk_length: usize,
}

/// A channel between two threads. Only the receiving one takes the lock, once for each list of readings.
struct Channel<T> {
    sender: SyncSender<T>,
    received: Mutex<Received<T>>,
}

struct Received<T> {
    receiver: Receiver<T>,
    /// By sensor.
    totals: Vec<Total>,
}

impl<T> Channel<T> {
    fn new(waiting: usize) -> Channel<T> {
        let (sender, receiver) = mpsc::sync_channel(waiting);
        let totals = vec![Total::default(); SENSORS as usize];
        Channel { sender, received: Mutex::new(Received { receiver, totals }) }
    }

    fn received(&self) -> MutexGuard<'_, Received<T>> {
        self.received.lock().expect("no side panics")
    }

    fn totals(&self) -> Vec<Total> {
        self.received().totals.clone()
    }
}

/// The thread that sends; the other receives.
const SENDER: usize = 0;

/// What one of two threads does: the first sends the readings, the other adds them up.
fn naive(channel: &Channel<Reading>, readings: &[Reading], thread: usize) {
    if thread == SENDER {
        for reading in readings {
            channel.sender.send(*reading).expect("the receiver stays");
        }
    } else {
        let Received { receiver, totals } = &mut *channel.received();
        for reading in receiver.iter().take(readings.len()) {
            add(totals, reading);
        }
    }
}

/// What one of two threads does: the first sends the readings, the other adds them up.
fn optimized(
    channel: &Channel<Vec<Reading>>,
    readings: &[Reading],
    chunk_length: usize,
    thread: usize,
) {
    let chunks = readings.chunks(chunk_length);
    if thread == SENDER {
        for chunk in chunks {
            channel.sender.send(chunk.to_vec()).expect("the receiver stays");
        }
    } else {
        let Received { receiver, totals } = &mut *channel.received();
        for chunk in receiver.iter().take(chunks.len()) {
            for reading in chunk {
                add(totals, reading);
            }
        }
    }
}

fn add(totals: &mut [Total], reading: Reading) {
    let total = &mut totals[reading.sensor as usize];
    total.sum += i64::from(reading.value);
    total.latest_ms = total.latest_ms.max(reading.at_ms);
}

/// A sensor reports about twice a second, in no order.
fn input(case: &Case) -> Input {
    let values = case.values(case.items(READINGS));
    let reading = |(nth, value): (usize, u64)| match case.shape {
        Shape::Realistic => Reading {
            sensor: value as u32 % SENSORS,
            value: (value >> 32) as i32 % 10_000,
            at_ms: 1_700_000_000_000 + nth as u64,
        },
        _ => Reading { sensor: value as u32 % SENSORS, value: (value >> 32) as i32, at_ms: value },
    };
    let readings = values.into_iter().enumerate().map(reading).collect();
    Input { readings, chunk_length: case.point as usize }
}

/// The chunks that wait in the channel at most.
fn chunks_waiting(chunk_length: usize) -> usize {
    WAITING / chunk_length
}

/// Messages that a sender puts into a channel with room for all of them.
fn sent<T>(send: impl FnOnce(&Channel<T>)) -> u64 {
    let channel = Channel::new(READINGS as usize);
    send(&channel);
    channel.received().receiver.try_iter().count() as u64
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, input);
    let chunks_waiting = chunks_waiting(inputs[0].chunk_length);
    let (one_by_one, in_chunks) = (inputs.clone(), inputs.clone());
    let naive_side = contended(
        2,
        &inputs,
        || Channel::new(WAITING),
        |channel, input, thread| naive(channel, &input.readings, thread),
        |channel| channel.totals(),
    )
    .counting(SENDS, move |i| sent(|channel| naive(channel, &one_by_one[i].readings, SENDER)));
    let optimized_side = contended(
        2,
        &inputs,
        move || Channel::new(chunks_waiting),
        |channel, Input { readings, chunk_length }, thread| {
            optimized(channel, readings, *chunk_length, thread);
        },
        |channel| channel.totals(),
    )
    .counting(SENDS, move |i| {
        let Input { readings, chunk_length } = &in_chunks[i];
        sent(|channel| optimized(channel, readings, *chunk_length, SENDER))
    });
    let units = inputs[0].readings.len() as u64;
    let measured = inputs.measured(|input| input.chunk_length as u64);
    Ok(Trial::new(measured, naive_side, optimized_side).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let reading = |sensor, value, at_ms| Reading { sensor, value, at_ms };
        let readings = [reading(0, 5, 10), reading(511, -7, 30), reading(0, i32::MAX, 20)];
        let (one_by_one, in_chunks) = (Channel::new(3), Channel::new(2));
        for thread in [SENDER, 1] {
            naive(&one_by_one, &readings, thread);
            optimized(&in_chunks, &readings, 2, thread);
        }
        for totals in [one_by_one.totals(), in_chunks.totals()] {
            assert_eq!(totals[0], Total { sum: i64::from(i32::MAX) + 5, latest_ms: 20 });
            assert_eq!(totals[511], Total { sum: -7, latest_ms: 30 });
            assert_eq!(totals.found(), 2);
        }
    }

    /// A channel that holds more on one side would let that side's threads run on without waiting for each other.
    #[test]
    fn trap_as_many_readings_wait_on_both_sides() {
        for point in PAIR.axis.points.default_points() {
            assert_eq!(chunks_waiting(point as usize) * point as usize, WAITING);
            assert_eq!(READINGS % point, 0, "every chunk is full");
        }
    }
}
