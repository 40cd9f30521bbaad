//! The arithmetic throughput of one core: multiply-adds and hashes.
//!
//! *Multiply-adds* are the peak rate of independent chains in registers, which is the throughput of Agner Fog's
//! "Instruction tables". There are more chains than the latency of an instruction times the instructions per cycle
//! (2 × 4 on today's cores). A multiply-add is two floating-point operations.
//!
//! *Hashes* of a word are independent of each other, as when a table is filled.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    hint::black_box,
};

use crate::{Effort, FOLDHASH, Reading, Unit};

/// Chains that run at once: they fill twelve of the widest registers.
const LANES: usize = 96;
/// Steps of all chains in one operation.
const STEPS: u64 = 1_000;
/// Words to hash, 8 KiB in total.
const WORDS: u64 = 1_024;

/// Replaces each lane `steps` times by lane × factor + summand.
type Kernel = fn(&mut [f64; LANES], f64, f64, u64);

pub(crate) fn numbers(effort: &Effort) -> Vec<Reading> {
    let siphash: BuildHasherDefault<DefaultHasher> = BuildHasherDefault::default();
    let foldhash = foldhash::fast::FixedState::default();
    let hash = |id, what, detail, readings| {
        Reading::of((id, what, Unit::Nanoseconds), detail, Ok(readings))
    };
    vec![
        multiply_adds(effort),
        hash("siphash", "hash of a word, SipHash", "std's DefaultHasher", hashes(effort, &siphash)),
        hash(FOLDHASH, "hash of a word, foldhash", "foldhash::fast", hashes(effort, &foldhash)),
    ]
}

/// Measures multiply-adds of doubles on one core, per ns.
fn multiply_adds(effort: &Effort) -> Reading {
    let (name, kernel) = kernels().remove(0);
    let mut lanes = start();
    let readings = effort.ns_per_operation(|count| {
        for _ in 0..count {
            kernel(black_box(&mut lanes), black_box(1.0), black_box(1.0), STEPS);
        }
    });
    let each = LANES as f64 * STEPS as f64;
    let rates = readings.into_iter().map(|ns| each / ns).collect();
    let about = ("multiply_adds", "multiply-adds of doubles", Unit::MultiplyAddsPerNanosecond);
    Reading::of(about, format!("one core, {name}, {LANES} independent chains"), Ok(rates))
}

fn start() -> [f64; LANES] {
    std::array::from_fn(|lane| lane as f64)
}

/// Returns the kernels that this processor can run, with their names, the widest first.
fn kernels() -> Vec<(&'static str, Kernel)> {
    let mut kernels: Vec<(&'static str, Kernel)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            kernels.push(("AVX-512", |l, f, s, n| unsafe { x86::avx512(l, f, s, n) }));
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            kernels.push(("AVX2 and FMA", |l, f, s, n| unsafe { x86::avx2(l, f, s, n) }));
        }
    }
    kernels.push(("portable, a multiplication and an addition each", portable));
    kernels
}

