//! The file of a result: JSON lines with a versioned schema.
//!
//! The first line describes the run, its machine and its build. Each further line is a [`Record`], usually a case. So
//! a run appends one line per case, and the diff of a committed result shows one line per case. Version 1 was a single
//! JSON document, which can still be read.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rayon::prelude::*;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    lines,
    numbers::Numbers,
    results::{CaseResult, Outcome, PairResult, Run, SCHEMA, Sweep, VERSION},
    scaling,
    statistics::Interval,
    study::StudyResult,
};
use worthit_pair::case::CaseKey;

/// A line of a result after the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// See [`Run::ceiling`].
    Ceiling(Vec<scaling::Point>),
    /// What a timing loop of one process added to an iteration, ns, by copies of the loop.
    Overhead(Vec<f64>),
    /// See [`Run::numbers`].
    Numbers(Numbers),
    /// A pair without its sweeps; precedes its cases.
    Pair {
        /// Its id.
        id: String,
        /// What its cases have in common.
        pair: Box<PairResult>,
    },
    /// A case.
    Case(Box<CaseRecord>),
    /// A study.
    Study {
        /// Its id.
        id: String,
        /// What its steps took.
        study: Box<StudyResult>,
    },
}

impl Record {
    /// The record as a line, with its end.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("it holds nothing that JSON lacks");
        line.push(b'\n');
        line
    }
}

/// What one process found for a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// When it was found.
    pub when: Timestamp,
    /// The case.
    pub key: CaseKey,
    /// Its outcome.
    pub outcome: Outcome,
}

/// A record names a pair that no record before it describes.
#[derive(Debug, thiserror::Error)]
#[error("no line before it describes the pair `{0}`")]
pub struct UndescribedPair(String);

/// Failure to use a result file.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// The file cannot be read.
    #[error("cannot read the result {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is damaged, or not a result.
    #[error("the result {} is broken at `{field}`: {problem}; the file is unchanged: move it away, or name another one", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The field at which reading failed; `.` is the whole document.
        field: String,
        /// What is wrong there.
        problem: String,
    },
    /// The file was written by a newer version.
    #[error("the result {} has schema version {version}, but this worthit reads only up to version {VERSION}: use the worthit that wrote it, or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {error}; {}", path.display(), what_to_do(error))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn what_to_do(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space and run again; earlier records are intact"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make it writable and run again; earlier records are intact"
        }
        _ => "earlier records are intact",
    }
}

impl Run {
    /// Reads a result.
    pub fn load(path: &Path) -> Result<Run, ResultError> {
        let read = |error| ResultError::Read { path: path.to_owned(), error };
        Run::parse(&fs::read(path).map_err(read)?, path)
    }

