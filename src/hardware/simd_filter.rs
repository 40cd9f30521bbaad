//! Filter values with vectors: compact sixteen in one step, not one.

use rand::{RngExt, seq::SliceRandom};

use crate::fixtures::share;
use worthit_pair::prelude::*;

/// Values in one iteration, for each level. Both are multiples of 100, so that each percentage is exact.
const IN_CACHE: u64 = 50_000;
const IN_MEMORY: u64 = 8_000_000;
/// Inputs in the rotation. In memory they are more than a last-level cache holds.
const TURNS_IN_CACHE: u64 = 2;
const TURNS_IN_MEMORY: u64 = 4;
/// Values that are drawn. A larger input repeats them: neither side looks at more than a vector at a time.
const DRAWN: u64 = 1_000_000;

/// Values that a step of the optimized side takes, whichever vectors it has.
const WIDTH: usize = 16;

const STEPS: Cause = Cause::new("steps", "steps, each from where the one before has ended")
    .counted("with a closure that it calls at each step");

pub const PAIR: Pair = Pair {
    title: "Filter with vector instructions",
    review: Review {
        smell: "A hot loop over many small values that has lost its branch but still takes one value at a time: \
                `out[count] = x; count += usize::from(keep(x));`. The compiler cannot vectorise it, as each store \
                depends on the count before.",
        remedy: "Compare a vector of values, move the kept ones together, store the whole vector, and advance by the \
                 number of bits in the `mask`. With AVX-512 `_mm512_maskz_compress_epi32(mask, block)` moves them; \
                 with AVX2 `_mm256_permutevar8x32_epi32` and a table of all masks. Ask `is_x86_feature_detected!` at \
                 run time and keep the portable loop for the rest.",
        keep_naive_when: "The filter is a small part of the work, or it waits for memory: then few more values come \
                          in per second, however wide the vectors. Or the code has to run as well on other \
                          architectures, where this one falls back to the portable loop.",
        costs: "`unsafe`, one implementation for each vector extension, each with a test of its own, and a test machine \
                that has it. The output needs room for one vector more than it keeps. `vpcompressd` that stores to \
                memory directly is very slow on some processors (Zen 4), so compress in a register first. Some older \
                Intel processors lower their clock for wide vectors.",
        lint: Lint::None,
    },
    naive: Side { summary: "store each value, advance by the outcome", growth: Growth::Constant },
    optimized: Side {
        summary: "compact a vector at a time: AVX-512, else AVX2",
        growth: Growth::Until(&Growth::Constant, "writing what is kept takes longer"),
    },
    input: "Random 32-bit numbers, of which exactly the stated percentage is below the limit and kept, in random order. \
            50,000 of them stay with their output in the second-level cache; 8,000,000 in turn with others come from \
            memory. Both sides write to a buffer that they have written to before.",
    axis: Axis {
        name: "selectivity",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[1, 10, 50, 90, 100], deep: &[] },
    },
    parameter: Some(Parameter {
        name: "working set",
        levels: Levels::Fixed(&[
            Level { label: "in-cache", value: IN_CACHE, origin: Origin::Measured },
            Level { label: "in-memory", value: IN_MEMORY, origin: Origin::Measured },
        ]),
    }),
    unit: "value",
    headline: Headline::At { level: "in-cache", point: 50 },
    alternatives: &[SideBeside {
        name: "avx2",
        summary: "vectors of eight, two in each step, shuffled by a table",
    }],
    causes: &[Claim {
        cause: STEPS,
        naive: Count::Exactly(|case| case.level),
        optimized: Count::Exactly(|case| case.level / WIDTH as u64 + case.level % WIDTH as u64),
    }],
    explanation: Explanation {
        why: "The naive side has no branch to mispredict, but a step takes one value: a load, a comparison, a store and \
              an addition that the next step waits for. A step of the optimized side does the same for sixteen values, \
              with a few instructions more to move the kept ones together. With AVX2 it takes two vectors and a load \
              from the table for each. Neither side depends on how many values are kept or in which order they come. \
              From memory, both sides wait for the same cache lines, and the gain is what the naive side needs beyond \
              that.",
        share_of_cause: ShareOfCause::Within(0.15, 1.25),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "whole vectors are kept or dropped",
            reason: "values in long runs would let a side skip or copy whole blocks, which random ones do not",
            check: |inputs: &[Input]| {
                share::unpredictable(
                    inputs.iter().map(|input| {
                        input.values.iter().map(|value| *value < input.limit).collect()
                    }),
                )
            },
            sprung: || {
                let mut input = input(&Case::realistic(50, IN_CACHE, 1));
                input.values.sort_unstable();
                vec![input]
            },
        },
        &Trap {
            name: "the values are neither in a near cache nor in memory",
            reason: "a shared last-level cache holds now more, now less of them, and the level would mean neither",
            check: |inputs: &[Input]| {
                let bytes: usize = inputs.iter().map(|input| size_of_val(&input.values[..])).sum();
                ensure(bytes <= 512 << 10 || bytes >= 96 << 20, || format!("{bytes} bytes"))
            },
            sprung: || vec![input(&Case::realistic(50, 1_000_000, 1))],
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.level * 4 + case.level * 4 * case.point / 100,
        within_bytes: |case| (turns(case.level) + 1) * case.level * 4,
    }]),
    proof: Proof { resources: Resources::Memory, max_size: 2_000 },
    prepare,
    ..Pair::DEFAULTS
};

