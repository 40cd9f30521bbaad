//! Find a substring: test many positions at once for its rarest bytes, do not compare all of it at each.

use std::sync::Arc;

use memchr::{arch::all::packedpair::Pair as RareBytes, memmem};
use rand::RngExt;

use crate::fixtures::text;
use worthit_pair::prelude::*;

/// Its words are not in the text, but all its letters are.
const NEEDLE: &str = "missing signature";

/// Positions at which a side compares the needle with the text.
const NEEDLE_COMPARISONS: Cause = Cause::new("needle_comparisons", "needle comparisons")
    .modelled("from the places of the needle's rarest bytes; the naive side's are counted");

pub const PAIR: Pair = Pair {
    title: "Search bytes with memmem",
    review: Review {
        smell: "`haystack.windows(needle.len()).position(|w| w == needle)`: std has no substring search for \
                `[u8]`. (This also panics on an empty needle.)",
        remedy: "`memchr::memmem::find(haystack, needle)`; for one needle and many haystacks, a `memmem::Finder` \
                 made once. For a `&str` std has `str::find`, the peer here.",
        keep_naive_when: "The haystack is a few dozen bytes and not searched in a loop: choosing the rare bytes of \
                          the needle costs about as much as that scan.",
        costs: "A dependency, which nearly every Rust program has already through `regex` or others.",
        lint: None,
    },
    naive: Side { summary: "compare the needle at each position", growth: Growth::Linear },
    optimized: Side { summary: "memchr::memmem::find", growth: Growth::Linear },
    input: "Text of frequent English words, and a needle of 17 bytes whose letters all occur in the text but \
            whose words do not. The needle is found once, with a 32nd of the haystack behind it, so nearly all \
            of a long text is searched.",
    axis: Axis {
        name: "haystack",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[32, 128, 512, 4_096, 65_536, 1_048_576],
            deep: &[16_777_216],
        },
    },
    unit: "byte",
    peer: Some("str_find"),
    causes: &[Claim {
        cause: NEEDLE_COMPARISONS,
        naive: Count::Exactly(|case| place(case.point as usize) as u64 + 1),
        // Only a coincidence puts both rare bytes in their places.
        optimized: Count::AtMost(|case| 1 + case.point / 64),
    }],
    explanation: "The count is the number of positions at which the whole needle is compared. On the naive side \
                  these are all positions up to the match. On the optimized side they are those where the two \
                  bytes that memchr takes for the needle's rarest are in their places (found with memchr's own \
                  choice, as its vector code cannot be counted from outside). The comparisons all but vanish. What \
                  is left is the filter: two loads and compares for a block of 32 positions with AVX2, 16 with \
                  SSE2. So the gain is not the ratio of comparisons. It is the cost of one comparison, which is a \
                  call, divided by a 32nd of the cost of a block: several dozen. As the filter loads every byte \
                  twice, it stays below half of its limit, which is one bare stream.",
    limit: Limit::BytesStreamed(|case| case.point),
    proof: Proof { resources: Resources::Memory, max_size: 600 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    /// ASCII.
    haystack: String,
    /// Never empty.
    needle: String,
}

/// Position of the first match; `equal` is `==`.
fn naive(input: &Input, equal: impl Fn(&[u8], &[u8]) -> bool) -> Option<usize> {
    let (haystack, needle) = (input.haystack.as_bytes(), input.needle.as_bytes());
    haystack.windows(needle.len()).position(|window| equal(window, needle))
}

/// Position of the first match.
fn optimized(input: &Input) -> Option<usize> {
    memmem::find(input.haystack.as_bytes(), input.needle.as_bytes())
}

/// Position of the first match.
fn str_find(input: &Input) -> Option<usize> {
    input.haystack.find(&input.needle)
}

/// Position of the needle in `bytes` bytes of text: a 32nd of them follows it.
fn place(bytes: usize) -> usize {
    (bytes - bytes / 32).saturating_sub(NEEDLE.len())
}

