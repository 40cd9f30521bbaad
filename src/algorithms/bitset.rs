//! Keep a set of small numbers as one bit each, not as entries of a hash table.

use std::collections::HashSet;

use rand::{RngExt, seq::SliceRandom};

use fixedbitset::FixedBitSet;
use worthit_pair::prelude::*;

/// Users whose number may be in the set.
const USERS: u64 = 200_000;

/// Visits of today, each of which is looked up.
const LOOKUPS: u64 = 20_000;

pub const PAIR: Pair = Pair {
    title: "Keep a dense set of numbers as bits",
    review: Review {
        smell: "A `HashSet<u32>` of numbers that are handed out one after another: row ids, user numbers, slots.",
        remedy: "Make a `vec![0_u64; users.div_ceil(64)]`. Bit `id % 64` of word `id / 64` says whether the id is in \
                 the set. Or use a crate that wraps one, such as fixedbitset, the peer.",
        keep_naive_when: "The set holds few of the numbers that it might hold, or nobody knows the largest: the bits \
                          take room for every number that is not in it. For few numbers that do not change, a sorted \
                          `Vec`, the alternative, holds the least. If some sets are sparse and others \
                          dense, try a compressed bitmap, such as the crate roaring has.",
        costs: "The largest number must be known and stay modest. Walking the set or counting it visits every word.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "collect into std's HashSet",
        growth: Growth::Other("in steps: the places of its table are a power of two"),
    },
    optimized: Side {
        summary: "one bit per possible number",
        growth: Growth::Other("the same bytes for every set"),
    },
    input: "Visits of 200,000 users on two days, in random order. The stated share of them visited yesterday, exactly, \
            and every fourth of those twice. Of today's 20,000 visits, two in three are by someone who came yesterday, \
            where anybody did.",
    axis: Axis {
        name: "density",
        unit: "‰",
        is_size: false,
        points: Points::Fixed { default: &[1, 5, 20, 100, 300, 900], deep: &[] },
    },
    unit: "visit",
    headline: Headline::At { level: "", point: 100 },
    metric: Metric::BytesHeld,
    peers: &[SideBeside { name: "fixedbitset", summary: "FixedBitSet" }],
    alternatives: &[SideBeside {
        name: "sorted_vec",
        summary: "a sorted Vec, searched by halving",
    }],
    causes: &[Claim {
        cause: causes::PEAK_BYTES,
        // At least the number and a byte of its hash for each member.
        naive: Count::AtLeast(|case| 5 * members(case.point)),
        optimized: Count::Exactly(|_| USERS / 8),
    }],
    explanation: Explanation {
        why: "The gain is the ratio of bytes held, which are counted. The hash table holds five bytes for each place: the \
              number and a byte of its hash. It has more places than members, so that lookups stay short, and their \
              number is a power of two. There are as many bits as users, however few of them are in the set, so the \
              sparsest sets are smaller as a table. The times are measured, too: a lookup of a bit hashes nothing.",
        share_of_cause: ShareOfCause::Within(0.999, 1.001),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(5),
    },
    traps: &[
        &Trap {
            name: "nobody comes back",
            reason: "a set in which no lookup finds anything could be left out",
            check: |inputs: &[Input]| {
                let few = inputs.iter().map(optimized).find(|back| *back * 2 < LOOKUPS);
                ensure(few.is_none(), || format!("{few:?} of {LOOKUPS} visits"))
            },
            sprung: || vec![Input { users: USERS, yesterday: vec![7], today: vec![8; 20_000] }],
        },
        &Trap {
            name: "visits come in the order of their users",
            reason: "every lookup would meet a cache line that the one before has fetched",
            check: |inputs: &[Input]| {
                let ascending = |input: &&Input| {
                    let steps = input.today.windows(2).filter(|pair| pair[0] <= pair[1]).count();
                    steps * 3 > input.today.len() * 2
                };
                ensure(!inputs.iter().any(|input| ascending(&input)), || "they ascend".to_owned())
            },
            sprung: || {
                let mut input = input(&Case::realistic(100, 0, 1));
                input.today.sort_unstable();
                vec![input]
            },
        },
    ],
    limit: Limit::None("the metric is bytes, which are counted: no machine number bounds them"),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug)]