const fn turns(values: u64) -> u64 {
    if values == IN_MEMORY { TURNS_IN_MEMORY } else { TURNS_IN_CACHE }
}

struct Input {
    values: Vec<u32>,
    /// Values below the limit are kept.
    limit: u32,
}

/// Appends the values below the limit to `kept`, in order.
fn naive(Input { values, limit }: &Input, kept: &mut Vec<u32>, step: impl Fn()) {
    kept.reserve(values.len());
    let mut block = [0; 256];
    for values in values.chunks(block.len()) {
        let mut count = 0;
        for value in values {
            step();
            // The index is below 256 anyway; the mask only saves the bounds check.
            block[count & 0xff] = *value;
            count += usize::from(value < limit);
        }
        kept.extend_from_slice(&block[..count]);
    }
}

/// Appends the values below the limit to `kept`, in order.
fn optimized(input: &Input, kept: &mut Vec<u32>, step: impl Fn()) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has both.
        return unsafe { with_avx512(input, kept, step) };
    }
    avx2(input, kept, step);
}

/// Appends the values below the limit to `kept`, in order.
fn avx2(input: &Input, kept: &mut Vec<u32>, step: impl Fn()) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has both.
        return unsafe { with_avx2(input, kept, step) };
    }
    naive(input, kept, step);
}

