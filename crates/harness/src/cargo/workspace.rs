//! Cargo's description of a workspace (`cargo metadata`).

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use super::{Invocation, own_manifest, program};
use crate::interrupt;

/// A workspace.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Workspace {
    /// Folder of final artifacts.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    /// Folder of intermediate artifacts, such as bench binaries. Cargo before 1.91 has only one folder for both.
    #[serde(rename = "build_directory")]
    pub build: Option<PathBuf>,
    /// Root folder.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Its packages.
    pub packages: Vec<Package>,
}

/// A package of a workspace.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Path of its manifest.
    pub manifest_path: PathBuf,
    /// What cargo can build of it.
    pub targets: Vec<Target>,
}

/// A target of a package: a library, a binary, a bench.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its kinds: `bin`, `bench`, …
    pub kind: Vec<String>,
}

impl Package {
    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("/"))
    }

    /// Returns the names of its targets of a kind.
    pub fn targets_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let targets = self.targets.iter();
        let targets = targets.filter(move |target| target.kind.iter().any(|own| own == kind));
        targets.map(|target| target.name.as_str())
    }
}

impl Workspace {
    /// Asks cargo about the workspace of this process's package, as the command that started this process would see
    /// it; `None` if cargo cannot be run or finds no package.
    pub fn ask(invocation: Option<&Invocation>) -> Option<Workspace> {
        let mut command = Command::new(program());
        if let Some(folder) = invocation.and_then(|invocation| invocation.folder.as_ref()) {
            command.current_dir(folder);
        }
        for config in invocation.map_or(Vec::new(), |invocation| invocation.values_of("--config")) {
            command.args(["--config", config]);
        }
        command.arg("metadata");
        if let Some(manifest) = own_manifest() {
            command.arg("--manifest-path").arg(manifest);
        }
        Workspace::described_by(&mut command).ok()
    }

    /// Asks cargo about the workspace that a folder is in.
    ///
    /// # Errors
    /// Cargo's message if there is none.
    pub fn of_folder(folder: &Path) -> Result<Workspace, String> {
        Workspace::described_by(Command::new(program()).current_dir(folder).arg("metadata"))
    }

    /// Returns what `command`, which is `cargo metadata`, prints.
    ///
    /// # Errors
    /// Cargo's message if it fails.
    pub fn described_by(command: &mut Command) -> Result<Workspace, String> {
        command.args(["--no-deps", "--format-version", "1"]);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let output = interrupt::output_of_child(command)
            .map_err(|error| format!("cargo cannot be run: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    /// Returns the package in a folder.
    pub fn package_in(&self, folder: &Path) -> Option<&Package> {
        self.packages.iter().find(|package| package.folder() == folder)
    }

    /// Returns the names of a package's bench targets.
    pub fn benches(&self, package: &str) -> Vec<&str> {
        let own = self.packages.iter().filter(|own| own.name == package);
        own.flat_map(|package| package.targets_of("bench")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_describes_this_workspace() {
        let workspace = Workspace::ask(None).unwrap();
        assert!(workspace.target.is_absolute());
        assert!(workspace.benches("worthit").contains(&"queries"));
        assert!(workspace.benches("worthit-pair").is_empty());
    }
}
