//! One counter per thread, each on a cache line of its own.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
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
        remedy: "`Vec<CachePadded<AtomicU64>>` with `crossbeam_utils::CachePadded`. It pads to 128 bytes on \
                 x86-64, because the prefetcher fetches lines in pairs, and to what each other architecture needs.",
        keep_naive_when: "The counters are written rarely. Or each thread adds up in a local variable and stores \
                          it once at the end, which is better than either side where nobody must read the counters \
                          meanwhile. Or the threads are hyper-threads of one core, which share its first-level \
                          cache: padding changes nothing between them.",
        costs: "128 bytes per counter instead of 8. Summing the counters reads one line for each.",
        lint: None,
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
    causes: &[Claim {
        cause: SHARING_A_LINE,
        naive: Count::Exactly(|case| case.point.min(8)),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: "Only one core at a time can write a line. Where t counters share it, each addition by a \
                  different core than the last must first fetch the line from there, which costs as much as \
                  several additions in the local cache; and the t threads take turns where they should run at \
                  once. So the gain is that fetch on top of the ratio of counters, unless one thread does many \
                  additions before it loses the line. With one thread nothing is shared and both sides are alike. \
                  Threads are not pinned: while two of them run on one core (or on its two hyper-threads), their \
                  counting shows no effect.",
    limit: Limit::None(
        "one addition in the local cache for each event; no machine number covers it",
    ),
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

/// Sizes of responses, uniform up to 64 KiB. The value added does not change the cost of adding it.
fn input(case: &Case) -> Vec<u32> {
    let values = case.values(case.items(EVENTS));
    match case.shape {
        Shape::Realistic => values.into_iter().map(|value| (value % 65_536) as u32).collect(),
        _ => values.into_iter().map(|value| value as u32).collect(),
    }
}

/// The events of one worker out of `threads`. Together the workers have each event once.
fn part(events: &[u32], worker: usize, threads: usize) -> &[u32] {
    let bound = |worker: usize| events.len() * worker / threads;
    &events[bound(worker)..bound(worker + 1)]
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let threads = case.point as usize;
    let events = Arc::new(input(case));
    let units = events.len() as u64;
    let naive_events = Arc::clone(&events);
    let naive = contended(
        threads,
        move || Adjacent::new(threads),
        move |state, worker| naive(state.counters(), worker, part(&naive_events, worker, threads)),
        |state| state.counters().iter().map(|counter| counter.load(Relaxed)).collect::<Vec<_>>(),
    );
    let optimized = contended(
        threads,
        move || padded(threads),
        move |state, worker| optimized(state, worker, part(&events, worker, threads)),
        |state| state.iter().map(|counter| counter.load(Relaxed)).collect::<Vec<_>>(),
    );
    let trial = Trial::new(naive.threads() as u64, naive, optimized);
    Ok(trial.units(units).counting(move |role, counts| {
        let sharing = match role {
            Role::Naive => most_on_a_line(Adjacent::new(threads).counters().iter()),
            _ => most_on_a_line(padded(threads).iter().map(|counter| &**counter)),
        };
        counts.set(SHARING_A_LINE, sharing);
    }))
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
        let events: Vec<u32> = (0..101).collect();
        for threads in [1, 2, 3, 64, 200] {
            let parts = (0..threads).flat_map(|worker| part(&events, worker, threads));
            assert!(parts.eq(&events));
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

    #[test]
    fn trap_no_counter_itself_is_shared() {
        // Contention for one counter is another technique. Here each worker has its own sum.
        let mut trial = prepare(&Case::realistic(4, 0, 1)).unwrap();
        trial.verify().unwrap();
        let events = input(&Case::realistic(4, 0, 1));
        let adjacent = Adjacent::new(4);
        naive(adjacent.counters(), 2, part(&events, 2, 4));
        let sums: Vec<u64> = adjacent.counters().iter().map(|c| c.load(Relaxed)).collect();
        let sum: u64 = part(&events, 2, 4).iter().map(|bytes| u64::from(*bytes)).sum();
        assert_eq!(sums, [0, 0, sum, 0]);
    }
}
