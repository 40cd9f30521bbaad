//! What each pair of a build depends on, so that a pair is judged only if some of it has changed.
//!
//! A pair depends on its own file and on those that it uses (`modules`), on its bench, on every other crate that is
//! built from a folder, on manifests, lock file, cargo's configuration, build scripts and their results, and the
//! compiler. It does not depend on the crates that only decide when a pair is measured ([`MEASURING`]), nor on files
//! that are not compiled.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    artifacts::{Artifact, Compiled},
    build_key::configuration_files,
    modules::{Closure, Modules},
    outside::{content_hash, hash},
};

/// Crates that measure pairs and report on them. Nothing in them runs between the clock readings of a batch, or while
/// instructions are counted.
const MEASURING: [&str; 2] = ["worthit-harness", "worthit-machine"];

/// Parts of a manifest that change nothing that is compiled, beside the keys of `package`.
const INERT: [&str; 6] = ["bench", "test", "example", "bin", "lints", "badges"];
/// Keys of `package`, and of `workspace.package`, that matter to the compiler.
const COMPILED_KEYS: [&str; 8] =
    ["name", "edition", "build", "links", "resolver", "workspace", "version", "rust-version"];

/// What each pair of a build depends on: names of things, and hashes of their contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dependencies {
    hashes: BTreeMap<String, String>,
    /// What all pairs depend on.
    shared: BTreeSet<String>,
    /// What the pairs of each bench depend on.
    by_bench: BTreeMap<String, BTreeSet<String>>,
    /// What single pairs depend on.
    by_pair: BTreeMap<String, BTreeSet<String>>,
    /// What any other pair depends on: all files of the package's library.
    any: BTreeSet<String>,
}

impl Dependencies {
    /// Finds what the pairs of a build depend on.
    ///
    /// `top` is the folder of the exported repository, `package` that of the package in it.
    pub fn of(compiled: &Compiled, top: &Path, package: &Path, rustc: &str) -> Dependencies {
        let mut found = Dependencies::default();
        let names = Names { top };
        let manifest = package.join("Cargo.toml");
        let (own, others): (Vec<&Artifact>, Vec<&Artifact>) =
            compiled.on_disk().partition(|artifact| artifact.manifest_path == manifest);
        found.share("the compiler", hash(rustc.as_bytes()));
        for (file, content) in configuration_files(package) {
            found.share(&names.of(&file), hash(&content));
        }
        for results in &compiled.script_results {
            let name = format!("the build script of {}", names.of_text(&results.package_id));
            found.share(&name, hash(names.of_text(&results.text()).as_bytes()));
        }
        let root = compiled.workspace.join("Cargo.toml");
        let manifests = compiled.on_disk().map(|artifact| &artifact.manifest_path).chain([&root]);
        for manifest in manifests.collect::<BTreeSet<_>>() {
            let text = fs::read_to_string(manifest).unwrap_or_default();
            found.share(&names.of(manifest), hash(compiled_part(&text).as_bytes()));
        }
        let counted = |artifact: &&Artifact| !MEASURING.contains(&artifact.package_name());
        for artifact in others.into_iter().filter(counted) {
            found.share_all(compiled, artifact, &names);
        }
        for artifact in own.iter().filter(|artifact| artifact.is_build_script()) {
            found.share_all(compiled, artifact, &names);
        }
        let benches = own.iter().filter(|artifact| artifact.is_of_kind("bench"));
        for artifact in benches {
            let files = compiled.sources(artifact).into_iter();
            let files = files.map(|file| found.add_file(&file, &names)).collect();
            found.by_bench.insert(artifact.target.name.clone(), files);
        }
        if let Some(library) = own.iter().find(|artifact| artifact.is_library()) {
            found.add_library(compiled, library, &names);
        }
        let is_command = |artifact: &&&Artifact| {
            artifact.is_of_kind("bin") && !artifact.profile.test && artifact.executable.is_some()
        };
        // Modules of the command are listed together with the files of all that is linked to it.
        let not_command = compiled.on_disk().filter(|artifact| !artifact.is_of_kind("bin"));
        let linked: BTreeSet<PathBuf> =
            not_command.flat_map(|artifact| compiled.sources(artifact)).collect();
        for artifact in own.iter().filter(is_command) {
            let root = artifact.target.src_path.clone();
            let folder = root.parent().unwrap_or(package).to_owned();
            let is_module = |file: &PathBuf| {
                let is_source = file.extension().is_some_and(|end| end == "rs") && file.is_file();
                is_source && file.starts_with(&folder) && !linked.contains(file)
            };
            let listed = compiled.sources(artifact).into_iter().chain([root.clone()]);
            for file in listed.filter(is_module).collect::<BTreeSet<_>>() {
                let name = found.add_file(&file, &names);
                found.shared.insert(name);
            }
        }
        found
    }

