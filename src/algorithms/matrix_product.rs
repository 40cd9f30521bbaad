//! Multiply matrices tile by tile: use each number that is loaded for a row or a column of products, not for one.

use std::ops::Range;

use rand::RngExt;

use worthit_pair::prelude::*;

/// Rows and columns of a tile. Its 48 sums are twelve vectors of AVX2, which has sixteen registers.
const ROWS: usize = 6;
const COLUMNS: usize = 8;

/// Products that a sum collects before it is added to the result. A panel of this depth, 4 KiB, stays in the first-level
/// cache while all strips of a block pass by. The copies are so small that the allocator keeps their room: a longer
/// depth loads a little less, but has the kernel map fresh pages for each product.
const DEPTH: usize = 64;

/// Rows of the left matrix whose strips are copied at a time: they stay in the second-level cache.
const BLOCK: usize = 48;

const LOADS: Cause =
    Cause::new("numbers_loaded", "numbers loaded").counted("with a load that counts");

pub const PAIR: Pair = Pair {
    title: "Multiply matrices in tiles",
    review: Review {
        smell: "Three nested loops, of which the innermost is `sum += a[i * n + k] * b[k * n + j]`.",
        remedy: "If a dependency is welcome, call matrixmultiply, the peer. Otherwise copy the left matrix into strips \
                 of six rows and the right one into panels of eight columns, and collect the sums of a `tile` in an \
                 array that stays in registers. Compile it for AVX2 and FMA \
                 (`#[target_feature(enable = \"avx2,fma\")]`), and choose it at run time.",
        keep_naive_when: "The matrices have only a few rows: then the copies and a tile that is mostly padding cost \
                          more than they save. A fixed small size, as in graphics, is better unrolled by the compiler. \
                          Or the product is not hot: then exchange the two inner loops, as the alternative does, which \
                          costs nothing.",
        costs: "It takes a page of code, memory for copies of the left matrix and of a panel, and an `unsafe` call for \
                each instruction set. Results differ in their last digits, because the sums round in another order \
                and a fused multiply-add rounds once. `matrixmultiply` also has tiles for AVX-512 and NEON.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "i-j-k: a row times a column",
        growth: Growth::Other("n³, more once a column outgrows the nearest cache"),
    },
    optimized: Side {
        summary: "tiles of 6 by 8 sums, in AVX2 registers",
        growth: Growth::Other("n³, more where a tile is mostly padding"),
    },
    contract: Some(
        "Each element lies within the bound of an inner product that is added in any order, γₙ·max|a|·Σ|b| + n·2⁻¹⁰⁷⁴, \
         where γₙ = nu / (1 − nu) and u = 2⁻⁵³ (Higham); the last term is for products that underflow. So two \
         elements may differ by twice that. Numbers are finite, and no sum of products overflows.",
    ),
    input: "Two square matrices of random `f64` between -1 and 1, row by row in one `Vec` each. Their size is not a \
            power of two: at those, the numbers of a column crowd into a few sets of the cache. Pairs of matrices \
            take turns.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[3, 10, 30, 100, 240], deep: &[500, 1_000] },
    },
    unit: "multiply-add",
    headline: Headline::At { level: "", point: 240 },
    peers: &[SideBeside { name: "matrixmultiply", summary: "dgemm, on one thread" }],
    alternatives: &[
        SideBeside { name: "loop_order", summary: "i-k-j: add multiples of rows to a row" },
        SideBeside { name: "any_processor", summary: "the same tiles, without AVX2 and FMA" },
    ],
    causes: &[Claim {
        cause: LOADS,
        naive: Count::Exactly(|case| 2 * case.point.pow(3)),
        // The copies, and for each step of each tile a row and a column of it.
        optimized: Count::Exactly(|case| {
            let n = case.point;
            let tiles = n.div_ceil(ROWS as u64) * n.div_ceil(COLUMNS as u64);
            2 * n * n + tiles * n * (ROWS + COLUMNS) as u64
        }),
    }],
    explanation: Explanation {
        why: "The naive side loads two numbers for each product. A step of a tile loads six and eight numbers for \
              forty-eight products. The gain exceeds that ratio, because the sums of a tile also do not wait for each \
              other and lie side by side in vectors, while a naive sum waits for the addition before. The loop order \
              alone gives the compiler vectors, but it still loads and stores a sum for each product. On the smallest \
              matrices the copies and the padding of a tile are most of the work. The larger they are, the less these \
              matter, and the farther away are the columns that the naive side walks down.",
        share_of_cause: ShareOfCause::Within(1.5, 12.0),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(3),
    },
    traps: &[
        &Trap {
            name: "the size is a power of two",
            reason: "a column would crowd into a few sets of the cache, which is the worst case of the naive side",
            check: |inputs: &[Input]| {
                let n = inputs[0].n;
                ensure(n < 16 || !n.is_power_of_two(), || format!("{n} rows"))
            },
            sprung: || vec![input(&Case::realistic(64, 0, 1))],
        },
        &Trap {
            name: "a number slows its multiplication",
            reason: "subnormals take many times as long on some processors",
            check: |inputs: &[Input]| {
                let odd =
                    inputs.iter().flat_map(|i| i.a.iter().chain(&i.b)).find(|x| !x.is_normal());
                ensure(odd.is_none(), || format!("a number is {odd:?}"))
            },
            sprung: || vec![Input { n: 1, a: vec![1.5], b: vec![f64::from_bits(1)] }],
        },
        &Trap {
            name: "every order gives the same product",
            reason: "whole numbers are not rounded, so the contract would have nothing to allow",
            check: |inputs: &[Input]| {
                let numbers = inputs.iter().flat_map(|input| &input.a);
                let (all, whole) =
                    (numbers.clone().count(), numbers.filter(|x| x.fract() == 0.0).count());
                ensure(whole * 100 <= all, || format!("{whole} of {all} numbers are whole"))
            },
            sprung: || vec![Input { n: 1, a: vec![2.0], b: vec![0.5] }],
        },
    ],
    limit: Limit::None(
        "multiply-adds per cycle bound the work, which no machine number measures; the peer comes closer to that bound",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 80 },
    prepare,
    ..Pair::DEFAULTS
};

