//! End-to-end tests of what the gate's builds are made from: each revision must be built as in its own place, whatever
//! is in the checkout, around it, or in the variables that cargo and rustup set.

mod downstream;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::SystemTime};

use downstream::{Judgement, Repository, git};

const JOIN: &str = "src/records/join_fields.rs";
/// A line of the optimized side of `records/join_fields`, which allocates once.
const ALLOCATION: &str = "String::with_capacity(fields.len() * FIELD_BYTES);\n";
/// Cargo's configuration that makes the optimized sides slow.
const UNOPTIMIZED: &str = "[profile.release.package.pairs]\nopt-level = 0\n";
/// What the gate prints if an optimized side allocates more than its budget.
const BREACH: &str = "budget: at most 1 allocations, but 2";

/// Budgets that allow `records/join_fields` a number of allocations.
fn budget_of_allocations(at_most: u64) -> String {
    format!(
        "version = 1\n[[count]]\npair = \"records/join_fields\"\npoint = 64\nseed = 42\n\
         cause = \"allocations\"\nat_most = {at_most}\n"
    )
}

/// Writes a library that allocates `allocations` times per call of `extra`.
fn write_library(folder: &Path, allocations: u64) {
    let manifest = "[package]\nname = \"extra\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    let text = format!(
        "pub fn extra() {{\n    for n in 0..{allocations} {{\n        \
         std::hint::black_box(Box::new(n));\n    }}\n}}\n"
    );
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/lib.rs"), text).unwrap();
}

/// Makes the optimized side of `records/join_fields` call the library at `path`.
fn call_library(repository: &Repository, path: &str) {
    let dependency = format!("[dependencies]\nextra = {{ path = \"{path}\" }}\n");
    repository.edit("Cargo.toml", "[dependencies]\n", &dependency);
    repository.edit(JOIN, ALLOCATION, &format!("{ALLOCATION}    extra::extra();\n"));
}

/// Appends text to a file.
fn append(repository: &Repository, file: &str, text: &str) {
    repository.write(file, &(repository.read(file) + text));
}

/// Returns the manifest without its profiles, and the profiles, which belong in the manifest of a workspace's root.
fn manifest_and_profiles(repository: &Repository) -> (String, String) {
    let manifest = repository.read("Cargo.toml");
    let (manifest, profiles) = manifest.split_once("\n[profile.release]").unwrap();
    (manifest.to_owned(), format!("\n[profile.release]{profiles}"))
}

#[test]
fn the_base_inherits_nothing_from_the_checkout_around_its_target_folder() {
    let repository = Repository::with_own_target();
    repository.write(".cargo/config.toml", UNOPTIMIZED);
    let judgement = repository.judge("--against main");
    judgement.assert(1, &["checksums/crc_table", "instructions (+", "3 regressed of 3 pairs"]);
    fs::remove_file(repository.folder().join(".cargo/config.toml")).unwrap();
    append(&repository, "Cargo.toml", "\n[workspace]\n");
    let judgement = repository.judge("--against main");
    judgement.assert(0, &["unchanged", " of 3 pairs"]);
}

#[test]
fn a_relative_target_folder_is_the_one_of_the_user() {
    let repository = Repository::with_own_target();
    let allocates_more = format!("{ALLOCATION}    std::hint::black_box(Box::new(fields.len()));\n");
    repository.edit(JOIN, ALLOCATION, &allocates_more);
    let start = SystemTime::now();
    let mut gate = repository.gate("--against main");
    repository.judge_by(gate.env("CARGO_TARGET_DIR", "target")).assert(1, &["1 → 2 allocations"]);
    // Built there, the library finds the dependencies that are there.
    let artifacts = fs::read_dir(repository.folder().join("target/release/deps")).unwrap();
    let is_built = |name: &str, time: SystemTime| name.starts_with("libpairs-") && time >= start;
    assert!(artifacts.flatten().any(|artifact| {
        let time = artifact.metadata().unwrap().modified().unwrap();
        is_built(&artifact.file_name().to_string_lossy(), time)
    }));
}

