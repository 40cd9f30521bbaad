//! Compute on many numbers: on a graphics processor, transfers included, not on all cores.

use std::sync::Arc;

use rand::RngExt;
use rayon::prelude::*;

use crate::fixtures::{
    gpu::{Gpu, Shader, Tally, Task},
    pool::pool,
};
use worthit_pair::prelude::*;

/// The work on the numbers, as the levels have it.
const SUM: u64 = 0;
const POLYNOMIAL: u64 = 1;
const PRODUCT: u64 = 2;

/// Coefficients of the polynomial.
const COEFFICIENTS: usize = 64;
/// Numbers that a core adds up before it takes another share.
const SHARE: usize = 16_384;
/// Numbers at which a core evaluates the polynomial before it takes another share.
const SHORT_SHARE: usize = 1_024;
/// Invocations in a workgroup of the shaders that take a list.
const WORKGROUP: usize = 256;
/// Rows and columns of the product that a workgroup computes.
const TILE: usize = 64;
/// Sums that a core keeps side by side.
const LANES: usize = 32;

const BYTES_OVER_THE_BUS: Cause = Cause::new("bus_bytes", "bytes over the bus")
    .counted("where operands are sent and results fetched");
const DISPATCHES: Cause =
    Cause::new("dispatches", "dispatches of a shader").counted("where the shader is run");

pub const PAIR: Pair = Pair {
    title: "Compute on a graphics processor",
    review: Review {
        smell: "The same arithmetic on millions of numbers keeps all cores busy: products of large matrices, a long \
                formula for each element.",
        remedy: "Keep buffers and a compiled shader on a graphics processor, with wgpu. Write the operands to the buffers \
                 (`task.upload(…)`), run the shader over them (`task.dispatch()`), and wait until the result can be read \
                 (`task.download()`).",
        keep_naive_when: "Each number takes part in a few operations only, as in a sum: the bus brings numbers more slowly \
                          than memory does. Or there are few numbers, and a dispatch and a wait take longer than the work. \
                          Or the machines that run it have no graphics processor, or a weak one.",
        costs: "A driver, and a library that takes long to build. A second implementation in another language, with tests \
                on a software adapter. Results differ in their last digits. Errors come late, and a processor that hangs takes \
                the program with it. Numbers of 64 bits are slow or missing.",
        lint: Lint::None,
    },
    naive: Side { summary: "all cores, vectorised", growth: Growth::Other("with the work") },
    optimized: Side {
        summary: "a shader on the GPU, transfers included",
        growth: Growth::Other(
            "flat while the dispatch and the wait take longest, then with the transfers or the work",
        ),
    },
    input: "Random numbers of 32 bits between 0 and 1. Their sum takes one addition for each; a polynomial of degree 63, 63 \
            multiplications and additions for each; the product of two square matrices, as many for each as there are \
            rows.",
    axis: Axis {
        name: "elements",
        unit: "elements",
        is_size: true,
        points: Points::Fixed {
            default: &[1_024, 16_384, 262_144, 1_048_576],
            deep: &[4_194_304, 16_777_216],
        },
    },
    parameter: Some(Parameter {
        name: "work",
        levels: Levels::Fixed(&[
            Level { label: "sum", value: SUM, origin: Origin::Measured },
            Level { label: "polynomial", value: POLYNOMIAL, origin: Origin::Measured },
            Level { label: "matrix-product", value: PRODUCT, origin: Origin::Measured },
        ]),
    }),
    unit: "element",
    headline: Headline::At { level: "matrix-product", point: 1_048_576 },
    contract: Some(
        "numbers of 32 bits, each within the rounding errors that its operations allow in any order",
    ),
    alternatives: &[SideBeside {
        name: "resident",
        summary: "the operands are on the GPU already; only the result comes back",
    }],
    causes: &[
        Claim {
            cause: BYTES_OVER_THE_BUS,
            naive: Count::Exactly(|_| 0),
            optimized: Count::Exactly(|case| {
                let numbers = match case.level {
                    SUM => case.point + u64::from(workgroups_of_list(case.point as usize, SUM)),
                    POLYNOMIAL => 2 * case.point + COEFFICIENTS as u64,
                    _ => 3 * case.point,
                };
                numbers * size_of::<f32>() as u64
            }),
        },
        Claim { cause: DISPATCHES, naive: Count::Exactly(|_| 0), optimized: Count::Exactly(|_| 1) },
    ],
    explanation: Explanation {
        why: "A graphics processor has far more lanes and a faster memory of its own, but the numbers have to get there and \
              back over a bus that is slower than the memory of the cores. What decides is the work for each number sent: \
              an addition is less than its transfer, while a row of a large matrix is used again and again. The \
              alternative shows what the operands' way costs: it leaves them there. Small inputs pay only for the \
              dispatch and for being woken when it has ended.",
        share_of_cause: ShareOfCause::NoRatio(
            "the bytes are the price; what is gained is arithmetic",
        ),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1_024),
    },
    traps: &[&Trap {
        name: "every order gives the same numbers",
        reason: "sums of whole numbers are not rounded, so the contract would have nothing to allow",
        check: |inputs: &[Arc<Input>]| {
            let numbers = inputs.iter().flat_map(|input| &input.numbers);
            let (all, whole) =
                (numbers.clone().count(), numbers.filter(|x| x.fract() == 0.0).count());
            ensure(whole * 100 <= all, || format!("{whole} of {all} numbers are whole"))
        },
        sprung: || vec![Arc::new(Input { kind: SUM, numbers: vec![1.0; 9], others: vec![] })],
    }],
    exempt: &[Exempt {
        from: Check::Explanation,
        reason: "no machine with a GPU has recorded a reference yet, and a software adapter is never timed",
    }],
    limit: Limit::None("the bandwidth of the bus and of the GPU, which no machine number measures"),
    hardware: || Gpu::open().map(drop),
    proof: Proof { resources: Resources::System, max_size: 5_000 },
    prepare,
    ..Pair::DEFAULTS
};

