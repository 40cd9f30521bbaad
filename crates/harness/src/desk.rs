//! The figures on a reviewer's desk: of each pair, the newest at hand.
//!
//! They come from the runs of this machine, else from a committed reference, and always say which. A full run is preferred to
//! a quick one, and this machine to any other.

mod index;

pub mod amdahl;
pub mod citation;
pub mod expiry;
pub mod forge;
pub mod profile;
pub mod sarif;
pub mod sweep_point;
pub mod worth;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    machine::Machine,
    reference,
    result_file::ResultError,
    results::{PairResult, Run},
};
use index::{Index, Key};
use worthit_pair::{
    family::{Entry, Family},
    paths,
};

/// Finds the newest figures of pairs. Reads each result at most once.
#[derive(Debug)]
pub struct Desk {
    /// Key of this machine.
    machine: String,
    runs: PathBuf,
    index: Index,
    references: Vec<Reference>,
    /// Whether one pair is asked for: then nothing else is read of a result, and nothing kept.
    is_for_one_pair: bool,
    read: RefCell<BTreeMap<PathBuf, Arc<Run>>>,
}

/// A committed reference.
#[derive(Debug)]
struct Reference {
    path: PathBuf,
    text: Vec<u8>,
    /// Whether it is one of this machine.
    is_own: bool,
}

/// The figures of one pair, and where they are from.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The run that found them.
    pub run: Arc<Run>,
    /// Id of the pair in it.
    id: &'static str,
    /// Where they are from.
    pub source: Source,
}

/// Where figures are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A run on this machine.
    Run,
    /// A committed reference of this machine.
    OwnReference,
    /// A committed reference of another machine.
    OtherReference,
}

