//! The table of a strong scaling: a row a number of threads where the terminal is wide enough, else a line.

use super::layout;
use crate::strong_scaling::{Shown, SpeedupRow};

/// Formats what a strong scaling shows for output of this width.
pub fn of_scaling(shown: &Shown, width: usize) -> String {
    let header = ["threads", "over one thread", "efficiency", "over naive", "ceiling", "remarks"];
    let cells: Vec<[String; 6]> = shown
        .rows
        .iter()
        .map(|row| {
            let SpeedupRow { against_one, efficiency, against_naive, ceiling, remarks, .. } = row;
            let [one, share, naive, most, remarks] =
                [against_one, efficiency, against_naive, ceiling, remarks].map(Clone::clone);
            [row.threads.to_string(), one, share, naive, most, remarks]
        })
        .collect();
    layout::in_columns(header, &cells, width).unwrap_or_else(|| {
        let lines: Vec<String> =
            cells.iter().map(|cells| cells.join(" ").trim_end().to_owned()).collect();
        lines.join("\n")
    })
}
