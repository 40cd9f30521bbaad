//! Compare many deadlines with the time: read the clock once for all of them, not once for each.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use rand::{RngExt, seq::SliceRandom};

use worthit_pair::prelude::*;

const CLOCK_READS: Cause =
    Cause::new("clock_reads", "clock reads").counted("with a clock that counts its reads");

pub const PAIR: Pair = Pair {
    title: "Read the clock once for a batch",
    review: Review {
        smell: "`sessions.iter().filter(|session| session.expires_at > Instant::now())`, or a call in a loop that \
                hides the read: `session.last_seen.elapsed()`, `session.is_expired()`, a time stamp for each record \
                of a batch.",
        remedy: "`let now = now();` before the loop, where `now` is `Instant::now`, and compare with that. Functions \
                 that ask for the time take it as an argument, which also makes them easy to test.",
        keep_naive_when: "The work for each item takes so long that the time of the first is wrong for the last: an \
                          item that waits for a disk or a network. Or the time of each item is the point, as in a \
                          measurement of latencies. Or most batches hold one item.",
        costs: "A deadline that passes while the batch is worked through is seen in the next batch. All items of a \
                batch bear the same time, so nothing else may rely on their times to tell their order.",
        lint: Lint::None,
    },
    naive: Side { summary: "Instant::now for each item", growth: Growth::Linear },
    optimized: Side { summary: "Instant::now for the batch", growth: Growth::Linear },
    input: "Sessions of which about nine in ten are still live, in no order. The sides list the live ones, as a server \
            does before it sends a message to all. Live ones have a day or more left and the others have expired \
            before, so the answer does not depend on when it is computed. The clock is the system's monotonic one. \
            Lists alternate.",
    axis: Axis {
        name: "sessions",
        unit: "sessions",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 10, 100, 1_000, 10_000], deep: &[300_000] },
    },
    unit: "session",
    headline: Headline::At { level: "", point: 1_000 },
    causes: &[Claim {
        cause: CLOCK_READS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: Explanation {
        why: "A read of the clock is cheap on a usual machine: the C library reads the processor's counter and scales it \
              with what the kernel has left in a page that both share (the vDSO), without a system call. But it waits \
              until the instructions before it are done, and costs far more than a comparison with a time that is known. \
              What is left is the list of live sessions, so the gain is far below the ratio of reads. A virtual machine \
              without a usable counter makes a system call for each read, and the gain is higher there. The batch stays \
              below its limit, because each session is tested by itself, and a branch depends on the outcome.",
        share_of_cause: ShareOfCause::Within(0.002, 0.5),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "a deadline passes while it is measured",
            reason: "the sides would differ, and the answer would depend on the load of the machine",
            check: |inputs: &[Vec<Session>]| {
                let now = Instant::now();
                let left = |session: &Session| session.expires_at.checked_duration_since(now);
                let soon = inputs.iter().flatten().filter_map(left);
                let soon = soon.filter(|left| *left < Duration::from_secs(3_600)).count();
                ensure(soon == 0, || format!("{soon} sessions expire within an hour"))
            },
            sprung: || {
                vec![vec![Session { id: 1, expires_at: Instant::now() + Duration::from_secs(60) }]]
            },
        },
        &Trap {
            name: "the processor knows which sessions are live",
            reason: "the comparison would be free on the optimized side, as if all were live",
            check: |inputs: &[Vec<Session>]| {
                let now = Instant::now();
                let is_live = |session: &Session| session.expires_at > now;
                let patterns: HashSet<Vec<bool>> =
                    inputs.iter().map(|sessions| sessions.iter().map(is_live).collect()).collect();
                let sessions = || inputs.iter().flatten();
                let dead = sessions().filter(|session| !is_live(session)).count();
                let all = sessions().count();
                ensure(dead * 20 > all && patterns.len() > 1, || {
                    format!("{dead} of {all} have expired, {} patterns", patterns.len())
                })
            },
            sprung: || {
                let expires_at = Instant::now() + Duration::from_secs(86_400);
                vec![vec![Session { id: 1, expires_at }; 1_000]; 8]
            },
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.point * (size_of::<Session>() + size_of::<u32>()) as u64,
        within_bytes: |case| turns(case.point) * case.point * size_of::<Session>() as u64,
    }]),
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(sessions: u64) -> u64 {
    (32_768 / sessions.max(1)).clamp(4, 4_096)
}

#[derive(Clone, Debug)]
struct Session {
    id: u32,
    /// It is live before this.
    expires_at: Instant,
}

