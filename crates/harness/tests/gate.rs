//! End-to-end tests of `worthit gate` on repositories made from `examples/downstream`: its exit status, its output, and
//! that it leaves the repository unchanged.

mod downstream;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::{fs::symlink, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use downstream::{Judgement, Repository, cargo, git};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use worthit_harness::gate::protocol::VERSION;

const JOIN: &str = "src/records/join_fields.rs";
const CRC: &str = "src/checksums/crc_table.rs";
const FAMILY: &str = "src/records.rs";
/// Timeout that is longer than any step here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Folder of links to all programs on PATH except one.
fn programs_without(missing: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let programs = std::env::split_paths(&path).flat_map(fs::read_dir).flatten().flatten();
    for program in programs.filter(|program| program.file_name() != missing) {
        // The first program of a name is the one that PATH finds; linking a later one fails.
        let _ = symlink(program.path(), folder.path().join(program.file_name()));
    }
    folder
}

/// Adds about 2 % to the instructions of the optimized side of `checksums/crc_table`.
fn inject_instructions(repository: &Repository) {
    let injected = "let mut crc = !0_u32;\n    \
        for n in 0..message.len() / 32 {\n        std::hint::black_box(n);\n    }\n";
    repository.edit(CRC, "let mut crc = !0_u32;\n", injected);
}

#[test]
fn the_templates_own_tests_pass() {
    let repository = Repository::outside_git();
    let tested = cargo(&repository.folder()).args(["test", "--release"]).output().unwrap();
    assert!(tested.status.success(), "{}", Judgement::from(tested));
}

#[test]
fn an_unchanged_tree_is_judged_without_timing() {
    // As users start it, in cargo's default layout.
    let repository = Repository::with_own_target();
    let judgement = repository.judge_by(&mut repository.cargo_run_gate("--against main"));
    judgement
        .assert(0, &["unchanged: 3 unchanged of 3 pairs", "(0 pairs timed)", "the working tree ("]);
    assert!(!judgement.stderr.contains("timing"), "{judgement}");
    // A change outside of the code is not timed either.
    repository.edit("README.md", "# Pairs of your own", "# Ours");
    repository
        .judge("--against main")
        .assert(0, &["3 unchanged", "(0 pairs timed)", "changed since"]);
}

#[test]
fn one_more_allocation_fails_the_gate() {
    let repository = Repository::new();
    let sized = "String::with_capacity(fields.len() * FIELD_BYTES);\n";
    let injected = format!("{sized}    std::hint::black_box(Box::new(fields.len()));\n");
    repository.edit(JOIN, sized, &injected);
    let summary = repository.beside("summary.md");
    let output = format!("--output markdown={}", summary.display());
    let judgement = repository.judge(&format!("--against main {output}"));
    let change = "optimized: 1 → 2 allocations (+100.0 %)";
    judgement.assert(1, &["records/join_fields at 64 fields", "regressed", change]);
    judgement.assert(1, &["1 regressed, 2 unchanged of 3 pairs"]);
    // Calling the allocator takes about 25 instructions. The allocator itself takes 125, which must not be counted.
    let (line, _) = judgement.stdout.split_once(" instructions (+").unwrap();
    let counts: Vec<u64> = line
        .rsplit("optimized: ")
        .next()
        .and_then(|counts| counts.split(" → ").map(|n| n.replace(',', "").parse().ok()).collect())
        .unwrap();
    assert!((1..75).contains(&(counts[1] - counts[0])), "{judgement}");
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.contains(change) && summary.contains("records/join\\_fields"), "{summary}");
}

#[test]
fn two_percent_more_instructions_fail_the_gate() {
    let repository = Repository::new();
    inject_instructions(&repository);
    let judgement = repository.judge("--against main");
    judgement.assert(1, &["checksums/crc_table at 1,000 B", "1 regressed"]);
    let (_, change) = judgement.stdout.split_once(" instructions (+").unwrap();
    let percent: f64 = change.split(' ').next().unwrap().parse().unwrap();
    assert!((1.0..4.0).contains(&percent), "{percent}");
}

