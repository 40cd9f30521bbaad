//! The gate's page: the last verdicts, and beside them the last self-test on this machine.

use askama::Template;

use super::{
    Material,
    shell::{Shell, page_of},
};
use crate::gate::{
    self_test::SelfTest,
    summary,
    verdict::{CaseReport, GateReport},
};
use worthit_pair::format;

#[derive(Template)]
#[template(path = "gate.html")]
struct Gate {
    shell: Shell,
    headline: Option<String>,
    verdict: String,
    rows: Vec<Row>,
    small_print: Vec<String>,
    test: Option<Test>,
}

/// One pair of the last gate.
struct Row {
    place: String,
    page: Option<String>,
    verdict: String,
    remarks: Vec<String>,
}

/// The last self-test.
struct Test {
    sentence: String,
    nulls: Vec<[String; 6]>,
    runs: String,
    caught: Vec<[String; 6]>,
    alarms: Vec<String>,
}

/// The page of the last gate.
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

/// The last verdicts and the last self-test, as far as there are any.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// The verdicts.
    pub report: Option<GateReport>,
    /// The self-test.
    pub self_test: Option<SelfTest>,
}

impl Last {
    /// What the gate has kept on this machine.
    pub fn here(machine: &str) -> Last {
        Last {
            report: crate::gate::last(machine),
            self_test: crate::gate::self_test::last(machine),
        }
    }

    /// Whether there is neither.
    pub fn is_empty(&self) -> bool {
        self.report.is_none() && self.self_test.is_none()
    }
}

fn rows(material: &Material<'_>, report: &GateReport) -> Vec<Row> {
    let mut cases: Vec<&CaseReport> = report.cases.iter().collect();
    cases.sort_by_key(|case| std::cmp::Reverse(case.verdict()));
    let row = |case: &&CaseReport| {
        let id = &case.case.key.id;
        let is_known = material.pairs().iter().any(|(known, _)| known == id);
        Row {
            place: summary::place(case),
            page: is_known.then(|| page_of(id)),
            verdict: case.verdict().to_string(),
            remarks: summary::remarks(case).into_iter().map(|remark| remark.text).collect(),
        }
    };
    cases.iter().map(row).collect()
}

fn test(found: &SelfTest) -> Test {
    let count = |count: usize| format::count(count as u64);
    let nulls = found.nulls.iter().map(|(kind, nulls)| {
        [
            kind.clone(),
            count(nulls.comparisons),
            count(nulls.alarms_by_counts),
            count(nulls.alarms_by_time),
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
    Test {
        sentence: found.in_words(),
        nulls: nulls.collect(),
        runs: format!("{failed} of {runs} runs without a change failed."),
        caught: caught.collect(),
        alarms: found.alarms.clone(),
    }
}
