//! Which pairs `worthit gate` counts and times: those that depend on something that has changed.

mod downstream;

use downstream::{Judgement, Repository};

const JOIN: &str = "src/records/join_fields.rs";
const CRC: &str = "src/checksums/crc_table.rs";
const LABELS: &str = "src/fixtures/labels.rs";

/// Repository in which `records/join_fields` and `checksums/crc_table` use a fixture.
fn repository_with_a_fixture() -> Repository {
    let repository = Repository::new();
    let list = "worthit_pair::catalogue! {";
    repository.edit("src/lib.rs", list, &format!("mod fixtures;\n\n{list}"));
    repository.write("src/fixtures.rs", "//! What pairs share.\n\npub mod labels;\n");
    repository.write(
        LABELS,
        "//! Labels of generators.\n\npub const FIELDS: &str = \"digits\";\npub const MESSAGE: &str = \"message\";\n",
    );
    let import = "use rand::RngExt;\n";
    for (file, label, name) in [(JOIN, "\"digits\"", "FIELDS"), (CRC, "\"message\"", "MESSAGE")] {
        repository.edit(file, import, &format!("{import}use crate::fixtures::labels;\n"));
        repository.edit(file, &format!("case.rng({label})"), &format!("case.rng(labels::{name})"));
    }
    repository.commit();
    repository
}

/// Ids of the pairs that the gate compared, as its JSON says.
fn judged(repository: &Repository) -> (Judgement, Vec<String>) {
    let output = repository.beside("gate.json");
    let judgement = repository.judge(&format!("--against main --output json={}", output.display()));
    let text = std::fs::read_to_string(output).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cases = report["cases"].as_array().unwrap().iter();
    let judged = cases.filter(|case| case["outcome"]["outcome"] == "judged");
    let id = |case: &serde_json::Value| case["case"]["key"]["pair"].as_str().unwrap().to_owned();
    (judgement, judged.map(id).collect())
}

#[test]
fn only_pairs_that_depend_on_a_change_are_counted_and_timed() {
    let repository = repository_with_a_fixture();
    // Files that are not compiled into a pair: prose, a style sheet, a test, and a fixture that no pair uses.
    repository.edit("README.md", "# Pairs of your own", "# Ours");
    repository.write("src/style.css", "p { color: red }\n");
    repository.write("tests/numbers.rs", "#[test]\nfn numbers() {}\n");
    repository.edit("src/fixtures.rs", "pub mod labels;", "pub mod labels;\npub mod unused;");
    repository.write("src/fixtures/unused.rs", "//! Used by no pair.\n");
    let (judgement, ids) = judged(&repository);
    judgement.assert(0, &["counting 0 of 3 pairs", "3 of 3 pairs were neither counted nor timed"]);
    assert_eq!((ids.len(), judgement.stderr.contains("timing")), (0, false), "{judgement}");
    // One pair.
    repository.edit(JOIN, "fn naive(", "// A comment, which the binary has as text.\nfn naive(");
    let (judgement, ids) = judged(&repository);
    judgement.assert(0, &["counting 1 of 3 pairs", "2 of 3 pairs were neither counted nor timed"]);
    assert_eq!(ids, ["records/join_fields"]);
    repository.git("checkout --quiet src/records");
    // A fixture of two pairs.
    repository.edit(LABELS, "pub const FIELDS", "pub const LABELS: usize = 2;\npub const FIELDS");
    let (judgement, ids) = judged(&repository);
    judgement.assert(0, &["counting 2 of 3 pairs", "1 of 3 pairs were neither counted nor timed"]);
    assert_eq!(ids.len(), 2);
    assert!(!ids.contains(&"records/distinct_ids".to_owned()), "{ids:?}");
    repository.git("checkout --quiet src/fixtures/labels.rs");
    // All pairs depend on manifest and lock file, which both have the version, on the profile and on the crate's root.
    let profile = "[profile.release.package.pairs]\n";
    for (file, from, to) in [
        ("Cargo.toml", "version = \"0.1.0\"", "version = \"0.1.1\"".to_owned()),
        ("Cargo.toml", profile, format!("{profile}debug-assertions = false\n")),
        ("src/lib.rs", "mod fixtures;", "mod fixtures;\npub static ANSWER: u8 = 42;".to_owned()),
    ] {
        repository.edit(file, from, &to);
        let (judgement, ids) = judged(&repository);
        judgement.assert(0, &["counting 3 of 3 pairs"]);
        assert_eq!(ids.len(), 3, "{to}");
        assert!(!judgement.stdout.contains("neither counted nor timed"), "{judgement}");
        repository.git("checkout --quiet Cargo.toml src/lib.rs");
    }
}

#[test]
fn counts_of_a_base_are_reused_and_damaged_ones_are_taken_again() {
    let repository = Repository::new();
    // One more allocation, so that counts of both builds are shown.
    let sized = "String::with_capacity(fields.len() * FIELD_BYTES);\n";
    let injected = format!("{sized}    std::hint::black_box(Box::new(fields.len()));\n");
    repository.edit(JOIN, sized, &injected);
    let change = "optimized: 1 → 2 allocations (+100.0 %)";
    repository.judge("--against main").assert(1, &[change]);
    let stored = || {
        let builds = std::fs::read_dir(repository.home.join("gate/builds")).unwrap();
        let files = builds.map(|build| build.unwrap().path().join("counts-42.json"));
        files.filter(|file| file.exists()).collect::<Vec<_>>()
    };
    assert_eq!(stored().len(), 2);
    // Stored counts are used: a wrong one would be shown, were it not for its hash.
    for file in stored() {
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"allocations\"", "\"elsewhere\"")).unwrap();
    }
    repository.judge("--against main").assert(1, &[change]);
    for file in stored() {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("\"allocations\""), "the damaged counts are replaced: {text}");
    }
}
