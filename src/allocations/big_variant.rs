//! Sort messages of which few are large: box the large kind, so that the others do not take its room.

use std::collections::HashSet;

use rand::{Rng, RngExt, seq::SliceRandom};

use crate::fixtures::share;
use worthit_pair::prelude::*;

/// Messages in one iteration; a multiple of 100, so that each share is exact.
const MESSAGES: u64 = 1_000;

/// Inputs in the rotation.
const TURNS: u64 = 8;

pub const PAIR: Pair = Pair {
    title: "Box the large variant of an enum",
    review: Review {
        smell: "An enum with one variant far larger than the others (an array, a large struct), whose values are \
                sorted, sent through channels or kept in heaps, and few of which are of that variant.",
        remedy: "Hold the large variant as `Box::new(depth)`. Each value then takes the room of the largest of the \
                 others, or of an address.",
        keep_naive_when: "Most values are of the large variant: each then has its own allocation, which costs more \
                          than the moves that it saves. Or values stay where they were made: the compiler writes \
                          only the fields of the variant at hand, and the room beside them costs little until the list \
                          outgrows the caches.",
        costs: "An allocation for each large value, and a jump to another place in memory to read it. Where large \
                values are frequent, a `Vec` beside the list can hold them, and the list their places: that allocates \
                as seldom as any `Vec` does, but the large values live as long as the whole `Vec`. It is the \
                alternative.",
        lint: Lint::Default("clippy::large_enum_variant"),
    },
    naive: Side {
        summary: "the large variant in the enum",
        growth: Growth::Other(
            "each message takes the same room, and large ones are more to decode",
        ),
    },
    optimized: Side { summary: "the large variant in a Box", growth: Growth::Linear },
    input: "A burst of 1,000 messages of a market's feed: trades and quotes of some twenty bytes, and now and then the \
            ten best offers of either side, which are 320 bytes. Exactly the stated share are of that large kind, at \
            random places. They come from two connections, each in the order of time, and are decoded into one list, put \
            in the order of time, and handled. Bursts alternate.",
    axis: Axis {
        name: "large messages",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 5, 20, 100], deep: &[] },
    },
    unit: "message",
    headline: Headline::At { level: "", point: 5 },
    alternatives: &[SideBeside {
        name: "indexed",
        summary: "the large ones in a Vec, their places in the list",
    }],
    causes: &[
        Claim {
            cause: causes::ALLOCATED_BYTES,
            naive: Count::AtLeast(|_| MESSAGES * size_of::<Depth>() as u64),
            // The list, and room to merge, which is as large at most.
            optimized: Count::AtMost(|case| {
                2 * MESSAGES * PLACE_BYTES + large(case) * size_of::<Depth>() as u64
            }),
        },
        Claim {
            cause: causes::ALLOCATIONS,
            naive: Count::AtMost(|_| 2),
            optimized: Count::AtLeast(|case| 1 + large(case)),
        },
    ],
    explanation: Explanation {
        why: "Each place of the list has room for the largest variant, whatever is in it. The list and the room that the \
              sort needs beside it are the bytes allocated. The sort moves whole places, through a nearest cache that is \
              too small for them. With a Box, a place holds no more than a trade, and only a large message pays for its \
              room: with an allocation, a copy and a free. So the gain shrinks with each further large message. Decoding \
              and comparing take the same time on both sides, so the gain is below the ratio of bytes. The optimized side \
              is far from its limit, because messages are decoded, compared and moved more than once.",
        share_of_cause: ShareOfCause::Within(0.05, 0.9),
        far_end: FarEnd::Falls("an allocation for each large message"),
        keep_naive: KeepNaive::From(100),
    },
    traps: &[
        &Trap {
            name: "kinds come in runs",
            reason: "the processor would predict the kind of each message",
            check: |inputs: &[Burst]| {
                let mixed = |burst: &Burst| {
                    let kinds = kinds(burst);
                    let small = kinds.iter().filter(|kind| **kind != DEPTH).count();
                    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
                    changes * 4 >= small
                };
                ensure(inputs.iter().all(mixed), || "neighbours are mostly alike".to_owned())
            },
            sprung: || {
                let mut burst = input(&Case::realistic(0, 0, 1));
                burst.bytes.chunks_mut(26).enumerate().for_each(|(i, m)| m[0] = (i / 500) as u8);
                vec![burst]
            },
        },
        &Trap {
            name: "messages come in the order of time",
            reason: "the sort would move none of them",
            check: |inputs: &[Burst]| {
                let steps_back = |burst: &Burst| {
                    let times: Vec<u64> = Feed(&burst.bytes).map(|(time, _)| time).collect();
                    times.windows(2).filter(|pair| pair[1] < pair[0]).count()
                };
                let least = inputs.iter().map(steps_back).min().unwrap_or(0);
                ensure(least > 0, || format!("the time goes back {least} times"))
            },
            sprung: || {
                let mut burst = input(&Case::realistic(0, 0, 1));
                burst.bytes.truncate(26 * 250);
                burst.bytes.chunks_mut(26).zip(0_u8..).for_each(|(m, time)| m[8] = time);
                vec![burst]
            },
        },
        &Trap {
            name: "a burst comes again and again",
            reason: "the processor would know its messages by heart",
            check: |inputs: &[Burst]| {
                let distinct: HashSet<&[u8]> =
                    inputs.iter().map(|burst| &burst.bytes[..]).collect();
                let bytes: usize = distinct.iter().map(|bytes| bytes.len()).sum();
                ensure(bytes >= 65_536, || format!("{bytes} bytes before they repeat"))
            },
            sprung: || (0..8).map(|_| input(&Case::realistic(5, 0, 1))).collect(),
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        // Reads each byte of the feed, writes a place for each message, and reads it again.
        bytes: |case| feed_bytes(case) + 2 * MESSAGES * PLACE_BYTES,
        within_bytes: |case| TURNS * feed_bytes(case),
    }]),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Messages of the large kind.
