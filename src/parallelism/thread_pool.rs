//! Run short tasks on threads that are there already, not on a new thread for each.

use std::{
    collections::HashSet,
    sync::Arc,
    thread::{self, ThreadId},
};

use crate::fixtures::{
    fingerprint::{Document, fingerprint},
    pool::pool,
};
use worthit_pair::prelude::*;

/// Threads that did not exist before.
const THREADS_MADE: Cause = Cause::new("threads_made", "threads made")
    .counted("with a task that looks at the thread it runs on");

/// Tasks in one iteration.
const TASKS: u64 = 32;

pub const PAIR: Pair = Pair {
    title: "Run tasks on a pool of threads",
    review: Review {
        smell: "`thread::spawn(…)` for each request, file or job, or `scope.spawn(…)` of `thread::scope` for each item of a \
                list, where a task takes less than a millisecond or so.",
        remedy: "`rayon::scope(|scope| …)`, with one `scope.spawn(|_| …)` for each task: it takes the same closures as a \
                 scope of threads, and the workers of the pool are there already.",
        keep_naive_when: "There are few threads, and each lives long: a server's loop, a writer, a timer. Or tasks \
                          block: a blocked task occupies one of the pool's few workers (use threads, or tokio's \
                          `spawn_blocking`). Or each task takes so long that the cost of starting a thread does not \
                          matter.",
        costs: "A dependency. Tasks queue when all workers are busy, and a task that waits for another one in the same \
                pool may wait for ever. A panic, a thread-local variable or a priority stays behind for the next task. \
                The workers stay when nobody needs them.",
        lint: Lint::None,
    },
    naive: Side { summary: "a thread for each task", growth: Growth::Linear },
    optimized: Side { summary: "rayon::scope on a pool", growth: Growth::Linear },
    input: "32 tasks at a time, each the fingerprint of a document of the stated length, a hash for each word; all results are \
            collected. With one thread, the pool has a single worker, while the threads of the naive side run on \
            all cores. The pool is awake, and the caller is one of its workers. Lists of documents alternate.",
    axis: Axis {
        name: "words per task",
        unit: "words",
        is_size: true,
        points: Points::Fixed { default: &[100, 1_000, 10_000, 40_000], deep: &[150_000] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "task",
    headline: Headline::AllCoresOf(10_000),
    causes: &[Claim {
        cause: THREADS_MADE,
        naive: Count::Exactly(|_| TASKS),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "To make a thread, the kernel copies the description of the process, maps a stack, puts the thread into a run \
              queue and wakes a core; its first steps fault in its stack; and when it ends, all that is undone and the one \
              that joins it is woken. That takes as long as several thousand hashes, for each task. A worker of the pool takes \
              the next task from a queue in memory. What is saved is the same for short and long tasks, so the gain fades as \
              tasks grow. With fewer workers than cores the pool loses on long tasks what it leaves idle.",
        share_of_cause: ShareOfCause::NoRatio("the pool makes no thread"),
        far_end: FarEnd::Falls("the work of a task, which both sides do"),
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "tasks differ in length",
        reason: "the longest would decide, and who starts it last, rather than what starting costs",
        check: |inputs: &[Vec<Document>]| {
            let lengths: HashSet<usize> = inputs.iter().flatten().map(Vec::len).collect();
            ensure(lengths.len() == 1, || format!("lengths of {lengths:?}"))
        },
        sprung: || vec![vec![vec![1; 10], vec![1; 10_000]]],
    }],
    limit: Limit::Work(&[Work::Hashes(|case| TASKS * case.point / case.level.min(TASKS))]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Runs `task` on each document, and returns the results in order.
fn naive<T: Send>(documents: &[Document], task: impl Fn(&Document) -> T + Sync) -> Vec<T> {
    let task = &task;
    let mut results: Vec<Option<T>> = documents.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for (document, result) in documents.iter().zip(&mut results) {
            scope.spawn(move || *result = Some(task(document)));
        }
    });
    results.into_iter().flatten().collect()
}

/// Runs `task` on each document, and returns the results in order. Call it on a worker of a rayon pool.
fn optimized<T: Send>(documents: &[Document], task: impl Fn(&Document) -> T + Sync) -> Vec<T> {
    let task = &task;
    let mut results: Vec<Option<T>> = documents.iter().map(|_| None).collect();
    rayon::scope(|scope| {
        for (document, result) in documents.iter().zip(&mut results) {
            scope.spawn(move |_| *result = Some(task(document)));
        }
    });
    results.into_iter().flatten().collect()
}

fn input(case: &Case) -> Vec<Document> {
    let document = |nth| {
        // Each task has words of its own.
        let case = Case { turn: case.turn * TASKS + nth, ..case.clone() };
        case.values(case.point as usize)
    };
    (0..TASKS).map(document).collect()
}

/// The thread that a task runs on, if it is none of a pool's workers, which are there before.
fn new_thread(_: &Document) -> Option<ThreadId> {
    rayon::current_thread_index().is_none().then(|| thread::current().id())
}

fn made(threads: Vec<Option<ThreadId>>) -> u64 {
    threads.into_iter().flatten().collect::<HashSet<ThreadId>>().len() as u64
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let pool = pool(case.level)?;
    let inputs = case.rotate(2.max(4_096 / (TASKS * case.point.max(1))), input);
    let (each, shared, workers) = (inputs.clone(), inputs.clone(), Arc::clone(&pool));
    let documents = inputs.clone();
    // Says that threads run on all cores.
    let naive_side = on_first_use(logical_cores().min(TASKS) as usize, move || {
        let task = |document: &Document| fingerprint(document);
        Ok(by_ref(&documents, move |documents: &Vec<Document>| naive(documents, task)))
    });
    let optimized_side = pooled(&pool, &inputs, |documents: &Vec<Document>| {
        optimized(documents, |document| fingerprint(document))
    });
    Ok(Trial::new(
        inputs.measured(|documents| documents[0].len() as u64),
        naive_side.counting(THREADS_MADE, move |i| made(naive(&each[i], new_thread))),
        optimized_side.counting(THREADS_MADE, move |i| {
            made(workers.install(|| optimized(&shared[i], new_thread)))
        }),
    )
    .units(TASKS))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn known_answers() {
        let pool = pool(2).unwrap();
        let length = |document: &Document| document.len();
        for lengths in [&[][..], &[4], &[3, 0, 2, 1]] {
            let documents: Vec<Document> = lengths.iter().map(|length| vec![1; *length]).collect();
            assert_eq!(naive(&documents, length), lengths);
            assert_eq!(pool.install(|| optimized(&documents, length)), lengths);
        }
    }

    #[test]
    fn a_task_that_panics_ends_the_side_and_no_other_waits_for_it() {
        let pool = pool(2).unwrap();
        let documents: Vec<Document> = (0..10).map(|length| vec![1; length]).collect();
        let task = |document: &Document| assert_ne!(document.len(), 5, "it cannot be worked on");
        let on_pool = || pool.install(|| optimized(&documents, task));
        assert!(catch_unwind(AssertUnwindSafe(|| naive(&documents, task))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(on_pool)).is_err());
        assert_eq!(pool.install(|| optimized(&documents[..5], task)).len(), 5);
    }
}
