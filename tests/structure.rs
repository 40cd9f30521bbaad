//! Tests of those invariants of ARCHITECTURE.md that can be checked on the text of the sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use worthit::CATALOGUE;
use worthit_harness::readme;
use worthit_pair::{
    cases::{self, Extent},
    pair::Points,
    threads,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The folders of the code of every crate.
const FOLDERS: [&str; 5] =
    ["src", "crates/servers/src", "crates/pair/src", "crates/machine/src", "crates/harness/src"];

/// Rust files below a folder.
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

/// Whether `text` contains `word` as a whole identifier.
fn names(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !is_part(before) && !is_part(after)
    })
}

/// Crates of this workspace, and the other crates that each may name: its row in ARCHITECTURE.md.
const CRATES: [(&str, &[&str]); 5] = [
    ("crates/servers", &[]),
    ("crates/pair", &["worthit_servers"]),
    ("crates/machine", &["worthit_pair"]),
    ("crates/harness", &["worthit_pair", "worthit_machine", "worthit_servers"]),
    ("", &["worthit_pair", "worthit_harness", "worthit_servers"]),
];
/// Crates of this workspace that another one may name.
const NAMED: [&str; 4] = ["worthit_servers", "worthit_pair", "worthit_machine", "worthit_harness"];

#[test]
fn a_crate_names_only_the_crates_of_its_row() {
    for (folder, allowed) in CRATES {
        let source = Path::new(folder).join("src");
        for path in rust_files(source.to_str().unwrap()) {
            let text = read(&path);
            for other in NAMED {
                let own = format!("worthit_{}", folder.trim_start_matches("crates/"));
                let may = allowed.contains(&other) || own == other;
                assert!(may || !names(&text, other), "{} names {other}", path.display());
            }
        }
    }
}

#[test]
fn a_crate_depends_only_on_the_crates_of_its_row() {
    for (folder, allowed) in CRATES {
        let manifest = read(Path::new(folder).join("Cargo.toml"));
        for other in NAMED.map(|name| name.replace('_', "-")) {
            let depends = manifest.lines().any(|line| line.starts_with(&format!("{other} =")));
            let may = allowed.contains(&other.replace('-', "_").as_str());
            assert_eq!(depends, may, "{folder}/Cargo.toml and {other}");
        }
    }
}

#[test]
fn families_and_fixtures_name_only_the_pair_crate_and_no_clock() {
    let folders = CATALOGUE.map(|family| format!("src/{}", family.name));
    let files = folders.iter().flat_map(|folder| rust_files(folder));
    for path in files.chain(rust_files("src/fixtures")) {
        if path.ends_with("src/computation/clock_per_item.rs") {
            continue; // to read the clock is its technique
        }
        let text = read(&path);
        for word in ["criterion", "worthit_harness", "Instant", "SystemTime", ".elapsed("] {
            assert!(!text.contains(word), "{} has `{word}`", path.display());
        }
    }
}

