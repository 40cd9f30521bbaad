//! What cargo knows: the command that started this process, and where cargo puts things.
//!
//! Environment, configuration files, `--target-dir` and `--config` all decide where the target folder is, and relative
//! paths start where the user stands, not where cargo starts a bench. So this is asked, never guessed.

mod workspace;

use std::path::{Path, PathBuf};

use procfs::process::Process;

use worthit_pair::paths;

#[cfg(test)]
pub use workspace::Target;
pub use workspace::{Package, Workspace};

/// The cargo command that started this process: `cargo bench --bench io -- --quick`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its folder, which relative paths of the user start from; `None` if the system does not tell.
    pub folder: Option<PathBuf>,
    /// Its words after the program and before `--`.
    words: Vec<String>,
}

impl Invocation {
    /// Returns the cargo command that is the parent of this process, if it is one.
    pub fn of_parent() -> Option<Invocation> {
        let process = Process::new(std::os::unix::process::parent_id() as i32).ok()?;
        let command = process.cmdline().ok()?;
        let folder = process.cwd().ok();
        Invocation::of(&command).map(|invocation| Invocation { folder, ..invocation })
    }

    /// Reads a command line; `None` if its program is not cargo.
    pub fn of(command: &[String]) -> Option<Invocation> {
        let (program, words) = command.split_first()?;
        let is_cargo = Path::new(program).file_name().is_some_and(|name| name == "cargo");
        let words = words.split(|word| word == "--").next().unwrap_or_default().to_vec();
        is_cargo.then_some(Invocation { folder: None, words })
    }

    /// Returns the subcommand: the first word that is neither a flag nor its value.
    pub fn subcommand(&self) -> Option<&str> {
        let mut words = self.words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--config" | "--color" | "-C" | "-Z" => drop(words.next()),
                flag if flag.starts_with(['-', '+']) => {}
                subcommand => return Some(subcommand),
            }
        }
        None
    }

    /// Returns whether the command has this flag.
    pub fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }

    /// Returns the values of a flag, written as `--flag value` or `--flag=value`.
    pub fn values_of(&self, flag: &str) -> Vec<&str> {
        let words = self.words.iter().map(String::as_str);
        let value = |(i, word): (usize, &'_ str)| match word.strip_prefix(flag)? {
            "" => self.words.get(i + 1).map(String::as_str),
            rest => {
                self.words[i].get(word.len() - rest.len() + 1..).filter(|_| rest.starts_with('='))
            }
        };
        words.enumerate().filter_map(value).collect()
    }

    /// Returns whether this command runs the bench target `name`; `None` if the command is not `cargo bench`, for
    /// example because it is an alias, whose definition is not visible here.
    pub fn runs_bench(&self, name: &str) -> Option<bool> {
        if self.subcommand() != Some("bench") {
            return None;
        }
        let asked = self.values_of("--bench");
        let everything = asked.is_empty() || self.has("--benches") || self.has("--all-targets");
        Some(everything || asked.iter().any(|pattern| is_match(pattern, name)))
    }

    /// Returns whether the command tests more than benches, so that its filter may be meant for other tests.
    pub fn tests_more_than_benches(&self) -> bool {
        let asks_for_benches = self.has("--benches") || !self.values_of("--bench").is_empty();
        let others = ["--all-targets", "--lib", "--bins", "--bin", "--tests", "--test"];
        let asks_for_others =
            others.iter().any(|flag| self.has(flag) || !self.values_of(flag).is_empty());
        self.subcommand() != Some("bench") && (asks_for_others || !asks_for_benches)
    }
}

/// Whether cargo's pattern for target names (`*`, `?`) matches a name.
fn is_match(pattern: &str, name: &str) -> bool {
    let escaped = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
    regex::Regex::new(&format!("^(?:{escaped})$")).is_ok_and(|regex| regex.is_match(name))
}

/// Returns the cargo to run: the one that runs this process, or else the one on `PATH`.
pub fn program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Returns the manifest of the package that cargo runs this process for.
fn own_manifest() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    Some(folder.join("Cargo.toml")).filter(|manifest| manifest.is_file())
}

/// Returns the folder of `package` if cargo runs this process for it, or else the current folder as an empty path.
pub fn package_folder(package: Option<&str>) -> PathBuf {
    let name = std::env::var("CARGO_PKG_NAME").ok();
    let folder = own_manifest().and_then(|manifest| manifest.parent().map(Path::to_owned));
    let folder = folder.filter(|_| package.is_some() && name.as_deref() == package);
    // Relative if possible, because it is printed.
    let here = std::env::current_dir().unwrap_or_default();
    let folder =
        folder.map(|folder| folder.strip_prefix(&here).map(Path::to_owned).unwrap_or(folder));
    folder.unwrap_or_default()
}

/// Returns where cargo probably builds the package in `folder`, for a command that has no time to ask cargo.
pub fn likely_target(folder: &Path) -> PathBuf {
    let asked = paths::from_environment("CARGO_TARGET_DIR", Path::new(""));
    asked.unwrap_or_else(|| target_with_runs(folder))
}

/// The nearest target folder above that has results, as a member of a workspace has none of its own; else the package's own.
fn target_with_runs(folder: &Path) -> PathBuf {
    let mut targets = folder.ancestors().map(|above| above.join("target"));
    let with_runs = targets.find(|target| target.join("worthit/runs").is_dir());
    with_runs.unwrap_or_else(|| folder.join("target"))
}

