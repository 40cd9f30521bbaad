//! Findings as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which code scanning shows on a pull request.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::worth::Valued;
use worthit_pair::family::Entry;

/// The schema that the document names.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Writes findings as a SARIF document. The rules are the pairs.
pub fn document(findings: &[Valued]) -> Value {
    let rules: BTreeMap<&str, &Entry> =
        findings.iter().map(|valued| (valued.entry.id, valued.entry)).collect();
    let places: BTreeMap<&str, usize> = rules.keys().copied().zip(0..).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "worthit",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.values().map(|entry| rule(entry)).collect::<Vec<_>>(),
            }},
            "results": findings
                .iter()
                .map(|valued| result(valued, places[valued.entry.id]))
                .collect::<Vec<_>>(),
        }],
    })
}

fn rule(entry: &Entry) -> Value {
    let review = &entry.review;
    let markdown = format!(
        "{}\n\n**Instead:** {}\n\n**Leave it alone when:** {}",
        review.smell, review.remedy, review.keep_naive_when
    );
    json!({
        "id": entry.id,
        "shortDescription": { "text": entry.title },
        "fullDescription": { "text": review.smell },
        "help": { "text": markdown.replace("**", ""), "markdown": markdown },
        "defaultConfiguration": { "level": "note" },
    })
}

fn result(valued: &Valued, rule: usize) -> Value {
    let reported = &valued.reported;
    let worth = super::worth::in_words(valued);
    let gain = valued.gain().map(|found| found.gain);
    json!({
        "ruleId": valued.entry.id,
        "ruleIndex": rule,
        "level": "note",
        "message": { "text": format!("{} ({}): {worth}", reported.message, reported.lint) },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&reported.file), "uriBaseId": "%SRCROOT%" },
            "region": { "startLine": reported.line.max(1), "startColumn": reported.column.max(1) },
        }}],
        "properties": {
            "lint": reported.lint,
            "gain": gain.map(|gain| json!({
                "low": gain.low, "estimate": gain.estimate, "high": gain.high,
            })),
        },
    })
}

/// A path as a relative reference (RFC 3986): only what may stand in one is left as it is.
fn uri(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    let mut bytes = [0; 4];
    let escaped = |c: char| match plain(c) {
        true => c.to_string(),
        false => c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect(),
    };
    path.replace('\\', "/").chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_references() {
        assert_eq!(uri("src/a b/ä.rs"), "src/a%20b/%C3%A4.rs");
        assert_eq!(uri("src\\main.rs"), "src/main.rs");
    }
}