#[test]
fn clocks_are_read_only_where_the_architecture_says() {
    let known = [
        "crates/pair/src/trial/open_loop.rs",
        "crates/pair/src/trial/shapes.rs",
        "crates/pair/src/trial/threads.rs",
        "crates/pair/src/wait.rs",
        "crates/pair/src/paths.rs",       // in a test, for a unique name
        "crates/servers/src/child.rs",    // how long a start may take
        "crates/servers/src/distance.rs", // in a test
        "crates/servers/src/link.rs",     // in a test
        "crates/servers/src/proxy.rs",
        "crates/servers/src/slow_device.rs",
        "crates/machine/src/ceiling.rs",
        "crates/machine/src/readings.rs",
        "crates/harness/src/measuring.rs",
        "crates/harness/src/load.rs",
        "crates/harness/src/progress.rs", // the time left
        "crates/harness/src/gate.rs",
        "crates/harness/src/gate/comparison.rs",
        "crates/harness/src/gate/paired_timing.rs",
        "crates/harness/src/gate/self_test.rs",
        "crates/harness/src/gate/self_test/nulls.rs",
        "crates/harness/src/gate/timing.rs",
        "crates/harness/src/gate/worker.rs",
        "crates/harness/src/cli/gate.rs",
        "src/computation/clock_per_item.rs", // its technique
    ];
    for path in FOLDERS.into_iter().flat_map(rust_files) {
        let reads = read(&path).contains("Instant::now()");
        let is_known = known.iter().any(|known| path.ends_with(known));
        assert_eq!(reads, is_known, "{}", path.display());
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
    for path in FOLDERS.into_iter().flat_map(rust_files) {
        let names = read(&path).contains("criterion::");
        assert_eq!(names, path.ends_with("harness/src/bench.rs"), "{}", path.display());
    }
}

#[test]
fn every_family_has_its_bench_and_benches_have_no_logic() {
    let manifest = read("Cargo.toml");
    // All at once, because cargo refuses an entry without its file.
    let mut missing = Vec::new();
    for family in CATALOGUE {
        let name = family.name;
        let path = format!("benches/{name}.rs");
        let call =
            format!("worthit_harness::bench::run(&worthit::{name}::FAMILY, &worthit::CATALOGUE)");
        let expected = format!("fn main() {{\n    {call};\n}}\n");
        let text = fs::read_to_string(root().join(&path)).unwrap_or_default();
        let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("//")).collect();
        if code.join("\n").trim() != expected.trim() {
            missing.push(format!("{path} must hold this, beside comments:\n\n{expected}"));
        }
        let entry = format!("[[bench]]\nname = \"{name}\"\nharness = false");
        if !manifest.contains(&entry) {
            missing.push(format!("Cargo.toml must have this entry:\n\n{entry} # criterion's\n"));
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
    assert_eq!(
        rust_files("benches").len(),
        CATALOGUE.len(),
        "a file in benches/ belongs to no family"
    );
}

#[test]
fn every_family_in_src_is_listed() {
    for path in fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let lists = |text: &str| {
            ["family!", "studies!"]
                .iter()
                .any(|list| text.contains(&format!("worthit_pair::{list}")))
        };
        let is_family = path.is_file() && lists(&read(&path));
        let is_listed = CATALOGUE.iter().any(|family| family.name == name);
        assert!(!is_family || is_listed, "src/lib.rs lacks the line `{name},`");
    }
}

#[test]
fn every_pair_has_known_answers_and_a_trap() {
    for family in CATALOGUE {
        let names: Vec<&str> = family.pairs.iter().map(|entry| entry.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for entry in family.pairs {
            assert!(entry.source.contains("fn known_answers"), "{}", entry.id);
            assert!(!entry.traps.is_empty(), "{}", entry.id);
            assert!(!entry.causes.is_empty(), "{}", entry.id);
        }
    }
}

#[test]
fn sweeps_are_sorted_and_have_few_levels_with_plain_names() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        let points = entry.axis.points.default_points();
        let all: Vec<u64> = points.iter().chain(entry.axis.points.deep_points()).copied().collect();
        assert!(all.is_sorted_by(|left, right| left < right), "{}: {all:?}", entry.id);
        let levels = cases::levels(entry);
        // One level of threads is oversubscribed, and measured at the headline's point only.
        assert!(levels.len() <= 4 + usize::from(entry.uses_threads()), "{}", entry.id);
        assert!(levels.iter().all(|level| !level.label.contains([' ', '/'])), "{}", entry.id);
        for role in cases::roles(entry) {
            let name = cases::side_name(entry, role);
            let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            assert!(is_plain, "{}: {name}", entry.id);
        }
    }
}

#[test]
fn every_id_that_was_ever_released_leads_to_a_pair_or_a_study() {
    let pairs: Vec<_> = CATALOGUE.iter().flat_map(|family| family.pairs).collect();
    let is_study =
        |id: &str| CATALOGUE.iter().flat_map(|family| family.studies).any(|study| study.id == id);
    // `worthit readme` adds an id and takes none away.
    for id in read("reports/ids.txt").lines() {
        let leads = pairs.iter().any(|pair| pair.id == id || pair.earlier_ids.contains(&id));
        assert!(
            leads || is_study(id),
            "`{id}` leads nowhere: name it in `earlier_ids` of the pair that took its place"
        );
    }
    let earlier = pairs.iter().flat_map(|pair| pair.earlier_ids);
    assert!(earlier.into_iter().all(|id| pairs.iter().all(|pair| pair.id != *id)));
}

#[test]
fn more_threads_than_cores_are_measured_at_one_level() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        let spoken_of = cases::headline(entry, 42).key.level;
        let cases = cases::measured(entry, Extent::Default, 42).into_iter();
        let beyond = cases.filter(|case| match entry.axis.points {
            Points::Threads => threads::is_oversubscribed(case.case.point),
            Points::Fixed { .. } => {
                entry.uses_threads() && threads::is_oversubscribed(case.case.level)
            }
        });
        let levels: BTreeSet<String> = beyond.map(|case| case.key.level).collect();
        assert_eq!(levels.len(), usize::from(entry.uses_threads()), "{}: {levels:?}", entry.id);
        if matches!(entry.axis.points, Points::Threads) {
            assert_eq!(levels, BTreeSet::from([spoken_of]), "{}", entry.id);
        }
    }
}

/// Lines of a crate's manifest in sections whose heading ends in `kind`: `dependencies]`, `[dev-dependencies]`.
fn dependencies(folder: &str, kind: &str) -> Vec<String> {
    let manifest = read(Path::new(folder).join("Cargo.toml"));
    let is_heading = |line: &&str| line.starts_with('[');
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        section = Some(line).filter(is_heading).unwrap_or(section);
        if section.ends_with(kind) && line.contains(" = ") {
            found.push(line.to_owned());
        }
    }
    found
}

/// Names of the packages that Cargo.toml builds at `opt-level`.
fn packages_at(opt_level: u8) -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let sections = manifest.split("[profile.release.package.").skip(1);
    let named = sections.filter_map(|section| section.split_once(']'));
    let at_level = named.filter(|(_, rest)| {
        rest.lines().nth(1) == Some(format!("opt-level = {opt_level}").as_str())
    });
    at_level.map(|(name, _)| name.to_owned()).collect()
}

