//! Look for a word in texts: with `str::contains`, not with a regular expression.

use std::sync::LazyLock;

use memchr::memmem;
use rand::{Rng, RngExt};
use regex::Regex;

use crate::fixtures::text;
use worthit_pair::prelude::*;

/// Neither word is in the texts, but all their letters are.
const WORDS: &str = "missing signature";

/// Texts in one iteration.
const TEXTS: u64 = 16;

const REGEX_SEARCHES: Cause = Cause::new("regex_searches", "searches through a regex")
    .counted("with a closure in place of Regex::is_match");

pub const PAIR: Pair = Pair {
    title: "Look for a literal without a regex",
    review: Review {
        smell: "`Regex::new(\"missing signature\")`, a pattern without any operator, and `is_match` on short texts.",
        remedy: "`text.contains(WORDS)`. For the patterns `^words` and `words$`, texts have methods that test the \
                 start and the end.",
        keep_naive_when: "The texts are more than some lines long: regex sees that the pattern is a literal and calls \
                          memchr's vector search, which beats std's. Or the pattern is configuration and may become \
                          more than a literal. On short texts little is gained either; the better reason is that the \
                          code says what it means.",
        costs: "None; it may even save a dependency. Where texts are long, `memmem::Finder` of the crate memchr, the \
                peer, runs the search that regex would run.",
        lint: Lint::Switched("clippy::trivial_regex", "clippy::nursery"),
    },
    naive: Side {
        summary: "Regex::is_match, compiled once",
        growth: Growth::Other("a start for each text, and then O(n)"),
    },
    optimized: Side { summary: "str::contains", growth: Growth::Linear },
    input: "Sixteen texts with the letter frequencies of English; one in four, at random, contains the words, at a \
            random place. Sets of texts alternate, so that a branch predictor does not learn which contain them.",
    axis: Axis {
        name: "text",
        unit: "B",
        is_size: true,
        points: Points::Fixed { default: &[60, 100, 200, 600, 3_000, 20_000], deep: &[500_000] },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 100 },
    peers: &[SideBeside { name: "memchr", summary: "memmem::Finder, made once" }],
    causes: &[Claim {
        cause: REGEX_SEARCHES,
        naive: Count::Exactly(|_| TEXTS),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "A regex has a fixed cost for each search: it checks whether a text of this length can match, takes scratch \
              space from a pool, and calls the search for the literal through a vtable. (It runs no automaton for such a \
              pattern.) The search itself costs by the byte, and there memchr's is the better one, as it uses wider \
              vectors where the processor has them. `contains` stays below its limit, because std compares with vectors of \
              sixteen bytes.",
        share_of_cause: ShareOfCause::NoRatio("no search goes through a regex"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::From(600),
    },
    traps: &[
        &Trap {
            name: "no text contains the words, or most do",
            reason: "the answer would be known without a search",
            check: |inputs: &[Vec<String>]| {
                let texts = || inputs.iter().flatten();
                let found = texts().filter(|text| text.contains(WORDS)).count();
                let share = found * 100 / texts().count().max(1);
                ensure((10..=50).contains(&share), || format!("{share} % contain the words"))
            },
            sprung: || vec![vec!["a short text".to_owned(); 16]],
        },
        &Trap {
            name: "the words are found at once",
            reason: "there would be nothing to search",
            check: |inputs: &[Vec<String>]| {
                let places = inputs.iter().flatten().filter_map(|text| text.find(WORDS));
                let (places, sum) = places.fold((0, 0), |(n, sum), place| (n + 1, sum + place));
                let length = inputs[0][0].len() - WORDS.len();
                ensure(sum * 3 > places * length, || format!("{} on average", sum / places.max(1)))
            },
            sprung: || vec![vec![format!("{WORDS} and much more text"); 16]],
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| TEXTS * case.point,
        within_bytes: |case| turns(case.point) * TEXTS * case.point,
    }]),
    proof: Proof { resources: Resources::Memory, max_size: 600 },
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(bytes: u64) -> u64 {
    (262_144 / bytes.max(1)).clamp(8, 2_048)
}

/// For each text, whether it contains the words; `is_match` is `Regex::is_match` when timed.
#[expect(clippy::trivial_regex, reason = "the naive side of the pair")]
fn naive(texts: &[String], is_match: impl Fn(&Regex, &str) -> bool) -> Vec<bool> {
    static PATTERN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("missing signature").expect("a valid pattern"));
    texts.iter().map(|text| is_match(&PATTERN, text)).collect()
}

/// For each text, whether it contains the words.
fn optimized(texts: &[String]) -> Vec<bool> {
    texts.iter().map(|text| text.contains(WORDS)).collect()
}

/// For each text, whether it contains the words.
fn memchr(texts: &[String]) -> Vec<bool> {
    static FINDER: LazyLock<memmem::Finder> = LazyLock::new(|| memmem::Finder::new(WORDS));
    texts.iter().map(|text| FINDER.find(text.as_bytes()).is_some()).collect()
}

/// `Regex::is_match`, whose calls are noted.
fn noted(pattern: &Regex, text: &str) -> bool {
    note();
    pattern.is_match(text)
}

/// A text of exactly `bytes` bytes.
fn text_of(case: &Case, bytes: usize, rng: &mut impl Rng) -> String {
    let cut = |words: &str| {
        let end = (0..=bytes).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
        words[..end].to_owned() + &" ".repeat(bytes - end)
    };
    let mut text = match case.shape {
        Shape::Realistic => text::english(bytes, rng),
        Shape::Random => cut(&"misg natureé".repeat(bytes)),
        Shape::DuplicateHeavy => cut(&"missing ".repeat(bytes)),
        Shape::Sorted => cut(&"abcdefghijklmnopqrstuvwxyz".repeat(bytes)),
        // Nearly the words, over and over.
        Shape::Adversarial => {
            let part = ["missing signatur ", "missing missing signatur", "日missing signaturé"];
            cut(&part[rng.random_range(0..part.len())].repeat(bytes))
        }
    };
    let Some(last) = bytes.checked_sub(WORDS.len()) else { return text };
    if rng.random_range(0..4) == 0 {
        let place = match case.shape {
            Shape::Realistic => rng.random_range(0..=last),
            _ => [0, last, last / 2][rng.random_range(0..3)],
        };
        let end = place + WORDS.len();
        if text.is_char_boundary(place) && text.is_char_boundary(end) {
            text.replace_range(place..end, WORDS);
        }
    }
    text
}

fn input(case: &Case) -> Vec<String> {
    let mut rng = case.rng("texts");
    (0..TEXTS).map(|_| text_of(case, case.point as usize, &mut rng)).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    Ok(Trial::new(
        inputs.measured(|texts| texts[0].len() as u64),
        by_ref(&inputs, |texts: &Vec<String>| naive(texts, Regex::is_match))
            .counting(REGEX_SEARCHES, noting(&inputs, |texts| naive(texts, noted))),
        by_ref(&inputs, |texts: &Vec<String>| optimized(texts))
            .counting(REGEX_SEARCHES, noting(&inputs, |texts| optimized(texts))),
    )
    .peer(by_ref(&inputs, |texts: &Vec<String>| memchr(texts)))
    .units(TEXTS * case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> [Vec<bool>; 3] {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        [naive(&texts, Regex::is_match), optimized(&texts), memchr(&texts)]
    }

    #[test]
    fn known_answers() {
        let texts = [
            "",
            "missing signature",
            "a missing signature, again",
            "Missing signature",
            "missing  signature",
            "missing signatur",
            "missing missing signaturesignature",
            "é missing signatureé",
        ];
        for found in all(&texts) {
            assert_eq!(found, [false, true, true, false, false, false, true, true]);
        }
    }

    #[test]
    fn the_pattern_is_the_words() {
        // The naive side repeats them, as clippy recognises only a literal.
        let regex = Regex::new(&regex::escape(WORDS)).unwrap();
        let is_same = |pattern: &Regex, _: &str| pattern.as_str() == regex.as_str();
        assert_eq!(naive(&[String::new()], is_same), [true]);
    }
}