/// Returns cargo's target folder. `own` is the folder that holds this executable ([`paths::own_target`]).
///
/// `--target-dir` decides. A command that was started by `cargo run --target-dir` cannot see the flag, but its executable
/// is in that folder, which is neither of the two that cargo names.
pub fn target_folder(
    invocation: Option<&Invocation>,
    workspace: Option<&Workspace>,
    own: Option<&Path>,
) -> Option<PathBuf> {
    if let Some(asked) =
        invocation.and_then(|invocation| invocation.values_of("--target-dir").pop())
    {
        let folder = invocation.and_then(|invocation| invocation.folder.clone());
        return Some(folder.unwrap_or_default().join(asked));
    }
    let Some(workspace) = workspace else { return own.map(Path::to_owned) };
    let is = |folder: &Path, other: &Path| match (folder.canonicalize(), other.canonicalize()) {
        (Ok(folder), Ok(other)) => folder == other,
        _ => folder == other,
    };
    let folders = [Some(&workspace.target), workspace.build.as_ref()];
    let is_known = |own: &Path| folders.iter().flatten().any(|folder| is(own, folder));
    match own {
        Some(own) if !is_known(own) => Some(own.to_owned()),
        _ => Some(workspace.target.clone()),
    }
}

/// Returns cargo's folder of intermediate artifacts, if it is another one than the target folder.
pub fn separate_build_folder() -> Option<PathBuf> {
    let workspace = Workspace::ask(Invocation::of_parent().as_ref())?;
    workspace.build.filter(|build| *build != workspace.target)
}

/// Asks cargo for its target folder and settles it for this process.
pub fn settle_target() {
    let invocation = Invocation::of_parent();
    let workspace = Workspace::ask(invocation.as_ref());
    let own = paths::own_target();
    if let Some(target) = target_folder(invocation.as_ref(), workspace.as_ref(), own.as_deref()) {
        paths::settle(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(text: &str) -> Option<Invocation> {
        Invocation::of(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn only_cargo_is_an_invocation_of_cargo() {
        assert_eq!(invocation("/usr/bin/bash -c x"), None);
        assert_eq!(Invocation::of(&[]), None);
        let found = invocation("/x/bin/cargo --config a=1 -q bench --bench io -- bench").unwrap();
        assert_eq!(found.subcommand(), Some("bench"));
        assert_eq!(found.values_of("--config"), ["a=1"]);
        assert!(found.has("-q") && !found.has("--quick"));
    }

    #[test]
    fn values_follow_their_flag_or_an_equals_sign() {
        let found =
            invocation("cargo bench --bench io --bench=queries --benches --benched=x").unwrap();
        assert_eq!(found.values_of("--bench"), ["io", "queries"]);
    }

    #[test]
    fn the_benches_that_cargo_runs_are_read_from_its_command() {
        let runs = |text: &str, name| invocation(text).unwrap().runs_bench(name);
        assert_eq!(runs("cargo bench -- --bench io", "queries"), Some(true));
        assert_eq!(runs("cargo bench --bench io --bench=queries -- x", "queries"), Some(true));
        assert_eq!(runs("cargo bench --bench io", "queries"), Some(false));
        assert_eq!(runs("cargo bench --bench par*", "parallelism"), Some(true));
        assert_eq!(runs("cargo bench --bench par*", "io"), Some(false));
        assert_eq!(runs("cargo bench --bench io --benches", "queries"), Some(true));
        assert_eq!(runs("cargo our-alias", "queries"), None, "an alias hides its words");
        assert_eq!(runs("cargo test --benches", "queries"), None);
    }

    #[test]
    fn a_filter_may_be_meant_for_other_tests() {
        let more = |text: &str| invocation(text).unwrap().tests_more_than_benches();
        assert!(more("cargo test x") && more("cargo test --all-targets x"));
        assert!(more("cargo test --benches --lib x"));
        assert!(!more("cargo test --benches x") && !more("cargo test --bench io x"));
        assert!(!more("cargo bench -- x") && !more("cargo bench --all-targets -- x"));
    }

    #[test]
    fn the_target_folder_is_cargos() {
        let folders = |build: Option<&str>| Workspace {
            target: PathBuf::from("/w/target"),
            build: build.map(PathBuf::from),
            ..Workspace::default()
        };
        let (one, two) = (folders(None), folders(Some("/b")));
        let target = |text: Option<&str>, workspace, own: Option<&str>| {
            let asked = text.and_then(invocation);
            let asked = asked.map(|asked| Invocation { folder: Some("/here".into()), ..asked });
            target_folder(asked.as_ref(), workspace, own.map(Path::new)).unwrap()
        };
        let bench = Some("cargo bench");
        assert_eq!(target(bench, Some(&one), Some("/w/target")), Path::new("/w/target"));
        assert_eq!(target(bench, Some(&two), Some("/b")), Path::new("/w/target"), "a bench binary");
        assert_eq!(target(None, Some(&two), Some("/other")), Path::new("/other"), "--target-dir");
        assert_eq!(target(None, Some(&two), None), Path::new("/w/target"), "an installed command");
        assert_eq!(target(None, None, Some("/moved")), Path::new("/moved"), "no cargo");
        let asked = Some("cargo bench --target-dir elsewhere");
        assert_eq!(target(asked, Some(&two), Some("/b")), Path::new("/here/elsewhere"));
    }

    #[test]
    fn a_member_of_a_workspace_finds_the_results_of_the_workspace() {
        let root = tempfile::tempdir().unwrap();
        let member = root.path().join("crates/member");
        assert_eq!(target_with_runs(&member), member.join("target"), "nothing was measured");
        std::fs::create_dir_all(root.path().join("target/worthit/runs")).unwrap();
        assert_eq!(target_with_runs(&member), root.path().join("target"));
        std::fs::create_dir_all(member.join("target/worthit/runs")).unwrap();
        assert_eq!(target_with_runs(&member), member.join("target"));
    }
}