fn portable(lanes: &mut [f64; LANES], factor: f64, summand: f64, steps: u64) {
    // 24 lanes stay in sixteen registers of 16 bytes.
    for lanes in lanes.as_chunks_mut::<24>().0 {
        for _ in 0..steps {
            for lane in &mut *lanes {
                *lane = *lane * factor + summand;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::{
        asm,
        x86_64::{_mm256_fmadd_pd, _mm256_loadu_pd, _mm256_set1_pd, _mm256_storeu_pd},
    };

    use super::LANES;

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(lanes: &mut [f64; LANES], factor: f64, summand: f64, steps: u64) {
        let (factor, summand) = (_mm256_set1_pd(factor), _mm256_set1_pd(summand));
        for lanes in lanes.as_chunks_mut::<48>().0 {
            let mut vectors = [summand; 12];
            for (vector, lanes) in vectors.iter_mut().zip(lanes.as_chunks::<4>().0) {
                // SAFETY: four doubles are as wide as the load.
                *vector = unsafe { _mm256_loadu_pd(lanes.as_ptr()) };
            }
            for _ in 0..steps {
                for vector in &mut vectors {
                    *vector = _mm256_fmadd_pd(*vector, factor, summand);
                }
            }
            for (vector, lanes) in vectors.iter().zip(lanes.as_chunks_mut::<4>().0) {
                // SAFETY: four doubles are as wide as the store.
                unsafe { _mm256_storeu_pd(lanes.as_mut_ptr(), *vector) };
            }
        }
    }

    /// Written in assembly, as the intrinsics need Rust 1.89.
    ///
    /// # Safety
    /// The processor must have AVX-512F.
    pub unsafe fn avx512(lanes: &mut [f64; LANES], factor: f64, summand: f64, steps: u64) {
        if steps == 0 {
            return;
        }
        // SAFETY: the code reads and writes only the 12 × 8 lanes at `lanes`. The registers that it changes are
        // declared (a name covers all widths of a register). The caller guarantees AVX-512F.
        unsafe {
            asm!(
                "vbroadcastsd zmm14, xmm14",
                "vbroadcastsd zmm15, xmm15",
                ".irp i,0,1,2,3,4,5,6,7,8,9,10,11",
                "vmovupd zmm\\i, [{lanes} + 64 * \\i]",
                ".endr",
                "2:",
                ".irp i,0,1,2,3,4,5,6,7,8,9,10,11",
                "vfmadd213pd zmm\\i, zmm14, zmm15",
                ".endr",
                "dec {steps}",
                "jnz 2b",
                ".irp i,0,1,2,3,4,5,6,7,8,9,10,11",
                "vmovupd [{lanes} + 64 * \\i], zmm\\i",
                ".endr",
                "vzeroupper",
                lanes = in(reg) lanes.as_mut_ptr(),
                steps = inout(reg) steps => _,
                inout("xmm14") factor => _,
                inout("xmm15") summand => _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                options(nostack),
            );
        }
    }
}

/// Returns times of one hash, ns.
fn hashes(effort: &Effort, hasher: &impl BuildHasher) -> Vec<f64> {
    let words: Vec<u64> = (0..WORDS).collect();
    let pass = |count| {
        for _ in 0..count {
            black_box(hash_all(hasher, black_box(&words)));
        }
    };
    effort.ns_per_operation(pass).into_iter().map(|ns| ns / WORDS as f64).collect()
}

/// Returns the hashes of all words, combined.
fn hash_all(hasher: &impl BuildHasher, words: &[u64]) -> u64 {
    words.iter().fold(0, |combined, word| combined ^ hasher.hash_one(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the expected result of each kernel: whole numbers, which are exact whether fused or not.
    fn reference(factor: f64, summand: f64, steps: u64) -> [f64; LANES] {
        start().map(|lane| (0..steps).fold(lane, |value, _| value * factor + summand))
    }

    #[test]
    fn every_kernel_does_every_step_of_every_lane() {
        assert!(kernels().last().is_some_and(|(name, _)| name.starts_with("portable")));
        for (name, kernel) in kernels() {
            for (factor, summand, steps) in
                [(1.0, 1.0, STEPS), (2.0, 1.0, 40), (-1.0, 5.0, 7), (3.0, 2.0, 1), (2.0, 2.0, 0)]
            {
                let mut lanes = start();
                kernel(&mut lanes, factor, summand, steps);
                assert_eq!(lanes, reference(factor, summand, steps), "{name}, {steps} steps");
            }
        }
        // With the measured factor and summand, a lane grows by the number of steps.
        assert_eq!(reference(1.0, 1.0, STEPS)[5], 5.0 + STEPS as f64);
    }

    #[test]
    fn every_word_is_hashed() {
        let foldhash = foldhash::fast::FixedState::default();
        let words = [1, 2, 3];
        let expected = words.map(|word: u64| foldhash.hash_one(word)).iter().fold(0, |x, y| x ^ y);
        assert_eq!(hash_all(&foldhash, &words), expected);
        for changed in 0..3 {
            let mut other = words;
            other[changed] = 9;
            assert_ne!(hash_all(&foldhash, &other), expected, "word {changed}");
        }
    }
}
