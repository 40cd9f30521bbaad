//! The gate's page: the last verdicts and the last self-test on this machine.

use askama::Template;

use super::{
    Material,
    shell::{Shell, page_of},
};
use crate::gate::{
    report::{CaseReport, GateReport},
    self_test::SelfTest,
    summary,
};
use worthit_pair::format;

#[derive(Template)]
#[template(path = "gate.html")]
struct Gate {
    shell: Shell,
    headline: Option<String>,
    verdict: String,
    rows: Vec<VerdictRow>,
    small_print: Vec<String>,
    test: Option<SelfTestPart>,
}

/// Verdict on one pair.
struct VerdictRow {
    place: String,
    page: Option<String>,
    verdict: String,
    remarks: Vec<String>,
}

/// The last self-test.
struct SelfTestPart {
    sentence: String,
    nulls: Vec<[String; 7]>,
    runs: String,
    caught: Vec<[String; 6]>,
    alarms: Vec<String>,
}

/// Renders the page of the gate.
pub fn page(material: &Material<'_>, last: &Last) -> String {
    let report = last.report.as_ref();
    let page = Gate {
        shell: Shell::at_root("Gate", "Gate", material),
        headline: report.map(summary::headline),
        verdict: report.map_or_else(String::new, |report| report.verdict().to_string()),
        rows: report.map_or_else(Vec::new, |report| rows(material, report)),
        small_print: report.map_or_else(Vec::new, summary::small_print),
        test: last.self_test.as_ref().map(test),
    };
    page.render().expect("rendering into memory cannot fail")
}

/// The last verdicts and the last self-test, if there are any.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// The verdicts.
    pub report: Option<GateReport>,
    /// The self-test.
    pub self_test: Option<SelfTest>,
}

impl Last {
    /// Loads what the gate last stored for this machine key.
    pub fn here(machine: &str) -> Last {
        Last {
            report: crate::gate::last(machine),
            self_test: crate::gate::self_test::last(machine),
        }
    }

    /// Whether both are missing.
    pub fn is_empty(&self) -> bool {
        self.report.is_none() && self.self_test.is_none()
    }
}

fn rows(material: &Material<'_>, report: &GateReport) -> Vec<VerdictRow> {
    let mut cases: Vec<&CaseReport> = report.cases.iter().collect();
    cases.sort_by_key(|case| std::cmp::Reverse(case.verdict()));
    let row = |case: &&CaseReport| {
        let id = &case.case.key.pair;
        let is_known = material.pairs().iter().any(|(known, _)| known == id);
        VerdictRow {
            place: summary::place(case),
            page: is_known.then(|| page_of(id)),
            verdict: case.verdict().to_string(),
            remarks: summary::remarks(case).into_iter().map(|remark| remark.text).collect(),
        }
    };
    cases.iter().map(row).collect()
}

fn test(found: &SelfTest) -> SelfTestPart {
    let count = |count: usize| format::count(count as u64);
    let nulls = found.nulls.iter().map(|(kind, nulls)| {
        [
            kind.clone(),
            count(nulls.comparisons),
            count(nulls.alarms_by_counts),
            count(nulls.alarms_by_time),
            count(nulls.improvements),
            count(nulls.held_back),
            count(nulls.undecided),
        ]
    });
    let caught = found.caught.iter().map(|row| {
        [
            row.signal.clone(),
            row.size.clone(),
            row.class.clone(),
            count(row.injected),
            count(row.caught),
            count(row.undecided),
        ]
    });
    let (failed, runs) = found.failed_runs;
    SelfTestPart {
        sentence: found.in_words(),
        nulls: nulls.collect(),
        runs: format!("{failed} of {runs} null runs failed."),
        caught: caught.collect(),
        alarms: found.alarms.clone(),
    }
}
