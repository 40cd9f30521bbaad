//! Build one text after another: in a buffer that is cleared, not in a new `String` each time.

use std::{collections::HashSet, hash::BuildHasher};

use foldhash::fast::FixedState;
use rand::{Rng, RngExt};

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Clear a buffer and use it again",
    review: Review {
        smell: "`let mut line = String::new();` inside a loop, for a text that is built, handed on by reference and \
                dropped before the next.",
        remedy: "Make `line` before the loop and call `line.clear()` in it, which keeps the room.",
        keep_naive_when: "The text outlives its turn of the loop: then it needs a `String` of its own. Or the loop has \
                          only one turn.",
        costs: "The buffer keeps the room of the longest text that it ever held. A forgotten `clear` hands on the texts \
                before, too. Where texts are alike in length, a `String::with_capacity` in each turn saves the growth \
                but not the allocation; that is the alternative.",
        lint: Lint::None,
    },
    naive: Side { summary: "a new String for each line", growth: Growth::Linear },
    optimized: Side { summary: "one String, cleared for each line", growth: Growth::Linear },
    input: "Records of five to nine fields of text, most of them short. Each becomes one line with commas, of some \
            110 bytes. The sides hand each line to a function that hashes it, as to choose where it goes. Sets of \
            records alternate.",
    axis: Axis {
        name: "lines",
        unit: "lines",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 10, 100, 1_000, 5_000], deep: &[100_000] },
    },
    unit: "line",
    headline: Headline::At { level: "", point: 100 },
    alternatives: &[SideBeside {
        name: "with_capacity",
        summary: "a new String with room for most lines",
    }],
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // The first field allocates; then the room doubles until the line fits.
        naive: Count::AtLeast(|case| 3 * case.point),
        optimized: Count::AtMost(|_| 8),
    }],
    explanation: Explanation {
        why: "A new String allocates when its first field is pushed, and again each time it is full, until the line \
              fits; then all of it is freed. A buffer that was cleared has room for most lines already. Most of the \
              gain is the growth that it saves, as the alternative shows, which asks for room once in each turn. Both \
              sides also copy the fields and hash the line, so the gain is far below the ratio of allocations.",
        share_of_cause: ShareOfCause::Within(0.01, 0.2),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "all lines are equally long",
            reason: "each String would grow in the same steps, and the processor would know them",
            check: |inputs: &[Vec<Record>]| {
                let length = |record: &Record| record.iter().map(String::len).sum::<usize>();
                let lengths: HashSet<usize> = inputs.iter().flatten().map(length).collect();
                ensure(lengths.len() >= 20, || format!("{} different lengths", lengths.len()))
            },
            sprung: || vec![vec![vec!["field".to_owned(); 6]; 1_000]],
        },
        &Trap {
            name: "lines are so long that copying them is the work",
            reason: "what an allocation costs would not show",
            check: |inputs: &[Vec<Record>]| {
                let fields = || inputs.iter().flatten().flatten();
                let bytes: usize = fields().map(|field| field.len() + 1).sum();
                let lines: usize = inputs.iter().map(Vec::len).sum();
                ensure(bytes <= 150 * lines, || format!("{bytes} bytes in {lines} lines"))
            },
            sprung: || vec![vec![vec!["x".repeat(10_000)]]],
        },
    ],
    limit: Limit::Work(&[
        Work::StreamedInTurn {
            // Seven fields of 14.5 bytes, each with a comma.
            bytes: |case| case.point * 108,
            within_bytes: |case| turns(case.point) * case.point * 400,
        },
        Work::Hashes(|case| case.point),
    ]),
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(lines: u64) -> u64 {
    (8_192 / lines.max(1)).clamp(2, 4_096)
}

/// The fields of a line.
type Record = Vec<String>;

/// Stands for the receiver of the lines.
#[derive(Default)]
struct Sent {
    /// The hashes of the lines, in order.
    fingerprint: u64,
}

impl Sent {
    fn line(&mut self, line: &str) {
        let hash = FixedState::with_seed(1).hash_one(line);
        self.fingerprint = self.fingerprint.rotate_left(5) ^ hash;
    }
}

/// Hands on each record as a line, and returns a fingerprint of all.
fn naive(records: &[Record]) -> u64 {
    let mut sent = Sent::default();
    for record in records {
        let mut line = String::new();
        for field in record {
            line.push_str(field);
            line.push(',');
        }
        sent.line(&line);
    }
    sent.fingerprint
}

/// Hands on each record as a line, and returns a fingerprint of all.
fn optimized(records: &[Record]) -> u64 {
    let mut sent = Sent::default();
    let mut line = String::new();
    for record in records {
        line.clear();
        for field in record {
            line.push_str(field);
            line.push(',');
        }
        sent.line(&line);
    }
    sent.fingerprint
}

/// Hands on each record as a line, and returns a fingerprint of all.
fn with_capacity(records: &[Record]) -> u64 {
    let mut sent = Sent::default();
    for record in records {
        let mut line = String::with_capacity(128);
        for field in record {
            line.push_str(field);
            line.push(',');
        }
        sent.line(&line);
    }
    sent.fingerprint
}

fn record(case: &Case, rng: &mut impl Rng) -> Record {
    let letters = b"etaoinshrdlucmfw etaoin";
    let field = |rng: &mut dyn Rng| {
        let length = match case.shape {
            Shape::Realistic => {
                [3, 6, 8, 9, 12, 14, 20, 36][rng.random_range(0..8)] + rng.random_range(0..3)
            }
            Shape::DuplicateHeavy => 4,
            Shape::Adversarial => [0, 1, 7, 8, 9, 127, 128, 700][rng.random_range(0..8)],
            _ => rng.random_range(0..40),
        };
        let letter = |_| char::from(letters[rng.random_range(0..letters.len())]);
        let text: String = (0..length).map(letter).collect();
        if case.shape == Shape::Random { text.replace('e', "é") } else { text }
    };
    let fields = match case.shape {
        Shape::Realistic => rng.random_range(5..=9),
        _ => rng.random_range(0..5),
    };
    (0..fields).map(|_| field(rng)).collect()
}

fn input(case: &Case) -> Vec<Record> {
    let mut rng = case.rng("records");
    (0..case.point).map(|_| record(case, &mut rng)).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let over =
        |side: fn(&[Record]) -> u64| by_ref(&inputs, move |records: &Vec<Record>| side(records));
    let trial = Trial::new(inputs.measured(|r| r.len() as u64), over(naive), over(optimized));
    Ok(trial.alternative(over(with_capacity)).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fingerprint of these lines, built by hand.
    fn fingerprint(lines: &[&str]) -> u64 {
        let mut sent = Sent::default();
        lines.iter().for_each(|line| sent.line(line));
        sent.fingerprint
    }

    #[test]
    fn known_answers() {
        let record =
            |fields: &[&str]| -> Record { fields.iter().map(|f| (*f).to_owned()).collect() };
        let records = [record(&["7", "naïve", ""]), record(&[]), record(&["x"])];
        for send in [naive, optimized, with_capacity] {
            assert_eq!(send(&[]), 0);
            assert_eq!(send(&records), fingerprint(&["7,naïve,,", "", "x,"]));
            assert_ne!(send(&records), fingerprint(&["x,", "", "7,naïve,,"]), "the order counts");
        }
    }

    #[test]
    fn trap_a_line_holds_nothing_of_the_line_before() {
        let long_then_short = [vec!["a long field".to_owned()], vec!["b".to_owned()]];
        assert_eq!(optimized(&long_then_short), fingerprint(&["a long field,", "b,"]));
    }
}
