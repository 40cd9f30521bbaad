//! JUnit XML for CI servers, with one test case per pair.
//!
//! A regressed pair is a failure. An undecided pair is skipped, so that it is visible without failing the build.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::{
    report::{CaseReport, GateReport},
    summary,
    verdict::Verdict,
};

/// Returns the report as XML.
pub fn text(report: &GateReport) -> String {
    let mut suite = TestSuite::new("worthit gate");
    suite.add_test_cases(report.cases.iter().map(test_case));
    let mut junit = Report::new("worthit");
    junit.add_test_suite(suite);
    // Writing to memory cannot fail.
    junit.to_string().unwrap_or_default()
}

fn test_case(case: &CaseReport) -> TestCase {
    let remarks: Vec<String> =
        summary::remarks(case).into_iter().map(|remark| remark.text).collect();
    let mut status = match case.verdict() {
        Verdict::Regressed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Undecided => TestCaseStatus::skipped(),
        Verdict::Unchanged | Verdict::Improved => TestCaseStatus::success(),
    };
    if case.verdict() >= Verdict::Undecided {
        status.set_message(remarks.join("; "));
    }
    let mut test_case = TestCase::new(summary::place(case), status);
    test_case.set_classname(case.case.key.pair.replace('/', "."));
    test_case.set_system_out(remarks.join("\n"));
    test_case
}
