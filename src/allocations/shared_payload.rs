//! Hand one message to many receivers: share its bytes, do not copy them for each.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use rand::{Rng, RngExt};

use worthit_pair::prelude::*;

/// Messages in one iteration.
const MESSAGES: u64 = 8;

pub const PAIR: Pair = Pair {
    title: "Share a payload among its receivers",
    review: Review {
        smell: "`outbox.push((receiver, message.clone()))` for each receiver, where `message` is a `Vec<u8>` or \
                `String` that nobody changes.",
        remedy: "`let message = Bytes::from(message);` (the crate bytes), and the same `clone`, which then \
                 only adds one to a count.",
        keep_naive_when: "There is one receiver, which can have the message itself. Or each receiver changes its copy. \
                          Or messages are short and have few receivers: copying a few bytes then costs what counting \
                          does, as the level 32B shows.",
        costs: "A dependency, which an `Arc<[u8]>` does without; that is the alternative. It copies the message once to \
                put the count beside it, and its clones then are a little cheaper, as they need no virtual call. The \
                message is freed only after the slowest receiver is through with it. Receivers on several threads fight \
                for the cache line of the count.",
        lint: Lint::None,
    },
    naive: Side { summary: "clone a Vec for each receiver", growth: Growth::Linear },
    optimized: Side { summary: "clone a Bytes", growth: Growth::Linear },
    input: "Eight messages a turn, of random bytes and lengths around the stated one, each for all receivers. Each is put \
            into an outbox for every receiver and then taken out, receiver by receiver. A receiver looks at the head and \
            the tail of a message and drops it; what else it does with the bytes is the same on both sides. Turns \
            alternate.",
    axis: Axis {
        name: "receivers",
        unit: "receivers",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 10, 100, 250], deep: &[1_000] },
    },
    parameter: Some(Parameter {
        name: "message",
        levels: Levels::Fixed(&[
            Level { label: "32B", value: 32, origin: Origin::Measured },
            Level { label: "2KB", value: 2_000, origin: Origin::Measured },
        ]),
    }),
    unit: "delivery",
    headline: Headline::At { level: "2KB", point: 10 },
    alternatives: &[SideBeside { name: "arc", summary: "Arc<[u8]>, made by one copy" }],
    causes: &[Claim {
        cause: causes::ALLOCATED_BYTES,
        // No message is shorter than half of what its level says.
        naive: Count::AtLeast(|case| MESSAGES * case.point * case.level / 2),
        // A count for each message; an entry of the outbox and a state for each receiver.
        optimized: Count::AtMost(|case| MESSAGES * 24 + 48 * case.point),
    }],
    explanation: Explanation {
        why: "Each clone of a Vec allocates and copies the whole message, and each drop frees it. A clone of a Bytes adds \
              one to a count and a drop takes one off, atomically, whatever the length. So the gain rises with the length \
              of the message and with the receivers. With many of them, the one count that is allocated for each message \
              no longer matters. What is left is the outbox and the two atomic operations, so the gain stays far below the \
              ratio of bytes.",
        share_of_cause: ShareOfCause::Within(0.008, 0.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the messages are tiny",
            reason: "copying a word costs less than counting; the level 32B shows what short messages are like",
            check: |inputs: &[Input]| {
                let lengths = || inputs.iter().flat_map(|i| i.messages.iter().map(Vec::len));
                let shortest = lengths().min().unwrap_or(0);
                ensure(shortest >= 16, || format!("a message has {shortest} bytes"))
            },
            sprung: || vec![Input { messages: vec![vec![1; 4]], receivers: 10 }],
        },
        &Trap {
            name: "all messages are equally long",
            reason: "the allocator would hand out the block that it has just taken back",
            check: |inputs: &[Input]| {
                let lengths = inputs.iter().flat_map(|i| i.messages.iter().map(Vec::len));
                let distinct = lengths.collect::<HashSet<usize>>().len();
                ensure(distinct >= 16, || format!("{distinct} different lengths"))
            },
            sprung: || vec![Input { messages: vec![vec![1; 2_000]; 100], receivers: 10 }],
        },
    ],
    limit: Limit::Work(&[Work::Atomics(|case| 2 * MESSAGES * case.point)]),
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(receivers: u64) -> u64 {
    (8_192 / (MESSAGES * receivers.max(1))).clamp(8, 512)
}

