//! Tests of what people type after `cargo bench --` and `cargo test --benches --`, and of where the output goes.

mod checkout;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Output, Stdio},
};

use checkout::{Checkout, stderr, stdout};
use worthit_harness::results::CaseResult;
use worthit_pair::{threads::logical_cores, trial::Role};

const ONE_CASE: &str = "--bench --quick --noplot faults/agrees/.*/1000$";

/// Asserts that nobody saw a panic.
#[track_caller]
fn assert_calm(output: &Output) {
    assert!(!stderr(output).contains("panicked"), "{}", stderr(output));
}

#[test]
fn the_lines_of_a_run_are_the_suites_own() {
    let checkout = Checkout::new();
    let output = checkout.run(ONE_CASE);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = format!("{}{}", stderr(&output), stdout(&output));
    for criterions in ["Benchmarking", "Gnuplot", "outliers", "time:   ["] {
        assert!(!lines.contains(criterions), "{lines}");
    }
    assert!(!lines.contains(['\u{1b}', '\r']), "{lines}");
    assert_eq!(stderr(&output).lines().count(), 1, "one line a case: {}", stderr(&output));
    assert_eq!(stdout(&output).matches("result: ").count(), 1);
}

#[test]
fn criterions_lines_are_printed_on_request() {
    let output = Checkout::new().run(&format!("{ONE_CASE} --verbose"));
    assert!(stdout(&output).contains("time:   ["), "{}", stdout(&output));
    assert!(stderr(&output).contains("Collecting"), "{}", stderr(&output));
    let output = Checkout::new().run(&format!("{ONE_CASE} --quiet"));
    assert_eq!(stderr(&output), "", "no line for each case");
    assert!(stdout(&output).contains("faults/agrees"), "{}", stdout(&output));
}

#[test]
fn bencher_lines_are_alone_on_standard_output() {
    let output = Checkout::new().run(&format!("{ONE_CASE} --output-format bencher"));
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<String> =
        stdout(&output).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, side) in lines.iter().zip(["naive", "optimized"]) {
        assert!(line.starts_with(&format!("test faults/agrees/{side}/1000 ... bench: ")), "{line}");
        assert!(line.contains(" ns/iter (+/- "), "{line}");
    }
    assert!(stderr(&output).contains("result: "), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_stops_neither_a_list_nor_a_run() {
    let checkout = Checkout::new();
    for arguments in ["--bench --list", "--list --format terse"] {
        let mut child = checkout
            .bench(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // `| head -0`
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments}");
    }
    for flag in ["", "--verbose", "--output-format bencher"] {
        let checkout = Checkout::new();
        let mut command = checkout.bench(&format!("{ONE_CASE} {flag}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        // `2>&1 | head -1`
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        assert!(!first.contains("panicked"), "{first}");
        drop(lines);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{flag}");
        assert_eq!(checkout.result().pairs["faults/agrees"].sweeps[0].cases.len(), 1, "{flag}");
        assert!(checkout.path("reports/index.html").is_file(), "{flag}");
    }
}

#[test]
fn a_missing_baseline_is_refused_before_anything_is_measured() {
    let checkout = Checkout::new();
    let saved = checkout.run(&format!("{ONE_CASE} --save-baseline before"));
    assert!(saved.status.success(), "{}", stderr(&saved));
    let before = checkout.result();
    let wide = "--bench --quick --noplot faults/agrees";
    for arguments in [
        format!("{wide} --baseline before"),
        format!("{wide} --load-baseline before --baseline before"),
    ] {
        let output = checkout.run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {}", stderr(&output));
        let message = stderr(&output);
        let expected = "there is no baseline `before` of `faults/agrees/naive/10000` and 1 more";
        assert!(
            message.contains(expected) && message.contains("--save-baseline before"),
            "{message}"
        );
        assert_calm(&output);
    }
    assert_eq!(checkout.result(), before);
    let lenient = checkout.run(&format!("{wide} --baseline-lenient before"));
    assert!(lenient.status.success(), "{}", stderr(&lenient));
    let compared = checkout.run(&format!("{ONE_CASE} --baseline before"));
    assert!(stdout(&compared).contains("change:"), "{}", stdout(&compared));
    let loaded = checkout.run(&format!("{ONE_CASE} --load-baseline before --baseline before"));
    assert!(loaded.status.success(), "{}", stderr(&loaded));
    assert!(stdout(&loaded).contains("No change in performance"), "{}", stdout(&loaded));
}

#[test]
fn criterions_failures_are_reported_once_and_lose_nothing() {
    let checkout = Checkout::new();
    fs::write(checkout.path("criterion"), "in the way of criterion's folder").unwrap();
    let output = checkout.run("--bench --quick --noplot faults/agrees");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("worthit: criterion reports: "), "{}", stderr(&output));
    assert_eq!(checkout.result().pairs["faults/agrees"].sweeps[0].cases.len(), 2);
    assert_calm(&output);
}

#[test]
fn every_listed_test_runs_by_its_name() {
    let checkout = Checkout::new();
    let listed = stdout(&checkout.run("--list --format terse"));
    let ids: Vec<&str> =
        listed.lines().map(|line| line.strip_suffix(": benchmark").unwrap()).collect();
    let ids: Vec<&str> = ids.into_iter().filter(|id| id.starts_with("faults/agrees")).collect();
    assert_eq!(ids.len(), 4, "{listed}");
    for id in ids {
        let output = checkout.run(&format!("{id} --exact --nocapture"));
        assert_eq!(stdout(&output), format!("test {id} ... ok\n"), "{}", stderr(&output));
    }
    assert_eq!(stdout(&checkout.run("--list --format terse --ignored")), "");
    // A bench lists more points than a test, and each of them runs by its name too.
    let benches = stdout(&checkout.run("--bench --list"));
    let middle = "faults/sweeps/optimized/200";
    assert!(benches.contains(middle) && !listed.contains(middle), "{benches}");
    assert_eq!(
        stdout(&checkout.run(&format!("{middle} --exact"))),
        format!("test {middle} ... ok\n")
    );
}

#[test]
fn a_filter_that_selects_nothing_is_refused() {
    let checkout = Checkout::new();
    for arguments in ["faults/agreees", "--bench --test faults/agreees", "--bench --skip faults"] {
        let output = checkout.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(stderr(&output).contains("--list"), "{}", stderr(&output));
    }
    for (arguments, hint) in [
        ("--bench --quick faults/sweeps/naive/200", "leave out --quick"),
        ("--bench faults/sweeps/naive/600", "add --deep"),
    ] {
        let output = checkout.run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    }
    let output = checkout.run("--bench --quick --deep");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("contradict"), "{}", stderr(&output));
}

#[test]
fn several_filters_and_skips_select_together() {
    let checkout = Checkout::new();
    let output = checkout.run("faults/agrees/naive faults/agrees/optimized --skip /10000$");
    let expected =
        "test faults/agrees/naive/1000 ... ok\ntest faults/agrees/optimized/1000 ... ok\n";
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
}

#[test]
fn what_test_runners_hand_on_is_accepted() {
    for arguments in
        ["faults/agrees --test-threads=1", "--bench --test faults/agrees -q --nocapture"]
    {
        let output = Checkout::new().run(arguments);
        assert!(output.status.success(), "{arguments}: {}", stderr(&output));
    }
}

#[test]
fn variables_are_read_as_people_write_them() {
    for (value, cases) in [("1", 2), ("true", 2), ("0", 5), ("", 5), ("false", 5)] {
        let checkout = Checkout::new();
        let time = "--measurement-time 0.05 --warm-up-time 0.005";
        let mut command = checkout.bench(&format!("--bench --noplot {time} faults/sweeps"));
        command.env("WORTHIT_QUICK", value).env("WORTHIT_ROUNDS", "").env("WORTHIT_SEED", "");
        let output = command.output().unwrap();
        assert!(output.status.success(), "`{value}`: {}", stderr(&output));
        let run = checkout.result();
        assert_eq!(run.pairs["faults/sweeps"].sweeps[0].cases.len(), cases, "`{value}`");
        assert_eq!((run.quick, run.seed), (cases == 2, 42));
    }
}

#[test]
fn numbers_of_threads_are_measured_as_they_are_asked_for() {
    let time = "--noplot --measurement-time 0.05 --warm-up-time 0.005";
    for (flag, variable) in [("--threads 1,3 ", ""), ("", "1,3")] {
        let checkout = Checkout::new();
        let mut command = checkout.bench(&format!("--bench {flag}{time} faults/threads"));
        let output = command.env("WORTHIT_THREADS", variable).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let run = checkout.result();
        let cases = &run.pairs["faults/threads"].sweeps[0].cases;
        assert_eq!(cases.iter().map(|case| case.point).collect::<Vec<_>>(), [1, 3]);
        let within_cores = [1, 3].into_iter().filter(|threads| *threads <= logical_cores());
        let ceiling = run.ceiling.iter().map(|point| point.threads);
        assert!(ceiling.eq(within_cores), "{:?}", run.ceiling);
    }
    let output = Checkout::new().run("--bench --threads 2,1 faults/threads");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("in ascending order"), "{}", stderr(&output));
}

