//! Whether clippy finds the smells that cards say it finds, and no others.
//!
//! A named lint stands as `#[expect(clippy::…)]` on the naive side, and an expectation that clippy does not fulfil is
//! reported by the compiler. Where a card names none, clippy is run with every group: what it reports on the naive side
//! and not on the optimized one would be a lint that finds the smell.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
};

use super::Findings;
use crate::{
    clippy::{self, Reported},
    report,
};
use worthit_pair::{family::Entry, pair::Lint};

/// The groups that clippy switches on by itself, and those that it does not.
const GROUPS: [&str; 4] =
    ["clippy::all", "clippy::pedantic", "clippy::nursery", "clippy::restriction"];

/// The compiler's lint for an expectation that is not fulfilled.
const UNFULFILLED: &str = "unfulfilled_lint_expectations";

/// What clippy reports on a package with every group switched on.
#[derive(Clone, Debug, Default)]
pub struct Lints {
    reported: Vec<Reported>,
    /// The groups of each lint: `clippy::map_entry` is in `clippy::all` and `clippy::perf`.
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl Lints {
    /// Runs clippy on the library of `package`, whose workspace is at `folder`.
    ///
    /// # Errors
    /// If clippy is not installed or the library does not compile; the text says what to do.
    pub fn of_package(folder: &Path, package: &str) -> Result<Lints, String> {
        let mut command = Command::new("cargo");
        // The profile of `cargo bench`, which has built the macros and build scripts of the dependencies.
        let arguments = ["clippy", "--quiet", "--release", "--message-format=json", "--no-deps"];
        command.current_dir(folder).args(arguments);
        command.args(["--package", package, "--lib", "--"]);
        command.args(GROUPS.map(|group| format!("-W{group}")));
        let messages = output_of(&mut command)?;
        let mut described = Command::new("clippy-driver");
        let groups = output_of(described.args(["-W", "help"]))?;
        Ok(Lints::read(&messages, &groups))
    }

    /// Reads the JSON messages of clippy and the list of its groups, as `clippy-driver -W help` prints it.
    pub fn read(messages: &str, groups: &str) -> Lints {
        Lints {
            reported: clippy::read(messages).unwrap_or_default().findings,
            groups: groups_in(groups),
        }
    }

    /// Lints reported within these lines of a file.
    fn within(&self, file: &str, lines: &std::ops::Range<usize>) -> BTreeSet<&str> {
        let is_here = |found: &&Reported| found.file.ends_with(file) && lines.contains(&found.line);
        self.reported.iter().filter(is_here).map(|found| found.lint.as_str()).collect()
    }

    fn is_in(&self, lint: &str, group: &str) -> bool {
        self.groups.get(group).is_some_and(|lints| lints.contains(lint))
    }
}

fn output_of(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let install = "install it with `rustup component add clippy`";
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {name} ({error}): {install}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().last().unwrap_or("no message").trim();
        return Err(format!("clippy failed ({last}): run `cargo clippy`, or {install}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads "clippy::perf  clippy::box-collection, clippy::…" lines.
fn groups_in(help: &str) -> BTreeMap<String, BTreeSet<String>> {
    let named = |name: &str| name.trim().trim_end_matches(',').replace('-', "_");
    let group = |line: &str| {
        let (group, lints) = line.trim().split_once("  ")?;
        let is_list = group.starts_with("clippy::") && lints.contains("clippy::");
        is_list.then(|| (named(group), lints.split(", ").map(named).collect()))
    };
    help.lines().filter_map(group).collect()
}

/// Lints of the restriction group that judge style, or forbid whatever may panic, whatever the code does.
const STYLE: &[&str] = &[
    "clippy::arithmetic_side_effects",
    "clippy::expect_used",
    "clippy::indexing_slicing",
    "clippy::unwrap_used",
    "clippy::arbitrary_source_item_ordering",
    "clippy::absolute_paths",
    "clippy::implicit_return",
    "clippy::min_ident_chars",
    "clippy::missing_docs_in_private_items",
    "clippy::missing_inline_in_public_items",
    "clippy::missing_trait_methods",
    "clippy::pattern_type_mismatch",
    "clippy::question_mark_used",
    "clippy::semicolon_outside_block",
    "clippy::separated_literal_suffix",
    "clippy::shadow_reuse",
    "clippy::shadow_same",
    "clippy::shadow_unrelated",
    "clippy::single_call_fn",
    "clippy::single_char_lifetime_names",
    "clippy::std_instead_of_alloc",
    "clippy::std_instead_of_core",
    "clippy::unseparated_literal_suffix",
];

/// Problems of the lint on the card.
pub fn find(entry: &Entry, lints: &Result<Lints, String>) -> Findings {
    let lints = lints.as_ref().map_err(Clone::clone)?;
    let file = format!("src/{}.rs", entry.id);
    let lines = |side| report::lines_of(entry.source, side);
    let (Some(naive), Some(optimized)) = (lines("naive"), lines("optimized")) else {
        return Ok(vec!["its file lacks a function `naive` or `optimized`".to_owned()]);
    };
    let (name, group) = match entry.review.lint {
        Lint::None => {
            let on_optimized = lints.within(&file, &optimized);
            let only_naive = lints.within(&file, &naive);
            let finding = only_naive.into_iter().filter(|lint| {
                lint.starts_with("clippy::")
                    && !on_optimized.contains(lint)
                    && !STYLE.contains(lint)
            });
            return Ok(finding
                .map(|lint| {
                    format!("`{lint}` reports the naive side alone, and the card names no lint")
                })
                .collect());
        }
        Lint::Default(name) => (name, "clippy::all"),
        Lint::Switched(name, group) => (name, group),
    };
    let mut problems = Vec::new();
    let text: Vec<&str> = entry.source.lines().collect();
    let of_naive = text[naive.start - 1..naive.end - 1].join("\n");
    if !of_naive.contains("#[expect(") || !of_naive.contains(name) {
        problems.push(format!("the naive side lacks `#[expect({name}, reason = \"…\")]`"));
    }
    if lints.within(&file, &naive).contains(UNFULFILLED) {
        problems.push(format!("clippy does not report `{name}` on the naive side"));
    }
    if !lints.is_in(name, group) {
        problems.push(format!("`{name}` is not in the group `{group}`"));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_and_groups_are_read() {
        let messages = r#"{"reason":"compiler-message","message":{"code":{"code":"clippy::map_entry"},"spans":[{"file_name":"src/a/b.rs","line_start":7,"is_primary":true},{"file_name":"src/a/b.rs","line_start":9,"is_primary":false}]}}
{"reason":"compiler-artifact"}
{"reason":"compiler-message","message":{"code":null,"spans":[]}}"#;
        let groups =
            "  clippy::perf  clippy::box-collection, clippy::map-entry\n clippy::x  allow  text";
        let lints = Lints::read(messages, groups);
        assert_eq!(lints.within("src/a/b.rs", &(5..8)), BTreeSet::from(["clippy::map_entry"]));
        assert!(lints.within("src/a/b.rs", &(8..10)).is_empty());
        assert!(lints.within("src/a/c.rs", &(5..8)).is_empty());
        assert!(lints.is_in("clippy::map_entry", "clippy::perf"));
        assert!(!lints.is_in("clippy::map_entry", "clippy::nursery"));
    }
}
