//! Which files of a crate a pair is compiled from: its own and, step by step, those that they name.
//!
//! Where that cannot be told, a pair depends on every file of the crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use super::references::{Mention, References};

/// The files of a crate, and what each refers to.
pub(super) struct Modules {
    files: BTreeMap<PathBuf, References>,
    /// Files by the path of their module.
    by_module: BTreeMap<Vec<String>, PathBuf>,
    /// Files of pairs, by the pair's id.
    pairs: BTreeMap<String, PathBuf>,
}

/// What a pair is compiled from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Closure {
    /// Files that it uses.
    pub files: BTreeSet<PathBuf>,
    /// Files whose modules contain those: only what they define outside of lists counts.
    pub around: BTreeSet<PathBuf>,
    /// Whether it reads environment variables when it is compiled.
    pub reads_environment: bool,
}

/// Files that a file uses; `None` if that cannot be told.
type Uses = Option<BTreeSet<PathBuf>>;

impl Modules {
    /// Describes a crate by the source texts of its files, whose paths start at the folder of its root file.
    pub fn of(sources: &BTreeMap<PathBuf, String>, root: &Path) -> Modules {
        let is_source = |file: &&PathBuf| file.extension().is_some_and(|end| end == "rs");
        let by_module = sources.keys().filter(is_source).filter_map(|file| {
            let module = if file == root { Vec::new() } else { module_of(file)? };
            Some((module, file.clone()))
        });
        let by_module: BTreeMap<_, _> = by_module.collect();
        let files: BTreeMap<PathBuf, References> =
            by_module.values().map(|file| (file.clone(), References::of(&sources[file]))).collect();
        let mut pairs = BTreeMap::new();
        for (list, references) in &files {
            let folder = list.parent().unwrap_or(Path::new(""));
            for (family, names) in &references.listed {
                for name in names {
                    let file = folder.join(family).join(format!("{name}.rs"));
                    if files.contains_key(&file) {
                        pairs.insert(format!("{family}/{name}"), file);
                    }
                }
            }
        }
        Modules { files, by_module, pairs }
    }

    /// Returns the ids of the pairs whose files are known.
    pub fn pairs(&self) -> impl Iterator<Item = &str> {
        self.pairs.keys().map(String::as_str)
    }

    /// Returns the outline of a file: its words without comments, lists and declarations of modules.
    pub fn outline(&self, file: &Path) -> Option<&str> {
        self.files.get(file).map(|references| references.outline.as_str())
    }

    /// Returns what a pair is compiled from; `None` if that cannot be told, so that it may be every file.
    pub fn closure(&self, pair: &str) -> Option<Closure> {
        let start = self.pairs.get(pair)?;
        let uses = self.uses();
        let mut closure = Closure::default();
        let is_pair = |file: &PathBuf| self.pairs.values().any(|pair| pair == file);
        let global = self.files.iter().filter(|(file, references)| {
            let may_extend_any = references.extends_others && uses[file].is_none();
            // Macros of a pair's own file reach no other, unless an attribute says so.
            let has_macros = references.has_macros && !is_pair(file);
            references.is_global || may_extend_any || has_macros
        });
        let mut left: Vec<&PathBuf> = global.map(|(file, _)| file).chain([start]).collect();
        while let Some(file) = left.pop() {
            if !closure.files.insert(file.clone()) {
                continue;
            }
            closure.reads_environment |=
                self.files.get(file).is_some_and(|it| it.reads_environment);
            left.extend(uses.get(file).map_or(Some(&NOTHING), Option::as_ref)?);
        }
        for (module, file) in &self.by_module {
            if closure.files.contains(file) {
                let above = (0..module.len()).filter_map(|len| self.by_module.get(&module[..len]));
                closure.around.extend(above.cloned());
            }
        }
        closure.around.retain(|file| !closure.files.contains(file));
        Some(closure)
    }

    /// Returns the files that each file uses.
    fn uses(&self) -> BTreeMap<&PathBuf, Uses> {
        let own = self.by_module.iter().map(|(module, file)| (file, self.uses_of(module, file)));
        let mut uses: BTreeMap<&PathBuf, Uses> = own.collect();
        // A file that implements something for types of other files changes what those do.
        let extending: Vec<(PathBuf, BTreeSet<PathBuf>)> = uses
            .iter()
            .filter(|(file, _)| self.files[**file].extends_others)
            .filter_map(|(file, used)| Some(((**file).clone(), used.clone()?)))
            .collect();
        for (file, extended) in extending {
            for other in extended {
                if let Some(Some(used)) = uses.get_mut(&other) {
                    used.insert(file.clone());
                }
            }
        }
        uses
    }

