//! Build a text from many pieces: append each to one buffer, do not format the whole text anew.

use std::{collections::HashSet, fmt::Write};

use rand::{Rng, RngExt};

use crate::fixtures::text::english;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Append to a text instead of formatting it anew",
    review: Review {
        smell: "`text = format!(\"{text}{row}\\n\")` in a loop: each turn makes a new text that begins with all of the \
                old one.",
        remedy: "`writeln!(text, \"{name};{quantity};{cents}\")` into one `String`. The trait fmt::Write of std must be in \
                 scope.",
        keep_naive_when: "There are one or two pieces: one `format!` then says best what comes out.",
        costs: "The import of a trait, and a result that has to be dealt with though a `String` never fails. Appending \
                with `text.push_str(&format!(…))`, the alternative, needs neither and does not copy the text again, but \
                makes a `String` for each piece. `text + &piece` and `text += &piece` append in place as well: they \
                reuse the room of their left side.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "format! of the text so far and the next row",
        growth: Growth::Other("O(n) to format, and O(n²) to copy"),
    },
    optimized: Side { summary: "writeln! into one String", growth: Growth::Linear },
    input: "Order lines that become a text, as in an export: a line for each, with semicolons between its fields. These are \
            the name of an article of 20 to 60 bytes, a quantity and a price. Lists alternate.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[1, 3, 12, 50, 300, 1_500], deep: &[10_000] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 300 },
    alternatives: &[SideBeside {
        name: "push_format",
        summary: "format! of the row alone, then push_str",
    }],
    causes: &[
        Claim {
            cause: causes::ALLOCATED_BYTES,
            // Each row makes a text that holds all rows so far, of at least 20 bytes each.
            naive: Count::AtLeast(|case| 20 * case.point * (case.point + 1) / 2),
            // The buffer doubles, and a row has at most 90 bytes.
            optimized: Count::AtMost(|case| 4 * 90 * case.point),
        },
        Claim {
            cause: causes::ALLOCATIONS,
            naive: Count::AtLeast(|case| 2 * case.point),
            optimized: Count::AtMost(|case| 6 + u64::from(case.point.ilog2())),
        },
    ],
    explanation: Explanation {
        why: "A `format!` that has the text as an argument makes a new text: it allocates, copies everything that was \
              there, grows for the next row, and frees the old one. So the bytes that are copied grow with the square of \
              the rows. A buffer that doubles when it is full copies each byte a small number of times, however many rows \
              there are. Copying is quick beside the formatting of a number, so the gain stays far below the ratio of \
              bytes, and a few rows differ little.",
        share_of_cause: ShareOfCause::Within(0.01, 0.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "the rows are empty",
            reason: "there would be nothing to copy",
            check: |inputs: &[Vec<Row>]| {
                let rows = inputs.iter().flatten();
                let short = rows.clone().filter(|row| row.name.len() < 20).count();
                ensure(short == 0, || format!("{short} names are shorter than 20 bytes"))
            },
            sprung: || vec![vec![Row { name: String::new(), quantity: 1, cents: 1 }; 100]],
        },
        &Trap {
            name: "the same row again and again",
            reason: "the processor would know where each name and each number ends",
            check: |inputs: &[Vec<Row>]| {
                let rows = || inputs.iter().flatten();
                let distinct: HashSet<&Row> = rows().collect();
                ensure(distinct.len() * 2 > rows().count() && distinct.len() >= 2_000, || {
                    format!("{} different rows of {}", distinct.len(), rows().count())
                })
            },
            sprung: || {
                vec![vec![
                    row(&Case::realistic(1, 0, 1), &mut Case::realistic(1, 0, 1).rng(""));
                    5_000
                ]]
            },
        },
    ],
    limit: Limit::None(
        "the formatting of the numbers takes most of what is left, and no machine number bounds it",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
fn turns(rows: u64) -> u64 {
    (8_192 / rows.max(1)).clamp(4, 4_096)
}

/// An order line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    name: String,
    quantity: u32,
    cents: u64,
}

/// All rows as a text, one a line.
fn naive(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { name, quantity, cents } in rows {
        text = format!("{text}{name};{quantity};{cents}\n");
    }
    text
}

/// All rows as a text, one a line.
fn optimized(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { name, quantity, cents } in rows {
        writeln!(text, "{name};{quantity};{cents}").expect("a String takes any text");
    }
    text
}

/// All rows as a text, one a line.
fn push_format(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { name, quantity, cents } in rows {
        text.push_str(&format!("{name};{quantity};{cents}\n"));
    }
    text
}

fn row(case: &Case, rng: &mut impl Rng) -> Row {
    const HOSTILE: [&str; 8] = ["", "{}", "{text}", "\n", ";;", "\u{0}", "für 日本 🙂", "\"\\"];
    match case.shape {
        Shape::Realistic => {
            let length = rng.random_range(20..=60);
            let name = english(length, rng);
            Row { name, quantity: rng.random_range(1..200), cents: rng.random_range(50..500_000) }
        }
        Shape::Adversarial => Row {
            name: HOSTILE[rng.random_range(0..8)].repeat(rng.random_range(0..20)),
            quantity: [0, 9, 10, u32::MAX][rng.random_range(0..4)],
            cents: [0, 99, 100, u64::MAX][rng.random_range(0..4)],
        },
        Shape::DuplicateHeavy => Row { name: "the same".to_owned(), quantity: 1, cents: 250 },
        _ => {
            let length = rng.random_range(0..16);
            Row { name: english(length, rng), quantity: rng.random(), cents: rng.random() }
        }
    }
}

fn input(case: &Case) -> Vec<Row> {
    let mut rng = case.rng("rows");
    let mut rows: Vec<Row> = (0..case.point).map(|_| row(case, &mut rng)).collect();
    if case.shape == Shape::Sorted {
        rows.sort_by_key(|row| row.cents);
    }
    rows
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), input);
    let over = |side: fn(&[Row]) -> String| by_ref(&inputs, move |rows: &Vec<Row>| side(rows));
    let trial = Trial::new(inputs.measured(|r| r.len() as u64), over(naive), over(optimized));
    Ok(trial.alternative(over(push_format)).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let row = |name: &str, quantity, cents| Row { name: name.to_owned(), quantity, cents };
        let rows = [row("tea", 2, 450), row("", 0, 0), row("{} für zwei", u32::MAX, u64::MAX)];
        let text = "tea;2;450\n;0;0\n{} für zwei;4294967295;18446744073709551615\n";
        for export in [naive, optimized, push_format] {
            assert_eq!(export(&[]), "");
            assert_eq!(export(&rows[..1]), "tea;2;450\n");
            assert_eq!(export(&rows), text);
        }
    }

    #[test]
    fn trap_plus_reuses_its_left_side() {
        // So a loop with `text = text + &piece` is no naive side: it copies nothing again.
        let mut text = String::with_capacity(100);
        text.push_str("so far");
        let before = text.as_ptr();
        let text = text + " and more";
        assert_eq!((text.as_ptr(), &*text), (before, "so far and more"));
    }
}
