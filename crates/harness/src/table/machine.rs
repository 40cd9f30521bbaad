//! The table of machine numbers: a row a number where the terminal is wide enough, else a short block.

use super::layout;
use crate::{
    numbers::{NumberRow, Numbers},
    terminal,
};
use worthit_pair::format;

/// Width from which on a table is easier to read than blocks.
const COLUMNS: usize = 120;

/// Formats the machine numbers for output of this width.
pub fn of_numbers(numbers: &Numbers, width: usize) -> String {
    let header = ["number", "median", "quartiles", "minimum and maximum", "how"];
    let rows = || numbers.rows().into_iter();
    let cells: Vec<[String; 5]> = rows()
        .map(|row| {
            [row.what, row.median, row.quartiles, row.range, row.remark]
                .map(|cell| terminal::printable(&cell))
        })
        .collect();
    let table = (width >= COLUMNS).then(|| layout::in_columns(header, &cells, width)).flatten();
    table.unwrap_or_else(|| rows().map(|row| block(&row, width)).collect::<Vec<_>>().join("\n"))
}

fn block(row: &NumberRow, width: usize) -> String {
    let NumberRow { what, median, quartiles, range, remark, .. } = row;
    let lines = match median.as_str() {
        format::NONE => vec![format!("{what}: {remark}")],
        _ => vec![
            format!("{what}: median {median}"),
            format!("  quartiles {quartiles}; minimum and maximum {range}"),
            format!("  {remark}"),
        ],
    };
    let lines: Vec<String> = lines.iter().map(|line| terminal::wrapped(line, width, 4)).collect();
    lines.join("\n")
}