#[derive(Clone)]
struct Input {
    messages: Vec<Vec<u8>>,
    receivers: usize,
}

/// What a receiver has seen after it has looked at one more message.
fn look_at(message: &[u8], seen: u64) -> u64 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (head, tail) = (word(message.first_chunk()), word(message.last_chunk()));
    seen.rotate_left(7) ^ head ^ tail.rotate_left(1) ^ message.len() as u64
}

/// Delivers each message to all receivers, and returns what each has seen.
fn naive(Input { messages, receivers }: Input) -> Vec<u64> {
    let mut seen = vec![0; receivers];
    let mut outbox = Vec::with_capacity(receivers);
    for message in messages {
        for receiver in 0..receivers {
            outbox.push((receiver, message.clone()));
        }
        for (receiver, message) in outbox.drain(..) {
            seen[receiver] = look_at(&message, seen[receiver]);
        }
    }
    seen
}

/// Delivers each message to all receivers, and returns what each has seen.
fn optimized(Input { messages, receivers }: Input) -> Vec<u64> {
    let mut seen = vec![0; receivers];
    let mut outbox = Vec::with_capacity(receivers);
    for message in messages {
        let message = Bytes::from(message);
        for receiver in 0..receivers {
            outbox.push((receiver, message.clone()));
        }
        for (receiver, message) in outbox.drain(..) {
            seen[receiver] = look_at(&message, seen[receiver]);
        }
    }
    seen
}

/// Delivers each message to all receivers, and returns what each has seen.
fn arc(Input { messages, receivers }: Input) -> Vec<u64> {
    let mut seen = vec![0; receivers];
    let mut outbox = Vec::with_capacity(receivers);
    for message in messages {
        let message: Arc<[u8]> = message.into();
        for receiver in 0..receivers {
            outbox.push((receiver, Arc::clone(&message)));
        }
        for (receiver, message) in outbox.drain(..) {
            seen[receiver] = look_at(&message, seen[receiver]);
        }
    }
    seen
}

fn message(case: &Case, rng: &mut impl Rng) -> Vec<u8> {
    let usual = case.level as usize;
    let length = match case.shape {
        Shape::Realistic => rng.random_range(usual / 2..=usual * 3 / 2),
        Shape::DuplicateHeavy => 8,
        Shape::Adversarial => [0, 1, 7, 8, 9, 15, 16, 5_000][rng.random_range(0..8)],
        _ => rng.random_range(0..100),
    };
    let mut bytes = vec![0; length];
    if case.shape != Shape::DuplicateHeavy {
        rng.fill_bytes(&mut bytes);
    }
    bytes
}

fn input(case: &Case) -> Input {
    let mut rng = case.rng("messages");
    let mut messages: Vec<Vec<u8>> = (0..MESSAGES).map(|_| message(case, &mut rng)).collect();
    if case.shape == Shape::Sorted {
        messages.sort();
    }
    Input { messages, receivers: case.point as usize }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let measured = inputs.measured(|input| input.receivers as u64);
    let trial = Trial::new(measured, by_value(&inputs, naive), by_value(&inputs, optimized));
    Ok(trial.alternative(by_value(&inputs, arc)).units(MESSAGES * case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let input = |messages: &[&[u8]], receivers| Input {
            messages: messages.iter().map(|m| m.to_vec()).collect(),
            receivers,
        };
        for deliver in [naive, optimized, arc] {
            assert!(deliver(input(&[b"to nobody"], 0)).is_empty());
            assert_eq!(deliver(input(&[], 2)), [0, 0]);
            assert_eq!(deliver(input(&[b"", b"abc"], 3)), [3; 3], "the length of the second");
            // Head and tail are the same word, 1: 1 ^ 2 ^ 8.
            assert_eq!(deliver(input(&[&[1, 0, 0, 0, 0, 0, 0, 0]], 1)), [11]);
            // And then 11 << 7, with a message of one byte.
            assert_eq!(deliver(input(&[&[1, 0, 0, 0, 0, 0, 0, 0], b"x"], 1)), [11 << 7 ^ 1]);
        }
    }

    #[test]
    fn trap_a_clone_shares_the_bytes() {
        let message = Bytes::from(vec![1; 100]);
        assert_eq!(message.clone().as_ptr(), message.as_ptr());
    }
}
