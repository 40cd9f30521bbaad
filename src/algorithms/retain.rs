//! Remove the items that fail a test: close all gaps in one pass, not one gap at a time.

use std::cell::RefCell;

use rand::{RngExt, seq::SliceRandom};

use worthit_pair::prelude::*;

const MOVES: Cause = Cause::new("items_moved", "items moved")
    .counted("with a test that notes where in memory each item lies by then");

pub const PAIR: Pair = Pair {
    title: "Remove many items in one pass",
    review: Review {
        smell: "`items.remove(i)` in a loop over the same `Vec`: `while i < items.len()`, or a loop over indices \
                backwards.",
        remedy: "Call `items.retain(keep)`.",
        keep_naive_when: "At most one item is removed: find it with `position` and `remove` it. Or the order does not \
                          matter and removals are rare: then `swap_remove` moves one item. There is no size from \
                          which on a loop of removals is better.",
        costs: "It costs nothing, and it is shorter. But the test sees one item at a time: it cannot look at the others, \
                which are borrowed meanwhile. If it has to change items, use `retain_mut`; if the removed ones are \
                needed, `extract_if`.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "Vec::remove in a loop",
        growth: Growth::Until(&Growth::Quadratic, "the items outgrow a cache"),
    },
    optimized: Side { summary: "Vec::retain", growth: Growth::Linear },
    input: "Sessions of 16 bytes, of which exactly one in ten has expired, in random places: a session that is used \
            is renewed, so they are not ordered by when they expire. Lists alternate.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[10, 100, 1_000, 5_000, 20_000], deep: &[100_000] },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 5_000 },
    causes: &[Claim {
        cause: MOVES,
        // Each of n/10 removals moves the items behind it: half of them on average.
        naive: Count::AtLeast(|case| case.point * case.point / 30),
        // All but those in front of the first gap.
        optimized: Count::AtMost(|case| case.point * 9 / 10),
    }],
    explanation: Explanation {
        why: "Each `remove` moves all items behind the gap, so an item is moved once for every gap in front of it. \
              `retain` moves each item once, over all gaps at a time. The moves of a `remove` are blocks that go through \
              wide registers, while `retain` tests and moves item by item, so the gain is below the ratio of moves. It \
              grows with the items, because the moves of the naive side grow with their square. It stays below its limit, \
              because nobody can predict which sessions have expired.",
        share_of_cause: ShareOfCause::Within(0.02, 0.6),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "another share than one in ten has expired",
            reason: "without removals both sides only test, and where nearly all are removed, little is left to move",
            check: |inputs: &[Sessions]| {
                let differs = |s: &&Sessions| expired(s) * 10 != s.items.len();
                let other = inputs.iter().find(differs);
                ensure(other.is_none(), || format!("{:?} have expired", other.map(expired)))
            },
            sprung: || {
                vec![Sessions { items: vec![Session { id: 1, expires_s: 9 }; 100], now_s: 5 }]
            },
        },
        &Trap {
            name: "those that have expired stand together",
            reason: "a block at the front or the end goes in one call of `drain` or `truncate`",
            check: |inputs: &[Sessions]| {
                let runs =
                    |s: &Sessions| s.items.chunk_by(|a, b| s.is_live(a) == s.is_live(b)).count();
                let (all, gone): (usize, usize) =
                    (inputs.iter().map(runs).sum(), inputs.iter().map(expired).sum());
                ensure(all >= gone + gone / 2, || format!("{all} runs, {gone} have expired"))
            },
            sprung: || {
                let mut sessions = input(&Case::realistic(1_000, 0, 1));
                sessions.items.sort_unstable_by_key(|session| session.expires_s);
                vec![sessions]
            },
        },
    ],
    // Every item is read, and those that stay are written.
    limit: Limit::Work(&[Work::BytesStreamed(|case| case.point * 2 * size_of::<Session>() as u64)]),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Clone, Copy, Debug, PartialEq)]
struct Session {
    id: u64,
    expires_s: u64,
}

const _: () = assert!(size_of::<Session>() == 16, "the card states the width");

impl Found for Session {
    fn found(&self) -> u64 {
        1
    }
}

#[derive(Clone, Debug)]
struct Sessions {
    items: Vec<Session>,
    now_s: u64,
}

