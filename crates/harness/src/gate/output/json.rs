//! JSON, by the schema in `gate.schema.json`.

use serde_json::json;

use super::super::verdict::GateReport;

/// JSON Schema of the document.
pub const SCHEMA: &str = include_str!("gate.schema.json");

/// The report as one document, with the verdicts that follow from it.
pub fn text(report: &GateReport) -> String {
    // Every value is finite, every key a string: it cannot fail.
    let mut document = serde_json::to_value(report).unwrap_or_default();
    document["verdict"] = json!(report.verdict());
    for (case, found) in report.cases.iter().enumerate() {
        document["cases"][case]["verdict"] = json!(found.verdict());
    }
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}
