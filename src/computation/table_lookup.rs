//! Compute a checksum: look up what many bits do to it, do not shift them in one by one.

use std::collections::HashSet;

use rand::RngExt;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

/// The generator of CRC-32 as in Ethernet, gzip and PNG, with its lowest power in the highest bit.
const POLYNOMIAL: u32 = 0xedb8_8320;

const STEPS: Cause = Cause::new("steps", "steps of the checksum, each after the one before")
    .counted("with a closure that is called at each step");

pub const PAIR: Pair = Pair {
    title: "Look a checksum up in tables",
    review: Review {
        smell: "`for _ in 0..8 { crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 } }`, or any loop \
                over the bits of each byte whose outcome depends on few bits.",
        remedy: "A `const fn` that fills `TABLES` with what each byte does at each of sixteen places, and one lookup \
                 for each byte of a block. (For CRC-32, the crate crc32fast is better still.)",
        keep_naive_when: "Messages have fewer bytes than a block. Or there is no room for the tables: they take 16 KiB \
                          of the nearest cache, which other code would use, or of a small device's memory. If one \
                          table is enough, leave it to a recent compiler: it recognises the loop.",
        costs: "The tables take memory, and the first lookups wait for it where other code has displaced them. For \
                CRC-32 there is no reason to write either: `crc32fast`, the peer, multiplies polynomials where the \
                processor can, which no table comes near. Other functions of a few bits have no such instruction. \
                Mind the polynomial, too: the `crc32` instruction of SSE4.2 computes CRC-32C, another checksum.",
        lint: Lint::None,
    },
    naive: Side { summary: "eight shifts for each byte", growth: Growth::Linear },
    optimized: Side {
        summary: "sixteen tables, a block of 16 bytes at a time",
        growth: Growth::Linear,
    },
    input: "Messages of log text, one after the other. Their content does not change how long either side takes. Their \
            length does, as bytes that do not fill a block are looked up one by one. The tables stay in the cache.",
    axis: Axis {
        name: "message",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[5, 50, 500, 5_000, 50_001, 200_001],
            deep: &[2_000_000],
        },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 5_000 },
    peers: &[SideBeside {
        name: "crc32fast",
        summary: "carry-less multiplication where there is one",
    }],
    alternatives: &[SideBeside { name: "one_table", summary: "one table, a byte at a time" }],
    causes: &[Claim {
        cause: STEPS,
        naive: Count::Exactly(|case| 8 * case.point),
        optimized: Count::Exactly(|case| case.point / 16 + case.point % 16),
    }],
    explanation: Explanation {
        why: "Each shift waits for the one before. A step of the optimized side takes in sixteen bytes, but it is also \
              sixteen lookups and as many exclusive ors, of which a processor starts only a few in a cycle. Twelve of the \
              lookups do not depend on the checksum so far, so they overlap with the step before. A compiler (seen with \
              Rust 1.95, LLVM 22) recognises the naive loop as a checksum and makes one table by itself; then eight shifts \
              cost as much as one lookup, and the alternative, a table of one's own, gains nothing. More tables are still \
              left to the programmer. The optimized side is far from its limit, because each block waits for the checksum \
              of the one before.",
        share_of_cause: ShareOfCause::Within(0.03, 0.5),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(5),
    },
    traps: &[
        &Trap {
            name: "a message is all zeros",
            reason: "a table of which one entry is read would do as well as a whole one",
            check: |inputs: &[Vec<u8>]| {
                let bytes: HashSet<u8> = inputs.iter().flatten().copied().collect();
                ensure(bytes.len() >= 20, || format!("{} different bytes", bytes.len()))
            },
            sprung: || vec![vec![0; 1_000]],
        },
        &Trap {
            name: "every message fills its blocks",
            reason: "the bytes that are left over are looked up one by one, which most messages need",
            check: |inputs: &[Vec<u8>]| {
                let rest = inputs.iter().map(|bytes| bytes.len() % 16).max();
                ensure(rest > Some(0), || "no bytes are left over".to_owned())
            },
            sprung: || vec![vec![b'x'; 4_096]],
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.point,
        within_bytes: |case| turns(case.point) * case.point,
    }]),
    prepare,
    ..Pair::DEFAULTS
};

/// Messages in the rotation, of 4 MiB or more together where they are long.
fn turns(bytes: u64) -> u64 {
    (4_194_304 / bytes.max(1)).clamp(16, 4_096)
}