struct Input {
    /// [`SUM`], [`POLYNOMIAL`] or [`PRODUCT`].
    kind: u64,
    /// The list, or the rows of the left matrix and what is left over.
    numbers: Vec<f32>,
    /// The coefficients, or the rows of the right matrix.
    others: Vec<f32>,
}

impl Input {
    /// Rows of each matrix.
    fn rows(&self) -> usize {
        self.numbers.len().isqrt()
    }

    /// What a shader is given.
    fn operands(&self) -> Vec<&[f32]> {
        let square = self.rows().pow(2);
        match self.kind {
            SUM => vec![&self.numbers],
            POLYNOMIAL => vec![&self.numbers, &self.others],
            _ => vec![&self.numbers[..square], &self.others],
        }
    }

    /// Numbers that a shader returns.
    fn result_length(&self) -> usize {
        match self.kind {
            SUM => workgroups_of_list(self.numbers.len(), SUM) as usize,
            POLYNOMIAL => self.numbers.len(),
            _ => self.rows().pow(2),
        }
    }

    /// The answer, and how far rounding may have moved it. Each rounding changes a number by half a unit in its last place
    /// at most, and the changes add up (Higham, *Accuracy and Stability of Numerical Algorithms*, lemma 3.1).
    fn answer(&self, values: Vec<f32>) -> ApproximateList {
        let roundings = match self.kind {
            SUM => self.numbers.len().min(SHARE / LANES + LANES) + 2,
            POLYNOMIAL => 2 * COEFFICIENTS,
            _ => self.rows() + 1,
        };
        let sum = roundings as f64 * f64::from(f32::EPSILON) / 2.0;
        ApproximateList { values, share: sum / (1.0 - sum) }
    }
}

