//! Share out items whose costs differ: as workers come for them, not in equal parts beforehand.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::fixtures::{
    fingerprint::{Document, fingerprint},
    pool::pool,
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Words that the busiest worker goes through.
const LARGEST_SHARE: Cause = Cause::new("largest_share", "words of the busiest worker").modelled(
    "from the worker that goes through each document; where that is not fixed, as if a worker that is done took the next \
     document",
);

/// Documents in one iteration.
const DOCUMENTS: u64 = 2_047;
/// Words of all documents together, at every level: 1,024 for each on average.
const WORDS: u64 = DOCUMENTS * 1_024;

/// Level where each document is longer than the one before.
const GROWING: u64 = 0;
/// Level where few documents have most of the words.
const ZIPF: u64 = 1;
/// Level where all are equally long.
const EVEN: u64 = 2;

const fn level(label: &'static str, value: u64) -> Level {
    Level { label, value, origin: Origin::Measured }
}

pub const PAIR: Pair = Pair {
    title: "Let idle workers take what is left",
    review: Review {
        smell: "A list cut into as many equal parts as there are threads: `items.chunks(items.len() / threads)`, a range of \
                row numbers for each thread. But the items are not equally expensive: a triangular loop, files of all \
                sizes, recursion.",
        remedy: "`documents.par_iter().map(work).collect()` with rayon: a worker splits what it has, and one that is idle \
                 takes over the part that was split off.",
        keep_naive_when: "All items take equally long: equal parts are then the right ones, and nobody has to look for \
                          work. Or each thread must keep to its part, because it has the data of that part in its memory.",
        costs: "A dependency. Which worker gets which item differs from run to run, so state that a worker keeps between \
                items must not matter. No scheduler divides an item: one that takes longer than a fair share should be split \
                or come first.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a part of the list for each worker",
        growth: Growth::Other("shrinks with the share of the busiest worker"),
    },
    optimized: Side { summary: "rayon's par_iter", growth: Growth::Other("shrinks as 1/threads") },
    input: "2,047 documents of 2.1 million words together, whose fingerprints are computed, a hash for each word. Each is \
            longer than the one before, as the rows of a triangular loop are; or their lengths follow Zipf's law, in random \
            order; or all are equally long. Both sides run on the same pool, which is awake. Lists of documents alternate.",
    axis: Axis { name: "threads", unit: "threads", is_size: false, points: Points::Threads },
    parameter: Some(Parameter {
        name: "lengths",
        levels: Levels::Fixed(&[
            level("growing", GROWING),
            level("zipf", ZIPF),
            level("even", EVEN),
        ]),
    }),
    unit: "word",
    headline: Headline::AllCoresAt("growing"),
    alternatives: &[SideBeside {
        name: "dealt_out",
        summary: "every t-th document for each of t workers",
    }],
    causes: &[Claim {
        cause: LARGEST_SHARE,
        naive: Count::AtLeast(|case| match case.level {
            GROWING if case.point > 1 => WORDS / case.point * 5 / 4,
            _ => WORDS / case.point,
        }),
        optimized: Count::AtMost(|case| WORDS / case.point + longest(case.level)),
    }],
    explanation: Explanation {
        why: "All wait for the worker that ends last. Where the documents grow, the last of the equal parts holds far more \
              words than a fair share; the other workers are idle before it ends. Idle workers that take over what is left \
              end at nearly the same time, so the gain is the ratio of the largest shares. By Zipf's law in random \
              order it depends on which part the few long documents fall into. Where all are equally long, and with one worker, \
              nothing is gained. Dealing the documents out in turn helps as much where they grow steadily, and needs no \
              scheduler; it does not help against a few long ones.",
        share_of_cause: ShareOfCause::Within(0.7, 1.15),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "one document has most of the words",
            reason: "no scheduler could share it out, and both sides would wait for it",
            check: |inputs: &[Input]| {
                let largest_percent = |input: &Input| {
                    let documents = &input.documents;
                    let words: usize = documents.iter().map(Vec::len).sum();
                    documents.iter().map(Vec::len).max().unwrap_or(0) * 100 / words.max(1)
                };
                let most = inputs.iter().map(largest_percent).max();
                ensure(most <= Some(20), || format!("{most:?} % of the words"))
            },
            sprung: || {
                let mut documents = vec![vec![1; 10]; 100];
                documents[50] = vec![1; 5_000];
                vec![Input { documents, workers: 2 }]
            },
        },
        &Trap {
            name: "a document takes no longer than to take it over",
            reason: "a scheduler would be slower than equal parts, however unequal these are",
            check: |inputs: &[Input]| {
                let mean = |Input { documents, .. }: &Input| {
                    documents.iter().map(Vec::len).sum::<usize>() / documents.len().max(1)
                };
                let least = inputs.iter().map(mean).min();
                ensure(least >= Some(1_000), || format!("{least:?} words on average"))
            },
            sprung: || vec![Input { documents: vec![vec![1; 10]; 1_000], workers: 2 }],
        },
    ],
    limit: Limit::Work(&[Work::Hashes(|case| WORDS / case.point)]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Applies `work` to each document, in order. Call it on a worker of a rayon pool.
fn naive<T: Send>(documents: &[Document], work: impl Fn(&Document) -> T + Sync) -> Vec<T> {
    let length = documents.len().div_ceil(rayon::current_num_threads()).max(1);
    let parts = rayon::broadcast(|worker| -> Vec<T> {
        let part = documents.chunks(length).nth(worker.index()).unwrap_or_default();
        part.iter().map(&work).collect()
    });
    parts.into_iter().flatten().collect()
}

/// Applies `work` to each document, in order. Call it on a worker of a rayon pool.
fn optimized<T: Send>(
    documents: &[Document],
    work: impl Fn(&Document) -> T + Sync + Send,
) -> Vec<T> {
    documents.par_iter().map(work).collect()
}

/// Applies `work` to each document, in order. Call it on a worker of a rayon pool.
fn dealt_out<T: Send>(documents: &[Document], work: impl Fn(&Document) -> T + Sync) -> Vec<T> {
    let workers = rayon::current_num_threads();
    let parts = rayon::broadcast(|worker| -> Vec<T> {
        documents.iter().skip(worker.index()).step_by(workers).map(&work).collect()
    });
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    (0..documents.len()).filter_map(|nth| parts[nth % workers].next()).collect()
}

/// Words of the longest document of a timed case, at most.
fn longest(level: u64) -> u64 {
    match level {
        GROWING => DOCUMENTS,
        ZIPF => WORDS / 6,
        _ => WORDS / DOCUMENTS,
    }
}

/// Lengths of the documents of a timed case, in words.
fn lengths(case: &Case) -> Vec<usize> {
    const BLOCK: usize = 64;
    let (documents, words) = (DOCUMENTS as usize, WORDS as usize);
    match case.level {
        GROWING => (1..=documents).collect(),
        ZIPF => {
            let (zipf, mut rng) = (Zipf::new(documents, 4), case.rng("lengths"));
            let mut lengths = vec![0; documents];
            (0..words / BLOCK).for_each(|_| lengths[zipf.sample(&mut rng)] += BLOCK);
            lengths.shuffle(&mut rng);
            lengths
        }
        _ => vec![words / documents; documents],
    }
}

struct Input {
    documents: Vec<Document>,
    /// Workers that share them out.
    workers: u64,
}

fn input(case: &Case) -> Input {
    let lengths = match case.proof_size {
        None => lengths(case),
        Some(documents) => (0..documents as usize)
            .map(|nth| match case.shape {
                Shape::Realistic | Shape::Sorted => nth,
                Shape::Random => nth * 7_919 % 31,
                Shape::DuplicateHeavy => 3,
                Shape::Adversarial if nth == 0 => 5_000,
                Shape::Adversarial => 0,
            })
            .collect(),
    };
    let mut words = case.values(lengths.iter().sum()).into_iter();
    let document = |length| words.by_ref().take(length).collect();
    Input { documents: lengths.into_iter().map(document).collect(), workers: case.point }
}

/// Words of the busiest worker, where each document comes with the worker that goes through it.
fn busiest(documents: Vec<Seen>) -> u64 {
    let mut words = BTreeMap::new();
    documents.into_iter().for_each(|(worker, length)| *words.entry(worker).or_default() += length);
    words.into_values().max().unwrap_or(0)
}

/// Words of the busiest worker, where one that is done takes the next document.
fn busiest_by_turns(documents: &[Document], workers: u64) -> u64 {
    let mut words = vec![0; workers as usize];
    for document in documents {
        let is_done = words.iter_mut().min().expect("there is a worker");
        *is_done += document.len() as u64;
    }
    words.into_iter().max().unwrap_or(0)
}

/// Which worker goes through a document, and the document's length.
type Seen = (Option<usize>, u64);

fn seen(document: &Document) -> Seen {
    (rayon::current_thread_index(), document.len() as u64)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let pool = pool(case.point)?;
    let inputs = case.rotate(3, input);
    let counted = |side: fn(&[Document]) -> Vec<Seen>| {
        let (pool, inputs) = (pool.clone(), inputs.clone());
        move |i: usize| busiest(pool.install(|| side(&inputs[i].documents)))
    };
    let timed = |side: fn(&[Document]) -> Vec<u64>| {
        pooled(&pool, &inputs, move |input: &Input| side(&input.documents))
    };
    let free = inputs.clone();
    let by_turns = move |i: usize| {
        let Input { documents, workers } = &free[i];
        busiest_by_turns(documents, *workers)
    };
    let (naive_side, optimized_side, dealt_out_side) = (
        timed(|documents| naive(documents, |document| fingerprint(document))),
        timed(|documents| optimized(documents, |document| fingerprint(document))),
        timed(|documents| dealt_out(documents, |document| fingerprint(document))),
    );
    Ok(Trial::new(
        inputs.measured(|input| input.workers),
        naive_side.counting(LARGEST_SHARE, counted(|documents| naive(documents, seen))),
        optimized_side.counting(LARGEST_SHARE, by_turns),
    )
    .alternative(
        dealt_out_side.counting(LARGEST_SHARE, counted(|documents| dealt_out(documents, seen))),
    )
    .units(inputs[0].documents.iter().map(|document| document.len() as u64).sum()))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn documents(lengths: &[usize]) -> Vec<Document> {
        lengths.iter().map(|length| vec![7; *length]).collect()
    }

    #[test]
    fn known_answers() {
        let length = |document: &Document| document.len();
        for workers in [1, 2, 3, 8] {
            let pool = pool(workers).unwrap();
            for lengths in [&[][..], &[5], &[0, 9], &[3, 1, 4, 1, 5, 9, 2, 6]] {
                let documents = documents(lengths);
                pool.install(|| {
                    assert_eq!(naive(&documents, length), lengths);
                    assert_eq!(optimized(&documents, length), lengths);
                    assert_eq!(dealt_out(&documents, length), lengths);
                });
            }
        }
    }

    #[test]
    fn parts_are_equally_long_and_each_belongs_to_one_worker() {
        let pool = pool(3).unwrap();
        let documents = documents(&[1, 2, 3, 4, 5, 6, 7]);
        let workers = |seen: Vec<Seen>| -> Vec<Option<usize>> {
            seen.into_iter().map(|(worker, _)| worker).collect()
        };
        let parts = pool.install(|| naive(&documents, seen));
        assert_eq!(busiest(parts.clone()), 15);
        assert_eq!(workers(parts), [0, 0, 0, 1, 1, 1, 2].map(Some));
        let dealt = pool.install(|| dealt_out(&documents, seen));
        assert_eq!(busiest(dealt.clone()), 12);
        assert_eq!(workers(dealt), [0, 1, 2, 0, 1, 2, 0].map(Some));
        // 1 + 4 + 7, 2 + 5 and 3 + 6.
        assert_eq!(busiest_by_turns(&documents, 3), 12);
        assert_eq!(busiest_by_turns(&documents, 1), 28);
    }

    #[test]
    fn work_that_panics_ends_the_side_and_leaves_the_pool_in_order() {
        let pool = pool(2).unwrap();
        let documents = documents(&[1, 2, 3, 4, 5, 6, 7, 8]);
        type Side = fn(&[Document]) -> Vec<usize>;
        fn work(document: &Document) -> usize {
            assert_ne!(document.len(), 7, "it cannot be worked on");
            document.len()
        }
        let sides: [Side; 3] = [
            |documents| naive(documents, work),
            |documents| optimized(documents, work),
            |documents| dealt_out(documents, work),
        ];
        for side in sides {
            let run = |documents: &[Document]| pool.install(|| side(documents));
            assert!(catch_unwind(AssertUnwindSafe(|| run(&documents))).is_err());
            assert_eq!(run(&documents[..6]), [1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn trap_each_level_has_all_the_words() {
        for level in [GROWING, ZIPF, EVEN] {
            let lengths = lengths(&Case::realistic(2, level, 42));
            assert_eq!(lengths.len() as u64, DOCUMENTS);
            assert_eq!(lengths.iter().sum::<usize>() as u64, WORDS);
            assert!(lengths.into_iter().max() <= Some(longest(level) as usize));
        }
    }
}
