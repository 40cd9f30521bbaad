//! The `worthit` command and its error paths.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use jiff::Timestamp;
use worthit::{
    machine::Machine,
    results::{Revision, Run},
    tally::Tally,
    trial::Role,
};

fn worthit(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worthit"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("WORTHIT_HOME", folder.join("home")).output().unwrap()
}

/// What a command prints that should succeed.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = worthit(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Exit status and message of a command that should fail.
fn failure(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = worthit(folder, arguments);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
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
    assert!(card.contains("smell:") && card.contains("cargo bench -- queries/n_plus_one"));
    assert_eq!(card, printed(folder.path(), &["show", "n_plus_one"]));
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
fn causes_are_counted_in_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let json = printed(folder.path(), &["causes", "--json", "--quick", "algorithms/hash_dedup"]);
    let tallies: Vec<Tally> = serde_json::from_str(&json).unwrap();
    assert_eq!(tallies.len(), 3);
    for tally in &tallies {
        assert_eq!(tally.sides.len(), 2);
        for (role, counts) in &tally.sides {
            let comparisons = counts.get(worthit::causes::COMPARISONS).unwrap();
            assert_eq!(*role == Role::Naive, comparisons > tally.point, "{tally:?}");
        }
    }
    let text = printed(folder.path(), &["causes", "--quick", "hash_dedup"]);
    assert!(text.contains("algorithms/hash_dedup at 8,192"), "{text}");
}

#[test]
fn a_report_is_made_from_a_result_or_the_latest_run() {
    let folder = tempfile::tempdir().unwrap();
    let (status, message) = failure(folder.path(), &["report"]);
    assert_eq!(status, 1);
    assert!(message.contains("run `cargo bench`"), "{message}");

    let result = folder.path().join("home/runs/20260101T000000Z-1.json");
    a_run().save(&result).unwrap();
    printed(folder.path(), &["report"]);
    let page = fs::read_to_string(folder.path().join("reports/index.html")).unwrap();
    assert!(page.contains("20260101T000000Z-1"));
    printed(folder.path(), &["report", result.to_str().unwrap(), "--into", "site"]);
    assert_eq!(fs::read_to_string(folder.path().join("site/index.html")).unwrap(), page);
}

#[test]
fn results_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = serde_json::to_string(&a_run()).unwrap();
    for (text, expected) in [
        (None, "cannot read the result broken.json"),
        (Some("not JSON".to_owned()), "broken at `.`"),
        (Some("[]".to_owned()), "broken at `schema`: it is missing"),
        (Some(text.replace("worthit-run", "other")), "broken at `schema`: it is `other`"),
        (Some(text.replace("\"version\":1", "\"version\":2")), "version 2 of its schema"),
        (Some(text.replace("\"version\":1", "\"version\":-1")), "broken at `version`"),
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

/// Copies a folder with all that is in it.
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
fn stale_parts_of_a_readme_are_told_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&root.join("reports"), &folder.path().join("reports"));
    for (name, good, bad) in [
        ("README.md", "| `n_plus_one` |", "| `typed_by_hand` |"),
        ("reports/README.md", "| gain at the far end |", "| typed by hand |"),
    ] {
        fs::copy(root.join("README.md"), folder.path().join("README.md")).unwrap();
        let path = folder.path().join(name);
        let fresh = fs::read_to_string(&path).unwrap();
        assert!(fresh.contains(good), "{name}");
        fs::write(&path, fresh.replace(good, bad)).unwrap();
        let (status, message) = failure(folder.path(), &["readme", "--check"]);
        assert_eq!(status, 1);
        assert!(message.contains(&format!("part of {name} is stale")), "{message}");
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
fn a_run_of_one_process_is_no_reference() {
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
    let result = folder.path().join("run.json");
    a_run().save(&result).unwrap();
    let result = result.to_str().unwrap();
    printed(folder.path(), &["report", result, result]);
    let page = fs::read_to_string(folder.path().join("reports/compare.html")).unwrap();
    assert!(page.contains("Comparison of two results"));
    // A later site without a comparison has no stale one.
    printed(folder.path(), &["report", result]);
    assert!(!folder.path().join("reports/compare.html").exists());
    assert_eq!(failure(folder.path(), &["report", result, result, result]).0, 2);
}

#[test]
fn broken_samples_are_named() {
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
