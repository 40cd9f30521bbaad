//! JUnit XML, as CI servers read it: a pair is a test case. What regressed is a failure; what is
//! undecided is skipped, so that it shows and fails nothing.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::{
    summary,
    verdict::{CaseReport, GateReport, Verdict},
};

/// The report as XML.
pub fn text(report: &GateReport) -> String {
    let mut suite = TestSuite::new("worthit gate");
    suite.add_test_cases(report.cases.iter().map(test_case));
    let mut junit = Report::new("worthit");
    junit.add_test_suite(suite);
    // Written to memory: it cannot fail.
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
    test_case.set_classname(case.case.key.id.replace('/', "."));
    test_case.set_system_out(remarks.join("\n"));
    test_case
}
