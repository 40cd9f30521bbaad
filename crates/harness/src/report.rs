//! The report: a static site of one run, which opens from disk and can be published unchanged.
//!
//! [`pages`] is a pure function of its material, except that it looks up which pages criterion has
//! made. [`write()`] writes the pages into a folder and removes those of an earlier site that this
//! one lacks.

mod causes;
mod charts;
mod code;
mod comparison;
mod figures;
mod finding;
mod front;
mod gate;
mod machine;
mod pair;
mod plans;
mod portability;
mod prose;
mod scaling;
mod shell;
mod study;
mod sweep;
mod trends;
mod under_load;
mod warnings;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use crate::{
    criterion_pages::CriterionPages,
    history::TrendLine,
    result_file::ResultError,
    results::Run,
    samples::{self, Sample},
};
use worthit_pair::{
    family::{Entry, Family},
    study::StudyEntry,
};

pub use code::{lines_of, of_side as code_of_side};
pub(crate) use finding::{because, compared, gain, headline};
pub use finding::{
    beside_at_headline, gain_at_headline, headline_of_pair, is_usable, share_of_limit,
    speaking_case,
};
pub use gate::Last;
pub(crate) use warnings::of_pair as warnings_of_pair;

/// File that lists the files of a site, so that the next write knows which files it may remove.
const MANIFEST: &str = "site.txt";

/// Input of a site.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The run.
    pub run: &'a Run,
    /// The raw samples that were kept.
    pub samples: &'a [Sample],
    /// Another run to compare it with.
    pub other: Option<&'a Run>,
    /// The committed references, which other machines may have made.
    pub references: &'a [Run],
    /// The gate's last verdicts and self-test, if there are any.
    pub gate: Option<&'a Last>,
    /// The lines of a history, if the site shows trends.
    pub trends: Option<&'a [TrendLine]>,
    /// The pairs of this build; each gets a row, measured or not.
    pub families: &'a [&'a Family],
    /// Criterion's own pages, if the site links to them.
    pub criterion: Option<&'a CriterionPages>,
    /// Folder of the site.
    pub folder: &'a Path,
}

impl<'a> Material<'a> {
    /// Material of a run alone.
    pub fn of(run: &'a Run, folder: &'a Path) -> Material<'a> {
        Material {
            run,
            samples: &[],
            other: None,
            references: &[],
            gate: None,
            trends: None,
            families: &[],
            criterion: None,
            folder,
        }
    }
}

impl Material<'_> {
    /// Ids and titles of all pairs: those of this build in its order, then the others in the run.
    fn pairs(&self) -> Vec<(String, String)> {
        let known = self.families.iter().flat_map(|family| family.pairs);
        let known: Vec<_> =
            known.map(|entry| (entry.id.to_owned(), entry.title.to_owned())).collect();
        let others = self.run.pairs.iter().filter(|(id, _)| self.entry(id).is_none());
        let others: Vec<_> = others.map(|(id, pair)| (id.clone(), pair.title.clone())).collect();
        known.into_iter().chain(others).collect()
    }

    /// Ids and titles of all studies: those of this build in its order, then the others in the run.
    fn studies(&self) -> Vec<(String, String)> {
        let known = self.families.iter().flat_map(|family| family.studies);
        let known: Vec<_> =
            known.map(|entry| (entry.id.to_owned(), entry.title.to_owned())).collect();
        let others = self.run.studies.iter().filter(|(id, _)| self.study(id).is_none());
        let others: Vec<_> = others.map(|(id, study)| (id.clone(), study.title.clone())).collect();
        known.into_iter().chain(others).collect()
    }

    /// Whether there are figures of a machine for the page that lays those of several side by side.
    fn has_portability(&self) -> bool {
        crate::portability::has_figures(self.run, self.references)
    }

    /// The study of this build with this id.
    fn study(&self, id: &str) -> Option<&'static StudyEntry> {
        self.families.iter().flat_map(|family| family.studies).find(|entry| entry.id == id)
    }

    /// The pair of this build with this id.
    fn entry(&self, id: &str) -> Option<&Entry> {
        self.families.iter().flat_map(|family| family.pairs).find(|entry| entry.id == id)
    }
}

