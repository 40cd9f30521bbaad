//! Folder in which a test runs the bench binary of `examples/injected`, as cargo would run it in a package's folder.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use worthit_harness::results::Run;

/// Temporary checkout of one test.
pub struct Checkout {
    folder: TempDir,
}

impl Checkout {
    pub fn new() -> Checkout {
        Checkout { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Command that starts the bench binary as cargo would.
    pub fn bench(&self, arguments: &str) -> Command {
        // Cargo puts tests into target/<profile>/deps and examples into target/<profile>/examples.
        let profile = std::env::current_exe().unwrap();
        let profile = profile.parent().unwrap().parent().unwrap();
        let mut command = Command::new(profile.join("examples/injected"));
        command.args(arguments.split_whitespace());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("WORTHIT_HOME", self.path("worthit"));
        command.env("CRITERION_HOME", self.path("criterion"));
        command.env("COLUMNS", "100");
        command.env("WORTHIT_LEADER", std::process::id().to_string());
        command
    }

    pub fn run(&self, arguments: &str) -> Output {
        self.bench(arguments).output().unwrap()
    }

    pub fn results(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path("worthit/runs")).into_iter().flatten().flatten();
        let paths = files.map(|file| file.path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect()
    }

    pub fn result(&self) -> Run {
        let results = self.results();
        assert_eq!(results.len(), 1, "{results:?}");
        Run::load(&results[0]).unwrap()
    }

    /// Asserts that no temporary files are left.
    pub fn assert_tidy(&self) {
        for folder in ["worthit/data", "worthit/fixtures", "worthit/runs", "reports"] {
            for entry in fs::read_dir(self.path(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                assert!(!name.starts_with("pid-") && !name.starts_with(".tmp"), "{folder}/{name}");
            }
        }
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
