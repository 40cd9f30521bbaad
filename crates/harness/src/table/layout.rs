//! The arrangement of a table on a terminal: columns that share its width. It never breaks a word, so that ids, paths and
//! commands can be copied, and draws nothing that a pipe or a log could not hold.

use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};

use crate::terminal;

/// Spaces after a cell that is not the last one.
const PADDING: u16 = 1;
/// Width between two cells: the padding, and a space where other styles draw a line.
const GAP: usize = PADDING as usize + 1;

/// Arranges rows below a header in columns. The first column is as wide as its content, and the others share the rest and
/// wrap at spaces. `None` if `width` is too narrow for that.
pub(super) fn in_columns<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    width: usize,
) -> Option<String> {
    let mut least: Vec<usize> = header.map(widest_word).to_vec();
    least[0] = terminal::columns(header[0]);
    for row in rows {
        least[0] = row[0].lines().map(terminal::columns).fold(least[0], usize::max);
        for (least, cell) in least.iter_mut().zip(row).skip(1) {
            *least = widest_word(cell).max(*least);
        }
    }
    if least.iter().sum::<usize>() + (N - 1) * GAP > width {
        return None;
    }
    let mut table = Table::new();
    table.force_no_tty();
    *table.style_mut() =
        TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table.set_header(header);
    table.add_rows(rows);
    for (nth, (column, least)) in table.column_iter_mut().zip(least).enumerate() {
        column.set_padding((0, if nth + 1 < N { PADDING } else { 0 }));
        let padded =
            Width::Fixed(u16::try_from(least).unwrap_or(u16::MAX) + column.padding_width());
        column.set_constraint(match nth {
            0 => ColumnConstraint::ContentWidth,
            _ => ColumnConstraint::LowerBoundary(padded),
        });
    }
    Some(table.trim_fmt())
}

fn widest_word(text: &str) -> usize {
    text.split([' ', '\n']).map(terminal::columns).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 3] = ["id", "a word of twenty columns", "text"];

    fn rows() -> [[String; 3]; 2] {
        [
            ["family/pair", "one xxxxxxxxxxxxxxxxxxxx", "short words that wrap where they must"],
            ["family/pair\n  a level", "", "→ × … are one column wide, 語 is two"],
        ]
        .map(|row| row.map(str::to_owned))
    }

    #[test]
    fn columns_hold_every_word_whole_at_each_width_at_which_they_are_used() {
        let rows = rows();
        let mut expected: Vec<&str> = HEADER.iter().flat_map(|text| text.split(' ')).collect();
        expected.extend(rows.iter().flatten().flat_map(|cell| cell.split_whitespace()));
        expected.sort_unstable();
        let mut used = Vec::new();
        for width in 1..=150 {
            let Some(text) = in_columns(HEADER, &rows, width) else { continue };
            used.push(width);
            assert!(text.lines().all(|line| terminal::columns(line) <= width), "{width}\n{text}");
            let words = text.split_whitespace().filter(|word| !word.contains('─'));
            let mut words: Vec<&str> = words.collect();
            words.sort_unstable();
            assert_eq!(words, expected, "{width}\n{text}");
            for id in ["family/pair", "  a level"] {
                assert!(text.lines().any(|line| line.starts_with(id)), "{width}\n{text}");
            }
        }
        // The id, the longest words of the others, and two gaps.
        assert_eq!(used, (11 + 20 + 6 + 4..=150).collect::<Vec<_>>());
    }
}
