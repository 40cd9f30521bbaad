//! Tests of what `worthit report` says about one result and about two: on standard output, and by its exit status.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use jiff::Timestamp;
use worthit_harness::{
    comparison::Comparison,
    machine::Machine,
    reference,
    results::{Measured, Outcome, Revision, Run},
    run_verdict::RunVerdict,
    statistics::Interval,
};
use worthit_pair::{causes, trial::Role};

/// The pair that tests change.
const PAIR: &str = "queries/n_plus_one";

fn worthit(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worthit"));
    command.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null());
    // Cargo runs this test for a package; the command is started by itself.
    command.env_remove("CARGO_PKG_NAME");
    command.env("WORTHIT_HOME", folder.join("home")).output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Four pairs of a committed reference, with no case marked.
fn a_run() -> Run {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
    let kept = [PAIR, "algorithms/hash_dedup", "caching/memoize", "calibration/identical_sides"];
    let has_all = |run: &Run| kept.iter().all(|id| run.pairs.contains_key(*id));
    let mut run = reference::all(&reports).unwrap().into_iter().find(has_all).unwrap();
    run.machine = Machine::current();
    run.pairs.retain(|id, _| kept.contains(&id.as_str()));
    for_each_case(&mut run, |found| found.mark = None);
    run
}

fn an_empty_run(key: &str) -> Run {
    let revision = Revision { commit: None, dirty: false };
    Run::new(key, Timestamp::UNIX_EPOCH, true, 42, Machine::current(), revision)
}

fn for_each_case(run: &mut Run, change: impl Fn(&mut Measured)) {
    let sweeps = run.pairs.values_mut().flat_map(|pair| &mut pair.sweeps);
    for case in sweeps.flat_map(|sweep| &mut sweep.cases) {
        if let Outcome::Measured(found) = &mut case.outcome {
            change(found);
        }
    }
}

/// The last measured case of [`PAIR`].
fn changed_case(run: &mut Run) -> &mut Measured {
    let cases = run.pairs.get_mut(PAIR).unwrap().sweeps.iter_mut().flat_map(|s| &mut s.cases);
    let measured = cases.filter_map(|case| match &mut case.outcome {
        Outcome::Measured(found) => Some(found.as_mut()),
        _ => None,
    });
    measured.last().unwrap()
}

/// A folder with the results `before` and `after`, of which the second one differs by a change.
fn two_results(change: impl FnOnce(&mut Run)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut run = a_run();
    run.save(&folder.path().join("before")).unwrap();
    run.key = "20260102T000000Z-1".to_owned();
    change(&mut run);
    run.save(&folder.path().join("after")).unwrap();
    folder
}

/// Compares both results, and asserts the exit statuses without and with `--fail-if-worse`. Returns the last line.
fn compare(folder: &Path, statuses: [i32; 2]) -> String {
    let output = worthit(folder, "report before after");
    assert_eq!(status(&output), statuses[0], "{}", stderr(&output));
    assert!(folder.join("reports/compare.html").is_file(), "pages are written whatever they show");
    let failing = worthit(folder, "report before after --fail-if-worse");
    assert_eq!(status(&failing), statuses[1], "{}", stderr(&failing));
    assert_eq!(stdout(&failing), stdout(&output));
    stdout(&output).lines().last().unwrap().to_owned()
}

#[test]
fn a_report_of_one_result_ends_with_its_verdict() {
    let folder = two_results(|_| {});
    let output = worthit(folder.path(), "report before");
    let expected = format!(
        "reports/index.html from before\nverdict: 3 of 3 pairs win, {} not in this run\n",
        worthit::CATALOGUE.iter().map(|family| family.pairs.len()).sum::<usize>() - 3 - 2
    );
    assert_eq!((status(&output), stdout(&output)), (0, expected), "{}", stderr(&output));
}

#[test]
fn the_verdict_as_json_is_all_of_standard_output() {
    let folder = two_results(|_| {});
    let output = worthit(folder.path(), "report before --format json");
    let run = Run::load(&folder.path().join("before")).unwrap();
    let verdict = RunVerdict::of(&run, &worthit::CATALOGUE).json();
    assert_eq!((status(&output), stdout(&output)), (0, verdict));
    assert!(stderr(&output).contains("reports/index.html from before"), "{}", stderr(&output));
    assert!(folder.path().join("reports/index.html").is_file());
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], "worthit-verdict");
    assert_eq!(document["counts"]["wins"], 3);
}

#[test]
fn a_result_compared_with_itself_is_neither_better_nor_worse() {
    let folder = two_results(|_| {});
    let line = compare(folder.path(), [0, 0]);
    assert_eq!(line, "comparison: 0 of 4 pairs better, 4 cannot be told apart");
}