#[test]
fn sides_that_disagree_fail_the_gate() {
    let repository = Repository::new();
    repository.edit(CRC, "    !crc\n}\n\nfn input", "    crc\n}\n\nfn input");
    let disagree = "1000: the naive side and the optimized side disagree";
    let judgement = repository.judge("--against main");
    judgement.assert(1, &["broken: checksums/crc_table at", disagree, "1 regressed, 2 unchanged"]);
}

#[test]
fn gone_new_and_renamed_pairs_are_reported_and_pass() {
    let repository = Repository::new();
    let text = repository.read(JOIN);
    repository.write("src/records/write_fields.rs", &text);
    repository.write(JOIN, &text.replace("Write fields into", "Join fields in"));
    fs::remove_file(repository.folder().join("src/records/distinct_ids.rs")).unwrap();
    repository.edit(FAMILY, "    distinct_ids,\n", "");
    repository.edit(FAMILY, "    join_fields,\n", "    write_fields,\n    joined_anew,\n");
    fs::rename(
        repository.folder().join(JOIN),
        repository.folder().join("src/records/joined_anew.rs"),
    )
    .unwrap();
    let judgement = repository.judge("--against main");
    judgement.assert(0, &["records/write_fields", "renamed from records/join_fields"]);
    judgement.assert(0, &["records/joined_anew", "new: the base does not have it"]);
    judgement.assert(0, &["records/distinct_ids", "gone: only the base has it"]);
}

#[test]
fn the_change_that_adds_the_package_passes() {
    let repository = Repository::outside_git();
    repository.git("init --quiet --template= --initial-branch main");
    repository.git("add README.md");
    repository.git("commit --quiet --message nothing");
    let judgement = repository.judge("--against main");
    judgement.assert(0, &["new: the base does not have it", "3 unchanged of 3 pairs"]);
    judgement.assert(0, &["main (", ") has no Cargo.toml: all pairs are new"]);
}

#[test]
fn a_pair_with_another_headline_or_input_is_not_comparable() {
    let repository = Repository::new();
    repository.edit(JOIN, "point: 64 }", "point: 08 }");
    repository.edit(CRC, "rng.random()).collect();", "rng.random::<u8>() & 0x7f).collect();");
    let judgement = repository.judge("--against main");
    judgement.assert(0, &["not comparable: its headline was `64` and is now `8`"]);
    judgement
        .assert(0, &["not comparable: its sides agree within each build but not across builds"]);
    judgement.assert(0, &["2 undecided, 1 unchanged of 3 pairs"]);
}

#[test]
fn uncommitted_and_untracked_files_are_judged() {
    let repository = Repository::new();
    // A staged change, an unstaged change and an untracked file.
    repository.edit(FAMILY, "    join_fields,\n", "    join_fields,\n    unknown,\n");
    repository.git("add src/records.rs");
    repository.edit(JOIN, "point: 64 }", "point: 8 }");
    let text = repository.read(JOIN).replace("Write fields into", "Join fields in");
    repository.write("src/records/unknown.rs", &text);
    // Files that git ignores are not judged.
    repository.write("reports", "in the way");
    let judgement = repository.judge("--against HEAD");
    judgement.assert(0, &["the working tree (changed since", "against HEAD ("]);
    judgement.assert(0, &["records/unknown", "new: the base does not have it"]);
    judgement.assert(0, &["its headline was `64` and is now `8`"]);
}

