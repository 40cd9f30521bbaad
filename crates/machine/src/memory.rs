//! Latency and bandwidth of each memory level.
//!
//! *Latency* is measured as in lmbench's `lat_mem_rd` (McVoy and Staelin, "lmbench: Portable Tools for Performance
//! Analysis", USENIX 1996): each read yields the address of the next, so none begins before the last has ended. The
//! cache lines are linked in one random cycle (Sattolo, "An algorithm to generate a random cyclic permutation", 1986).
//! No prefetcher can predict the next line, and every line is read before one is read again. TLB misses are included,
//! as they are in a program.
//!
//! *Independent reads* follow an order that is known beforehand. The core has as many of them in flight as it can,
//! which is memory-level parallelism (Glew, "MLP yes! ILP no!", ASPLOS 1998). They are the read half of RandomAccess
//! (Luszczek et al., "The HPC Challenge Benchmark Suite", SC 2006). The order is a shuffle: every line is read before
//! one is read again. The order itself is read front to back and has a sixteenth of the size of the lines.
//!
//! *Bandwidth* is the rate of a sum over an array that fits the level, which is the read half of STREAM (McCalpin,
//! "Memory Bandwidth and Machine Balance in Current High Performance Computers", 1995).
//!
//! The working set is a quarter of a cache and is read through just before each reading. (A cache that cores or virtual
//! machines share is never all one's own: a neighbour evicts lines that are not reused soon.) Beyond the caches, the
//! working set is four times the last-level cache and at least 64 MiB, as STREAM requires.

use std::{cell::Cell, hint::black_box, path::Path};

use procfs::Current;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    BANDWIDTH, BANDWIDTH_OF_ALL_CORES, Effort, INDEPENDENT_READ, LATENCY, Reading, Unit,
    caches::{CPUS, Caches},
    ceiling::seconds_of_each,
};
use worthit_pair::{
    format,
    pair::{Unavailable, logical_cores},
};

/// Smallest working set that counts as memory, bytes.
const LEAST_MEMORY: u64 = 64 << 20;
/// Words per cache line.
const LINE_WORDS: usize = 8;
/// Words that the stream adds at once: eight vectors of 32 bytes.
const LANES: usize = 32;
/// Accumulators that take turns in independent reads, so that no read waits for the previous addition.
const SUMS: usize = 8;

/// A memory level and the working set with which it is measured.
#[derive(Debug)]
struct Level {
    id: &'static str,
    name: &'static str,
    set_bytes: Result<u64, Unavailable>,
    holds_bytes: Option<u64>,
}

pub(crate) fn numbers(effort: &Effort) -> Vec<Reading> {
    let caches = Caches::read(Path::new(CPUS));
    let levels = levels(&caches);
    let mut numbers: Vec<Reading> = levels.iter().map(|level| latency(effort, level)).collect();
    numbers.extend(levels.iter().map(|level| independent_read(effort, level)));
    numbers.extend(levels.iter().map(|level| bandwidth(effort, level)));
    numbers.push(bandwidth_of_all_cores(effort, &caches));
    numbers
}

fn levels(caches: &Caches) -> [Level; 4] {
    let cache = |id, name, level| {
        let size = caches.size(level);
        let holds_bytes = size.as_ref().ok().copied();
        let nearer = caches.size(level - 1).unwrap_or(0);
        Level { id, name, set_bytes: size.map(|bytes| within(bytes, nearer)), holds_bytes }
    };
    [
        cache("l1", "L1", 1),
        cache("l2", "L2", 2),
        cache("l3", "L3", 3),
        Level {
            id: "memory",
            name: "memory",
            set_bytes: beyond(caches.last_level(), available()),
            holds_bytes: None,
        },
    ]
}

/// Returns the size of a working set that fits a cache of `cache_bytes` but not the nearer one, bytes.
fn within(cache_bytes: u64, nearer_bytes: u64) -> u64 {
    (cache_bytes / 4).max(2 * nearer_bytes).min(cache_bytes / 2)
}

/// Returns the size of a working set that exceeds caches of `cache_bytes`, bytes.
///
/// # Errors
/// If that is more than a quarter of the available memory.
fn beyond(cache_bytes: u64, available_bytes: u64) -> Result<u64, Unavailable> {
    let set_bytes = (4 * cache_bytes).max(LEAST_MEMORY);
    if set_bytes <= available_bytes / 4 {
        return Ok(set_bytes);
    }
    Err(Unavailable(format!(
        "four times the last-level cache, {}, is more than a quarter of the memory available, {}; end other programs that hold memory",
        format::bytes(set_bytes as f64),
        format::bytes(available_bytes as f64)
    )))
}