    fn uses_of(&self, module: &[String], file: &Path) -> Uses {
        let references = &self.files[file];
        if references.is_opaque {
            return None;
        }
        let mut used = BTreeSet::new();
        for path in &references.paths {
            used.extend(self.resolve(module, path)?);
        }
        if self.pairs.values().any(|pair| pair == file) {
            for child in &references.children {
                used.insert(self.by_module.get(&extended(module, child))?.clone());
            }
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        used.extend(references.included.iter().map(|included| normal(&folder.join(included))));
        used.remove(file);
        Some(used)
    }

    /// Returns the files that a path in a module leads to; `None` if that cannot be told.
    fn resolve(&self, module: &[String], path: &Mention) -> Uses {
        let here: Vec<String> = module.iter().chain(&path.inside).cloned().collect();
        let (first, rest) = path.segments.split_first()?;
        let absolute = match first.as_str() {
            "crate" => rest.to_vec(),
            "self" => [&here, rest].concat(),
            "super" => {
                let up = path.segments.iter().take_while(|word| *word == "super").count();
                let above = here.len().checked_sub(up)?;
                [&here[..above], &path.segments[up..]].concat()
            }
            name => {
                let is_child =
                    |from: &&[String]| self.by_module.contains_key(&extended(from, name));
                match [&here[..], module].into_iter().find(is_child) {
                    Some(from) => [from, &path.segments].concat(),
                    // Another crate, or a name that the file defines or imports.
                    None => return Some(BTreeSet::new()),
                }
            }
        };
        let known = (0..=absolute.len()).rev().find_map(|len| {
            let file = self.by_module.get(&absolute[..len])?;
            Some((len, file))
        });
        match known {
            Some((len, _)) if absolute[..len] == *module => Some(BTreeSet::new()),
            // Items of the crate's root can come from anywhere.
            None | Some((0, _)) => None,
            // A module that is imported as a whole can be followed by the name of any module in it.
            Some((len, _)) if path.is_import && len == absolute.len() => {
                let inner =
                    self.by_module.iter().filter(|(module, _)| module.starts_with(&absolute));
                Some(inner.map(|(_, file)| file.clone()).collect())
            }
            Some((_, file)) => Some(BTreeSet::from([file.clone()])),
        }
    }
}

static NOTHING: BTreeSet<PathBuf> = BTreeSet::new();

fn extended(module: &[String], name: &str) -> Vec<String> {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Returns the module that a file holds by its name: `a/b.rs` and `a/b/mod.rs` hold `a::b`.
fn module_of(file: &Path) -> Option<Vec<String>> {
    let names = file.with_extension("");
    let names = names.components().map(|part| match part {
        Component::Normal(name) => name.to_str().map(str::to_owned),
        _ => None,
    });
    let mut names: Vec<String> = names.collect::<Option<_>>()?;
    if names.len() > 1 && names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    Some(names)
}

/// Removes `.` and `..` from a path where that needs no file system.
fn normal(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if found.file_name().is_some() => {
                found.pop();
            }
            part => found.push(part),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [(&str, &str); 9] = [
        ("lib.rs", "pub mod fixtures;\nworthit_pair::catalogue! { a, b, }\n"),
        ("a.rs", "worthit_pair::family! { \"a\": \"A\"; one, two, }"),
        (
            "a/one.rs",
            "use worthit_pair::prelude::*;\nuse crate::fixtures::text;\nfn f() { text::g() }",
        ),
        ("a/two.rs", "use worthit_pair::prelude::*;"),
        ("b.rs", "worthit_pair::family! { \"b\": \"B\"; three, }"),
        (
            "b/three.rs",
            "use crate::fixtures::shop::{self, Size};\nconst R: &str = include_str!(\"../r.sql\");",
        ),
        ("fixtures.rs", "pub mod text;\npub mod shop;\npub mod zipf;\n"),
        ("fixtures/text.rs", "use super::zipf::Zipf;"),
        ("fixtures/shop.rs", "pub struct Size;\nimpl Size {}"),
    ];

    /// The files of a pair in a crate with these changes: those used, and those around them in brackets.
    fn closure_in(changes: &[(&str, &str)], pair: &str) -> Option<String> {
        let others = [("fixtures/zipf.rs", "pub struct Zipf;"), ("r.sql", "")];
        let files = PLAIN.iter().chain(&others).chain(changes);
        let sources: BTreeMap<PathBuf, String> =
            files.map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        let closure = Modules::of(&sources, Path::new("lib.rs")).closure(pair)?;
        let names = |files: &BTreeSet<PathBuf>| {
            files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        Some(format!("{} ({})", names(&closure.files), names(&closure.around)))
    }

    #[track_caller]
    fn assert_closure(changes: &[(&str, &str)], pair: &str, expected: &str) {
        assert_eq!(closure_in(changes, pair).as_deref(), Some(expected));
    }

    #[test]
    fn a_pair_uses_the_files_that_it_names_and_those_that_they_name() {
        let around = "(a.rs fixtures.rs lib.rs)";
        let one = format!("a/one.rs fixtures/text.rs fixtures/zipf.rs {around}");
        assert_closure(&[], "a/one", &one);
        assert_closure(&[], "a/two", "a/two.rs (a.rs lib.rs)");
        assert_closure(
            &[],
            "b/three",
            "b/three.rs fixtures/shop.rs r.sql (b.rs fixtures.rs lib.rs)",
        );
        assert_eq!(closure_in(&[], "a/unknown"), None);
    }

    #[test]
    fn a_name_that_leads_nowhere_may_lead_to_any_file() {
        for source in [
            "use crate::helper;",
            "fn f() { crate::a_macro!() }",
            "use super::super::super::x;",
            "include!(\"x.rs\");",
            "use crate::*;",
        ] {
            assert_eq!(closure_in(&[("a/two.rs", source)], "a/two"), None, "{source}");
        }
        // So it is if a file that the pair uses does so.
        assert_eq!(closure_in(&[("fixtures/zipf.rs", "use crate::helper;")], "a/one"), None);
        assert!(closure_in(&[("fixtures/zipf.rs", "use crate::helper;")], "a/two").is_some());
    }

    #[test]
    fn a_module_imported_as_a_whole_is_used_with_all_in_it() {
        let all = "fixtures/shop.rs fixtures/text.rs fixtures/zipf.rs fixtures.rs (a.rs lib.rs)";
        for import in
            ["use crate::fixtures;", "use crate::fixtures::*;", "use crate::fixtures as f;"]
        {
            assert_closure(&[("a/two.rs", import)], "a/two", &format!("a/two.rs {all}"));
        }
        let item = [("a/two.rs", "fn f() { crate::fixtures::g() }")];
        assert_closure(&item, "a/two", "a/two.rs fixtures.rs (a.rs lib.rs)");
        let exported = [item[0], ("fixtures.rs", "pub mod shop;\npub use shop::g;")];
        assert_closure(&exported, "a/two", "a/two.rs fixtures/shop.rs fixtures.rs (a.rs lib.rs)");
    }

    #[test]
    fn files_reach_a_pair_without_being_named() {
        let macros = [("fixtures/zipf.rs", "macro_rules! m { () => {} }")];
        assert_closure(&macros, "a/two", "a/two.rs fixtures/zipf.rs (a.rs fixtures.rs lib.rs)");
        let own = [("a/one.rs", "macro_rules! m { () => {} }")];
        assert_closure(&own, "a/two", "a/two.rs (a.rs lib.rs)");
        let dropped = [("fixtures/zipf.rs", "use super::shop::Size;\nimpl Drop for Size {}")];
        let three = "b/three.rs fixtures/shop.rs fixtures/zipf.rs r.sql (b.rs fixtures.rs lib.rs)";
        assert_closure(&dropped, "b/three", three);
        assert_closure(&dropped, "a/two", "a/two.rs (a.rs lib.rs)");
        let hidden = [("fixtures/zipf.rs", "use crate::Hidden;\nimpl Drop for Hidden {}")];
        assert_eq!(closure_in(&hidden, "a/two"), None);
    }

    #[test]
    fn a_pair_can_have_modules_of_its_own() {
        let changes =
            [("a/two.rs", "mod deep;\nfn f() { deep::g() }"), ("a/two/deep.rs", "fn g() {}")];
        assert_closure(&changes, "a/two", "a/two/deep.rs a/two.rs (a.rs lib.rs)");
        let folder = [("a/two.rs", "mod deep;"), ("a/two/deep/mod.rs", "")];
        assert_closure(&folder, "a/two", "a/two/deep/mod.rs a/two.rs (a.rs lib.rs)");
        assert_eq!(closure_in(&[("a/two.rs", "mod lost;")], "a/two"), None);
        let study = [
            ("c.rs", "worthit_pair::studies! { \"c\": \"C\"; bank, }"),
            ("c/bank.rs", "mod join;\nmod teller;"),
            (
                "c/bank/join.rs",
                "use super::teller::Line;\nconst F: &str = include_str!(\"join.rs\");",
            ),
            ("c/bank/teller.rs", "use super::join;"),
        ];
        let files = "c/bank/join.rs c/bank/teller.rs c/bank.rs (c.rs lib.rs)";
        assert_closure(&study, "c/bank", files);
    }
}
