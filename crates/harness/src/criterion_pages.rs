//! Locates criterion's own pages. Only this file knows the layout of `target/criterion`, which
//! criterion does not document.

use std::path::{Path, PathBuf, absolute};

use worthit_pair::{case::CaseKey, paths};

/// Length in bytes at which criterion cuts the names of its folders.
const LONGEST: usize = 64;

/// Criterion's pages of this checkout.
#[derive(Clone, Debug)]
pub struct CriterionPages {
    home: PathBuf,
}

/// Returns criterion's folder: `$CRITERION_HOME`, or else `criterion/` in cargo's target folder.
pub fn home() -> PathBuf {
    let named = paths::from_environment("CRITERION_HOME", Path::new(""));
    named.unwrap_or_else(|| paths::target().join("criterion"))
}

impl CriterionPages {
    /// Pages of this checkout, in [`home`].
    pub fn here() -> CriterionPages {
        CriterionPages { home: home() }
    }

    /// Pages in a folder.
    pub fn in_folder(home: &Path) -> CriterionPages {
        CriterionPages { home: home.to_owned() }
    }

    /// Relative address of the page over all benchmarks, from a file in `folder`; `None` if criterion
    /// has not made the page.
    pub fn index(&self, folder: &Path) -> Option<String> {
        self.address("", folder)
    }

    /// Address of the page of a benchmark group (`queries/n_plus_one/loopback`).
    pub fn of_group(&self, group: &str, folder: &Path) -> Option<String> {
        self.address(&folder_name(group), folder)
    }

    /// Whether criterion has saved the baseline `name` of one side of a case, with this file of it.
    pub fn has_baseline(&self, case: &CaseKey, side: &str, name: &str, file: &str) -> bool {
        let group = self.home.join(folder_name(&case.group()));
        group.join(folder_name(side)).join(case.point.to_string()).join(name).join(file).is_file()
    }

    fn address(&self, name: &str, folder: &Path) -> Option<String> {
        let page = absolute(self.home.join(name).join("report/index.html")).ok()?;
        // `folder` need not exist yet, so it cannot be canonicalized.
        let folder = absolute(folder).ok()?;
        page.is_file().then_some(())?;
        // Up to the common ancestor, then down.
        let shared = folder.ancestors().find(|above| page.starts_with(above))?;
        let ups = folder.strip_prefix(shared).ok()?.components().count();
        let down = page.strip_prefix(shared).ok()?.to_str()?;
        Some("../".repeat(ups) + &escaped(down))
    }
}

/// Escapes a path for an address: only the characters that have a meaning there.
fn escaped(path: &str) -> String {
    path.replace('%', "%25").replace('#', "%23").replace('?', "%3F")
}

/// Folder of a group, named as criterion names it: forbidden characters become `_`, and the name is cut.
fn folder_name(group: &str) -> String {
    let forbidden = ['?', '"', '/', '\\', '*', '<', '>', ':', '|', '^'];
    let mut name = group.replace(forbidden, "_");
    let end = (0..=LONGEST.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name.truncate(end.unwrap_or(0));
    name
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_of_groups_have_safe_names() {
        assert_eq!(folder_name("queries/n_plus_one/rtt=1ms"), "queries_n_plus_one_rtt=1ms");
        assert_eq!(folder_name(&"é".repeat(40)).len(), 64);
    }

    #[test]
    fn only_existing_pages_have_an_address() {
        let root = tempfile::tempdir().unwrap();
        let pages = CriterionPages::in_folder(&root.path().join("target/criterion"));
        let site = root.path().join("reports/pairs/f");
        let made = root.path().join("target/criterion/f_p_50%-zipf/report");
        assert_eq!(pages.of_group("f/p/50%-zipf", &site), None);
        fs::create_dir_all(&made).unwrap();
        fs::write(made.join("index.html"), "").unwrap();
        assert_eq!(
            pages.of_group("f/p/50%-zipf", &site).unwrap(),
            "../../../target/criterion/f_p_50%25-zipf/report/index.html"
        );
        assert_eq!(pages.index(&site), None);
    }
}
