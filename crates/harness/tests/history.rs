//! Tests of the history file: killed writers, foreign and damaged files, and reading the runs back.
#![cfg(feature = "history")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;
use tempfile::TempDir;
use worthit_harness::history::{GAIN, History, HistoryError, Origin, Place, Reading, Recorded};
use worthit_pair::case::CaseKey;

fn origin(key: &str, day: i64, machine_key: &str) -> Origin {
    Origin {
        key: key.to_owned(),
        started: Timestamp::from_second(1_767_225_600 + day * 86_400).unwrap(),
        machine_key: machine_key.to_owned(),
        rustc: "rustc 1.90.0".to_owned(),
        rustflags: "-C \"opt\", x".to_owned(),
        commit: Some("0123456789abcdef".to_owned()),
        dirty: false,
        seed: u64::MAX,
        source: "run".to_owned(),
    }
}

fn place(pair: &str, level: &str, point: u64, quantity: &str) -> Place {
    Place {
        case: CaseKey { pair: pair.to_owned(), level: level.to_owned(), point },
        side: "naive".to_owned(),
        quantity: quantity.to_owned(),
    }
}

fn reading(value: f64) -> Reading {
    Reading { value, low: value * 0.9, high: value * 1.1, mark: None }
}

/// Run with readings of several pairs. `number` determines every value.
fn recorded(key: &str, number: u64) -> Recorded {
    let readings = (0..READINGS).map(|i| {
        let pair = format!("made/pair{}", i % 5);
        (place(&pair, "", i / 5, GAIN), reading(1.0 + (number * READINGS + i) as f64))
    });
    Recorded { origin: origin(key, number as i64, "made"), readings: readings.collect() }
}

const READINGS: u64 = 40;

/// Sorted values of each run, over all pairs.
fn values(history: &History) -> BTreeMap<String, Vec<f64>> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for pair in history.pairs().unwrap() {
        for line in history.trend(&pair).unwrap() {
            for (origin, reading) in &line.readings {
                values.entry(origin.key.clone()).or_default().push(reading.value);
            }
        }
    }
    values.values_mut().for_each(|values| values.sort_unstable_by(f64::total_cmp));
    values
}

