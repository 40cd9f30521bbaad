//! The invariants of ARCHITECTURE.md that text can tell.

use std::{
    fs,
    path::{Path, PathBuf},
};

use worthit::{CATALOGUE, readme};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The Rust files below a folder.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                files.push(entry);
            }
        }
    }
    files
}

#[test]
fn families_and_fixtures_name_no_criterion_and_no_clock() {
    let folders = CATALOGUE.map(|family| format!("src/{}", family.name));
    let files = folders.iter().flat_map(|folder| rust_files(folder));
    for path in files.chain(rust_files("src/fixtures")) {
        let text = read(&path);
        for word in ["criterion", "Instant", "SystemTime", ".elapsed("] {
            assert!(!text.contains(word), "{} has `{word}`", path.display());
        }
    }
}

#[test]
fn a_clock_is_read_where_the_architecture_says() {
    let known = [
        "src/trial/open_loop.rs",
        "src/trial/shapes.rs",
        "src/trial/threads.rs",
        "src/ceiling.rs",
        "src/numbers/readings.rs",
        "src/measuring.rs",
        "src/load.rs",
        "src/gate.rs",
        "src/gate/comparison.rs",
        "src/gate/contest.rs",
        "src/gate/self_test.rs",
        "src/gate/timing.rs",
        "src/gate/worker.rs",
        "src/cli/gate.rs",
        "src/places.rs", // in a test, for a name that is new each time
    ];
    for path in rust_files("src") {
        let reads = read(&path).contains("Instant::now()");
        let is_known = known.iter().any(|known| path.ends_with(known));
        assert!(reads <= is_known, "{} reads a clock", path.display());
    }
}

#[test]
fn of_the_machine_numbers_only_the_readings_read_a_clock() {
    let files = rust_files("src/numbers").into_iter().chain([root().join("src/numbers.rs")]);
    for path in files {
        let text = read(&path);
        let reads = ["Instant", "SystemTime", ".elapsed("].iter().any(|word| text.contains(word));
        assert_eq!(reads, path.ends_with("src/numbers/readings.rs"), "{}", path.display());
    }
}

#[test]
fn no_pair_names_another() {
    for family in CATALOGUE {
        for path in rust_files(&format!("src/{}", family.name)) {
            let text = read(&path);
            for other in CATALOGUE {
                let module = format!("crate::{}", other.name);
                assert!(!text.contains(&module), "{} names {module}", path.display());
            }
            assert!(!text.contains("super::super"), "{}", path.display());
        }
    }
}

#[test]
fn only_one_file_names_criterion() {
    for path in rust_files("src") {
        let names = read(&path).contains("criterion::");
        assert_eq!(names, path.ends_with("src/bench.rs"), "{}", path.display());
    }
}

#[test]
fn benches_have_no_logic() {
    for family in CATALOGUE {
        let text = read(format!("benches/{}.rs", family.name));
        let code: String = text.lines().filter(|line| !line.starts_with("//")).collect();
        let call = format!("worthit::bench::run(&worthit::{}::FAMILY)", family.name);
        assert_eq!(code, format!("fn main() {{    {call};}}"));
    }
    assert_eq!(rust_files("benches").len(), CATALOGUE.len());
}

#[test]
fn every_file_of_a_family_is_a_listed_pair_with_known_answers_and_a_trap() {
    for family in CATALOGUE {
        let names: Vec<&str> = family.pairs.iter().map(|entry| entry.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for path in rust_files(&format!("src/{}", family.name)) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(names.contains(&name), "{} is not listed", path.display());
        }
        for entry in family.pairs {
            assert!(entry.source.contains("fn known_answers"), "{}", entry.id);
            let has_trap =
                entry.source.contains("fn trap_") || entry.id == "calibration/harness_overhead";
            assert!(has_trap, "{}", entry.id);
            assert!(!entry.causes.is_empty(), "{}", entry.id);
        }
    }
}

#[test]
fn sweeps_are_within_the_budget() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        let points = entry.axis.points.default_points();
        let all: Vec<u64> = points.iter().chain(entry.axis.points.deep_points()).copied().collect();
        assert!(all.is_sorted_by(|left, right| left < right), "{}: {all:?}", entry.id);
        assert!(worthit::cases::levels(entry).len() <= 4, "{}", entry.id);
        let names = worthit::cases::levels(entry);
        assert!(names.iter().all(|level| !level.label.contains([' ', '/'])), "{}", entry.id);
        let peer = entry.peer.unwrap_or("none");
        assert!(
            peer.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "{}: {peer}",
            entry.id
        );
    }
}

#[test]
fn every_dependency_has_its_reason_beside_it() {
    let manifest = read("Cargo.toml");
    let start = manifest.find("[dependencies]").unwrap();
    let end = manifest.find("# What is timed is built").unwrap();
    for line in manifest[start..end].lines().filter(|line| line.contains(" = ")) {
        assert!(line.contains(" # "), "{line}");
    }
}

#[test]
fn the_generated_parts_of_the_readmes_are_fresh_and_what_is_written_by_hand_is_short() {
    readme::check(&root().join("README.md"), &CATALOGUE).unwrap();
    let text = read("README.md");
    let (before, rest) = text.split_once("<!-- generated by").unwrap();
    let (_, after) = rest.split_once("<!-- end of generated part -->").unwrap();
    assert!(before.lines().count() + after.lines().count() < 110);
}

#[test]
fn references_are_small_and_of_several_processes() {
    for run in worthit::reference::all(&root().join("reports")).unwrap() {
        let folder = root().join("reports").join(&run.machine.key);
        for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            assert!(file.metadata().unwrap().len() <= 1 << 20, "{:?}", file.path());
        }
        let cases = run.pairs.values().flat_map(|pair| &pair.sweeps).flat_map(|sweep| &sweep.cases);
        for measured in cases.filter_map(|case| case.measured()) {
            assert!(measured.processes.len() >= 5, "{measured:?}");
        }
    }
}

#[test]
fn a_reference_is_named_by_the_function_that_is_it() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        let Some(peer) = entry.peer else { continue };
        assert!(entry.source.contains(&format!("fn {peer}")), "{}: no `fn {peer}`", entry.id);
    }
}
