//! Which package the gate judges: the one whose binary is the running command.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{revision::RevisionError, toolchain};
use crate::interrupt;

/// The package whose pairs are judged.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its folder.
    pub folder: PathBuf,
    /// Name of its binary that is the running command.
    pub command: String,
}

impl Package {
    /// Returns the package of the running command, wherever in its workspace the command was started.
    ///
    /// # Errors
    /// If there is no such package here, or there are several and neither cargo nor the current folder names one.
    pub fn of_this_command() -> Result<Package, RevisionError> {
        let exe = std::env::current_exe().unwrap_or_default();
        let command = exe.file_name().map_or("worthit".into(), |name| name.to_string_lossy());
        let current = std::env::current_dir().unwrap_or_default();
        // `cargo run` names the package that it runs, but so does `cargo test` for whatever a test starts.
        let named = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let workspace = Metadata::of_folder(&current);
        let found = match &workspace {
            Ok(workspace) => workspace.package_with(&command, named.as_deref(), &current),
            Err(error) => Err(RevisionError::NoPackage(error.clone())),
        };
        let folder = match (found, &named) {
            // `cargo run --manifest-path` leaves the current folder as it is.
            (Err(RevisionError::NoPackage(_) | RevisionError::NoCommand { .. }), Some(named))
                if Metadata::of_folder(named).is_ok_and(|it| it.has(named, &command)) =>
            {
                named.clone()
            }
            (found, _) => found?,
        };
        let folder = folder.canonicalize().unwrap_or(folder);
        Ok(Package { folder, command: command.into_owned() })
    }
}

/// Cargo's description of a workspace.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Described>,
    /// Root folder of the workspace.
    #[serde(default)]
    pub workspace_root: PathBuf,
}

/// Cargo's description of a package.
#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

impl Described {
    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("/"))
    }

    fn has(&self, command: &str) -> bool {
        self.targets
            .iter()
            .any(|target| target.name == command && target.kind.iter().any(|kind| kind == "bin"))
    }
}

impl Metadata {
    fn of_folder(folder: &Path) -> Result<Metadata, String> {
        let mut cargo = std::process::Command::new(toolchain::cargo());
        Metadata::by(cargo.current_dir(folder))
    }

    /// Asks cargo about the workspace that its current folder is in; returns cargo's message if there is none.
    pub(super) fn by(cargo: &mut std::process::Command) -> Result<Metadata, String> {
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
        cargo.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        let output = interrupt::output_of_child(cargo)
            .map_err(|error| format!("cargo cannot be run: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    /// Returns the names of all packages.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().map(|package| package.name.as_str())
    }

    /// Returns the name of the package in a folder.
    pub(super) fn name_of(&self, folder: &Path) -> Option<&str> {
        let package = self.packages.iter().find(|package| package.folder() == folder)?;
        Some(&package.name)
    }

    fn has(&self, folder: &Path, command: &str) -> bool {
        self.packages.iter().any(|package| package.folder() == folder && package.has(command))
    }

    /// Returns the folder of the package with the command: the one that cargo named, else the nearest above the current
    /// folder, else the only one.
    fn package_with(
        &self,
        command: &str,
        named: Option<&Path>,
        current: &Path,
    ) -> Result<PathBuf, RevisionError> {
        let candidates: Vec<&Described> =
            self.packages.iter().filter(|package| package.has(command)).collect();
        let named = candidates.iter().find(|package| Some(package.folder()) == named);
        let nearest = || {
            let above = candidates.iter().filter(|package| current.starts_with(package.folder()));
            above.max_by_key(|package| package.folder().as_os_str().len())
        };
        match (named.or_else(nearest), candidates.as_slice()) {
            (Some(package), _) | (None, [package]) => Ok(package.folder().to_owned()),
            (None, []) => Err(RevisionError::NoCommand { command: command.to_owned() }),
            (None, several) => Err(RevisionError::SeveralCommands {
                command: command.to_owned(),
                candidates: several.iter().map(|package| package.name.clone()).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(packages: &[(&str, &str)]) -> Metadata {
        let package = |(name, binary): &(&str, &str)| Described {
            name: (*name).to_owned(),
            manifest_path: Path::new("/w").join(name.trim_start_matches("root")).join("Cargo.toml"),
            targets: vec![Target { kind: vec!["bin".to_owned()], name: (*binary).to_owned() }],
        };
        let packages = packages.iter().map(package).collect();
        Metadata { packages, workspace_root: PathBuf::from("/w") }
    }

    #[test]
    fn the_package_is_named_by_cargo_or_by_the_folder_or_is_the_only_one() {
        let find = |workspace: &Metadata, named: Option<&str>, current: &str| {
            let found = workspace.package_with("worthit", named.map(Path::new), Path::new(current));
            found.map(|folder| folder.to_string_lossy().into_owned())
        };
        let one = workspace(&[("root", "server"), ("pairs", "worthit")]);
        for current in ["/w", "/w/pairs/src", "/w/other"] {
            assert_eq!(find(&one, None, current).unwrap(), "/w/pairs", "{current}");
        }
        let three = workspace(&[("root", "worthit"), ("a", "worthit"), ("b", "worthit")]);
        assert_eq!(find(&three, None, "/w/a/src").unwrap(), "/w/a");
        assert_eq!(find(&three, None, "/w/docs").unwrap(), "/w");
        assert_eq!(find(&three, Some("/w/b"), "/w/a").unwrap(), "/w/b");
        // A test's own package has no such binary.
        assert_eq!(find(&one, Some("/w"), "/w/pairs").unwrap(), "/w/pairs");
        let two = workspace(&[("a", "worthit"), ("b", "worthit")]);
        let error = find(&two, None, "/w").unwrap_err().to_string();
        assert!(error.contains("binary `worthit`: a, b; name one"), "{error}");
        let none = workspace(&[("a", "server")]);
        let error = find(&none, None, "/w/a").unwrap_err().to_string();
        assert!(error.contains("no package of this workspace has a binary `worthit`"), "{error}");
    }
}
