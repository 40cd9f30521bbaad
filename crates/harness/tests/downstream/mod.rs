//! A git repository made from `examples/downstream`, for end-to-end tests of the gate.
//!
//! All repositories are made at the same path and share a target folder, so cargo keeps the builds of only one path.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../template/mod.rs"]
mod template;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Once, OnceLock},
};

use rustix::fs::{FlockOperation, flock};
use template::Times;
use worthit_harness::gate::surroundings::Surroundings;
use worthit_pair::{case::fnv1a, paths};

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
        let folder = shared().join("template");
        empty(&folder);
        template::copy_to(&folder, &folder.join("Cargo.lock"), Times::Now);
        let manifest =
            template::manifest(&template::by_path("harness"), &template::by_path("pair"));
        let profile =
            template::PROFILE.to_owned() + "[profile.release.package.pairs]\nopt-level = 3\n";
        fs::write(folder.join("Cargo.toml"), manifest + &profile).unwrap();
        template::seed(&shared().join("target"), &["release"]);
        let built = cargo(&folder).args(["build", "--release", "--bin", "worthit"]).status();
        assert!(built.unwrap().success());
        // Copied, because each gate's build replaces the command. It builds into the target folder that it is in.
        let target = shared().join("target");
        let command = target.join("command/worthit");
        fs::create_dir_all(command.parent().unwrap()).unwrap();
        fs::copy(target.join("release/worthit"), &command).unwrap();
        Template { folder, command }
    }
}

/// Cargo command in a folder that builds into the shared target folder.
pub fn cargo(folder: &Path) -> Command {
    let mut command = template::cargo(folder);
    command.env("CARGO_TARGET_DIR", shared().join("target"));
    command
}

/// Copy of the template in a temporary git repository, on branch `main`. It holds a lock, so that only one exists at a
/// time.
pub struct Repository {
    /// Folder that holds the repository.
    place: PathBuf,
    /// Folder where the gate keeps its files.
    pub home: PathBuf,
    target: Target,
    _turn: File,
}

/// Where cargo builds a repository.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// In a folder that all repositories share.
    Shared,
    /// In the folder `target` of the repository, which is cargo's default.
    Own,
}

impl Drop for Repository {
    fn drop(&mut self) {
        // What is left is removed by the next test.
        let _ = clear(&self.place, self.target);
    }
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
        // Outside of any checkout, as a user's repository is.
        let checkout = fnv1a(shared().to_string_lossy().bytes());
        let place = std::env::temp_dir().join(format!("worthit-gate-tests-{checkout:x}"));
        // One home for all tests: with a home per test, cargo would keep each test's builds for ever.
        Repository::copied_to(place, shared().join("home"), Target::Shared)
    }

    /// Makes a repository with one commit that is built in its own target folder, where the gate then keeps its files.
    pub fn with_own_target() -> Repository {
        let place = shared().join("own");
        let target = place.join("repository/target");
        let repository = Repository::copied_to(place, target.join("worthit"), Target::Own);
        static SEEDED: Once = Once::new();
        SEEDED.call_once(|| template::seed(&target, &["release"]));
        // Removed first, because it is a hard link to the artifact that cargo checks.
        let command = repository.command();
        let _ = fs::remove_file(&command);
        fs::copy(&Template::get().command, &command).unwrap();
        repository.git("init --quiet --template= --initial-branch main");
        repository.commit();
        repository
    }

    fn copied_to(place: PathBuf, home: PathBuf, target: Target) -> Repository {
        fs::create_dir_all(shared()).unwrap();
        let turn = File::create(shared().join("turn")).unwrap();
        flock(&turn, FlockOperation::LockExclusive).unwrap();
        clear(&place, target).unwrap();
        empty(&home);
        template::copy_tree(&Template::get().folder, &place.join("repository"), Times::Now);
        let place = place.canonicalize().unwrap();
        Repository { place, home, target, _turn: turn }
    }

    /// The command `worthit`.
    fn command(&self) -> PathBuf {
        match self.target {
            Target::Shared => Template::get().command.clone(),
            Target::Own => self.folder().join("target/release/worthit"),
        }
    }

    /// Folder of the repository.
    pub fn folder(&self) -> PathBuf {
        self.place.join("repository")
    }

    /// Path beside the repository.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Reads a file.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder().join(file)).unwrap()
    }

    /// Writes a file.
    pub fn write(&self, file: &str, text: &str) {
        let file = self.folder().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
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
        let mut command = Command::new(self.command());
        command.arg("gate");
        if !arguments.contains("--time-limit") {
            command.args(["--time-limit", "1s"]);
        }
        command.args(arguments.split_whitespace());
        command.current_dir(folder).stdin(Stdio::null());
        self.set_target(&mut command);
        isolate(&mut command, folder);
        command
    }

    /// Another command of `worthit` in the repository.
    pub fn worthit(&self, arguments: &str) -> Command {
        let mut command = Command::new(self.command());
        command.args(arguments.split_whitespace()).current_dir(self.folder());
        self.set_target(command.stdin(Stdio::null()));
        command
    }

    /// `cargo run -- gate` in the repository, as a user types it.
    pub fn cargo_run_gate(&self, arguments: &str) -> Command {
        let mut command = cargo(&self.folder());
        command.args(["run", "--release", "--bin", "worthit", "--", "gate", "--time-limit", "1s"]);
        command.args(arguments.split_whitespace());
        self.set_target(&mut command);
        isolate(&mut command, &self.folder());
        command
    }

    fn set_target(&self, command: &mut Command) {
        match self.target {
            Target::Shared => command
                .env("WORTHIT_HOME", &self.home)
                .env("CARGO_TARGET_DIR", shared().join("target")),
            Target::Own => command.env_remove("WORTHIT_HOME").env_remove("CARGO_TARGET_DIR"),
        };
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

    /// Contents of all files, including git's, without those that cargo builds.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let target = self.folder().join("target");
        let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        files(&self.folder(), &target).into_iter().map(read).collect()
    }

    /// Asserts that the repository is unchanged (files, worktrees, index, objects) and that the gate has removed the
    /// tree it built.
    pub fn assert_unchanged(&self, before: &BTreeMap<PathBuf, Vec<u8>>) {
        let now = self.everything();
        let changed = |path: &&PathBuf| before.get(*path) != now.get(*path);
        let changed: Vec<_> = before.keys().chain(now.keys()).filter(changed).collect();
        assert!(changed.is_empty(), "changed: {changed:?}");
        let mirror = Surroundings::choose(&self.folder(), &self.home.join("gate"));
        assert!(!mirror.mirrored(Path::new("/")).exists());
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

/// Removes all files of a place except the repository's own target folder.
fn clear(place: &Path, target: Target) -> std::io::Result<()> {
    if target == Target::Shared {
        return if place.exists() { fs::remove_dir_all(place) } else { Ok(()) };
    }
    let repository = place.join("repository");
    fs::create_dir_all(&repository)?;
    for entry in fs::read_dir(&repository)?.flatten().filter(|it| it.file_name() != "target") {
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Files below a folder, sorted, except those below another folder.
fn files(folder: &Path, except: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            let is_folder = entry.file_type().unwrap().is_dir();
            match is_folder {
                true if entry.path() == except => (),
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.sort();
    found
}
