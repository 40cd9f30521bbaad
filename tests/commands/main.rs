//! Tests of the `worthit` command and its error messages.

mod desk;
mod help;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use jiff::Timestamp;
use procfs::process::Process;
use worthit_harness::{
    count_causes::CountedCase,
    machine::Machine,
    numbers::Numbers,
    reference,
    results::{Outcome, Revision, Run},
    statistics::Interval,
};
use worthit_pair::trial::Role;

/// The pair whose results these tests change.
const PAIR: &str = "queries/n_plus_one";
/// A pair that varies its number of threads.
const SCALING: &str = "parallelism/parallel_map";

fn worthit(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worthit"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    // Cargo runs this test for a package; the command is started by itself.
    command.env_remove("CARGO_PKG_NAME");
    command.env("WORTHIT_HOME", folder.join("home")).env_remove("WORTHIT_HISTORY").output().unwrap()
}

/// Runs a command that must succeed and returns its output.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = worthit(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail and returns its exit status and message.
fn failure(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = worthit(folder, arguments);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Saves a committed reference as a run of another day and returns the file's name. A gain drops after the ninth day.
fn a_measured_run(folder: &Path, day: usize) -> String {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
    let references = reference::all(&reports).unwrap();
    let has_both = |run: &Run| [PAIR, SCALING].iter().all(|pair| run.pairs.contains_key(*pair));
    let mut run = references.into_iter().find(has_both).unwrap();
    run.key = format!("202601{day:02}T000000Z-1");
    run.started = format!("2026-01-{day:02}T00:00:00Z").parse().unwrap();
    let case = &mut run.pairs.get_mut(PAIR).unwrap().sweeps[0].cases[0];
    let Outcome::Measured(found) = &mut case.outcome else { panic!("{case:?}") };
    let gain = if day <= 9 { 2.0 } else { 1.5 };
    found.mark = None;
    found.gain = Interval { low: gain * 0.99, estimate: gain, high: gain * 1.01 };
    let name = format!("day{day}.json");
    run.save(&folder.join(&name)).unwrap();
    name
}

fn a_run() -> Run {
    let revision = Revision { commit: None, dirty: false };
    Run::new("20260101T000000Z-1", Timestamp::UNIX_EPOCH, true, 42, Machine::current(), revision)
}

#[test]
fn list_names_every_pair() {
    let folder = tempfile::tempdir().unwrap();
    let list = printed(folder.path(), &["list"]);
    for entry in worthit::CATALOGUE.iter().flat_map(|family| family.pairs) {
        assert!(list.contains(&format!("`{}`", entry.name())), "{}", entry.id);
    }
}

#[test]
fn show_prints_the_card_of_a_pair_by_id_or_name() {
    let folder = tempfile::tempdir().unwrap();
    let card = printed(folder.path(), &["show", "queries/n_plus_one"]);
    assert!(card.contains("smell:") && card.contains("cargo bench -- '^queries/n_plus_one/'"));
    assert_eq!(card, printed(folder.path(), &["show", "n_plus_one"]));
    assert!(card.contains("answers:\n    must be equal\n"), "{card}");
    let card = printed(folder.path(), &["show", "wide_sum"]);
    assert!(card.contains("answers:\n    Each lies within Higham's bound"), "{card}");
}

#[test]
fn an_unknown_pair_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["show", "causes"] {
        let (status, message) = failure(folder.path(), &[command, "n+1"]);
        assert_eq!(status, 2);
        assert!(message.contains("did you mean `queries/n_plus_one`?"), "{message}");
    }
    let (status, message) = failure(folder.path(), &["shwo"]);
    assert_eq!(status, 2);
    assert!(message.contains("show"), "{message}");
}