/// Whether the optimized side has vectors on this processor.
fn has_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        return true;
    }
    false
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,popcnt")]
fn with_avx512(Input { values, limit }: &Input, kept: &mut Vec<u32>, step: impl Fn()) {
    use std::arch::x86_64::{
        _mm512_cmplt_epu32_mask, _mm512_loadu_si512, _mm512_maskz_compress_epi32,
        _mm512_set1_epi32, _mm512_storeu_si512,
    };

    let limits = _mm512_set1_epi32(limit.cast_signed());
    let (blocks, rest) = values.as_chunks::<WIDTH>();
    let mut end = End::of(kept, values.len());
    for block in blocks {
        step();
        // SAFETY: a block is as wide as the load.
        let block = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        let mask = _mm512_cmplt_epu32_mask(block, limits);
        let packed = _mm512_maskz_compress_epi32(mask, block);
        // SAFETY: there is room for a full store at the end.
        unsafe { _mm512_storeu_si512(end.place().cast(), packed) };
        end.advance(mask.count_ones());
    }
    end.append_one_by_one(rest, *limit, step);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn with_avx2(Input { values, limit }: &Input, kept: &mut Vec<u32>, step: impl Fn()) {
    use std::arch::x86_64::{
        _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_loadu_si256, _mm256_max_epu32,
        _mm256_movemask_ps, _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_storeu_si256,
    };

    let limits = _mm256_set1_epi32(limit.cast_signed());
    let (blocks, rest) = values.as_chunks::<WIDTH>();
    let mut end = End::of(kept, values.len());
    for block in blocks {
        step();
        for half in block.as_chunks::<8>().0 {
            // SAFETY: a half is as wide as the load.
            let half = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
            // There is no comparison of unsigned numbers: the larger one of each is itself where it reaches the limit.
            let reaches = _mm256_cmpeq_epi32(_mm256_max_epu32(half, limits), half);
            let mask = !_mm256_movemask_ps(_mm256_castsi256_ps(reaches)) as usize & 0xff;
            // SAFETY: an entry is as wide as the load.
            let lanes = unsafe { _mm256_loadu_si256(LANES_KEPT[mask].as_ptr().cast()) };
            let packed = _mm256_permutevar8x32_epi32(half, lanes);
            // SAFETY: there is room for a full store at the end.
            unsafe { _mm256_storeu_si256(end.place().cast(), packed) };
            end.advance(mask.count_ones());
        }
    }
    end.append_one_by_one(rest, *limit, step);
}

/// For each mask of eight lanes, the lanes of its set bits in ascending order, then zeros.
static LANES_KEPT: [[u32; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < table.len() {
        let (mut lane, mut count) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                table[mask][count] = lane;
                count += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
};

/// The end of a list that grows by at most a known number of values, with room for a vector beyond.
struct End<'a> {
    list: &'a mut Vec<u32>,
    count: usize,
}

impl<'a> End<'a> {
    fn of(list: &'a mut Vec<u32>, most: usize) -> End<'a> {
        list.reserve(most + WIDTH);
        End { count: list.len(), list }
    }

    /// Where the next value goes.
    #[inline(always)]
    fn place(&mut self) -> *mut u32 {
        // SAFETY: it is within the capacity, as no more values are kept than there are.
        unsafe { self.list.as_mut_ptr().add(self.count) }
    }

    #[inline(always)]
    fn advance(&mut self, kept: u32) {
        self.count += kept as usize;
    }

    /// Appends the last values below the limit.
    fn append_one_by_one(mut self, values: &[u32], limit: u32, step: impl Fn()) {
        for value in values {
            step();
            // SAFETY: there is room for a vector at the end.
            unsafe { self.place().write(*value) };
            self.advance(u32::from(*value < limit));
        }
        // SAFETY: all values up to the end were written.
        unsafe { self.list.set_len(self.count) };
    }
}

fn input(case: &Case) -> Input {
    let values = case.items(case.level) as u64;
    let (count, kept) = share::exact(case, values.min(DRAWN));
    let limit = 1_000_000_000;
    let mut rng = case.rng("values");
    let mut value = |kept: bool| match (case.shape, kept) {
        (Shape::DuplicateHeavy, _) => limit - u32::from(kept),
        (Shape::Adversarial, true) => [0, limit - 1, 1][rng.random_range(0..3)],
        (Shape::Adversarial, false) => {
            [u32::MAX, limit, limit + 1, 1 << 31][rng.random_range(0..4)]
        }
        (_, true) => rng.random_range(0..limit),
        (_, false) => rng.random_range(limit..=u32::MAX),
    };
    let mut drawn: Vec<u32> = (0..count).map(|i| value(i < kept)).collect();
    match case.shape {
        Shape::Sorted => drawn.sort_unstable(),
        _ => drawn.shuffle(&mut case.rng("order")),
    }
    Input { values: drawn.repeat((values / DRAWN).max(1) as usize), limit }
}

/// The percentage of values that are kept.
fn selectivity(input: &Input) -> u64 {
    share::percent(&input.values, |value| *value < input.limit)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    // In proofs, the optimized side may be the naive one.
    if case.proof_size.is_none() && !has_vectors() {
        return Err(Unavailable(
            "not measured: the optimized side needs AVX2 or AVX-512, which this processor lacks; without them both \
             sides are the same"
                .to_owned(),
        ));
    }
    let inputs = case.rotate(turns(case.level), input);
    let over = |side: fn(&Input, &mut Vec<u32>)| {
        let filter = move |kept: &mut Vec<u32>, input: &Input| side(input, kept);
        changing(&inputs, Vec::new(), Vec::clear, filter, |kept| kept.clone())
    };
    let steps_of_naive = noting(&inputs, |input| naive(input, &mut Vec::new(), note));
    let steps_of_optimized = noting(&inputs, |input| optimized(input, &mut Vec::new(), note));
    let steps_of_avx2 = noting(&inputs, |input| avx2(input, &mut Vec::new(), note));
    Ok(Trial::new(
        inputs.measured(selectivity),
        over(|input, kept| naive(input, kept, || {})).counting(STEPS, steps_of_naive),
        over(|input, kept| optimized(input, kept, || {})).counting(STEPS, steps_of_optimized),
    )
    .alternative(over(|input, kept| avx2(input, kept, || {})).counting(STEPS, steps_of_avx2))
    .units(inputs[0].values.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[u32], limit: u32) -> [Vec<u32>; 3] {
        let input = Input { values: values.to_vec(), limit };
        let mut all = [vec![7], vec![7], vec![7]];
        naive(&input, &mut all[0], || {});
        optimized(&input, &mut all[1], || {});
        avx2(&input, &mut all[2], || {});
        all
    }

    #[test]
    fn known_answers() {
        assert_eq!(all(&[], 5), [[7]; 3], "what was in the list stays");
        assert_eq!(all(&[u32::MAX, 5, 0, 4, 1 << 31, 3], 5), [[7, 0, 4, 3]; 3]);
        assert_eq!(all(&[0, u32::MAX], 0), [[7]; 3]);
    }

    #[test]
    fn every_length_and_every_mask_of_a_vector() {
        for length in 0..600 {
            let values: Vec<u32> = (0..length).map(|i| i * 7_919 % 101).collect();
            let [naive, optimized, avx2] = all(&values, 50);
            assert_eq!((&naive, &naive), (&optimized, &avx2), "{length} values");
        }
        for mask in 0..=u16::MAX {
            let below = |lane: u32| u32::from(mask) >> lane & 1;
            let values: Vec<u32> = (0..16).map(|lane| lane + 100 * (1 - below(lane))).collect();
            let [naive, optimized, avx2] = all(&values, 100);
            assert_eq!((&naive, &naive), (&optimized, &avx2), "mask {mask:016b}");
            assert_eq!(naive.len(), 1 + mask.count_ones() as usize);
        }
    }

    #[test]
    fn trap_the_naive_side_does_not_depend_on_the_outcomes() {
        // A naive side with a branch would have its share in the gain: that is another pair's.
        let steps = |values: Vec<u32>, limit| {
            let input = Input { values, limit };
            noted_during(|| naive(&input, &mut Vec::new(), note))
        };
        for limit in [0, 500, u32::MAX] {
            assert_eq!(steps((0..1_000).collect(), limit), 1_000);
        }
    }
}
