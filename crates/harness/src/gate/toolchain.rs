//! Which cargo and rustc build a revision: those that a build in its own place would use.
//!
//! `cargo run` goes through rustup's proxy, which chooses a toolchain for the head and sets `RUSTUP_TOOLCHAIN` for all
//! that cargo starts. That choice must not decide for the base. Cargo itself sets the variables of `[env]` in its
//! configuration, which must not decide either.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    repository::GIT_VARIABLES,
    surroundings::{LOOKED_UP, Surroundings, cargo_home},
};
use crate::{cargo, interrupt};

/// Variable that chooses a toolchain for rustup.
const CHOSEN: &str = "RUSTUP_TOOLCHAIN";
/// Variable by which newer versions of rustup say why a toolchain was chosen.
const CHOSEN_BY: &str = "RUSTUP_TOOLCHAIN_SOURCE";

/// How cargo and rustc are run.
#[derive(Debug)]
pub struct Toolchain {
    cargo: PathBuf,
    /// Set if rustup chooses a toolchain for each revision.
    rustup: Option<Rustup>,
    /// The toolchain that the user asked for, if it is used whatever a revision pins.
    asked: Option<String>,
    /// Variables that cargo has set for this process.
    set_by_cargo: Vec<OsString>,
}

/// What rustup's choice depends on, other than the files of a revision.
#[derive(Debug)]
struct Rustup {
    /// Toolchains that the user has chosen for folders (`rustup override`).
    overrides: Vec<(PathBuf, String)>,
}

impl Toolchain {
    /// Returns how to run cargo for the revisions of a package.
    pub fn for_package(package: &Path) -> Toolchain {
        let set_by_cargo = set_by_cargo();
        let as_found =
            Toolchain { cargo: cargo::program(), rustup: None, asked: None, set_by_cargo };
        // Without this variable, no proxy has started us.
        let (Some(chosen), Some(rustup)) = (std::env::var_os(CHOSEN), rustup()) else {
            return as_found;
        };
        let chosen = chosen.to_string_lossy().into_owned();
        let is_asked = match std::env::var(CHOSEN_BY).as_deref() {
            Ok("cli" | "env") => true,
            _ => ask(&rustup, package, &["show", "active-toolchain"])
                .is_none_or(|active| active.split(' ').next() != Some(chosen.as_str())),
        };
        if is_asked {
            return Toolchain { asked: Some(chosen), ..as_found };
        }
        let listed = ask(&rustup, package, &["override", "list"]).unwrap_or_default();
        let overrides = listed.lines().filter_map(|line| {
            let (folder, toolchain) = line.rsplit_once(char::is_whitespace)?;
            Some((PathBuf::from(folder.trim_end()), toolchain.to_owned()))
        });
        let rustup_and_cargo = rustup.with_file_name("cargo");
        let cargo = if rustup_and_cargo.is_file() { rustup_and_cargo } else { "cargo".into() };
        Toolchain { cargo, rustup: Some(Rustup { overrides: overrides.collect() }), ..as_found }
    }

    /// Returns a note for the reader if revisions cannot choose their toolchain.
    pub fn note(&self) -> Option<String> {
        let asked = self.asked.as_ref()?;
        Some(format!("both builds use the toolchain {asked}, which was asked for by name"))
    }

    /// Returns cargo in a folder of a mirror.
    pub fn cargo(&self, surroundings: &Surroundings, folder: &Path) -> Command {
        self.command(&self.cargo, surroundings, folder)
    }

    /// Returns what `rustc -vV` prints in a folder of a mirror; empty if rustc cannot be run, which cargo then reports.
    pub fn version(&self, surroundings: &Surroundings, folder: &Path) -> String {
        let beside = self.cargo.with_file_name("rustc");
        let found = if beside.is_file() { beside.into() } else { OsString::from("rustc") };
        let rustc = std::env::var_os("RUSTC").unwrap_or(found);
        let mut command = self.command(Path::new(&rustc), surroundings, folder);
        command.arg("-vV").stdin(Stdio::null()).stderr(Stdio::null());
        let output = interrupt::output_of_child(&mut command);
        output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default()
    }

    fn command(&self, program: &Path, surroundings: &Surroundings, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder);
        // Cargo sets `CARGO` for its children, and takes the variable as its own path.
        command.env_remove("CARGO");
        for name in &self.set_by_cargo {
            command.env_remove(name);
        }
        // A hook sets them for the real repository, but a build script must find the exported one.
        for name in GIT_VARIABLES {
            command.env_remove(name);
        }
        if let Some(rustup) = &self.rustup {
            command.env_remove(CHOSEN).env_remove(CHOSEN_BY);
            if let Some(toolchain) = rustup.override_of(surroundings, folder) {
                command.env(CHOSEN, toolchain);
            }
        }
        command
    }
}