/// The result, computed on the cores. Call it on a worker of a rayon pool.
fn naive(input: &Input) -> Vec<f32> {
    let Input { kind, numbers, others } = input;
    match *kind {
        SUM => {
            let shares = numbers.par_chunks(SHARE).map(sum_of_share);
            vec![rounded(shares.sum())]
        }
        POLYNOMIAL => {
            let mut values = vec![0.0; numbers.len()];
            let shares = values.par_chunks_mut(SHORT_SHARE).zip(numbers.par_chunks(SHORT_SHARE));
            shares.for_each(|(values, numbers)| evaluate(others, numbers, values));
            values
        }
        _ => {
            let n = input.rows();
            let mut product = vec![0.0; n * n];
            if n > 0 {
                let rows = n.div_ceil(rayon::current_num_threads());
                let shares = product.par_chunks_mut(rows * n).zip(numbers.par_chunks(rows * n));
                shares.for_each(|(product, left)| multiply(n, left, others, product));
            }
            product
        }
    }
}

fn sum_of_share(numbers: &[f32]) -> f64 {
    let (blocks, rest) = numbers.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (sum, number) in sums.iter_mut().zip(block) {
            *sum += number;
        }
    }
    sums.iter().chain(rest).map(|number| f64::from(*number)).sum()
}

/// Evaluates the polynomial at each of the numbers.
fn evaluate(coefficients: &[f32], numbers: &[f32], values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has it.
            return unsafe { evaluate_with_avx512(coefficients, numbers, values) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both.
            return unsafe { evaluate_with_avx2(coefficients, numbers, values) };
        }
    }
    horner(coefficients, numbers, values, |x, y, z| x * y + z);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn evaluate_with_avx512(coefficients: &[f32], numbers: &[f32], values: &mut [f32]) {
    horner(coefficients, numbers, values, f32::mul_add);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn evaluate_with_avx2(coefficients: &[f32], numbers: &[f32], values: &mut [f32]) {
    horner(coefficients, numbers, values, f32::mul_add);
}

/// Horner's scheme, side by side for as many numbers as hide the latency of an operation. It is inlined, and so compiled for
/// the instructions of its caller.
#[inline(always)]
fn horner(
    coefficients: &[f32],
    numbers: &[f32],
    values: &mut [f32],
    multiply_add: impl Fn(f32, f32, f32) -> f32,
) {
    const SIDE_BY_SIDE: usize = 64;
    let at_once = |numbers: &[f32; SIDE_BY_SIDE]| {
        let mut values = [0.0; SIDE_BY_SIDE];
        for coefficient in coefficients {
            for (value, number) in values.iter_mut().zip(numbers) {
                *value = multiply_add(*value, *number, *coefficient);
            }
        }
        values
    };
    let (blocks, rest) = numbers.as_chunks();
    let (block_values, rest_values) = values.as_chunks_mut();
    for (block, values) in blocks.iter().zip(block_values) {
        *values = at_once(block);
    }
    let mut last = [0.0; SIDE_BY_SIDE];
    last[..rest.len()].copy_from_slice(rest);
    rest_values.copy_from_slice(&at_once(&last)[..rest.len()]);
}

/// Multiplies some rows of the left matrix and the right one, of `n` rows.
fn multiply(n: usize, left: &[f32], right: &[f32], product: &mut [f32]) {
    let (rows, stride) = (product.len() / n, n as isize);
    assert!(left.len() >= rows * n && right.len() == n * n);
    let (left, right, to) = (left.as_ptr(), right.as_ptr(), product.as_mut_ptr());
    // SAFETY: both operands and the product have as many rows of n numbers, and nothing else points to the product.
    unsafe {
        matrixmultiply::sgemm(
            rows, n, n, 1.0, left, stride, 1, right, stride, 1, 0.0, to, stride, 1,
        );
    }
}

/// The result, computed on the graphics processor.
fn optimized(task: &Task, input: &Input) -> Vec<f32> {
    task.upload(&input.operands());
    task.dispatch();
    finished(input, task.download())
}

/// The same of operands that were sent before.
fn resident(task: &Task, input: &Input) -> Vec<f32> {
    task.dispatch();
    finished(input, task.download())
}

/// Adds up what each workgroup has added up.
fn finished(input: &Input, result: Vec<f32>) -> Vec<f32> {
    match input.kind {
        SUM => vec![rounded(result.iter().map(|sum| f64::from(*sum)).sum())],
        _ => result,
    }
}

fn rounded(sum: f64) -> f32 {
    sum as f32
}

/// Workgroups for a list of this length. An invocation of a sum takes sixteen numbers or more, so that few sums are left.
fn workgroups_of_list(length: usize, kind: u64) -> u32 {
    let (each, most) = if kind == SUM { (16, 1_024) } else { (1, 65_535) };
    length.div_ceil(WORKGROUP * each).min(most) as u32
}

fn shader(input: &Input) -> Shader {
    let length = input.numbers.len();
    match input.kind {
        SUM => Shader { source: SUM_SHADER, workgroups: [workgroups_of_list(length, SUM), 1] },
        POLYNOMIAL => Shader {
            source: POLYNOMIAL_SHADER,
            workgroups: [workgroups_of_list(length, POLYNOMIAL), 1],
        },
        _ => Shader { source: PRODUCT_SHADER, workgroups: [input.rows().div_ceil(TILE) as u32; 2] },
    }
}

/// Each invocation adds up numbers that lie a fixed distance apart. Then the workgroup adds up its sums in pairs until one is
/// left.
const SUM_SHADER: &str = "
@group(0) @binding(0) var<storage, read> numbers: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) place: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    var sum = 0.0;
    for (var i = invocation.x; i < arrayLength(&numbers); i += workgroups.x * 256u) {
        sum += numbers[i];
    }
    sums[place] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if place < half {
            sums[place] += sums[place + half];
        }
    }
    if place == 0u {
        result[workgroup.x] = sums[0];
    }
}
";

