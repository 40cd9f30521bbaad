//! Count on all cores: a map for each part that is merged in the end, not one map behind a lock.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use foldhash::fast::FixedState;
use rand::RngExt;
use rayon::prelude::*;

use crate::fixtures::{pool::pool, zipf::Zipf};
use worthit_pair::prelude::*;

/// Updates of a map that other workers have written to.
const SHARED_UPDATES: Cause = Cause::new("shared_updates", "updates of what workers share")
    .counted("with a closure that is called at each");

/// Distinct words of the language.
const VOCABULARY: usize = 10_000;
/// Words in a line.
const WORDS_PER_LINE: usize = 12;
/// Lines in a part, at least: fewer are not worth a map.
const LINES: usize = 128;

pub const PAIR: Pair = Pair {
    title: "Count in a map for each part, then merge",
    review: Review {
        smell: "`Mutex<HashMap<…>>` (or a `DashMap`) that the closure of a `par_iter` updates for every item.",
        remedy: "`lines.par_chunks(length).map(count_words).reduce(Counts::default, merged)`: each part counts in a map of \
                 its own, and `merged` adds the shorter of two maps to the longer. rayon chooses the parts itself if its \
                 fold of a parallel iterator takes the place of the map.",
        keep_naive_when: "Somebody must read the counts while they grow. Or nearly all keys are distinct and the counts \
                          large, so that a map for each worker does not fit in memory, and merging is all the work. Or \
                          there is so much to do for each item that the lock is hardly ever held.",
        costs: "A map for each part: keys that occur in several are held several times until they are merged. Whatever is \
                counted needs a way to merge two results, and one that does not depend on the order.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "one Mutex<HashMap> for all workers",
        growth: Growth::Until(
            &Growth::Linear,
            "the map has nearly all words, and hardly any is new",
        ),
    },
    optimized: Side {
        summary: "a HashMap for each part, merged in pairs",
        growth: Growth::Until(
            &Growth::Linear,
            "each map has nearly all words, and merging no longer grows",
        ),
    },
    input: "Lines of 12 words. The words follow Zipf's law, as in a natural language, over a vocabulary of 10,000. A worker \
            splits a line at its spaces and counts each word in a map that owns its keys. Both sides share out the \
            lines alike, and hash with foldhash. Texts alternate.",
    axis: Axis {
        name: "words",
        unit: "words",
        is_size: true,
        points: Points::Fixed { default: &[120, 1_200, 60_000, 120_000], deep: &[] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "word",
    headline: Headline::AllCoresOf(60_000),
    alternatives: &[SideBeside { name: "sequential", summary: "one thread, one map, no lock" }],
    causes: &[Claim {
        cause: SHARED_UPDATES,
        naive: Count::Exactly(|case| case.point),
        // Where parts are short, nearly all of their words are distinct.
        optimized: Count::AtMost(|case| case.point),
    }],
    explanation: Explanation {
        why: "A word of the text is one update of the shared map, under a lock that all workers want all the time: they take \
              turns, sleep and are woken, and the lock and the entries move from core to core. In a map of its own, an update \
              needs no lock and stays in the worker's nearest cache. What is left to share is to merge the maps, which \
              costs an update for each distinct word of the shorter one: far less than the words of a long text. With one \
              worker nobody waits, and only the price of taking a free lock is saved. The sequential loop shows \
              that workers behind one lock may get less done together than one alone.",
        share_of_cause: ShareOfCause::Within(0.05, 3.0),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(120),
    },
    traps: &[
        &Trap {
            name: "few distinct words",
            reason: "to merge maps would cost nothing, and a map would fit in the first cache",
            check: |inputs: &[Text]| {
                let distinct = |lines: &Text| -> usize {
                    let words = lines.iter().flat_map(|line| line.split_ascii_whitespace());
                    words.collect::<HashSet<&str>>().len()
                };
                let fewest = inputs.iter().map(|lines| (distinct(lines), lines.len())).min();
                let few = fewest.filter(|(distinct, lines)| distinct < lines && *distinct < 2_000);
                ensure(few.is_none(), || format!("words and lines: {few:?}"))
            },
            sprung: || vec![vec!["the same words again and again".to_owned(); 1_000]],
        },
        &Trap {
            name: "one line has most of the words",
            reason: "one worker would have all the work, and nobody would wait for the lock",
            check: |inputs: &[Text]| {
                let is_long = |line: &&String| line.split(' ').count() > WORDS_PER_LINE;
                let long = inputs.iter().flatten().filter(is_long).count();
                ensure(long == 0, || format!("{long} long lines"))
            },
            sprung: || vec![vec!["word ".repeat(10_000)]],
        },
    ],
    // Each word is hashed, and found in a table of entries of 40 bytes.
    limit: Limit::Work(&[
        Work::Hashes(|case| case.point / case.level),
        Work::IndependentReads {
            reads: |case| case.point / case.level,
            within_bytes: |_| VOCABULARY as u64 * 40,
        },
    ]),
    proof: Proof { resources: Resources::System, max_size: 5_000 },
    prepare,
    ..Pair::DEFAULTS
};

type Text = Vec<String>;

/// Occurrences by word.
#[derive(Debug, Default, PartialEq)]
struct Counts(HashMap<String, u64, FixedState>);

impl Found for Counts {
    fn found(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Counts {
    /// Adds occurrences of a word. Only a new word is copied.
    fn add(&mut self, word: &str, occurrences: u64) {
        match self.0.get_mut(word) {
            Some(sum) => *sum += occurrences,
            None => {
                self.0.insert(word.to_owned(), occurrences);
            }
        }
    }
}

/// The occurrences of each word. `share` is called at each update of what workers share. Call it on a worker of a rayon
/// pool.
fn naive(lines: &[String], share: impl Fn() + Sync) -> Counts {
    let counts = Mutex::new(Counts::default());
    lines.par_chunks(part_length(lines)).for_each(|lines| {
        for word in lines.iter().flat_map(|line| line.split_ascii_whitespace()) {
            share();
            counts.lock().expect("no worker panics").add(word, 1);
        }
    });
    counts.into_inner().expect("no worker panics")
}

/// The occurrences of each word. `share` is called at each update of what workers share. Call it on a worker of a rayon
/// pool.
fn optimized(lines: &[String], share: impl Fn() + Sync) -> Counts {
    let merged = |left: Counts, right: Counts| {
        let (mut all, mut part) = (left, right);
        if all.0.len() < part.0.len() {
            mem::swap(&mut all, &mut part);
        }
        for (word, occurrences) in part.0 {
            share();
            *all.0.entry(word).or_default() += occurrences;
        }
        all
    };
    let parts = lines.par_chunks(part_length(lines)).with_max_len(1);
    parts.map(count_words).reduce(Counts::default, merged)
}

/// The occurrences of each word.
fn sequential(lines: &[String]) -> Counts {
    count_words(lines)
}

fn count_words(lines: &[String]) -> Counts {
    let mut counts = Counts::default();
    for word in lines.iter().flat_map(|line| line.split_ascii_whitespace()) {
        counts.add(word, 1);
    }
    counts
}

/// Lines in each part. There are two parts for each worker, so that one that is late does not hold up the others for long.
fn part_length(lines: &[String]) -> usize {
    lines.len().div_ceil(2 * rayon::current_num_threads()).max(LINES)
}

/// The word of this rank in the vocabulary: the more frequent, the shorter.
fn word(rank: usize) -> String {
    const LETTERS: &[u8; 20] = b"etaonrishdlfcmugypwb";
    let mut word = String::new();
    let mut rest = rank + 1;
    while rest > 0 {
        rest -= 1;
        word.push(char::from(LETTERS[rest % LETTERS.len()]));
        rest /= LETTERS.len();
    }
    word
}

/// A text of exactly as many words as the case says.
fn input(case: &Case, popularity: &Zipf) -> Text {
    let mut rng = case.rng("words");
    let values = case.values(case.point as usize);
    let mut next = |value: &u64| match case.shape {
        Shape::Realistic => word(popularity.sample(&mut rng)),
        Shape::Adversarial => match rng.random_range(0..3) {
            0 => "x".repeat(300),
            1 => "é".to_owned(),
            _ => word((*value % 50) as usize),
        },
        _ => word((*value % VOCABULARY as u64) as usize),
    };
    let words: Vec<String> = values.iter().map(&mut next).collect();
    words.chunks(WORDS_PER_LINE).map(|words| words.join(" ")).collect()
}

/// How often a side calls the closure that it is given.
fn called(side: impl FnOnce(&(dyn Fn() + Sync))) -> u64 {
    let calls = AtomicU64::new(0);
    side(&|| {
        calls.fetch_add(1, Relaxed);
    });
    calls.into_inner()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let pool = pool(case.level)?;
    let popularity = Zipf::new(VOCABULARY, 4);
    let turns = (4_096 / case.point.max(1)).clamp(4, 32);
    let inputs = case.rotate(turns, |case| input(case, &popularity));
    let (locked, merged) = (inputs.clone(), inputs.clone());
    let (pool_of_naive, pool_of_optimized) = (Arc::clone(&pool), Arc::clone(&pool));
    let count_of_naive =
        move |i: usize| called(|share| drop(pool_of_naive.install(|| naive(&locked[i], share))));
    let count_of_optimized = move |i: usize| {
        called(|share| drop(pool_of_optimized.install(|| optimized(&merged[i], share))))
    };
    let words = |lines: &Text| -> u64 {
        lines.iter().map(|line| line.split_ascii_whitespace().count() as u64).sum()
    };
    Ok(Trial::new(
        inputs.measured(words),
        pooled(&pool, &inputs, |lines: &Text| naive(lines, || {}))
            .counting(SHARED_UPDATES, count_of_naive),
        pooled(&pool, &inputs, |lines: &Text| optimized(lines, || {}))
            .counting(SHARED_UPDATES, count_of_optimized),
    )
    .alternative(by_ref(&inputs, |lines: &Text| sequential(lines)))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// These lines, over and over.
    fn text(lines: &[&str], times: usize) -> Text {
        lines.repeat(times).iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn known_answers() {
        let pool = pool(3).unwrap();
        let lines = ["one fish two fish", "", "  red fish ", "blue\tfish"];
        for times in [0, 1, 1_000] {
            let lines = &text(&lines, times as usize);
            let in_pool = pool.install(|| [naive(lines, || {}), optimized(lines, || {})]);
            for counts in in_pool.into_iter().chain([sequential(lines)]) {
                let of = |word| counts.0.get(word).copied().unwrap_or(0);
                assert_eq!(
                    ["fish", "one", "two", "red", "blue"].map(of),
                    [4, 1, 1, 1, 1].map(|n| n * times)
                );
                assert_eq!(counts.found(), if times > 0 { 5 } else { 0 });
            }
        }
    }

    #[test]
    fn words_of_the_vocabulary_are_distinct_and_the_frequent_ones_are_short() {
        let words: Vec<String> = (0..VOCABULARY).map(word).collect();
        assert_eq!((&words[0][..], &words[1][..], &words[20][..]), ("e", "t", "ee"));
        assert!(words.is_sorted_by_key(String::len));
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), VOCABULARY);
    }

    #[test]
    fn merging_updates_the_longer_map_for_each_word_of_the_shorter() {
        let pool = pool(1).unwrap();
        let mut lines = text(&["a b c"], LINES);
        lines.extend(text(&["a d"], LINES));
        let merged = called(|share| drop(pool.install(|| optimized(&lines, share))));
        assert_eq!(merged, 2);
        let locked = called(|share| drop(pool.install(|| naive(&lines, share))));
        assert_eq!(locked, 5 * LINES as u64);
    }

    #[test]
    fn a_worker_that_panics_ends_the_side_and_leaves_the_pool_in_order() {
        let pool = pool(2).unwrap();
        let lines: Text = (0..1_000).map(|nth| format!("w{nth} w{}", nth + 1)).collect();
        let panicking = || panic!("it cannot be shared");
        let locked = || pool.install(|| naive(&lines, panicking));
        assert!(catch_unwind(AssertUnwindSafe(locked)).is_err());
        let merged = || pool.install(|| optimized(&lines, panicking));
        assert!(catch_unwind(AssertUnwindSafe(merged)).is_err());
        assert_eq!(pool.install(|| optimized(&lines, || {})), sequential(&lines));
    }
}
