//! One counter per thread, each on a cache line of its own.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crossbeam_utils::CachePadded;

use worthit_pair::prelude::*;

/// Counters in use on the 64-byte line that holds the most, counted from their addresses.
const SHARING_A_LINE: Cause = Cause::new("counters_on_a_line", "counters on one cache line")
    .modelled("from the addresses of the counters");

/// Events handled in one iteration, by all threads together.
const EVENTS: u64 = 16_384;

pub const PAIR: Pair = Pair {
    title: "Give each thread's counter a cache line of its own",
    review: Review {
        smell: "`Vec<AtomicU64>`, `[AtomicU64; N]` or neighbouring fields of one struct, where a different thread \
                writes each element, for every event. No two threads write the same counter, yet they wait for \
                each other, because the counters share a cache line (false sharing).",
        remedy: "A list of `CachePadded<AtomicU64>`, of the crossbeam-utils crate. It pads to 128 bytes on x86-64, \
                 because the prefetcher fetches lines in pairs, and to what each other architecture needs.",
        keep_naive_when: "The counters are written rarely. Or each thread adds up in a local variable and stores \
                          it once at the end, which is better than either side where nobody must read the counters \
                          meanwhile. Or the threads are hyper-threads of one core, which share its first-level \
                          cache: padding changes nothing between them.",
        costs: "128 bytes per counter instead of 8. Summing the counters reads one line for each.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "adjacent AtomicU64",
        growth: Growth::Other("grows: up to eight threads write one line"),
    },
    optimized: Side {
        summary: "CachePadded<AtomicU64>",
        growth: Growth::Other("shrinks as 1/threads"),
    },
    input: "16,384 events, split evenly among the threads. Each thread adds the sizes of its events to its own \
            counter, one after another, and does nothing else between two additions, so the lines of the \
            counters are always in demand.",
    axis: Axis { name: "threads", unit: "threads", is_size: false, points: Points::Threads },
    unit: "event",
    headline: Headline::AllCoresAt(""),
    causes: &[Claim {
        cause: SHARING_A_LINE,
        naive: Count::Exactly(|case| case.point.min(8)),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: Explanation {
        why: "Only one core at a time can write a line. Where t counters share it, each addition by a different core \
              than the last must first fetch the line from there, which costs as much as several additions in the \
              local cache; and the t threads take turns where they should run at once. So the gain is what fetching \
              costs on top of the number of threads, unless one thread does many additions before it loses the line. \
              With one thread nothing is shared and both sides are alike. Each thread stays on a logical core of its \
              own; where two of these are hyper-threads of one core, their counting shows no effect.",
        share_of_cause: ShareOfCause::NoRatio(
            "it says how many threads take turns, and not what fetching the line from another core costs",
        ),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "one thread counts nearly all events",
        reason: "it would have the line to itself, shared or not",
        check: |inputs: &[Vec<Vec<u32>>]| {
            let uneven = |parts: &&Vec<Vec<u32>>| {
                let fair = parts.iter().map(Vec::len).sum::<usize>() / parts.len();
                parts.iter().any(|part| part.len().abs_diff(fair) > 1)
            };
            ensure(!inputs.iter().any(|parts| uneven(&parts)), || {
                "events are split unevenly".to_owned()
            })
        },
        sprung: || vec![vec![vec![1; 100], vec![]]],
    }],
    limit: Limit::Work(&[Work::Atomics(|case| EVENTS / case.point)]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Adds the bytes of each of this worker's events to its counter, which others may read meanwhile.
fn naive(counters: &[AtomicU64], worker: usize, events: &[u32]) {
    for bytes in events {
        counters[worker].fetch_add(u64::from(*bytes), Relaxed);
    }
}

/// Adds the bytes of each of this worker's events to its counter, which others may read meanwhile.
fn optimized(counters: &[CachePadded<AtomicU64>], worker: usize, events: &[u32]) {
    for bytes in events {
        counters[worker].fetch_add(u64::from(*bytes), Relaxed);
    }
}

/// Adjacent counters that start at a line boundary, so that the count repeats. The allocator returns any
/// multiple of 16, so that eight counters would lie on one line or on two by chance.
struct Adjacent {
    memory: Vec<AtomicU64>,
    first: usize,
    threads: usize,
}

impl Adjacent {
    fn new(threads: usize) -> Adjacent {
        let memory: Vec<AtomicU64> = (0..threads + 7).map(|_| AtomicU64::new(0)).collect();
        let first = memory.as_ptr().align_offset(64);
        Adjacent { memory, first, threads }
    }

    fn counters(&self) -> &[AtomicU64] {
        &self.memory[self.first..][..self.threads]
    }
}

fn padded(threads: usize) -> Vec<CachePadded<AtomicU64>> {
    (0..threads).map(|_| CachePadded::new(AtomicU64::new(0))).collect()
}

/// Number of these counters on the 64-byte line that holds the most.
fn most_on_a_line<'a>(counters: impl Iterator<Item = &'a AtomicU64>) -> u64 {
    let mut lines = HashMap::new();
    for counter in counters {
        *lines.entry(std::ptr::from_ref(counter).addr() / 64).or_insert(0) += 1;
    }
    lines.into_values().max().unwrap_or(0)
}

/// The events of each thread: sizes of responses, uniform up to 64 KiB. The value added does not change the cost of
/// adding it.
fn input(case: &Case) -> Vec<Vec<u32>> {
    let values = case.values(case.items(EVENTS));
    let threads = case.point as usize;
    let size = |value: &u64| match case.shape {
        Shape::Realistic => (value % 65_536) as u32,
        _ => *value as u32,
    };
    let bound = |thread: usize| values.len() * thread / threads;
    let part = |thread| values[bound(thread)..bound(thread + 1)].iter().map(size).collect();
    (0..threads).map(part).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let threads = case.point as usize;
    let inputs = case.rotate(4, input);
    let naive = contended(
        threads,
        &inputs,
        move || Adjacent::new(threads),
        |state, parts, worker| naive(state.counters(), worker, &parts[worker]),
        |state| state.counters().iter().map(|counter| counter.load(Relaxed)).collect::<Vec<_>>(),
    );
    let optimized = contended(
        threads,
        &inputs,
        move || padded(threads),
        |state, parts, worker| optimized(state, worker, &parts[worker]),
        |state| state.iter().map(|counter| counter.load(Relaxed)).collect::<Vec<_>>(),
    );
    let adjacent = move |_| most_on_a_line(Adjacent::new(threads).counters().iter());
    let apart = move |_| most_on_a_line(padded(threads).iter().map(|counter| &**counter));
    Ok(Trial::new(
        inputs.measured(|parts| parts.len() as u64),
        naive.counting(SHARING_A_LINE, adjacent),
        optimized.counting(SHARING_A_LINE, apart),
    )
    .units(inputs[0].iter().map(|part| part.len() as u64).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let (adjacent, padded) = (Adjacent::new(2), padded(2));
        for (worker, events) in [(0, &[1, 2][..]), (1, &[u32::MAX, 1]), (0, &[3])] {
            naive(adjacent.counters(), worker, events);
            optimized(&padded, worker, events);
        }
        for (worker, sum) in [(0, 6), (1, 1 << 32)] {
            assert_eq!(adjacent.counters()[worker].load(Relaxed), sum);
            assert_eq!(padded[worker].load(Relaxed), sum);
        }
    }

    #[test]
    fn every_event_belongs_to_one_worker() {
        for threads in [1, 2, 3, 64, 200] {
            let case = Case { proof_size: Some(101), ..Case::realistic(threads, 0, 1) };
            let sizes = case.values(101).into_iter().map(|value| (value % 65_536) as u32);
            assert!(input(&case).into_iter().flatten().eq(sizes));
        }
    }

    #[test]
    fn trap_the_naive_counters_really_share_lines() {
        // If each were on its own line, or the padded ones shared one, the pair would show nothing.
        for threads in [1, 2, 3, 8, 9, 64] {
            let adjacent = Adjacent::new(threads);
            assert_eq!(most_on_a_line(adjacent.counters().iter()), threads.min(8) as u64);
            let padded = padded(threads);
            assert_eq!(most_on_a_line(padded.iter().map(|counter| &**counter)), 1);
        }
    }
}
