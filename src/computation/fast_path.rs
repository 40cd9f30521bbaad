//! Handle the common input on a short path, and send only the rest through the general routine.

use rand::{Rng, RngExt, seq::SliceRandom};

use crate::fixtures::{share, text::english};
use worthit_pair::prelude::*;

/// Lines in one iteration; a multiple of 100, so that each share is exact.
const LINES: u64 = 1_000;

const GENERAL_CALLS: Cause = Cause::new("general_calls", "calls of the general routine")
    .counted("with a routine that counts its calls");

pub const PAIR: Pair = Pair {
    title: "Test for the common input first",
    review: Review {
        smell: "A routine that is right for every input (all of Unicode, all lengths of a varint, all formats of a \
                date) and runs on data that nearly always has the simplest form.",
        remedy: "`if line.is_ascii() { line.len() } else { general(line) }`: a test that costs far less than the \
                 routine, an answer for the common input, and the routine for the rest.",
        keep_naive_when: "The simple form is rare: then the test is paid for nothing. Or the routine has such a path \
                          inside, as many of std's have: `str::to_lowercase` does. Or the routine itself can be made \
                          quick for all input: look for that first. The alternative is such a routine, and it is \
                          ahead of both sides here.",
        costs: "There are two paths that must agree, and tests with common input reach only one of them.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "encode_utf16().count() on each line",
        growth: Growth::Other("falls a little, as ASCII is quicker to decode"),
    },
    optimized: Side {
        summary: "the length in bytes if it is ASCII",
        growth: Growth::Other("falls with the lines that take the general routine"),
    },
    input: "1,000 lines of 20 to 100 bytes. The answer is the length of each in UTF-16, which editors and browsers \
            count in. Exactly the stated share is ASCII; the others have the same lengths and one to four words of \
            other scripts, or other signs. They are shuffled, and the inputs alternate.",
    axis: Axis {
        name: "share of ASCII",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 50, 90, 99], deep: &[] },
    },
    unit: "line",
    headline: Headline::At { level: "", point: 90 },
    alternatives: &[SideBeside {
        name: "by_bytes",
        summary: "count bytes that begin a unit, on all lines alike",
    }],
    causes: &[Claim {
        cause: GENERAL_CALLS,
        naive: Count::Exactly(|_| LINES),
        optimized: Count::Exactly(|case| LINES * (100 - case.point) / 100),
    }],
    explanation: Explanation {
        why: "The general routine decodes one character after another. Whether a line is ASCII is decided a vector at a \
              time, so that test costs little, and its answer is all that most lines need. The gain follows the ratio of \
              calls of the general routine, less the tests and the branch, which is mispredicted for most of the lines \
              that are not ASCII. Without ASCII lines the test ends at the first other character and is paid for nothing. \
              The alternative needs no path: it looks at each byte alone, so it is vectorised for any text.",
        share_of_cause: ShareOfCause::Within(0.08, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "only common input",
            reason: "the general routine would never run, and a predictor would never be wrong",
            check: |inputs: &[Vec<String>]| {
                let all_ascii =
                    inputs.iter().filter(|lines| lines.iter().all(|line| line.is_ascii())).count();
                ensure(all_ascii == 0, || format!("{all_ascii} inputs are all ASCII"))
            },
            sprung: || vec![vec!["plain".to_owned(); 100]],
        },
        &Trap {
            name: "a predictor knows which lines are ASCII",
            reason: "lines that come sorted, or again and again, make the branch free",
            check: |inputs: &[Vec<String>]| {
                let kinds =
                    |lines: &Vec<String>| lines.iter().map(|line| line.is_ascii()).collect();
                share::unpredictable(inputs.iter().map(kinds))
            },
            sprung: || {
                let sorted = |turn| {
                    let mut lines = input(&Case { turn, ..Case::realistic(50, 0, 1) });
                    lines.sort_by_key(|line| line.is_ascii());
                    lines
                };
                (0..8).map(sorted).collect()
            },
        },
    ],
    limit: Limit::None(
        "decoding the lines that are not ASCII takes most of what is left, and no machine number bounds it",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// The length of each line in UTF-16; `general` is [`utf16_length`] when timed.
fn naive(lines: &[String], general: impl Fn(&str) -> usize) -> Vec<usize> {
    lines.iter().map(|line| general(line)).collect()
}

/// The length of each line in UTF-16; `general` is [`utf16_length`] when timed.
fn optimized(lines: &[String], general: impl Fn(&str) -> usize) -> Vec<usize> {
    let length = |line: &String| if line.is_ascii() { line.len() } else { general(line) };
    lines.iter().map(length).collect()
}

/// The length of each line in UTF-16.
fn by_bytes(lines: &[String]) -> Vec<usize> {
    // A character is one unit, and another one if it has four bytes in UTF-8. Continuation bytes are 10xxxxxx.
    let units = |byte: &u8| u8::from(*byte & 0xc0 != 0x80) + u8::from(*byte >= 0xf0);
    // The sum of 64 bytes fits in a byte, so that a vector holds as many sums as bytes.
    let in_block = |block: &[u8]| usize::from(block.iter().map(units).sum::<u8>());
    lines.iter().map(|line| line.as_bytes().chunks(64).map(in_block).sum()).collect()
}

/// The general routine: decodes each character.
fn utf16_length(line: &str) -> usize {
    line.encode_utf16().count()
}

/// The general routine, whose calls are noted.
fn noted(line: &str) -> usize {
    note();
    utf16_length(line)
}

fn line(case: &Case, is_ascii: bool, rng: &mut impl Rng) -> String {
    const FOREIGN: [&str; 8] = ["für", "Größe", "naïve", "œuvre", "日本語", "привет", "€", "🙂"];
    const HOSTILE: [&str; 6] =
        ["\u{80}", "\u{7ff}\u{800}", "\u{ffff}\u{10000}", "\u{10ffff}", "e\u{301}", "👩‍👩‍👧"];
    let mut line = match case.shape {
        Shape::Adversarial => "\u{0}\u{7f}".repeat(rng.random_range(0..100)),
        Shape::DuplicateHeavy => "the same again".to_owned(),
        _ => english(rng.random_range(20..=100), rng),
    };
    if !is_ascii {
        let signs: &[&str] = if case.shape == Shape::Adversarial { &HOSTILE } else { &FOREIGN };
        for _ in 0..rng.random_range(1..=4) {
            let sign = signs[rng.random_range(0..signs.len())];
            // A sign takes the place of as many bytes, so the length stays. It must not cut a sign that is there.
            let place = rng.random_range(0..=line.len().saturating_sub(sign.len()));
            let after = (place + sign.len()).min(line.len());
            if line.is_char_boundary(place) && line.is_char_boundary(after) {
                line.replace_range(place..after, sign);
            }
        }
    }
    line
}

fn input(case: &Case) -> Vec<String> {
    let mut rng = case.rng("lines");
    let (count, ascii) = share::exact(case, LINES);
    let mut lines: Vec<String> = (0..count).map(|i| line(case, i < ascii, &mut rng)).collect();
    if case.shape != Shape::Sorted {
        lines.shuffle(&mut rng);
    }
    lines
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, input);
    let units = inputs[0].len() as u64;
    Ok(Trial::new(
        inputs.measured(|lines| share::percent(lines, |line| line.is_ascii())),
        by_ref(&inputs, |lines: &Vec<String>| naive(lines, utf16_length))
            .counting(GENERAL_CALLS, noting(&inputs, |lines| naive(lines, noted))),
        by_ref(&inputs, |lines: &Vec<String>| optimized(lines, utf16_length))
            .counting(GENERAL_CALLS, noting(&inputs, |lines| optimized(lines, noted))),
    )
    .alternative(by_ref(&inputs, |lines: &Vec<String>| by_bytes(lines)))
    .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &[String]) -> [Vec<usize>; 3] {
        [naive(lines, utf16_length), optimized(lines, utf16_length), by_bytes(lines)]
    }

    #[test]
    fn known_answers() {
        let lines = ["", "plain", "für", "日本語", "🙂", "a🙂b", "\u{ffff}\u{10000}", "e\u{301}"];
        assert_eq!(all(&lines.map(str::to_owned)), [[0, 5, 3, 3, 2, 4, 3, 2]; 3]);
        assert!(all(&[]).iter().all(Vec::is_empty));
    }

    #[test]
    fn every_length_around_a_block_and_every_character() {
        for length in 0..200 {
            let lines = ["x".repeat(length), "🙂".repeat(length)];
            assert_eq!(all(&lines), [[length, 2 * length]; 3]);
        }
        let characters: Vec<String> = ('\0'..=char::MAX).step_by(7).map(String::from).collect();
        let [naive, optimized, by_bytes] = all(&characters);
        assert_eq!((&naive, &naive), (&optimized, &by_bytes));
    }
}
