//! Markdown, as GitHub and GitLab render it.

use super::super::{
    summary,
    verdict::{GateReport, Verdict},
};

/// The report as Markdown.
pub fn text(report: &GateReport) -> String {
    let mark = mark(report.verdict());
    let mut text = format!("### {mark} worthit gate: {}\n\n", summary::headline(report));
    let loud = summary::loud(report);
    if !loud.is_empty() {
        text += "| pair | verdict | what changed |\n|---|---|---|\n";
        for case in loud {
            let remarks: Vec<String> =
                summary::remarks(case).iter().map(|remark| escaped(&remark.text)).collect();
            text += &format!(
                "| {} | {} {} | {} |\n",
                escaped(&summary::place(case)),
                self::mark(case.verdict()),
                case.verdict(),
                remarks.join("<br>")
            );
        }
        text += "\n";
    }
    let silent = summary::silent(report);
    if !silent.is_empty() {
        let ids: Vec<String> = silent.iter().map(|id| escaped(id)).collect();
        text += &format!(
            "<details><summary>{} unchanged</summary>\n\n{}\n\n</details>\n\n",
            silent.len(),
            ids.join(", ")
        );
    }
    for line in summary::small_print(report) {
        text += &format!("<sub>{}</sub><br>\n", escaped(&line));
    }
    text
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unchanged => "✅",
        Verdict::Improved => "🟢",
        Verdict::Undecided => "❔",
        Verdict::Regressed => "❌",
    }
}

/// Text that is no markup, in one cell of a table.
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
