//! A table for the terminal.

use comfy_table::{ContentArrangement, Table, presets};

use super::super::{report::GateReport, summary};

/// Width of the table if the output is not a terminal.
const WIDTH: u16 = 140;

/// Returns the report as a table, the worst rows first.
pub fn text(report: &GateReport) -> String {
    let mut text = String::new();
    let notable = summary::notable_pairs(report);
    if !notable.is_empty() {
        let mut table = Table::new();
        *table.style_mut() = presets::UTF8_HORIZONTAL_ONLY;
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if !table.is_tty() {
            table.set_width(WIDTH);
        }
        table.set_header(["pair", "verdict", "what changed"]);
        for case in notable {
            let remarks: Vec<String> =
                summary::remarks(case).iter().map(|remark| printable(&remark.text)).collect();
            table.add_row([
                printable(&summary::place(case)),
                case.verdict().to_string(),
                remarks.join("\n"),
            ]);
        }
        text += &format!("{table}\n");
    }
    let quiet = summary::quiet_pairs(report);
    if !quiet.is_empty() {
        text += &format!("unchanged: {}\n", quiet.join(", "));
    }
    text += &format!("\n{}: {}\n", report.verdict(), summary::headline(report));
    for line in summary::small_print(report) {
        text += &format!("  {}\n", printable(&line));
    }
    text
}

/// Removes control characters, such as those of escape sequences, which the text of a problem may contain.
fn printable(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}
