//! Search for many strings in one pass: compile them into an automaton, do not search for each in turn.

use std::{collections::HashSet, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem::Finder;
use rand::{Rng, RngExt};

use crate::fixtures::text;
use worthit_pair::prelude::*;

/// Lines of a text.
const LINES: u64 = 1_000;

const SEARCHES: Cause =
    Cause::new("searches", "searches of a line").counted("with a search that counts its calls");

pub const PAIR: Pair = Pair {
    title: "Search for many strings at once",
    review: Review {
        smell: "`words.iter().any(|word| line.contains(word))` for each line, or a chain of `contains` or `replace` \
                calls on one text.",
        remedy: "When the strings are loaded, compile them into one automaton: an AhoCorasick of the crate aho-corasick, \
                 built with the match kind LeftmostFirst. Then ask it for each line with `is_match`.",
        keep_naive_when: "There are one, two or three strings: std's search for one string is vectorised, too. Or the \
                          strings change with each text: compiling them takes long beside the search of a short text, \
                          as the first alternative shows.",
        costs: "It takes a dependency, which many programs already have through `regex`, and memory for the automaton. \
                With the default match kind, Standard, the crate does not use Teddy, its vectorised search for \
                several strings. Few strings need no automaton: one `Finder` of the crate memchr for each is prepared \
                once, while `contains` prepares its search anew for each line. That is the second alternative. \
                Where strings overlap, an automaton and a chain of `replace` calls give different \
                texts: each call also sees what the calls before have put in.",
        lint: Lint::None,
    },
    naive: Side { summary: "search each line for each string", growth: Growth::Linear },
    optimized: Side {
        summary: "one search a line with an AhoCorasick",
        growth: Growth::Other("in steps, because the crate changes its way of searching"),
    },
    input: "Texts of 1,000 lines of frequent English words, about 72 bytes each, in which the lines with any of a list \
            of made-up words are looked for, as in a list of names or of blocked words. One word in three is in the \
            text, in one line, so most lines are searched for all of them. Texts and lists alternate; the lists are \
            compiled off the clock.",
    axis: Axis {
        name: "strings",
        unit: "strings",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 10, 30, 100, 300], deep: &[1_000] },
    },
    unit: "line",
    headline: Headline::At { level: "", point: 30 },
    alternatives: &[
        SideBeside { name: "compile_each_time", summary: "compile the AhoCorasick for each text" },
        SideBeside { name: "finders", summary: "memchr's Finder for each string, prepared once" },
    ],
    causes: &[Claim {
        cause: SEARCHES,
        // A line that is picked is not searched further.
        naive: Count::AtLeast(|case| LINES * case.point * 3 / 4),
        optimized: Count::Exactly(|_| LINES),
    }],
    explanation: Explanation {
        why: "The naive side searches each line once for each string, and the automaton searches it once for all. But \
              a search of std compares a vector of bytes at a time, so it costs little. The automaton does that only \
              for a moderate number of strings, and with more work for each vector, because it has to tell them \
              apart. With more strings it takes a step for each byte, and with very many these steps go through a \
              more compact and slower form. With two or three strings it first looks for a few letters that should be \
              rare. Here they are not rare enough: each false alarm starts the automaton, which makes it slower than \
              the naive side.",
        share_of_cause: ShareOfCause::Within(0.05, 0.8),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(3),
    },
    traps: &[
        &Trap {
            name: "most lines are picked at once",
            reason: "a line is not searched for the other strings once one is found",
            check: |inputs: &[Input]| {
                let picked: usize = inputs.iter().map(|i| compile_each_time(i).len()).sum();
                let lines: usize = inputs.iter().map(|input| input.lines.len()).sum();
                ensure(picked * 8 <= lines, || format!("{picked} of {lines} lines are picked"))
            },
            sprung: || {
                let input = input(&Case::realistic(30, 0, 1));
                vec![Input { words: vec!["the".to_owned()], ..input }]
            },
        },
        &Trap {
            name: "the strings have letters that the text lacks",
            reason: "a letter that never occurs rules out its string at the pace of memchr",
            check: |inputs: &[Input]| {
                let lacks = |input: &Input| {
                    let all: HashSet<u8> = input.lines.iter().flat_map(|l| l.bytes()).collect();
                    input.words.iter().filter(|w| !w.bytes().all(|b| all.contains(&b))).count()
                };
                let lacking: usize = inputs.iter().map(lacks).sum();
                ensure(lacking == 0, || format!("{lacking} strings"))
            },
            sprung: || {
                let input = input(&Case::realistic(30, 0, 1));
                vec![Input { words: vec!["§ 12".to_owned()], ..input }]
            },
        },
    ],
    limit: Limit::None(
        "the strings decide whether vectors or single bytes are compared, and no machine number bounds either",
    ),
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Clone)]
struct Input {
    lines: Arc<Vec<String>>,
    words: Vec<String>,
}

