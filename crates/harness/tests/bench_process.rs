//! Tests of whole bench processes, on the injected faults of `examples/injected`.

mod checkout;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use checkout::{Checkout, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use worthit_harness::{
    limit::Share,
    results::{Outcome, Run},
    samples,
};
use worthit_pair::trial::Role;

const AGREES: &str = "--bench --quick --noplot faults/agrees";
const ONE_CASE: &str = "--bench --quick --noplot faults/agrees/.*/1000$";

#[test]
fn a_run_prints_a_table_and_writes_a_result_and_a_report() {
    let checkout = Checkout::new();
    let output = checkout.run(AGREES);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("break-even"), "{}", stdout(&output));
    assert!(stderr(&output).contains("[2/2] faults/agrees 10000: "), "{}", stderr(&output));
    let run = checkout.result();
    let sweep = &run.pairs["faults/agrees"].sweeps[0];
    assert_eq!(sweep.cases.iter().map(|case| case.point).collect::<Vec<_>>(), [1_000, 10_000]);
    for case in &sweep.cases {
        let measured = case.measured().unwrap();
        assert!(measured.gain.estimate > 1.0, "a formula beats a thousand additions");
        assert_eq!(measured.processes.len(), 1);
        assert_eq!(measured.sides.len(), 2);
    }
    let page = fs::read_to_string(checkout.path("reports/index.html")).unwrap();
    assert!(page.contains(&run.machine.key) && page.contains(&run.key));
    assert!(checkout.path("criterion/faults_agrees/naive/1000/new/sample.json").is_file());
    checkout.assert_tidy();
}

#[test]
fn threads_are_placed_on_cores_for_each_case_and_the_harness_is_released_after_it() {
    let checkout = Checkout::new();
    // The pair itself fails if either is missing; a profiled run must place them too.
    for arguments in ["--bench --quick --noplot", "--bench --profile-time 1"] {
        let output = checkout.run(&format!("{arguments} faults/threads"));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let cases = &checkout.result().pairs["faults/threads"].sweeps[0].cases;
    assert_eq!(cases[0].point, 1);
    assert!(cases.iter().all(|case| case.measured().unwrap().are_threads_placed));
    let agrees = Checkout::new();
    assert!(agrees.run(AGREES).status.success());
    let sweep = &agrees.result().pairs["faults/agrees"].sweeps[0];
    assert!(sweep.cases.iter().all(|case| !case.measured().unwrap().are_threads_placed));
}

#[test]
fn a_pair_whose_sides_disagree_is_not_timed_and_both_answers_are_shown() {
    let checkout = Checkout::new();
    let output = checkout.run("--bench --quick --noplot faults/disagrees");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("500500") && message.contains("500000"), "{message}");
    assert!(!checkout.path("criterion").exists());
    assert!(checkout.result().pairs.is_empty());
}

#[test]
fn an_input_of_the_wrong_size_is_not_timed() {
    let output = Checkout::new().run("--bench --quick --noplot faults/wrong_size");
    assert_eq!(output.status.code(), Some(1));
    let message = "claims 1000 on its axis, but input 1 of 1 measures 100";
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
}

#[test]
fn a_case_whose_counts_break_their_claim_is_not_timed() {
    let checkout = Checkout::new();
    // A command that counts too few allocations on the naive side.
    let counter = checkout.path("counter");
    let counts = r#"[{"pair":"faults/broken_claim","point":1000,"inputs":1,"sides":[["naive",{"allocations":999}],["optimized",{"allocations":0}]]}]"#;
    fs::write(&counter, format!("#!/bin/sh\necho '{counts}'\n")).unwrap();
    fs::set_permissions(&counter, fs::Permissions::from_mode(0o755)).unwrap();
    let mut bench = checkout.bench("--bench --quick --noplot faults/broken_claim");
    let output = bench.env("WORTHIT_COUNTER", &counter).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    let broken = "faults/broken_claim at 1000: the naive side: 999 allocations in 1 iteration, where at least 1,000 are claimed";
    assert!(message.contains(broken), "{message}");
    assert!(checkout.result().pairs.is_empty());
}

