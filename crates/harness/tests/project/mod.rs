//! Projects made from `examples/downstream`, in which tests type what users type: `cargo bench`, `cargo run -- report`.
//!
//! Target folders start with the dependencies built.

#[path = "../template/mod.rs"]
pub mod template;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Mutex,
};

use rustix::fs::{FlockOperation, flock};
use template::{PROFILE, Times, by_path, clean, copy_tree, replaced};
use worthit_harness::results::Run;
use worthit_pair::paths;

/// Folders of cargo's profiles: `cargo test` finds the dependencies of `cargo bench`.
const PROFILES: [&str; 2] = ["release", "debug"];

/// Folder of all projects.
pub fn shared() -> PathBuf {
    paths::target().join("projects")
}

/// Target folders that this process has seeded. The next test finds what one test has built in them.
static SEEDED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The layout of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A package of its own, as the template is.
    Alone,
    /// The members `crates/pairs` and `crates/others` of a workspace.
    Workspace,
}

/// A project. It holds a lock, so that only one is used at a time on this machine.
pub struct Project {
    /// Its root.
    pub folder: PathBuf,
    /// The package `pairs`.
    pub package: PathBuf,
    _turn: File,
}

/// Exit status and output of a command.
#[derive(Debug)]
pub struct Done {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Done { status: output.status.code(), stdout, stderr }
    }
}

impl Done {
    /// Asserts the exit status, and that nobody saw a panic.
    #[track_caller]
    pub fn assert(self, status: i32) -> Done {
        assert_eq!(self.status, Some(status), "{}\n{}", self.stdout, self.stderr);
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(!all.contains("panicked"), "{all}");
        self
    }

    /// Asserts that the output contains each of `texts`.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Done {
        for text in texts {
            let found = self.stdout.contains(text) || self.stderr.contains(text);
            assert!(found, "no `{text}` in\n{}\n{}", self.stdout, self.stderr);
        }
        self
    }
}

impl Project {
    /// Makes a project that depends on this repository by path.
    pub fn new(layout: Layout) -> Project {
        Project::depending_on(layout, &by_path("harness"), &by_path("pair"))
    }

    /// Makes a project whose dependencies on the suite are these keys of a manifest.
    pub fn depending_on(layout: Layout, harness: &str, pair: &str) -> Project {
        fs::create_dir_all(shared()).unwrap();
        let turn = File::create(shared().join("turn")).unwrap();
        flock(&turn, FlockOperation::LockExclusive).unwrap();
        let folder = shared().join(if layout == Layout::Alone { "alone" } else { "workspace" });
        let target = folder.join("target");
        let is_seeded = SEEDED.lock().unwrap().contains(&target);
        clear(&folder, is_seeded);
        let package = match layout {
            Layout::Alone => folder.clone(),
            Layout::Workspace => folder.join("crates/pairs"),
        };
        template::copy_to(&package, &folder.join("Cargo.lock"), Times::Kept);
        let manifest = template::manifest(harness, pair);
        match layout {
            Layout::Alone => fs::write(package.join("Cargo.toml"), manifest + PROFILE).unwrap(),
            Layout::Workspace => {
                let workspace = "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"3\"\n";
                fs::write(folder.join("Cargo.toml"), workspace.to_owned() + PROFILE).unwrap();
                fs::write(package.join("Cargo.toml"), &manifest).unwrap();
                let others = folder.join("crates/others");
                copy_tree(&package, &others, Times::Kept);
                let name = replaced(&manifest, "name = \"pairs\"", "name = \"others\"");
                // Two commands of one name would overwrite each other.
                let (library, targets) = name.split_once("[[bin]]").unwrap();
                let (_, benches) = targets.split_once("[[bench]]").unwrap();
                let manifest = format!("{library}[[bench]]{benches}");
                fs::write(others.join("Cargo.toml"), manifest).unwrap();
                fs::remove_file(others.join("src/main.rs")).unwrap();
                for bench in ["benches/records.rs", "benches/checksums.rs"] {
                    let text = fs::read_to_string(others.join(bench)).unwrap();
                    fs::write(others.join(bench), text.replace("pairs::", "others::")).unwrap();
                }
            }
        }
        let project = Project { folder, package, _turn: turn };
        if !is_seeded {
            template::seed(&target, &PROFILES);
            SEEDED.lock().unwrap().insert(target);
        }
        project
    }

    /// Makes a target folder at a path of the project, with the dependencies built.
    pub fn seeded(&self, folder: &str) -> PathBuf {
        let target = self.folder.join(folder);
        template::seed(&target, &PROFILES);
        target
    }

    /// Writes a file of the project.
    pub fn write(&self, file: &str, text: &str) {
        let file = self.folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Runs a line of a shell in the project's root, in quick mode.
    pub fn type_line(&self, line: &str) -> Done {
        self.type_in(&self.folder, line)
    }

    /// Runs a line of a shell in a folder, in quick mode.
    pub fn type_in(&self, folder: &Path, line: &str) -> Done {
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", line]).current_dir(folder).stdin(Stdio::null());
        let cargo = Path::new(env!("CARGO")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths([cargo].into_iter().chain(std::env::split_paths(&path)));
        shell.env("PATH", path.unwrap()).env("WORTHIT_QUICK", "1");
        clean(&mut shell);
        Done::from(shell.output().unwrap())
    }

    /// Returns the runs in a target folder, by the time when they started.
    pub fn runs_in(&self, target: &Path) -> Vec<Run> {
        let files = fs::read_dir(target.join("worthit/runs")).into_iter().flatten().flatten();
        let paths = files.map(|file| file.path());
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
        paths.sort();
        paths.iter().map(|path| Run::load(path).unwrap()).collect()
    }

    /// Runs git in the project.
    pub fn git(&self, arguments: &str) {
        git(&self.folder, arguments);
    }

    /// Reads a page of the package's report.
    pub fn page(&self, name: &str) -> String {
        fs::read_to_string(self.package.join("reports").join(name)).unwrap()
    }
}

/// Runs git in a folder.
pub fn git(folder: &Path, arguments: &str) {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments.split_whitespace());
    clean(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments}: {output:?}");
}

/// Removes what an earlier test has left in a folder; keeps its target folder if `keeps_target`.
fn clear(folder: &Path, keeps_target: bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() == "target" && keeps_target {
            let _ = fs::remove_dir_all(entry.path().join("worthit"));
        } else if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}
