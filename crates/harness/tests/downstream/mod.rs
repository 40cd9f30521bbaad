//! A git repository made from `examples/downstream`, for end-to-end tests of the gate.
//!
//! All repositories share a target folder, so the dependencies are built once. They are not optimized, because no timed
//! or counted code is in them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use worthit_pair::paths;

/// Folder of everything that these tests make except the repositories, inside cargo's target folder.
fn shared() -> PathBuf {
    std::path::absolute(paths::target()).unwrap().join("downstream")
}

/// Template that every repository is copied from, and its `worthit` command.
pub struct Template {
    folder: PathBuf,
    command: PathBuf,
}

impl Template {
    /// Returns the template, made once per process. The calling thread must have the turn.
    fn get() -> &'static Template {
        static MADE: OnceLock<Template> = OnceLock::new();
        MADE.get_or_init(Template::make)
    }

    fn make() -> Template {
        let valgrind = Command::new("valgrind").arg("--version").output();
        assert!(valgrind.is_ok(), "the gate is tested with valgrind: apt-get install valgrind");
        let root = &Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let folder = shared().join("template");
        empty(&folder);
        copy_tree(&root.join("examples/downstream"), &folder);
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        // Leaves out `history`, which would take a minute to compile SQLite.
        let dependency = r#"{ path = "../../crates/harness", features = ["history"] }"#;
        let pair = r#"{ path = "../../crates/pair" }"#;
        let own_pair = format!("{{ path = {:?} }}", root.join("crates/pair"));
        assert!(manifest.contains(dependency) && manifest.contains(pair), "{manifest}");
        let own_harness = format!("{{ path = {:?} }}", root.join("crates/harness"));
        let profile =
            "\n[profile.release]\nopt-level = 0\n[profile.release.package.pairs]\nopt-level = 3\n";
        let manifest =
            manifest.replace(dependency, &own_harness).replace(pair, &own_pair) + profile;
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        let built = cargo(&folder).args(["build", "--release", "--bin", "worthit"]).status();
        assert!(built.unwrap().success());
        // Copied, because each gate's build replaces the command in the target folder.
        let command = shared().join("command/worthit");
        fs::create_dir_all(command.parent().unwrap()).unwrap();
        fs::copy(shared().join("target/release/worthit"), &command).unwrap();
        Template { folder, command }
    }
}

/// Cargo command in a folder that builds into the shared target folder.
pub fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).stdin(Stdio::null()).arg("--quiet");
    command.env("CARGO_TARGET_DIR", shared().join("target"));
    command
}

/// Copy of the template in a temporary git repository, on branch `main`. It holds a lock, so that only one exists at a
/// time on this machine.
pub struct Repository {
    place: TempDir,
    home: PathBuf,
    _turn: File,
}

impl Repository {
    /// Makes a repository with one commit.
    pub fn new() -> Repository {
        let repository = Repository::outside_git();
        repository.git("init --quiet --template= --initial-branch main");
        repository.commit();
        repository
    }

    /// Copies the template into a folder outside of any git repository.
    pub fn outside_git() -> Repository {
        fs::create_dir_all(shared()).unwrap();
        let turn = File::create(shared().join("turn")).unwrap();
        flock(&turn, FlockOperation::LockExclusive).unwrap();
        let place = tempfile::tempdir().unwrap();
        copy_tree(&Template::get().folder, &place.path().join("repository"));
        // One home for all tests: with a home per test, cargo would keep each test's builds for ever.
        let home = shared().join("home");
        empty(&home);
        Repository { place, home, _turn: turn }
    }

    /// Folder of the repository.
    pub fn folder(&self) -> PathBuf {
        self.place.path().join("repository")
    }