/// Two square matrices, row by row.
#[derive(Debug)]
struct Input {
    n: usize,
    a: Vec<f64>,
    b: Vec<f64>,
}

/// The product; `load` reads a number.
fn naive(Input { n, a, b }: &Input, load: impl Fn(&f64) -> f64) -> Vec<f64> {
    let n = *n;
    let mut product = vec![0.0_f64; n * n];
    for i in 0..n {
        for j in 0..n {
            let mut sum = 0.0_f64;
            for k in 0..n {
                sum += load(&a[i * n + k]) * load(&b[k * n + j]);
            }
            product[i * n + j] = sum;
        }
    }
    product
}

/// The product.
fn optimized(input: &Input) -> Vec<f64> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both.
        return unsafe { with_avx2(input) };
    }
    in_tiles(input, |number| *number, |x, y, sum| x * y + sum)
}

/// The product.
fn any_processor(input: &Input) -> Vec<f64> {
    in_tiles(input, |number| *number, |x, y, sum| x * y + sum)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(input: &Input) -> Vec<f64> {
    in_tiles(input, |number| *number, f64::mul_add)
}

/// One row of a panel: a line of the cache, so that no load of it takes two.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Columns([f64; COLUMNS]);

/// The product; `load` reads a number. It is inlined, and so compiled for the instructions of its caller.
#[inline(always)]
fn in_tiles(
    Input { n, a, b }: &Input,
    load: impl Fn(&f64) -> f64,
    multiply_add: impl Fn(f64, f64, f64) -> f64,
) -> Vec<f64> {
    let n = *n;
    let depth = n.min(DEPTH);
    let mut product = vec![0.0; n * n];
    let mut panels = Vec::with_capacity(n.div_ceil(COLUMNS) * depth);
    let mut strips = Vec::with_capacity(n.min(BLOCK).div_ceil(ROWS) * depth);
    for from in (0..n).step_by(DEPTH) {
        let depths = from..n.min(from + DEPTH);
        copy_into_panels(&b[from * n..depths.end * n], n, &mut panels, &load);
        for (rows, products) in a.chunks(BLOCK * n).zip(product.chunks_mut(BLOCK * n)) {
            copy_into_strips(rows, n, &depths, &mut strips, &load);
            for (panel, left) in panels.chunks(depths.len()).zip((0..).step_by(COLUMNS)) {
                let strips = strips.chunks(depths.len());
                for (strip, products) in strips.zip(products.chunks_mut(ROWS * n)) {
                    add_to(products, n, left, &tile(strip, panel, &load, &multiply_add));
                }
            }
        }
    }
    product
}

/// Copies rows of the right matrix, panel by panel. The last one may have columns of zeros.
#[inline(always)]
fn copy_into_panels(rows: &[f64], n: usize, panels: &mut Vec<Columns>, load: impl Fn(&f64) -> f64) {
    panels.clear();
    for left in (0..n).step_by(COLUMNS) {
        panels.extend(rows.chunks(n).map(|row| {
            let row = &row[left..];
            Columns(match row.first_chunk() {
                Some(row) => row.each_ref().map(&load),
                None => std::array::from_fn(|j| row.get(j).map_or(0.0, &load)),
            })
        }));
    }
}

/// Copies the numbers of these depths from rows of the left matrix, strip by strip. The last one may have rows of zeros.
#[inline(always)]
fn copy_into_strips(
    rows: &[f64],
    n: usize,
    depths: &Range<usize>,
    strips: &mut Vec<[f64; ROWS]>,
    load: impl Fn(&f64) -> f64,
) {
    strips.clear();
    for rows in rows.chunks(ROWS * n) {
        let strip = strips.len();
        strips.resize(strip + depths.len(), [0.0; ROWS]);
        for (i, row) in rows.chunks(n).enumerate() {
            for (step, number) in strips[strip..].iter_mut().zip(&row[depths.clone()]) {
                step[i] = load(number);
            }
        }
    }
}

/// Adds the sums of a tile to rows of the product, from this column on.
#[inline(always)]
fn add_to(rows: &mut [f64], n: usize, left: usize, sums: &[[f64; COLUMNS]; ROWS]) {
    for (i, sums) in sums.iter().enumerate() {
        let Some(row) = rows.get_mut(i * n + left..(i + 1) * n) else { break };
        match row.first_chunk_mut::<COLUMNS>() {
            // All at once: numbers that are added in turn could be the sums themselves.
            Some(row) => *row = std::array::from_fn(|j| row[j] + sums[j]),
            None => row.iter_mut().zip(sums).for_each(|(number, sum)| *number += sum),
        }
    }
}

/// The product of a strip of rows and a panel of columns, as deep as the panel.
#[inline(always)]
fn tile(
    strip: &[[f64; ROWS]],
    panel: &[Columns],
    load: impl Fn(&f64) -> f64,
    multiply_add: impl Fn(f64, f64, f64) -> f64,
) -> [[f64; COLUMNS]; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (column, Columns(row)) in strip.iter().zip(panel) {
        let row = row.each_ref().map(&load);
        for (sums, x) in sums.iter_mut().zip(column) {
            let x = load(x);
            for (sum, y) in sums.iter_mut().zip(row) {
                *sum = multiply_add(x, y, *sum);
            }
        }
    }
    sums
}

/// The product, of which each row is a sum of multiples of rows.
fn loop_order(Input { n, a, b }: &Input) -> Vec<f64> {
    let n = *n;
    let mut product = vec![0.0; n * n];
    for i in 0..n {
        let sums = &mut product[i * n..][..n];
        for (x, row) in a[i * n..][..n].iter().zip(b.chunks(n)) {
            for (sum, y) in sums.iter_mut().zip(row) {
                *sum += x * y;
            }
        }
    }
    product
}

/// The product.
fn matrixmultiply(Input { n, a, b }: &Input) -> Vec<f64> {
    let mut product = vec![0.0; n * n];
    let (n, rows) = (*n, *n as isize);
    let (a, b, to) = (a.as_ptr(), b.as_ptr(), product.as_mut_ptr());
    // SAFETY: each matrix has n rows of n numbers, and nothing else points to the product.
    unsafe { matrixmultiply::dgemm(n, n, n, 1.0, a, rows, 1, b, rows, 1, 0.0, to, rows, 1) };
    product
}

/// A load that is noted.
fn noted(number: &f64) -> f64 {
    note();
    *number
}

/// A runner of a side, with the bound of each element: that of an inner product in any order.
fn multiplying(
    inputs: &Inputs<Input>,
    side: impl Fn(&Input) -> Vec<f64> + 'static,
) -> impl Runner + 'static {
    under_contract(inputs, side, |Input { n, a, b }, product| {
        let roundings = *n as f64 * f64::EPSILON / 2.0;
        let gamma = roundings / (1.0 - roundings);
        let largest: Vec<f64> = (0..*n)
            .map(|i| a[i * n..][..*n].iter().fold(0.0, |max: f64, x| max.max(x.abs())))
            .collect();
        let sums: Vec<f64> =
            (0..*n).map(|j| b.iter().skip(j).step_by(*n).map(|x| x.abs()).sum()).collect();
        let element = |(at, value): (usize, &f64)| {
            let magnitude: f64 = largest[at / n] * sums[at % n];
            let error = gamma * magnitude + *n as f64 * f64::from_bits(1);
            Approximate { value: *value, error }
        };
        product.iter().enumerate().map(element).collect::<Vec<Approximate>>()
    })
}

