//! Split a text into tokens: as slices of the text, not as strings of their own.

use std::collections::HashSet;

use rand::seq::IndexedRandom;

use crate::fixtures::text;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Keep tokens as slices of the text",
    review: Review {
        smell: "`.split_whitespace().map(str::to_owned).collect::<Vec<String>>()`, for tokens that are dropped before \
                the text is.",
        remedy: "`let words: Vec<&str> = text.split_whitespace().collect();`, and `&str` in what takes the words.",
        keep_naive_when: "The tokens outlive the text, or a few of them would keep a large text in memory. Or each is \
                          changed anyway: unescaped, or put into lower case.",
        costs: "A lifetime in every type that holds a token. Where that is not wanted, a token can be the range of its \
                bytes in the text.",
        lint: Lint::None,
    },
    naive: Side { summary: "Vec<String>", growth: Growth::Linear },
    optimized: Side { summary: "Vec<&str>", growth: Growth::Linear },
    input: "English text, split at white space into words, most of two to six letters. The sides then walk through the \
            words and count those that a search would leave out (\"the\", \"of\"). Texts alternate.",
    axis: Axis {
        name: "text",
        unit: "B",
        is_size: true,
        points: Points::Fixed { default: &[20, 100, 1_000, 10_000, 100_000], deep: &[2_000_000] },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 1_000 },
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // A word has ten letters at most.
        naive: Count::AtLeast(|case| case.point / 11 + 1),
        // Room for 4, 8, 16, … words.
        optimized: Count::AtMost(|case| u64::from(case.point.ilog2())),
    }],
    explanation: Explanation {
        why: "Each `String` is an allocation, a copy of a few bytes, and a free. A slice is an address and a length. \
              Both sides let their list grow, and both find the ends of the words. That is most of the optimized \
              side's time, so the gain is far below the ratio of allocations.",
        share_of_cause: ShareOfCause::Within(0.005, 0.3),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "there are few words",
            reason: "a text that is one long word allocates once",
            check: |inputs: &[String]| {
                let words: usize = inputs.iter().map(|text| text.split_whitespace().count()).sum();
                let bytes: usize = inputs.iter().map(String::len).sum();
                ensure(words * 10 > bytes, || format!("{words} words in {bytes} bytes"))
            },
            sprung: || vec!["x".repeat(1_000)],
        },
        &Trap {
            name: "the text is one line again and again",
            reason: "the processor would know where each word ends",
            check: |inputs: &[String]| {
                let lines: Vec<&str> = inputs.iter().flat_map(|text| text.lines()).collect();
                let distinct: HashSet<&str> = lines.iter().copied().collect();
                ensure(distinct.len() * 2 > lines.len(), || {
                    format!("{} different lines of {}", distinct.len(), lines.len())
                })
            },
            sprung: || vec!["to be or not to be\n".repeat(500)],
        },
    ],
    limit: Limit::None(
        "finding the ends of words takes some instructions for each character, and no machine number counts those",
    ),
    prepare,
    ..Pair::DEFAULTS
};

/// The number of words that a search leaves out, and the number of bytes in the others.
fn naive(text: &str) -> (u64, u64) {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let (mut left_out, mut searched_bytes) = (0, 0);
    for word in &words {
        if is_left_out(word) {
            left_out += 1;
        } else {
            searched_bytes += word.len() as u64;
        }
    }
    (left_out, searched_bytes)
}

/// The number of words that a search leaves out, and the number of bytes in the others.
fn optimized(text: &str) -> (u64, u64) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (mut left_out, mut searched_bytes) = (0, 0);
    for word in &words {
        if is_left_out(word) {
            left_out += 1;
        } else {
            searched_bytes += word.len() as u64;
        }
    }
    (left_out, searched_bytes)
}

fn is_left_out(word: &str) -> bool {
    matches!(word, "the" | "of" | "and" | "to" | "a" | "in" | "is" | "that" | "it" | "was")
}

fn input(case: &Case) -> String {
    let bytes = case.point as usize;
    let mut rng = case.rng("text");
    if case.shape == Shape::Realistic {
        return text::english(bytes, &mut rng);
    }
    let parts: &[&str] = match case.shape {
        Shape::Random => &["the", "then", "of", "x", " ", "  ", "\n", "\t"],
        Shape::DuplicateHeavy => &["the "],
        Shape::Sorted => &["a ", "and ", "in"],
        // White space of more than one byte, and what only looks like it.
        _ => &[
            "\u{a0}", "\u{2003}", "\u{3000}", "\u{200b}", "\u{85}", "é", "日本", "the", "\r\n",
            "\u{b}",
        ],
    };
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(parts.choose(&mut rng).expect("there are some"));
    }
    // A cut within a character leaves room.
    text.truncate((0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0));
    text.extend(std::iter::repeat_n('a', bytes - text.len()));
    text
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((65_536 / case.point.max(1)).clamp(4, 1_024), input);
    Ok(Trial::new(
        inputs.measured(|text| text.len() as u64),
        by_ref(&inputs, |text: &String| naive(text)),
        by_ref(&inputs, |text: &String| optimized(text)),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for words in [naive, optimized] {
            assert_eq!(words(""), (0, 0));
            assert_eq!(words(" \t\n"), (0, 0));
            assert_eq!(words("the end of the\nstory"), (3, 8));
            assert_eq!(words("The\u{3000}a\u{a0}été  it "), (2, 8), "3 + 5 bytes");
            assert_eq!(words("a\u{200b}a"), (0, 5), "a zero-width space is none");
        }
    }
}