/// The sessions that are live; `now` is `Instant::now` when timed.
fn naive(sessions: &[Session], now: impl Fn() -> Instant) -> Vec<u32> {
    let mut live = Vec::with_capacity(sessions.len());
    for session in sessions {
        if session.expires_at > now() {
            live.push(session.id);
        }
    }
    live
}

/// The sessions that are live; `now` is `Instant::now` when timed.
fn optimized(sessions: &[Session], now: impl Fn() -> Instant) -> Vec<u32> {
    let mut live = Vec::with_capacity(sessions.len());
    let now = now();
    for session in sessions {
        if session.expires_at > now {
            live.push(session.id);
        }
    }
    live
}

/// Sessions around `now`.
fn input(case: &Case, now: Instant) -> Vec<Session> {
    let mut rng = case.rng("sessions");
    let earlier = |by: Duration| now.checked_sub(by).unwrap_or(now);
    let mut sessions: Vec<Session> = (1..=case.point as u32)
        .map(|id| {
            let seconds = Duration::from_secs(rng.random_range(0..86_400));
            let expires_at = match case.shape {
                Shape::Realistic if rng.random_range(0..10) == 0 => earlier(seconds),
                Shape::Realistic => now + Duration::from_secs(86_400) + seconds,
                Shape::DuplicateHeavy => now,
                // On either side of the clock, and as far from it as can be.
                Shape::Adversarial => match rng.random_range(0..5) {
                    0 => now,
                    1 => earlier(Duration::from_nanos(1)),
                    2 => now + Duration::from_nanos(1),
                    3 => earlier(Duration::from_secs(1 << 40)),
                    _ => now + Duration::from_secs(1 << 40),
                },
                _ if rng.random() => earlier(seconds),
                _ => now + seconds,
            };
            Session { id, expires_at }
        })
        .collect();
    match case.shape {
        Shape::Sorted => sessions.sort_by_key(|session| session.expires_at),
        _ => sessions.shuffle(&mut rng),
    }
    sessions
}

/// A trial with this clock.
fn trial(inputs: &Inputs<Vec<Session>>, now: impl Fn() -> Instant + Copy + 'static) -> Trial {
    let noted = move || {
        note();
        now()
    };
    Trial::new(
        inputs.measured(|sessions| sessions.len() as u64),
        by_ref(inputs, move |sessions: &Vec<Session>| naive(sessions, now))
            .counting(CLOCK_READS, noting(inputs, move |sessions| naive(sessions, noted))),
        by_ref(inputs, move |sessions: &Vec<Session>| optimized(sessions, now))
            .counting(CLOCK_READS, noting(inputs, move |sessions| optimized(sessions, noted))),
    )
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let prepared = Instant::now();
    let inputs = case.rotate(turns(case.point), |case| input(case, prepared));
    let trial = match case.shape {
        Shape::Realistic => trial(&inputs, Instant::now),
        // Deadlines lie so close to the clock that it has to stand still.
        _ => trial(&inputs, move || prepared),
    };
    Ok(trial.units(case.point))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Sessions, numbered from 1, that expire the given number of seconds after `now`.
    fn sessions(now: Instant, seconds: &[u64]) -> Vec<Session> {
        let expires = seconds.iter().map(|seconds| now + Duration::from_secs(*seconds));
        expires.zip(1..).map(|(expires_at, id)| Session { id, expires_at }).collect()
    }

    #[test]
    fn known_answers() {
        let start = Instant::now();
        let now = || start + Duration::from_secs(10);
        let sessions = sessions(start, &[9, 11, 10, 0, 1_000]);
        assert_eq!(naive(&sessions, now), [2, 5]);
        assert_eq!(optimized(&sessions, now), [2, 5]);
        assert!(naive(&[], now).is_empty() && optimized(&[], now).is_empty());
    }

    #[test]
    fn a_deadline_that_passes_meanwhile_is_seen_in_the_next_batch_as_the_card_says() {
        let start = Instant::now();
        let sessions = sessions(start, &[3, 3, 3, 3]);
        let reads = Cell::new(0);
        // A second passes with each read.
        let now = || {
            reads.set(reads.get() + 1);
            start + Duration::from_secs(reads.get())
        };
        assert_eq!(naive(&sessions, now), [1, 2]);
        reads.set(0);
        assert_eq!(optimized(&sessions, now), [1, 2, 3, 4]);
        assert_eq!(reads.get(), 1);
    }
}
