//! CRC-32 of a message: a table built at compile time handles a byte at a time instead of a bit.

use std::{cell::Cell, collections::HashSet};

use rand::RngExt;
use worthit_pair::prelude::*;

/// The IEEE 802.3 polynomial, bit-reversed.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// Effect of each byte value on the checksum: eight steps in one.
const TABLE: [u32; 256] = table();

/// Steps that each depend on the previous one.
const STEPS: Cause = Cause::new("steps", "dependent steps").counted("with a closure that counts");

pub const PAIR: Pair = Pair {
    title: "Look up a byte's effect on a checksum",
    review: Review {
        smell: "A loop over the bits of each byte whose result depends only on the byte.",
        remedy: "A `const TABLE: [u32; 256]` of the results, made at compile time.",
        keep_naive_when: "Messages are rare, or other code needs the 1 KiB of cache more. For CRC-32 in production, use a \
                          crate that uses the CPU's own instructions.",
        costs: "1 KiB of read-only data, which competes for the L1 cache.",
        lint: Lint::None,
    },
    naive: Side { summary: "shift and xor for each bit", growth: Growth::Linear },
    optimized: Side { summary: "one table entry for each byte", growth: Growth::Linear },
    input: "Messages of random bytes, read front to back, so that all 256 entries of the table are in use. Each \
            byte needs the checksum of those before it.",
    axis: Axis {
        name: "message",
        unit: "B",
        is_size: true,
        points: Points::Fixed { default: &[8, 64, 1_000, 65_000], deep: &[] },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 1_000 },
    causes: &[Claim {
        cause: STEPS,
        naive: Count::Exactly(|case| 8 * case.point),
        optimized: Count::Exactly(|case| case.point),
    }],
    explanation: Explanation {
        why: "Eight dependent steps per byte became one. That step waits for the table lookup in the L1 cache, plus the \
              shift and xor, so it takes longer than one of the eight.",
        share_of_cause: ShareOfCause::Within(0.2, 0.5),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "messages of few byte values",
        reason: "only a part of the table would be read, and would stay nearer",
        check: |inputs: &[Vec<u8>]| {
            let values: HashSet<u8> = inputs.iter().flatten().copied().collect();
            ensure(values.len() == 256, || format!("{} of 256 byte values", values.len()))
        },
        sprung: || vec![b"only letters and spaces".to_vec()],
    }],
    limit: Limit::Work(&[Work::BytesStreamed(|case| case.point)]),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut entry = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            entry = (entry >> 1) ^ ((entry & 1) * POLYNOMIAL);
            bit += 1;
        }
        table[byte] = entry;
        byte += 1;
    }
    table
}

/// CRC-32 of a message; calls `step` once per step.
fn naive(message: &[u8], step: impl Fn()) -> u32 {
    let mut crc = !0;
    for byte in message {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            step();
            crc = (crc >> 1) ^ ((crc & 1) * POLYNOMIAL);
        }
    }
    !crc
}

/// CRC-32 of a message; calls `step` once per step.
fn optimized(message: &[u8], step: impl Fn()) -> u32 {
    let mut crc = !0_u32;
    for byte in message {
        step();
        crc = (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    }
    !crc
}

fn input(case: &Case) -> Vec<u8> {
    let bytes = case.point as usize;
    if case.shape == Shape::Realistic {
        let mut rng = case.rng("message");
        return (0..bytes).map(|_| rng.random()).collect();
    }
    case.values(bytes.div_ceil(8)).into_iter().flat_map(u64::to_le_bytes).take(bytes).collect()
}

/// Messages in the rotation: enough bytes to read every entry of the table.
const TURNS: u64 = 512;

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let turns = if case.point <= 1_000 { TURNS } else { TURNS / 32 };
    let inputs = case.rotate(turns, input);
    let counting = |side: fn(&[u8], &dyn Fn()) -> u32| {
        let inputs = inputs.clone();
        move |i: usize| {
            let steps = Cell::new(0);
            side(&inputs[i], &|| steps.set(steps.get() + 1));
            steps.get()
        }
    };
    let size = |message: &Vec<u8>| message.len() as u64;
    Ok(Trial::new(
        inputs.measured(size),
        by_ref(&inputs, |message| naive(message, || ()))
            .counting(STEPS, counting(|message, step| naive(message, step))),
        by_ref(&inputs, |message| optimized(message, || ()))
            .counting(STEPS, counting(|message, step| optimized(message, step))),
    )
    .units(size(&inputs[0])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // The check value from the CRC catalogue, the empty message and a single byte.
        for (message, crc) in [("123456789", 0xcbf4_3926), ("", 0), ("a", 0xe8b7_be43)] {
            let sides = [naive(message.as_bytes(), || ()), optimized(message.as_bytes(), || ())];
            assert_eq!(sides, [crc; 2], "{message}");
        }
    }
}
