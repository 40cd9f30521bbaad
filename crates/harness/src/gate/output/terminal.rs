//! A table for people.

use comfy_table::{ContentArrangement, Table, presets};

use super::super::{summary, verdict::GateReport};

/// Width of a table that goes to no terminal.
const WIDTH: u16 = 140;

/// The report as a table, its worst rows first.
pub fn text(report: &GateReport) -> String {
    let mut text = String::new();
    let loud = summary::loud(report);
    if !loud.is_empty() {
        let mut table = Table::new();
        *table.style_mut() = presets::UTF8_HORIZONTAL_ONLY;
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if !table.is_tty() {
            table.set_width(WIDTH);
        }
        table.set_header(["pair", "verdict", "what changed"]);
        for case in loud {
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
    let silent = summary::silent(report);
    if !silent.is_empty() {
        text += &format!("unchanged: {}\n", silent.join(", "));
    }
    text += &format!("\n{}: {}\n", report.verdict(), summary::headline(report));
    for line in summary::small_print(report) {
        text += &format!("  {}\n", printable(&line));
    }
    text
}

/// Without escape sequences and other control characters, which a problem's text may hold.
fn printable(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}
