//! Which run measured a pair last.
//!
//! A folder may hold a thousand results of a megabyte each. The index remembers what they hold, so that a command reads one of
//! them. It is only a memory: a result that came, went or changed is read again, and an index that is lost or broken is made
//! anew.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    report::speaking_case,
    results::{PairResult, Run},
};

/// Raised when an index of before would be misread, or says what is not asked any more.
const VERSION: u32 = 3;

/// What an index remembers of a folder of runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    version: u32,
    /// The results that were read, by their file names.
    files: BTreeMap<String, Stamp>,
    /// The newest result of each kind. (JSON has no maps with such keys.)
    newest: Vec<(Key, String)>,
}

/// What a result is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) machine: String,
    pub(super) package: String,
    pub(super) pair: String,
    pub(super) kind: Kind,
    /// Level and point of its headline; `None` where it is silent, and in results of older versions.
    pub(super) headline: Option<(String, u64)>,
}

impl Key {
    /// All but the headline.
    fn about(&self) -> (&str, &str, &str, Kind) {
        (&self.machine, &self.package, &self.pair, self.kind)
    }
}

/// What a result has of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Its headline, measured in a run that was not quick.
    Full,
    /// Its headline, measured in a quick run.
    Quick,
    /// Other cases, or reasons why it was not measured.
    Silent,
}

impl Kind {
    pub(super) fn of(pair: &PairResult, is_quick: bool) -> Kind {
        match (speaking_case(pair), is_quick) {
            (None, _) => Kind::Silent,
            (Some(_), true) => Kind::Quick,
            (Some(_), false) => Kind::Full,
        }
    }
}

/// What tells whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified_ns: u128,
}

impl Default for Index {
    fn default() -> Index {
        Index { version: VERSION, files: BTreeMap::new(), newest: Vec::new() }
    }
}

impl Index {
    /// Returns the index of the folder `runs`, remembered in `file`. Where that cannot be written, the next command reads
    /// the results again.
    pub(super) fn of(runs: &Path, file: &Path) -> Index {
        let remembered = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let is_ours = |index: &Index| index.version == VERSION;
        let mut index: Index = remembered.filter(is_ours).unwrap_or_default();
        if index.update(runs) {
            // Only what is complete is remembered.
            let _ = index.save(file);
        }
        index
    }

    /// Returns the file name of the newest result of this kind; with any headline, if the one of `wanted` is `None`.
    pub(super) fn newest(&self, wanted: &Key) -> Option<&str> {
        let is_wanted = |key: &Key| {
            let is_any = wanted.headline.is_none() || key.headline.is_none();
            key.about() == wanted.about() && (is_any || key.headline == wanted.headline)
        };
        let files = self.newest.iter().filter(|(key, _)| is_wanted(key));
        files.map(|(_, file)| file.as_str()).max()
    }

    /// Reads what came or changed since; returns whether anything did.
    fn update(&mut self, runs: &Path) -> bool {
        let mut present = results_in(runs);
        if self.files == present {
            return false;
        }
        let read = |files: Vec<&String>| -> BTreeMap<String, Option<Vec<Key>>> {
            let read = files.into_par_iter().map(|file| (file.clone(), keys_in(&runs.join(file))));
            read.collect()
        };
        let is_new = |(file, stamp): &(&String, &Stamp)| self.files.get(*file) != Some(*stamp);
        let mut held = read(present.iter().filter(is_new).map(|(file, _)| file).collect());
        let before = self.clone();
        // A run that is going on has ever more, so what it had stays true, except that it lacks a pair's headline.
        let is_kept = |(key, file): &(Key, String)| match held.get(file) {
            Some(keys) => keys.as_ref().is_some_and(|keys| keys.contains(key)),
            None => present.contains_key(file),
        };
        let (kept, lost): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.newest).into_iter().partition(is_kept);
        let mut newest: BTreeMap<Key, String> = kept.into_iter().collect();
        if lost.iter().any(|(key, file)| key.kind != Kind::Silent || !present.contains_key(file)) {
            // Which result was the newest before is not remembered.
            newest.clear();
            held = read(present.keys().collect());
        }
        for (file, keys) in held {
            // What could not be read may be readable later.
            let Some(keys) = keys else {
                present.remove(&file);
                continue;
            };
            for key in keys {
                // File names sort by start time.
                let known = newest.entry(key).or_default();
                if file > *known {
                    known.clone_from(&file);
                }
            }
        }
        (self.files, self.newest) = (present, newest.into_iter().collect());
        *self != before
    }

    fn save(&self, file: &Path) -> io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut written = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(io::BufWriter::new(&mut written), self)?;
        written.persist(file)?;
        Ok(())
    }
}

