//! Markdown for GitHub and GitLab.

use super::super::{report::GateReport, summary, verdict::Verdict};

/// Returns the report as Markdown.
pub fn text(report: &GateReport) -> String {
    let (symbol, headline) = (symbol_of(report.verdict()), summary::headline(report));
    let mut text = format!("### {symbol} worthit gate: {headline}\n\n");
    let notable = summary::notable_pairs(report);
    if !notable.is_empty() {
        text += "| pair | verdict | what changed |\n|---|---|---|\n";
        for case in notable {
            let remarks: Vec<String> =
                summary::remarks(case).iter().map(|remark| escaped(&remark.text)).collect();
            text += &format!(
                "| {} | {} {} | {} |\n",
                escaped(&summary::place(case)),
                symbol_of(case.verdict()),
                case.verdict(),
                remarks.join("<br>")
            );
        }
        text += "\n";
    }
    let quiet = summary::quiet_pairs(report);
    if !quiet.is_empty() {
        let ids: Vec<String> = quiet.iter().map(|id| escaped(id)).collect();
        text += &format!(
            "<details><summary>{} unchanged</summary>\n\n{}\n\n</details>\n\n",
            quiet.len(),
            ids.join(", ")
        );
    }
    for line in summary::small_print(report) {
        text += &format!("<sub>{}</sub><br>\n", escaped(&line));
    }
    text
}

fn symbol_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unchanged => "✅",
        Verdict::Improved => "🟢",
        Verdict::Undecided => "❔",
        Verdict::Regressed => "❌",
    }
}

/// Escapes all markup in a text, so that it fits into one cell of a table.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '\n' => escaped += "<br>",
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '@' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