    fn share(&mut self, name: &str, hash: String) {
        self.hashes.insert(name.to_owned(), hash);
        self.shared.insert(name.to_owned());
    }

    fn add_file(&mut self, file: &Path, names: &Names<'_>) -> String {
        let name = names.of(file);
        self.hashes.insert(name.clone(), content_hash(file).unwrap_or_default());
        name
    }

    /// Adds all files of an artifact, and the variables that it was compiled with, to what all pairs depend on.
    fn share_all(&mut self, compiled: &Compiled, artifact: &Artifact, names: &Names<'_>) {
        for file in compiled.sources(artifact) {
            let name = self.add_file(&file, names);
            self.shared.insert(name);
        }
        for (variable, value) in compiled.variables(artifact) {
            self.share(&format!("{variable} of {}", artifact.target.name), hash(value.as_bytes()));
        }
    }

    /// Adds the library that has the pairs.
    fn add_library(&mut self, compiled: &Compiled, library: &Artifact, names: &Names<'_>) {
        let folder = library.target.src_path.parent().unwrap_or(Path::new("/"));
        let files = compiled.sources(library);
        let relative = |file: &Path| file.strip_prefix(folder).map(Path::to_owned);
        let texts = files.iter().filter_map(|file| {
            Some((
                relative(file).ok()?,
                String::from_utf8_lossy(&fs::read(file).ok()?).into_owned(),
            ))
        });
        let root = relative(&library.target.src_path).unwrap_or_default();
        let modules = Modules::of(&texts.collect(), &root);
        self.any = files.iter().map(|file| self.add_file(file, names)).collect();
        let mut variables = BTreeSet::new();
        for (variable, value) in compiled.variables(library) {
            let name = format!("the variable {variable}");
            self.hashes.insert(name.clone(), hash(value.as_bytes()));
            variables.insert(name);
        }
        self.any.extend(variables.clone());
        // Before the edition of 2018, paths start at the crate's root.
        if library.target.edition == "2015" {
            return;
        }
        for pair in modules.pairs() {
            let Some(Closure { files, around, reads_environment }) = modules.closure(pair) else {
                continue;
            };
            let mut own: BTreeSet<String> =
                files.iter().map(|file| names.of(&normal(folder, file))).collect();
            // A file that is named but not compiled cannot be followed.
            if !own.iter().all(|name| self.hashes.contains_key(name)) {
                continue;
            }
            for file in around {
                let name = format!("the outline of {}", names.of(&folder.join(&file)));
                let outline = modules.outline(&file).unwrap_or_default();
                self.hashes.insert(name.clone(), hash(outline.as_bytes()));
                own.insert(name);
            }
            own.extend(variables.iter().filter(|_| reads_environment).cloned());
            self.by_pair.insert(pair.to_owned(), own);
        }
    }

    /// Returns what a pair of a bench depends on.
    fn of_pair(&self, id: &str, bench: &str) -> BTreeMap<&str, &str> {
        let own = self.by_pair.get(id).unwrap_or(&self.any);
        let of_bench = self.by_bench.get(bench).into_iter().flatten();
        let names = self.shared.iter().chain(of_bench).chain(own);
        names.filter_map(|name| Some((name.as_str(), self.hashes.get(name)?.as_str()))).collect()
    }

    /// Returns the first thing that a pair of a bench depends on and that differs in another build.
    pub fn difference(&self, other: &Dependencies, id: &str, bench: &str) -> Option<String> {
        let (own, others) = (self.of_pair(id, bench), other.of_pair(id, bench));
        let differs = |name: &&&str| own.get(**name) != others.get(**name);
        own.keys().chain(others.keys()).find(differs).map(|name| (*name).to_owned())
    }
}