#[test]
fn a_list_may_be_of_one_family_or_of_what_counts_a_cause() {
    let folder = tempfile::tempdir().unwrap();
    let family = printed(folder.path(), &["list", "--family", "io"]);
    assert!(family.contains("| `keep_alive` |") && !family.contains("| `map_entry` |"), "{family}");
    let cause = printed(folder.path(), &["list", "--cause", "fsyncs"]);
    assert!(cause.contains("| `transaction` |") && cause.contains("| `journal_mode` |"), "{cause}");
    assert!(!cause.contains("| `n_plus_one` |") && !cause.contains("**algorithms**"), "{cause}");
    let both = printed(folder.path(), &["list", "--family", "queries", "--cause", "statements"]);
    assert!(both.contains("| `n_plus_one` |") && !both.contains("**caching**"), "{both}");
    for (asked, said) in [
        (["--family", "querys"], "the families are algorithms, computation,"),
        (["--cause", "unicorns"], "counts `unicorns`"),
    ] {
        let (status, message) = failure(folder.path(), &[&["list"][..], &asked].concat());
        assert_eq!(status, 2);
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_search_prints_the_best_cards_first_as_text_or_json() {
    let folder = tempfile::tempdir().unwrap();
    let text = printed(folder.path(), &["search", "clippy::map_entry"]);
    assert!(text.starts_with("computation/map_entry: "), "{text}");
    assert!(text.contains("\n    lint: `clippy::map_entry`\n"), "{text}");
    let json = printed(folder.path(), &["search", "query", "in", "a", "loop", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found[0]["id"], "queries/n_plus_one");
    assert!(found[0]["smell"].is_string() && found[0]["score"].is_f64(), "{json}");
    let (status, message) = failure(folder.path(), &["search", "zzzzzz"]);
    assert_eq!(status, 1);
    assert!(message.contains("no card has a word like `zzzzzz`"), "{message}");
    assert_eq!(failure(folder.path(), &["search"]).0, 2);
}

#[test]
fn a_study_is_shown_by_its_id_or_its_name_and_is_no_pair() {
    let folder = tempfile::tempdir().unwrap();
    let card = printed(folder.path(), &["show", "bank"]);
    assert_eq!(card, printed(folder.path(), &["show", "studies/bank"]));
    for part in [
        "studies/bank: Book a transfer in milliseconds",
        "simulated:\n    the card network (800 ms a transfer, until the fix outbox)",
        "statements sent, counted by the program, which sends them",
        "fix 1, pool:",
        "cargo bench -- studies/bank",
    ] {
        assert!(card.contains(part), "{part}\n{card}");
    }
    assert!(printed(folder.path(), &["list"]).contains("| `bank`: Book a transfer"));
    let (status, message) = failure(folder.path(), &["show", "studies/bnak"]);
    assert_eq!(status, 2);
    assert!(message.contains("did you mean `studies/bank`?"), "{message}");
    let (status, message) = failure(folder.path(), &["causes", "studies/bank"]);
    assert_eq!(status, 2);
    assert!(message.contains("`studies/bank` is a study, not a pair"), "{message}");
}

#[test]
fn causes_are_printed_as_json_and_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let json = printed(folder.path(), &["causes", "--json", "--quick", "algorithms/hash_dedup"]);
    let counted: Vec<CountedCase> = serde_json::from_str(&json).unwrap();
    // One end and the headline.
    assert_eq!(counted.len(), 2);
    for case in &counted {
        let judged: Vec<_> = case.sides.iter().filter(|(role, _)| role.is_judged()).collect();
        assert_eq!(judged.len(), 2);
        for (role, counts) in judged {
            let comparisons = counts.get(worthit_pair::causes::COMPARISONS).unwrap();
            let items = case.key.point * case.inputs;
            assert_eq!(*role == Role::Naive, comparisons > items, "{case:?}");
        }
    }
    let text = printed(folder.path(), &["causes", "--quick", "hash_dedup"]);
    assert!(text.contains("algorithms/hash_dedup at 2,000"), "{text}");
    assert!(text.contains("\n    optimized: ") && text.contains(" comparisons\n"), "{text}");
}

#[test]
fn the_plans_of_the_counted_statements_are_noted_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let json = printed(folder.path(), &["causes", "--json", "--quick", "queries/index"]);
    let counted: Vec<CountedCase> = serde_json::from_str(&json).unwrap();
    assert!(!counted.is_empty());
    for case in counted {
        let steps_of = |role| {
            let mut of_side = case.plans.iter().filter(|(side, _)| *side == role);
            let (_, plans) = of_side.next().unwrap();
            assert_eq!(plans.len(), 1, "one statement: {plans:?}");
            plans[0].steps.clone()
        };
        assert_eq!(steps_of(Role::Naive), ["SCAN orders"]);
        let search = "SEARCH orders USING INDEX orders_by_customer (customer_id=?)";
        assert_eq!(steps_of(Role::Optimized), [search]);
    }
}

#[test]
fn machine_prints_a_table_or_json_and_refuses_during_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let json = printed(folder.path(), &["machine", "--quick", "--json"]);
    let numbers: Numbers = serde_json::from_str(&json).unwrap();
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(document["machine"]["key"].is_string() && document["ceiling"].is_array());
    let table = printed(folder.path(), &["machine", "--quick"]);
    for number in &numbers.numbers {
        // A cell may wrap.
        let first = number.what.split([' ', ',']).next().unwrap();
        assert!(table.contains(first), "{}\n{table}", number.what);
    }
    for word in
        ["median", "quartiles", " ns ", "GB/s", "ceiling of threads", "during the measurement"]
    {
        assert!(table.contains(word), "{word}\n{table}");
    }
    let data = fs::read_dir(folder.path().join("home/data")).unwrap();
    assert_eq!(data.count(), 0, "nothing temporary is left");

    let init = Process::new(1).unwrap().stat().unwrap().starttime;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let scope =
        format!("{} {}", boot.trim(), fs::read_link("/proc/self/ns/pid").unwrap().display());
    let turn = format!(
        r#"{{"pid":1,"start_ticks":{init},"scope":"{scope}","command":["cargo","bench"]}}"#
    );
    fs::write(folder.path().join("home/measuring.json"), turn).unwrap();
    let (status, message) = failure(folder.path(), &["machine"]);
    assert_eq!(status, 1);
    assert!(message.contains("another run is measuring") && message.contains("process 1"));
}