fn integrity(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

/// Process that [`committed_runs_survive_kills_at_random_moments`] starts, not a test. It adds runs until it is killed
/// and prints the key of each run once it is committed.
#[test]
#[ignore = "a process that another test starts"]
fn writer() {
    let Some(path) = std::env::var_os("WORTHIT_TEST_HISTORY") else { return };
    let mut history = History::open(Path::new(&path)).unwrap();
    for number in 0.. {
        let key = format!("{}-{number}", std::process::id());
        history.append(&recorded(&key, number)).unwrap();
        let mut out = std::io::stdout().lock();
        write!(out, "\nkept {key}\n").and_then(|()| out.flush()).unwrap();
    }
}

/// Starts a writer, kills it at a random moment, and returns the keys that it reported as committed.
fn kept_by_a_killed_writer(path: &Path, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env("WORTHIT_TEST_HISTORY", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut kept = Vec::new();
    // The kill cut off a line that has no newline.
    let mut next = |kept: &mut Vec<String>| {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let whole = line.strip_suffix('\n');
        kept.extend(whole.and_then(|line| line.strip_prefix("kept ")).map(str::to_owned));
        !line.is_empty()
    };
    // Some kills hit the writer while it starts and creates the file, most while it writes.
    let wanted = rng.random_range(0..6);
    while kept.len() < wanted && next(&mut kept) {}
    let moment = Instant::now() + Duration::from_micros(rng.random_range(0..30_000));
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    assert_eq!(child.try_wait().unwrap(), None, "the writer runs until it is killed");
    child.kill().unwrap();
    while next(&mut kept) {}
    child.wait().unwrap();
    kept
}

#[test]
fn committed_runs_survive_kills_at_random_moments() {
    const FILES: u64 = 10;
    const WRITERS: u64 = 4;
    const KILLS_EACH: u64 = 5;
    let folder = TempDir::new().unwrap();
    let (mut killed, mut confirmed, mut silent) = (0, 0, 0);
    for file in 0..FILES {
        let path = folder.path().join(format!("{file}.sqlite"));
        let writers = (0..WRITERS).map(|writer| {
            let (path, seed) = (path.clone(), file * WRITERS + writer);
            thread::spawn(move || -> Vec<Vec<String>> {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                (0..KILLS_EACH).map(|_| kept_by_a_killed_writer(&path, &mut rng)).collect()
            })
        });
        let writers: Vec<_> = writers.collect();
        let kept: Vec<Vec<String>> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        killed += kept.len();
        assert_eq!(integrity(&path), "ok");
        let mut history = History::open(&path).unwrap();
        let found = values(&history);
        for key in kept.iter().flatten() {
            assert!(found.contains_key(key), "{key} was committed but is lost");
        }
        for (key, values) in &found {
            let (_, number) = key.split_once('-').unwrap();
            let first = number.parse::<u64>().unwrap() * READINGS;
            let whole: Vec<f64> = (0..READINGS).map(|i| 1.0 + (first + i) as f64).collect();
            assert_eq!(*values, whole, "{key} must be complete or absent");
        }
        let keys = kept.iter().flatten().count();
        (confirmed, silent) = (confirmed + keys, silent + found.len() - keys);
        history.append(&recorded("after-0", 0)).unwrap();
        assert_eq!(values(&history).len(), found.len() + 1);
    }
    println!(
        "{killed} kills; {confirmed} runs reported as committed, {silent} more found complete"
    );
    assert_eq!(killed as u64, FILES * WRITERS * KILLS_EACH);
    assert!(confirmed > killed, "writers were killed while they wrote");
}

#[test]
fn a_run_appended_again_is_replaced() {
    let folder = TempDir::new().unwrap();
    let mut history = History::open(&folder.path().join("new/history.sqlite")).unwrap();
    let mut run = recorded("a-1", 1);
    history.append(&run).unwrap();
    history.append(&recorded("a-2", 2)).unwrap();
    run.readings.truncate(3);
    run.readings[0].1.value = 77.0;
    history.append(&run).unwrap();
    let found = values(&history);
    assert_eq!(found["a-1"], [42.0, 43.0, 77.0]);
    assert_eq!(found["a-2"].len() as u64, READINGS);
}

#[test]
fn a_run_with_a_reading_that_is_not_a_number_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut history = History::open(&folder.path().join("history.sqlite")).unwrap();
    let mut run = recorded("a-1", 1);
    run.readings[39].1.low = f64::NAN;
    let message = history.append(&run).unwrap_err().to_string();
    assert!(message.contains("made/pair4 at 7: the gain of naive is NaN"), "{message}");
    assert!(values(&history).is_empty());
}

#[test]
fn each_machine_key_has_its_own_line_in_order_of_time() {
    let folder = TempDir::new().unwrap();
    let mut history = History::open(&folder.path().join("history.sqlite")).unwrap();
    for (key, day, machine) in [("c", 3, "one"), ("a", 1, "one"), ("b", 2, "two"), ("d", 3, "two")]
    {
        let readings = vec![
            (place("f/p", "far", 10, GAIN), reading(day as f64)),
            (place("f/p", "far", u64::MAX, GAIN), reading(day as f64)),
            (place("f/p", "far", 9, GAIN), reading(day as f64)),
            (place("f/p", "away", 1, GAIN), reading(day as f64)),
        ];
        history.append(&Recorded { origin: origin(key, day, machine), readings }).unwrap();
    }
    let lines = history.trend("f/p").unwrap();
    let order: Vec<(&str, u64, &str)> = lines
        .iter()
        .map(|line| {
            (line.place.case.level.as_str(), line.place.case.point, line.machine_key.as_str())
        })
        .collect();
    let points = [9, 10, u64::MAX].into_iter().map(|point| ("far", point));
    let expected: Vec<_> = points
        .chain([("away", 1)])
        .flat_map(|(level, point)| [(level, point, "one"), (level, point, "two")])
        .collect();
    assert_eq!(order, expected);
    for line in &lines {
        let keys: Vec<&str> = line.readings.iter().map(|(run, _)| run.key.as_str()).collect();
        assert_eq!(keys, if line.machine_key == "one" { ["a", "c"] } else { ["b", "d"] });
        assert_eq!(line.readings[0].0.seed, u64::MAX);
    }
    assert!(history.trend("f/other").unwrap().is_empty());
}

#[test]
fn the_csv_export_holds_every_reading() {
    let folder = TempDir::new().unwrap();
    let mut history = History::open(&folder.path().join("history.sqlite")).unwrap();
    let later = vec![(place("f/p", "a, \"b\"", 8, GAIN), reading(2.0))];
    history.append(&Recorded { origin: origin("later", 2, "one"), readings: later }).unwrap();
    let marked = Reading { mark: Some("other processes held the CPU".to_owned()), ..reading(4.0) };
    let count = Reading { low: 257.0, high: 257.0, ..reading(257.0) };
    let sooner = vec![
        (place("f/p", "", 8, GAIN), marked),
        (place("a/p", "", u64::MAX, "statements"), count),
    ];
    history.append(&Recorded { origin: origin("sooner", 1, "one"), readings: sooner }).unwrap();
    let mut csv = Vec::new();
    history.export_csv(&mut csv).unwrap();
    let expected = "\
run,started,machine_key,rustc,rustflags,commit,dirty,seed,source,pair,level,point,side,quantity,value,low,high,mark
sooner,2026-01-02T00:00:00Z,one,rustc 1.90.0,\"-C \"\"opt\"\", x\",0123456789abcdef,false,18446744073709551615,run,a/p,,18446744073709551615,naive,statements,257,257,257,
sooner,2026-01-02T00:00:00Z,one,rustc 1.90.0,\"-C \"\"opt\"\", x\",0123456789abcdef,false,18446744073709551615,run,f/p,,8,naive,gain,4,3.6,4.4,other processes held the CPU
later,2026-01-03T00:00:00Z,one,rustc 1.90.0,\"-C \"\"opt\"\", x\",0123456789abcdef,false,18446744073709551615,run,f/p,\"a, \"\"b\"\"\",8,naive,gain,2,1.8,2.2,
";
    assert_eq!(String::from_utf8(csv).unwrap().replace("4.4000000000000004", "4.4"), expected);
    let seen: i64 = Connection::open(folder.path().join("history.sqlite"))
        .unwrap()
        .query_row("SELECT count(*) FROM everything WHERE pair = 'f/p'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(seen, 2, "the view `everything` has the same rows");
}

/// Asserts that opening or reading the file fails, that the error names the file, and that the file stays unchanged.
fn refused(path: &Path) -> HistoryError {
    let before = fs::read(path).unwrap();
    let error = match History::open(path) {
        Err(error) => error,
        // Damage may show only when the history is read.
        Ok(history) => history.pairs().and_then(|_| history.trend("made/pair0")).unwrap_err(),
    };
    assert_eq!(fs::read(path).unwrap(), before, "{error}");
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()), "{message}");
    error
}

