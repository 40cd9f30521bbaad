//! Reference results: committed runs, the source of the figures in the Markdown files. A machine key has one run, or
//! several that measured other families.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    machine::OLDER_KEY,
    report::{self, beside_at_headline, gain_at_headline, share_of_limit},
    result_file::ResultError,
    results::{CaseResult, Run},
    table,
};
use worthit_pair::format;

/// Minimum number of processes of a reference.
pub const LEAST_PROCESSES: usize = 5;

/// Why a run cannot be a reference.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A case was measured in too few processes.
    #[error(
        "{id} at {point} was measured in {found} process(es): a reference needs {LEAST_PROCESSES}, so that its intervals include the variance between processes; run `cargo bench -- --rounds {LEAST_PROCESSES}`"
    )]
    TooFewProcesses {
        /// Id of the pair.
        id: String,
        /// Point on the axis.
        point: u64,
        /// Number of processes.
        found: usize,
    },
    /// Its revision does not identify the measured code.
    #[error(
        "this was measured on a tree that was not committed, so nobody could measure it again: commit, then run `cargo bench -- --rounds {LEAST_PROCESSES}`"
    )]
    NotCommitted,
    /// Its machine key may be that of another machine, whose reference it would replace.
    #[error("this was {OLDER_KEY}: measure again with `cargo bench -- --rounds {LEAST_PROCESSES}`")]
    OlderKey,
    /// Nothing was measured.
    #[error("nothing was measured in this run")]
    Empty,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] ResultError),
}

/// Loads the committed references below `reports`, sorted by machine key.
///
/// # Errors
/// If one cannot be read.
pub fn all(reports: &Path) -> Result<Vec<Run>, ResultError> {
    files(reports).iter().map(|file| Run::load(file)).collect()
}

/// Returns the files of the committed references below `reports`, sorted by machine key.
pub fn files(reports: &Path) -> Vec<PathBuf> {
    let folders = entries(reports).into_iter().filter(|entry| entry.is_dir());
    let mut files: Vec<PathBuf> = folders.flat_map(|folder| results_in(&folder)).collect();
    files.sort_unstable();
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn results_in(folder: &Path) -> Vec<PathBuf> {
    let is_json =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "jsonl" || end == "json");
    entries(folder).into_iter().filter(is_json).collect()
}

/// Loads the references that can be read, and passes to `warn` why another cannot: pages are better without it than not made.
pub fn readable(reports: &Path, mut warn: impl FnMut(&ResultError)) -> Vec<Run> {
    let loaded = files(reports).into_iter().map(|file| Run::load(&file));
    loaded.filter_map(|loaded| loaded.inspect_err(&mut warn).ok()).collect()
}

/// Saves `run` as a reference of its machine key and returns its file. It replaces the earlier ones of that key of which it
/// has all pairs and studies.
///
/// # Errors
/// If the run does not qualify as a reference, or files cannot be written.
pub fn save(run: &Run, reports: &Path) -> Result<PathBuf, ReferenceError> {
    if run.machine.has_older_key() {
        return Err(ReferenceError::OlderKey);
    }
    let Some(commit) = run.revision.commit.as_deref().filter(|_| !run.revision.dirty) else {
        return Err(ReferenceError::NotCommitted);
    };
    let cases = run.pairs.iter().flat_map(|(id, pair)| {
        let cases = pair.sweeps.iter().flat_map(|sweep| &sweep.cases);
        cases.filter_map(move |case| Some((id, case.point, case.measured()?.processes.len())))
    });
    let fewest = cases.min_by_key(|(.., processes)| *processes).ok_or(ReferenceError::Empty)?;
    if let (id, point, found @ ..LEAST_PROCESSES) = fewest {
        return Err(ReferenceError::TooFewProcesses { id: id.clone(), point, found });
    }
    let folder = reports.join(&run.machine.key);
    let revision: String = commit.chars().take(12).collect();
    let name = format!("{}-{revision}", run.started.strftime("%Y-%m-%d"));
    let mut path = folder.join(format!("{name}.jsonl"));
    let has_all_of = |earlier: &Run| {
        earlier.pairs.keys().all(|id| run.pairs.contains_key(id))
            && earlier.studies.keys().all(|id| run.studies.contains_key(id))
    };
    // Another run of the same day and revision, which measured other pairs, stays.
    if path.exists() && !has_all_of(&Run::load(&path)?) {
        path = folder.join(format!("{name}-{}.jsonl", run.started.strftime("%H%M%S")));
    }
    let mut replaced = Vec::new();
    for file in results_in(&folder).into_iter().filter(|file| *file != path) {
        if has_all_of(&Run::load(&file)?) {
            replaced.push(file);
        }
    }
    run.save(&path)?;
    for file in replaced {
        let failed = |error: io::Error| ResultError::Write { path: file.clone(), error };
        fs::remove_file(&file).map_err(failed)?;
    }
    Ok(path)
}