#[test]
fn a_report_is_made_from_a_given_result_or_the_latest_run() {
    let folder = tempfile::tempdir().unwrap();
    let (status, message) = failure(folder.path(), &["report"]);
    assert_eq!(status, 1);
    assert!(message.contains("run `cargo bench`"), "{message}");

    let result = a_measured_run(folder.path(), 1);
    fs::create_dir_all(folder.path().join("home/runs")).unwrap();
    fs::copy(folder.path().join(&result), folder.path().join("home/runs/20260101T000000Z-1.json"))
        .unwrap();
    printed(folder.path(), &["report"]);
    let page = fs::read_to_string(folder.path().join("reports/index.html")).unwrap();
    assert!(page.contains("20260101T000000Z-1"));
    printed(folder.path(), &["report", &result, "--into", "site"]);
    assert_eq!(fs::read_to_string(folder.path().join("site/index.html")).unwrap(), page);
}

#[test]
fn scaling_is_measured_by_cargo_and_shown_as_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let result = a_measured_run(folder.path(), 1);
    fs::create_dir_all(folder.path().join("home/runs")).unwrap();
    fs::copy(folder.path().join(&result), folder.path().join("home/runs/20260101T000000Z-1.json"))
        .unwrap();
    let cargo = folder.path().join("cargo");
    let scale = |script: &str, arguments: &[&str]| {
        fs::write(&cargo, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_worthit"));
        command.arg("scale").args(arguments).current_dir(folder.path()).env("CARGO", &cargo);
        command.env_remove("CARGO_PKG_NAME").env("WORTHIT_HOME", folder.path().join("home"));
        command.stdin(Stdio::null()).output().unwrap()
    };
    let asked = ["parallel_map", "--threads", "1,2", "--rounds", "3"];
    let output = scale("echo \"$@\" >asked", &asked);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words = fs::read_to_string(folder.path().join("asked")).unwrap();
    assert_eq!(words.trim(), "bench -- ^parallelism/parallel_map/ --threads=1,2 --rounds=3");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["scaling of parallelism/parallel_map", "efficiency", "\n1 ", "Amdahl's law"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let output = scale("exit 7", &asked);
    assert_eq!((output.status.code(), output.stdout), (Some(7), vec![]), "cargo has said why");
    let (status, message) = failure(folder.path(), &["scale", PAIR]);
    assert_eq!(status, 2);
    assert!(message.contains("does not vary its number of threads"), "{message}");
    let (status, message) = failure(folder.path(), &["scale", "parallel_map", "--threads", "2,1"]);
    assert_eq!(status, 2);
    assert!(message.contains("in ascending order"), "{message}");
}

#[test]
fn unusable_results_are_reported_with_the_broken_field() {
    let folder = tempfile::tempdir().unwrap();
    let text = serde_json::to_string(&a_run()).unwrap();
    for (text, expected) in [
        (None, "cannot read the result broken.json"),
        (Some("not JSON".to_owned()), "broken at `.`"),
        (Some("[]".to_owned()), "broken at `schema`: it is missing"),
        (Some(text.replace("worthit-run", "other")), "broken at `schema`: it is `other`"),
        (Some(text.replace("\"version\":3", "\"version\":4")), "schema version 4"),
        (Some(text.replace("\"version\":3", "\"version\":-1")), "broken at `version`"),
        (
            Some(text.replace("\"cpu\":\"", "\"cpu_\":\"")),
            "broken at `machine`: missing field `cpu`",
        ),
        (
            Some(text.replace("\"memory_bytes\":", "\"memory_bytes\":-")),
            "broken at `machine.memory_bytes`",
        ),
    ] {
        if let Some(text) = text {
            fs::write(folder.path().join("broken.json"), text).unwrap();
        }
        let (status, message) = failure(folder.path(), &["report", "broken.json"]);
        assert_eq!(status, 1);
        assert!(message.contains(expected), "{message}");
    }
}

/// Copies a folder recursively.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).unwrap();
        }
    }
}

