//! Filter unpredictable items: let the outcome move an index, not the program counter.

use std::sync::Arc;

use rand::{RngExt, seq::SliceRandom};

use worthit_pair::prelude::*;

/// Values filtered in one iteration. These are more outcomes than a branch predictor remembers from the
/// iteration before, and a multiple of 100, so that each percentage is exact.
const VALUES: u64 = 100_000;

const MISPREDICTIONS: Cause = Cause::new("mispredictions", "mispredictions of a two-bit predictor")
    .modelled("from the outcomes of the naive side's branch; the other sides have no such branch");

pub const PAIR: Pair = Pair {
    title: "Filter without a branch per element",
    review: Review {
        smell: "`if keep(x) { out.push(x) }`, or `.filter(keep)`, over many small values where `keep` is a cheap \
                test and its outcome is a coin toss.",
        remedy: "Write every value and advance the end of the output by `keep(x) as usize`, so that the next value \
                 overwrites one that is not kept. Or compact eight values at a time with a vector shuffle, as the \
                 optimized side does where the processor has AVX2. (AVX-512's compress, tried here, gains little \
                 more.)",
        keep_naive_when: "Nearly no values are kept, or they come sorted or in long runs: a predicted branch is \
                          free, and the portable branch-free loop, which writes every value, gains little or \
                          loses. Or `keep` is expensive: then its cost dominates.",
        costs: "Code that needs an explanation. The vector form is `unsafe` and specific to an architecture. The \
                output reserves space for all values.",
        lint: None,
    },
    naive: Side {
        summary: "branch per element, push",
        growth: Growth::Other("highest where outcomes are least predictable"),
    },
    optimized: Side { summary: "branch-free compaction (AVX2)", growth: Growth::Constant },
    input: "100,000 random 32-bit integers, of which exactly the stated percentage is below the limit and kept. \
            They are shuffled, and they are more than a branch predictor remembers, so it can only learn how \
            many are kept, not which.",
    axis: Axis {
        name: "selectivity",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 10, 50, 90, 100], deep: &[] },
    },
    unit: "value",
    peer: Some("portable"),
    causes: &[Claim {
        cause: MISPREDICTIONS,
        // For independent outcomes of probability p, this predictor misses pq / (1 − 2pq); 1 % is left for
        // chance.
        naive: Count::AtMost(|case| {
            let (p, q) = (case.point, 100 - case.point);
            VALUES * p * q / (10_000 - 2 * p * q) + VALUES / 100
        }),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: "The count is what Smith's two-bit saturating counter (1981) mispredicts of the naive side's \
                  branch; on independent outcomes no predictor does much better. Each misprediction refills the \
                  pipeline, some fifteen to twenty cycles. That is most of the naive time in the middle of the \
                  axis and none of it at the ends, where the remaining gain is that vectors test eight values at a \
                  time, with no check for room. The peer does without vectors and takes the same time at every \
                  selectivity: it shows how predictable a branch must be to be the better choice. The vectors do \
                  not reach the limit, a bare stream: each eight values also take a lookup in a table of 8 KiB, a \
                  permutation, and a whole vector stored at a place that waits for the count before it.",
    limit: Limit::BytesStreamed(|case| VALUES * 4 + VALUES * 4 * case.point / 100),
    proof: Proof { resources: Resources::Memory, max_size: 2_000 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    values: Vec<i32>,
    /// Values below the limit are kept.
    limit: i32,
}

/// The values that `keep` accepts, in order.
fn naive(input: &Input, mut keep: impl FnMut(i32) -> bool) -> Vec<i32> {
    let mut kept = Vec::with_capacity(input.values.len());
    for value in &input.values {
        if keep(*value) {
            kept.push(*value);
        }
    }
    kept
}

/// The values below the limit, in order.
fn optimized(input: &Input) -> Vec<i32> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has both.
        return unsafe { avx2::below(&input.values, input.limit) };
    }
    portable(input)
}

/// The values below the limit, in order.
fn portable(input: &Input) -> Vec<i32> {
    let mut kept = Vec::with_capacity(input.values.len());
    let mut block = [0; 256];
    for values in input.values.chunks(block.len()) {
        let mut count = 0;
        for value in values {
            // The index is below 256 anyway; the remainder only saves the bounds check.
            block[count % 256] = *value;
            count += usize::from(*value < input.limit);
        }
        kept.extend_from_slice(&block[..count]);
    }
    kept
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_loadu_si256, _mm256_movemask_ps,
        _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_storeu_si256,
    };

    const LANES: usize = 8;

    /// For each mask, the lanes of its set bits in ascending order, then zeros.
    static LANES_KEPT: [[i32; LANES]; 256] = {
        let mut table = [[0; LANES]; 256];
        let mut mask = 0;
        while mask < table.len() {
            let (mut lane, mut count) = (0, 0);
            while lane < LANES {
                if mask >> lane & 1 == 1 {
                    table[mask][count] = lane as i32;
                    count += 1;
                }
                lane += 1;
            }
            mask += 1;
        }
        table
    };

    /// The values below `limit`, in order.
    #[target_feature(enable = "avx2,popcnt")]
    pub fn below(values: &[i32], limit: i32) -> Vec<i32> {
        // Room for the last full store.
        let mut kept = Vec::with_capacity(values.len() + LANES);
        let out: *mut i32 = kept.as_mut_ptr();
        let mut count = 0;
        let limits = _mm256_set1_epi32(limit);
        let (blocks, rest) = values.as_chunks::<LANES>();
        for block in blocks {
            // SAFETY: a block is as wide as the load.
            let block = unsafe { _mm256_loadu_si256(block.as_ptr().cast::<__m256i>()) };
            let below = _mm256_cmpgt_epi32(limits, block);
            let mask = _mm256_movemask_ps(_mm256_castsi256_ps(below)) as usize;
            // SAFETY: an entry is as wide as the load.
            let lanes = unsafe { _mm256_loadu_si256(LANES_KEPT[mask].as_ptr().cast::<__m256i>()) };
            let packed = _mm256_permutevar8x32_epi32(block, lanes);
            // SAFETY: at most as many were kept as read, and the capacity has room for one more full store.
            unsafe { _mm256_storeu_si256(out.add(count).cast::<__m256i>(), packed) };
            count += mask.count_ones() as usize;
        }
        for value in rest {
            // SAFETY: as above.
            unsafe { out.add(count).write(*value) };
            count += usize::from(*value < limit);
        }
        // SAFETY: the first `count` values were written.
        unsafe { kept.set_len(count) };
        kept
    }
}

