//! Sort many integers by their digits: distribute them six times, do not compare them.

use std::collections::HashSet;

use rdst::RadixSort;

use worthit_pair::prelude::*;

/// Bits of a digit: the counts of a digit take 8 KiB, so that those of one pass stay in the first-level cache.
const BITS: usize = 11;

/// Digits of a key.
const DIGITS: usize = 64_usize.div_ceil(BITS);

pub const PAIR: Pair = Pair {
    title: "Sort many integers by their digits",
    review: Review {
        smell: "`keys.sort_unstable()` on very many integers, or on records by an integer, in hot code.",
        remedy: "Count how often each value of each digit occurs, in one pass; a digit has eleven bits. Then distribute \
                 the keys by one digit after the other, the lowest first, between `keys` and a `Vec` of the same \
                 length, and skip digits that are the same in all keys.",
        keep_naive_when: "There are some thousand keys or fewer: clearing the counts then costs more than sorting. And \
                          mostly beyond that, where keys fill all 64 bits: std's sort no longer mispredicts branches, \
                          and a comparison of integers costs it so little that six passes gain little. Keys of fewer \
                          digits take fewer passes. Where keys come sorted, or few of them are distinct, \
                          `sort_unstable` notices that and has less work. Where they come nearly sorted, the stable \
                          `sort` does.",
        costs: "It takes a second array of the same size, and code for each type of key: signed integers need their \
                sign bit flipped, and negative floats all their bits. `rdst`, the peer, has all this, and more than one \
                thread, but has seen little work since 2024.",
        lint: Lint::None,
    },
    naive: Side { summary: "std's sort_unstable", growth: Growth::Other("n log n") },
    optimized: Side {
        summary: "distribute by six digits, the lowest first",
        growth: Growth::Until(&Growth::Linear, "both arrays outgrow the second-level cache"),
    },
    input: "Random 64-bit integers, like hashes or random ids, in random order: all their digits differ, which is \
            the most work for a radix sort. Arrays take turns.",
    axis: Axis {
        name: "keys",
        unit: "keys",
        is_size: true,
        points: Points::Fixed {
            default: &[100, 1_000, 10_000, 80_000, 400_000],
            deep: &[3_000_000],
        },
    },
    unit: "key",
    headline: Headline::At { level: "", point: 400_000 },
    peers: &[SideBeside { name: "rdst", summary: "rdst, on one thread" }],
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // On average it takes log₂ n! comparisons to tell all orders apart, about n (log₂ n − 1.4).
        naive: Count::AtLeast(|case| case.point * u64::from(case.point.ilog2().saturating_sub(1))),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "A sort by comparisons needs about log₂ n of them for each key. A radix sort needs none: it reads every key \
              once to count and six times to distribute. That was worth much while a comparison ended in a branch that no \
              predictor knew. Std's sort (ipnsort, since Rust 1.81) has no such branch for integers, and most of its \
              passes stay in the nearest cache, while a radix sort stores to places all over the array. For few keys, \
              clearing and adding up the counts is most of its work. The radix sort stays below its limit, because it \
              stores the keys one by one, in no order.",
        share_of_cause: ShareOfCause::NoRatio("the optimized side compares no keys"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1_000),
    },
    traps: &[
        &Trap {
            name: "keys share their digits",
            reason: "the radix sort skips those, and would look better than it is on hashes",
            check: |inputs: &[Vec<u64>]| {
                let varies = |keys: &Vec<u64>, digit: usize| {
                    let values: HashSet<usize> = keys.iter().map(|key| key.digit(digit)).collect();
                    values.len() > 8
                };
                let same = |keys: &Vec<u64>| (0..DIGITS).find(|digit| !varies(keys, *digit));
                let same = inputs.iter().find_map(same);
                ensure(same.is_none(), || format!("digit {same:?} has few values"))
            },
            sprung: || vec![(0..10_000).rev().collect()],
        },
        &Trap {
            name: "the keys come sorted",
            reason: "`sort_unstable` notices that, in either direction, and is done after one pass",
            check: |inputs: &[Vec<u64>]| {
                let long_runs = |keys: &&Vec<u64>| {
                    let runs = keys.windows(2).filter(|pair| pair[0] > pair[1]).count();
                    runs * 5 < keys.len() || runs * 5 > keys.len() * 4
                };
                ensure(!inputs.iter().any(|keys| long_runs(&keys)), || "long runs".to_owned())
            },
            sprung: || vec![(0..1_000_u64).map(|i| i << 40).collect()],
        },
    ],
    // The keys are read once to count; then each digit reads and writes them once. Two arrays take part.
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.point * 8 * (1 + 2 * DIGITS as u64),
        within_bytes: |case| case.point * 16,
    }]),
    proof: Proof { resources: Resources::Memory, max_size: 2_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// A key of [`DIGITS`] digits.
trait Key: Copy + Ord + Default {
    /// The digit at this place; 0 is the lowest.
    fn digit(self, place: usize) -> usize;
}

impl Key for u64 {
    fn digit(self, place: usize) -> usize {
        (self >> (BITS * place)) as usize % (1 << BITS)
    }
}

impl Key for Counted<u64> {
    fn digit(self, place: usize) -> usize {
        self.0.digit(place)
    }
}

/// Sorts the keys; `K` is `u64` when timed.
fn naive<K: Key>(mut keys: Vec<K>) -> Vec<K> {
    keys.sort_unstable();
    keys
}

/// Sorts the keys; `K` is `u64` when timed.
fn optimized<K: Key>(mut keys: Vec<K>) -> Vec<K> {
    let mut counts = [[0_u32; 1 << BITS]; DIGITS];
    for key in &keys {
        for (place, counts) in counts.iter_mut().enumerate() {
            counts[key.digit(place)] += 1;
        }
    }
    let mut sorted = vec![K::default(); keys.len()];
    for (place, counts) in counts.iter_mut().enumerate() {
        let is_same = counts.contains(&(keys.len() as u32));
        if is_same {
            continue;
        }
        // From how often a digit occurs to where its keys begin.
        let mut start = 0;
        for count in counts.iter_mut() {
            start += std::mem::replace(count, start);
        }
        for key in &keys {
            let next = &mut counts[key.digit(place)];
            sorted[*next as usize] = *key;
            *next += 1;
        }
        std::mem::swap(&mut keys, &mut sorted);
    }
    keys
}

/// Sorts the keys.
fn rdst(mut keys: Vec<u64>) -> Vec<u64> {
    keys.radix_sort_builder().with_single_threaded_tuner().with_parallel(false).sort();
    keys
}

fn input(case: &Case) -> Vec<u64> {
    case.values(case.point as usize)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((65_536 / case.point.max(1)).clamp(2, 2_048), input);
    let counted =
        inputs.map(|keys| keys.iter().copied().map(Counted).collect::<Vec<Counted<u64>>>());
    Ok(Trial::new(
        inputs.measured(|keys| keys.len() as u64),
        by_value(&inputs, naive::<u64>)
            .counting(causes::COMPARISONS, noting(&counted, |keys| naive(keys.clone()))),
        by_value(&inputs, optimized::<u64>)
            .counting(causes::COMPARISONS, noting(&counted, |keys| optimized(keys.clone()))),
    )
    .peer(by_value(&inputs, rdst))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for sort in [naive::<u64>, optimized::<u64>, rdst] {
            assert!(sort(vec![]).is_empty());
            assert_eq!(sort(vec![7; 300]), [7; 300]);
            assert_eq!(
                sort(vec![u64::MAX, 0, 256, 255, 1 << 63, 256]),
                [0, 255, 256, 256, 1 << 63, u64::MAX]
            );
        }
    }

    #[test]
    fn keys_that_differ_in_one_byte_are_sorted_by_it() {
        for place in 0..8 {
            let key =
                |byte: u64| byte << (8 * place) | 0x0101_0101_0101_0101 & !(0xff << (8 * place));
            let keys: Vec<u64> = (0..256).rev().map(key).collect();
            assert_eq!(optimized(keys), (0..256).map(key).collect::<Vec<u64>>());
        }
    }
}
