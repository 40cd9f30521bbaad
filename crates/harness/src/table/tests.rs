//! Tests of the tables, at many widths.

use super::*;
use crate::{
    made::{FAMILY, HEADLINE, add, between, gain, marked, run, unavailable},
    numbers, terminal,
};

/// From a narrow terminal to a wide one: blocks, three columns, five columns, and both sides of each threshold.
const WIDTHS: [usize; 11] = [36, 48, 80, 95, 96, 100, 120, 159, 160, 200, 400];
const LONG: &str = "f/a_name_of_thirty_one_characters";
const REASON: &str = "not measured: postgres is not on the PATH\u{1b}[31m; install postgresql";

/// A run with every kind of outcome, long figures and levels.
fn various() -> Run {
    let mut run = run();
    add(&mut run, "f/p", "", 1, gain(0.5));
    add(&mut run, "f/p", "", HEADLINE, between(1_234_567.0, 1_334_567.0));
    for level in ["near", "far"] {
        add(&mut run, LONG, level, 1, between(0.012_34, 0.045_67));
        add(&mut run, LONG, level, HEADLINE, marked(gain(12.34)));
    }
    add(&mut run, "f/q", "", 1, unavailable(REASON));
    add(&mut run, "f/q", "", HEADLINE, unavailable(REASON));
    run
}

/// Asserts what holds for any text on a terminal of this width.
fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.ends_with(' '), "{line:?}");
        let is_one_word = line.split_whitespace().count() == 1;
        assert!(terminal::columns(line) <= width || is_one_word, "{width}: {line}");
    }
}

/// Sorted words of a text, without the drawn lines.
fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = text.split_whitespace().filter(|word| !word.contains('─')).collect();
    words.sort_unstable();
    words
}

#[test]
fn ids_and_all_other_words_are_whole_at_every_width() {
    let run = various();
    for width in WIDTHS {
        let text = of_family(&run, &FAMILY, width);
        assert_fits(&text, width);
        for id in run.pairs.keys() {
            assert!(
                text.lines().any(|line| line.split(' ').any(|word| word == id)),
                "{id}\n{text}"
            );
        }
        for word in
            ["near", "far", "1,000", "100", "statements", "[marked]", "0.500×", "postgresql"]
        {
            let is_whole = |shown: &str| shown.trim_end_matches([':', ';', ',']) == word;
            assert!(words(&text).into_iter().any(is_whole), "{width}: {word}\n{text}");
        }
        assert!(!text.contains("f/r"), "the run does not have it\n{text}");
    }
}

#[test]
fn a_sweep_takes_two_lines_in_a_wide_table_and_three_in_a_block() {
    let mut run = run();
    for id in ["f/p", "f/q", "f/r"] {
        add(&mut run, id, "", 1, between(0.91, 0.92));
        add(&mut run, id, "", HEADLINE, between(12.3, 12.4));
    }
    let lines = |width| of_family(&run, &FAMILY, width).trim_end().lines().count();
    assert_eq!(lines(200), 3 + 3, "a heading, a header, a line and the sweeps");
    assert_eq!(lines(120), 3 + 3 * 2);
    assert_eq!(lines(80), 1 + 3 * 3);
}

#[test]
fn a_narrow_block_leaves_out_intervals_before_it_wraps() {
    let mut run = run();
    add(&mut run, "f/p", "", 1, between(0.5, 0.6));
    add(&mut run, "f/p", "", HEADLINE, between(2.0, 2.2));
    let block = |width| of_family(&run, &FAMILY, width);
    let full = block(90);
    assert!(
        full.contains("1 row: 0.550× (0.500…0.600) → 1,000 rows: 2.10× (2.00…2.20)\n"),
        "{full}"
    );
    assert!(full.contains("between 1 and 1,000); 100 → 1 SQL statements"), "{full}");
    let brief = block(50);
    assert!(brief.contains("  1 row: 0.550× → 1,000 rows: 2.10×\n"), "{brief}");
    let explanation = brief.lines().nth(3).unwrap();
    assert!(explanation.starts_with("  wins from about ") && !explanation.contains('('), "{brief}");
    assert!(explanation.ends_with(" on; 100 → 1 SQL statements"), "{brief}");
}

#[test]
fn a_reason_stands_once_and_explains_the_whole_sweep() {
    for width in WIDTHS {
        let text = of_family(&various(), &FAMILY, width);
        let row = text.split("f/q").nth(1).unwrap();
        assert_eq!(row.matches("postgresql").count(), 1, "{text}");
        assert!(!row.contains("statements"), "what was not measured has no cause\n{text}");
    }
}

#[test]
fn a_word_that_no_column_holds_makes_a_block_and_stays_whole() {
    let path = format!("/usr/lib/{}", "x".repeat(150));
    let mut run = run();
    add(&mut run, "f/p", "", HEADLINE, unavailable(&format!("cannot read {path}")));
    for width in [36, 120, 160] {
        let text = of_family(&run, &FAMILY, width);
        assert_fits(&text, width);
        assert!(text.contains(&path) && !text.contains('─'), "{text}");
    }
}

#[test]
fn a_pair_without_a_case_has_a_row() {
    let mut run = various();
    run.pairs.get_mut("f/p").unwrap().sweeps[0].cases.clear();
    for width in WIDTHS {
        assert!(of_family(&run, &FAMILY, width).contains("not measured"), "{width}");
    }
}

#[test]
fn machine_numbers_are_whole_at_every_width() {
    let made = numbers::made();
    for width in WIDTHS {
        let text = of_numbers(&made, width);
        assert_fits(&text, width);
        for number in &made.numbers {
            assert!(text.contains(&number.what), "{width}: {}\n{text}", number.what);
        }
        for word in ["median", "quartiles", "minimum and maximum"] {
            assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(word), "{text}");
        }
    }
}