/// Returns the memory that is available without swapping, bytes; 0 if the kernel does not report it.
fn available() -> u64 {
    procfs::Meminfo::current().ok().and_then(|memory| memory.mem_available).unwrap_or(0)
}

impl Level {
    /// Makes a number of this level. Its detail is `how` and the working set: `32.0 MiB in L3`.
    fn number(
        &self,
        (kind, what, unit): (&str, &str, Unit),
        how: &str,
        readings: Result<Vec<f64>, Unavailable>,
    ) -> Reading {
        let size = self.set_bytes.as_ref().map_or(0.0, |bytes| *bytes as f64);
        let about = (format!("{kind}_{}", self.id), format!("{what}, {}", self.name), unit);
        let detail = format!("{how}, {} in {}", format::bytes(size), self.name);
        Reading { holds_bytes: self.holds_bytes, ..Reading::of(about, detail, readings) }
    }
}

/// Measures dependent reads, ns each.
fn latency(effort: &Effort, level: &Level) -> Reading {
    let readings = level.set_bytes.clone().map(|set_bytes| {
        let lines = lines(set_bytes);
        in_one_cycle(&lines);
        // Not beyond the caches: that would leave the last lines in them.
        let prepare = || {
            if level.holds_bytes.is_some() {
                black_box(linked(&lines));
            }
        };
        let mut line = &lines[0];
        effort.ns_per_operation_after(prepare, |count| line = walk(line, count))
    });
    let about = (LATENCY, "dependent read", Unit::Nanoseconds);
    level.number(about, "one random cycle of 64-byte lines", readings)
}

/// Measures independent reads, ns each.
fn independent_read(effort: &Effort, level: &Level) -> Reading {
    let readings = level.set_bytes.clone().map(|set_bytes| {
        let words = words(set_bytes);
        let lines = from_a_line_on(&words).as_chunks::<LINE_WORDS>().0;
        let order = shuffled(lines.len());
        let pass = |count| {
            for _ in 0..count {
                black_box(gather(lines, black_box(&order)));
            }
        };
        // As for dependent reads.
        let prepare = || {
            if level.holds_bytes.is_some() {
                pass(1);
            }
        };
        pass(1);
        let passes = effort.ns_per_operation_after(prepare, pass);
        passes.into_iter().map(|ns| ns / order.len() as f64).collect()
    });
    let about = (INDEPENDENT_READ, "independent read", Unit::Nanoseconds);
    level.number(about, "64-byte lines in a shuffled order", readings)
}

/// Measures the stream on one core, bytes per ns.
fn bandwidth(effort: &Effort, level: &Level) -> Reading {
    let readings = level.set_bytes.clone().map(|set_bytes| {
        let words = words(set_bytes);
        let words = from_a_line_on(&words);
        let bytes = size_of_val(words) as f64;
        let pass = |count| {
            for _ in 0..count {
                black_box(sum(black_box(words)));
            }
        };
        pass(1);
        effort.ns_per_operation(pass).into_iter().map(|ns| bytes / ns).collect()
    });
    let about = (BANDWIDTH, "streamed on one core", Unit::BytesPerNanosecond);
    level.number(about, &format!("sum of 64-bit words ({})", instructions()), readings)
}

/// Measures the streams on all cores at once, bytes per ns: the sum of their rates, each by its own clock.
fn bandwidth_of_all_cores(effort: &Effort, caches: &Caches) -> Reading {
    let threads = logical_cores();
    // Each core may have its own last-level cache.
    let set_bytes = beyond(caches.all_last_levels(), available());
    let size = set_bytes.as_ref().map_or(0, |bytes| *bytes);
    let readings =
        set_bytes.map(|bytes| rates_together(effort, from_a_line_on(&words(bytes)), threads));
    let detail =
        format!("the same on {threads} threads at once, {} in memory", format::bytes(size as f64));
    let about = (BANDWIDTH_OF_ALL_CORES, "streamed on all cores, memory", Unit::BytesPerNanosecond);
    Reading::of(about, detail, readings)
}