const POLYNOMIAL_SHADER: &str = "
@group(0) @binding(0) var<storage, read> numbers: array<f32>;
@group(0) @binding(1) var<storage, read> coefficients: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    for (var i = invocation.x; i < arrayLength(&numbers); i += workgroups.x * 256u) {
        var value = 0.0;
        for (var k = 0u; k < arrayLength(&coefficients); k++) {
            value = value * numbers[i] + coefficients[k];
        }
        result[i] = value;
    }
}
";

/// A workgroup computes a tile of 64 rows and columns. It copies strips of both matrices, 16 numbers deep, to memory that
/// its invocations share, of which each then reads four rows and four columns for sixteen sums.
const PRODUCT_SHADER: &str = "
@group(0) @binding(0) var<storage, read> left: array<f32>;
@group(0) @binding(1) var<storage, read> right: array<f32>;
@group(0) @binding(2) var<storage, read_write> product: array<f32>;
var<workgroup> rows: array<array<f32, 64>, 16>;
var<workgroup> columns: array<array<f32, 64>, 16>;

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) place: u32,
) {
    let n = u32(sqrt(f32(arrayLength(&product))) + 0.5);
    let top = tile.y * 64u;
    let first = tile.x * 64u;
    var sums: array<vec4<f32>, 4>;
    for (var depth = 0u; depth < n; depth += 16u) {
        for (var i = place; i < 1024u; i += 256u) {
            let row = top + i / 16u;
            let across = depth + i % 16u;
            rows[i % 16u][i / 16u] = 0.0;
            if row < n && across < n {
                rows[i % 16u][i / 16u] = left[row * n + across];
            }
            let down = depth + i / 64u;
            let column = first + i % 64u;
            columns[i / 64u][i % 64u] = 0.0;
            if down < n && column < n {
                columns[i / 64u][i % 64u] = right[down * n + column];
            }
        }
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            let x = local.x * 4u;
            let four = vec4(columns[k][x], columns[k][x + 1u], columns[k][x + 2u], columns[k][x + 3u]);
            for (var i = 0u; i < 4u; i++) {
                sums[i] += rows[k][local.y * 4u + i] * four;
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            let row = top + local.y * 4u + i;
            let column = first + local.x * 4u + j;
            if row < n && column < n {
                product[row * n + column] = sums[i][j];
            }
        }
    }
}
";

