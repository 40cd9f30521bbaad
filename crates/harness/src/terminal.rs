//! The terminal that output goes to: how wide it is, and text that fits into it.
//!
//! Nothing here writes, colours or moves a cursor: output is the same text on a terminal, in a pipe and in a log.

use std::{env, io};

use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

/// Width if standard output is not a terminal and `$COLUMNS` is not set.
const DEFAULT_WIDTH: usize = 100;

/// Returns the width of standard output in columns: the terminal's, else `$COLUMNS`, else 100.
pub fn width() -> usize {
    let terminal = tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col);
    width_from(terminal, env::var("COLUMNS").ok().as_deref())
}

/// Some terminals report zero columns when they do not know their width.
fn width_from(terminal: Option<u16>, columns: Option<&str>) -> usize {
    let named = || columns.and_then(|columns| columns.trim().parse().ok());
    let known = terminal.map(usize::from).filter(|width| *width > 0).or_else(named);
    known.filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH)
}

/// Returns how many columns a text on one line takes up.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Breaks a line of text at spaces, so that no line is wider than `width` unless a single word is. Words stay whole:
/// an id, a path or a command can be copied. Spaces at the beginning are kept, and further lines begin with `indent` spaces.
///
/// Line ends and control characters in the text become spaces.
pub fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let text = printable(text);
    let mut used = text.len() - text.trim_start_matches(' ').len();
    let mut lines = " ".repeat(used);
    for (nth, word) in text.split(' ').filter(|word| !word.is_empty()).enumerate() {
        let word_columns = columns(word);
        if nth > 0 && used + 1 + word_columns > width {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = indent;
        } else if nth > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += word_columns;
    }
    lines
}

/// Replaces control characters, such as those of escape sequences, by spaces. The reason why a case cannot run may hold
/// whatever another program printed.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_decides_the_width_then_columns_then_the_default() {
        assert_eq!(width_from(Some(80), Some("120")), 80);
        assert_eq!(width_from(Some(0), Some("120")), 120);
        assert_eq!(width_from(None, Some(" 36 ")), 36);
        for columns in [None, Some(""), Some("0"), Some("-1"), Some("wide")] {
            assert_eq!(width_from(None, columns), DEFAULT_WIDTH, "{columns:?}");
        }
    }

    #[test]
    fn text_is_broken_at_spaces_only() {
        let text = "algorithms/branchless_filter at 100: 5.59× (5.47…5.70)";
        assert_eq!(
            wrapped(text, 35, 2),
            "algorithms/branchless_filter at\n  100: 5.59× (5.47…5.70)"
        );
        assert_eq!(wrapped(text, 5, 1).lines().next().unwrap(), "algorithms/branchless_filter");
        assert_eq!(wrapped(text, 54, 0), text, "it is 54 columns wide");
        assert_eq!(wrapped("  a b", 4, 3), "  a\n   b");
        assert_eq!(wrapped("", 36, 2), "");
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_is_left() {
        assert_eq!(printable("a\u{1b}[31mb\tc\u{9b}2Jd"), "a [31mb c 2Jd");
        assert_eq!(wrapped("one\r\ntwo\u{7}", 80, 2), "one two");
    }
}