/// Formats the references as Markdown: a section each, with one row per sweep.
pub fn summary(references: &[Run]) -> String {
    let mut text = String::new();
    for run in references {
        let commit = run.revision.commit.as_deref().unwrap_or("unknown");
        let cases = run.pairs.values().flat_map(|pair| &pair.sweeps).flat_map(|sweep| &sweep.cases);
        let measured: Vec<_> = cases.filter_map(CaseResult::measured).collect();
        let marked = measured.iter().filter(|found| found.mark.is_some()).count();
        text += &format!(
            "\n### {}\n\n{}, {} logical cores, {}, revision `{}`, {}. {}; {marked} of {} measured cases are marked, because other processes held the CPU, and excluded from headlines.\n\n",
            run.machine.key,
            run.machine.cpu,
            run.machine.logical_cores,
            run.toolchain.rustc,
            commit.get(..12).unwrap_or(commit),
            run.started.strftime("%Y-%m-%d"),
            capitalized(&table::provenance(run)),
            measured.len(),
        );
        if run.machine.has_older_key() {
            text += &format!("{}.\n\n", capitalized(OLDER_KEY));
        }
        text += "| pair | gain at the headline | break-even | counted cause | share of limit | peers and alternatives |\n|---|---|---|---|---|---|\n";
        for (id, pair) in &run.pairs {
            for sweep in &pair.sweeps {
                let level = match sweep.level.as_str() {
                    "" => String::new(),
                    level => format!(" {level}"),
                };
                let gain = gain_at_headline(pair, sweep);
                text += &format!(
                    "| `{id}`{} | {} | {} | {} | {} | {} |\n",
                    cell(&level),
                    cell(&gain),
                    cell(&table::break_even_of(sweep)),
                    cell(&table::cause_of(pair, sweep)),
                    cell(&share_of_limit(pair, sweep, run.numbers.as_ref())),
                    cell(&beside_at_headline(pair, sweep))
                );
            }
        }
    }
    if references.is_empty() {
        text += "\nThere is none yet.\n";
    }
    text
}

