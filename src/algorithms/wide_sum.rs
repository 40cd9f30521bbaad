//! Sum floats in many lanes, so that additions need not wait for each other.

use std::{iter::Sum, ops::Add};

use num_traits::Zero;
use rand::RngExt;

use worthit_pair::prelude::*;

/// Number of independent accumulators.
const LANES: usize = 32;

/// The largest relative error of one addition.
const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

const CHAIN: Cause = Cause::new("longest_chain", "additions in the longest chain")
    .counted("on items that count the additions that led to them");

pub const PAIR: Pair = Pair {
    title: "Sum floats in many lanes",
    review: Review {
        smell: "`values.iter().sum::<f32>()`, or `sum += x` in a loop over floats, in hot code.",
        remedy: "An array of accumulators, `lanes`: add item i to accumulator i mod 32, and the accumulators in pairs \
                 at the end. The compiler vectorises that. It must not vectorise a single accumulator, because \
                 another order rounds differently.",
        keep_naive_when: "There are fewer items than accumulators. Or somebody relies on the exact bits: a recorded \
                          result, a simulation that must repeat.",
        costs: "The sum differs in its last digits, though rather for the better: its error bound is a thirty-second. \
                (Where that is not enough, an `f64` accumulator or Kahan's compensation costs time instead.) Whether \
                the compiler fills its vectors depends on details; look at the assembly, or measure.",
        lint: Lint::None,
    },
    naive: Side { summary: "one accumulator", growth: Growth::Linear },
    optimized: Side { summary: "32 accumulators, added in pairs", growth: Growth::Linear },
    contract: Some(
        "Each lies within Higham's bound of the exact sum, Σ|x|·hu / (1 − hu), where u is 2⁻²⁴ and h is the largest \
         number of roundings that an item meets. That is n − 1 with one accumulator; with 32, it is n/32 + 4, plus the \
         items that do not fill a row, counted in fours. So two sums may differ by their two bounds together. Items are \
         finite, and no order of adding them overflows.",
    ),
    input: "Random `f32` values, like the readings of a thermometer, in one array, added front to back. The values do \
            not change how long an addition takes; their number decides which cache holds them. Two arrays alternate, \
            one between 10 and 30 and one between 30 and 50.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed {
            default: &[8, 50, 300, 3_000, 50_000, 1_000_000],
            deep: &[4_000_000],
        },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 3_000 },
    peers: &[SideBeside { name: "ndarray", summary: "ArrayView1::sum, in eight lanes" }],
    causes: &[Claim {
        cause: CHAIN,
        naive: Count::Exactly(|case| naive_chain(case.point)),
        optimized: Count::Exactly(|case| optimized_chain(case.point)),
    }],
    explanation: Explanation {
        why: "With one accumulator each addition waits for the one before, three or four cycles, however wide the \
              processor is. With 32 lanes, which are eight vectors of SSE2, the chains run side by side, until the \
              processor can start no more additions in a cycle; that is before the chains are through with waiting, so \
              the gain stays below the ratio of their lengths. It is a little less where the items come from far away. \
              The peer has fewer lanes, and still waits for them. AVX2, tried here, gained as much again while the \
              items were in the first-level cache and little to nothing beyond, so this side does without `unsafe`.",
        share_of_cause: ShareOfCause::Within(0.35, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(8),
    },
    traps: &[
        &Trap {
            name: "an item slows its addition",
            reason: "subnormals take many times as long on some processors",
            check: |inputs: &[Vec<f32>]| {
                let odd = inputs.iter().flatten().find(|item| !item.is_normal());
                ensure(odd.is_none(), || format!("an item is {odd:?}"))
            },
            sprung: || vec![vec![1.5, f32::from_bits(1)]],
        },
        &Trap {
            name: "every order gives the same sum",
            reason: "whole numbers are never rounded, so the contract would have nothing to allow",
            check: |inputs: &[Vec<f32>]| {
                let items = inputs.iter().flatten();
                let (all, whole) =
                    (items.clone().count(), items.filter(|x| x.fract() == 0.0).count());
                ensure(whole * 100 <= all, || format!("{whole} of {all} items are whole"))
            },
            sprung: || vec![vec![1.0, 2.0, 3.5]],
        },
    ],
    limit: Limit::Work(&[Work::BytesStreamed(|case| case.point * 4)]),
    proof: Proof { resources: Resources::Memory, max_size: 2_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// The sum of the items; `N` is `f32` when timed.
fn naive<N: Copy + Sum>(items: &[N]) -> N {
    items.iter().copied().sum()
}

/// The sum of the items; `N` is `f32` when timed.
fn optimized<N: Copy + Default + Add<Output = N> + Sum>(items: &[N]) -> N {
    let (rows, rest) = items.as_chunks::<LANES>();
    if rows.is_empty() {
        return naive(rest);
    }
    let mut lanes = four_sums(rows);
    let (fours, rest) = rest.as_chunks::<4>();
    for four in fours {
        for (lane, item) in lanes.iter_mut().zip(four) {
            *lane = *lane + *item;
        }
    }
    let [a, b, c, d] = lanes;
    rest.iter().fold((a + c) + (b + d), |sum, item| sum + *item)
}

/// Four sums, each of every fourth item. In a function of its own, because the compiler otherwise fits the
/// vectors of the loop to the few additions after it: half filled, and four times as slow.
#[inline(never)]
fn four_sums<N: Copy + Default + Add<Output = N>>(rows: &[[N; LANES]]) -> [N; 4] {
    let mut lanes = [N::default(); LANES];
    for row in rows {
        for (lane, item) in lanes.iter_mut().zip(row) {
            *lane = *lane + *item;
        }
    }
    let mut width = LANES;
    while width > 4 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] = lanes[lane] + lanes[lane + width];
        }
    }
    [lanes[0], lanes[1], lanes[2], lanes[3]]
}