/// Returns the total rates of threads that each stream their part of `words`, bytes per ns.
fn rates_together(effort: &Effort, words: &[u64], threads: u64) -> Vec<f64> {
    let parts: Vec<&[u64]> =
        words.chunks(words.len().div_ceil(threads as usize).next_multiple_of(LANES)).collect();
    let pass = |thread: usize| {
        black_box(sum(black_box(parts[thread])));
    };
    let reading = |_| {
        let seconds = seconds_of_each(parts.len(), pass);
        let rates = seconds.iter().zip(&parts).map(|(s, part)| size_of_val(*part) as f64 / s / 1e9);
        rates.sum()
    };
    seconds_of_each(parts.len(), pass);
    (0..effort.readings).map(reading).collect()
}

/// A cache line that holds the address of the next one to read.
#[derive(Default)]
#[repr(align(64))]
struct CacheLine<'a> {
    next: Cell<Option<&'a CacheLine<'a>>>,
}

/// Returns lines of `set_bytes` in total, at least two, not yet linked.
fn lines<'a>(set_bytes: u64) -> Vec<CacheLine<'a>> {
    let count = (set_bytes as usize / size_of::<CacheLine<'_>>()).max(2);
    (0..count).map(|_| CacheLine::default()).collect()
}

/// Links all lines into one random cycle by Sattolo's shuffle.
fn in_one_cycle<'a>(lines: &'a [CacheLine<'a>]) {
    let mut rng = ChaCha8Rng::seed_from_u64(1986);
    let mut next: Vec<u32> = (0..lines.len() as u32).collect();
    for last in (1..next.len()).rev() {
        next.swap(last, rng.random_range(0..last));
    }
    for (line, next) in lines.iter().zip(next) {
        line.next.set(Some(&lines[next as usize]));
    }
}

/// Returns how many lines are linked. Reads each line once, in the order of addresses.
fn linked(lines: &[CacheLine<'_>]) -> usize {
    lines.iter().filter(|line| line.next.get().is_some()).count()
}

/// Returns the line that is reached after `reads` reads.
fn walk<'a>(mut line: &'a CacheLine<'a>, reads: u64) -> &'a CacheLine<'a> {
    for _ in 0..reads {
        line = line.next.get().expect("every line is linked");
    }
    black_box(line)
}

/// Returns the indices of `count` lines in random order.
fn shuffled(count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(1998));
    order
}

/// Returns the sum of the first words of the lines in `order`, modulo 2⁶⁴.
fn gather(lines: &[[u64; LINE_WORDS]], order: &[u32]) -> u64 {
    let (blocks, rest) = order.as_chunks::<SUMS>();
    let mut sums = [0_u64; SUMS];
    for block in blocks {
        for (sum, place) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(lines[*place as usize][0]);
        }
    }
    let rest = rest.iter().map(|place| lines[*place as usize][0]);
    sums.into_iter().chain(rest).fold(0, u64::wrapping_add)
}

/// Returns words of `set_bytes` in total, plus room to align them to a cache line. Each word is written: pages that
/// are only read would all map to the kernel's one zero page, which stays in the first cache.
fn words(set_bytes: u64) -> Vec<u64> {
    (1..=set_bytes / 8 + LINE_WORDS as u64).collect()
}

/// Returns the words from the start of a cache line on, without the room for alignment. A vector that straddles two
/// lines would take two reads.
fn from_a_line_on(words: &[u64]) -> &[u64] {
    let skipped = words.as_ptr().align_offset(size_of::<CacheLine<'_>>());
    let count = words.len() - LINE_WORDS;
    &words[skipped.min(LINE_WORDS)..][..count]
}

/// Returns the name of the instructions that [`sum`] uses.
fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        return "AVX2";
    }
    "portable"
}

/// Returns the sum of all words, modulo 2⁶⁴.
fn sum(words: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { sum_avx2(words) };
    }
    sum_in_lanes(words)
}

/// [`sum`] in AVX2 vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_avx2(words: &[u64]) -> u64 {
    sum_in_lanes(words)
}