/// Names of files: their paths from the repository's root, where they are inside.
struct Names<'a> {
    top: &'a Path,
}

impl Names<'_> {
    fn of(&self, file: &Path) -> String {
        file.strip_prefix(self.top).unwrap_or(file).display().to_string()
    }

    fn of_text(&self, text: &str) -> String {
        text.replace(&*self.top.to_string_lossy(), "")
    }
}

/// Joins a path that may begin with `..` to a folder.
fn normal(folder: &Path, file: &Path) -> PathBuf {
    let mut joined = folder.to_owned();
    for part in file.components() {
        match part {
            std::path::Component::ParentDir => {
                joined.pop();
            }
            part => joined.push(part),
        }
    }
    joined
}

/// Returns the part of a manifest that can change what is compiled, in a fixed order and without comments.
fn compiled_part(manifest: &str) -> String {
    let Ok(mut table) = manifest.parse::<toml::Table>() else { return manifest.to_owned() };
    table.retain(|key, _| !INERT.contains(&key));
    let keep_compiled = |package: &mut toml::Value| {
        if let Some(package) = package.as_table_mut() {
            package.retain(|key, _| COMPILED_KEYS.contains(&key));
        }
    };
    table.get_mut("package").map(keep_compiled);
    if let Some(workspace) = table.get_mut("workspace").and_then(toml::Value::as_table_mut) {
        workspace.retain(|key, _| ["package", "dependencies", "resolver"].contains(&key));
        workspace.get_mut("package").map(keep_compiled);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_counts_without_what_changes_no_code() {
        let plain = "[package]\nname = \"a\"\nedition = \"2024\"\n[dependencies]\nrand = \"1\"\n";
        let same = |text: &str| compiled_part(text) == compiled_part(plain);
        assert!(same(&format!("# More.\n{plain}[[bench]]\nname = \"x\"\nharness = false\n")));
        assert!(same(&plain.replace("[dep", "description = \"words\"\n[dep")));
        assert!(same(
            &format!("{plain}[workspace]\nmembers = [\"b\"]\n")
                .replace("\n[workspace]", "\n[lints.rust]")
        ));
        for (from, to) in [("rand = \"1\"", "rand = \"2\""), ("2024", "2021")] {
            assert!(!same(&plain.replace(from, to)));
        }
        assert!(!same(&format!("{plain}[profile.release]\nlto = true\n")));
        assert!(!same(&format!("{plain}[features]\nx = []\n")));
        assert_ne!(compiled_part("broken = "), compiled_part("broken = ="));
    }

    #[test]
    fn a_pair_differs_if_something_that_it_depends_on_does() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let build = |changed: &[&str]| {
            let all = ["lock", "bench", "one.rs", "text.rs", "two.rs"];
            let hash = |name: &str| if changed.contains(&name) { "1" } else { "0" }.to_owned();
            Dependencies {
                hashes: all.iter().map(|name| ((*name).to_owned(), hash(name))).collect(),
                shared: set(&["lock"]),
                by_bench: [("a".to_owned(), set(&["bench"]))].into(),
                by_pair: [("a/one".to_owned(), set(&["one.rs", "text.rs"]))].into(),
                any: set(&["one.rs", "text.rs", "two.rs"]),
            }
        };
        let difference =
            |changed: &[&str], id: &str, bench| build(&[]).difference(&build(changed), id, bench);
        assert_eq!(difference(&[], "a/one", "a"), None);
        assert_eq!(difference(&["two.rs"], "a/one", "a"), None);
        assert_eq!(difference(&["text.rs"], "a/one", "a").as_deref(), Some("text.rs"));
        assert_eq!(difference(&["lock"], "a/one", "a").as_deref(), Some("lock"));
        assert_eq!(difference(&["bench"], "a/one", "a").as_deref(), Some("bench"));
        assert_eq!(difference(&["bench"], "a/one", "b"), None);
        assert_eq!(difference(&["one.rs"], "a/two", "a").as_deref(), Some("one.rs"), "unknown");
        let without = Dependencies { by_pair: BTreeMap::new(), ..build(&[]) };
        assert_eq!(build(&[]).difference(&without, "a/one", "a").as_deref(), Some("two.rs"));
    }
}