    /// Parses `bytes`, the contents of `path`.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Run, ResultError> {
        Run::parse_lines(bytes, path, |_| true)
    }

    /// Parses the description of a run and of the other lines those that are wanted.
    fn parse_lines(
        bytes: &[u8],
        path: &Path,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Run, ResultError> {
        let broken = |field: String, problem: String| ResultError::Broken {
            path: path.to_owned(),
            field: if field.is_empty() { ".".to_owned() } else { field },
            problem,
        };
        let first = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        // Version 1 is a document over several lines, so its first line alone is not valid JSON.
        let (head, records) = match serde_json::from_slice::<IgnoredAny>(&bytes[..first]) {
            Ok(_) => bytes.split_at(first),
            Err(_) => (bytes, &[][..]),
        };
        let document: serde_json::Value = serde_json::from_slice(head)
            .map_err(|error| broken(String::new(), error.to_string()))?;
        check_schema(&document, path)?;
        let mut run: Run = serde_path_to_error::deserialize(document)
            .map_err(|error| broken(error.path().to_string(), error.inner().to_string()))?;
        let lines = lines::complete_lines(records).split_inclusive(|byte| *byte == b'\n');
        // The description is line 1.
        let wanted: Vec<(usize, &[u8])> =
            (2..).zip(lines).filter(|(_, line)| is_wanted(line)).collect();
        let read: Vec<_> =
            wanted.into_par_iter().map(|(number, line)| (number, record(line))).collect();
        for (number, record) in read {
            let record = record
                .map_err(|(field, problem)| broken(format!("line {number}, {field}"), problem))?;
            run.take(record)
                .map_err(|error| broken(format!("line {number}"), error.to_string()))?;
        }
        // In memory a run always has the current version, whatever version its file had.
        run.version = VERSION;
        run.check().map_err(|(field, problem)| broken(field, problem))?;
        let sweeps = run.pairs.values_mut().flat_map(|pair| &mut pair.sweeps);
        sweeps.for_each(Sweep::find_break_even);
        Ok(run)
    }

    /// Parses what a result says of one pair: the description of the run, and the lines that name the pair.
    ///
    /// # Errors
    /// If one of these is broken.
    pub fn parse_pair(bytes: &[u8], path: &Path, id: &str) -> Result<Run, ResultError> {
        let name = format!("\"{id}\"");
        let name = memchr::memmem::Finder::new(name.as_bytes());
        Run::parse_lines(bytes, path, |line| name.find(line).is_some())
    }

    /// Adds a record.
    ///
    /// # Errors
    /// If it is a case of a pair that no record before it describes.
    pub fn apply(&mut self, record: Record) -> Result<(), UndescribedPair> {
        if let Some(sweep) = self.take(record)? {
            sweep.find_break_even();
        }
        Ok(())
    }

    /// Adds a record, and returns the sweep of a case, whose break-even is that of before.
    fn take(&mut self, record: Record) -> Result<Option<&mut Sweep>, UndescribedPair> {
        match record {
            Record::Ceiling(ceiling) => self.ceiling = ceiling,
            Record::Overhead(readings) => self.overhead.push(readings),
            Record::Numbers(numbers) => {
                self.numbers = Some(match self.numbers.take() {
                    Some(known) => known.best_of(numbers),
                    None => numbers,
                });
            }
            Record::Pair { id, pair } => drop(self.pairs.entry(id).or_insert(*pair)),
            Record::Case(record) => {
                let CaseRecord { when, key, outcome } = *record;
                self.updated = when;
                let pair = self.pairs.get_mut(&key.pair).ok_or(UndescribedPair(key.pair))?;
                let case = CaseResult { point: key.point, outcome };
                return Ok(Some(pair.insert(&key.level, case)));
            }
            Record::Study { id, study } => drop(self.studies.insert(id, *study)),
        }
        Ok(None)
    }

    /// The records that this run consists of.
    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if !self.ceiling.is_empty() {
            records.push(Record::Ceiling(self.ceiling.clone()));
        }
        records.extend(self.overhead.iter().cloned().map(Record::Overhead));
        records.extend(self.numbers.clone().map(Record::Numbers));
        for (id, pair) in &self.pairs {
            let levels = match pair.levels.is_empty() {
                true => pair.sweeps.iter().map(|sweep| sweep.level.clone()).collect(),
                false => pair.levels.clone(),
            };
            let header = PairResult { sweeps: Vec::new(), levels, ..pair.clone() };
            records.push(Record::Pair { id: id.clone(), pair: Box::new(header) });
            for sweep in &pair.sweeps {
                records.extend(sweep.cases.iter().map(|case| {
                    let (pair, level) = (id.clone(), sweep.level.clone());
                    let key = CaseKey { pair, level, point: case.point };
                    let (when, outcome) = (self.updated, case.outcome.clone());
                    Record::Case(Box::new(CaseRecord { when, key, outcome }))
                }));
            }
        }
        let study = |(id, study): (&String, &StudyResult)| Record::Study {
            id: id.clone(),
            study: Box::new(study.clone()),
        };
        records.extend(self.studies.iter().map(study));
        records
    }

    /// What types cannot say: gains are positive and in order, times are finite and in order.
    fn check(&self) -> Result<(), (String, String)> {
        self.numbers.as_ref().map_or(Ok(()), Numbers::check)?;
        for (id, study) in &self.studies {
            study.check().map_err(|(what, problem)| (format!("studies.{id}.{what}"), problem))?;
        }
        for (id, pair) in &self.pairs {
            for sweep in &pair.sweeps {
                for case in &sweep.cases {
                    let at =
                        |what: &str| format!("pairs.{id}.{}.{}.{what}", sweep.level, case.point);
                    let broken = |what: &str, problem: String| Err((at(what), problem));
                    if let Outcome::Computed(found) = &case.outcome
                        && !(found.gain > 0.0 && found.gain.is_finite())
                    {
                        return broken(
                            "gain",
                            format!("a gain must be positive and finite, but is {}", found.gain),
                        );
                    }
                    let Some(measured) = case.measured() else { continue };
                    let Interval { low, estimate, high } = measured.gain;
                    if !(0.0 < low && low <= estimate && estimate <= high && high.is_finite()) {
                        return broken(
                            "gain",
                            format!("{low} … {estimate} … {high} is not an interval of a gain"),
                        );
                    }
                    for side in &measured.sides {
                        let s = side.time_ns;
                        let times = [s.min, s.lower_quartile, s.median, s.upper_quartile, s.max];
                        if !(times.is_sorted() && s.min >= 0.0 && s.max.is_finite()) {
                            let problem = format!("{times:?} are not quartiles of times");
                            return broken(&format!("{}.time_ns", side.name), problem);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the result to `path` atomically: to a temporary file next to it, which is flushed to the device and then
    /// renamed.
    pub fn save(&self, path: &Path) -> Result<(), ResultError> {
        let (ceiling, overhead) = (Vec::new(), Vec::new());
        let (numbers, pairs) = (None, BTreeMap::new());
        let head = Run { version: VERSION, ceiling, overhead, numbers, pairs, ..self.clone() };
        let mut text = serde_json::to_vec(&head).expect("JSON can represent all of it");
        text.push(b'\n');
        text.extend(self.records().iter().flat_map(Record::line));
        write_atomically(path, &text)
            .map_err(|error| ResultError::Write { path: path.to_owned(), error })
    }
}

/// Reads a record; an error is the field that is broken, and what is wrong with it.
fn record(line: &[u8]) -> Result<Record, (String, String)> {
    // To know the field costs as much as to read the line, so it is only asked for once something is wrong.
    serde_json::from_slice(line).or_else(|_| {
        let document = &mut serde_json::Deserializer::from_slice(line);
        serde_path_to_error::deserialize(document)
            .map_err(|error| (error.path().to_string(), error.inner().to_string()))
    })
}

/// Refuses a document that is not a result, or that a newer version wrote.
fn check_schema(document: &serde_json::Value, path: &Path) -> Result<(), ResultError> {
    let broken = |field: &str, problem: String| ResultError::Broken {
        path: path.to_owned(),
        field: field.to_owned(),
        problem,
    };
    match document.get("schema").and_then(|schema| schema.as_str()) {
        Some(SCHEMA) => {}
        Some(other) => return Err(broken("schema", format!("it is `{other}`, not `{SCHEMA}`"))),
        None => {
            let problem = "it is missing: this is not a worthit result".to_owned();
            return Err(broken("schema", problem));
        }
    }
    match document.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version > VERSION => {
            Err(ResultError::Newer { path: path.to_owned(), version })
        }
        Some(_) => Ok(()),
        None => Err(broken("version", "it is not a whole number".to_owned())),
    }
}

/// Writes a file atomically: readers see the old contents or all of the new ones.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temp = tempfile::NamedTempFile::new_in(folder)?;
    temp.write_all(bytes)?;
    temp.as_file().sync_all()?;
    // Only its owner may read a temporary file; everybody may read a report.
    fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    temp.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        made,
        results::tests::{add, case, run},
    };
    use worthit_pair::trial::Role;

    /// A committed result of version 1, cut down: one JSON document, whose peer is called `reference`.
    const VERSION_1: &str = include_str!("../tests/version_1.json");

    #[test]
    fn a_saved_result_is_read_back_unchanged_and_an_impossible_gain_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let mut run = run();
        add(&mut run, &[""], "", case(1, 2.0, false));
        run.save(&path).unwrap();
        assert_eq!(Run::load(&path).unwrap(), run);
        let text = fs::read_to_string(&path).unwrap();
        for gain in ["-2.0", "0.0", "1e999"] {
            let broken = text.replace("\"estimate\":2.0", &format!("\"estimate\":{gain}"));
            assert_ne!(broken, text);
            assert!(Run::parse(broken.as_bytes(), &path).is_err(), "{gain}");
        }
    }

    #[test]
    fn of_one_pair_nothing_else_is_read_and_a_broken_line_has_its_number_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        made::run_of(vec![("f/p", made::gain(2.0)), ("f/q", made::gain(3.0))]).save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (last, others) = lines.split_last().unwrap();
        assert!(last.contains("f/q") && !last.contains("f/p"), "{last}");
        let broken = others.join("\n") + "\n{\"f/q\"\n";
        let run = Run::parse_pair(broken.as_bytes(), &path, "f/p").unwrap();
        assert_eq!(run.pairs.keys().collect::<Vec<_>>(), ["f/p"]);
        let error = Run::parse_pair(broken.as_bytes(), &path, "f/q").unwrap_err().to_string();
        assert!(error.contains(&format!("line {}", lines.len())), "{error}");
    }

    #[test]
    fn a_run_that_was_cut_off_anywhere_keeps_its_complete_cases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let mut whole = run();
        for (level, point) in [("a", 1), ("a", 2), ("b", 1)] {
            let levels = ["a", "b"];
            add(&mut whole, &levels, level, case(point, 2.0 / 3.0, false));
        }
        whole.save(&path).unwrap();
        let text = fs::read(&path).unwrap();
        let head = text.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in head..=text.len() {
            let found = Run::parse(&text[..cut], &path).unwrap();
            let sweeps = found.pairs.values().flat_map(|pair| &pair.sweeps);
            let cases = sweeps.map(|sweep| sweep.cases.len()).sum::<usize>();
            let lines = text[..cut].iter().filter(|byte| **byte == b'\n').count();
            // One line is the run, one the pair.
            assert_eq!(cases, lines.saturating_sub(2), "{cut}");
        }
        assert_eq!(Run::parse(&text, &path).unwrap(), whole);
    }

    #[test]
    fn a_result_of_version_1_is_read_and_saved_as_one_of_this_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let run = Run::parse(VERSION_1.as_bytes(), &path).unwrap();
        assert_eq!(run.version, VERSION);
        let searched = &run.pairs["algorithms/binary_search"].sweeps[0].cases[0];
        let searched = searched.measured().unwrap();
        assert_eq!(searched.side(Role::Peer(0)).unwrap().name, "eytzinger");
        assert!(searched.side(Role::Peer(0)).unwrap().against_optimized.is_some());
        let joined = &run.pairs["queries/n_plus_one"].sweeps;
        let levels: Vec<&str> = joined.iter().map(|sweep| sweep.level.as_str()).collect();
        assert_eq!(levels, ["loopback", "rtt=1ms"]);
        let Outcome::Computed(computed) = &joined[1].cases[0].outcome else { panic!("{joined:?}") };
        assert!(computed.confirmation.is_some());
        assert_eq!(run.machine.key, "amd-epyc-2c-24g-linux6.18-ext4");
        assert!(run.machine.has_older_key());
        run.save(&path).unwrap();
        let again = Run::load(&path).unwrap();
        assert_eq!(again.machine, run.machine);
        assert_eq!(again.pairs["queries/n_plus_one"].levels, levels);
        assert_eq!((again.numbers, again.ceiling), (run.numbers, run.ceiling));
    }
}