/// [`sum`] in vectors as wide as the caller's instructions allow.
#[inline(always)]
fn sum_in_lanes(words: &[u64]) -> u64 {
    let (blocks, rest) = words.as_chunks::<LANES>();
    let mut lanes = [0_u64; LANES];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block) {
            *lane = lane.wrapping_add(*word);
        }
    }
    lanes.iter().chain(rest).fold(0, |sum, word| sum.wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cycle_visits_every_line_exactly_once() {
        for count in [2, 3, 64, 1_000] {
            let lines = lines(64 * count);
            assert_eq!(linked(&lines), 0);
            in_one_cycle(&lines);
            assert_eq!(linked(&lines), lines.len());
            let mut seen = vec![false; count as usize];
            let mut line = &lines[0];
            for _ in 0..count {
                let place = lines.iter().position(|other| std::ptr::eq(other, line)).unwrap();
                assert!(!seen[place], "line {place} of {count} is read twice");
                seen[place] = true;
                line = walk(line, 1);
            }
            assert!(std::ptr::eq(line, &lines[0]) && seen.iter().all(|seen| *seen));
        }
    }

    #[test]
    fn a_line_is_a_cache_line_and_a_walk_has_the_length_asked_for() {
        assert_eq!((size_of::<CacheLine<'_>>(), align_of::<CacheLine<'_>>()), (64, 64));
        let lines = lines(64 * 10);
        in_one_cycle(&lines);
        let step_by_step = (0..7).fold(&lines[0], |line, _| walk(line, 1));
        assert!(std::ptr::eq(walk(&lines[0], 7), step_by_step));
    }

    #[test]
    fn neighbours_in_the_cycle_are_not_neighbours_in_memory() {
        let lines = lines(64 * 4_096);
        in_one_cycle(&lines);
        let is_near = |line: &CacheLine<'_>| {
            let next: *const CacheLine<'_> = line.next.get().unwrap();
            next.addr().abs_diff(std::ptr::from_ref(line).addr()) <= 2 * 64
        };
        assert!(lines.iter().filter(|line| is_near(line)).count() < 40);
    }

    #[test]
    fn independent_reads_read_every_line_exactly_once_in_random_order() {
        for count in [0, 1, 7, 8, 9, 1_000] {
            let order = shuffled(count);
            let mut places = order.clone();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..count as u32), "{count} lines");
            let mut lines: Vec<[u64; LINE_WORDS]> =
                (0..count as u64).map(|line| [line << 32 | 1; LINE_WORDS]).collect();
            let expected: u64 = lines.iter().map(|line| line[0]).sum();
            assert_eq!(gather(&lines, &order), expected, "{count} lines");
            for line in 0..count {
                lines[line][0] ^= 1 << 63;
                assert_ne!(gather(&lines, &order), expected, "line {line} of {count} is not read");
                lines[line][0] ^= 1 << 63;
            }
        }
        let near = shuffled(4_096).windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 2).count();
        assert!(near < 40, "{near} reads are next to the one before");
    }

    #[test]
    fn the_stream_reads_every_byte_with_any_instructions() {
        for count in [0, 1, 31, 32, 33, 1_000] {
            let mut words = words(8 * count)[LINE_WORDS..].to_vec();
            words.iter_mut().for_each(|word| *word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            // Byte by byte: the first byte of each word counts 1, the next 256, …
            let expected = bytes
                .iter()
                .enumerate()
                .fold(0_u64, |sum, (i, byte)| sum.wrapping_add(u64::from(*byte) << (8 * (i % 8))));
            assert_eq!((sum(&words), sum_in_lanes(&words)), (expected, expected), "{count} words");
        }
        let mut words = words(8 * 70);
        let before = sum(&words);
        for word in 0..words.len() {
            for bit in [0, 8, 16, 24, 32, 40, 48, 56] {
                words[word] ^= 1 << bit;
                assert_ne!(sum(&words), before, "byte {bit} of word {word} is not read");
                words[word] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn working_sets_fit_their_level_and_that_of_memory_exceeds_all_caches() {
        let caches = Caches::read(Path::new(CPUS));
        for level in levels(&caches) {
            match (level.set_bytes, level.holds_bytes) {
                (Ok(set), Some(cache)) => assert!(0 < set && set <= cache, "{}", level.name),
                (Ok(set), None) => {
                    assert!(level.id == "memory" && set >= LEAST_MEMORY);
                    assert!(set >= 4 * caches.last_level());
                }
                (Err(Unavailable(why)), _) => {
                    assert!(why.contains("no cache of level") || why.contains("available"));
                }
            }
        }
        let sets = [0, 16 << 20, 100 << 20].map(|cache| beyond(cache, 4 << 30).unwrap());
        assert_eq!(sets, [64 << 20, 64 << 20, 400 << 20]);
        assert!(beyond(0, 200 << 20).unwrap_err().0.contains("a quarter of the memory available"));
        assert_eq!(
            [within(32, 0), within(1_024, 32), within(16, 4), within(16, 6)],
            [8, 256, 8, 8]
        );
        let words = words(800);
        assert!(words.iter().all(|word| *word != 0), "every word is written");
        let aligned = from_a_line_on(&words);
        assert_eq!((aligned.len(), aligned.as_ptr().addr() % 64), (100, 0));
    }
}
