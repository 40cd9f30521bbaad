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

use super::has_measured;
use crate::results::Run;

/// What an index remembers of a folder of runs.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
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
    pub(super) is_quick: bool,
}

/// What tells whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified_ns: u128,
}

impl Index {
    /// Returns the index of the folder `runs`, remembered in `file`. Where that cannot be written, the next command reads
    /// the results again.
    pub(super) fn of(runs: &Path, file: &Path) -> Index {
        let remembered = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut index: Index = remembered.unwrap_or_default();
        if index.update(runs) {
            // Only what is complete is remembered.
            let _ = index.save(file);
        }
        index
    }

    /// Returns the file name of the newest result of this kind.
    pub(super) fn newest(&self, key: &Key) -> Option<&str> {
        let place = self.newest.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        Some(&self.newest[place].1)
    }

    /// Reads what came or changed since; returns whether anything did.
    fn update(&mut self, runs: &Path) -> bool {
        let present = results_in(runs);
        let is_stale = |(_, file): &(Key, String)| present.get(file) != self.files.get(file);
        if self.newest.iter().any(is_stale) {
            // Which result was the newest before is not remembered.
            *self = Index::default();
        }
        if self.files == present {
            return false;
        }
        let come = present.iter().filter(|(file, stamp)| self.files.get(*file) != Some(*stamp));
        let come: Vec<&String> = come.map(|(file, _)| file).collect();
        let held: Vec<Vec<(Key, String)>> =
            come.into_par_iter().map(|file| kinds_in(&runs.join(file), file)).collect();
        let mut newest: BTreeMap<Key, String> =
            std::mem::take(&mut self.newest).into_iter().collect();
        for (key, file) in held.into_iter().flatten() {
            // File names sort by start time.
            let known = newest.entry(key).or_default();
            if file > *known {
                *known = file;
            }
        }
        (self.files, self.newest) = (present, newest.into_iter().collect());
        true
    }

    fn save(&self, file: &Path) -> io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut written = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(io::BufWriter::new(&mut written), self)?;
        written.persist(file)?;
        Ok(())
    }
}

/// What a result has measured; nothing if it cannot be read, which is an error only to who asks for that result.
fn kinds_in(path: &Path, file: &str) -> Vec<(Key, String)> {
    let Ok(run) = Run::load(path) else { return Vec::new() };
    let measured = run.pairs.iter().filter(|(_, pair)| has_measured(pair));
    let kind = |pair: &String| Key {
        machine: run.machine.key.clone(),
        package: run.package.clone().unwrap_or_default(),
        pair: pair.clone(),
        is_quick: run.quick,
    };
    measured.map(|(pair, _)| (kind(pair), file.to_owned())).collect()
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
    use crate::desk::tests::run_of;

    fn key(pair: &str, is_quick: bool) -> Key {
        let (machine, package) = ("made-linux1".to_owned(), "made".to_owned());
        Key { machine, package, pair: pair.to_owned(), is_quick }
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
        assert_eq!(newest(key("f/p", false)), named("2.jsonl"));
        assert_eq!(newest(key("f/q", false)), named("1.jsonl"));
        assert_eq!(newest(key("f/p", true)), named("3.jsonl"));
        assert_eq!(newest(key("f/q", true)), None);

        // What is remembered is not read again.
        let remembered: Index = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert!(!Index { ..remembered }.update(&runs));
        save("6.jsonl", &["f/q"], false);
        assert_eq!(newest(key("f/q", false)), named("6.jsonl"));
        // The one that went leaves its place to the one before it.
        fs::remove_file(runs.join("2.jsonl")).unwrap();
        assert_eq!(newest(key("f/p", false)), named("1.jsonl"));
        fs::write(&file, "broken").unwrap();
        assert_eq!(newest(key("f/q", false)), named("6.jsonl"));
    }
}
