//! Cases that a proof once failed at. They are kept beside the sources, to be committed, and are tried first.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    family::Entry,
    format,
    pair::{Case, Shape},
};

/// The kept cases of one pair.
#[derive(Debug)]
pub struct Regressions(PathBuf);

impl Regressions {
    /// Returns those of the pair `id` of the package in `package`.
    pub fn of(package: &Path, id: &str) -> Regressions {
        Regressions(package.join("regressions").join(format!("{id}.txt")))
    }

    /// Returns the kept cases.
    ///
    /// # Errors
    /// If a line is not a case.
    pub fn read(&self) -> Result<Vec<Case>, String> {
        let Ok(text) = fs::read_to_string(&self.0) else { return Ok(Vec::new()) };
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let case = |(number, line): (usize, &str)| {
            parsed(line).ok_or_else(|| {
                let place = format!("{}:{}", self.0.display(), number + 1);
                format!("{place}: `{line}` is not a case; correct the line or delete it")
            })
        };
        lines.map(case).collect()
    }

    /// Adds a case, unless it is there. Returns a sentence about where it is kept.
    pub fn add(&self, case: &Case) -> String {
        let line = written(case);
        let known = fs::read_to_string(&self.0).unwrap_or_default();
        if known.lines().any(|known| known == line) {
            return format!("It is one of the kept cases in {}.", self.0.display());
        }
        let add = || {
            if let Some(folder) = self.0.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
            writeln!(file, "{line}")
        };
        match add() {
            Ok(()) => format!(
                "The case is kept in {}, and is tried first from now on: commit it with the mend.",
                self.0.display()
            ),
            Err(error) => {
                format!("The case cannot be kept in {} ({error}): {line}", self.0.display())
            }
        }
    }
}

/// Says which case this is, in the words of the pair: "items 37, sorted, seed 42".
pub fn label(entry: &Entry, case: &Case) -> String {
    let axis = format!("{} {}", entry.axis.name, format::count(case.point));
    let level =
        entry.parameter.as_ref().map(|parameter| format!("{} {}", parameter.name, case.level));
    let size = case.proof_size.filter(|size| *size != case.point);
    let size = size.map(|size| format!("size {}", format::count(size)));
    let shape = format!("{:?} input", case.shape);
    let parts = [Some(axis), level, size, Some(shape), Some(format!("seed {}", case.seed))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn written(case: &Case) -> String {
    let Case { point, level, seed, shape, proof_size, turn: _ } = case;
    let size = proof_size.unwrap_or(*point);
    format!("point={point} level={level} shape={shape:?} size={size} seed={seed}")
}

fn parsed(line: &str) -> Option<Case> {
    let mut fields = line.split_whitespace();
    let mut value = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
    let (point, level) = (value("point")?.parse().ok()?, value("level")?.parse().ok()?);
    let name = value("shape")?;
    let shape = Shape::ALL.into_iter().find(|shape| format!("{shape:?}") == name)?;
    let (size, seed) = (value("size")?.parse().ok()?, value("seed")?.parse().ok()?);
    Some(Case { point, level, seed, shape, proof_size: Some(size), turn: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_kept_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let regressions = Regressions::of(folder.path(), "family/pair");
        assert!(regressions.read().unwrap().is_empty());
        let case = Case { proof_size: Some(5), shape: Shape::Sorted, ..Case::realistic(37, 2, 9) };
        assert!(regressions.add(&case).contains("commit it"));
        assert!(regressions.add(&case).contains("one of the kept cases"));
        let read = regressions.read().unwrap();
        assert_eq!(read.iter().map(written).collect::<Vec<_>>(), [written(&case)]);
    }

    #[test]
    fn a_line_that_is_no_case_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let regressions = Regressions::of(folder.path(), "f/p");
        fs::create_dir_all(folder.path().join("regressions/f")).unwrap();
        let good = written(&Case::realistic(1, 0, 2));
        fs::write(&regressions.0, format!("# a comment\n\n{good}\npoint=x")).unwrap();
        let problem = regressions.read().unwrap_err();
        assert!(problem.contains("f/p.txt:4: `point=x` is not a case"), "{problem}");
    }
}