struct Input {
    /// All numbers are less than this.
    users: u64,
    yesterday: Vec<u32>,
    today: Vec<u32>,
}

/// Number of today's visits by users who came yesterday.
fn naive(input: &Input) -> u64 {
    let came: HashSet<u32> = input.yesterday.iter().copied().collect();
    input.today.iter().filter(|id| came.contains(id)).count() as u64
}

/// Number of today's visits by users who came yesterday.
fn optimized(input: &Input) -> u64 {
    let mut came = vec![0_u64; input.users.div_ceil(64) as usize];
    for id in &input.yesterday {
        came[*id as usize / 64] |= 1 << (id % 64);
    }
    let is_in = |id: &&u32| came[**id as usize / 64] >> (**id % 64) & 1 == 1;
    input.today.iter().filter(is_in).count() as u64
}

/// Number of today's visits by users who came yesterday.
fn fixedbitset(input: &Input) -> u64 {
    let mut came = FixedBitSet::with_capacity(input.users as usize);
    for id in &input.yesterday {
        came.insert(*id as usize);
    }
    input.today.iter().filter(|id| came.contains(**id as usize)).count() as u64
}

/// Number of today's visits by users who came yesterday.
fn sorted_vec(input: &Input) -> u64 {
    let mut came = input.yesterday.clone();
    came.sort_unstable();
    came.dedup();
    input.today.iter().filter(|id| came.binary_search(id).is_ok()).count() as u64
}

/// Users who visited yesterday, at this density in thousandths.
fn members(density: u64) -> u64 {
    USERS * density / 1_000
}

fn input(case: &Case) -> Input {
    let mut rng = case.rng("visits");
    let users = case.proof_size.map_or(USERS, |size| (1 + size % 4) * 1_000);
    let members = (users * case.point / 1_000) as usize;
    let mut ids: Vec<u32> = (0..users as u32).collect();
    match case.shape {
        // The first users fill whole words, and then some bits of the next.
        Shape::Sorted | Shape::DuplicateHeavy => {}
        // The last users begin inside a word.
        Shape::Adversarial => ids.reverse(),
        Shape::Realistic | Shape::Random => ids.shuffle(&mut rng),
    }
    let (came, others) = ids.split_at(members);
    let repeats = match case.shape {
        Shape::DuplicateHeavy => members * 3,
        _ => members / 4,
    };
    let again = (0..repeats).map(|i| came[i % members]);
    let mut yesterday: Vec<u32> = came.iter().copied().chain(again).collect();
    if case.shape != Shape::Sorted {
        yesterday.shuffle(&mut rng);
    }
    let visit = |_| {
        let group = if rng.random_range(0..3) < 2 { came } else { others };
        group[rng.random_range(0..group.len())]
    };
    Input { users, yesterday, today: (0..case.items(LOOKUPS)).map(visit).collect() }
}

/// The share of users who came yesterday, in thousandths.
fn density(input: &Input) -> u64 {
    let distinct: HashSet<&u32> = input.yesterday.iter().collect();
    distinct.len() as u64 * 1_000 / input.users
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(4, input);
    let units = inputs[0].yesterday.len() + inputs[0].today.len();
    Ok(Trial::new(inputs.measured(density), by_ref(&inputs, naive), by_ref(&inputs, optimized))
        .peer(by_ref(&inputs, fixedbitset))
        .alternative(by_ref(&inputs, sorted_vec))
        .units(units as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for side in [naive, optimized, fixedbitset, sorted_vec] {
            let returning = |users, yesterday: &[u32], today: &[u32]| {
                side(&Input { users, yesterday: yesterday.to_vec(), today: today.to_vec() })
            };
            assert_eq!(returning(1, &[], &[]), 0);
            assert_eq!(returning(1, &[], &[0]), 0);
            assert_eq!(returning(1, &[0, 0], &[0, 0, 0]), 3);
            // These lie around the border of two words, and one is the last user.
            assert_eq!(returning(130, &[63, 129, 63], &[62, 63, 64, 128, 129]), 2);
            assert_eq!(returning(130, &[64], &[0, 63, 64, 65, 128]), 1);
        }
    }
}
