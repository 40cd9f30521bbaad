//! A line of a log from its fields: write into one buffer of the right size.

use std::{fmt::Write, sync::Arc};

use rand::RngExt;
use worthit_pair::prelude::*;

/// Most digits of a `u64`, and the comma.
const FIELD_BYTES: usize = 21;

pub const PAIR: Pair = Pair {
    title: "Write fields into one sized buffer",
    review: Review {
        smell: "`line += &format!(\"{field},\")` in a loop, or `.map(|f| f.to_string()).collect::<Vec<_>>().join(\",\")`.",
        remedy: "`String::with_capacity(…)` once, then `write!(line, …)`.",
        keep_naive_when: "It runs once: an error message, a line of a start-up log.",
        costs: "A guess of the size; one that is too low allocates again, one that is too high wastes memory.",
        lint: Some("clippy::format_push_string"),
    },
    naive: Side { summary: "a String for each field, appended", growth: Growth::Linear },
    optimized: Side { summary: "write! into String::with_capacity", growth: Growth::Linear },
    axis: Axis {
        name: "fields",
        unit: "fields",
        is_size: true,
        points: Points::Fixed { default: &[1, 8, 64, 1_024], deep: &[] },
    },
    unit: "field",
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // One a field at least, and the growing line.
        naive: Count::AtLeast(|case| case.point + 1),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: "An allocation and a copy a field became one allocation a line. Writing the digits stays, so the \
                  gain is far below the ratio of allocations: about 2.",
    limit: Limit::BytesStreamed(|case| FIELD_BYTES as u64 * case.point),
    proof: Proof { resources: Resources::Memory, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Each field and a comma.
fn naive(fields: &Vec<u64>) -> String {
    let mut line = String::new();
    for field in fields {
        line += &format!("{field},");
    }
    line
}

/// Each field and a comma.
fn optimized(fields: &Vec<u64>) -> String {
    let mut line = String::with_capacity(fields.len() * FIELD_BYTES);
    for field in fields {
        write!(line, "{field},").expect("a String takes everything");
    }
    line
}

/// Fields of 1 to 19 digits, as counters, sizes and time stamps have them.
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
    fn trap_the_fields_are_not_all_of_one_length() {
        // Else the branches of writing digits are learned, and every guess of the size is right.
        let fields = input(&Case::realistic(1_024, 0, 1));
        let of_length = |digits| fields.iter().filter(|f| f.to_string().len() == digits).count();
        for digits in 1..=19 {
            assert!((20..200).contains(&of_length(digits)), "{digits}: {}", of_length(digits));
        }
    }
}