/// The remainder after one more bit.
const fn shifted(crc: u32) -> u32 {
    if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 }
}

/// The CRC-32 of `bytes`. `step` does nothing when timed.
fn naive(bytes: &[u8], step: impl Fn()) -> u32 {
    let mut crc: u32 = !0;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..u8::BITS {
            crc = shifted(crc);
            step();
        }
    }
    !crc
}

/// Table `k` holds what a byte does to the checksum when `k` more bytes follow it.
static TABLES: [[u32; 256]; 16] = tables();

const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = shifted(crc);
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 16 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[k - 1][byte];
            tables[k][byte] = (crc >> 8) ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// The CRC-32 of `bytes`, with two times as many tables as in Kounavis and Berry, "Novel Table Lookup-Based Algorithms
/// for High-Performance CRC Generation" (2008). `step` does nothing when timed.
fn optimized(bytes: &[u8], step: impl Fn()) -> u32 {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut crc: u32 = !0;
    for block in blocks {
        let mut block = *block;
        for (byte, of_crc) in block.iter_mut().zip(crc.to_le_bytes()) {
            *byte ^= of_crc;
        }
        // The first four bytes come last, as they wait for the checksum.
        let found = block.iter().rev().zip(&TABLES).map(|(byte, table)| table[usize::from(*byte)]);
        crc = found.fold(0, |crc, of_byte| crc ^ of_byte);
        step();
    }
    for byte in rest {
        crc = with_byte(crc, *byte);
        step();
    }
    !crc
}

/// The remainder after one more byte.
fn with_byte(crc: u32, byte: u8) -> u32 {
    (crc >> 8) ^ TABLES[0][usize::from(crc as u8 ^ byte)]
}

/// The CRC-32 of `bytes` (Sarwate, "Computation of Cyclic Redundancy Checks via Table Look-Up", 1988).
fn one_table(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| with_byte(crc, *byte))
}

/// The CRC-32 of `bytes`.
fn crc32fast(bytes: &[u8]) -> u32 {
    ::crc32fast::hash(bytes)
}

fn input(case: &Case) -> Vec<u8> {
    let bytes = case.point as usize;
    match case.shape {
        Shape::Realistic => {
            // From the middle of a line, so that short messages differ.
            let start = case.rng("start").random_range(40..90);
            log_lines(case, start + bytes).concat().split_off(start)
        }
        Shape::Adversarial => log_lines(case, bytes).concat(),
        _ => case.values(bytes).into_iter().map(|value| value as u8).collect(),
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    Ok(Trial::new(
        inputs.measured(|bytes| bytes.len() as u64),
        by_ref(&inputs, |bytes: &Vec<u8>| naive(bytes, || ()))
            .counting(STEPS, noting(&inputs, |bytes| naive(bytes, note))),
        by_ref(&inputs, |bytes: &Vec<u8>| optimized(bytes, || ()))
            .counting(STEPS, noting(&inputs, |bytes| optimized(bytes, note))),
    )
    .peer(by_ref(&inputs, |bytes: &Vec<u8>| crc32fast(bytes)))
    .alternative(by_ref(&inputs, |bytes: &Vec<u8>| one_table(bytes)))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> [u32; 4] {
        [naive(bytes, || ()), optimized(bytes, || ()), one_table(bytes), crc32fast(bytes)]
    }

    #[test]
    fn known_answers() {
        assert_eq!(all(b""), [0; 4]);
        // The check value of the catalogue of CRCs, and texts that are quoted everywhere.
        assert_eq!(all(b"123456789"), [0xcbf4_3926; 4]);
        assert_eq!(all(b"a"), [0xe8b7_be43; 4]);
        assert_eq!(all(b"The quick brown fox jumps over the lazy dog"), [0x414f_a339; 4]);
        assert_eq!(all(&[0; 32]), [0x190a_55ad; 4]);
        assert_eq!(all(&[0xff; 32]), [0xff6c_ab0b; 4]);
    }

    #[test]
    fn every_byte_at_every_place_of_a_block_counts() {
        for place in 0..32 {
            for byte in 0..=255 {
                let mut bytes = *b"A message of two blocks, exactly";
                bytes[place] = byte;
                let [expected, others @ ..] = all(&bytes);
                assert_eq!(others, [expected; 3], "{byte} at {place}");
            }
        }
    }
}
