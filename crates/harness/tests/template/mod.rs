//! The template `examples/downstream`, as the tests copy it: its files, its manifest with other dependencies, and target
//! folders that begin with these built.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use rustix::fs::{FlockOperation, flock};
use worthit_pair::paths;

/// Text of a manifest that builds quickly: no timed or counted code is in the dependencies, and `cargo test` finds those of
/// `cargo bench`.
pub const PROFILE: &str = "
[profile.release]
opt-level = 0
[profile.dev]
debug = false
debug-assertions = false
overflow-checks = false
incremental = false
codegen-units = 16
";

/// Root of this repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Keys of a manifest that depend on a crate of this repository by its path.
pub fn by_path(name: &str) -> String {
    format!("path = {:?}", root().join("crates").join(name))
}

/// Returns the template's manifest, whose dependencies on the suite have these keys.
pub fn manifest(harness: &str, pair: &str) -> String {
    let manifest = fs::read_to_string(root().join("examples/downstream/Cargo.toml")).unwrap();
    let manifest = replaced(&manifest, r#"path = "../../crates/harness""#, harness);
    replaced(&manifest, r#"path = "../../crates/pair""#, pair)
}

/// Modification times of copied files. Cargo compares them to see whether a file has changed since it was built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Those of the originals: cargo builds nothing again. Only for copies that no test edits.
    Kept,
    /// The time of the copy.
    Now,
}

/// Copies the template's files and this repository's lock file.
pub fn copy_to(package: &Path, lock: &Path, times: Times) {
    copy_tree(&root().join("examples/downstream"), package, times);
    fs::copy(root().join("Cargo.lock"), lock).unwrap();
}

/// Replaces text, which must be there.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no `{from}` in {text}");
    text.replace(from, to)
}

/// Makes a target folder anew for each of `profiles` that has what the template depends on built, with [`PROFILE`].
pub fn seed(target: &Path, profiles: &[&str]) {
    let built = built().join("release");
    for profile in profiles {
        let folder = target.join(profile);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // Cargo replaces artifacts, so links to them are enough. Into what it notes about them it writes, which must not be
        // seen elsewhere. Both keep the modification times, by which cargo knows that nothing has changed.
        for (name, how) in
            [("deps", "--link"), ("build", "--recursive"), (".fingerprint", "--recursive")]
        {
            let mut copy = Command::new("cp");
            copy.args(["--archive", how]).arg(built.join(name)).arg(folder.join(name));
            assert!(copy.status().unwrap().success());
        }
    }
    fs::copy(built.with_file_name("CACHEDIR.TAG"), target.join("CACHEDIR.TAG")).unwrap();
}

/// Returns the folder that target folders begin as. It is kept, so that cargo builds only what has changed since.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = paths::target().join("template");
        fs::create_dir_all(&folder).unwrap();
        // Released when the file is closed.
        let turn = File::create(folder.join("turn")).unwrap();
        flock(&turn, FlockOperation::LockExclusive).unwrap();
        let (package, built) = (folder.join("package"), folder.join("built"));
        // What the template has no more is gone here too.
        let _ = fs::remove_dir_all(&package);
        copy_to(&package, &package.join("Cargo.lock"), Times::Kept);
        let manifest = manifest(&by_path("harness"), &by_path("pair"));
        fs::write(package.join("Cargo.toml"), manifest + PROFILE).unwrap();
        let mut build = cargo(&package);
        build.args(["bench", "--no-run"]).env("CARGO_TARGET_DIR", &built);
        assert!(build.status().unwrap().success());
        built
    })
}

/// Returns cargo in a folder, without what the cargo that runs these tests has set.
pub fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).stdin(Stdio::null()).arg("--quiet");
    clean(&mut command);
    command
}

/// Removes the variables of the cargo that runs these tests, and of a user's settings.
pub fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_cargos =
            text.starts_with("CARGO") && text != "CARGO_HOME" || text.starts_with("RUST_");
        if is_cargos || text.starts_with("WORTHIT_") && text != "WORTHIT_QUICK" {
            command.env_remove(&name);
        }
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{name}_NAME"), "Test");
        command.env(format!("GIT_{name}_EMAIL"), "test@example.com");
    }
}

/// Copies a folder without what is built or generated in it.
pub fn copy_tree(from: &Path, to: &Path, times: Times) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name();
        if ["target", "reports", ".git", "node_modules"].iter().any(|left_out| name == *left_out) {
            continue;
        }
        let to = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to, times);
        } else {
            fs::copy(entry.path(), &to).unwrap();
            if times == Times::Kept {
                let time = entry.metadata().unwrap().modified().unwrap();
                File::options().write(true).open(&to).unwrap().set_modified(time).unwrap();
            }
        }
    }
}
