//! The pages: a static site made from a run, that opens from disk.

use std::path::{Path, PathBuf};

use askama::Template;

use crate::{
    family::Family,
    places,
    results::{ResultError, Run, write_atomically},
    table::{self, Row},
};

#[derive(Template)]
#[template(path = "index.html")]
struct Index<'a> {
    run: &'a Run,
    provenance: String,
    criterion: String,
    families: Vec<Chapter>,
}

struct Chapter {
    name: String,
    title: String,
    rows: Vec<Row>,
}

/// Writes the pages of `run` into `folder` and returns the front page. Every pair of `families` is
/// a row, measured or not; so is every other pair of the run.
///
/// # Errors
/// If a page cannot be written.
pub fn write(run: &Run, families: &[&Family], folder: &Path) -> Result<PathBuf, ResultError> {
    let page = folder.join("index.html");
    let failed = |error| ResultError::Write { path: page.clone(), error };
    let text = front_page(run, families, &criterions_pages(folder));
    write_atomically(&page, text.as_bytes()).map_err(failed)?;
    Ok(page)
}

/// Address of criterion's own pages, as seen from `folder`.
fn criterions_pages(folder: &Path) -> String {
    let home = std::env::var_os("CRITERION_HOME")
        .map_or_else(|| places::target().join("criterion"), PathBuf::from);
    let page = home.join("report/index.html");
    let here = folder.canonicalize().ok().and_then(|folder| folder.parent().map(Path::to_owned));
    match here.as_ref().and_then(|here| page.strip_prefix(here).ok()) {
        Some(inside) => format!("../{}", inside.display()),
        None if page.is_absolute() => format!("file://{}", page.display()),
        None => format!("../{}", page.display()),
    }
}

fn front_page(run: &Run, families: &[&Family], criterion: &str) -> String {
    let known =
        |id: &str| families.iter().flat_map(|family| family.pairs).any(|entry| entry.id == id);
    let mut chapters: Vec<Chapter> = families
        .iter()
        .map(|family| Chapter {
            name: family.name.to_owned(),
            title: family.title.to_owned(),
            rows: family.pairs.iter().flat_map(|entry| table::rows_of(run, entry.id)).collect(),
        })
        .collect();
    let others: Vec<&String> = run.pairs.keys().filter(|id| !known(id)).collect();
    if !others.is_empty() {
        chapters.push(Chapter {
            name: "others".to_owned(),
            title: "pairs that this build does not list".to_owned(),
            rows: others.iter().flat_map(|id| table::rows_of(run, id)).collect(),
        });
    }
    let index = Index {
        run,
        provenance: table::provenance(run),
        criterion: criterion.to_owned(),
        families: chapters,
    };
    index.render().expect("rendering into memory cannot fail")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        machine::Machine,
        results::{CaseResult, Outcome, PairResult, Revision},
    };

    fn run() -> Run {
        let revision = Revision { commit: None, dirty: false };
        Run::new("key", Timestamp::UNIX_EPOCH, true, 42, Machine::current(), revision)
    }

    #[test]
    fn text_from_results_is_escaped_and_pairs_unknown_here_are_rows() {
        let mut run = run();
        run.machine.cpu = "<script>alert(1)</script>".to_owned();
        let pair = PairResult {
            title: "t".to_owned(),
            metric: crate::pair::Metric::Time,
            unit: "u".to_owned(),
            axis: "a".to_owned(),
            axis_unit: "b".to_owned(),
            parameter: None,
            causes: vec![],
            sweeps: vec![],
        };
        let reason = "no \"server\" <here>".to_owned();
        let case = CaseResult { point: 1, outcome: Outcome::Unavailable { reason } };
        run.add("own/<b>", &pair, "", &[], case);
        let page = front_page(&run, &[], "../criterion");
        assert!(!page.contains("<script>") && page.contains("alert(1)"), "{page}");
        assert!(!page.contains("<b>") && !page.contains("<here>"), "{page}");
        assert!(page.contains("not measured: no "), "{page}");
    }

    #[cfg(feature = "catalogue")]
    #[test]
    fn a_pair_that_was_not_measured_is_a_row() {
        let page = front_page(&run(), &crate::CATALOGUE, "../criterion");
        for entry in crate::CATALOGUE.iter().flat_map(|family| family.pairs) {
            assert!(page.contains(entry.id), "{}", entry.id);
        }
        assert!(page.contains("not in this run"));
    }
}
