//! Find a substring: test many positions at once for its rarest bytes, do not compare all of it at each.

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
        remedy: "`memmem::find`, of the memchr crate.",
        keep_naive_when: "The search is not worth a dependency: a short haystack, now and then.",
        costs: "A dependency, which nearly every Rust program has already through `regex` or others. For a `&str`, \
                std's `str::find` needs none; it is the alternative. One needle for many short haystacks is better \
                prepared once, as a `memmem::Finder`.",
        lint: Lint::None,
    },
    naive: Side { summary: "compare the needle at each position", growth: Growth::Linear },
    optimized: Side { summary: "memchr::memmem::find", growth: Growth::Linear },
    input: "Texts of frequent English words, and a needle of 17 bytes whose letters all occur in the texts but whose \
            words do not. The needle is found once, at a random place near the end, so nearly all of a long text is \
            searched. The texts alternate.",
    axis: Axis {
        name: "haystack",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[32, 150, 500, 5_000, 50_000, 1_000_000],
            deep: &[16_000_000],
        },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 5_000 },
    alternatives: &[SideBeside { name: "str_find", summary: "std's str::find, for text" }],
    causes: &[Claim {
        cause: NEEDLE_COMPARISONS,
        naive: Count::AtLeast(|case| {
            (case.point - case.point / 16).saturating_sub(NEEDLE.len() as u64)
        }),
        // Only a coincidence puts both rare bytes in their places.
        optimized: Count::AtMost(|case| 2 + case.point / 64),
    }],
    explanation: Explanation {
        why: "The count is the number of positions at which the whole needle is compared. On the naive side these are \
              all positions up to the match. On the optimized side they are those where the two bytes that memchr \
              takes for the needle's rarest are in their places. The comparisons all but vanish. What is left is the \
              filter: two loads and compares for a whole vector of positions. So the gain is not the ratio of \
              comparisons; it is the cost of one comparison, which is a call, beside a position's share of a vector. \
              They also keep it below its limit, the bandwidth of the nearest cache. On a short haystack memchr \
              spends most of its time on choosing the rare bytes.",
        share_of_cause: ShareOfCause::Within(0.005, 0.2),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the needle is found at once",
            reason: "there would be nothing to search",
            check: |inputs: &[Input]| {
                let early =
                    |i: &&Input| optimized(i).is_none_or(|place| place * 8 < i.haystack.len() * 3);
                let early = inputs.iter().find(early);
                ensure(early.is_none(), || format!("found at {:?}", early.map(optimized)))
            },
            sprung: || {
                vec![Input {
                    haystack: format!("{NEEDLE} and much more text"),
                    needle: NEEDLE.into(),
                }]
            },
        },
        &Trap {
            name: "the text lacks the needle's letters",
            reason: "the first byte would decide everywhere, and memmem would see no candidate",
            check: |inputs: &[Input]| {
                let bytes: usize = inputs.iter().map(|input| input.haystack.len()).sum();
                let occurs = |letter| {
                    inputs.iter().map(|i| i.haystack.matches(letter).count()).sum::<usize>()
                };
                let missing = NEEDLE.chars().find(|letter| occurs(*letter) * 200 < bytes);
                ensure(missing.is_none(), || format!("{missing:?} is missing"))
            },
            sprung: || vec![Input { haystack: "qwerty".repeat(500), needle: NEEDLE.into() }],
        },
    ],
    limit: Limit::Work(&[Work::BytesStreamed(|case| case.point)]),
    proof: Proof { resources: Resources::Memory, max_size: 600 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug)]
struct Input {
    /// ASCII.
    haystack: String,
    /// Never empty. It comes at run time, so it lies on the heap: a constant of the program would lie where the linker
    /// happened to put it, and `==` takes longer where that is close to the end of a page.
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
    input.haystack.find(&*input.needle)
}

fn input(case: &Case) -> Input {
    let (bytes, mut rng) = (case.point as usize, case.rng("text"));
    let mut few_letters = |letters: &[u8], count: usize| -> String {
        (0..count).map(|_| char::from(letters[rng.random_range(0..letters.len())])).collect()
    };
    match case.shape {
        Shape::Realistic => {
            let mut haystack = text::english(bytes, &mut rng);
            if let Some(last) = bytes.checked_sub(NEEDLE.len()) {
                // At most a sixteenth of the text follows it.
                let place = last.saturating_sub(rng.random_range(0..=bytes / 16));
                haystack.replace_range(place..place + NEEDLE.len(), NEEDLE);
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

/// Number of memmem's comparisons up to the match: positions with both bytes in place that memchr takes for the
/// needle's rarest. (Its vector code cannot be counted from outside.)
fn candidates(input: &Input) -> u64 {
    let (haystack, needle) = (input.haystack.as_bytes(), input.needle.as_bytes());
    let Some(rare) = RareBytes::new(needle) else { return 0 };
    let both_in_place = |window: &[u8]| {
        [rare.index1(), rare.index2()].map(usize::from).iter().all(|i| window[*i] == needle[*i])
    };
    let end = optimized(input).map_or(haystack.len(), |place| place + needle.len());
    haystack[..end].windows(needle.len()).filter(|window| both_in_place(window)).count() as u64
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((262_144 / case.point.max(1)).clamp(4, 4_096), input);
    let counted = inputs.clone();
    Ok(Trial::new(
        inputs.measured(|input| input.haystack.len() as u64),
        by_ref(&inputs, |input| naive(input, |window, needle| window == needle)).counting(
            NEEDLE_COMPARISONS,
            noting(&inputs, |input| {
                naive(input, |window, needle| {
                    note();
                    window == needle
                })
            }),
        ),
        by_ref(&inputs, optimized).counting(NEEDLE_COMPARISONS, move |i| candidates(&counted[i])),
    )
    .alternative(by_ref(&inputs, str_find))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(haystack: &str, needle: &'static str) -> [Option<usize>; 3] {
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
    fn candidates_are_places_of_both_rare_bytes() {
        let timed = input(&Case::realistic(50_000, 0, 1));
        assert!((2..500).contains(&candidates(&timed)), "{}", candidates(&timed));
    }
}