fn a_history(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("history.sqlite");
    let mut history = History::open(&path).unwrap();
    for number in 0..20 {
        history.append(&recorded(&format!("a-{number}"), number)).unwrap();
    }
    path
}

#[test]
fn files_that_are_not_histories_are_refused_and_left_unchanged() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other");
    let is_foreign = |path: &Path| matches!(refused(path), HistoryError::Foreign { path: named, .. } if named == path);
    fs::write(&path, "{ \"schema\": \"worthit-run\" }").unwrap();
    assert!(is_foreign(&path));
    fs::write(&path, vec![b'x'; 100_000]).unwrap();
    assert!(is_foreign(&path));
    fs::write(&path, "").unwrap();
    assert!(is_foreign(&path));
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE run (id); PRAGMA application_id = 7;").unwrap();
    drop(other);
    assert!(is_foreign(&path));
    let unmarked = a_history(&folder);
    Connection::open(&unmarked).unwrap().pragma_update(None, "application_id", 0).unwrap();
    assert!(is_foreign(&unmarked));
}

#[test]
fn a_history_of_a_newer_version_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = a_history(&folder);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let error = refused(&path);
    assert!(matches!(error, HistoryError::Newer { version: 2, .. }), "{error}");
}

#[test]
fn a_damaged_history_is_reported_as_damaged() {
    let folder = TempDir::new().unwrap();
    let path = a_history(&folder);
    let whole = fs::read(&path).unwrap();
    for length in [whole.len() / 2, 4_096, 5_000] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = refused(&path);
        assert!(matches!(error, HistoryError::Damaged { .. }), "{length}: {error}");
    }
    // Shorter than the header.
    fs::write(&path, &whole[..60]).unwrap();
    let error = refused(&path);
    assert!(matches!(error, HistoryError::Damaged { .. }), "{error}");
    // All pages but the first overwritten.
    let mut scribbled = whole.clone();
    scribbled[4_096..].fill(0x5a);
    fs::write(&path, &scribbled).unwrap();
    let error = refused(&path);
    assert!(matches!(error, HistoryError::Damaged { .. }), "{error}");
    fs::write(&path, &whole).unwrap();
    assert_eq!(values(&History::open(&path).unwrap()).len(), 20);
}

#[test]
fn a_missing_or_unwritable_history_is_reported() {
    let folder = TempDir::new().unwrap();
    let error = History::open_existing(&folder.path().join("none")).unwrap_err();
    assert!(matches!(error, HistoryError::Missing(_)), "{error}");
    assert!(!folder.path().join("none").exists());
    // A folder, and a file in a folder where nobody may write.
    for path in [folder.path(), Path::new("/proc/history.sqlite")] {
        let error = History::open(path).unwrap_err();
        assert!(matches!(error, HistoryError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("make the file and its folder writable"), "{error}");
    }
}
