//! Counters of what all threads do: in each thread, and added up once, not shared for each event.

use std::{
    collections::HashSet,
    sync::atomic::{
        AtomicU64,
        Ordering::{self, Relaxed},
    },
};

use crossbeam_utils::CachePadded;
use rand::RngExt;

use worthit_pair::prelude::*;

/// Atomic additions to counters that other threads add to as well.
const SHARED_ADDITIONS: Cause =
    Cause::new("shared_additions", "atomic additions to shared counters")
        .counted("with counters that note each addition");

/// Lines in one iteration, of all threads together.
const LINES: u64 = 32_768;
/// Logs in the rotation.
const TURNS: u64 = 4;
/// Classes of status: 1xx to 5xx.
const CLASSES: usize = 5;

pub const PAIR: Pair = Pair {
    title: "Count in each thread, and add up once",
    review: Review {
        smell: "`shared.requests.fetch_add(1, Relaxed)` in a loop that several threads run, once or more for each event.",
        remedy: "Count in variables of the thread (`let mut local = Totals::default();`), and `fetch_add` each of them \
                 to the shared totals when the thread has done its share.",
        keep_naive_when: "Somebody must read exact totals while the threads work. (If a total that lags a little will \
                          do, hand in the local counts every so often, or give each thread a padded slot that only it \
                          writes, as the alternative does.) Or events are rare, or take so long that an addition does \
                          not show. Or a single thread counts.",
        costs: "Until a thread hands in, its counts are in no total; and if it panics or is cancelled before, they are \
                lost, unless a `Drop` hands them in.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "one AtomicU64 for all threads",
        growth: Growth::Other("grows: threads fetch one line from each other"),
    },
    optimized: Side {
        summary: "a struct of u64 in each thread, added up at the end",
        growth: Growth::Other("shrinks as 1/threads"),
    },
    input: "Access logs of 32,768 lines, split evenly among the threads. A thread finds the status and the size in each \
            of its lines, counts the line under the class of its status and adds the size to a total: two additions a \
            line. Most lines are answers of 200, the others come at random places. Logs alternate.",
    axis: Axis { name: "threads", unit: "threads", is_size: false, points: Points::Threads },
    unit: "line",
    headline: Headline::AllCoresAt(""),
    alternatives: &[SideBeside {
        name: "padded_slots",
        summary: "a padded slot for each thread, which others may read at any time",
    }],
    causes: &[Claim {
        cause: SHARED_ADDITIONS,
        naive: Count::Exactly(|_| 2 * LINES),
        optimized: Count::Exactly(|case| (CLASSES as u64 + 1) * case.point),
    }],
    explanation: Explanation {
        why: "Only one core at a time can write the line of the shared counters. An atomic addition waits until the \
              line has come from the core that wrote it last, and what follows in the thread waits for the addition. So \
              the threads queue for that line, however little they do with it, and with it the work that has nothing to \
              share. Local counters are in registers or in the nearest cache, and the few additions at the end do not \
              show. What is left is the work on the lines themselves, which is the same on both sides. With one thread \
              the line stays where it is, and an addition costs only what an atomic operation does.",
        share_of_cause: ShareOfCause::NoRatio(
            "next to no additions are left, and the time that remains is the work on the lines, which both sides do",
        ),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "one thread has nearly all lines",
            reason: "the counters would stay in its cache, shared or not",
            check: |inputs: &[Vec<String>]| {
                let is_uneven = |parts: &Vec<String>| {
                    let lines = |part: &String| part.lines().count();
                    let fair = parts.iter().map(lines).sum::<usize>() / parts.len();
                    parts.iter().any(|part| lines(part).abs_diff(fair) > 1)
                };
                ensure(!inputs.iter().any(is_uneven), || "lines are split unevenly".to_owned())
            },
            sprung: || vec![vec!["a 200 1\n".repeat(100), String::new()]],
        },
        &Trap {
            name: "lines without a status",
            reason: "nothing would be counted, and no side would write a counter",
            check: |inputs: &[Vec<String>]| {
                let lines = || inputs.iter().flatten().flat_map(|part| part.lines());
                let counted = lines().filter_map(parse);
                let (mut classes, mut count) = (HashSet::new(), 0);
                for (class, _) in counted {
                    classes.insert(class);
                    count += 1;
                }
                ensure(count == lines().count() && classes.len() > 2, || {
                    format!("{count} lines of {} classes", classes.len())
                })
            },
            sprung: || vec![vec!["GET /\n".repeat(100); 2]],
        },
    ],
    // Each thread must at least read its lines.
    limit: Limit::None(
        "what remains is to find two fields in each line, and no machine number bounds that",
    ),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// What a side needs of a counter, so that one that notes its additions can stand in.
