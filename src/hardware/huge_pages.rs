//! Read random places of a large working set: in huge pages, of which the processor remembers more bytes.

use std::{collections::HashSet, fs, ops::Range, rc::Rc};

use memmap2::{Advice, MmapMut, MmapOptions};
use rand::RngExt;

use worthit_pair::prelude::*;

/// Bytes of a page, as x86-64 and most others have them.
const PAGE: usize = 4 << 10;
/// Bytes of a huge page.
const HUGE: usize = 2 << 20;
/// Bytes of a line, one word of which is read at a time.
const LINE: usize = 64;
/// Reads in one iteration.
const READS: u64 = 16_384;
/// Inputs in the rotation, at least.
const FEWEST_TURNS: u64 = 16;
/// More lines than a cache holds. All inputs together read at least this many, or half of the lines if that is less.
const MANY_LINES: u64 = 2 << 20;

/// Level of reads whose places are all known beforehand.
const INDEPENDENT: u64 = 0;
/// Level of reads each of which yields the place of the next.
const DEPENDENT: u64 = 1;

const MIB: u64 = 1 << 20;

const TRANSLATIONS: Cause = Cause::new("translations", "pages that hold what is read").modelled(
    "from the addresses that the side reads, and the size of the pages that the kernel gave it",
);

const FAULTS: Cause = Cause::new("page_faults", "page faults when the working set is filled")
    .counted(
        "from the pages that the kernel says the memory has: the first write to each is a fault",
    );