#[test]
fn stale_parts_of_a_readme_are_reported_and_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&root.join("reports"), &folder.path().join("reports"));
    for (name, good, bad) in [
        ("README.md", "| `n_plus_one` |", "| `typed_by_hand` |"),
        ("reports/README.md", "| gain at the headline |", "| typed by hand |"),
        ("reports/catalogue.json", "\"worthit-catalogue\"", "\"typed by hand\""),
        ("reports/cards/queries.md", "## n_plus_one: ", "## typed by hand: "),
        ("reports/ids.txt", "queries/n_plus_one\n", ""),
    ] {
        fs::copy(root.join("README.md"), folder.path().join("README.md")).unwrap();
        let path = folder.path().join(name);
        let fresh = fs::read_to_string(&path).unwrap();
        assert!(fresh.contains(good), "{name}");
        fs::write(&path, fresh.replace(good, bad)).unwrap();
        let (status, message) = failure(folder.path(), &["readme", "--check"]);
        assert_eq!(status, 1);
        assert!(message.contains(&format!("generated of {name} is stale")), "{message}");
        printed(folder.path(), &["readme"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), fresh);
        printed(folder.path(), &["readme", "--check"]);
    }
    let path = folder.path().join("README.md");
    fs::write(&path, "no markers").unwrap();
    assert!(failure(folder.path(), &["readme"]).1.contains("lacks the markers"));
    fs::remove_file(&path).unwrap();
    assert!(failure(folder.path(), &["readme"]).1.contains("cannot read README.md"));
}

