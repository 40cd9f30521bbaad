//! The commands for code review: figures, citations, findings of clippy, whole programs, expired lessons.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use worthit_harness::{
    machine::Machine,
    results::{Headline, Outcome, Run},
};

use super::{PAIR, failure, printed};

/// A message of clippy on a line of `src/main.rs`.
fn message(lint: &str, line: u64) -> String {
    let span = format!(
        r#"{{"file_name":"src/main.rs","line_start":{line},"column_start":5,"is_primary":true}}"#
    );
    format!(
        r#"{{"reason":"compiler-message","message":{{"message":"found","code":{{"code":"{lint}"}},"spans":[{span}]}}}}"#
    )
}

/// Runs `worthit lints` with these messages of cargo on standard input.
fn lints(folder: &Path, arguments: &[&str], messages: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worthit"));
    command.arg("lints").args(arguments).current_dir(folder).env_remove("CARGO_PKG_NAME");
    command.env("WORTHIT_HOME", folder.join("home"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(messages.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn show_has_the_code_of_both_sides_and_the_figures_with_their_source() {
    let folder = tempfile::tempdir().unwrap();
    let card = printed(folder.path(), &["show", PAIR]);
    for part in [
        "\ncode of the naive side:\n    ",
        "\n    fn naive<D: Database>(",
        "\ncode of the optimized side:\n    ",
        "\n    fn optimized<D: Database>(",
        "\nfigures, by the committed reference of ",
        "  (the headline)\n",
        "\n    over the sweep: ",
    ] {
        assert!(card.contains(part), "{part}\n{card}");
    }
    let json = printed(folder.path(), &["show", PAIR, "--format", "json"]);
    let card: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(card["id"], PAIR);
    assert!(card["optimized"]["code"].as_str().unwrap().contains("fn optimized"), "{card:#}");
}

#[test]
fn a_citation_has_the_finding_its_source_and_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let citation = printed(folder.path(), &["cite", "hash_dedup"]);
    for part in [
        "**worthit ",
        "`algorithms/hash_dedup`",
        "comparisons became",
        "\n- Leave it alone when: ",
        "logical cores, rustc ",
        ", by the committed reference of ",
        ", revision `",
        "\n- Reproduce: `cargo bench -- '^algorithms/hash_dedup/'`\n",
    ] {
        assert!(citation.contains(part), "{part}\n{citation}");
    }
    let between = printed(folder.path(), &["cite", "hash_dedup", "--size", "300"]);
    assert!(between.contains("At 300 items (interpolated between "), "{between}");
    let (status, message) = failure(folder.path(), &["cite", "hash_dedup", "--size", "999999999"]);
    assert_eq!(status, 1);
    assert!(message.contains("999,999,999 items lies outside what was measured"), "{message}");
    let (status, message) = failure(folder.path(), &["cite", PAIR, "--level", "moon"]);
    assert_eq!(status, 1);
    assert!(message.contains("no level `moon`; the levels are "), "{message}");
    let (status, message) = failure(folder.path(), &["cite", "padded_counters", "--size", "5"]);
    assert_eq!(status, 1);
    assert!(message.contains("no values between those that were measured"), "{message}");
    let (status, message) = failure(folder.path(), &["cite", "bank"]);
    assert_eq!(status, 2);
    assert!(message.contains("`worthit show studies/bank` shows it"), "{message}");
}

#[test]
fn findings_come_with_what_they_are_worth_the_largest_gain_first() {
    let folder = tempfile::tempdir().unwrap();
    let messages = [
        message("clippy::map_entry", 7),
        message("clippy::map_entry", 7),
        message("clippy::too_many_arguments", 9),
        message("clippy::linkedlist", 3),
    ];
    let output = lints(folder.path(), &[], &messages.join("\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "clippy::map_entry: ",
        " in computation/map_entry, by the committed reference of ",
        "\n    src/main.rs:7\n",
        "2 findings of 3 with a pair in the catalogue\n",
        "without one: clippy::too_many_arguments (1)\n",
        "--message-format=json -- -W clippy::",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }

    let output = lints(folder.path(), &["--format", "json"], &messages.join("\n"));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let known = found["known"].as_array().unwrap();
    let gains: Vec<f64> =
        known.iter().map(|found| found["gain"]["estimate"].as_f64().unwrap()).collect();
    assert!(gains.len() == 2 && gains.is_sorted_by(|left, right| left >= right), "{gains:?}");
    assert_eq!(found["unknown"]["clippy::too_many_arguments"], 1);

    let output = lints(folder.path(), &["--format", "sarif"], &messages.join("\n"));
    let sarif: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!((results.len(), rules.len()), (2, 2));
    for result in results {
        let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "src/main.rs");
        assert_eq!(place["region"]["startColumn"], 5);
    }
}

#[test]
fn what_cargo_did_not_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for messages in ["", "warning: usage of `contains_key`\n"] {
        let output = lints(folder.path(), &[], messages);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(2), vec![]));
        assert!(said.contains("cargo clippy --message-format=json | worthit lints"), "{said}");
    }
    let output = lints(folder.path(), &[], r#"{"reason":"build-finished","success":true}"#);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("0 findings of 0 with a pair"), "{text}");

    // What there is of a build that failed is printed.
    let failed = message("clippy::map_entry", 7)
        + "\n{\"reason\":\"compiler-message\"}\n{\"reason\":\"build-finished\",\"success\":false}";
    let output = lints(folder.path(), &[], &failed);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("1 finding of 1 with a pair"));
    assert!(said.contains("the build failed, so clippy has not seen all of the code"), "{said}");
    assert!(said.contains("1 message of the compiler could not be read"), "{said}");
}