/// Smith's two-bit saturating counter (1981) for one branch.
#[derive(Default)]
struct TwoBitPredictor {
    /// 0 and 1 predict "not taken", 2 and 3 "taken".
    state: u8,
    mispredictions: u64,
}

impl TwoBitPredictor {
    fn see(&mut self, taken: bool) {
        self.mispredictions += u64::from((self.state >= 2) != taken);
        self.state = if taken { (self.state + 1).min(3) } else { self.state.saturating_sub(1) };
    }
}

fn input(case: &Case) -> Input {
    let count = case.items(VALUES) / 100 * 100;
    let kept = count * case.point as usize / 100;
    let limit = 1_000;
    let mut rng = case.rng("values");
    let mut value = |kept: bool| match (case.shape, kept) {
        (Shape::DuplicateHeavy, _) => limit - i32::from(kept),
        (Shape::Adversarial, true) => [i32::MIN, limit - 1, 0, -1][rng.random_range(0..4)],
        (Shape::Adversarial, false) => [i32::MAX, limit, limit + 1][rng.random_range(0..3)],
        (_, true) => rng.random_range(i32::MIN..limit),
        (_, false) => rng.random_range(limit..=i32::MAX),
    };
    let mut values: Vec<i32> = (0..count).map(|i| value(i < kept)).collect();
    match case.shape {
        Shape::Sorted => values.sort_unstable(),
        _ => values.shuffle(&mut case.rng("order")),
    }
    Input { values, limit }
}

/// The percentage of values that are kept; `asked` if there are no values.
fn selectivity(input: &Input, asked: u64) -> u64 {
    let kept = input.values.iter().filter(|value| **value < input.limit).count();
    (kept * 100).checked_div(input.values.len()).map_or(asked, |share| share as u64)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let input = Arc::new(input(case));
    let counted = Arc::clone(&input);
    let trial = Trial::new(
        selectivity(&input, case.point),
        by_ref(&input, |input| naive(input, |value| value < input.limit)),
        by_ref(&input, optimized),
    );
    let trial = trial.peer(by_ref(&input, portable));
    Ok(trial.units(input.values.len() as u64).counting(move |role, counts| {
        let mut predictor = TwoBitPredictor::default();
        if role == Role::Naive {
            naive(&counted, |value| {
                let keep = value < counted.limit;
                predictor.see(keep);
                keep
            });
        }
        counts.set(MISPREDICTIONS, predictor.mispredictions);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[i32], limit: i32) -> [Vec<i32>; 3] {
        let input = Input { values: values.to_vec(), limit };
        [naive(&input, |value| value < limit), optimized(&input), portable(&input)]
    }

    fn mispredictions(outcomes: impl IntoIterator<Item = bool>) -> u64 {
        let mut predictor = TwoBitPredictor::default();
        outcomes.into_iter().for_each(|taken| predictor.see(taken));
        predictor.mispredictions
    }

    #[test]
    fn known_answers() {
        for kept in all(&[], 0) {
            assert!(kept.is_empty());
        }
        for kept in all(&[i32::MIN, 5, -1, 0, i32::MAX, -7], 0) {
            assert_eq!(kept, [i32::MIN, -1, -7]);
        }
    }

    #[test]
    fn every_length_and_every_mask_of_lanes() {
        for length in 0..600 {
            let values: Vec<i32> = (0..length).map(|i| i * 7_919 % 101).collect();
            let [naive, optimized, portable] = all(&values, 50);
            assert_eq!((&naive, &naive), (&optimized, &portable), "{length} values");
        }
        for mask in 0..256 {
            let values: Vec<i32> = (0..8).map(|lane| lane - 100 * (mask >> lane & 1)).collect();
            let [naive, optimized, _] = all(&values, 0);
            assert_eq!(naive, optimized, "mask {mask:08b}");
        }
    }

    #[test]
    fn the_predictor_works_as_smith_describes() {
        assert_eq!(mispredictions([true; 100]), 2, "two before it predicts taken");
        assert_eq!(mispredictions((0..100).map(|i| i >= 50)), 2);
        // One exception in a loop costs one misprediction, not two.
        assert_eq!(mispredictions((0..100).map(|i| i % 10 != 9)), 2 + 10);
    }

    #[test]
    fn trap_the_outcome_is_unpredictable_in_the_middle() {
        let missed = |point| {
            let input = input(&Case::realistic(point, 0, 1));
            mispredictions(input.values.iter().map(|value| *value < input.limit))
        };
        // The predictor misses pq / (1 − 2pq) of all; in unshuffled values it would miss two or none.
        for (point, expected) in [(10, 10_976), (50, 50_000), (90, 10_976)] {
            assert!(missed(point).abs_diff(expected) < 1_000, "{} at {point} %", missed(point));
        }
        assert_eq!((missed(0), missed(100)), (0, 2));
        // Nor can a predictor memorise the outcomes: it remembers some thousands of branches.
        const { assert!(VALUES >= 100_000) };
    }
}