/// The sum of the items; `N` is `f32` when timed.
fn ndarray<N: Clone + Zero>(items: &[N]) -> N {
    ndarray::ArrayView1::from(items).sum()
}

fn naive_chain(items: u64) -> u64 {
    items
}

/// The chain runs down a lane and through the pairs of lanes. On its way it meets a quarter of the items that do not
/// fill a row, and at its end those that do not fill four lanes.
fn optimized_chain(items: u64) -> u64 {
    let lanes = LANES as u64;
    let rest = items % lanes;
    if items < lanes {
        items
    } else {
        items / lanes + u64::from(lanes.ilog2()) + rest / 4 + rest % 4
    }
}

/// An item that counts the longest chain of additions that led to it, each waiting for the one before.
#[derive(Clone, Copy, Default)]
struct Chained(u64);

impl Add for Chained {
    type Output = Chained;
    fn add(self, other: Chained) -> Chained {
        Chained(self.0.max(other.0) + 1)
    }
}

impl Zero for Chained {
    fn zero() -> Chained {
        Chained(0)
    }
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Sum for Chained {
    fn sum<I: Iterator<Item = Chained>>(items: I) -> Chained {
        items.fold(Chained(0), Add::add)
    }
}

/// Higham's bound for a sum whose longest chain has `chain` additions. Each rounds by at most u, except the
/// first, which adds to zero. (Additions that underflow are exact. The rounding of the bound itself, in
/// `f64`, is far below the slack that γ leaves.)
fn bound(items: &[f32], chain: u64) -> f64 {
    let magnitude: f64 = items.iter().map(|item| f64::from(item.abs())).sum();
    let roundings = chain.saturating_sub(1) as f64 * UNIT_ROUNDOFF;
    magnitude * roundings / (1.0 - roundings)
}

/// A runner of a side, with the bound of its longest chain.
fn summing(
    inputs: &Inputs<Vec<f32>>,
    chain: fn(u64) -> u64,
    side: impl Fn(&[f32]) -> f32 + 'static,
) -> impl Runner + 'static {
    under_contract(
        inputs,
        move |items: &Vec<f32>| side(items),
        move |items, sum| {
            let error = bound(items, chain(items.len() as u64));
            Approximate { value: f64::from(sum), error }
        },
    )
}