#[test]
fn a_panic_names_its_case() {
    let output = Checkout::new().run("--bench --quick --noplot faults/panics");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("the injected server died"), "{message}");
    assert!(message.contains("faults/panics at 1"), "{message}");
}

#[test]
fn an_unavailable_case_is_listed_with_its_reason() {
    let checkout = Checkout::new();
    let output = checkout.run("--bench --quick --noplot faults/unavailable");
    // The only case that was asked for cannot run.
    assert_eq!(output.status.code(), Some(1));
    let reason = "nothing was measured: no <injected> server & on PATH";
    assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    assert!(stdout(&output).contains("no <injected> server & on PATH"), "{}", stdout(&output));
    let run = checkout.result();
    let outcome = &run.pairs["faults/unavailable"].sweeps[0].cases[0].outcome;
    assert!(matches!(outcome, Outcome::Unavailable { reason } if reason.contains("server")));
}

#[test]
fn unknown_filters_and_flags_are_refused_with_a_hint() {
    let checkout = Checkout::new();
    let output = checkout.run("--bench faults/agreees");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `faults/agrees`?"), "{}", stderr(&output));
    let output = checkout.run("--bench --qick");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--quick"), "{}", stderr(&output));
    let output = checkout.run("--bench (");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not a valid regular expression"), "{}", stderr(&output));
    assert!(checkout.results().is_empty());
}

#[test]
fn test_and_list_modes_record_nothing() {
    let checkout = Checkout::new();
    for arguments in ["--test --bench faults/agrees", "faults/agrees"] {
        let output = checkout.run(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(
            stdout(&output).contains("test faults/agrees/naive/1000 ... ok"),
            "{}",
            stdout(&output)
        );
    }
    let output = checkout.run("--list --bench");
    assert!(stdout(&output).contains("faults/agrees/optimized/10000: benchmark"));
    assert!(!checkout.path("worthit/runs").exists() && !checkout.path("reports").exists());
}

#[test]
fn criterion_saves_baselines() {
    let checkout = Checkout::new();
    let output = checkout.run(&format!("{AGREES} --save-baseline before"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(checkout.path("criterion/faults_agrees/naive/1000/before/estimates.json").is_file());
}

#[test]
fn each_round_is_a_process() {
    let checkout = Checkout::new();
    let output = checkout.run("--bench --quick --noplot --rounds 3 faults/agrees/.*/1000$");
    assert!(output.status.success(), "{}", stderr(&output));
    let run = checkout.result();
    let measured = run.pairs["faults/agrees"].sweeps[0].cases[0].measured().unwrap();
    assert_eq!(measured.processes.len(), 3);
    assert!(stdout(&output).contains("over 3 processes"), "{}", stdout(&output));
}

#[test]
fn the_machine_is_measured_once_per_run_if_a_limit_needs_it() {
    let checkout = Checkout::new();
    let output =
        checkout.run("--bench --quick --noplot --rounds 2 faults/(bounded|agrees)/.*/1000$");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output).matches("measuring the machine").count(), 1);
    let run = checkout.result();
    let measured = run.pairs["faults/bounded"].sweeps[0].cases[0].measured().unwrap();
    let Share::Known(share) = measured.share_of_limit(run.numbers.as_ref()) else {
        panic!("{:?}", run.numbers)
    };
    assert!(share > 0.0);
    let page = fs::read_to_string(checkout.path("reports/machine.html")).unwrap();
    assert!(page.contains("hash of a word, foldhash"), "{page}");
    checkout.assert_tidy();

    let checkout = Checkout::new();
    checkout.run("--bench --quick --noplot faults/agrees/.*/1000$");
    assert_eq!(checkout.result().numbers, None);
}

#[test]
fn a_second_bench_with_the_same_leader_adds_to_the_same_result() {
    let checkout = Checkout::new();
    checkout.run("--bench --quick --noplot faults/agrees/.*/1000$");
    checkout.run("--bench --quick --noplot faults/unavailable");
    assert_eq!(checkout.result().pairs.len(), 2);
}

#[test]
fn a_second_run_at_the_same_time_is_refused() {
    let checkout = Checkout::new();
    // Process 1 never exits, so its turn never ends.
    let first = checkout
        .bench("--bench --quick --noplot faults/agrees/.*/1000$")
        .env("WORTHIT_LEADER", "1")
        .output()
        .unwrap();
    assert!(first.status.success(), "{}", stderr(&first));
    let output = checkout.run(AGREES);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.contains("another run is measuring") && message.contains("WORTHIT_HOME"),
        "{message}"
    );
    assert_eq!(checkout.results().len(), 1, "the first run's result is untouched");
}