#[test]
fn a_change_in_the_same_second_as_the_commit_is_seen() {
    // As if everything had happened within one second, a while ago: the edit keeps the file's size, and the file and
    // git's index have the same time.
    let repository = Repository::new();
    repository.git("config core.trustctime false");
    let then = SystemTime::now() - Duration::from_secs(10);
    let touch = |file: &str| {
        let path = repository.folder().join(file);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    };
    touch(JOIN);
    repository.git("add --all");
    repository.edit(JOIN, "point: 64 }", "point: 08 }");
    touch(JOIN);
    touch(".git/index");
    let judgement = repository.judge("--against main");
    judgement.assert(0, &["its headline was `64` and is now `8`"]);
}

#[test]
fn a_base_that_does_not_build_is_reported_with_cargos_error() {
    let repository = Repository::new();
    let text = repository.read("src/lib.rs");
    repository.write("src/lib.rs", &format!("{text}compile_error!(\"injected in the base\");\n"));
    repository.commit();
    let commit = &repository.git("rev-parse HEAD")[..12];
    repository.write("src/lib.rs", &text);
    let name = format!("main ({commit}) does not build: `cargo build --release");
    repository.judge("--against main").assert(2, &["error: injected in the base", &name]);
}

#[test]
fn a_base_that_does_not_speak_the_protocol_is_reported() {
    let repository = Repository::new();
    let refuses = "if std::env::args().any(|word| word == \"--gate-worker\") {\n        \
        eprintln!(\"unexpected argument '--gate-worker'\");\n        std::process::exit(2);\n    }";
    let later = "println!(\"{{\\\"worthit_gate_worker\\\":99}}\");\n    \
        for _ in std::io::stdin().lines() {}";
    for (body, detail) in [(refuses, "unexpected argument '--gate-worker'"), (later, "99")] {
        for bench in ["benches/records.rs", "benches/checksums.rs"] {
            repository.write(bench, &format!("fn main() {{\n    {body}\n}}\n"));
        }
        repository.commit();
        repository.git("checkout --quiet HEAD~1 -- benches");
        let judgement = repository.judge("--against main");
        judgement.assert(2, &["no bench of main (", "can be compared", detail]);
        judgement.assert(2, &[&format!("does not speak version {VERSION} of the gate's protocol")]);
        judgement.assert(2, &["compare with a revision that uses this version"]);
        repository.git("reset --quiet --hard HEAD~1");
    }
}

#[test]
fn an_unknown_revision_is_reported_and_a_shallow_clone_gets_a_hint() {
    let repository = Repository::new();
    let judgement = repository.judge("--against no-such-branch");
    judgement.assert(2, &["the gate cannot judge: there is no revision `no-such-branch`"]);
    assert!(!judgement.stderr.contains("unshallow"), "{judgement}");
    repository.edit("README.md", "# Pairs of your own", "# Ours");
    repository.commit();
    let url = format!("clone --quiet --depth 1 file://{} clone", repository.folder().display());
    assert!(git(&repository.beside(""), &url).status().unwrap().success());
    let mut gate = repository.gate_in(&repository.beside("clone"), "--against HEAD~1");
    let judgement = repository.judge_by(&mut gate);
    judgement.assert(2, &["there is no revision `HEAD~1` in this clone, which is shallow"]);
    judgement.assert(2, &["git fetch --unshallow", "fetch-depth: 0"]);
}

#[test]
fn the_commands_unit_tests_are_not_mistaken_for_the_command() {
    let repository = Repository::new();
    // By default, cargo's `--benches` also builds the command's unit tests.
    repository.edit("Cargo.toml", "bench = false # as for the library\n", "");
    repository.judge("--against main").assert(0, &[" of 3 pairs"]);
}

#[test]
fn outside_of_a_repository_the_gate_refuses_to_run() {
    let repository = Repository::outside_git();
    let judgement = repository.judge("--against main");
    judgement.assert(2, &["this folder is not in a git repository", "run it in a clone"]);
}

#[test]
fn without_git_the_gate_refuses_to_run() {
    let repository = Repository::new();
    let programs = programs_without("git");
    let mut gate = repository.gate("--against main");
    let judgement = repository.judge_by(gate.env("PATH", programs.path()));
    judgement.assert(2, &["git cannot be run", "apt-get install git"]);
}

