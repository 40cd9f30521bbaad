use std::sync::LazyLock;

use jiff::Timestamp;

use super::*;
use crate::made;
use worthit_pair::{
    family::{Entry, Family},
    pair::Pair,
};

/// A run of these pairs, as a result of this machine.
pub(super) fn run_of(pairs: &[&str], quick: bool) -> Run {
    let run = made::run_of(pairs.iter().map(|id| (*id, made::gain(2.0))).collect());
    let machine = Machine { key: "made-linux1".to_owned(), ..run.machine.clone() };
    Run { package: Some("made".to_owned()), quick, machine, ..run }
}

static ENTRY: LazyLock<&'static Entry> = LazyLock::new(|| &made::FAMILY.pairs[0]);

/// A home and a folder of references, with the runs that a test saves there.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home/runs")).unwrap();
        Place { folder }
    }

    fn save_run(&self, day: i64, quick: bool) {
        let run = Run { started: days(day), ..run_of(&["f/p"], quick) };
        let name = format!("{}-1.jsonl", run.started.strftime("%Y%m%d"));
        run.save(&self.folder.path().join("home/runs").join(name)).unwrap();
    }

    fn save_reference(&self, day: i64, machine: &str) {
        let run = run_of(&["f/p"], false);
        let machine = Machine { key: machine.to_owned(), ..run.machine.clone() };
        let run = Run { started: days(day), machine, ..run };
        let folder = self.folder.path().join("reports").join(&run.machine.key);
        fs::create_dir_all(&folder).unwrap();
        let name = format!("{}-abc.jsonl", run.started.strftime("%Y-%m-%d"));
        run.save(&folder.join(name)).unwrap();
    }

    fn found(&self) -> Option<(Source, Timestamp, String)> {
        let (home, reports) = (self.folder.path().join("home"), self.folder.path().join("reports"));
        let desk = Desk::of("made-linux1".to_owned(), &home, &reports).unwrap();
        let found = desk.figures("made", *ENTRY).unwrap();
        let alone = Desk { is_for_one_pair: true, ..desk }.figures("made", *ENTRY).unwrap();
        let [found, alone] = [found, alone].map(|found| found.map(|found| (found.source, found)));
        assert_eq!(found.as_ref().map(|found| found.0), alone.as_ref().map(|alone| alone.0));
        let (_, found) = found?;
        assert_eq!(found.pair(), alone?.1.pair());
        Some((found.source, found.run.started, found.source_in_words()))
    }
}

fn days(day: i64) -> Timestamp {
    Timestamp::from_second(day * 86_400).unwrap()
}

#[test]
fn this_machine_goes_before_others_and_full_runs_before_quick_ones() {
    let place = Place::new();
    assert_eq!(place.found(), None);
    place.save_reference(9, "other-linux1");
    let (source, _, words) = place.found().unwrap();
    assert_eq!(source, Source::OtherReference);
    assert!(words.contains("another machine (other-linux1, 1970-01-10)"), "{words}");
    place.save_run(2, true);
    let (source, _, words) = place.found().unwrap();
    assert_eq!((source, words.as_str()), (Source::Run, "a quick run on this machine, 1970-01-03"));
    place.save_reference(3, "made-linux1");
    let (source, started, words) = place.found().unwrap();
    assert_eq!((source, started), (Source::OwnReference, days(3)));
    assert_eq!(words, "the committed reference of this machine, 1970-01-04");
    place.save_run(1, false);
    assert_eq!(place.found().unwrap().0, Source::OwnReference, "it is newer");
    place.save_run(4, false);
    let (source, started, words) = place.found().unwrap();
    assert_eq!((source, started), (Source::Run, days(4)));
    assert_eq!(words, "a run on this machine, 1970-01-05");
}

#[test]
fn figures_under_an_earlier_id_are_those_of_the_pair() {
    let place = Place::new();
    place.save_run(1, false);
    let pair = Box::leak(Box::new(Pair { earlier_ids: &["f/p"], ..Pair::DEFAULTS }));
    let renamed: &Entry = Box::leak(Box::new(Entry::new("f/renamed", "", pair)));
    assert!(renamed.is_named("f/p") && renamed.is_named("renamed") && !renamed.is_named("p"));
    let home = place.folder.path().join("home");
    let desk = Desk::of("made-linux1".to_owned(), &home, Path::new("none")).unwrap();
    let found = desk.figures("made", renamed).unwrap().unwrap();
    assert_eq!(found.pair(), &found.run.pairs["f/p"]);
}

#[test]
fn figures_of_another_package_are_not_this_ones() {
    let place = Place::new();
    place.save_run(1, false);
    let home = place.folder.path().join("home");
    let desk = Desk::of("made-linux1".to_owned(), &home, Path::new("none")).unwrap();
    assert!(desk.figures("other", *ENTRY).unwrap().is_none());
}

#[test]
fn a_broken_reference_is_an_error_that_names_it() {
    let place = Place::new();
    let folder = place.folder.path().join("reports/made-linux1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("1970-01-01-abc.jsonl"), "\"f/p\" {").unwrap();
    let reports = place.folder.path().join("reports");
    let desk = Desk::of("made-linux1".to_owned(), place.folder.path(), &reports).unwrap();
    let error = desk.figures("made", *ENTRY).unwrap_err().to_string();
    assert!(error.contains("1970-01-01-abc.jsonl is broken"), "{error}");
    static FAMILIES: [&Family; 0] = [];
    assert!(Desk::open(&FAMILIES).is_ok());
}