impl Sessions {
    fn is_live(&self, session: &Session) -> bool {
        session.expires_s > self.now_s
    }
}

/// The items that `keep` accepts, in order.
fn naive<T>(mut items: Vec<T>, keep: impl Fn(&T) -> bool) -> Vec<T> {
    let mut i = 0;
    while i < items.len() {
        if keep(&items[i]) {
            i += 1;
        } else {
            items.remove(i);
        }
    }
    items
}

/// The items that `keep` accepts, in order.
fn optimized<T>(mut items: Vec<T>, keep: impl Fn(&T) -> bool) -> Vec<T> {
    items.retain(keep);
    items
}

/// How often `side` moves an item, seen from where the items lie. Both sides test the items in order. Until its test,
/// each move brings an item one place to the front. Afterwards it is moved at most once.
fn moves(
    sessions: &Sessions,
    side: impl Fn(Vec<Session>, &dyn Fn(&Session) -> bool) -> Vec<Session>,
) -> u64 {
    let tested = RefCell::new(Vec::new());
    let kept = side(sessions.items.clone(), &|session: &Session| {
        let keeps = sessions.is_live(session);
        tested.borrow_mut().push((std::ptr::from_ref(session).addr(), keeps));
        keeps
    });
    let place = |address: usize| (address - kept.as_ptr().addr()) / size_of::<Session>();
    let tested = tested.into_inner();
    let before: usize = tested.iter().enumerate().map(|(i, (at, _))| i - place(*at)).sum();
    let stayed = tested.iter().filter(|(_, keeps)| *keeps);
    let after = stayed.enumerate().filter(|(i, (at, _))| place(*at) != *i).count();
    (before + after) as u64
}

fn expired(sessions: &Sessions) -> usize {
    sessions.items.iter().filter(|session| !sessions.is_live(session)).count()
}

fn input(case: &Case) -> Sessions {
    let count = case.point as usize;
    let (now_s, mut rng) = (1_700_000_000, case.rng("sessions"));
    let session = |(place, value): (usize, u64)| {
        let expires_s = match case.shape {
            Shape::Realistic if place * 10 < count => now_s - rng.random_range(0..600),
            Shape::Realistic => now_s + rng.random_range(1..1_800),
            // From all to none.
            _ => value.rotate_left((case.seed % 64) as u32) % 4 * now_s,
        };
        Session { id: value, expires_s }
    };
    let mut items: Vec<Session> = case.values(count).into_iter().enumerate().map(session).collect();
    if case.shape == Shape::Realistic {
        items.shuffle(&mut rng);
    }
    Sessions { items, now_s }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((65_536 / case.point.max(1)).clamp(4, 4_096), input);
    let (counted, also) = (inputs.clone(), inputs.clone());
    let removing = |side: fn(Vec<Session>, u64) -> Vec<Session>| {
        by_value(&inputs, move |Sessions { items, now_s }| side(items, now_s))
    };
    Ok(Trial::new(
        inputs.measured(|sessions| sessions.items.len() as u64),
        removing(|items, now_s| naive(items, |session| session.expires_s > now_s))
            .counting(MOVES, move |i| moves(&counted[i], |items, keep| naive(items, keep))),
        removing(|items, now_s| optimized(items, |session| session.expires_s > now_s))
            .counting(MOVES, move |i| moves(&also[i], |items, keep| optimized(items, keep))),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let is_even = |item: &u8| item.is_multiple_of(2);
        for (items, even) in [
            (&[1, 2, 3, 5, 4, 6, 7][..], &[2, 4, 6][..]),
            (&[2, 4], &[2, 4]),
            (&[1, 1, 1], &[]),
            (&[], &[]),
        ] {
            assert_eq!(naive(items.to_vec(), is_even), even);
            assert_eq!(optimized(items.to_vec(), is_even), even);
        }
    }

    #[test]
    fn moves_are_counted() {
        // Items at 0 and 2 go: the first removal moves four items, the second one two.
        let session = |live: bool| Session { id: 1, expires_s: u64::from(live) };
        let items = [false, true, false, true, true].map(session).to_vec();
        let sessions = Sessions { items, now_s: 0 };
        assert_eq!(moves(&sessions, |items, keep| naive(items, keep)), 4 + 2);
        assert_eq!(moves(&sessions, |items, keep| optimized(items, keep)), 3);
    }
}
