//! Counts that are kept beside a build, so that the same build is not counted again.
//!
//! A build is kept under a key of all that it was made from; the counts also depend on the machine and on valgrind. A
//! file that is damaged or was written under other conditions is not used, and everything is counted again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    callgrind,
    counts::BuildCounts,
    instructions,
    outside::hash,
    verdict::{Counted, INSTRUCTIONS},
};
use crate::{machine::Machine, result_file::write_atomically};
use worthit_pair::trial::Role;

/// Version of the stored counts; raised whenever a count changes its meaning, so that older files are not read.
const COUNTING: u64 = 4;

/// Conditions under which counts repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Conditions {
    /// Version of the file.
    version: u64,
    /// Machine key: libraries choose other instructions on another processor, pairs other numbers of threads.
    machine: String,
    /// Version and arguments of valgrind, on which only the instructions depend; `None` if it is not installed.
    valgrind: Option<String>,
}

impl Conditions {
    /// Returns the conditions of this process.
    pub fn here() -> Conditions {
        let arguments = callgrind::arguments(Path::new(""));
        let valgrind = instructions::valgrind_version();
        Conditions {
            version: COUNTING,
            machine: Machine::current().key,
            valgrind: valgrind.map(|version| format!("{version} {arguments:?}")),
        }
    }
}

/// Contents of the file, after a line with their hash.
#[derive(Serialize, Deserialize)]
struct StoredCounts {
    conditions: Conditions,
    rows: Vec<StoredCount>,
    answers: BTreeMap<String, BTreeSet<u64>>,
    inputs: BTreeMap<String, u64>,
    threads: BTreeMap<String, usize>,
}

/// One count in the file.
#[derive(Serialize, Deserialize)]
struct StoredCount {
    id: String,
    role: Role,
    cause: String,
    counted: Counted,
}

/// Loads the counts in the folder of a build that hold under these conditions.
pub(super) fn load(folder: &Path, seed: u64, conditions: &Conditions) -> BuildCounts {
    let stored = fs::read_to_string(file(folder, seed)).ok().and_then(|text| read(&text));
    let Some(StoredCounts { conditions: found, rows, answers, inputs, threads }) = stored else {
        return BuildCounts::default();
    };
    if (found.version, &found.machine) != (conditions.version, &conditions.machine) {
        return BuildCounts::default();
    }
    let mut counts = BuildCounts { answers, inputs, threads, ..BuildCounts::default() };
    let has_instructions = conditions.valgrind == found.valgrind;
    for StoredCount { id, role, cause, counted } in rows {
        if has_instructions || cause != INSTRUCTIONS {
            counts.by_pair.entry(id).or_default().insert((role, cause), counted);
        }
    }
    counts
}

/// Reads the contents of a file; `None` if it is damaged.
fn read(text: &str) -> Option<StoredCounts> {
    let (written, contents) = text.split_once('\n')?;
    let is_whole = written == hash(contents.as_bytes());
    is_whole.then(|| serde_json::from_str(contents).ok()).flatten()
}

/// Stores counts that were taken under these conditions in the folder of a build.
pub(super) fn save(counts: &BuildCounts, folder: &Path, seed: u64, conditions: &Conditions) {
    let rows = counts.by_pair.iter().flat_map(|(id, counts)| {
        counts.iter().map(|((role, cause), counted)| StoredCount {
            id: id.clone(),
            role: *role,
            cause: cause.clone(),
            counted: *counted,
        })
    });
    let stored = StoredCounts {
        conditions: conditions.clone(),
        rows: rows.collect(),
        answers: counts.answers.clone(),
        inputs: counts.inputs.clone(),
        threads: counts.threads.clone(),
    };
    let contents = serde_json::to_string(&stored).unwrap_or_default();
    let text = format!("{}\n{contents}", hash(contents.as_bytes()));
    // After an error, the next run counts again.
    let _ = write_atomically(&file(folder, seed), text.as_bytes());
}

fn file(folder: &Path, seed: u64) -> PathBuf {
    folder.join(format!("counts-{seed}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions() -> Conditions {
        let valgrind = Some("valgrind-3.19.0 []".to_owned());
        Conditions { version: COUNTING, machine: "some-cpu".to_owned(), valgrind }
    }

    fn counted() -> BuildCounts {
        let mut counts = BuildCounts::default();
        for (cause, count) in [("allocations", 3), (INSTRUCTIONS, 1_000)] {
            counts.add("a/b", Role::Naive, cause, count);
            counts.add("a/b", Role::Optimized, cause, count / 2);
        }
        counts.answers.insert("a/b".to_owned(), BTreeSet::from([7]));
        counts.threads.insert("a/b".to_owned(), 2);
        counts
    }

    #[test]
    fn counts_are_reused_under_the_same_conditions() {
        let place = tempfile::tempdir().unwrap();
        let loaded = |conditions: &Conditions| load(place.path(), 42, conditions);
        assert_eq!(loaded(&conditions()), BuildCounts::default(), "no file yet");
        save(&counted(), place.path(), 42, &conditions());
        assert_eq!(loaded(&conditions()), counted());
        assert_eq!(load(place.path(), 43, &conditions()), BuildCounts::default(), "another seed");
        for other in [
            Conditions { machine: "other-cpu".to_owned(), ..conditions() },
            Conditions { version: COUNTING - 1, ..conditions() },
        ] {
            assert_eq!(loaded(&other), BuildCounts::default(), "{other:?}");
        }
    }

    #[test]
    fn another_valgrind_counts_only_the_instructions_again() {
        let place = tempfile::tempdir().unwrap();
        save(&counted(), place.path(), 42, &conditions());
        for valgrind in [None, Some("valgrind-3.20.0 []".to_owned())] {
            let found = load(place.path(), 42, &Conditions { valgrind, ..conditions() });
            assert!(found.has_causes("a/b") && !found.has_instructions("a/b"));
        }
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let place = tempfile::tempdir().unwrap();
        save(&counted(), place.path(), 42, &conditions());
        let path = file(place.path(), 42);
        let text = fs::read_to_string(&path).unwrap();
        let halves = [text[..text.len() / 2].to_owned(), text[text.len() / 2..].to_owned()];
        let changed = text.replacen("1000", "1001", 2);
        assert_ne!(changed, text);
        for damaged in halves.into_iter().chain([changed, String::new(), "{}".to_owned()]) {
            fs::write(&path, &damaged).unwrap();
            assert_eq!(load(place.path(), 42, &conditions()), BuildCounts::default(), "{damaged}");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(load(place.path(), 42, &conditions()), BuildCounts::default(), "no text");
    }
}