#[test]
fn a_quick_run_measures_two_points_of_each_sweep_and_no_alternatives() {
    let alternative = Role::Alternative(0);
    for (quick, expected) in [("--quick ", (4, 0)), ("", (6, 6))] {
        let checkout = Checkout::new();
        let time = "--measurement-time 0.05 --warm-up-time 0.005";
        let output = checkout.run(&format!("--bench {quick}--noplot {time} faults/levels"));
        assert!(output.status.success(), "{}", stderr(&output));
        let run = checkout.result();
        let pair = &run.pairs["faults/levels"];
        let cases: Vec<_> = pair.sweeps.iter().flat_map(|sweep| &sweep.cases).collect();
        let has_it = |case: &&&CaseResult| case.measured().unwrap().side(alternative).is_some();
        assert_eq!((cases.len(), cases.iter().filter(has_it).count()), expected);
    }
    let output = Checkout::new().run("--bench --quick faults/levels/second/sum/200");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("leave out --quick"), "{}", stderr(&output));
}

#[test]
fn relative_folders_start_where_the_user_stands() {
    let checkout = Checkout::new();
    let mut command = checkout.bench(ONE_CASE);
    command.env("WORTHIT_HOME", "own").env("CRITERION_HOME", "charts");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(checkout.path("own/runs").is_dir() && checkout.path("charts").is_dir());
}

#[test]
fn damaged_samples_do_not_cost_the_pages() {
    let checkout = Checkout::new();
    assert!(checkout.run(ONE_CASE).status.success());
    let result = checkout.results().remove(0);
    let samples = worthit_harness::samples::path_of(&result);
    let mut text = String::new();
    fs::File::open(&samples).unwrap().read_to_string(&mut text).unwrap();
    fs::write(&samples, text.replace("naive", "naive,7")).unwrap();
    fs::remove_dir_all(checkout.path("reports")).unwrap();
    let output = checkout.run(ONE_CASE);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the pages lack the raw samples"), "{}", stderr(&output));
    assert!(checkout.path("reports/index.html").is_file());
}