#[test]
fn without_valgrind_the_gate_says_what_goes_unseen() {
    let repository = Repository::new();
    let programs = programs_without("valgrind");
    inject_instructions(&repository);
    let mut gate = repository.gate("--against main");
    let judgement = repository.judge_by(gate.env("PATH", programs.path()));
    judgement.assert(
        0,
        &["instructions are not counted because valgrind is not installed", "go unseen"],
    );
    judgement.assert(0, &["apt-get install valgrind", "(1 pairs timed)"]);
    assert!(!judgement.stdout.contains("regressed,"), "{judgement}");
}

#[test]
fn an_unknown_pair_is_refused_with_a_hint() {
    let repository = Repository::new();
    let judgement = repository.judge("--against main records/join_field");
    judgement.assert(2, &["neither revision has a pair called `records/join_field`"]);
    judgement.assert(2, &["did you mean `records/join_fields`?", "`worthit list`"]);
    let judgement = repository.judge("--self-test records/join_field");
    judgement.assert(2, &["did you mean `records/join_fields`?"]);
}

#[test]
fn an_unwritable_output_is_reported_before_anything_is_built() {
    let repository = Repository::new();
    fs::write(repository.beside("file"), "in the way").unwrap();
    let path = repository.beside("file/summary.md");
    let output = format!("--against main --output markdown={}", path.display());
    let judgement = repository.judge(&output);
    judgement.assert(2, &["cannot write", path.to_str().unwrap()]);
    assert!(!judgement.stderr.contains("building"), "{judgement}");
}

#[test]
fn budgets_are_enforced_whatever_the_base_is() {
    let repository = Repository::new();
    let budget_of_allocations = |at_most: u64| {
        format!(
            "version = 1\n[[count]]\npair = \"records/join_fields\"\npoint = 64\nseed = 42\n\
             cause = \"allocations\"\nat_most = {at_most}\n"
        )
    };
    repository.write("budgets.toml", &budget_of_allocations(1));
    repository.judge("--against main").assert(0, &["3 unchanged of 3 pairs"]);
    repository.write("budgets.toml", &budget_of_allocations(0));
    let breach = "budget: at most 0 allocations, but 1";
    repository.judge("--against main").assert(1, &["records/join_fields at 64", breach]);
    repository.write("budgets.toml", &budget_of_allocations(1).replace("point = 64", "point = 8"));
    repository.judge("--against main").assert(0, &["no longer the headline", "worthit budgets"]);
    assert!(repository.worthit("budgets").status().unwrap().success());
    repository.judge("--against main").assert(0, &["3 unchanged", "budgets: budgets.toml"]);
    repository.write("budgets.toml", "version = 1\nfloors = 3\n");
    repository.judge("--against main").assert(2, &["budgets.toml is broken", "unknown field"]);
}

#[test]
fn the_gate_tests_itself() {
    let repository = Repository::new();
    let judgement = repository.judge("--self-test checksums/crc_table");
    // One null compares a build with itself. In the others, the measured code is at another address.
    let nulls = [
        "| the same build | nothing | 1 |",
        "| a scratch pair added | unrelated code | 1 |",
        "| functions placed differently | unrelated code | 1 |",
        "null runs failed",
        "false improvements",
    ];
    judgement.assert(0, &nulls);
    assert!(!judgement.stdout.contains("byte for byte"), "{judgement}");
    for caught in ["| allocation | one more |", "| fsync | one more |", "| instructions | 1 % |"] {
        let row = judgement.stdout.lines().find(|line| line.starts_with(caught));
        assert!(row.is_some_and(|row| row.contains("1 of 1")), "{caught}: {judgement}");
    }
    assert!(judgement.stdout.contains("| time after 10 s | 20 % |"), "{judgement}");
    // The next report quotes the self-test.
    repository
        .judge("--against main")
        .assert(0, &["self-test of 20", "false improvements included"]);
}

