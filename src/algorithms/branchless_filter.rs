//! Filter unpredictable items: let the outcome move an index, not the program counter.

use std::{cell::RefCell, collections::HashSet};

use rand::{RngExt, seq::SliceRandom};

use crate::fixtures::share;
use worthit_pair::prelude::*;

/// Values filtered in one iteration; a multiple of 100, so that each percentage is exact.
const VALUES: u64 = 100_000;

const MISPREDICTIONS: Cause = Cause::new("mispredictions", "mispredictions of a two-bit predictor")
    .modelled("from the outcomes that the side branches on, by Smith's two-bit counter");

pub const PAIR: Pair = Pair {
    title: "Filter without a branch per element",
    review: Review {
        smell: "`if keep(x) { out.push(x) }`, or `.filter(keep)`, over many small values where `keep` is a cheap \
                test and its outcome is a coin toss.",
        remedy: "Write every value to the place `count` of a `block`, and add the outcome to `count`, so that the \
                 next value overwrites one that is not kept. Append each `block` to the output.",
        keep_naive_when: "The outcomes can be predicted: nearly no or nearly all values are kept, or they come sorted \
                          or in long runs. A predicted branch is nearly free, and little of the gain is left. Or \
                          `keep` is expensive: then its cost dominates.",
        costs: "Code that needs an explanation, and a compiler that may turn it back into a branch. Where the \
                processor has AVX2, a vector shuffle compacts eight values at a time, as the alternative does; that \
                is `unsafe` and specific to an architecture.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "branch per element, push",
        growth: Growth::Other("highest where outcomes are least predictable"),
    },
    optimized: Side {
        summary: "store each value, advance by the outcome",
        growth: Growth::Until(&Growth::Constant, "nearly all values are kept"),
    },
    input: "100,000 random 32-bit integers, of which exactly the stated percentage is below the limit and kept. They \
            are shuffled, and arrays alternate, so that a predictor can only learn how many are kept, not which.",
    axis: Axis {
        name: "selectivity",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[1, 10, 50, 90, 100], deep: &[] },
    },
    unit: "value",
    headline: Headline::At { level: "", point: 50 },
    alternatives: &[SideBeside {
        name: "avx2",
        summary: "compact eight values with a vector shuffle",
    }],
    causes: &[Claim {
        cause: MISPREDICTIONS,
        // For independent outcomes of probability p, this predictor misses pq / (1 − 2pq); 1 % is left for chance.
        naive: Count::AtLeast(|case| {
            misses_of_chance(VALUES, case.point).saturating_sub(VALUES / 100)
        }),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "The count is what Smith's two-bit saturating counter (1981) mispredicts; on independent outcomes no \
              predictor does much better. Each misprediction empties the pipeline, and that is most of the naive \
              side's time in the middle of the axis. The optimized side has no branch on the outcome, so it takes the \
              same time at every selectivity. What it gains at the ends is that it checks for room once a block and \
              not once a value. Each value waits for the count of those before it, so the side stays below its limit, \
              the bandwidth of the nearest cache.",
        share_of_cause: ShareOfCause::NoRatio(
            "the optimized side has no branch that could be mispredicted",
        ),
        far_end: FarEnd::Falls("the branch, which nearly always has the same outcome"),
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "the outcomes can be predicted",
            reason: "a predicted branch costs next to nothing, whatever its selectivity",
            check: |inputs: &[Input]| {
                let missed: u64 = inputs.iter().map(mispredictions).sum();
                let chance: u64 = inputs
                    .iter()
                    .map(|i| misses_of_chance(i.values.len() as u64, selectivity(i)))
                    .sum();
                ensure(missed >= chance * 9 / 10, || {
                    format!("{missed} mispredictions, {chance} by chance")
                })
            },
            sprung: || {
                let mut input = input(&Case::realistic(50, 0, 1));
                input.values.sort_unstable();
                vec![input]
            },
        },
        &Trap {
            name: "a predictor remembers the outcomes",
            reason: "modern ones remember some thousands of branches, and would know an array that comes again and again",
            check: |inputs: &[Input]| {
                let distinct: HashSet<&[i32]> = inputs.iter().map(|i| &i.values[..]).collect();
                let outcomes: usize = distinct.into_iter().map(<[i32]>::len).sum();
                ensure(outcomes >= 400_000, || format!("{outcomes} outcomes before they repeat"))
            },
            sprung: || vec![input(&Case::realistic(50, 0, 1))],
        },
    ],
    limit: Limit::Work(&[Work::BytesStreamed(|case| VALUES * 4 + VALUES * 4 * case.point / 100)]),
    proof: Proof { resources: Resources::Memory, max_size: 2_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// What a two-bit counter misses among `values` independent outcomes, of which `percent` are true.
const fn misses_of_chance(values: u64, percent: u64) -> u64 {
    let pq = percent * (100 - percent);
    values * pq / (10_000 - 2 * pq)
}

#[derive(Debug)]
struct Input {
    values: Vec<i32>,
    /// Values below the limit are kept.
    limit: i32,
}

/// The values that `keep` accepts, in order; `K` is `bool` when timed.
fn naive<K: Into<bool>>(values: &[i32], keep: impl Fn(i32) -> K) -> Vec<i32> {
    let mut kept = Vec::with_capacity(values.len());
    for value in values {
        if keep(*value).into() {
            kept.push(*value);
        }
    }
    kept
}

/// The values that `keep` accepts, in order; `K` is `bool` when timed.
fn optimized<K: Into<usize>>(values: &[i32], keep: impl Fn(i32) -> K) -> Vec<i32> {
    let mut kept = Vec::with_capacity(values.len());
    let mut block = [0; 256];
    for values in values.chunks(block.len()) {
        let mut count = 0;
        for value in values {
            // The index is below 256 anyway; the remainder only saves the bounds check.
            block[count % 256] = *value;
            count += keep(*value).into();
        }
        kept.extend_from_slice(&block[..count]);
    }
    kept
}

/// The values below the limit, in order.
fn avx2(input: &Input) -> Vec<i32> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has both.
        return unsafe { avx2::below(&input.values, input.limit) };
    }
    optimized(&input.values, |value| value < input.limit)
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

