//! A repository made of `examples/downstream`, for tests of the gate from outside.
//!
//! The dependencies are built once, into a target folder that all of them share; they are off every
//! clock and window here, so they are not optimized.

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

/// Where everything of these tests lies but the repositories: in cargo's own target folder.
fn shared() -> PathBuf {
    std::path::absolute(paths::target()).unwrap().join("downstream")
}

/// The template as it is copied into every repository, and its command.
pub struct Template {
    folder: PathBuf,
    command: PathBuf,
}

impl Template {
    /// Made once a process, while this thread has the turn.
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
        // Without `history`, as that is a minute of compiling SQLite.
        let dependency = r#"{ path = "../../crates/harness", features = ["history"] }"#;
        let pair = r#"{ path = "../../crates/pair" }"#;
        let own_pair = format!("{{ path = {:?} }}", root.join("crates/pair"));
        assert!(manifest.contains(dependency) && manifest.contains(pair), "{manifest}");
        let found = format!("{{ path = {:?} }}", root.join("crates/harness"));
        let profile =
            "\n[profile.release]\nopt-level = 0\n[profile.release.package.pairs]\nopt-level = 3\n";
        let manifest = manifest.replace(dependency, &found).replace(pair, &own_pair) + profile;
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        let built = cargo(&folder).args(["build", "--release", "--bin", "worthit"]).status();
        assert!(built.unwrap().success());
        // Every build of a gate replaces the one in the target folder.
        let command = shared().join("command/worthit");
        fs::create_dir_all(command.parent().unwrap()).unwrap();
        fs::copy(shared().join("target/release/worthit"), &command).unwrap();
        Template { folder, command }
    }
}

/// Cargo in a folder, building into the shared target folder.
pub fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).stdin(Stdio::null()).arg("--quiet");
    command.env("CARGO_TARGET_DIR", shared().join("target"));
    command
}

/// A copy of the template under git, on its branch `main`, in a folder of its own. One at a time is
/// judged on this machine.
pub struct Repository {
    place: TempDir,
    home: PathBuf,
    _turn: File,
}

impl Repository {
    /// One commit, and nothing else.
    pub fn new() -> Repository {
        let repository = Repository::outside_git();
        repository.git("init --quiet --template= --initial-branch main");
        repository.commit();
        repository
    }

    /// The template in a folder that git knows nothing of.
    pub fn outside_git() -> Repository {
        fs::create_dir_all(shared()).unwrap();
        let turn = File::create(shared().join("turn")).unwrap();
        flock(&turn, FlockOperation::LockExclusive).unwrap();
        let place = tempfile::tempdir().unwrap();
        copy_tree(&Template::get().folder, &place.path().join("repository"));
        // In one place, so that cargo does not keep every test's builds for ever.
        let home = shared().join("home");
        empty(&home);
        Repository { place, home, _turn: turn }
    }

    /// The folder.
    pub fn folder(&self) -> PathBuf {
        self.place.path().join("repository")
    }

    /// A place beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Where the gate keeps what it makes.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The text of a file.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder().join(file)).unwrap()
    }

    /// Writes a file.
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.folder().join(file), text).unwrap();
    }

    /// Replaces a part of a file, which must be there.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no `{from}`");
        self.write(file, &text.replace(from, to));
    }

    /// Runs git there.
    pub fn git(&self, arguments: &str) -> String {
        let output = git(&self.folder(), arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Commits everything.
    pub fn commit(&self) {
        self.git("add --all");
        self.git("commit --quiet --message change");
    }

    /// `worthit gate` there, with a time limit that is soon reached.
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
        alone(&mut command, folder);
        command
    }

    /// What the gate says there.
    pub fn judge(&self, arguments: &str) -> Judgement {
        self.judge_by(&mut self.gate(arguments))
    }

    /// What a gate says, which must leave the repository as it is.
    pub fn judge_by(&self, gate: &mut Command) -> Judgement {
        let before = self.everything();
        let judgement = Judgement::from(gate.output().unwrap());
        self.assert_is(&before);
        judgement
    }

    /// Every file, those of git too.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        files(&self.folder()).into_iter().map(read).collect()
    }

    /// Nothing in it has changed: no file, no worktree, no index, no object. Nothing is left of the
    /// tree that was built.
    pub fn assert_is(&self, before: &BTreeMap<PathBuf, Vec<u8>>) {
        let now = self.everything();
        let changed = |path: &&PathBuf| before.get(*path) != now.get(*path);
        let changed: Vec<_> = before.keys().chain(now.keys()).filter(changed).collect();
        assert!(changed.is_empty(), "changed: {changed:?}");
        assert!(!self.home.join("gate/tree").exists());
    }
}

/// Git in a folder, with no settings but its own.
pub fn git(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments.split_whitespace());
    alone(&mut command, folder);
    command
}

/// No repository around the folder, no settings of this user, no hook that runs the tests.
fn alone(command: &mut Command, folder: &Path) {
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

/// A folder whose programs are those on PATH, but for one.
pub fn programs_without(missing: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let programs = std::env::split_paths(&path).flat_map(fs::read_dir).flatten().flatten();
    for program in programs.filter(|program| program.file_name() != missing) {
        // The first of a name is the one that is found.
        let _ = symlink(program.path(), folder.path().join(program.file_name()));
    }
    folder
}

/// How a gate ended.
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
    /// It ended so, and each of `words` is in what it printed.
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
    // What is not there need not be removed.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
}

/// The files below a folder, in order.
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

/// Copies a folder, without what building and measuring have left in it.
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