#[test]
fn the_variables_that_cargo_run_sets_for_the_head_do_not_reach_the_base() {
    let repository = Repository::with_own_target();
    let library = repository.read("src/lib.rs");
    let expect = |value: &str| {
        let configuration = format!("[env]\nINJECTED = \"{value}\"\n");
        repository.write(".cargo/config.toml", &configuration);
        let length = value.len();
        let assertion = format!("const _: () = assert!(env!(\"INJECTED\").len() == {length});\n");
        repository.write("src/lib.rs", &format!("{library}{assertion}"));
    };
    expect("base");
    repository.commit();
    expect("the head");
    let gate = repository.cargo_run_gate("--against main").output().unwrap();
    Judgement::from(gate).assert(0, &["building main (", " of 3 pairs"]);
}

#[test]
fn a_member_of_a_workspace_is_judged_wherever_the_gate_is_started() {
    let repository = Repository::new();
    let (manifest, profiles) = manifest_and_profiles(&repository);
    let root = "[workspace]\nmembers = [\"pairs\", \"server\"]\nresolver = \"3\"\n".to_owned();
    repository.write("pairs/Cargo.toml", &manifest);
    for folder in ["src", "benches"] {
        let from = repository.folder().join(folder);
        fs::rename(from, repository.folder().join("pairs").join(folder)).unwrap();
    }
    repository.write("Cargo.toml", &(root + &profiles));
    // The benches of other members are not built, so they may even be broken.
    let server = "[package]\nname = \"server\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                  [[bench]]\nname = \"load\"\nharness = false\n";
    repository.write("server/Cargo.toml", server);
    repository.write("server/src/lib.rs", "");
    repository.write("server/benches/load.rs", "compile_error!(\"not asked for\");\n");
    repository.write("pairs/budgets.toml", &budget_of_allocations(1));
    repository.commit();
    repository.judge("--against main").assert(0, &["3 unchanged", "budgets: pairs/budgets.toml"]);
    repository.write("pairs/budgets.toml", &budget_of_allocations(0));
    let breach = ["budget: at most 0 allocations, but 1", "budgets: pairs/budgets.toml"];
    for folder in ["", "pairs", "pairs/src", "server"] {
        let mut gate = repository.gate("--against main");
        let judgement = repository.judge_by(gate.current_dir(repository.folder().join(folder)));
        judgement.assert(1, &breach);
    }
    // A file that is named is looked for in the current folder, and must exist.
    let judgement = repository.judge("--against main --budgets budgets.toml");
    judgement.assert(2, &["there is no file budgets.toml", "`worthit budgets --file"]);
    assert!(!judgement.stderr.contains("building"), "{judgement}");
    let written = repository.worthit("budgets").output().unwrap();
    assert!(written.status.success(), "{written:?}");
    let written = repository.read("pairs/budgets.toml");
    assert_eq!(written.matches("cause = \"allocations\"\nat_most = 1.0\n").count(), 1, "{written}");
}