/// The packages of Cargo.lock, each with those that it depends on.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in read("Cargo.lock").split("[[package]]").skip(1) {
        // "name" or "name version", as several versions of a package may be locked.
        let quoted: Vec<&str> = package.split('"').skip(1).step_by(2).collect();
        let dependencies = package.split_once("dependencies = [").map_or("", |(_, rest)| rest);
        let names = dependencies.split('"').skip(1).step_by(2);
        let names = names.map(|name| name.split(' ').next().unwrap().to_owned());
        packages.entry(quoted[0].to_owned()).or_default().extend(names);
    }
    packages
}

#[test]
fn what_pairs_and_machine_numbers_are_built_of_is_optimized() {
    // SQLite has its own level; the machine crate reads the free memory before its clock starts.
    let allowed = ["libsqlite3-sys", "procfs", "procfs-core"];
    let (mut locked, unoptimized) = (locked(), packages_at(0));
    // Optional there, and not asked for. Cargo.lock does not tell that, either.
    assert!(locked.get_mut("rdst").is_some_and(|rdst| rdst.remove("criterion")));
    assert!(unoptimized.contains("worthit-harness") && packages_at(2).contains("libsqlite3-sys"));
    // Cargo.lock does not tell dev-dependencies apart, so the first names come from the manifests.
    let mut next: Vec<String> = ["", "crates/machine"]
        .into_iter()
        .flat_map(|folder| dependencies(folder, "[dependencies]"))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .filter(|name| name != "worthit-harness")
        .collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = next.pop() {
        next.extend(locked[&name].difference(&reached).cloned());
        reached.insert(name);
    }
    assert!(["dashmap", "rusqlite", "hashbrown"].iter().all(|name| reached.contains(*name)));
    let wrong: Vec<&String> = reached
        .intersection(&unoptimized)
        .filter(|name| !allowed.contains(&name.as_str()))
        .collect();
    assert!(wrong.is_empty(), "a pair would time {wrong:?} unoptimized: see Cargo.toml");
}

#[test]
fn every_dependency_has_its_reason_beside_it_and_is_used() {
    for (folder, _) in CRATES {
        let inside = |part: &str| Path::new(folder).join(part).to_str().unwrap().to_owned();
        let parts = ["src", "tests", "examples", "benches"].map(inside);
        let parts = parts.iter().filter(|part| root().join(part).is_dir());
        let texts: Vec<String> = parts.flat_map(|part| rust_files(part)).map(read).collect();
        let lines = dependencies(folder, "dependencies]");
        assert!(!lines.is_empty(), "{folder}");
        for line in lines {
            assert!(line.contains(" # "), "no reason: {line}");
            let name = line.split(' ').next().unwrap().replace('-', "_");
            assert!(texts.iter().any(|text| names(text, &name)), "{folder} does not use {name}");
        }
    }
}

#[test]
fn the_readmes_generated_parts_are_fresh_and_the_rest_is_short() {
    readme::check(&root().join("README.md"), &CATALOGUE).unwrap_or_else(|error| panic!("{error}"));
    let text = read("README.md");
    let (before, rest) = text.split_once("<!-- generated by").unwrap();
    let (_, after) = rest.split_once("<!-- end of generated part -->").unwrap();
    // The shown pair is code, so it does not count.
    let shown = before.split("```rust").nth(1).and_then(|text| text.split("```").next()).unwrap();
    let by_hand = before.lines().count() + after.lines().count() - shown.lines().count();
    assert!(by_hand < 120, "{by_hand} lines are written by hand");
}

/// Maximum bytes per pair of a committed reference: 150 pairs take 2 MB. (The first 23 take 9 KiB each.)
const BYTES_PER_PAIR: u64 = 14 << 10;
/// Maximum bytes of a reference beside its pairs: the machine, its numbers, the toolchain.
const BYTES_PER_REFERENCE: u64 = 32 << 10;

#[test]
fn references_are_small_and_of_several_processes() {
    let (mut most, mut folders) = (0, BTreeSet::new());
    for run in worthit_harness::reference::all(&root().join("reports")).unwrap() {
        most += run.pairs.len() as u64 * BYTES_PER_PAIR + BYTES_PER_REFERENCE;
        folders.insert(root().join("reports").join(&run.machine.key));
        let cases = run.pairs.values().flat_map(|pair| &pair.sweeps).flat_map(|sweep| &sweep.cases);
        for measured in cases.filter_map(|case| case.measured()) {
            assert!(measured.processes.len() >= 5, "{measured:?}");
        }
    }
    let files = folders.into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= most, "{bytes} bytes of references, {most} allowed");
}

#[test]
fn each_side_is_named_after_its_function() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        for role in cases::roles(entry) {
            let name = cases::side_name(entry, role);
            assert!(entry.source.contains(&format!("fn {name}")), "{}: no `fn {name}`", entry.id);
        }
    }
}