fn input(case: &Case) -> Input {
    let (bytes, mut rng) = (case.point as usize, case.rng("text"));
    let mut few_letters = |letters: &[u8], count: usize| -> String {
        (0..count).map(|_| char::from(letters[rng.random_range(0..letters.len())])).collect()
    };
    match case.shape {
        Shape::Realistic => {
            let mut haystack = text::english(bytes, &mut rng);
            if let Some(end) = place(bytes).checked_add(NEEDLE.len()).filter(|end| *end <= bytes) {
                haystack.replace_range(place(bytes)..end, NEEDLE);
            }
            Input { haystack, needle: NEEDLE.into() }
        }
        // The needle may or may not be found.
        Shape::Random => Input {
            haystack: few_letters(b"abcdefghijklmnopqrstuvwxyz", bytes),
            needle: few_letters(b"abcdefghijklmnopqrstuvwxyz", 2),
        },
        Shape::DuplicateHeavy => {
            Input { haystack: few_letters(b"ab", bytes), needle: few_letters(b"ab", 9) }
        }
        Shape::Sorted => {
            let haystack = (0..bytes).map(|i| char::from(b'a' + (i * 26 / bytes) as u8)).collect();
            Input { haystack, needle: "yz".into() }
        }
        // Each position matches except for the last byte.
        Shape::Adversarial => {
            let (length, found) = (rng.random_range(1..40), rng.random());
            let mut haystack = "a".repeat(bytes);
            if found && haystack.pop().is_some() {
                haystack.push('b');
            }
            Input { haystack, needle: "a".repeat(length - 1) + "b" }
        }
    }
}

/// Number of memmem's needle comparisons up to the match: positions with both rare bytes in place.
fn candidates(input: &Input, rare: RareBytes) -> u64 {
    let (haystack, needle) = (input.haystack.as_bytes(), input.needle.as_bytes());
    let both_in_place = |window: &[u8]| {
        [rare.index1(), rare.index2()].map(usize::from).iter().all(|i| window[*i] == needle[*i])
    };
    let end = optimized(input).map_or(haystack.len(), |place| place + needle.len());
    haystack[..end].windows(needle.len()).filter(|window| both_in_place(window)).count() as u64
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let input = Arc::new(input(case));
    let bytes = input.haystack.len() as u64;
    let counted = Arc::clone(&input);
    let trial = Trial::new(
        bytes,
        by_ref(&input, |input| naive(input, |window, needle| window == needle)),
        by_ref(&input, optimized),
    );
    let trial = trial.peer(by_ref(&input, str_find));
    Ok(trial.units(bytes).counting(move |role, counts| {
        let count = match role {
            Role::Naive => {
                let comparisons = std::cell::Cell::new(0);
                naive(&counted, |window, needle| {
                    comparisons.set(comparisons.get() + 1);
                    window == needle
                });
                comparisons.get()
            }
            // How std compares cannot be seen from outside.
            Role::Peer => return,
            Role::Optimized => RareBytes::new(counted.needle.as_bytes())
                .map_or(0, |rare| candidates(&counted, rare)),
        };
        counts.set(NEEDLE_COMPARISONS, count);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(haystack: &str, needle: &str) -> [Option<usize>; 3] {
        let input = Input { haystack: haystack.into(), needle: needle.into() };
        [naive(&input, |window, needle| window == needle), optimized(&input), str_find(&input)]
    }

    #[test]
    fn known_answers() {
        assert_eq!(all("", "a"), [None; 3]);
        assert_eq!(all("a", "a"), [Some(0); 3]);
        assert_eq!(all("short", "longer needle"), [None; 3]);
        assert_eq!(all("aabaabaac", "aabaac"), [Some(3); 3]);
        assert_eq!(all(&("ab".repeat(500) + "ba"), "bba"), [Some(999); 3]);
    }

    #[test]
    fn trap_the_needle_is_not_found_at_once() {
        for point in PAIR.axis.points.default_points() {
            let found = optimized(&input(&Case::realistic(point, 0, 1))).unwrap();
            assert_eq!(found, place(point as usize));
            // The smallest haystack is less than twice the needle.
            let least = if point < 128 { point * 3 / 8 } else { point * 3 / 4 };
            assert!(found as u64 >= least, "found at {found} of {point}");
        }
    }

    #[test]
    fn trap_the_text_has_the_letters_of_the_needle() {
        // Otherwise the first byte decides everywhere and memmem sees no candidate.
        let input = input(&Case::realistic(65_536, 0, 1));
        let places = input.haystack.len();
        for letter in NEEDLE.chars() {
            assert!(input.haystack.matches(letter).count() > places / 200, "{letter:?} is missing");
        }
        let rare = RareBytes::new(NEEDLE.as_bytes()).unwrap();
        assert!(candidates(&input, rare) > 10);
    }
}
