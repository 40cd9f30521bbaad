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
    cmp::Reverse,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    machine::Machine,
    reference,
    report::speaking_case,
    result_file::ResultError,
    results::{PairResult, Run},
    run_verdict::why_not_measured,
};
use index::{Index, Key, Kind};
use sweep_point::Asked;
use worthit_pair::{
    cases,
    family::{Entry, Family},
    paths,
};

/// Finds the newest figures of pairs. Reads each result at most once.
#[derive(Debug)]
pub struct Desk {
    /// Key of this machine.
    machine: String,
    /// Folder of its runs.
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

    /// Returns figures of one pair alone, as [`Desk::figures`] does: the best that say something of the point that is asked for,
    /// else the best of all.
    ///
    /// # Errors
    /// If a result that has it cannot be read.
    pub fn figures_at(
        family: &'static Family,
        entry: &'static Entry,
        asked: &Asked,
    ) -> Result<Option<Figures>, ResultError> {
        let desk = Desk { is_for_one_pair: true, ..Desk::open(&[family])? };
        let is_known = |figures: &Figures| {
            sweep_point::find(figures.pair(), asked, entry.axis.is_size).is_ok()
        };
        let best = desk.best(family.package, entry, is_known)?;
        if asked.size.is_none() {
            return Ok(best);
        }
        // A run that was filtered may have this size, and not the headline.
        let run = desk.newest_run(family.package, entry.id, Kind::Silent, None)?;
        let filtered = run.map(|run| Figures { run, id: entry.id, source: Source::Run });
        Ok(match (best, filtered.filter(is_known)) {
            (Some(best), Some(filtered))
                if is_known(&best)
                    && best.source != Source::OtherReference
                    && best.run.started > filtered.run.started =>
            {
                Some(best)
            }
            (best, filtered) => filtered.or(best),
        })
    }

    /// Returns the best figures of a pair, under its id or one that it had: the newest of this machine, of a full run before
    /// those of a quick one, else the newest of another machine. `None` if nobody has measured its headline undisturbed.
    ///
    /// # Errors
    /// If a result that has it cannot be read.
    pub fn figures(
        &self,
        package: &str,
        entry: &'static Entry,
    ) -> Result<Option<Figures>, ResultError> {
        self.best(package, entry, |_| true)
    }

    /// Returns the best figures that are wanted, else the best of all.
    fn best(
        &self,
        package: &str,
        entry: &'static Entry,
        is_wanted: impl Fn(&Figures) -> bool,
    ) -> Result<Option<Figures>, ResultError> {
        let ids = [&[entry.id], entry.earlier_ids].concat();
        // A run with `--threads` does not speak for all cores of this machine.
        let headline = cases::headline(entry, 0).key;
        let place = entry.uses_threads().then_some((headline.level, headline.point));
        let mut best = None;
        for sources in [
            &[(Source::Run, Kind::Full), (Source::OwnReference, Kind::Full)][..],
            &[(Source::Run, Kind::Quick)],
            &[(Source::OtherReference, Kind::Full)],
        ] {
            let mut found = Vec::new();
            for (source, kind) in sources {
                for id in ids.iter().copied() {
                    let run = match source {
                        Source::Run => self.newest_run(package, id, *kind, place.clone())?,
                        Source::OwnReference => self.newest_reference(id, true)?,
                        Source::OtherReference => self.newest_reference(id, false)?,
                    };
                    found.extend(run.map(|run| Figures { run, id, source: *source }));
                }
            }
            found.sort_by_key(|figures| Reverse(figures.run.started));
            for figures in found {
                if is_wanted(&figures) {
                    return Ok(Some(figures));
                }
                best.get_or_insert(figures);
            }
        }
        Ok(best)
    }

    /// Returns why nobody's figures of a pair can be used, if somebody tried to measure it here: "the run of 2026-11-29 did not:
    /// no GPU was found".
    ///
    /// # Errors
    /// If a result that has it cannot be read.
    pub fn why_silent(
        family: &'static Family,
        entry: &'static Entry,
    ) -> Result<Option<String>, ResultError> {
        let desk = Desk { is_for_one_pair: true, ..Desk::open(&[family])? };
        let run = desk.newest_run(family.package, entry.id, Kind::Silent, None)?;
        Ok(run.and_then(|run| {
            let reason = why_not_measured(run.pairs.get(entry.id)?);
            Some(format!("the run of {} did not: {reason}", run.started.strftime("%Y-%m-%d")))
        }))
    }

    fn newest_run(
        &self,
        package: &str,
        id: &str,
        kind: Kind,
        headline: Option<(String, u64)>,
    ) -> Result<Option<Arc<Run>>, ResultError> {
        let (machine, package, pair) = (self.machine.clone(), package.to_owned(), id.to_owned());
        let Some(file) = self.index.newest(&Key { machine, package, pair, kind, headline }) else {
            return Ok(None);
        };
        let run = self.load(&self.runs.join(file), id, |path| {
            fs::read(path).map_err(|error| ResultError::Read { path: path.to_owned(), error })
        })?;
        // The index is only a memory.
        let is_so = run.pairs.get(id).is_some_and(|pair| Kind::of(pair, run.quick) == kind);
        Ok(Some(run).filter(|_| is_so))
    }

    /// Returns the newest reference that speaks for a pair, of this machine or of another.
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
            if is_newer && run.pairs.get(id).is_some_and(|pair| speaking_case(pair).is_some()) {
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

impl Figures {
    /// Returns the id of the pair in the run, which may be an earlier one.
    pub fn id(&self) -> &'static str {
        self.id
    }

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
                "the committed reference of another machine ({}, {day}), as none of this one says it",
                run.machine.key
            ),
        }
    }
}

#[cfg(test)]
mod tests;
