//! Join fields into a log line: write into one buffer of the right size.

use std::{fmt::Write, sync::Arc};

use rand::RngExt;
use worthit_pair::prelude::*;

/// Maximum number of digits of a `u64`, plus the comma.
const FIELD_BYTES: usize = 21;

pub const PAIR: Pair = Pair {
    title: "Write fields into one sized buffer",
    review: Review {
        smell: "`line += &format!(\"{field},\")` in a loop, or `.map(|f| f.to_string()).collect::<Vec<_>>().join(\",\")`.",
        remedy: "`String::with_capacity(…)` once, then `write!(line, …)`.",
        keep_naive_when: "It runs only once: an error message, a line of a start-up log.",
        costs: "You have to guess the size: too low reallocates, too high wastes memory.",
        lint: Some("clippy::format_push_string"),
    },
    naive: Side { summary: "append a new String for each field", growth: Growth::Linear },
    optimized: Side { summary: "write! into String::with_capacity", growth: Growth::Linear },
    input: "Integers of 1 to 20 digits, like counters, sizes and timestamps. Their lengths vary at random, so \
            the processor cannot learn them.",
    axis: Axis {
        name: "fields",
        unit: "fields",
        is_size: true,
        points: Points::Fixed { default: &[1, 8, 64, 1_024], deep: &[] },
    },
    unit: "field",
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // At least one per field, plus those of the growing line.
        naive: Count::AtLeast(|case| case.point + 1),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: "One allocation and one copy per field became one allocation per line. Formatting the digits remains, \
                  so the gain is only about 2, far below the ratio of allocations.",
    limit: Limit::BytesStreamed(|case| FIELD_BYTES as u64 * case.point),
    proof: Proof { resources: Resources::Memory, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Each field followed by a comma.
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

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let fields = Arc::new(input(case));
    let count = fields.len() as u64;
    let trial = Trial::new(count, by_ref(&fields, naive), by_ref(&fields, optimized));
    Ok(trial.units(count))
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

    #[test]
    fn trap_fields_vary_in_length() {
        // Otherwise the CPU learns the branches of digit formatting, and every guess of the size is right.
        let fields = input(&Case::realistic(1_024, 0, 1));
        let count_of_length =
            |digits| fields.iter().filter(|f| f.to_string().len() == digits).count();
        for digits in 1..=19 {
            let count = count_of_length(digits);
            assert!((20..200).contains(&count), "{digits}: {count}");
        }
    }
}