#[test]
fn a_run_without_measurements_is_refused_as_a_reference() {
    let folder = tempfile::tempdir().unwrap();
    let result = folder.path().join("run.json");
    let mut run = a_run();
    run.revision = Revision { commit: Some("abc".to_owned()), dirty: false };
    run.save(&result).unwrap();
    let (status, message) = failure(folder.path(), &["reference", result.to_str().unwrap()]);
    assert_eq!(status, 1);
    assert!(message.contains("nothing was measured"), "{message}");
    assert!(!folder.path().join("reports").exists());
}

#[test]
fn two_results_are_compared_and_three_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let result = a_measured_run(folder.path(), 1);
    let result = result.as_str();
    printed(folder.path(), &["report", result, result]);
    let page = fs::read_to_string(folder.path().join("reports/compare.html")).unwrap();
    assert!(page.contains("Comparison of two results"));
    // A later report without a comparison removes the old one.
    printed(folder.path(), &["report", result]);
    assert!(!folder.path().join("reports/compare.html").exists());
    assert_eq!(failure(folder.path(), &["report", result, result, result]).0, 2);
}

#[test]
fn a_broken_reference_is_told_and_stops_no_page() {
    let folder = tempfile::tempdir().unwrap();
    let result = a_measured_run(folder.path(), 1);
    let reports = folder.path().join("reports");
    let broken = reports.join("made-2c-linux6.1-ext4/2026-01-01-0123456789ab.jsonl");
    fs::create_dir_all(broken.parent().unwrap()).unwrap();
    fs::write(&broken, "{").unwrap();
    let mut reference = Run::load(&folder.path().join(&result)).unwrap();
    reference.machine.key = "other-2c-linux6.1-ext4".to_owned();
    reference.save(&reports.join("other-2c-linux6.1-ext4/2026-01-02-0123456789ab.jsonl")).unwrap();
    let output = worthit(folder.path(), &["report", &result]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    let named = "worthit: the pages lack a reference: the result reports/made-2c-linux6.1-ext4/";
    assert!(message.contains(named) && message.contains("is broken at"), "{message}");
    let page = fs::read_to_string(reports.join("portability.html")).unwrap();
    assert!(page.contains("other-2c-linux6.1-ext4") && broken.exists());
}

#[test]
fn broken_samples_are_reported_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let result = folder.path().join("run.json");
    a_run().save(&result).unwrap();
    let samples = folder.path().join("run.samples.csv");
    let header = "pair,level,point,process,side,side_ns,optimized_ns\n";
    fs::write(&samples, format!("{header}f/p,,1,1,naive,soon,1.0\n")).unwrap();
    let (status, message) = failure(folder.path(), &["report", result.to_str().unwrap()]);
    assert_eq!(status, 1);
    assert!(message.contains("run.samples.csv is broken at `line 2`"), "{message}");
}