#[test]
fn a_broken_result_is_reported_with_its_field_and_left_unchanged() {
    let checkout = Checkout::new();
    checkout.run("--bench --quick --noplot faults/unavailable");
    let path = checkout.results().remove(0);
    let text = fs::read_to_string(&path).unwrap();
    for (broken, field) in [
        (text[..text.find('\n').unwrap() / 2].to_owned(), "."),
        (text.replace("\"seed\":42", "\"seed\":\"x\""), "seed"),
        (text.replace("\"version\":3", "\"version\":99"), "version 99"),
        (text.replace("\"reason\"", "\"raisin\""), "line 4, case"),
        ("{}".to_owned(), "schema"),
    ] {
        assert_ne!(broken, text);
        fs::write(&path, &broken).unwrap();
        let output = checkout.run(AGREES);
        assert_eq!(output.status.code(), Some(1));
        let message = stderr(&output);
        assert!(message.contains(path.to_str().unwrap()) && message.contains(field), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), broken);
    }
}

#[test]
fn a_case_cut_off_by_a_crash_is_measured_again_and_the_others_are_kept() {
    let checkout = Checkout::new();
    checkout.run("--bench --quick --noplot faults/unavailable");
    let path = checkout.results().remove(0);
    let whole = fs::read_to_string(&path).unwrap();
    let cut =
        whole.replace("faults/unavailable", "faults/elsewhere") + "{\"case\":{\"when\":\"2026";
    fs::write(&path, cut).unwrap();
    let output = checkout.run("--bench --quick --noplot faults/unavailable");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let pairs: Vec<String> = checkout.result().pairs.into_keys().collect();
    assert_eq!(pairs, ["faults/elsewhere", "faults/unavailable"]);
}

#[test]
fn raw_samples_of_every_process_are_kept_beside_the_result() {
    let checkout = Checkout::new();
    let output = checkout.run(&format!("{AGREES} --rounds 2"));
    assert!(output.status.success(), "{}", stderr(&output));
    let result = &checkout.results()[0];
    let samples = samples::load(&samples::path_of(result)).unwrap();
    let run = checkout.result();
    let cases = run.pairs["faults/agrees"].sweeps.iter().flat_map(|sweep| &sweep.cases);
    for case in cases {
        let samples_of_process = |process| {
            let own = samples.iter().filter(|s| s.point == case.point && s.process == process);
            own.filter(|s| s.side == "naive" && s.side_ns > 0.0 && s.optimized_ns > 0.0).count()
        };
        let (first, second) = (samples_of_process(1), samples_of_process(2));
        assert!(first >= 8 && second >= 8, "{first} and {second} at {}", case.point);
        let side = case.measured().unwrap().side(Role::Naive).unwrap();
        assert_eq!(side.time_ns.count, (first + second) as u64);
        let medians: Vec<f64> = side.processes.iter().map(|own| own.time_ns.median).collect();
        assert_eq!(side.time_ns.median, f64::midpoint(medians[0], medians[1]));
    }
    let offered = fs::read(checkout.path("reports/samples/faults/agrees.csv")).unwrap();
    assert_eq!(offered, samples::to_csv(&samples, true));
}