trait Counter {
    fn fetch_add(&self, amount: u64, order: Ordering) -> u64;
}

impl Counter for AtomicU64 {
    #[inline]
    fn fetch_add(&self, amount: u64, order: Ordering) -> u64 {
        AtomicU64::fetch_add(self, amount, order)
    }
}

/// A counter that notes each addition.
#[derive(Default)]
struct Noted(AtomicU64);

impl Counter for Noted {
    fn fetch_add(&self, amount: u64, order: Ordering) -> u64 {
        note();
        self.0.fetch_add(amount, order)
    }
}

/// What is known of all lines: how many there are of each class, and the bytes of all answers.
#[derive(Default)]
struct Totals<C> {
    requests: [C; CLASSES],
    bytes: C,
}

/// Counts the lines of a log, to totals that other threads add to as well.
fn naive<C: Counter>(totals: &Totals<C>, log: &str) {
    for (class, bytes) in log.lines().filter_map(parse) {
        totals.requests[class].fetch_add(1, Relaxed);
        totals.bytes.fetch_add(bytes, Relaxed);
    }
}

/// Counts the lines of a log, to totals that other threads add to as well.
fn optimized<C: Counter>(totals: &Totals<C>, log: &str) {
    let mut local = Totals::default();
    for (class, bytes) in log.lines().filter_map(parse) {
        local.requests[class] += 1;
        local.bytes += bytes;
    }
    for (total, requests) in totals.requests.iter().zip(local.requests) {
        total.fetch_add(requests, Relaxed);
    }
    totals.bytes.fetch_add(local.bytes, Relaxed);
}

/// Counts the lines of a log to the slot of this thread, which others may read meanwhile. Nobody else writes it, so it
/// takes no atomic addition.
fn padded_slots(slot: &Totals<AtomicU64>, log: &str) {
    let add = |counter: &AtomicU64, amount| counter.store(counter.load(Relaxed) + amount, Relaxed);
    for (class, bytes) in log.lines().filter_map(parse) {
        add(&slot.requests[class], 1);
        add(&slot.bytes, bytes);
    }
}

/// The class of the status and the size, which are the last two words of a line; `None` if they are not.
fn parse(line: &str) -> Option<(usize, u64)> {
    let (rest, bytes) = line.rsplit_once(' ')?;
    let (_, status) = rest.rsplit_once(' ')?;
    let class = usize::from(status.bytes().next()?.checked_sub(b'1')?);
    let bytes: u32 = bytes.parse().ok()?;
    (class < CLASSES).then_some((class, u64::from(bytes)))
}

fn sums(totals: &Totals<AtomicU64>) -> [u64; CLASSES + 1] {
    let counters = || totals.requests.iter().chain([&totals.bytes]);
    let mut counters = counters().map(|counter| counter.load(Relaxed));
    std::array::from_fn(|_| counters.next().expect("there are as many counters"))
}

