//! Join fields into a log line: write into one buffer of the right size.

use std::{collections::HashSet, fmt::Write};

use rand::RngExt;
use worthit_pair::prelude::*;

/// Maximum number of digits of a `u64`, plus the comma.
const FIELD_BYTES: usize = 21;

pub const PAIR: Pair = Pair {
    title: "Write fields into one sized buffer",
    review: Review {
        smell: "`line += &format!(\"{field},\")` in a loop, or `.map(|f| f.to_string()).collect::<Vec<_>>().join(\",\")`.",
        remedy: "`String::with_capacity(…)` once, then `write!(line, \"{field},\")` in the loop.",
        keep_naive_when: "It runs only once: an error message, a line of a start-up log.",
        costs: "You have to guess the size: too low reallocates, too high wastes memory.",
        lint: Lint::Switched("clippy::format_push_string", "clippy::pedantic"),
    },
    naive: Side { summary: "append a new String for each field", growth: Growth::Linear },
    optimized: Side { summary: "write! into String::with_capacity", growth: Growth::Linear },
    input: "Integers of 1 to 20 digits, like counters, sizes and timestamps. Their lengths vary at random, so \
            the processor cannot learn them.",
    axis: Axis {
        name: "fields",
        unit: "fields",
        is_size: true,
        points: Points::Fixed { default: &[1, 8, 64, 1_000], deep: &[] },
    },
    unit: "field",
    headline: Headline::At { level: "", point: 64 },
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // At least one per field, plus those of the growing line.
        naive: Count::AtLeast(|case| case.point + 1),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: Explanation {
        why: "One allocation and one copy per field became one allocation per line. Formatting the digits remains, so the \
              gain is far below the ratio of allocations.",
        share_of_cause: ShareOfCause::Within(0.01, 0.04),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "all fields have as many digits",
        reason: "the processor would learn the branches of formatting, and every guess of the size would be right",
        check: |inputs: &[Vec<u64>]| {
            let digits = |field: &u64| field.checked_ilog10().unwrap_or(0) + 1;
            let lengths: HashSet<u32> = inputs.iter().flatten().map(digits).collect();
            ensure(lengths.len() > 10, || format!("{} lengths", lengths.len()))
        },
        sprung: || vec![vec![12_345; 64]],
    }],
    limit: Limit::Work(&[Work::BytesStreamed(|case| FIELD_BYTES as u64 * case.point)]),
    proof: Proof { resources: Resources::Memory, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Each field followed by a comma.
#[expect(clippy::format_push_string, reason = "this is the smell")]
fn naive(fields: &Vec<u64>) -> String {
    let mut line = String::new();
    for field in fields {
        line += &format!("{field},");
    }
    line
}

/// Each field followed by a comma.
fn optimized(fields: &Vec<u64>) -> String {
    let mut line = String::with_capacity(fields.len() * FIELD_BYTES);
    for field in fields {
        write!(line, "{field},").expect("a String takes everything");
    }
    line
}

/// Fields of 1 to 19 digits, like counters, sizes and timestamps.
fn input(case: &Case) -> Vec<u64> {
    let mut rng = case.rng("digits");
    let values = case.values(case.point as usize);
    values.into_iter().map(|value| value >> rng.random_range(0..64)).collect()
}

/// Lines in the rotation: more fields than a branch predictor remembers.
fn turns(fields: u64) -> u64 {
    if fields <= 64 { 512 } else { 64 }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let size = |fields: &Vec<u64>| fields.len() as u64;
    let trial =
        Trial::new(inputs.measured(size), by_ref(&inputs, naive), by_ref(&inputs, optimized));
    Ok(trial.units(size(&inputs[0])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for join in [naive, optimized] {
            assert_eq!(join(&vec![]), "");
            assert_eq!(join(&vec![7]), "7,");
            assert_eq!(join(&vec![0, u64::MAX]), "0,18446744073709551615,");
        }
    }
}