#[test]
fn a_gain_matters_as_much_as_its_share_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let asked = |arguments: &[&str]| {
        printed(folder.path(), &[&["matter", "hash_dedup"], arguments].concat())
    };
    let text = asked(&["--share", "50%", "--rate", "1000000.5"]);
    assert!(text.contains("at 1,000,001 items a second, "), "{text}");
    assert!(text.contains("\n1,000 hours of running become "), "{text}");
    for part in [
        "with 50.0 % of the time",
        "at most 2.00×",
        "fewer are in progress at any moment",
        "weigh it against",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(asked(&["--share", "0.001"]).contains("leave it alone: the difference is under"));

    fs::write(folder.path().join("stacks"), "main;app::dedup 30\nmain;app::other 70\n").unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    let text = asked(&["--profile", "stacks", "--function", "dedup"]);
    assert!(text.contains("with 30.0 % (30 of 100 samples) of the time"), "{text}");
    let computed = ["matter", PAIR, "--level", "rtt=1ms", "--share", "50%"];
    let text = printed(folder.path(), &computed);
    assert!(text.contains("× (computed), by "), "{text}");
    let json = asked(&["--profile", "stacks", "--function", "dedup", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["share"], 0.3);
    let [speedup, gain] = [&found["whole"]["speedup"]["estimate"], &found["gain"]["estimate"]]
        .map(|figure| figure.as_f64().unwrap());
    assert!((speedup - 1.0 / (0.7 + 0.3 / gain)).abs() < 1e-9, "{json}");

    for (arguments, status, said) in [
        (&["hash_dedup", "--share", "2"][..], 2, "a share is a number from 0 to 1"),
        (&["hash_dedup"], 2, "--share"),
        (&["hash_dedup", "--share", "0.1", "--rate", "0"], 2, "a rate is a positive number"),
        (&["hash_dedup", "--profile", "stacks"], 2, "--function"),
        (&["bitset", "--share", "0.1"], 2, "bytes held"),
        (
            &[PAIR, "--level", "rtt=1ms", "--share", "0.1", "--rate", "9"],
            2,
            "which `--rate` needs: leave it out",
        ),
        (
            &["hash_dedup", "--profile", "empty", "--function", "f"],
            1,
            "the profile has no sample: record one with",
        ),
        (
            &["hash_dedup", "--profile", "none", "--function", "f"],
            1,
            "cannot read the profile none",
        ),
        (
            &["hash_dedup", "--profile", "stacks", "--function", "dedpu"],
            1,
            "did you mean `app::dedup`?",
        ),
    ] {
        let (found, message) = failure(folder.path(), &[&["matter"], arguments].concat());
        assert_eq!(found, status, "{message}");
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn expired_lessons_are_listed_with_their_reasons_and_sources() {
    let folder = tempfile::tempdir().unwrap();
    let text = printed(folder.path(), &["expire"]);
    assert!(text.contains(" pairs no longer say what their cards do; "), "{text}");
    assert!(
        text.contains(" judged by the headline alone, as a whole sweep of several processes"),
        "{text}"
    );
    assert!(text.contains("`worthit expire --lints` runs clippy"), "{text}");
    let json = printed(folder.path(), &["expire", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(found["looked_at"].as_u64() > Some(100) && found["expired"].is_array(), "{json}");
}

#[test]
fn without_clippy_it_is_said_that_lints_cannot_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut expire = Command::new(env!("CARGO_BIN_EXE_worthit"));
    expire.args(["expire", "--lints"]).current_dir(folder.path());
    expire.env("WORTHIT_HOME", folder.path().join("home")).env("PATH", "");
    let output = expire.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("lints cannot be looked at: cannot run cargo"), "{said}");
    assert!(said.contains("rustup component add clippy"), "{said}");
}

/// A folder on the file system of the target folder, which is a part of the machine key.
fn folder_here() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Saves the committed reference of a pair as a run of this machine, changed.
fn save_run(folder: &Path, name: &str, change: impl FnOnce(&mut Run)) {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
    let references = worthit_harness::reference::all(&reports).unwrap();
    let has_headline = |run: &Run| run.pairs.get(PAIR).is_some_and(|pair| pair.headline.is_some());
    let mut run = references.into_iter().find(has_headline).unwrap();
    run.pairs.retain(|id, _| id == PAIR);
    run.machine = Machine::current();
    run.started = jiff::Timestamp::now();
    change(&mut run);
    let runs = folder.join("home/runs");
    fs::create_dir_all(&runs).unwrap();
    run.save(&runs.join(name)).unwrap();
}

#[test]
fn a_run_without_the_headline_leaves_the_word_to_what_has_it() {
    let folder = folder_here();
    let cite = |arguments: &[&str]| printed(folder.path(), &[&["cite", PAIR], arguments].concat());
    let before = cite(&[]);
    save_run(folder.path(), "20260101T000000Z-1.jsonl", |run| {
        let pair = run.pairs.get_mut(PAIR).unwrap();
        let headline = pair.headline.clone().unwrap();
        pair.sweeps.retain(|sweep| sweep.level != headline.level);
    });
    assert_eq!(cite(&[]), before, "a run of other cases");
    // One of the headline alone speaks for it, and not for other sizes.
    save_run(folder.path(), "20260101T000000Z-2.jsonl", |run| {
        let pair = run.pairs.get_mut(PAIR).unwrap();
        let headline = pair.headline.clone().unwrap();
        for sweep in &mut pair.sweeps {
            sweep.cases.retain(|case| case.point == headline.point);
        }
    });
    assert!(cite(&[]).contains(", by a run on this machine, "));
    assert!(cite(&["--size", "200"]).contains(", by the committed reference of "));
    // One of another size says what it found there.
    save_run(folder.path(), "20260101T000000Z-3.jsonl", |run| {
        let pair = run.pairs.get_mut(PAIR).unwrap();
        for sweep in &mut pair.sweeps {
            sweep.cases.retain(|case| case.point == 256);
        }
    });
    assert!(cite(&["--size", "256"]).contains(", by a run on this machine, "));
}

#[test]
fn a_run_on_some_threads_does_not_speak_for_all_cores() {
    let folder = folder_here();
    let all = std::thread::available_parallelism().unwrap().get() as u64;
    for (name, threads) in [("20260101T000000Z-1.jsonl", all), ("20260101T000000Z-2.jsonl", 1_000)]
    {
        save_run(folder.path(), name, |run| {
            let mut pair = run.pairs.remove(PAIR).unwrap();
            let Headline { level, point } = pair.headline.clone().unwrap();
            pair.sweeps.retain(|sweep| sweep.level == level);
            pair.sweeps[0].cases.retain(|case| case.point == point);
            pair.sweeps[0].cases[0].point = threads;
            pair.sweeps[0].level = String::new();
            pair.headline = Some(Headline { level: String::new(), point: threads });
            run.pairs.insert("parallelism/atomic_counter".to_owned(), pair);
        });
    }
    let citation = printed(folder.path(), &["cite", "atomic_counter"]);
    assert!(citation.contains(", by a run on this machine, "), "{citation}");
    assert!(!citation.contains("1,000"), "{citation}");
}

#[test]
fn a_pair_that_was_tried_in_vain_says_why() {
    let folder = folder_here();
    let (status, message) = failure(folder.path(), &["cite", "gpu_offload"]);
    assert_eq!(status, 1);
    assert!(message.contains("nobody has measured hardware/gpu_offload: no run in "), "{message}");
    assert!(message.contains("run `cargo bench -- '^hardware/gpu_offload/'`"), "{message}");
    save_run(folder.path(), "20260101T000000Z-1.jsonl", |run| {
        let mut pair = run.pairs.remove(PAIR).unwrap();
        let reason = "no GPU was found".to_owned();
        let headline = pair.headline.clone().unwrap();
        for sweep in &mut pair.sweeps {
            for case in &mut sweep.cases {
                if case.point == headline.point {
                    case.outcome = Outcome::Unavailable { reason: reason.clone() };
                }
            }
        }
        run.pairs.insert("hardware/gpu_offload".to_owned(), pair);
    });
    let (_, message) = failure(folder.path(), &["cite", "gpu_offload"]);
    assert!(message.contains(" did not: no GPU was found); run `cargo bench"), "{message}");
    let card = printed(folder.path(), &["show", "gpu_offload"]);
    assert!(card.contains("nobody has measured it (the run of "), "{card}");
}