#[test]
fn a_history_imports_results_and_shows_where_levels_changed() {
    let folder = tempfile::tempdir().unwrap();
    let results: Vec<String> = (1..=14).map(|day| a_measured_run(folder.path(), day)).collect();
    let mut import = vec!["history", "--history", "h.sqlite", "--import"];
    import.extend(results.iter().map(String::as_str));
    let added = printed(folder.path(), &import);
    assert_eq!(added.lines().count(), 14, "{added}");
    assert!(added.contains("added 20260114T000000Z-1 from day14.json: "), "{added}");
    // Importing the same results again replaces them.
    printed(folder.path(), &import);
    let all = printed(folder.path(), &["history", "--history", "h.sqlite"]);
    let row = all.lines().find(|line| line.contains("queries/n_plus_one")).unwrap();
    assert!(row.contains(" 14 ") && row.contains("2026-01-10"), "{row}");
    let one = printed(folder.path(), &["history", "n_plus_one", "--history", "h.sqlite"]);
    assert!(one.contains("queries/n_plus_one/in-process at 1 on "), "{one}");
    assert_eq!(one.matches("◆ level 2.00× → 1.50×").count(), 1, "{one}");
    assert!(
        one.contains("in all runs: 0 round_trips naive, 2 statements naive, 0 round_trips"),
        "{one}"
    );

    printed(folder.path(), &["report", "day14.json", "--history", "h.sqlite"]);
    let page = fs::read_to_string(folder.path().join("reports/trends.html")).unwrap();
    assert!(page.contains("gain at in-process, 1 order: 2.00× → 1.50×"), "{page}");
    printed(folder.path(), &["report", "day14.json"]);
    assert!(!folder.path().join("reports/trends.html").exists(), "no stale page");

    printed(folder.path(), &["history", "--history", "h.sqlite", "--export-csv", "all.csv"]);
    let csv = fs::read_to_string(folder.path().join("all.csv")).unwrap();
    assert!(csv.starts_with("run,started,machine_key,"), "{csv}");
    let gains =
        csv.lines().filter(|line| line.contains("queries/n_plus_one,in-process,1,naive,gain,"));
    assert_eq!(gains.count(), 14);
}

#[test]
fn a_broken_result_leaves_the_history_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let whole = a_measured_run(folder.path(), 1);
    let text = fs::read_to_string(folder.path().join(&whole)).unwrap();
    fs::write(folder.path().join("broken.json"), text.replace("\"cpu\":", "\"cpu_\":")).unwrap();
    let import = ["history", "--history", "h.sqlite", "--import", &whole, "broken.json"];
    let (status, message) = failure(folder.path(), &import);
    assert_eq!(status, 1);
    let expected = "the result broken.json is broken at `machine`: missing field `cpu`";
    assert!(message.contains(expected), "{message}");
    assert!(!folder.path().join("h.sqlite").exists());
}

#[test]
fn errors_about_a_history_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let history = |arguments: &[&str]| {
        let (status, message) = failure(folder.path(), &[&["history"], arguments].concat());
        (status, message)
    };
    assert!(history(&[]).1.contains("pass `--history FILE`, or set WORTHIT_HISTORY"));
    assert!(history(&["--history", "h.sqlite"]).1.contains("there is no history at h.sqlite"));
    let (status, message) = failure(folder.path(), &["report", "x.json", "--history", "h.sqlite"]);
    assert!(status == 1 && message.contains("there is no history at h.sqlite"), "{message}");
    let result = a_measured_run(folder.path(), 1);
    printed(folder.path(), &["history", "--history", "h.sqlite", "--import", &result]);
    let (status, message) = history(&["n+1", "--history", "h.sqlite"]);
    assert_eq!(status, 2);
    assert!(message.contains("did you mean `queries/n_plus_one`?"), "{message}");
    let (status, message) = history(&["--history", "h.sqlite", "--export-csv", "/dev/full"]);
    assert!(status == 1 && message.contains("cannot write /dev/full: "), "{message}");
    assert!(message.contains("free some space and run again"), "{message}");
    fs::write(folder.path().join("text"), "not a history, but a text of a hundred bytes").unwrap();
    let (status, message) = history(&["--history", "text", "--import", &result]);
    assert!(status == 1 && message.contains("text is not a worthit history"), "{message}");
    a_run().save(&folder.path().join("empty.json")).unwrap();
    printed(folder.path(), &["history", "--history", "e.sqlite", "--import", "empty.json"]);
    let none = printed(folder.path(), &["history", "--history", "e.sqlite"]);
    assert!(none.contains("this history has no readings yet"), "{none}");
    let (status, message) = history(&["n_plus_one", "--history", "e.sqlite"]);
    assert!(
        status == 1 && message.contains("has no reading of `queries/n_plus_one` yet"),
        "{message}"
    );
}