/// The places of the lines that contain any of the words; `contains` is `str::contains` when timed.
fn naive(input: &Input, contains: impl Fn(&str, &str) -> bool) -> Vec<usize> {
    let has_any = |line: &str| input.words.iter().any(|word| contains(line, word));
    let picked = input.lines.iter().enumerate().filter(|(_, line)| has_any(line));
    picked.map(|(place, _)| place).collect()
}

/// The same lines, with the words compiled into an automaton.
struct Compiled {
    lines: Arc<Vec<String>>,
    any_word: AhoCorasick,
}

/// The places of the lines that contain any of the words; `is_match` is the automaton's when timed.
fn optimized(input: &Compiled, is_match: impl Fn(&AhoCorasick, &str) -> bool) -> Vec<usize> {
    let has_any = |line: &str| is_match(&input.any_word, line);
    let picked = input.lines.iter().enumerate().filter(|(_, line)| has_any(line));
    picked.map(|(place, _)| place).collect()
}

fn compiled(input: &Input) -> Compiled {
    let builder = &mut AhoCorasick::builder();
    let any_word = builder.match_kind(MatchKind::LeftmostFirst).build(&input.words);
    let any_word = any_word.expect("the words are few enough for an automaton");
    Compiled { lines: Arc::clone(&input.lines), any_word }
}

/// The places of the lines that contain any of the words.
fn compile_each_time(input: &Input) -> Vec<usize> {
    optimized(&compiled(input), is_match)
}

/// The same lines, with a search prepared for each word.
struct Prepared {
    lines: Arc<Vec<String>>,
    searches: Vec<Finder<'static>>,
}

/// The places of the lines that contain any of the words.
fn finders(input: &Prepared) -> Vec<usize> {
    let has_any =
        |line: &str| input.searches.iter().any(|word| word.find(line.as_bytes()).is_some());
    let picked = input.lines.iter().enumerate().filter(|(_, line)| has_any(line));
    picked.map(|(place, _)| place).collect()
}

fn prepared(input: &Input) -> Prepared {
    let searches = input.words.iter().map(|word| Finder::new(word).into_owned()).collect();
    Prepared { lines: Arc::clone(&input.lines), searches }
}

fn contains(line: &str, word: &str) -> bool {
    line.contains(word)
}

fn is_match(any_word: &AhoCorasick, line: &str) -> bool {
    any_word.is_match(line)
}

fn lines(case: &Case) -> Vec<String> {
    let count = case.items(LINES);
    let mut rng = case.rng("lines");
    if case.shape == Shape::Realistic {
        let text = text::english(count * 100, &mut rng);
        return text.lines().take(count).map(str::to_owned).collect();
    }
    let mut line = || pieces(case.shape, rng.random_range(0..60), &mut rng);
    (0..count).map(|_| line()).collect()
}