impl Desk {
    /// Lays out the runs of this machine, and the references that are committed with `catalogue`.
    ///
    /// # Errors
    /// If a reference cannot be read.
    pub fn open(catalogue: &[&'static Family]) -> Result<Desk, ResultError> {
        let folder = catalogue.first().map_or("", |family| family.folder);
        Desk::of(Machine::current().key, &paths::home(), &Path::new(folder).join("reports"))
    }

    fn of(machine: String, home: &Path, reports: &Path) -> Result<Desk, ResultError> {
        let runs = home.join("runs");
        let index = Index::of(&runs, &home.join("index.json"));
        let mut references = Vec::new();
        for path in reference::files(reports) {
            let text =
                fs::read(&path).map_err(|error| ResultError::Read { path: path.clone(), error })?;
            // Its folder is named after its machine key.
            let is_own = path.parent().is_some_and(|folder| folder.ends_with(&machine));
            references.push(Reference { path, text, is_own });
        }
        let is_for_one_pair = false;
        Ok(Desk { machine, runs, index, references, is_for_one_pair, read: RefCell::default() })
    }

    /// Returns the newest figures of one pair alone, as [`Desk::figures`] does.
    ///
    /// # Errors
    /// If a result that has it cannot be read.
    pub fn figures_of(
        family: &'static Family,
        entry: &'static Entry,
    ) -> Result<Option<Figures>, ResultError> {
        let desk = Desk { is_for_one_pair: true, ..Desk::open(&[family])? };
        desk.figures(family.package, entry)
    }

    /// Returns the newest figures of a pair, under its id or else one that it had; `None` if nobody has measured it.
    ///
    /// # Errors
    /// If a result that has it cannot be read.
    pub fn figures(
        &self,
        package: &str,
        entry: &'static Entry,
    ) -> Result<Option<Figures>, ResultError> {
        for id in [&[entry.id], entry.earlier_ids].concat() {
            if let Some(figures) = self.figures_under(package, id)? {
                return Ok(Some(figures));
            }
        }
        Ok(None)
    }

    fn figures_under(
        &self,
        package: &str,
        id: &'static str,
    ) -> Result<Option<Figures>, ResultError> {
        let found = |run, source| Some(Figures { run, id, source });
        let of_run = |is_quick| self.newest_run(package, id, is_quick);
        match (of_run(false)?, self.newest_reference(id, true)?) {
            (Some(run), Some(own)) if run.started < own.started => {
                return Ok(found(own, Source::OwnReference));
            }
            (Some(run), _) => return Ok(found(run, Source::Run)),
            (None, Some(own)) => return Ok(found(own, Source::OwnReference)),
            (None, None) => {}
        }
        if let Some(run) = of_run(true)? {
            return Ok(found(run, Source::Run));
        }
        let other = self.newest_reference(id, false)?;
        Ok(other.and_then(|run| found(run, Source::OtherReference)))
    }

    fn newest_run(
        &self,
        package: &str,
        id: &str,
        is_quick: bool,
    ) -> Result<Option<Arc<Run>>, ResultError> {
        let (machine, package, pair) = (self.machine.clone(), package.to_owned(), id.to_owned());
        let newest = self.index.newest(&Key { machine, package, pair, is_quick });
        let load = |file: &str| {
            self.load(&self.runs.join(file), id, |path| {
                fs::read(path).map_err(|error| ResultError::Read { path: path.to_owned(), error })
            })
        };
        newest.map(load).transpose()
    }

    /// Returns the newest reference that has measured a pair, of this machine or of another.
    fn newest_reference(&self, id: &str, is_own: bool) -> Result<Option<Arc<Run>>, ResultError> {
        let quoted = format!("\"{id}\"");
        let mut newest: Option<Arc<Run>> = None;
        for reference in self.references.iter().filter(|reference| reference.is_own == is_own) {
            let Reference { path, text, .. } = reference;
            // To read a reference takes longer than to see that it lacks the pair.
            let is_read = self.read.borrow().contains_key(path);
            if !is_read && memchr::memmem::find(text, quoted.as_bytes()).is_none() {
                continue;
            }
            let run = self.load(path, id, |_| Ok(text))?;
            let is_newer = newest.as_ref().is_none_or(|newest| newest.started < run.started);
            if is_newer && run.pairs.get(id).is_some_and(has_measured) {
                newest = Some(run);
            }
        }
        Ok(newest)
    }

    fn load<T: AsRef<[u8]>>(
        &self,
        path: &Path,
        id: &str,
        text: impl FnOnce(&Path) -> Result<T, ResultError>,
    ) -> Result<Arc<Run>, ResultError> {
        if self.is_for_one_pair {
            return Ok(Arc::new(Run::parse_pair(text(path)?.as_ref(), path, id)?));
        }
        if let Some(run) = self.read.borrow().get(path) {
            return Ok(Arc::clone(run));
        }
        let run = Arc::new(Run::parse(text(path)?.as_ref(), path)?);
        self.read.borrow_mut().insert(path.to_owned(), Arc::clone(&run));
        Ok(run)
    }
}

/// Reads what came to the folder of runs, so that no command has to.
pub fn remember_runs() {
    let home = paths::home();
    Index::of(&home.join("runs"), &home.join("index.json"));
}

/// Returns whether any case of a pair was measured.
fn has_measured(pair: &PairResult) -> bool {
    pair.sweeps.iter().flat_map(|sweep| &sweep.cases).any(|case| case.measured().is_some())
}

impl Figures {
    /// Returns the result of the pair.
    pub fn pair(&self) -> &PairResult {
        &self.run.pairs[self.id]
    }

    /// Says where the figures are from: "a run on this machine, 2026-11-29".
    pub fn source_in_words(&self) -> String {
        let run = &self.run;
        let day = run.started.strftime("%Y-%m-%d");
        let quick = if run.quick { "quick " } else { "" };
        match self.source {
            Source::Run => format!("a {quick}run on this machine, {day}"),
            Source::OwnReference => format!("the committed reference of this machine, {day}"),
            Source::OtherReference => format!(
                "the committed reference of another machine ({}, {day}), as this one has none",
                run.machine.key
            ),
        }
    }
}

#[cfg(test)]
mod tests;