#[test]
fn a_gain_that_fell_is_listed_and_fails_only_if_asked_to() {
    let folder = two_results(|run| {
        changed_case(run).gain = Interval { low: 1.0, estimate: 1.1, high: 1.2 };
    });
    let line = compare(folder.path(), [0, 1]);
    let expected =
        format!("comparison: 0 of 4 pairs better, 1 worse ({PAIR}), 3 cannot be told apart");
    assert_eq!(line, expected);
    let text = stdout(&worthit(folder.path(), "report before after"));
    assert!(
        text.contains(&format!("\nworse: {PAIR}/")) && text.contains(" → 1.10× (1.00…1.20)\n"),
        "{text}"
    );
    assert!(!text.contains("regressed"), "{text}");

    let json = worthit(folder.path(), "report before after --fail-if-worse --format json");
    let results = ["before", "after"].map(|name| Run::load(&folder.path().join(name)).unwrap());
    let document = Comparison::of(&results[0], &results[1]).json();
    assert_eq!((status(&json), stdout(&json)), (1, document));
    assert!(stderr(&json).contains("reports/index.html from after"), "{}", stderr(&json));
}

#[test]
fn a_marked_case_fails_nothing() {
    let folder = two_results(|run| {
        let case = changed_case(run);
        case.gain = Interval { low: 1.0, estimate: 1.1, high: 1.2 };
        case.mark = Some("other processes held the CPU".to_owned());
    });
    let line = compare(folder.path(), [0, 0]);
    assert_eq!(line, "comparison: 0 of 4 pairs better, 4 cannot be told apart");
}

#[test]
fn a_count_that_rose_on_the_optimized_side_fails() {
    let folder = two_results(|run| {
        let case = changed_case(run);
        let side = case.sides.iter_mut().find(|side| side.role == Role::Optimized).unwrap();
        side.causes.set(causes::ROUND_TRIPS, 1_000_000);
    });
    let line = compare(folder.path(), [0, 1]);
    assert!(
        line.ends_with(&format!("; counts of the optimized side rose in 1 pair ({PAIR})")),
        "{line}"
    );
    let text = stdout(&worthit(folder.path(), "report before after"));
    assert!(text.contains(" → 1,000,000 round_trips\n"), "{text}");
}

#[test]
fn results_of_two_machines_are_shown_side_by_side_but_not_judged() {
    let folder = two_results(|run| run.machine.key = "elsewhere".to_owned());
    let line = compare(folder.path(), [0, 2]);
    assert!(
        line.starts_with("comparison: 0 of 4 pairs better, 4 not comparable (different"),
        "{line}"
    );
}

#[test]
fn results_of_an_older_machine_key_are_shown_side_by_side_but_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = a_run();
    run.machine.processor = None;
    for name in ["before", "after"] {
        run.save(&folder.path().join(name)).unwrap();
    }
    let line = compare(folder.path(), [0, 2]);
    let expected = format!(
        "comparison: 0 of 4 pairs better, 4 not comparable (an older kind of machine key, which different \
         machines share: {})",
        run.machine.key
    );
    assert_eq!(line, expected);
    let page = fs::read_to_string(folder.path().join("reports/compare.html")).unwrap();
    assert!(page.contains("The machines may differ") && !page.contains("B ÷ A"));
}

#[test]
fn results_without_a_common_case_are_not_compared() {
    let folder = two_results(|run| run.pairs.clear());
    let line = compare(folder.path(), [1, 2]);
    assert!(line.starts_with("comparison: 0 of 4 pairs better, 4 not comparable ("), "{line}");
    let output = worthit(folder.path(), "report before after");
    assert!(stderr(&output).contains("no case in common"), "{}", stderr(&output));
}

#[test]
fn a_comparison_that_cannot_be_made_is_not_mistaken_for_a_worse_pair() {
    let folder = two_results(|_| {});
    fs::write(folder.path().join("after"), "not a result").unwrap();
    assert_eq!(status(&worthit(folder.path(), "report before after")), 1);
    let output = worthit(folder.path(), "report before after --fail-if-worse");
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("the result after is broken"), "{}", stderr(&output));
    let output = worthit(folder.path(), "report before --fail-if-worse");
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("name the earlier and the later one"), "{}", stderr(&output));
}

#[test]
fn a_run_that_was_stopped_before_its_first_case_replaces_no_site() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("home/runs");
    let save = |run: &Run| run.save(&runs.join(format!("{}.jsonl", run.key))).unwrap();
    save(&an_empty_run("20260103T000000Z-1"));
    let output = worthit(folder.path(), "report");
    assert_eq!(status(&output), 1);
    assert!(stderr(&output).contains("no run with a recorded case"), "{}", stderr(&output));
    assert!(!folder.path().join("reports").exists());

    let whole = Run { key: "20260101T000000Z-1".to_owned(), ..a_run() };
    save(&whole);
    save(&an_empty_run("20260102T000000Z-1"));
    let output = worthit(folder.path(), "report");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let message = format!("2 later runs have recorded no case; reporting {}", whole.key);
    assert!(stderr(&output).contains(&message), "{}", stderr(&output));
    let page = fs::read_to_string(folder.path().join("reports/index.html")).unwrap();
    assert!(page.contains(&whole.key));

    let named = worthit(folder.path(), "report home/runs/20260103T000000Z-1.jsonl");
    assert!(stdout(&named).contains("verdict: 0 of 0 pairs win, "), "{}", stdout(&named));
    let page = fs::read_to_string(folder.path().join("reports/index.html")).unwrap();
    assert!(page.contains("20260103T000000Z-1"), "a result that is named is reported");
}