fn large(case: &Case) -> u64 {
    MESSAGES * case.point / 100
}

/// Bytes that a boxed message takes in the list: its time, which variant it is, and what a trade holds.
const PLACE_BYTES: u64 = 16 + size_of::<Trade>() as u64;

/// Bytes of a burst: each message has its kind, its instrument, its time, and its numbers.
fn feed_bytes(case: &Case) -> u64 {
    (MESSAGES - large(case)) * 26 + large(case) * 330
}

/// Messages that arrived together.
struct Burst {
    messages: usize,
    bytes: Vec<u8>,
}

/// Somebody bought.
struct Trade {
    instrument: u8,
    price: i64,
    quantity: u64,
}

/// The best prices.
struct Quote {
    instrument: u8,
    bid: i64,
    ask: i64,
}

/// The ten best offers of either side.
struct Depth {
    instrument: u8,
    offers: [(i64, u64); 20],
}

/// Returns what is known of each instrument at the end.
fn naive(burst: &Burst) -> Books {
    #[expect(clippy::large_enum_variant, reason = "the naive side of the pair")]
    enum Message {
        Trade(Trade),
        Quote(Quote),
        Depth(Depth),
    }
    let mut messages = Vec::with_capacity(burst.messages);
    for (time, arrived) in Feed(&burst.bytes) {
        let message = match arrived {
            Arrived::Trade(trade) => Message::Trade(trade),
            Arrived::Quote(quote) => Message::Quote(quote),
            Arrived::Depth(instrument, offers) => Message::Depth(Depth::decode(instrument, offers)),
        };
        messages.push((time, message));
    }
    messages.sort_by_key(|(time, _)| *time);
    let mut books = Books::default();
    for (_, message) in &messages {
        match message {
            Message::Trade(trade) => trade.apply(&mut books),
            Message::Quote(quote) => quote.apply(&mut books),
            Message::Depth(depth) => depth.apply(&mut books),
        }
    }
    books
}

/// Returns what is known of each instrument at the end.
fn optimized(burst: &Burst) -> Books {
    enum Message {
        Trade(Trade),
        Quote(Quote),
        Depth(Box<Depth>),
    }
    let mut messages = Vec::with_capacity(burst.messages);
    for (time, arrived) in Feed(&burst.bytes) {
        let message = match arrived {
            Arrived::Trade(trade) => Message::Trade(trade),
            Arrived::Quote(quote) => Message::Quote(quote),
            Arrived::Depth(instrument, offers) => {
                Message::Depth(Box::new(Depth::decode(instrument, offers)))
            }
        };
        messages.push((time, message));
    }
    messages.sort_by_key(|(time, _)| *time);
    let mut books = Books::default();
    for (_, message) in &messages {
        match message {
            Message::Trade(trade) => trade.apply(&mut books),
            Message::Quote(quote) => quote.apply(&mut books),
            Message::Depth(depth) => depth.apply(&mut books),
        }
    }
    books
}

