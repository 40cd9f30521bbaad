//! Which package the gate judges: the one whose binary is the running command.

use std::path::{Path, PathBuf};

use super::revision::RevisionError;
use crate::cargo::{self, Workspace};

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
        let workspace = Workspace::of_folder(&current);
        let found = match &workspace {
            Ok(workspace) => package_with(workspace, &command, named.as_deref(), &current),
            Err(error) => Err(RevisionError::NoPackage(error.clone())),
        };
        let folder = match (found, &named) {
            // `cargo run --manifest-path` leaves the current folder as it is.
            (Err(RevisionError::NoPackage(_) | RevisionError::NoCommand { .. }), Some(named))
                if Workspace::of_folder(named).is_ok_and(|workspace| {
                    let package = workspace.package_in(named);
                    package.is_some_and(|package| has_command(package, &command))
                }) =>
            {
                named.clone()
            }
            (found, _) => found?,
        };
        let folder = folder.canonicalize().unwrap_or(folder);
        Ok(Package { folder, command: command.into_owned() })
    }
}

/// Whether a package has a binary of this name.
fn has_command(package: &cargo::Package, command: &str) -> bool {
    package.targets_of("bin").any(|name| name == command)
}

/// Returns the folder of the package with the command: the one that cargo named, else the nearest above the current
/// folder, else the only one.
fn package_with(
    workspace: &Workspace,
    command: &str,
    named: Option<&Path>,
    current: &Path,
) -> Result<PathBuf, RevisionError> {
    let candidates: Vec<&cargo::Package> =
        workspace.packages.iter().filter(|package| has_command(package, command)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Target;

    fn workspace(packages: &[(&str, &str)]) -> Workspace {
        let package = |(name, binary): &(&str, &str)| cargo::Package {
            name: (*name).to_owned(),
            manifest_path: Path::new("/w").join(name.trim_start_matches("root")).join("Cargo.toml"),
            targets: vec![Target { kind: vec!["bin".to_owned()], name: (*binary).to_owned() }],
        };
        let packages = packages.iter().map(package).collect();
        Workspace { packages, ..Workspace::default() }
    }

    #[test]
    fn the_package_is_named_by_cargo_or_by_the_folder_or_is_the_only_one() {
        let find = |workspace: &Workspace, named: Option<&str>, current: &str| {
            let found =
                package_with(workspace, "worthit", named.map(Path::new), Path::new(current));
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
