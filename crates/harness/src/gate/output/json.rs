//! JSON that follows the schema in `gate.schema.json`.

use serde_json::json;

use super::super::report::GateReport;

/// JSON Schema of the document.
pub const SCHEMA: &str = include_str!("gate.schema.json");

/// Returns the report as one document, which includes the derived verdicts.
pub fn text(report: &GateReport) -> String {
    // This cannot fail: every value is finite and every key is a string.
    let mut document = serde_json::to_value(report).unwrap_or_default();
    document["verdict"] = json!(report.verdict());
    for (nth, case) in report.cases.iter().enumerate() {
        document["cases"][nth]["verdict"] = json!(case.verdict());
    }
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}
