//! The end of a run: its verdict, how precise it was, what its intervals include, and what to open next.

use crate::{calibration, results::Run, run_verdict::RunVerdict, table, terminal};
use worthit_pair::family::Family;

/// Returns the last lines of a run. `next` names what to open: `("report", "reports/index.html")`.
///
/// The verdict and each line of `next` stay on one line whatever the width is, so that scripts find them.
pub fn summary(run: &Run, families: &[&Family], next: &[(&str, &str)], width: usize) -> String {
    let mut lines = vec![RunVerdict::of(run, families).to_string()];
    let remarks = calibration::nulls(run).into_iter().chain(calibration::overhead(run));
    let studies = run.studies.iter().map(|(id, study)| format!("{id}: {}", study.headline()));
    let remarks = studies.chain(remarks).chain([table::provenance(run)]);
    lines.extend(remarks.map(|remark| terminal::wrapped(&remark, width, 2)));
    lines.extend(next.iter().map(|(name, path)| format!("{name}: {path}")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{FAMILY, add, gain, run};

    #[test]
    fn each_line_of_the_summary_stands_once_and_those_for_scripts_are_whole() {
        let mut run = run();
        add(&mut run, "f/p", "", 1_000, gain(0.5));
        for point in [1, 1_000] {
            add(&mut run, "calibration/identical_sides", "", point, gain(1.0));
        }
        let path = "/a/folder/with spaces/that/is/longer/than/the/width/result.jsonl";
        let next = [("report", "reports/index.html"), ("result", path)];
        let text = summary(&run, &[&FAMILY], &next, 36);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "verdict: 0 of 1 pair win, 1 loses (f/p), 3 not in this run");
        assert_eq!(lines[lines.len() - 2], "report: reports/index.html");
        assert_eq!(lines[lines.len() - 1], format!("result: {path}"));
        let remarks = lines[1..lines.len() - 2].join(" ").replace("   ", " ");
        assert!(
            remarks.starts_with("identical sides (A/A, a dependent chain): 2 of 2 single-process"),
            "{remarks}"
        );
        assert_eq!(remarks.matches("one process per family").count(), 1, "{remarks}");
        assert!(lines[1..lines.len() - 2].iter().all(|line| terminal::columns(line) <= 36));
    }
}