/// A log for each thread. Timed lines are in the common log format; the others have the shape's values for words, and
/// some have no status or no size.
fn input(case: &Case) -> Vec<String> {
    let values = case.values(case.items(LINES));
    let mut rng = case.rng("lines");
    let mut line = |value: u64| match case.shape {
        Shape::Realistic => {
            let status = match rng.random_range(0..100) {
                0..80 => 200,
                80..92 => 304,
                92..98 => 404,
                _ => 500,
            };
            let (client, order, second) = (value as u8, value >> 40, value >> 8 & 31);
            let bytes = value >> 16 & 0xffff;
            let at = format!("[14/Mar/2026:09:26:{second:02} +0000]");
            let request = format!("\"GET /orders/{order} HTTP/1.1\"");
            format!("10.3.77.{client} - - {at} {request} {status} {bytes}\n")
        }
        _ => match value % 5 {
            0 => format!("GET {value}\n"),
            1 => "\n".to_owned(),
            2 => format!("GET / {} {value}\n", value % 1_000),
            _ => format!("GET / {} {}\n", value % 1_000, value as u32),
        },
    };
    let threads = case.point as usize;
    let bound = |thread: usize| values.len() * thread / threads;
    let mut part = |thread| {
        values[bound(thread)..bound(thread + 1)].iter().map(|value| line(*value)).collect()
    };
    (0..threads).map(&mut part).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let threads = case.point as usize;
    let inputs = case.rotate(TURNS, input);
    let shared = |side: fn(&Totals<AtomicU64>, &str), noted: fn(&Totals<Noted>, &str)| {
        let work = move |totals: &_, logs: &Vec<String>, thread: usize| side(totals, &logs[thread]);
        contended(threads, &inputs, Totals::default, work, sums).counting(
            SHARED_ADDITIONS,
            noting(&inputs, move |logs: &Vec<String>| {
                let totals = Totals::default();
                logs.iter().for_each(|log| noted(&totals, log));
            }),
        )
    };
    let padded_slots = contended(
        threads,
        &inputs,
        move || -> Vec<CachePadded<Totals<AtomicU64>>> {
            (0..threads).map(|_| CachePadded::default()).collect()
        },
        |slots, logs: &Vec<String>, thread| padded_slots(&slots[thread], &logs[thread]),
        |slots| {
            let add = |sum: [u64; CLASSES + 1], slot: &CachePadded<_>| {
                let of_slot = sums(slot);
                std::array::from_fn(|i| sum[i] + of_slot[i])
            };
            slots.iter().fold([0; CLASSES + 1], add)
        },
    );
    let units = inputs[0].iter().map(|log| log.lines().count() as u64).sum();
    let (naive, optimized) = (shared(naive, naive), shared(optimized, optimized));
    let measured = inputs.measured(|logs| logs.len() as u64);
    Ok(Trial::new(measured, naive, optimized).alternative(padded_slots).units(units))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LOG: &str = "a - \"GET / HTTP/1.1\" 200 4294967295\nb 404 1\r\n\nc 200 5\nd 600 7\ne 200 x\nf 0 9\n 500 0";

    #[test]
    fn known_answers() {
        let sides: [fn(&Totals<AtomicU64>, &str); 3] = [naive, optimized, padded_slots];
        for side in sides {
            let totals = Totals::default();
            side(&totals, LOG);
            side(&totals, "");
            assert_eq!(sums(&totals), [0, 2, 0, 1, 1, 4_294_967_301]);
        }
        assert_eq!(parse("GET /a b HTTP/1.1 301 17"), Some((2, 17)));
        assert_eq!(parse("301 17"), None);
    }

    #[test]
    fn no_addition_of_any_thread_is_lost() {
        let sides: [fn(&Totals<AtomicU64>, &str); 2] = [naive, optimized];
        for side in sides {
            let totals = Totals::default();
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| (0..100).for_each(|_| side(&totals, LOG)));
                }
            });
            assert_eq!(sums(&totals), [0, 1_600, 0, 800, 800, 800 * 4_294_967_301]);
        }
    }

    #[test]
    fn trap_slots_of_the_alternative_share_no_line() {
        // Two on one line would be fetched from core to core, although each is written by one thread alone.
        assert_eq!(size_of::<CachePadded<Totals<AtomicU64>>>() % 128, 0);
        assert_eq!(align_of::<CachePadded<Totals<AtomicU64>>>() % 64, 0);
    }
}