impl Rustup {
    /// Returns the override that applies in a folder of a mirror.
    ///
    /// Like rustup, takes the nearest folder with an override or a toolchain file. Rustup knows the real folder only.
    fn override_of(&self, surroundings: &Surroundings, folder: &Path) -> Option<&str> {
        for folder in folder.ancestors() {
            let real = surroundings.real(folder)?;
            if let Some((_, toolchain)) = self.overrides.iter().find(|(own, _)| *own == real) {
                return Some(toolchain);
            }
            let mut files = LOOKED_UP.into_iter().filter(|name| name.starts_with("rust-toolchain"));
            if files.any(|name| folder.join(name).is_file()) {
                return None;
            }
        }
        None
    }
}

/// Finds rustup on `PATH` or in cargo's home.
fn rustup() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(cargo_home().map(|home| home.join("bin")));
    folders.map(|folder| folder.join("rustup")).find(|rustup| rustup.is_file())
}

/// Asks rustup in a folder, as if no toolchain were chosen yet.
fn ask(rustup: &Path, folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(rustup);
    command.current_dir(folder).args(arguments).env_remove(CHOSEN).env_remove(CHOSEN_BY);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let output = interrupt::output_of_child(&mut command).ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Returns the variables that `cargo run` has set from `[env]` in its configuration.
///
/// If they were passed on, they would take precedence over the `[env]` of the revision that is built.
fn set_by_cargo() -> Vec<OsString> {
    let current = std::env::current_dir().unwrap_or_default();
    let folders = current.ancestors().map(|folder| folder.join(".cargo")).chain(cargo_home());
    let files = folders.flat_map(|folder| ["config.toml", "config"].map(|name| folder.join(name)));
    let set = files.flat_map(|file| variables(&file)).map(|(name, value)| (name.into(), value));
    set.filter(|(name, value): &(OsString, OsString)| {
        std::env::var_os(name).as_ref() == Some(value)
    })
    .map(|(name, _)| name)
    .collect()
}

/// Returns the variables in `[env]` of a configuration file.
fn variables(file: &Path) -> Vec<(String, OsString)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let configuration: toml::Table = text.parse().unwrap_or_default();
    let table = configuration.get("env").and_then(toml::Value::as_table);
    let variable = |(name, entry): (&String, &toml::Value)| {
        let options = entry.as_table();
        let value = options.map_or(Some(entry), |options| options.get("value"))?.as_str()?;
        let relative = options.and_then(|options| options.get("relative")?.as_bool());
        // Relative to the folder that has the folder `.cargo`.
        let parent = file.parent().and_then(Path::parent).filter(|_| relative == Some(true));
        let value = parent.map_or(OsStr::new(value).to_owned(), |it| it.join(value).into());
        Some((name.clone(), value))
    };
    table.into_iter().flatten().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_a_configuration_are_found() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(".cargo");
        fs::create_dir(&folder).unwrap();
        let text = "[env]\nPLAIN = \"a\"\nTABLE = { value = \"b\", force = true }\n\
                    FILE = { value = \"c/d\", relative = true }\n[build]\njobs = 1\n";
        fs::write(folder.join("config.toml"), text).unwrap();
        let mut found = variables(&folder.join("config.toml"));
        found.sort();
        let file = place.path().join("c/d").into_os_string();
        let expected = [("FILE", file), ("PLAIN", "a".into()), ("TABLE", "b".into())];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
        fs::write(folder.join("config.toml"), "env = 3").unwrap();
        assert_eq!(variables(&folder.join("config.toml")), []);
        assert_eq!(variables(&folder.join("gone")), []);
    }

    #[test]
    fn an_override_counts_unless_a_toolchain_file_is_nearer() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().canonicalize().unwrap();
        let (repository, home) = (top.join("repository"), top.join("home"));
        fs::create_dir_all(&home).unwrap();
        let surroundings = Surroundings::choose(&repository, &home);
        let _mirror = surroundings.mirror().unwrap();
        let mirrored = surroundings.mirrored(&repository);
        let package = mirrored.join("pairs");
        fs::create_dir(&package).unwrap();
        let overrides = vec![(repository.clone(), "nightly".to_owned())];
        let rustup = Rustup { overrides };
        assert_eq!(rustup.override_of(&surroundings, &package), Some("nightly"));
        fs::write(mirrored.join("rust-toolchain.toml"), "").unwrap();
        assert_eq!(rustup.override_of(&surroundings, &package), Some("nightly"));
        fs::write(package.join("rust-toolchain"), "").unwrap();
        assert_eq!(rustup.override_of(&surroundings, &package), None);
        assert_eq!(Rustup { overrides: vec![] }.override_of(&surroundings, &package), None);
    }
}