/// Returns the files of a site by path.
pub fn pages(material: &Material<'_>) -> BTreeMap<String, Vec<u8>> {
    let pairs = material.pairs();
    let page_of_pair = |index: usize| {
        let (id, _) = &pairs[index];
        let id_at = |index: usize| pairs.get(index).map(|(id, _)| id.as_str());
        let neighbours = [index.checked_sub(1).and_then(id_at), id_at(index + 1)];
        (shell::page_of(id), pair::page(material, id, neighbours).into_bytes())
    };
    let mut files: BTreeMap<String, Vec<u8>> =
        (0..pairs.len()).into_par_iter().map(page_of_pair).collect();
    for (id, _) in material.studies() {
        files.insert(shell::page_of_study(&id), study::page(material, &id).into_bytes());
    }
    let mut by_pair: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
    for sample in material.samples.iter().filter(|s| material.run.pairs.contains_key(&s.pair)) {
        by_pair.entry(&sample.pair).or_default().push(sample.clone());
    }
    for (id, samples) in by_pair {
        files.insert(shell::samples_of(id), samples::to_csv(&samples, true));
    }
    for entry in material.families.iter().flat_map(|family| family.pairs) {
        for earlier in entry.earlier_ids {
            files.insert(shell::page_of(earlier), shell::redirect(earlier, entry.id).into_bytes());
        }
    }
    files.insert("index.html".to_owned(), front::page(material).into_bytes());
    files.insert("scaling.html".to_owned(), scaling::page(material).into_bytes());
    files.insert("machine.html".to_owned(), machine::page(material).into_bytes());
    if material.has_portability() {
        files.insert("portability.html".to_owned(), portability::page(material).into_bytes());
    }
    if let Some(last) = material.gate {
        files.insert("gate.html".to_owned(), gate::page(material, last).into_bytes());
    }
    if let Some(lines) = material.trends {
        files.insert("trends.html".to_owned(), trends::page(material, lines).into_bytes());
    }
    if let Some(other) = material.other {
        files.insert("compare.html".to_owned(), comparison::page(material, other).into_bytes());
    }
    files
}

/// Writes the site into its folder and returns the front page.
///
/// # Errors
/// If a file cannot be written.
pub fn write(material: &Material<'_>) -> Result<PathBuf, ResultError> {
    let folder = material.folder;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| ResultError::Write { path, error }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let files = pages(material);
    let earlier = fs::read_to_string(folder.join(MANIFEST)).unwrap_or_default();
    // Write the manifest first: if we stop halfway, the next write still knows which files are ours.
    let mut names: BTreeSet<&str> = earlier.lines().collect();
    names.extend(files.keys().map(String::as_str));
    let manifest = folder.join(MANIFEST);
    replace(&manifest, lines(&names).as_bytes()).map_err(failed(&manifest))?;
    for (name, bytes) in &files {
        let path = folder.join(name);
        replace(&path, bytes).map_err(failed(&path))?;
    }
    for name in earlier.lines().filter(|name| !files.contains_key(*name) && is_inside(name)) {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&folder.join(name))(error));
            }
            _ => {}
        }
    }
    let names: BTreeSet<&str> = files.keys().map(String::as_str).collect();
    replace(&manifest, lines(&names).as_bytes()).map_err(failed(&manifest))?;
    Ok(folder.join("index.html"))
}

fn lines(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}

/// Whether a site may have a file of this name: a relative path to a page or CSV file.
fn is_inside(name: &str) -> bool {
    let is_page = name.ends_with(".html") || name.ends_with(".csv");
    let is_plain = |part: &str| !part.is_empty() && part != ".." && part != ".";
    is_page && name.split('/').all(is_plain)
}

/// Replaces a file atomically. It skips fsync: the site can be generated again after a crash.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temp = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut temp, bytes)?;
    // Temporary files are private to their owner; everybody may read a report.
    fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    temp.persist(path)?;
    Ok(())
}