pub const PAIR: Pair = Pair {
    title: "Ask for huge pages",
    review: Review {
        smell: "A hash table, a heap of objects or an index of many megabytes in memory, read at random places, on a \
                system where `/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`, and nobody asks.",
        remedy: "Map the memory in multiples of 2 MiB and call `map.advise_range(Advice::HugePage, …)` (memmap2) before \
                 anything is written to it: `Memory::new(…, Advice::HugePage)`. Then look at `AnonHugePages` in \
                 `/proc/self/smaps`, as the kernel may have none to give.",
        keep_naive_when: "The working set is small enough for the processor to remember all its pages, or it is read in \
                          order. Or `enabled` says `always`: then the kernel gives huge pages unasked. Or the memory \
                          is used in small pieces here and there, as huge pages make each of them cost 2 MiB.",
        costs: "Memory is rounded up to 2 MiB and zeroed that much at a time, so the first write to a huge page waits \
                longer. The kernel may have to move other pages to make room for one, and may give none when memory is \
                fragmented. After a `fork`, a write copies 2 MiB where the kernel does not split the page.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "pages of 4 KiB",
        growth: Growth::Other("grows as caches and then the translations no longer hold it"),
    },
    optimized: Side {
        summary: "pages of 2 MiB",
        growth: Growth::Other("grows as caches no longer hold it"),
    },
    input: "Anonymous memory of the stated size, filled beforehand, with 16,384 reads of a word at random lines of it. \
            Their places are hashes of a running number, as in a hash table; where reads depend on each other, the word \
            that was read goes into the next hash. The naive side's memory is excluded from huge pages, the optimized \
            side's has nothing else. Whether the host of a virtual machine backs them with huge pages of its own, only \
            it knows.",
    axis: Axis {
        name: "working set",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[MIB, 16 * MIB, 64 * MIB, 256 * MIB],
            deep: &[1_024 * MIB, 4_096 * MIB],
        },
    },
    parameter: Some(Parameter {
        name: "reads",
        levels: Levels::Fixed(&[
            Level { label: "independent", value: INDEPENDENT, origin: Origin::Measured },
            Level { label: "dependent", value: DEPENDENT, origin: Origin::Measured },
        ]),
    }),
    unit: "read",
    headline: Headline::At { level: "dependent", point: 256 * MIB },
    causes: &[
        Claim {
            cause: TRANSLATIONS,
            // As many random reads as there are pages meet two in three of them, and fewer reads meet more each.
            naive: Count::AtLeast(|case| READS.min(case.point / PAGE as u64) * 6 / 10),
            optimized: Count::AtMost(|case| case.point.div_ceil(HUGE as u64)),
        },
        Claim {
            cause: FAULTS,
            naive: Count::Exactly(|case| case.point.next_multiple_of(HUGE as u64) / PAGE as u64),
            optimized: Count::Exactly(|case| case.point.div_ceil(HUGE as u64)),
        },
    ],
    explanation: Explanation {
        why: "Each read needs the translation of its page. The processor remembers a number of them (its TLB), be \
              the pages small or huge, and looks any other up in the page table, which is one to four more reads; in a \
              virtual machine each of these may need others. Huge pages let it remember the whole working set. Small \
              ones do so for some megabytes. The larger the set, the farther away the words themselves, and the \
              smaller the part of the look-up in the whole read; but then the page table no longer fits the near \
              caches, either. Reads that depend on each other wait for both in turn, others overlap.",
        share_of_cause: ShareOfCause::NoRatio(
            "a page that the processor does not remember makes a read longer, and how much depends on where its entry \
             and the word lie",
        ),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(MIB),
    },
    traps: &[
        &Trap {
            name: "the pages are not of the size they should have",
            reason: "the kernel may give no huge page, or give some unasked",
            check: |inputs: &[Input]| {
                inputs.iter().take(1).try_for_each(|i| pages_are_as_asked(&i.small, &i.huge))
            },
            sprung: || {
                let small = Memory::new(4 * MIB, Advice::NoHugePage, 1).expect("there are 4 MiB");
                let small = Rc::new(small);
                vec![Input { huge: Rc::clone(&small), small, seed: 1, is_dependent: false }]
            },
        },
        &Trap {
            name: "the same lines again and again",
            reason: "they would stay in a cache, while their translations do not, and the words would cost nothing",
            check: |inputs: &[Input]| {
                let lines = inputs[0].small.lines().len() as u64;
                let seeds: HashSet<u64> = inputs.iter().map(|input| input.seed / READS).collect();
                let reads = seeds.len() as u64 * READS;
                ensure(reads >= (lines / 2).min(MANY_LINES), || {
                    format!("{reads} reads of {lines} lines")
                })
            },
            sprung: || {
                let memory =
                    || Rc::new(Memory::new(64 * MIB, Advice::NoHugePage, 1).expect("room"));
                vec![Input { small: memory(), huge: memory(), seed: 1, is_dependent: false }]
            },
        },
    ],
    // Even reads that overlap take this long, from pages of 4 KiB. The number of reads that depend on each other includes
    // the look-ups that this side avoids.
    limit: Limit::Work(&[Work::IndependentReads {
        reads: |_| READS,
        within_bytes: |case| case.point,
    }]),
    proof: Proof { resources: Resources::System, max_size: 100_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Anonymous memory in pages of one size.
struct Memory {
    map: MmapMut,
    /// Where the first huge page begins, or would.
    from: usize,
    /// Bytes of the working set.
    bytes: usize,
}

impl Memory {
    /// Maps and fills a working set. Nothing was written to the pages before the kernel was advised.
    fn new(bytes: u64, advice: Advice, seed: u64) -> Result<Memory, Unavailable> {
        let bytes = bytes as usize;
        let mapped = bytes.next_multiple_of(HUGE);
        let failed = |error| Unavailable(format!("cannot map {mapped} bytes: {error}"));
        let map = MmapOptions::new().len(mapped + HUGE).map_anon().map_err(failed)?;
        let from = map.as_ptr().align_offset(HUGE);
        if mapped > 0 {
            map.advise_range(advice, from, mapped).map_err(|error| {
                Unavailable(format!("not measured: this kernel has no huge pages ({error})"))
            })?;
        }
        let mut memory = Memory { map, from, bytes };
        memory.map[from..from + mapped].iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        let filled = &mut memory.map[from..from + bytes];
        for (line, number) in filled.as_chunks_mut::<LINE>().0.iter_mut().zip(0..) {
            line[..8].copy_from_slice(&mixed(seed ^ number).to_le_bytes());
        }
        Ok(memory)
    }

    fn lines(&self) -> &[[u8; LINE]] {
        self.map[self.from..self.from + self.bytes].as_chunks().0
    }

    /// Bytes that it takes, in whole huge pages.
    fn mapped(&self) -> u64 {
        self.bytes.next_multiple_of(HUGE) as u64
    }

    /// Pages that the kernel gave it, small or huge. Each was given at the first write to it, with a page fault.
    fn pages(&self) -> Result<u64, String> {
        let (all, in_huge) = self.resident()?;
        Ok((all - in_huge) / PAGE as u64 + in_huge / HUGE as u64)
    }

    /// Bytes of the mapping that are resident, and how many of those are in huge pages.
    fn resident(&self) -> Result<(u64, u64), String> {
        let smaps = fs::read_to_string("/proc/self/smaps");
        let smaps = smaps.map_err(|error| format!("cannot read /proc/self/smaps: {error}"))?;
        let from = self.map.as_ptr().addr() + self.from;
        Ok(resident_within(&smaps, from..from + self.mapped() as usize))
    }
}

/// Sums of `Rss` and `AnonHugePages` over the mappings that overlap a range, see proc(5).
fn resident_within(smaps: &str, range: Range<usize>) -> (u64, u64) {
    let (mut overlaps, mut sums) = (false, (0, 0));
    for line in smaps.lines() {
        let mut fields = line.split_whitespace();
        let Some(first) = fields.next() else { continue };
        let kib = || fields.clone().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        match first {
            "Rss:" if overlaps => sums.0 += kib() << 10,
            "AnonHugePages:" if overlaps => sums.1 += kib() << 10,
            _ if first.ends_with(':') => {}
            _ => {
                let ends = first.split_once('-').map(|(from, to)| {
                    [from, to].map(|end| usize::from_str_radix(end, 16).unwrap_or(0))
                });
                overlaps = ends.is_some_and(|[from, to]| from < range.end && range.start < to);
            }
        }
    }
    sums
}

struct Input {
    /// The same ones in each input of the rotation.
    small: Rc<Memory>,
    huge: Rc<Memory>,
    /// Decides the places.
    seed: u64,
    is_dependent: bool,
}

/// The sum of the words at random places, modulo 2⁶⁴, from small pages.
fn naive(input: &Input) -> u64 {
    sum_of_reads(&input.small, input, |_| {})
}

/// The same from huge pages: the memory was mapped with `Advice::HugePage`.
fn optimized(input: &Input) -> u64 {
    sum_of_reads(&input.huge, input, |_| {})
}

/// The same code for both sides; the memory differs.
fn sum_of_reads(memory: &Memory, input: &Input, see: impl FnMut(usize)) -> u64 {
    if input.is_dependent {
        reads::<true>(memory.lines(), input.seed, see)
    } else {
        reads::<false>(memory.lines(), input.seed, see)
    }
}

/// Reads a word of each line, whose place `see` sees.
fn reads<const IS_DEPENDENT: bool>(
    lines: &[[u8; LINE]],
    seed: u64,
    mut see: impl FnMut(usize),
) -> u64 {
    if lines.is_empty() {
        return 0;
    }
    let (mut sum, mut word) = (0_u64, 0);
    for number in seed..seed + READS {
        let hash = mixed(if IS_DEPENDENT { number ^ word } else { number });
        let place = ((u128::from(hash) * lines.len() as u128) >> 64) as usize;
        see(place);
        word = u64::from_le_bytes(*lines[place].first_chunk().expect("a line is longer"));
        sum = sum.wrapping_add(word);
    }
    sum
}

/// A number that nothing in the processor can foresee.
fn mixed(number: u64) -> u64 {
    let hash = (number ^ number >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash ^ hash >> 29).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Number of pages that a side reads.
fn pages_read(memory: &Memory, page: usize, input: &Input) -> u64 {
    let mut seen = vec![false; memory.bytes.div_ceil(page)];
    sum_of_reads(memory, input, |place| seen[place * LINE / page] = true);
    seen.into_iter().filter(|seen| *seen).count() as u64
}

fn input(case: &Case, small: &Rc<Memory>, huge: &Rc<Memory>) -> Input {
    let seed = match case.shape {
        Shape::DuplicateHeavy => 0,
        Shape::Sorted => case.turn * READS,
        Shape::Adversarial => u64::MAX - READS - case.turn,
        // No two inputs have a number in common.
        Shape::Realistic | Shape::Random => case.rng("places").random_range(0..1 << 40) * READS,
    };
    let is_dependent = case.level == DEPENDENT;
    Input { small: Rc::clone(small), huge: Rc::clone(huge), seed, is_dependent }
}

/// Checks that both kinds of memory are in pages of their size.
fn pages_are_as_asked(small: &Memory, huge: &Memory) -> Result<(), String> {
    let ((all_small, unasked), (all, in_huge)) = (small.resident()?, huge.resident()?);
    let are_small = all_small >= small.mapped() && unasked == 0;
    let are_huge = all >= huge.mapped() && in_huge == all;
    ensure(are_small && are_huge, || {
        format!("{in_huge} of {all} bytes are in huge pages, and {unasked} of {all_small} unasked")
    })
}

/// What the kernel says about huge pages.
fn enabled() -> String {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let text = fs::read_to_string(path).unwrap_or_else(|_| "nothing".to_owned());
    format!("{path} says `{}`", text.trim())
}

/// Bytes of memory that are available without swapping.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    if available().is_some_and(|bytes| bytes / 2 < 2 * case.point) {
        return Err(Unavailable(
            "not measured: both sides together would take more than half of the memory that is available; end other \
             programs that hold memory"
                .to_owned(),
        ));
    }
    let memory = |advice| Memory::new(case.point, advice, case.seed).map(Rc::new);
    let (small, huge) = (memory(Advice::NoHugePage)?, memory(Advice::HugePage)?);
    // Answers do not depend on it, so a proof does not either.
    if case.proof_size.is_none() {
        pages_are_as_asked(&small, &huge).map_err(|found| {
            Unavailable(format!(
                "not measured: {found} ({}); it must not say `never`, and there must be free memory in one piece",
                enabled()
            ))
        })?;
    }
    // They read half of the lines at least, or more than any cache holds.
    let lines = (case.point / LINE as u64 / 2).min(MANY_LINES);
    let turns = lines.div_ceil(READS).max(FEWEST_TURNS);
    let inputs = case.rotate(turns, |case| input(case, &small, &huge));
    let (of_naive, of_optimized) = (inputs.clone(), inputs.clone());
    let faults = |memory: &Memory| memory.pages().map_err(Unavailable);
    let (faults_of_small, faults_of_huge) = (faults(&small)?, faults(&huge)?);
    Ok(Trial::new(
        inputs.measured(|input| input.small.bytes as u64),
        by_ref(&inputs, naive)
            .counting(TRANSLATIONS, move |i| pages_read(&of_naive[i].small, PAGE, &of_naive[i]))
            .counting(FAULTS, move |_| faults_of_small),
        by_ref(&inputs, optimized)
            .counting(TRANSLATIONS, move |i| {
                pages_read(&of_optimized[i].huge, HUGE, &of_optimized[i])
            })
            .counting(FAULTS, move |_| faults_of_huge),
    )
    .units(READS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: u64, advice: Advice) -> Rc<Memory> {
        Rc::new(Memory::new(bytes, advice, 1).unwrap())
    }

    #[test]
    fn known_answers() {
        let (small, huge) = (memory(64 * 3, Advice::NoHugePage), memory(64 * 3, Advice::HugePage));
        let words = [0, 1, 2].map(|line| mixed(1 ^ line));
        let held: Vec<u64> = small
            .lines()
            .iter()
            .map(|line| u64::from_le_bytes(*line.first_chunk().unwrap()))
            .collect();
        assert_eq!(held, words);
        for is_dependent in [false, true] {
            let input =
                Input { small: Rc::clone(&small), huge: Rc::clone(&huge), seed: 9, is_dependent };
            let (mut sum, mut word) = (0_u64, 0);
            for number in 9..9 + READS {
                let hash = mixed(if is_dependent { number ^ word } else { number });
                word = words[(hash as f64 / 2_f64.powi(64) * 3.0) as usize];
                sum = sum.wrapping_add(word);
            }
            assert_eq!((naive(&input), optimized(&input)), (sum, sum));
        }
        let (small, huge) = (memory(63, Advice::NoHugePage), memory(0, Advice::HugePage));
        let input = Input { small, huge, seed: 0, is_dependent: true };
        assert_eq!((naive(&input), optimized(&input)), (0, 0), "no whole line");
    }

    #[test]
    fn the_kernels_table_of_mappings_is_read_as_it_is_written() {
        let smaps = "7f0000000000-7f0000200000 rw-p 00000000 00:00 0\nSize: 2048 kB\nRss: 2048 kB\n\
                     AnonHugePages: 2048 kB\nVmFlags: rd wr hg\n\
                     7f0000200000-7f0000201000 rw-p 00000000 00:00 0\nRss: 4 kB\nAnonHugePages: 0 kB\n";
        let from = 0x7f00_0000_0000;
        assert_eq!(resident_within(smaps, from..from + HUGE), (HUGE as u64, HUGE as u64));
        assert_eq!(
            resident_within(smaps, from..from + HUGE + 1),
            (HUGE as u64 + 4_096, HUGE as u64)
        );
        assert_eq!(resident_within(smaps, from + HUGE..from + HUGE + 1), (4_096, 0));
        assert_eq!(resident_within(smaps, 0..1), (0, 0));
    }

    #[test]
    fn trap_memory_of_small_pages_has_no_huge_one_and_a_fault_for_each() {
        let small = memory(3 * MIB, Advice::NoHugePage);
        assert_eq!(small.resident(), Ok((4 * MIB, 0)));
        assert_eq!(small.pages(), Ok(4 * MIB / PAGE as u64));
        assert!(small.lines().as_ptr().addr().is_multiple_of(HUGE));
    }
}