/// Returns the gain of a pair in a reference, for a table with one row per pair: that of its headline.
pub fn gain_of(run: &Run, id: &str) -> String {
    let Some(pair) = run.pairs.get(id) else { return format::NONE.to_owned() };
    let with_headline = report::headline_of_pair(pair).map(|(sweep, _)| sweep);
    let sweep = with_headline.or(pair.sweeps.first());
    cell(&sweep.map_or(format::NONE.to_owned(), |sweep| gain_at_headline(pair, sweep)))
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or(String::new(), |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

/// Escapes the text of a cell: bars and newlines would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        load::Load,
        machine::Machine,
        results::{Measured, Outcome, PairResult, Revision},
        statistics::Interval,
    };
    use worthit_pair::pair::Metric;

    fn run(processes: usize, dirty: bool) -> Run {
        let revision = Revision { commit: Some("0123456789abcdef".to_owned()), dirty };
        let mut machine = Machine::current();
        machine.key = "made-linux1".to_owned();
        let mut run = Run::new("key", Timestamp::UNIX_EPOCH, true, 42, machine, revision);
        let gain = Interval { low: 1.9, estimate: 2.0, high: 2.1 };
        let measured = Measured {
            units_per_iteration: 1,
            inputs: 1,
            sides: vec![],
            gain,
            processes: vec![gain; processes],
            needed: vec![],
            are_threads_placed: false,
            load: Load::default(),
            marked_processes: 0,
            mark: None,
        };
        let mut pair = PairResult {
            title: String::new(),
            naive: "a | b".to_owned(),
            optimized: String::new(),
            metric: Metric::Time,
            unit: String::new(),
            axis: "n".to_owned(),
            axis_unit: "items|".to_owned(),
            parameter: None,
            headline: None,
            causes: vec![],
            objective: None,
            servers: vec![],
            sweeps: vec![],
            levels: vec![String::new()],
        };
        let outcome = Outcome::Measured(Box::new(measured));
        pair.add("", CaseResult { point: 8, outcome });
        run.pairs.insert("f/p".to_owned(), pair);
        run
    }

    #[test]
    fn a_reference_replaces_the_earlier_one_of_its_machine() {
        let reports = tempfile::tempdir().unwrap();
        assert_eq!(all(reports.path()).unwrap(), []);
        let path = save(&run(5, false), reports.path()).unwrap();
        assert!(path.ends_with("made-linux1/1970-01-01-0123456789ab.jsonl"), "{path:?}");
        let mut later = run(6, false);
        later.revision.commit = Some("f".repeat(40));
        save(&later, reports.path()).unwrap();
        assert_eq!(all(reports.path()).unwrap(), [later]);
    }

    #[test]
    fn a_broken_reference_is_told_and_hides_no_other() {
        let reports = tempfile::tempdir().unwrap();
        save(&run(5, false), reports.path()).unwrap();
        let broken = reports.path().join("made-linux2/2026-01-01-0123456789ab.jsonl");
        fs::create_dir_all(broken.parent().unwrap()).unwrap();
        fs::write(&broken, "{").unwrap();
        assert!(all(reports.path()).is_err());
        let mut reasons = Vec::new();
        let read = readable(reports.path(), |error| reasons.push(error.to_string()));
        assert_eq!(read, [run(5, false)]);
        assert!(reasons.len() == 1 && reasons[0].contains("made-linux2"), "{reasons:?}");
    }

    #[test]
    fn a_reference_of_other_families_stays() {
        let of = |id: &str, commit: char| {
            let mut run = run(5, false);
            let pair = run.pairs.remove("f/p").unwrap();
            run.pairs.insert(id.to_owned(), pair);
            run.revision.commit = Some(commit.to_string().repeat(40));
            run
        };
        for commit_of_other in ['b', 'a'] {
            let reports = tempfile::tempdir().unwrap();
            let [first, other, both] = [of("f/p", 'a'), of("g/q", commit_of_other), of("f/p", 'c')];
            save(&first, reports.path()).unwrap();
            save(&other, reports.path()).unwrap();
            let kept = all(reports.path()).unwrap();
            assert!(kept.len() == 2 && kept.contains(&first) && kept.contains(&other));
            let pairs = [both.pairs, other.pairs].into_iter().flatten().collect();
            let both = Run { pairs, ..both };
            save(&both, reports.path()).unwrap();
            assert_eq!(all(reports.path()).unwrap(), [both]);
        }
    }

    #[test]
    fn runs_that_do_not_qualify_are_refused() {
        let reports = tempfile::tempdir().unwrap();
        let refused = |run: Run| save(&run, reports.path()).unwrap_err().to_string();
        assert!(refused(run(4, false)).contains("f/p at 8 was measured in 4 process(es)"));
        assert!(refused(run(5, true)).contains("not committed"));
        let mut older = run(5, false);
        older.machine.processor = None;
        assert!(refused(older).contains("older kind of machine key"));
        assert!(refused(Run { pairs: BTreeMap::new(), ..run(5, false) }).contains("nothing"));
        assert_eq!(all(reports.path()).unwrap(), []);
    }

    #[test]
    fn a_reference_of_an_older_key_stays_under_its_key_and_says_so() {
        let reports = tempfile::tempdir().unwrap();
        let mut older = run(5, false);
        older.machine.processor = None;
        older.save(&reports.path().join("made-linux1/older.jsonl")).unwrap();
        let mut present = run(5, false);
        present.machine.key = "made-1.2.3-linux1".to_owned();
        save(&present, reports.path()).unwrap();
        let kept = all(reports.path()).unwrap();
        let keys = [present.machine.key.as_str(), "made-linux1"];
        assert_eq!(kept.iter().map(|run| run.machine.key.as_str()).collect::<Vec<_>>(), keys);
        let text = summary(&kept);
        let (before, after) = text.split_once("### made-linux1\n").unwrap();
        assert!(!before.contains("older kind of machine key"), "{text}");
        assert!(after.contains("\n\nRecorded under an older kind of machine key"), "{text}");
    }

    #[test]
    fn the_summary_has_one_row_per_sweep_and_escapes_bars() {
        let text = summary(&[run(5, false)]);
        assert!(text.contains("### made-linux1"), "{text}");
        assert!(text.contains("Quick run; intervals (95 %) over 5 processes; 0 of 1"), "{text}");
        assert!(
            text.contains("| `f/p` | 8 items\\|: 2.00× (1.90…2.10) | wins from 8 on |"),
            "{text}"
        );
        assert!(!text.contains("older kind"), "{text}");
        assert!(summary(&[]).contains("none yet"));
        assert_eq!(gain_of(&run(5, false), "f/other"), "–");
    }
}