#[test]
fn what_is_beside_and_above_the_repository_is_found() {
    let repository = Repository::new();
    let library = repository.beside("extra");
    write_library(&library, 0);
    call_library(&repository, "../extra");
    fs::create_dir(repository.beside(".cargo")).unwrap();
    let configuration = "[env]\nINJECTED = \"above\"\n";
    fs::write(repository.beside(".cargo/config.toml"), configuration).unwrap();
    fs::write(repository.beside("text"), "text").unwrap();
    let lines = "const _: (&str, &str) = (env!(\"INJECTED\"), include_str!(\"../../text\"));\n";
    append(&repository, "src/lib.rs", lines);
    // Git must name the commit of the revision that is built.
    let script = "fn main() {\n    let arguments = [\"diff\", \"--quiet\", \"HEAD\", \"--\", \"src\"];\n    \
                  let git = std::process::Command::new(\"git\").args(arguments).status();\n    \
                  assert!(git.unwrap().success());\n}\n";
    repository.write("build.rs", script);
    repository.write("budgets.toml", &budget_of_allocations(1));
    repository.commit();
    append(&repository, "src/lib.rs", "// changed\n");
    repository.commit();
    // As if a hook ran the gate.
    let mut gate = repository.gate("--against HEAD~1");
    gate.env("GIT_DIR", repository.folder().join(".git"));
    repository.judge_by(&mut gate).assert(0, &[" of 3 pairs"]);
    // Both builds are made again when a file outside of the repository has changed.
    write_library(&library, 1);
    let judgement = repository.judge("--against HEAD~1");
    judgement.assert(1, &[BREACH, "1 regressed"]);
    assert!(!judgement.stdout.contains("1 → 2 allocations"), "{judgement}");
}

#[test]
fn a_repository_may_be_a_member_of_a_workspace_above_it() {
    let repository = Repository::new();
    let (manifest, profiles) = manifest_and_profiles(&repository);
    let inherited = manifest.replace("edition = \"2024\"", "edition.workspace = true");
    assert_ne!(inherited, manifest);
    repository.write("Cargo.toml", &inherited);
    let root = "[workspace]\nmembers = [\"repository\"]\nresolver = \"3\"\n\
                [workspace.package]\nedition = \"2024\"\n";
    fs::write(repository.beside("Cargo.toml"), root.to_owned() + &profiles).unwrap();
    // Cargo writes to this lock file, but only in the mirror.
    let lock = repository.read("Cargo.lock") + "\n# ours\n";
    fs::write(repository.beside("Cargo.lock"), &lock).unwrap();
    fs::remove_file(repository.folder().join("Cargo.lock")).unwrap();
    repository.commit();
    repository.judge("--against main").assert(0, &["3 unchanged of 3 pairs"]);
    assert_eq!(fs::read_to_string(repository.beside("Cargo.lock")).unwrap(), lock);
}

#[test]
fn a_lock_file_that_git_ignores_is_used() {
    let repository = Repository::new();
    append(&repository, ".gitignore", "/Cargo.lock\n");
    repository.git("rm --quiet --cached Cargo.lock");
    repository.commit();
    let judgement = repository.judge("--against main -- --locked");
    judgement.assert(0, &["3 unchanged", "both builds use Cargo.lock, which git ignores"]);
}

#[test]
fn submodules_are_judged_at_their_commits() {
    let repository = Repository::new();
    let library = repository.beside("library");
    let git_in_library = |arguments: &str| {
        assert!(git(&library, arguments).status().unwrap().success(), "git {arguments}");
    };
    write_library(&library, 0);
    git_in_library("init --quiet --template= --initial-branch main");
    git_in_library("add --all");
    git_in_library("commit --quiet --message none");
    let url = format!("file://{}", library.display());
    repository.git(&format!("-c protocol.file.allow=always submodule --quiet add {url} extra"));
    call_library(&repository, "extra");
    repository.commit();
    repository.judge("--against main").assert(0, &["3 unchanged of 3 pairs"]);
    write_library(&repository.folder().join("extra"), 1);
    let note = "uncommitted changes in the submodule extra are not judged";
    repository.judge("--against main").assert(0, &["3 unchanged of 3 pairs", note]);
    let commit = git(&repository.folder().join("extra"), "commit --quiet --all --message one");
    assert!({ commit }.status().unwrap().success());
    let judgement = repository.judge("--against main");
    judgement.assert(1, &["optimized: 1 → 2 allocations (+100.0 %)", "1 regressed"]);
    // A clone without its submodules.
    let url = format!("clone --quiet file://{} clone", repository.folder().display());
    assert!(git(&repository.beside(""), &url).status().unwrap().success());
    let mut gate = repository.gate_in(&repository.beside("clone"), "--against main");
    let judgement = repository.judge_by(&mut gate);
    judgement.assert(2, &["has the submodule `extra` at", "git submodule update --init"]);
}