/// Returns what is known of each instrument at the end.
fn indexed(burst: &Burst) -> Books {
    enum Message {
        Trade(Trade),
        Quote(Quote),
        Depth(usize),
    }
    let mut messages = Vec::with_capacity(burst.messages);
    let mut depths = Vec::new();
    for (time, arrived) in Feed(&burst.bytes) {
        let message = match arrived {
            Arrived::Trade(trade) => Message::Trade(trade),
            Arrived::Quote(quote) => Message::Quote(quote),
            Arrived::Depth(instrument, offers) => {
                depths.push(Depth::decode(instrument, offers));
                Message::Depth(depths.len() - 1)
            }
        };
        messages.push((time, message));
    }
    messages.sort_by_key(|(time, _)| *time);
    let mut books = Books::default();
    for (_, message) in &messages {
        match message {
            Message::Trade(trade) => trade.apply(&mut books),
            Message::Quote(quote) => quote.apply(&mut books),
            Message::Depth(place) => depths[*place].apply(&mut books),
        }
    }
    books
}

/// The turnover of each instrument, and what its last quote or depth said: the spread, or the value on offer.
/// All numbers wrap around.
type Books = [[u64; 2]; 32];

impl Trade {
    fn apply(&self, books: &mut Books) {
        let turnover = &mut books[usize::from(self.instrument) % 32][0];
        *turnover = turnover.wrapping_add(self.quantity.wrapping_mul(self.price as u64));
    }
}

impl Quote {
    fn apply(&self, books: &mut Books) {
        books[usize::from(self.instrument) % 32][1] = self.ask.wrapping_sub(self.bid) as u64;
    }
}

impl Depth {
    fn decode(instrument: u8, bytes: &[u8; 320]) -> Depth {
        let mut offers = [(0, 0); 20];
        for (place, offer) in offers.iter_mut().enumerate() {
            *offer = (number(bytes, 16 * place) as i64, number(bytes, 16 * place + 8));
        }
        Depth { instrument, offers }
    }

    fn apply(&self, books: &mut Books) {
        let value = |(price, quantity): &(i64, u64)| quantity.wrapping_mul(*price as u64);
        let values = self.offers.iter().map(value);
        books[usize::from(self.instrument) % 32][1] = values.fold(0, u64::wrapping_add);
    }
}

const TRADE: u8 = 0;
const QUOTE: u8 = 1;
const DEPTH: u8 = 2;

/// A message as it lies in the feed; a small one is decoded.
enum Arrived<'a> {
    Trade(Trade),
    Quote(Quote),
    Depth(u8, &'a [u8; 320]),
}

/// The messages in the rest of a feed, up to the first that is unknown or not complete.
struct Feed<'a>(&'a [u8]);

