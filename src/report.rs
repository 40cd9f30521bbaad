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

/// Writes the pages of `run` into `folder` and returns the front page.
///
/// # Errors
/// If a page cannot be written.
pub fn write(run: &Run, folder: &Path) -> Result<PathBuf, ResultError> {
    let page = folder.join("index.html");
    let failed = |error| ResultError::Write { path: page.clone(), error };
    let text = front_page(run, &families(), &criterions_pages(folder));
    write_atomically(&page, text.as_bytes()).map_err(failed)?;
    Ok(page)
}

/// The families whose pairs may be in a run.
fn families() -> Vec<&'static Family> {
    #[cfg(feature = "catalogue")]
    let families = crate::CATALOGUE.to_vec();
    #[cfg(not(feature = "catalogue"))]
    let families = Vec::new();
    families
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
    let chapter = |family: &&Family| Chapter {
        name: family.name.to_owned(),
        title: family.title.to_owned(),
        rows: family.pairs.iter().flat_map(|entry| table::rows_of(run, entry)).collect(),
    };
    let index = Index {
        run,
        provenance: table::provenance(run),
        criterion: criterion.to_owned(),
        families: families.iter().map(chapter).collect(),
    };
    index.render().expect("rendering into memory cannot fail")
}