fn input(case: &Case) -> Vec<f32> {
    let mut rng = case.rng("items");
    // Values that cancel, absorb each other, and underflow.
    let extremes = [1e30, -1e30, 1.0, -1.0, 16_777_216.0, -16_777_215.0, f32::from_bits(1), 1e-38];
    let mut item = |i: usize| match case.shape {
        // The two arrays differ by more than their sums may.
        Shape::Realistic | Shape::Sorted => rng.random_range(10.0..30.0) + 20.0 * case.turn as f32,
        Shape::Random => rng.random_range(-1.0..1.0),
        // None of them is exact in binary.
        Shape::DuplicateHeavy => [0.1, 0.2, 0.3][i % 3],
        Shape::Adversarial => extremes[rng.random_range(0..extremes.len())],
    };
    let mut items: Vec<f32> = (0..case.point as usize).map(&mut item).collect();
    if case.shape == Shape::Sorted {
        items.sort_unstable_by(f32::total_cmp);
    }
    items
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(2.max(4_096_u64.div_ceil(case.point.max(1))), input);
    let chained = inputs.map(|items| vec![Chained(0); items.len()]);
    let counted = |side: fn(&[Chained]) -> Chained| {
        let chained = chained.clone();
        move |i: usize| side(&chained[i]).0
    };
    Ok(Trial::new(
        inputs.measured(|items| items.len() as u64),
        summing(&inputs, naive_chain, naive).counting(CHAIN, counted(naive)),
        summing(&inputs, optimized_chain, optimized).counting(CHAIN, counted(optimized)),
    )
    // No order of additions has a longer chain than one accumulator.
    .peer(summing(&inputs, naive_chain, ndarray).counting(CHAIN, counted(ndarray)))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    fn all(items: &[f32]) -> [f32; 3] {
        [naive(items), optimized(items), ndarray(items)]
    }

    /// The sum in `f64`: its error is 2⁻²⁹ of the bound.
    fn nearly_exact(items: &[f32]) -> f64 {
        items.iter().copied().map(f64::from).sum()
    }

    fn realistic(point: u64) -> Vec<f32> {
        input(&Case::realistic(point, 0, 1))
    }

    /// Whether an injected sum agrees with the naive one.
    fn agrees(items: &[f32], injected: f32) -> bool {
        let inputs = Inputs::one(items.to_vec());
        let naive = summing(&inputs, naive_chain, naive);
        let injected = summing(&inputs, optimized_chain, move |_| injected);
        let measured = inputs.measured(|items| items.len() as u64);
        Trial::new(measured, naive, injected).prove(items.len() as u64).is_ok()
    }

    #[test]
    fn known_answers() {
        assert_eq!(all(&[]), [0.0; 3]);
        assert_eq!(all(&[7.5]), [7.5; 3]);
        assert_eq!(all(&[1.0, -2.0, 0.5]), [-0.5; 3]);
        // Whole numbers below 2²⁴ are exact in any order.
        let numbers: Vec<f32> = (1..=1_000_u16).map(f32::from).collect();
        assert_eq!(all(&numbers), [500_500.0; 3]);
    }

    #[test]
    fn every_length_of_the_last_row_is_summed() {
        for count in 0..200_u8 {
            let numbers: Vec<f32> = (1..=count).map(f32::from).collect();
            assert_eq!(
                all(&numbers),
                [f32::from(count) * f32::from(count.wrapping_add(1)) / 2.0; 3]
            );
        }
    }

    #[test]
    fn each_side_keeps_its_own_bound() {
        for shape in Shape::ALL {
            for point in [2, 3, 31, 32, 33, 500, 10_000] {
                for seed in 0..20 {
                    let items = input(&Case { shape, ..Case::realistic(point, 0, seed) });
                    let error_of = |sum: f32| (f64::from(sum) - nearly_exact(&items)).abs();
                    let bounds = [naive_chain(point), optimized_chain(point), naive_chain(point)];
                    for (sum, chain) in all(&items).into_iter().zip(bounds) {
                        let bound = bound(&items, chain) * (1.0 + 1e-8);
                        assert!(
                            error_of(sum) <= bound,
                            "{shape:?} {point}: {} > {bound}",
                            error_of(sum)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_contract_ends_at_the_sum_of_the_bounds() {
        let items = realistic(1_000);
        let tolerance = bound(&items, naive_chain(1_000)) + bound(&items, optimized_chain(1_000));
        let sum = f64::from(naive(&items));
        for sign in [1.0, -1.0] {
            let edge = (sum + sign * tolerance) as f32;
            let around = [edge.next_down(), edge, edge.next_up()];
            let agree = around.map(|injected| agrees(&items, injected));
            let within = around.map(|injected| (f64::from(injected) - sum).abs() <= tolerance);
            assert_eq!(agree, within);
            assert!(within.contains(&true) && within.contains(&false), "{within:?}");
        }
        assert!(!agrees(&items, f32::NAN) && !agrees(&items, f32::INFINITY));
    }

    #[test]
    fn a_lost_item_breaks_the_contract_at_every_size_that_proofs_try() {
        for point in [1, 2, 33, 500, PAIR.proof.max_size] {
            let items = realistic(point);
            assert!(agrees(&items, optimized(&items)));
            assert!(!agrees(&items, optimized(&items[1..])), "of {point}");
        }
    }

    #[test]
    fn the_contract_allows_sums_that_cancellation_made_differ() {
        // The exact sum is 1: the 1 is lost in one order and kept in the other.
        let mut items = vec![0.0; 64];
        (items[0], items[1], items[32]) = (1e30, 1.0, -1e30);
        assert_eq!((naive(&items), optimized(&items)), (0.0, 1.0));
        assert!(agrees(&items, optimized(&items)));
    }

    #[test]
    fn trap_the_compiler_keeps_the_one_accumulator() {
        // Any other order would give different bits.
        let items = realistic(100_000);
        let one_by_one = items.iter().fold(0.0, |sum, item| black_box(sum) + item);
        assert_eq!(naive(&items).to_bits(), one_by_one.to_bits());
    }

    #[test]
    fn many_lanes_come_closer_to_the_exact_sum() {
        let items = realistic(1_048_576);
        let [one, many, _] = all(&items).map(|sum| (f64::from(sum) - nearly_exact(&items)).abs());
        assert!(many * 10.0 < one, "{many} {one}");
    }
}