/// An outcome that a predictor sees where it decides a branch, and not where it is added.
struct Observed<'a> {
    outcome: bool,
    predictor: &'a RefCell<TwoBitPredictor>,
}

impl From<Observed<'_>> for bool {
    fn from(observed: Observed) -> bool {
        observed.predictor.borrow_mut().see(observed.outcome);
        observed.outcome
    }
}

impl From<Observed<'_>> for usize {
    fn from(observed: Observed) -> usize {
        usize::from(observed.outcome)
    }
}

/// Mispredictions while `side` filters with outcomes that are observed.
macro_rules! mispredictions_of {
    ($side:ident, $input:expr) => {{
        let (input, predictor) = ($input, RefCell::default());
        $side(&input.values, |v| Observed { outcome: v < input.limit, predictor: &predictor });
        predictor.into_inner().mispredictions
    }};
}

fn mispredictions(input: &Input) -> u64 {
    mispredictions_of!(naive, input)
}

fn input(case: &Case) -> Input {
    let (count, kept) = share::exact(case, VALUES);
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

/// The percentage of values that are kept.
fn selectivity(input: &Input) -> u64 {
    share::percent(&input.values, |value| *value < input.limit)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, input);
    let (also, units) = (inputs.clone(), inputs[0].values.len() as u64);
    let counted = inputs.clone();
    Ok(Trial::new(
        inputs.measured(selectivity),
        by_ref(&inputs, |input: &Input| naive(&input.values, |value| value < input.limit))
            .counting(MISPREDICTIONS, move |i| mispredictions(&counted[i])),
        by_ref(&inputs, |input: &Input| optimized(&input.values, |value| value < input.limit))
            .counting(MISPREDICTIONS, move |i| mispredictions_of!(optimized, &also[i])),
    )
    .alternative(by_ref(&inputs, avx2))
    .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[i32], limit: i32) -> [Vec<i32>; 3] {
        let input = Input { values: values.to_vec(), limit };
        let keep = |value: i32| value < limit;
        [naive(values, keep), optimized(values, keep), avx2(&input)]
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
            let [naive, optimized, avx2] = all(&values, 50);
            assert_eq!((&naive, &naive), (&optimized, &avx2), "{length} values");
        }
        for mask in 0..256 {
            let values: Vec<i32> = (0..8).map(|lane| lane - 100 * (mask >> lane & 1)).collect();
            let [naive, _, avx2] = all(&values, 0);
            assert_eq!(naive, avx2, "mask {mask:08b}");
        }
    }

    #[test]
    fn the_predictor_works_as_smith_describes() {
        let missed = |outcomes: &[bool]| {
            let mut predictor = TwoBitPredictor::default();
            outcomes.iter().for_each(|taken| predictor.see(*taken));
            predictor.mispredictions
        };
        assert_eq!(missed(&[true; 100]), 2, "two before it predicts taken");
        // One exception in a loop costs one misprediction, not two.
        let loops: Vec<bool> = (0..100).map(|i| i % 10 != 9).collect();
        assert_eq!(missed(&loops), 2 + 10);
    }
}
