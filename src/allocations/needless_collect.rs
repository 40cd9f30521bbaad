//! Work in several steps: pass each item on to the next step, do not collect the results of each.

use std::collections::HashSet;

use rand::RngExt;

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Chain steps instead of collecting between them",
    review: Review {
        smell: "`let valid: Vec<u16> = ….collect();`, and the next line walks through `valid` once and never looks at \
                it again.",
        remedy: "One chain: `raw.iter().copied().filter(is_valid).map(…).max()`. It can keep a name for each step, as an \
                 iterator. Functions between steps take and return `impl Iterator`.",
        keep_naive_when: "The list is used again, or its length is needed before its items. Or a step must have run to \
                          its end before the next begins: it holds a lock, borrows what the next one changes, or must \
                          find every error before the next one acts.",
        costs: "Steps run interleaved, item by item, which changes the order of their side effects. A debugger has no \
                list between the steps to show.",
        lint: Lint::Switched("clippy::needless_collect", "clippy::nursery"),
    },
    naive: Side {
        summary: "collect the results of each step",
        growth: Growth::Until(&Growth::Linear, "the lists outgrow the caches"),
    },
    optimized: Side { summary: "one chain of iterators", growth: Growth::Linear },
    input: "Raw 16-bit readings of a sensor. The first step leaves out those that are invalid, about one in fifty; the \
            second calibrates each (a multiplication and an addition in 32 bits) and takes its deviation from what is \
            expected, and the largest is the answer. Sensors alternate.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed {
            default: &[5, 30, 200, 2_000, 20_000, 200_000],
            deep: &[2_000_000],
        },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 2_000 },
    causes: &[
        Claim {
            cause: causes::ALLOCATIONS,
            naive: Count::AtLeast(|_| 2),
            optimized: Count::Exactly(|_| 0),
        },
        Claim {
            cause: causes::PEAK_BYTES,
            naive: Count::AtLeast(|case| 4 * case.point),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "A collected step writes its results to memory, and the next step reads them from there. A chain keeps each \
              in a register. In short lists the allocations are most of what is saved. In long ones it is the stores, \
              the loads and the bookkeeping of a list whose length is not known beforehand: it grows step by step, and \
              each item waits for the place of the one before.",
        share_of_cause: ShareOfCause::NoRatio("a chain allocates nothing"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the same sensor again and again",
            reason: "a short list would be known by heart",
            check: |inputs: &[Input]| {
                let distinct: HashSet<&[u16]> = inputs.iter().map(|input| &input.raw[..]).collect();
                let items: usize = distinct.iter().map(|raw| raw.len()).sum();
                ensure(items >= 4_096, || format!("{items} items before they repeat"))
            },
            sprung: || vec![input(&Case::realistic(5, 0, 1))],
        },
        &Trap {
            name: "no reading is dropped, or most are",
            reason: "the first step would copy the list, or leave nothing for the second",
            check: |inputs: &[Input]| {
                let all: usize = inputs.iter().map(|input| input.raw.len()).sum();
                let valid = inputs.iter().flat_map(|i| &i.raw).filter(|raw| is_valid(raw)).count();
                ensure(valid < all && valid * 10 > all * 9, || {
                    format!("{valid} of {all} are valid")
                })
            },
            sprung: || vec![Input { scale: 1, offset: 0, expected: 0, raw: vec![9, 1, 2] }],
        },
    ],
    limit: Limit::None(
        "each reading takes a test, a multiplication and a comparison with the largest so far, and no machine number \
         counts those; the two bytes of a reading arrive much sooner",
    ),
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(items: u64) -> u64 {
    (16_384 / items.max(1)).clamp(4, 2_048)
}

struct Input {
    /// Thousandths of a degree for each step of the converter.
    scale: i32,
    /// Thousandths of a degree.
    offset: i32,
    /// Thousandths of a degree.
    expected: i32,
    raw: Vec<u16>,
}

/// Whether the sensor was connected: if not, the converter is at one of its ends.
fn is_valid(raw: &u16) -> bool {
    (1..4_095).contains(raw)
}

/// The largest deviation of a valid reading from what is expected. Readings wrap around in 32 bits.
#[expect(clippy::needless_collect, reason = "the naive side of the pair")]
fn naive(Input { scale, offset, expected, raw }: &Input) -> Option<u32> {
    let reading = |raw: u16| i32::from(raw).wrapping_mul(*scale).wrapping_add(*offset);
    let valid: Vec<u16> = raw.iter().copied().filter(is_valid).collect();
    let deviations: Vec<u32> =
        valid.into_iter().map(|raw| reading(raw).abs_diff(*expected)).collect();
    deviations.into_iter().max()
}

/// The largest deviation of a valid reading from what is expected. Readings wrap around in 32 bits.
fn optimized(Input { scale, offset, expected, raw }: &Input) -> Option<u32> {
    let reading = |raw: u16| i32::from(raw).wrapping_mul(*scale).wrapping_add(*offset);
    let valid = raw.iter().copied().filter(is_valid);
    let deviations = valid.map(|raw| reading(raw).abs_diff(*expected));
    deviations.max()
}

fn input(case: &Case) -> Input {
    let mut rng = case.rng("sensor");
    let values = case.values(case.point as usize);
    // One in fifty is invalid.
    let raw = |value: u64| match value % 100 {
        0 => 0,
        1 => 4_095,
        _ => 1_500 + (value / 100 % 1_000) as u16,
    };
    match case.shape {
        // A converter of twelve bits, whose readings lie around the middle.
        Shape::Realistic => Input {
            scale: rng.random_range(20..40),
            offset: rng.random_range(-60_000..-40_000),
            expected: rng.random_range(10_000..30_000),
            raw: values.into_iter().map(raw).collect(),
        },
        Shape::Adversarial => {
            let extremes = [i32::MIN, i32::MAX, -1, 0, 1];
            let mut extreme = || extremes[rng.random_range(0..extremes.len())];
            Input {
                scale: extreme(),
                offset: extreme(),
                expected: extreme(),
                raw: values.into_iter().map(|value| value as u16).collect(),
            }
        }
        _ => Input {
            scale: rng.random(),
            offset: rng.random(),
            expected: rng.random(),
            raw: values.into_iter().map(|value| value as u16).collect(),
        },
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let measured = inputs.measured(|input| input.raw.len() as u64);
    let trial = Trial::new(measured, by_ref(&inputs, naive), by_ref(&inputs, optimized));
    Ok(trial.units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for largest in [naive, optimized] {
            let of = |scale, offset, expected, raw: &[u16]| {
                largest(&Input { scale, offset, expected, raw: raw.to_vec() })
            };
            assert_eq!(of(1, 0, 0, &[]), None);
            assert_eq!(of(1, 0, 0, &[0, 4_095, u16::MAX]), None, "none is valid");
            assert_eq!(of(10, -500, 20_000, &[2_050, 0, 2_049, 2_063]), Some(130));
            assert_eq!(of(10, -500, 20_000, &[2_050, 2_030, 2_063]), Some(200));
            assert_eq!(of(1, 0, 0, &[1, 4_094]), Some(4_094));
            assert_eq!(of(0, i32::MIN, i32::MAX, &[7]), Some(u32::MAX));
            assert_eq!(of(i32::MAX, 1, 0, &[2]), Some(1), "wraps to -1");
        }
    }
}
