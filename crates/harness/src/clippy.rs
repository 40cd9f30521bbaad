//! What clippy reports, as `cargo clippy --message-format=json` writes it.

use rayon::prelude::*;
use serde::Deserialize;

/// A finding of a lint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reported {
    /// The file, as the compiler names it: relative to the folder of the workspace.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The lint: `clippy::map_entry`.
    pub lint: String,
    /// What it says.
    pub message: String,
}

/// A line of cargo's JSON output, as far as it is needed.
#[derive(Deserialize)]
struct CargoLine {
    reason: String,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    code: Option<Code>,
    #[serde(default)]
    message: String,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: usize,
    #[serde(default)]
    column_start: usize,
    is_primary: bool,
}

/// Returns the findings in cargo's messages, one for each place that a finding points to; `None` if no line is a message of
/// cargo.
pub fn reported(messages: &str) -> Option<Vec<Reported>> {
    let lines = messages.par_lines().filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<CargoLine> = lines.collect();
    if lines.is_empty() {
        return None;
    }
    let is_finding = |line: &CargoLine| line.reason == "compiler-message";
    let found = lines.into_iter().filter(is_finding).filter_map(|line| line.message);
    Some(found.flat_map(places).collect())
}

fn places(diagnostic: Diagnostic) -> Vec<Reported> {
    let Diagnostic { code: Some(Code { code: lint }), message, spans } = diagnostic else {
        return Vec::new();
    };
    let primary = spans.into_iter().filter(|span| span.is_primary);
    let place = |span: Span| Reported {
        file: span.file_name,
        line: span.line_start,
        column: span.column_start,
        lint: lint.clone(),
        message: message.clone(),
    };
    primary.map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_read_with_their_primary_places() {
        let messages = r#"{"reason":"compiler-message","message":{"message":"usage of `contains_key`","code":{"code":"clippy::map_entry"},"spans":[{"file_name":"src/a/b.rs","line_start":7,"column_start":5,"is_primary":true},{"file_name":"src/a/b.rs","line_start":9,"column_start":1,"is_primary":false}]}}
{"reason":"compiler-artifact"}
what a build script prints
{"reason":"compiler-message","message":{"message":"1 warning emitted","code":null,"spans":[]}}"#;
        let expected = Reported {
            file: "src/a/b.rs".to_owned(),
            line: 7,
            column: 5,
            lint: "clippy::map_entry".to_owned(),
            message: "usage of `contains_key`".to_owned(),
        };
        assert_eq!(reported(messages), Some(vec![expected]));
    }

    #[test]
    fn what_cargo_did_not_write_is_told_from_a_build_without_findings() {
        assert_eq!(reported(r#"{"reason":"build-finished","success":true}"#), Some(vec![]));
        assert_eq!(reported("warning: usage of `contains_key`\n"), None);
        assert_eq!(reported(""), None);
    }
}