#[test]
fn criterion_writes_its_pages_where_the_report_looks_for_them() {
    let checkout = Checkout::new();
    let output = checkout.run("--bench --measurement-time 0.1 --warm-up-time 0.01 faults/agrees");
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(checkout.path("reports/pairs/faults/agrees.html")).unwrap();
    let address = "../../../criterion/faults_agrees/report/index.html";
    assert!(page.contains(&format!("class=\"outside\" href=\"{address}\"")), "{page}");
    assert!(checkout.path("reports/pairs/faults").join(address).exists());
}

#[test]
fn a_report_that_cannot_be_written_loses_no_result() {
    let checkout = Checkout::new();
    // A file in the folder's place also stops root, whom permissions would not stop.
    fs::write(checkout.path("reports"), "in the way").unwrap();
    let output = checkout.run(ONE_CASE);
    assert!(output.status.success(), "the pages are a by-product: {}", stderr(&output));
    assert!(stderr(&output).contains("cannot write reports"), "{}", stderr(&output));
    let elsewhere = checkout.path("worthit/reports");
    assert!(stderr(&output).contains(&format!("The pages are in {}", elsewhere.display())));
    assert!(stdout(&output).contains("worthit/reports/index.html"), "{}", stdout(&output));
    assert!(elsewhere.join("index.html").is_file());

    fs::remove_dir_all(&elsewhere).unwrap();
    fs::write(&elsewhere, "in the way too").unwrap();
    let output = checkout.run(ONE_CASE);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("The result is in"), "{}", stderr(&output));
    assert_eq!(checkout.result().pairs.len(), 1);
}

/// File system of 64 KiB, if this user may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<SmallDisk> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "worthit-test"]).arg(at);
        mount.output().ok()?.status.success().then(|| SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_no_recorded_results() {
    let checkout = Checkout::new();
    let Some(disk) = SmallDisk::mount(&checkout.path("worthit")) else {
        // This user may not mount. The tests in `results` cover the error's message.
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let output = checkout.run("--bench --quick --noplot faults/agrees/.*/1000$");
    assert!(output.status.success(), "{}", stderr(&output));
    let before = checkout.result();
    // Fills the disk to the last byte.
    let mut filler = fs::File::create(disk.0.join("filler")).unwrap();
    while std::io::Write::write(&mut filler, &[0; 4096]).is_ok() {}
    drop(filler);
    let output = checkout.run("--bench --quick --noplot faults/agrees/.*/10000$ faults/sweeps");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("free some space and run again"), "{message}");
    let first = |run: &Run| run.pairs["faults/agrees"].sweeps[0].cases[0].clone();
    assert_eq!(first(&checkout.result()), first(&before));
    checkout.assert_tidy();
}

#[test]
fn ctrl_c_keeps_finished_cases_and_leaves_nothing_behind() {
    let checkout = Checkout::new();
    let mut command =
        checkout.bench("--bench --noplot --measurement-time 2 --rounds 2 faults/agrees");
    // One case is already recorded and must be kept.
    let mut first = checkout.bench("--bench --quick --noplot faults/agrees/.*/1000$");
    assert!(first.output().unwrap().status.success());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // The second case is measured after this line, and takes seconds.
    assert!(lines.any(|line| line.unwrap().contains("[1/2")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // The round is a separate process that also writes to the pipe, so the pipe ends only when the round has ended.
    let rest: Vec<String> = lines.map(|line| line.unwrap()).collect();
    let kept = "worthit: interrupted; the cases that were finished are in ";
    assert!(rest.iter().any(|line| line.starts_with(kept)), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(checkout.result().pairs["faults/agrees"].sweeps[0].cases.len(), 1);
    checkout.assert_tidy();
}