fn input(case: &Case) -> Input {
    let (n, mut rng) = (case.point as usize, case.rng("numbers"));
    // These numbers cancel or absorb each other, and some of their products underflow.
    let extremes = [1e100, -1e100, 1.0, -1.0, 0.0, -0.0, 1e-170, -1e-170, 9_007_199_254_740_991.0];
    let mut matrix = || -> Vec<f64> {
        let number = |i: usize| match case.shape {
            Shape::Realistic | Shape::Random => rng.random_range(-1.0..1.0),
            Shape::DuplicateHeavy => [0.1, 0.2, -0.3][i % 3],
            Shape::Sorted => i as f64 / 7.0,
            Shape::Adversarial => extremes[rng.random_range(0..extremes.len())],
        };
        (0..n * n).map(number).collect()
    };
    Input { n, a: matrix(), b: matrix() }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let numbers = case.point.pow(2).max(1);
    let inputs = case.rotate((100_000 / numbers).clamp(2, 1_024), input);
    Ok(Trial::new(
        inputs.measured(|input| input.a.len().isqrt() as u64),
        multiplying(&inputs, |input| naive(input, |number| *number))
            .counting(LOADS, noting(&inputs, |input| naive(input, noted))),
        multiplying(&inputs, optimized).counting(
            LOADS,
            noting(&inputs, |input| in_tiles(input, noted, |x, y, sum| x * y + sum)),
        ),
    )
    .peer(multiplying(&inputs, matrixmultiply))
    .alternative(multiplying(&inputs, loop_order))
    .alternative(multiplying(&inputs, any_processor))
    .units(case.point.pow(3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(n: usize, a: &[f64], b: &[f64]) -> [Vec<f64>; 5] {
        let input = Input { n, a: a.to_vec(), b: b.to_vec() };
        [
            naive(&input, |number| *number),
            optimized(&input),
            any_processor(&input),
            matrixmultiply(&input),
            loop_order(&input),
        ]
    }

    #[test]
    fn known_answers() {
        for product in all(2, &[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0]) {
            assert_eq!(product, [19.0, 22.0, 43.0, 50.0]);
        }
        assert_eq!(all(1, &[-3.0], &[0.5]), [[-1.5]; 5]);
        for product in all(0, &[], &[]) {
            assert!(product.is_empty());
        }
    }

    #[test]
    fn sums_deeper_than_a_panel_are_added_up() {
        // Whole numbers are exact in any order: row i is i, column j is j.
        let n = 2 * DEPTH + 44;
        let a: Vec<f64> = (0..n * n).map(|at| (at / n) as f64).collect();
        let b: Vec<f64> = (0..n * n).map(|at| (at % n) as f64).collect();
        let expected: Vec<f64> = (0..n * n).map(|at| (at / n * (at % n) * n) as f64).collect();
        for product in all(n, &a, &b) {
            assert!(product == expected);
        }
    }

    #[test]
    fn a_lost_product_breaks_the_contract() {
        for n in [1, 7, 100, 500] {
            let inputs = Inputs::one(input(&Case::realistic(n, 0, 1)));
            let right = multiplying(&inputs, |input| naive(input, |number| *number));
            let wrong = multiplying(&inputs, |input| {
                let mut product = optimized(input);
                product[0] -= input.a[0] * input.b[0];
                product
            });
            let measured = inputs.measured(|input| input.n as u64);
            assert!(Trial::new(measured, right, wrong).prove(n).is_err(), "{n} rows");
        }
    }
}