fn input(case: &Case) -> Input {
    let length = case.point as usize;
    let number = |value: u64| (value >> 40) as f32 / (1 << 24) as f32;
    let numbers: Vec<f32> = case.values(length).into_iter().map(number).collect();
    let others = match case.level {
        SUM => Vec::new(),
        POLYNOMIAL => (1..=COEFFICIENTS).map(|k| 1.0 / k as f32).collect(),
        _ => {
            let mut rng = case.rng("right matrix");
            (0..length.isqrt().pow(2)).map(|_| number(rng.random())).collect()
        }
    };
    Input { kind: case.level, numbers, others }
}

/// Opens the graphics processor. A software adapter proves answers and counts, and is never timed.
fn open(case: &Case) -> Result<Arc<Gpu>, Unavailable> {
    let gpu = Gpu::open()?;
    let is_timed = case.proof_size.is_none() && !causes::is_counting_binary();
    if gpu.is_software() && is_timed {
        return Err(Unavailable(format!(
            "not measured: the only adapter is {}, which computes on the processor; a GPU and its driver are missing",
            gpu.name()
        )));
    }
    Ok(Arc::new(gpu))
}

fn task(gpu: &Arc<Gpu>, input: &Input) -> Arc<Task> {
    let lengths: Vec<usize> = input.operands().iter().map(|operand| operand.len()).collect();
    Arc::new(Task::new(gpu, shader(input), &lengths, input.result_length()))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let gpu = open(case)?;
    let pool = pool(logical_cores())?;
    let turns = ((1 << 22) / case.point.max(1)).clamp(2, 8);
    let inputs = case.rotate(turns, |case| Arc::new(input(case)));
    let own = task(&gpu, &inputs[0]);
    let sent_before = inputs.map(|input| {
        let task = task(&gpu, input);
        task.upload(&input.operands());
        (task, Arc::clone(input))
    });
    let tally = |during: fn(Tally) -> u64, task: &Arc<Task>| {
        let (task, inputs) = (Arc::clone(task), inputs.clone());
        move |i: usize| {
            let before = during(task.tally());
            optimized(&task, &inputs[i]);
            during(task.tally()) - before
        }
    };
    let bytes = tally(|tally| tally.bytes, &own);
    let dispatches = tally(|tally| tally.dispatches, &own);
    Ok(Trial::new(
        inputs.measured(|input| input.numbers.len() as u64),
        pooled(&pool, &inputs, |input: &Arc<Input>| input.answer(naive(input)))
            .counting(BYTES_OVER_THE_BUS, |_| 0)
            .counting(DISPATCHES, |_| 0),
        by_ref(&inputs, move |input: &Arc<Input>| input.answer(optimized(&own, input)))
            .counting(BYTES_OVER_THE_BUS, bytes)
            .counting(DISPATCHES, dispatches),
    )
    .alternative(by_ref(&sent_before, |(task, input): &(Arc<Task>, Arc<Input>)| {
        input.answer(resident(task, input))
    }))
    .units(case.point.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: u64, numbers: &[f32], others: &[f32]) -> Input {
        Input { kind, numbers: numbers.to_vec(), others: others.to_vec() }
    }

    /// Inputs whose results are exact, and these results.
    fn known() -> Vec<(Input, Vec<f32>)> {
        // A permutation of rows, of more than one tile.
        let n = 70;
        let places = (0..n * n).map(|i| (i / n + 3) % n == i % n);
        let permutation: Vec<f32> = places.map(|is_one| f32::from(u8::from(is_one))).collect();
        let numbers: Vec<f32> = (0..n * n).map(|i| i as f32).collect();
        let moved: Vec<f32> = (0..n * n).map(|i| ((i / n + 3) % n * n + i % n) as f32).collect();
        vec![
            (list(SUM, &[], &[]), vec![0.0]),
            (list(SUM, &[1.0, 0.5, 8.0], &[]), vec![9.5]),
            (list(SUM, &[1.0; 100_001], &[]), vec![100_001.0]),
            (list(POLYNOMIAL, &[], &[1.0]), vec![]),
            // 2x² + x + 4.
            (
                list(POLYNOMIAL, &[0.0, 1.0, 2.0, 3.0, 0.5], &[2.0, 1.0, 4.0]),
                vec![4.0, 7.0, 14.0, 25.0, 5.0],
            ),
            (list(POLYNOMIAL, &[2.0; 70_000], &[1.0, 1.0]), vec![3.0; 70_000]),
            (list(PRODUCT, &[], &[]), vec![]),
            // The fifth number belongs to no row.
            (
                list(PRODUCT, &[1.0, 2.0, 3.0, 4.0, 9.0], &[5.0, 6.0, 7.0, 8.0]),
                vec![19.0, 22.0, 43.0, 50.0],
            ),
            (list(PRODUCT, &permutation, &numbers), moved),
        ]
    }

    #[test]
    fn known_answers_of_all_cores() {
        let pool = pool(3).unwrap();
        for (input, expected) in known() {
            assert_eq!(pool.install(|| naive(&input)), expected);
        }
    }

    #[test]
    fn every_instruction_set_evaluates_the_polynomial() {
        let numbers: Vec<f32> = (0..130).map(|i| (i % 8) as f32).collect();
        let of_each = |side: &dyn Fn(&mut [f32])| {
            let mut values = vec![0.0; numbers.len()];
            side(&mut values);
            values
        };
        let coefficients = [2.0, 1.0, 4.0];
        let expected: Vec<f32> = numbers.iter().map(|x| 2.0 * x * x + x + 4.0).collect();
        let portable =
            of_each(&|values| horner(&coefficients, &numbers, values, |x, y, z| x * y + z));
        assert_eq!(portable, expected);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: the processor has both.
                let with_avx2 = of_each(&|values| unsafe {
                    evaluate_with_avx2(&coefficients, &numbers, values);
                });
                assert_eq!(with_avx2, expected);
            }
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has it.
                let with_avx512 = of_each(&|values| unsafe {
                    evaluate_with_avx512(&coefficients, &numbers, values);
                });
                assert_eq!(with_avx512, expected);
            }
        }
    }

    #[cfg(not(feature = "gpu"))]
    #[test]
    fn a_build_without_support_says_how_to_get_it() {
        let Err(Unavailable(reason)) = prepare(&Case::realistic(1_024, SUM, 1)) else { panic!() };
        assert!(reason.contains("--features gpu"), "{reason}");
    }

    /// `scripts/check` installs a software adapter.
    #[cfg(feature = "gpu")]
    mod on_a_gpu {
        use super::*;

        fn gpu() -> Arc<Gpu> {
            Arc::new(Gpu::open().unwrap_or_else(|Unavailable(why)| panic!("{why}")))
        }

        #[test]
        fn known_answers() {
            let gpu = gpu();
            for (input, expected) in known() {
                let task = task(&gpu, &input);
                for _ in 0..2 {
                    assert_eq!(optimized(&task, &input), expected);
                    assert_eq!(resident(&task, &input), expected);
                }
            }
        }

        #[test]
        fn trap_all_transfers_are_in_what_is_timed() {
            let input = list(PRODUCT, &[1.0; 100], &[2.0; 100]);
            let task = task(&gpu(), &input);
            optimized(&task, &input);
            assert_eq!(task.tally(), Tally { bytes: 1_200, dispatches: 1 });
            resident(&task, &input);
            assert_eq!(task.tally(), Tally { bytes: 1_600, dispatches: 2 });
        }

        #[test]
        fn trap_a_software_adapter_is_not_timed() {
            if gpu().is_software() {
                let case = Case::realistic(1_024, SUM, 1);
                let Err(Unavailable(reason)) = prepare(&case) else { panic!() };
                assert!(reason.contains("computes on the processor"), "{reason}");
            }
        }
    }
}