/// Text of few letters, so that short strings are found by chance. Some letters are several bytes long and begin with
/// the same byte.
fn pieces(shape: Shape, length: usize, rng: &mut impl Rng) -> String {
    let letters = match shape {
        Shape::DuplicateHeavy => &["a"][..],
        Shape::Sorted => &["a", "b"],
        Shape::Adversarial => &["a", "ä", "ö", "€", "‚", "😀", "\0"],
        _ => &["a", "b", "c", "d", "e", "f"],
    };
    (0..length).map(|_| letters[rng.random_range(0..letters.len())]).collect()
}

/// A word that sounds like one and is none.
fn made_up(rng: &mut impl Rng) -> String {
    const CONSONANTS: &[u8] = b"bcdfghklmnprstvw";
    const VOWELS: &[u8] = b"aeiou";
    let mut word = String::new();
    for _ in 0..rng.random_range(3..6) {
        word.push(char::from(CONSONANTS[rng.random_range(0..CONSONANTS.len())]));
        word.push(char::from(VOWELS[rng.random_range(0..VOWELS.len())]));
    }
    word
}

fn input(case: &Case) -> Input {
    let (mut lines, mut rng) = (lines(case), case.rng("words"));
    let word = |place: u64| {
        if case.shape != Shape::Realistic {
            // Some are empty, and some contain others.
            let length = rng.random_range(0..9);
            return pieces(case.shape, length, &mut rng);
        }
        let word = made_up(&mut rng);
        if !lines.is_empty() && place.is_multiple_of(3) {
            let line = rng.random_range(0..lines.len());
            let line = &mut lines[line];
            let after = line.rfind(' ').map_or(0, |space| space + 1);
            line.insert_str(after, &format!("{word} "));
        }
        word
    };
    let words = (0..case.point).map(word).collect();
    Input { words, lines: Arc::new(lines) }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, input);
    let automata = inputs.map(compiled);
    Ok(Trial::new(
        inputs.measured(|input| input.words.len() as u64),
        by_ref(&inputs, |input| naive(input, contains)).counting(
            SEARCHES,
            noting(&inputs, |input| {
                naive(input, |line, word| {
                    note();
                    contains(line, word)
                })
            }),
        ),
        by_ref(&automata, |input| optimized(input, is_match)).counting(
            SEARCHES,
            noting(&automata, |input| {
                optimized(input, |any_word, line| {
                    note();
                    is_match(any_word, line)
                })
            }),
        ),
    )
    .alternative(by_ref(&inputs, compile_each_time))
    .alternative(by_ref(&inputs.map(prepared), finders))
    .units(case.items(LINES) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &[&str], words: &[&str]) -> [Vec<usize>; 4] {
        let owned = |texts: &[&str]| texts.iter().copied().map(str::to_owned).collect::<Vec<_>>();
        let input = Input { lines: Arc::new(owned(lines)), words: owned(words) };
        let compiled = compiled(&input);
        [
            naive(&input, contains),
            optimized(&compiled, is_match),
            compile_each_time(&input),
            finders(&prepared(&input)),
        ]
    }

    #[test]
    fn known_answers() {
        let lines = ["id=12 ok", "id=123 ok", "nothing", "", "id=3 and id=12"];
        assert_eq!(all(&lines, &["=12 ", "=3"]), [[0, 4]; 4].map(|p| p.to_vec()));
        assert_eq!(all(&lines, &["123", "12"]), [[0, 1, 4]; 4].map(|p| p.to_vec()));
        assert!(all(&lines, &[]).iter().all(Vec::is_empty));
        assert_eq!(all(&lines, &["x", ""]), [[0, 1, 2, 3, 4]; 4].map(|p| p.to_vec()));
        // The second string starts inside the first one, which does not match.
        assert_eq!(all(&["abcdx"], &["abcde", "cdx"]), [[0]; 4].map(|p| p.to_vec()));
        assert_eq!(all(&["grün"], &["ö", "ü"]), [[0]; 4].map(|p| p.to_vec()));
    }
}