/// Writes an executable script to a folder.
fn write_script(folder: &Path, name: &str, lines: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Makes a folder with a rustup and its proxies, whose toolchains are all the same one. Each run of cargo adds a line to the
/// file `log` there.
fn make_rustup(folder: &Path) {
    let real_cargo = env!("CARGO");
    let real_rustc = Path::new(real_cargo).with_file_name("rustc");
    fs::create_dir(folder).unwrap();
    let own = "toolchain=${RUSTUP_TOOLCHAIN:-$(cat rust-toolchain 2>/dev/null || echo usual)}";
    let rustup = format!("{own}\n[ \"$1\" = show ] && echo \"$toolchain (chosen)\"");
    write_script(folder, "rustup", &rustup);
    let log = folder.join("log");
    let cargo = format!(
        "{own}\necho \"$toolchain: cargo $1\" >> {log:?}\nRUSTC={real_rustc:?} exec {real_cargo:?} \"$@\""
    );
    write_script(folder, "cargo", &cargo);
    write_script(folder, "rustc", &format!("{own}\necho \"rustc 1.0.0 ($toolchain)\""));
}

#[test]
fn each_revision_is_built_by_the_toolchain_that_it_pins() {
    let repository = Repository::new();
    let folder = repository.beside("bin");
    make_rustup(&folder);
    repository.write("rust-toolchain", "pinned\n");
    repository.commit();
    fs::remove_file(repository.folder().join("rust-toolchain")).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let judge = |toolchain: &str, source: Option<&str>| {
        let mut gate = repository.gate("--against main");
        gate.env("PATH", &path).env("RUSTUP_TOOLCHAIN", toolchain);
        gate.env_remove("RUSTUP_TOOLCHAIN_SOURCE");
        gate.envs(source.map(|source| ("RUSTUP_TOOLCHAIN_SOURCE", source)));
        // As the proxy does.
        gate.env("CARGO", folder.join("cargo"));
        let judgement = repository.judge_by(&mut gate);
        let log = fs::read_to_string(folder.join("log")).unwrap();
        fs::remove_file(folder.join("log")).unwrap();
        (judgement, log)
    };
    // The proxy chose it for the head.
    let differ = "the base is built by rustc 1.0.0 (pinned), the head by rustc 1.0.0 (usual)";
    for source in [None, Some("default")] {
        let (judgement, log) = judge("usual", source);
        judgement.assert(0, &[" of 3 pairs", differ]);
        let is_first = source.is_none();
        assert_eq!(log.contains("pinned: cargo build"), is_first, "{log}");
        assert_eq!(log.contains("usual: cargo build"), is_first, "{log}");
    }
    // The user chose it: `cargo +other run`.
    for (toolchain, source) in [("other", None), ("usual", Some("cli"))] {
        let (judgement, log) = judge(toolchain, source);
        let note = format!("both builds use the toolchain {toolchain}, which was asked for");
        judgement.assert(0, &[" of 3 pairs", &note]);
        assert!(!judgement.stdout.contains("the base is built by"), "{judgement}");
        assert!(!log.contains("pinned"), "{log}");
    }
}

#[test]
fn the_gate_refuses_a_workspace_without_its_command() {
    let repository = Repository::new();
    repository.edit("Cargo.toml", "name = \"worthit\"", "name = \"other\"");
    let judgement = repository.judge("--against main");
    judgement.assert(2, &["no package of this workspace has a binary `worthit`"]);
    assert!(!judgement.stderr.contains("building"), "{judgement}");
    let written = Judgement::from(repository.worthit("budgets").output().unwrap());
    written.assert(1, &["has a binary `worthit`", "name the budgets file (`--file FILE`)"]);
}