/// Starts a gate in its own process group, as a shell would, so that it can be interrupted.
fn start(gate: &mut Command) -> (Child, impl Iterator<Item = String> + use<>) {
    let gate = gate.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = gate.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, lines.map_while(Result::ok))
}

/// Running processes of the gate with this home folder.
fn running(home: &Path) -> Vec<String> {
    let is_of_home = |process: &procfs::process::Process| {
        let environment = process.environ().unwrap_or_default();
        environment.get(OsStr::new("WORTHIT_HOME")).is_some_and(|found| found == home.as_os_str())
    };
    let processes = procfs::process::all_processes().unwrap().flatten();
    let described =
        |process: procfs::process::Process| format!("{}: {:?}", process.pid, process.cmdline());
    processes.filter(is_of_home).map(described).collect()
}

/// Asserts that the gate exits as interrupted and that all processes it started end.
fn assert_interrupted(mut gate: Child, home: &Path) {
    assert_eq!(gate.wait().unwrap().code(), Some(130));
    let start = Instant::now();
    loop {
        let left = running(home);
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < LONG, "{left:?}");
        thread::yield_now();
    }
}

/// Interrupts a gate while cargo runs a build script that never returns.
fn interrupt_a_build(interrupt: fn(Pid)) {
    let repository = Repository::new();
    let pipe = repository.beside("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let script = format!(
        "fn main() {{\n    let pipe = std::fs::OpenOptions::new().write(true).open({pipe:?}).unwrap();\n    \
         std::io::Write::write_all(&mut &pipe, b\"building\\n\").unwrap();\n    \
         loop {{\n        std::thread::park();\n    }}\n}}\n"
    );
    repository.write("build.rs", &script);
    let before = repository.everything();
    let (gate, lines) = start(&mut repository.gate("--against main"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(File::open(pipe).unwrap());
        let mut line = String::new();
        pipe.read_line(&mut line).unwrap();
        sender.send(line).unwrap();
        // The pipe ends when the build script does.
        let mut rest = String::new();
        pipe.read_to_string(&mut rest).unwrap();
        sender.send(rest).unwrap();
    });
    assert_eq!(receiver.recv_timeout(LONG).expect("the build script runs"), "building\n");
    interrupt(Pid::from_child(&gate));
    assert_interrupted(gate, &repository.home);
    assert_eq!(receiver.recv_timeout(LONG).expect("the build script has ended"), "");
    lines.for_each(drop);
    repository.assert_unchanged(&before);
    assert_eq!(repository.git("worktree list --porcelain").matches("worktree ").count(), 1);
}

#[test]
fn ctrl_c_ends_a_build() {
    interrupt_a_build(|gate| kill_process_group(gate, Signal::INT).unwrap());
}

#[test]
fn a_signal_to_the_gate_alone_ends_a_build() {
    interrupt_a_build(|gate| kill_process(gate, Signal::TERM).unwrap());
}

#[test]
fn ctrl_c_ends_the_timing() {
    let repository = Repository::new();
    inject_instructions(&repository);
    let before = repository.everything();
    let (gate, mut lines) = start(&mut repository.gate("--against main --time-limit 10m"));
    let mut printed = Vec::new();
    let is_timing = lines
        .by_ref()
        .inspect(|line| printed.push(line.clone()))
        .any(|line| line.contains("timing "));
    assert!(is_timing, "{printed:#?}");
    kill_process_group(Pid::from_child(&gate), Signal::INT).unwrap();
    assert_interrupted(gate, &repository.home);
    lines.for_each(drop);
    repository.assert_unchanged(&before);
    // Nothing blocks the next gate, not even the lock file that a killed git would leave.
    fs::write(repository.home.join("gate/index.lock"), "").unwrap();
    repository.judge("--against main").assert(1, &["checksums/crc_table", "1 regressed"]);
}
