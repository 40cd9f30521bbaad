//! Find a map's place for a key once: take its entry, do not ask first and insert then.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{BuildHasher, RandomState},
};

use rand::{RngExt, seq::SliceRandom};

use crate::fixtures::share;
use worthit_pair::prelude::*;

/// Visits in one iteration; a multiple of 100, so that each share is exact.
const VISITS: u64 = 1_000;

pub const PAIR: Pair = Pair {
    title: "Take the entry of a map",
    review: Review {
        smell: "`if !map.contains_key(&key) { map.insert(key, value); }`, which looks for the place of a new key once \
                more than it needs to.",
        remedy: "`first.entry(visit.user).or_insert(visit.at)`, or the form with a closure where the value costs \
                 something.",
        keep_naive_when: "New keys are rare: then there is hardly a second look-up to save. Or the map owns keys that \
                          the caller only borrows, such as a `String` for a `&str`: `entry` takes an owned key, so \
                          even a key that is there must be copied. (The maps of the crate hashbrown have `entry_ref` \
                          for that.)",
        costs: "None, if a value that costs something is handed over as a closure.",
        lint: Lint::Default("clippy::map_entry"),
    },
    naive: Side {
        summary: "contains_key, then insert",
        growth: Growth::Other("rises with new keys"),
    },
    optimized: Side { summary: "entry", growth: Growth::Other("rises with new keys") },
    input: "1,000 visits in a shuffled order, from which the first of each user is taken. There are as many users as \
            the stated share of the visits, and the other visits repeat one of them. User ids are random 64-bit \
            integers, and the map has room for all from the start. Eight lists of visits alternate.",
    axis: Axis {
        name: "share of new keys",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[1, 10, 50, 90, 100], deep: &[] },
    },
    unit: "visit",
    headline: Headline::At { level: "", point: 90 },
    causes: &[Claim {
        cause: causes::HASHES,
        // An empty map answers the first question without a hash.
        naive: Count::Exactly(|case| VISITS + VISITS * case.point / 100 - 1),
        optimized: Count::Exactly(|_| VISITS),
    }],
    explanation: Explanation {
        why: "The naive side hashes a new key and looks for it to learn that it is not there, and does so once more \
              to put it there. The second look-up reads what the first one brought into the nearest cache, but its \
              hash costs as much, and std's hasher takes a large part of a look-up. A key that is there is hashed \
              once on both sides.",
        share_of_cause: ShareOfCause::Within(0.5, 1.15),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "a predictor knows which visits are new",
        reason: "they would come sorted, or again and again",
        check: |inputs: &[Vec<Visit>]| {
            share::unpredictable(inputs.iter().map(|visits| new_in(visits)))
        },
        sprung: || {
            let sorted = |turn| {
                let visits = input(&Case { turn, ..Case::realistic(50, 0, 1) });
                let mut new = new_in(&visits).into_iter();
                let (mut first, again): (Vec<Visit>, Vec<Visit>) =
                    visits.into_iter().partition(|_| new.next() == Some(true));
                first.extend(again);
                first
            };
            (0..8).map(sorted).collect()
        },
    }],
    limit: Limit::Work(&[
        Work::Hashes(|_| VISITS),
        Work::IndependentReads {
            reads: |_| VISITS,
            // A map with room for 1,000 has 2,048 places of 17 bytes: key, value and tag.
            within_bytes: |_| 2_048 * 17,
        },
    ]),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Visit {
    user: u64,
    at: u64,
}

/// When each user first came.
struct FirstVisits<S>(HashMap<u64, u64, S>);

/// The first visit of each user in the list; `S` is std's default when timed.
#[expect(clippy::map_entry, reason = "the smell that the card describes")]
fn naive<S: BuildHasher + Default>(visits: &[Visit]) -> FirstVisits<S> {
    let mut first = HashMap::with_capacity_and_hasher(visits.len(), S::default());
    for visit in visits {
        if !first.contains_key(&visit.user) {
            first.insert(visit.user, visit.at);
        }
    }
    FirstVisits(first)
}

/// The first visit of each user in the list; `S` is std's default when timed.
fn optimized<S: BuildHasher + Default>(visits: &[Visit]) -> FirstVisits<S> {
    let mut first = HashMap::with_capacity_and_hasher(visits.len(), S::default());
    for visit in visits {
        first.entry(visit.user).or_insert(visit.at);
    }
    FirstVisits(first)
}

impl<S: BuildHasher> PartialEq for FirstVisits<S> {
    fn eq(&self, other: &FirstVisits<S>) -> bool {
        self.0 == other.0
    }
}

impl<S> fmt::Debug for FirstVisits<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_unstable();
        f.debug_map().entries(sorted).finish()
    }
}

impl<S> Found for FirstVisits<S> {
    fn found(&self) -> u64 {
        self.0.len() as u64
    }
}

fn input(case: &Case) -> Vec<Visit> {
    let (count, new) = share::exact(case, VISITS);
    let mut rng = case.rng("visits");
    let user = |i: usize, random: u64| match case.shape {
        Shape::Realistic | Shape::Random => random,
        Shape::DuplicateHeavy | Shape::Sorted => i as u64,
        Shape::Adversarial => (i as u64) << 48 | u64::from(i.is_multiple_of(2)),
    };
    let users: Vec<u64> = (0..new).map(|i| user(i, rng.random())).collect();
    let visit = |i: usize| {
        let user = users.get(i).copied().unwrap_or_else(|| users[rng.random_range(0..new)]);
        Visit { user, at: rng.random_range(0..86_400_000) }
    };
    let mut visits: Vec<Visit> = (0..count).map(visit).collect();
    if case.shape != Shape::Sorted {
        visits.shuffle(&mut rng);
    }
    visits
}

/// Whether each visit is the first of its user.
fn new_in(visits: &[Visit]) -> Vec<bool> {
    let mut seen = HashSet::new();
    visits.iter().map(|visit| seen.insert(visit.user)).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, input);
    let units = inputs[0].len() as u64;
    Ok(Trial::new(
        inputs.measured(|visits| share::percent(&new_in(visits), |new| *new)),
        by_ref(&inputs, |visits: &Vec<Visit>| naive::<RandomState>(visits))
            .counting(causes::HASHES, noting(&inputs, |visits| naive::<CountedHashes>(visits))),
        by_ref(&inputs, |visits: &Vec<Visit>| optimized::<RandomState>(visits))
            .counting(causes::HASHES, noting(&inputs, |visits| optimized::<CountedHashes>(visits))),
    )
    .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let visits = [(7, 100), (8, 50), (7, 20), (0, u64::MAX), (8, 0)];
        let visits = visits.map(|(user, at)| Visit { user, at });
        let expected = HashMap::from([(7, 100), (8, 50), (0, u64::MAX)]);
        for first in [naive::<RandomState>, optimized] {
            assert_eq!(first(&visits).0, expected);
            assert!(first(&[]).0.is_empty());
        }
    }
}