    /// Path beside the repository.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Folder where the gate keeps its files.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Reads a file.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder().join(file)).unwrap()
    }

    /// Writes a file.
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.folder().join(file), text).unwrap();
    }

    /// Replaces text in a file, which must contain it.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no `{from}`");
        self.write(file, &text.replace(from, to));
    }

    /// Runs git in the repository and returns its output.
    pub fn git(&self, arguments: &str) -> String {
        let output = git(&self.folder(), arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Commits all changes.
    pub fn commit(&self) {
        self.git("add --all");
        self.git("commit --quiet --message change");
    }

    /// `worthit gate` in the repository, with a time limit of 1 s unless the arguments set one.
    pub fn gate(&self, arguments: &str) -> Command {
        self.gate_in(&self.folder(), arguments)
    }

    /// `worthit gate` in another folder.
    pub fn gate_in(&self, folder: &Path, arguments: &str) -> Command {
        let mut command = Command::new(&Template::get().command);
        command.arg("gate").args(arguments.split_whitespace());
        if !arguments.contains("--time-limit") {
            command.args(["--time-limit", "1s"]);
        }
        command.current_dir(folder).stdin(Stdio::null());
        command.env("WORTHIT_HOME", &self.home).env("CARGO_TARGET_DIR", shared().join("target"));
        isolate(&mut command, folder);
        command
    }

    /// Runs the gate in the repository, which it must leave unchanged.
    pub fn judge(&self, arguments: &str) -> Judgement {
        self.judge_by(&mut self.gate(arguments))
    }

    /// Runs a gate command, which must leave the repository unchanged.
    pub fn judge_by(&self, gate: &mut Command) -> Judgement {
        let before = self.everything();
        let judgement = Judgement::from(gate.output().unwrap());
        self.assert_unchanged(&before);
        judgement
    }

    /// Contents of all files, including git's.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        files(&self.folder()).into_iter().map(read).collect()
    }

    /// Asserts that the repository is unchanged (files, worktrees, index, objects) and that the gate has removed the
    /// tree it built.
    pub fn assert_unchanged(&self, before: &BTreeMap<PathBuf, Vec<u8>>) {
        let now = self.everything();
        let changed = |path: &&PathBuf| before.get(*path) != now.get(*path);
        let changed: Vec<_> = before.keys().chain(now.keys()).filter(changed).collect();
        assert!(changed.is_empty(), "changed: {changed:?}");
        assert!(!self.home.join("gate/tree").exists());
    }
}

/// Git command in a folder, without the user's settings.
pub fn git(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments.split_whitespace());
    isolate(&mut command, folder);
    command
}

/// Hides from git any repository around the folder, the user's settings, and the variables of a hook that may run
/// these tests.
fn isolate(command: &mut Command, folder: &Path) {
    command.env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{name}_NAME"), "Test");
        command.env(format!("GIT_{name}_EMAIL"), "test@example.com");
    }
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
}

/// Folder of links to all programs on PATH except one.
pub fn programs_without(missing: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let programs = std::env::split_paths(&path).flat_map(fs::read_dir).flatten().flatten();
    for program in programs.filter(|program| program.file_name() != missing) {
        // The first program of a name is the one that PATH finds; linking a later one fails.
        let _ = symlink(program.path(), folder.path().join(program.file_name()));
    }
    folder
}

/// Exit status and output of a gate.
#[derive(Debug)]
pub struct Judgement {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Judgement {
    fn from(output: Output) -> Judgement {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Judgement {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Judgement {
    /// Asserts the exit status and that the output contains each of `words`.
    #[track_caller]
    pub fn assert(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{self}");
        for word in words {
            assert!(self.to_string().contains(word), "no `{word}` in {self}");
        }
    }
}

impl std::fmt::Display for Judgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}\n{}\n{}", self.status, self.stdout, self.stderr)
    }
}

fn empty(folder: &Path) {
    // The folder may not exist yet.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
}

/// Files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            let is_folder = entry.file_type().unwrap().is_dir();
            if is_folder { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}

/// Copies a folder without its `target` and `reports`.
fn copy_tree(from: &Path, to: &Path) {
    for file in files(from) {
        let inside = file.strip_prefix(from).unwrap();
        if inside.starts_with("target") || inside.starts_with("reports") {
            continue;
        }
        fs::create_dir_all(to.join(inside).parent().unwrap()).unwrap();
        let mut text = Vec::new();
        File::open(&file).unwrap().read_to_end(&mut text).unwrap();
        fs::write(to.join(inside), text).unwrap();
    }
}