impl<'a> Iterator for Feed<'a> {
    type Item = (u64, Arrived<'a>);
    fn next(&mut self) -> Option<(u64, Arrived<'a>)> {
        let (&[kind, instrument, ref time @ ..], rest) = self.0.split_first_chunk::<10>()?;
        let arrived = if kind == DEPTH {
            let (offers, rest) = rest.split_first_chunk()?;
            self.0 = rest;
            Arrived::Depth(instrument, offers)
        } else {
            let (numbers, rest) = rest.split_first_chunk::<16>()?;
            self.0 = rest;
            let (first, second) = (number(numbers, 0), number(numbers, 8));
            match kind {
                TRADE => {
                    Arrived::Trade(Trade { instrument, price: first as i64, quantity: second })
                }
                QUOTE => {
                    Arrived::Quote(Quote { instrument, bid: first as i64, ask: second as i64 })
                }
                _ => return None,
            }
        };
        Some((number(time, 0), arrived))
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}

fn input(case: &Case) -> Burst {
    let mut rng = case.rng("burst");
    let (messages, large) = share::exact(case, MESSAGES);
    let mut is_large: Vec<bool> = (0..messages).map(|i| i < large).collect();
    if case.shape != Shape::Sorted {
        is_large.shuffle(&mut rng);
    }
    let (mut bytes, mut time) = (Vec::new(), 0);
    for (place, is_large) in is_large.into_iter().enumerate() {
        let kind = if is_large { DEPTH } else { [TRADE, QUOTE][rng.random_range(0..2)] };
        if place % messages.div_ceil(2) == 0 {
            // The next connection.
            time = 0;
        }
        time = match case.shape {
            Shape::Realistic | Shape::Sorted => time + rng.random_range(0..2_000),
            Shape::DuplicateHeavy => rng.random_range(0..2),
            Shape::Adversarial => (messages - place) as u64,
            Shape::Random => rng.random(),
        };
        bytes.extend([kind, rng.random_range(0..32)]);
        bytes.extend(time.to_le_bytes());
        for _ in 0..if is_large { 20 } else { 1 } {
            let offer = match case.shape {
                Shape::Realistic => {
                    let price = rng.random_range(9_000..11_000);
                    let ask = price + rng.random_range(1..20);
                    [price, if kind == QUOTE { ask } else { rng.random_range(1..500) }]
                }
                Shape::DuplicateHeavy => [1, 1],
                Shape::Adversarial => [u64::MAX - rng.random_range(0..2), 1 << 63],
                _ => [rng.next_u64(), rng.next_u64()],
            };
            bytes.extend(offer.iter().flat_map(|number| number.to_le_bytes()));
        }
    }
    Burst { messages, bytes }
}

/// The kinds of all messages, as they follow each other.
fn kinds(burst: &Burst) -> Vec<u8> {
    let kind = |(_, arrived)| match arrived {
        Arrived::Trade(_) => TRADE,
        Arrived::Quote(_) => QUOTE,
        Arrived::Depth(..) => DEPTH,
    };
    Feed(&burst.bytes).map(kind).collect()
}

/// The percentage of messages of the large kind.
fn share_large(burst: &Burst) -> u64 {
    share::percent(&kinds(burst), |kind| *kind == DEPTH)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, input);
    let units = inputs[0].messages as u64;
    Ok(Trial::new(inputs.measured(share_large), by_ref(&inputs, naive), by_ref(&inputs, optimized))
        .alternative(by_ref(&inputs, indexed))
        .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, instrument: u8, time: u64, numbers: &[u64]) -> Vec<u8> {
        let numbers = [time].into_iter().chain(numbers.iter().copied());
        let numbers = numbers.flat_map(u64::to_le_bytes);
        [kind, instrument].into_iter().chain(numbers).collect()
    }

    #[test]
    fn known_answers() {
        let mut numbers = [0; 40];
        (numbers[0], numbers[1], numbers[38], numbers[39]) = (10, 3, 20, 4);
        let messages = [
            message(TRADE, 7, 5, &[100, 2]),
            message(QUOTE, 7, 9, &[99, 102]),
            message(QUOTE, 7, 4, &[1, 2]),
            message(TRADE, 7, 6, &[50, 1]),
            message(DEPTH, 31, 1, &numbers),
            message(TRADE, 0, 2, &[u64::MAX, 5]),
        ];
        for side in [naive, optimized, indexed] {
            let books = |bytes: &[u8]| side(&Burst { messages: 6, bytes: bytes.to_vec() });
            assert_eq!(books(&[]), Books::default());
            let mut expected = Books::default();
            (expected[7], expected[31][1], expected[0][0]) = ([250, 3], 110, 5_u64.wrapping_neg());
            assert_eq!(books(&messages.concat()), expected);
            let cut = [&messages[0][..], &messages[4][..329]].concat();
            assert_eq!(books(&cut)[7], [200, 0], "a message that is not complete");
            assert_eq!(books(&cut)[31], [0, 0]);
            assert_eq!(books(&[9; 400]), Books::default(), "an unknown kind");
            // What comes first stays first where times are equal.
            let equal = [message(QUOTE, 1, 3, &[1, 2]), message(QUOTE, 1, 3, &[1, 9])];
            assert_eq!(books(&equal.concat())[1], [0, 8]);
        }
    }
}
