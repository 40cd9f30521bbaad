//! Count by small integers: index an array with them, do not hash them.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash, RandomState},
};

use rand::RngExt;
use worthit_pair::prelude::*;

/// Readings in one iteration.
const READINGS: u64 = 10_000;

pub const PAIR: Pair = Pair {
    title: "Index an array by small keys",
    review: Review {
        smell: "A `HashMap` whose keys are small and dense: a `u8`, an enum, an index, a status code.",
        remedy: "Make `counts` a `vec![0; possible]` with a place for each possible key, and index it with the key: \
                 `&mut counts[index(*key)]`.",
        keep_naive_when: "The keys are sparse: there are many more possible ones than readings, so that clearing the \
                          array costs more than hashing the few that occur. Or nobody knows the largest key, and \
                          whoever sends one could ask for all memory.",
        costs: "The array takes memory for every possible key. A key that is too large is a panic and not a new entry. \
                For sparse integers that no client chooses, a quicker hasher saves most of the time: see foldhash, the \
                alternative.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "std's HashMap, by entry",
        growth: Growth::Other("more where the table outgrows a cache"),
    },
    optimized: Side {
        summary: "an array with a place for each key",
        growth: Growth::Other("constant until clearing the array takes longer than the readings"),
    },
    input: "10,000 readings of sensors that are numbered from 0 to the stated number of keys, some of them busier than \
            others (Zipf with the exponent 1/2). The answer is the running number of each reading among those \
            of its sensor. Four streams alternate.",
    axis: Axis {
        name: "possible keys",
        unit: "keys",
        is_size: false,
        points: Points::Fixed { default: &[10, 250, 5_000, 50_000, 500_000, 6_000_000], deep: &[] },
    },
    unit: "reading",
    headline: Headline::At { level: "", point: 250 },
    alternatives: &[SideBeside {
        name: "foldhash",
        summary: "the map with the hasher foldhash::fast",
    }],
    causes: &[Claim {
        cause: causes::HASHES,
        // A growing table hashes its keys again.
        naive: Count::AtLeast(|_| READINGS),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "A map hashes the key of each reading and probes a table. An array takes a load, an increment and a store. \
              But an array is cleared, however few of its places are used. A large one comes as fresh pages, which the \
              kernel clears one by one when they are first touched. So the gain falls once there are far more possible \
              keys than readings. The optimized side stays below its limit, because the places come in no order, and each \
              is read and written.",
        share_of_cause: ShareOfCause::NoRatio("the optimized side hashes nothing"),
        far_end: FarEnd::Falls("clearing the places of keys that do not occur"),
        keep_naive: KeepNaive::From(6_000_000),
    },
    traps: &[
        &Trap {
            name: "one key gets the readings",
            reason: "each count would wait for the one before, and all lookups would meet one place of the table",
            check: |inputs: &[Input]| {
                let again = |input: &Input| input.keys.windows(2).filter(|k| k[0] == k[1]).count();
                let (again, all): (usize, usize) =
                    (inputs.iter().map(again).sum(), inputs.iter().map(|i| i.keys.len()).sum());
                ensure(again * 4 < all, || {
                    format!("{again} of {all} readings repeat the key before")
                })
            },
            sprung: || vec![Input { possible: 10, keys: vec![3; 100] }],
        },
        &Trap {
            name: "only the first keys occur",
            reason: "the array could be short, and the map would be a small one",
            check: |inputs: &[Input]| {
                let sparse = |input: &Input| {
                    let distinct: HashSet<u32> = input.keys.iter().copied().collect();
                    let most = input.keys.len().min(input.possible);
                    let last = distinct.iter().max().map_or(0, |last| *last as usize);
                    distinct.len() * 3 < most || last * 10 < input.possible * 9 - 10
                };
                ensure(!inputs.iter().any(sparse), || "few of the possible keys".to_owned())
            },
            sprung: || vec![Input { possible: 1_000, keys: (0..10_000).map(|i| i % 50).collect() }],
        },
    ],
    // Keys and answers once, and the array.
    limit: Limit::Work(&[Work::BytesStreamed(|case| 8 * READINGS + 4 * case.point)]),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug)]
struct Input {
    /// All keys are less than this.
    possible: usize,
    keys: Vec<u32>,
}

/// The running number of each key among its equals. `S` is std's default when timed.
fn naive<K: Copy + Eq + Hash, S: BuildHasher + Default>(keys: &[K]) -> Vec<u32> {
    let mut counts = HashMap::<K, u32, S>::default();
    let numbered = keys.iter().map(|key| {
        let count = counts.entry(*key).or_insert(0);
        *count += 1;
        *count
    });
    numbered.collect()
}

/// The running number of each key among its equals. All indices are less than `possible`.
fn optimized<K: Copy>(keys: &[K], possible: usize, index: impl Fn(K) -> usize) -> Vec<u32> {
    let mut counts = vec![0; possible];
    let numbered = keys.iter().map(|key| {
        let count = &mut counts[index(*key)];
        *count += 1;
        *count
    });
    numbered.collect()
}

/// The running number of each key among its equals.
fn foldhash(keys: &[u32]) -> Vec<u32> {
    naive::<u32, foldhash::fast::RandomState>(keys)
}

fn input(case: &Case) -> Input {
    let (possible, mut rng) = (case.point as usize, case.rng("keys"));
    let last = possible as u32 - 1;
    // The square of a uniform number has Zipf's density with exponent 1/2. Busy sensors have any numbers.
    let anywhere = |rank: u64| (rank * 7_919 % case.point) as u32;
    let key = |i: usize| match case.shape {
        Shape::Realistic => {
            let uniform: f64 = rng.random();
            anywhere((uniform * uniform * case.point as f64) as u64)
        }
        Shape::Random => rng.random_range(0..=last),
        Shape::DuplicateHeavy => [0, last, last / 2][i % 3],
        Shape::Sorted => (i as u32).min(last),
        Shape::Adversarial => {
            [last, 0, last.saturating_sub(1), i as u32 % possible as u32][rng.random_range(0..4)]
        }
    };
    Input { possible, keys: (0..case.items(READINGS)).map(key).collect() }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(4, input);
    let index = |key: u32| key as usize;
    Ok(Trial::new(
        inputs.measured(|input| input.possible as u64),
        by_ref(&inputs, |input: &Input| naive::<u32, RandomState>(&input.keys)).counting(
            causes::HASHES,
            noting(&inputs, |input| naive::<_, CountedHashes>(&input.keys)),
        ),
        by_ref(&inputs, move |input: &Input| optimized(&input.keys, input.possible, index))
            .counting(
                causes::HASHES,
                noting(&inputs, move |input| optimized(&input.keys, input.possible, index)),
            ),
    )
    .alternative(by_ref(&inputs, |input: &Input| foldhash(&input.keys)))
    .units(inputs[0].keys.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let optimized = |keys: &[u32]| optimized(keys, 300, |key| key as usize);
        for side in [naive::<u32, RandomState>, optimized, foldhash] {
            assert!(side(&[]).is_empty());
            assert_eq!(side(&[7, 299, 7, 0, 7, 299]), [1, 1, 2, 1, 3, 2]);
        }
    }
}