/// What a result has; `None` if it cannot be read, which is an error only to who asks for that result.
fn keys_in(path: &Path) -> Option<Vec<Key>> {
    let run = Run::load(path).ok()?;
    let key = |(id, pair): (&String, &PairResult)| {
        let kind = Kind::of(pair, run.quick);
        let headline = pair.headline.as_ref().filter(|_| kind != Kind::Silent);
        Key {
            machine: run.machine.key.clone(),
            package: run.package.clone().unwrap_or_default(),
            pair: id.clone(),
            kind,
            headline: headline.map(|place| (place.level.clone(), place.point)),
        }
    };
    Some(run.pairs.iter().map(key).collect())
}

fn results_in(runs: &Path) -> BTreeMap<String, Stamp> {
    let files = fs::read_dir(runs).into_iter().flatten().flatten();
    let stamped = files.filter_map(|file| {
        let path = PathBuf::from(file.file_name());
        path.extension().filter(|end| *end == "jsonl" || *end == "json")?;
        let about = file.metadata().ok()?;
        let modified = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let stamp = Stamp { bytes: about.len(), modified_ns: modified.as_nanos() };
        Some((path.into_os_string().into_string().ok()?, stamp))
    });
    stamped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{desk::tests::run_of, made};

    fn key(pair: &str, kind: Kind) -> Key {
        let (machine, package) = ("made-linux1".to_owned(), "made".to_owned());
        Key { machine, package, pair: pair.to_owned(), kind, headline: None }
    }

    #[test]
    fn the_newest_result_of_each_kind_is_remembered_until_the_folder_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, file) = (folder.path().join("runs"), folder.path().join("index.json"));
        assert_eq!(Index::of(&runs, &file), Index::default(), "there is no folder");
        fs::create_dir(&runs).unwrap();
        let save = |name: &str, pairs: &[&str], quick| {
            run_of(pairs, quick).save(&runs.join(name)).unwrap();
        };
        save("1.jsonl", &["f/p", "f/q"], false);
        save("2.jsonl", &["f/p"], false);
        save("3.jsonl", &["f/p"], true);
        fs::write(runs.join("4.jsonl"), "broken").unwrap();
        fs::write(runs.join("5.csv"), "samples").unwrap();
        let newest = |key| Index::of(&runs, &file).newest(&key).map(str::to_owned);
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(newest(key("f/p", Kind::Full)), named("2.jsonl"));
        assert_eq!(newest(key("f/q", Kind::Full)), named("1.jsonl"));
        assert_eq!(newest(key("f/p", Kind::Quick)), named("3.jsonl"));
        assert_eq!(newest(key("f/q", Kind::Quick)), None);

        let mut remembered: Index = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert!(!remembered.update(&runs), "nothing is new");
        // What could not be read is looked at again.
        save("4.jsonl", &["f/q"], false);
        assert_eq!(newest(key("f/q", Kind::Full)), named("4.jsonl"));
        save("6.jsonl", &["f/q"], false);
        assert_eq!(newest(key("f/q", Kind::Full)), named("6.jsonl"));
        // The one that went leaves its place to the one before it.
        fs::remove_file(runs.join("2.jsonl")).unwrap();
        assert_eq!(newest(key("f/p", Kind::Full)), named("1.jsonl"));
        for lost in [
            "broken".to_owned(),
            fs::read_to_string(&file)
                .unwrap()
                .replace("\"version\":3", "\"version\":1")
                .replace("6.jsonl", "4.jsonl"),
        ] {
            fs::write(&file, lost).unwrap();
            assert_eq!(newest(key("f/q", Kind::Full)), named("6.jsonl"));
        }
    }

    #[test]
    fn a_run_that_goes_on_is_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path();
        let mut run = run_of(&["f/p"], false);
        made::add(&mut run, "f/q", "", 1, made::gain(2.0));
        run_of(&["f/q"], false).save(&runs.join("1.jsonl")).unwrap();
        run.save(&runs.join("2.jsonl")).unwrap();
        let mut index = Index::default();
        assert!(index.update(runs));
        assert_eq!(index.newest(&key("f/q", Kind::Full)), Some("1.jsonl"));
        assert_eq!(index.newest(&key("f/q", Kind::Silent)), Some("2.jsonl"), "not its headline");
        // If it were read again, its place among the newest would be lost.
        fs::write(runs.join("1.jsonl"), "broken").unwrap();
        let stamp = results_in(runs)["1.jsonl"];
        index.files.insert("1.jsonl".to_owned(), stamp);
        made::add(&mut run, "f/q", "", made::HEADLINE, made::gain(2.0));
        run.save(&runs.join("2.jsonl")).unwrap();
        assert!(index.update(runs));
        assert_eq!(index.newest(&key("f/p", Kind::Full)), Some("2.jsonl"));
        assert_eq!(index.newest(&key("f/q", Kind::Full)), Some("2.jsonl"));
        assert_eq!(index.newest(&key("f/q", Kind::Silent)), None);
        assert!(index.files.contains_key("1.jsonl"), "it was not read again");
    }
}
