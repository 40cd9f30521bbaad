//! Hand tiny items to a pool: a chunk of them with each task, not one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use rayon::prelude::*;

use crate::fixtures::{
    fingerprint::{Document, fingerprint},
    pool::pool,
};
use worthit_pair::prelude::*;

/// Tasks that workers take.
const TASKS: Cause = Cause::new("tasks", "tasks").counted("with a closure that each task calls");

/// Documents in one iteration, a multiple of every point of the axis.
const DOCUMENTS: u64 = 16_384;
/// Words of a document, like a title.
const WORDS: u64 = 16;

pub const PAIR: Pair = Pair {
    title: "Spawn a task for a chunk of items",
    review: Review {
        smell: "`scope.spawn(…)`, `tokio::spawn(…)` or `pool.execute(…)` for each item of a list, where an item takes less \
                than a microsecond or so.",
        remedy: "`documents.chunks(per_task)`, with one `scope.spawn(…)` for each chunk; `chunks_mut(per_task)` has the \
                 places of its results. rayon's parallel iterators, the alternative, split a list into few tasks by \
                 themselves.",
        keep_naive_when: "An item takes far longer than to queue a task, or its time is unknown and may be long: then \
                          small tasks share out the work more evenly.",
        costs: "A number to choose: too long a chunk leaves workers idle at the end, so there should be several for \
                each worker. A chunk ends as late as its last item. An item that panics takes the rest of its chunk \
                with it.",
        lint: Lint::None,
    },
    naive: Side { summary: "a task for each document", growth: Growth::Constant },
    optimized: Side {
        summary: "a task for each chunk of documents",
        growth: Growth::Other("shrinks as 1/chunk until the documents themselves take the time"),
    },
    input: "16,384 short documents of 16 words each, whose fingerprints are computed: a hash for each word, one after another. \
            The pool is awake, and the thread that spawns the tasks is one of its workers. Lists of documents alternate.",
    axis: Axis {
        name: "documents per task",
        unit: "documents",
        is_size: false,
        points: Points::Fixed { default: &[2, 8, 128, 512], deep: &[] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "document",
    headline: Headline::AllCoresOf(128),
    alternatives: &[SideBeside { name: "par_iter", summary: "rayon chooses the chunks" }],
    causes: &[Claim {
        cause: TASKS,
        naive: Count::Exactly(|_| DOCUMENTS),
        optimized: Count::Exactly(|case| DOCUMENTS / case.point),
    }],
    explanation: Explanation {
        why: "A task is an allocation, an entry in a queue that other workers may take from, an atomic operation when it \
              begins and one when it ends, on a counter that all workers share. That costs more than the fingerprint of a \
              short document, with a single worker, too. n documents in a task pay it once. With more than one worker, \
              the counter and the ends of the queues move between cores at each task, so the tasks of all workers together \
              may take longer than those of one. In long chunks what remains are the fingerprints, which no chunk makes \
              quicker; so the gain stays far below the ratio of tasks. rayon's own chunks are as long as they can be, and \
              shorter only where a worker would be idle.",
        share_of_cause: ShareOfCause::Within(0.01, 0.5),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "a document takes as long as a task costs",
            reason: "it would be worth a task of its own",
            check: |inputs: &[Input]| {
                let longest = inputs.iter().flat_map(|i| &i.documents).map(Vec::len).max();
                ensure(longest <= Some(64), || format!("{longest:?} words"))
            },
            sprung: || vec![Input { documents: vec![vec![1; 10_000]; 100], per_task: 2 }],
        },
        &Trap {
            name: "few chunks",
            reason: "workers would be idle at the end, and long chunks would seem to be slow",
            check: |inputs: &[Input]| {
                let chunks = |input: &Input| input.documents.len() / input.per_task;
                let fewest = inputs.iter().map(chunks).min();
                ensure(fewest >= Some(32), || format!("{fewest:?} chunks"))
            },
            sprung: || vec![Input { documents: vec![vec![1; 16]; 100], per_task: 50 }],
        },
    ],
    limit: Limit::Work(&[Work::Hashes(|case| DOCUMENTS * WORDS / case.level)]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    documents: Vec<Document>,
    per_task: usize,
}

/// The fingerprint of each document. Each task calls `begin`. Call it on a worker of a rayon pool.
fn naive(documents: &[Document], begin: impl Fn() + Sync) -> Vec<u64> {
    let mut fingerprints = vec![0; documents.len()];
    let begin = &begin;
    rayon::scope(|scope| {
        for (document, place) in documents.iter().zip(&mut fingerprints) {
            scope.spawn(move |_| {
                begin();
                *place = fingerprint(document);
            });
        }
    });
    fingerprints
}

/// The fingerprint of each document. Each task calls `begin`. Call it on a worker of a rayon pool.
fn optimized(documents: &[Document], per_task: usize, begin: impl Fn() + Sync) -> Vec<u64> {
    let mut fingerprints = vec![0; documents.len()];
    let begin = &begin;
    rayon::scope(|scope| {
        let places = fingerprints.chunks_mut(per_task);
        for (documents, places) in documents.chunks(per_task).zip(places) {
            scope.spawn(move |_| {
                begin();
                for (document, place) in documents.iter().zip(places) {
                    *place = fingerprint(document);
                }
            });
        }
    });
    fingerprints
}

/// The fingerprint of each document. Call it on a worker of a rayon pool.
fn par_iter(documents: &[Document]) -> Vec<u64> {
    documents.par_iter().map(|document| fingerprint(document)).collect()
}

fn input(case: &Case) -> Input {
    let words = case.values(case.items(DOCUMENTS) * WORDS as usize);
    let documents = words.chunks(WORDS as usize).map(<[u64]>::to_vec).collect();
    Input { documents, per_task: case.point as usize }
}

/// Tasks of a side, given what each calls.
fn tasks(side: impl FnOnce(&(dyn Fn() + Sync))) -> u64 {
    let tasks = AtomicU64::new(0);
    side(&|| {
        tasks.fetch_add(1, Relaxed);
    });
    tasks.into_inner()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let pool = pool(case.level)?;
    let inputs = case.rotate(4, input);
    let (each, chunks) = (inputs.clone(), inputs.clone());
    let (pool_of_naive, pool_of_optimized) = (Arc::clone(&pool), Arc::clone(&pool));
    let count_of_naive = move |i: usize| {
        tasks(|begin| drop(pool_of_naive.install(|| naive(&each[i].documents, begin))))
    };
    let count_of_optimized = move |i: usize| {
        let Input { documents, per_task } = &chunks[i];
        tasks(|begin| drop(pool_of_optimized.install(|| optimized(documents, *per_task, begin))))
    };
    let naive_side = pooled(&pool, &inputs, |input: &Input| naive(&input.documents, || {}));
    let optimized_side =
        pooled(&pool, &inputs, |input: &Input| optimized(&input.documents, input.per_task, || {}));
    Ok(Trial::new(
        inputs.measured(|input| input.per_task as u64),
        naive_side.counting(TASKS, count_of_naive),
        optimized_side.counting(TASKS, count_of_optimized),
    )
    .alternative(pooled(&pool, &inputs, |input: &Input| par_iter(&input.documents)))
    .units(inputs[0].documents.len() as u64))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn known_answers() {
        let pool = pool(3).unwrap();
        let documents = [vec![1, 2], vec![], vec![3], vec![4], vec![5, 6, 7]];
        let expected: Vec<u64> = documents.iter().map(|document| fingerprint(document)).collect();
        pool.install(|| {
            assert_eq!(naive(&documents, || {}), expected);
            for per_task in [1, 2, 5, 100] {
                assert_eq!(optimized(&documents, per_task, || {}), expected);
            }
            assert_eq!(par_iter(&documents), expected);
            let none = [naive(&[], || {}), optimized(&[], 7, || {}), par_iter(&[])];
            assert!(none.iter().all(Vec::is_empty));
        });
    }

    #[test]
    fn a_chunk_is_one_task() {
        let pool = pool(2).unwrap();
        let documents = vec![vec![1]; 10];
        assert_eq!(tasks(|begin| drop(pool.install(|| naive(&documents, begin)))), 10);
        for (per_task, expected) in [(1, 10), (3, 4), (10, 1), (11, 1)] {
            let side = |begin: &(dyn Fn() + Sync)| {
                drop(pool.install(|| optimized(&documents, per_task, begin)));
            };
            assert_eq!(tasks(side), expected);
        }
    }

    #[test]
    fn a_task_that_panics_ends_the_side_and_leaves_the_pool_in_order() {
        let pool = pool(2).unwrap();
        let documents = vec![vec![1]; 100];
        let panicking = || panic!("a task cannot begin");
        for per_task in [None, Some(10)] {
            let side = || match per_task {
                None => naive(&documents, panicking),
                Some(per_task) => optimized(&documents, per_task, panicking),
            };
            assert!(catch_unwind(AssertUnwindSafe(|| pool.install(side))).is_err());
        }
        assert_eq!(pool.install(|| naive(&documents, || {})).len(), 100);
    }

    #[test]
    fn trap_every_chunk_is_full() {
        let points = PAIR.axis.points.default_points();
        assert!(points.into_iter().all(|point| DOCUMENTS.is_multiple_of(point)));
    }
}
