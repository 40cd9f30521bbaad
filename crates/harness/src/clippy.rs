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

/// What cargo's messages say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// The findings of lints, one for each place that a finding points to.
    pub findings: Vec<Reported>,
    /// Whether the build failed, so that clippy has not seen all of the code.
    pub failed: bool,
    /// Number of messages of the compiler that have another form than this reader knows.
    pub unread: usize,
}

/// A line of cargo's JSON output, as far as it is needed.
#[derive(Deserialize)]
struct CargoLine {
    reason: String,
    message: Option<serde_json::Value>,
    success: Option<bool>,
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

/// Reads cargo's messages; `None` if no line is one.
pub fn read(messages: &str) -> Option<Messages> {
    let lines = messages.par_lines().filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<CargoLine> = lines.collect();
    if lines.is_empty() {
        return None;
    }
    let mut read = Messages::default();
    for CargoLine { reason, message, success } in lines {
        read.failed |= reason == "build-finished" && success == Some(false);
        if reason != "compiler-message" {
            continue;
        }
        match message.map(serde_json::from_value) {
            Some(Ok(diagnostic)) => read.findings.extend(places(diagnostic)),
            _ => read.unread += 1,
        }
    }
    Some(read)
}

fn places(diagnostic: Diagnostic) -> Vec<Reported> {
    let Diagnostic { code: Some(Code { code: lint }), message, spans } = diagnostic else {
        return Vec::new();
    };
    // Errors have codes too (E0425), and no technique.
    if !lint.contains("::") && lint.starts_with(|first: char| first.is_ascii_uppercase()) {
        return Vec::new();
    }
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
        let found = Messages { findings: vec![expected], ..Messages::default() };
        assert_eq!(read(messages), Some(found));
    }

    #[test]
    fn what_cargo_did_not_write_is_told_from_a_build_without_findings() {
        assert_eq!(
            read(r#"{"reason":"build-finished","success":true}"#),
            Some(Messages::default())
        );
        assert_eq!(read("warning: usage of `contains_key`\n"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_build_that_failed_and_messages_of_another_form_are_told() {
        let messages = r#"{"reason":"compiler-message","message":{"message":"cannot find value `x`","code":{"code":"E0425"},"spans":[{"file_name":"src/a.rs","line_start":1,"is_primary":true}]}}
{"reason":"compiler-message","message":{"message":"no spans","code":{"code":"clippy::map_entry"}}}
{"reason":"compiler-message"}
{"reason":"build-finished","success":false}"#;
        let expected = Messages { findings: vec![], failed: true, unread: 2 };
        assert_eq!(read(messages), Some(expected));
    }
}
