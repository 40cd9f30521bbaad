//! The history file: one SQLite database for all runs and machines.
//!
//! Each run is one transaction in a write-ahead log, which is flushed to the device at each commit. So several
//! processes can add runs at once, and a killed process loses at most the run that it was adding.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use worthit_pair::case::CaseKey;

use super::{Origin, Place, Reading, Recorded, TrendLine};

const SCHEMA: &str = include_str!("schema.sql");
/// Schema version: raised when a reader of the old schema would misread the new one.
const VERSION: i64 = 1;
/// Distinguishes a history from other databases: "wort" in ASCII.
const APPLICATION_ID: i64 = 0x776f_7274;
/// How long a process waits for other writers.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open history file.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

/// Failure to use a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file does not exist.
    #[error("there is no history at {}: create it by adding a run, `worthit history --history {} --import RESULT`", _0.display(), _0.display())]
    Missing(PathBuf),
    /// The file is not a history.
    #[error("{} is not a worthit history: {what}; the file is unchanged: name another one", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What the file is instead.
        what: String,
    },
    /// The file was written by a newer version.
    #[error("the history {} has schema version {version}, but this worthit reads only up to version {VERSION}: use the worthit that wrote it, or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
    /// The file is damaged.
    #[error("the history {} is damaged: {problem}; the file is unchanged: restore a backup, or move it away and import the results again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The disk is full.
    #[error("no space left to add to the history {}: free some space and run again; earlier runs are intact", _0.display())]
    Full(PathBuf),
    /// The file, or the log next to it, cannot be created or opened.
    #[error("cannot open the history {}: {problem}; make the file and its folder writable (SQLite keeps its log next to the file), or name another file", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Other processes held the write lock for too long.
    #[error("other processes kept the history {} locked for {} s: run again when they have ended; earlier runs are intact", _0.display(), PATIENCE.as_secs())]
    Busy(PathBuf),
    /// A reading is not a finite number.
    #[error(
        "{pair} at {point}: the {quantity} of {side} is {value}, which is not a finite number; nothing of this run was recorded"
    )]
    NotFinite {
        /// Id of the pair.
        pair: String,
        /// Value on the axis.
        point: u64,
        /// The side.
        side: String,
        /// The quantity.
        quantity: String,
        /// Its value.
        value: f64,
    },
    /// The export cannot be written.
    #[error("cannot write the export: {0}")]
    Export(#[from] csv::Error),
    /// Any other error of SQLite.
    #[error("history {}: {error}; earlier runs are intact", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// The error.
        error: rusqlite::Error,
    },
}

/// Translates an error of SQLite into what it means for the history at `path`.
fn explain(path: &Path, error: rusqlite::Error) -> HistoryError {
    let path = path.to_owned();
    let problem = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            HistoryError::Foreign { path, what: "it is not an SQLite database".to_owned() }
        }
        Some(ErrorCode::DatabaseCorrupt) => HistoryError::Damaged { path, problem },
        Some(ErrorCode::DiskFull) => HistoryError::Full(path),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            HistoryError::Unusable { path, problem }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => HistoryError::Busy(path),
        _ => HistoryError::Other { path, error },
    }
}

impl History {
    /// Opens the history at `path`, or creates an empty one.
    ///
    /// # Errors
    /// If it cannot be created or used. An existing file stays unchanged.
    pub fn open(path: &Path) -> Result<History, HistoryError> {
        if !path.exists() {
            create(path)?;
        }
        History::open_existing(path)
    }

    /// Opens the history at `path`, which must exist.
    ///
    /// # Errors
    /// If there is none, or it cannot be used. An existing file stays unchanged.
    pub fn open_existing(path: &Path) -> Result<History, HistoryError> {
        if !path.exists() {
            return Err(HistoryError::Missing(path.to_owned()));
        }
        let explain = |error| explain(path, error);
        // Without SQLITE_OPEN_CREATE: a file that is deleted in the meantime is not recreated.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
        connection.busy_timeout(PATIENCE).map_err(explain)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(explain)?;
        let pragma = |name| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(explain)
        };
        match (pragma("application_id")?, pragma("user_version")?) {
            (APPLICATION_ID, VERSION) => Ok(History { connection, path: path.to_owned() }),
            (APPLICATION_ID, version) if version > VERSION => {
                Err(HistoryError::Newer { path: path.to_owned(), version })
            }
            _ => {
                let is_empty = fs::metadata(path).is_ok_and(|file| file.len() == 0);
                let what =
                    if is_empty { "it is empty" } else { "it is another program's database" };
                Err(HistoryError::Foreign { path: path.to_owned(), what: what.to_owned() })
            }
        }
    }

    /// Adds the readings of a run in one transaction, in place of an earlier run with the same key. The data is on
    /// the device when this returns.
    ///
    /// # Errors
    /// If a reading is not finite, or the file cannot be written. Earlier runs stay intact.
    pub fn append(&mut self, recorded: &Recorded) -> Result<(), HistoryError> {
        for (place, reading) in &recorded.readings {
            let numbers = [reading.value, reading.low, reading.high];
            if let Some(value) = numbers.into_iter().find(|number| !number.is_finite()) {
                let Place { case: CaseKey { pair, point, .. }, side, quantity } = place.clone();
                return Err(HistoryError::NotFinite { pair, point, side, quantity, value });
            }
        }
        self.add(recorded).map_err(|error| explain(&self.path, error))
    }

    fn add(&mut self, recorded: &Recorded) -> rusqlite::Result<()> {
        // Immediate: a transaction that starts as a reader cannot wait for another writer.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let origin = &recorded.origin;
        let run: i64 = transaction.query_row(
            "INSERT INTO run (key, started, machine_key, rustc, rustflags, \"commit\", dirty, seed, source)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (key) DO UPDATE SET started = ?2, machine_key = ?3, rustc = ?4,
                 rustflags = ?5, \"commit\" = ?6, dirty = ?7, seed = ?8, source = ?9
             RETURNING id",
            params![
                origin.key,
                origin.started.to_string(),
                origin.machine_key,
                origin.rustc,
                origin.rustflags,
                origin.commit,
                origin.dirty,
                origin.seed.cast_signed(),
                origin.source,
            ],
            |row| row.get(0),
        )?;
        transaction.execute(
            "DELETE FROM reading WHERE run = ?1 AND pair IN (SELECT id FROM pair)",
            [run],
        )?;
        {
            let mut insert = transaction.prepare(
                "INSERT OR REPLACE INTO reading (pair, run, line, value, low, high, mark)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let mut pairs: HashMap<&str, i64> = HashMap::new();
            for (place, found) in &recorded.readings {
                let pair = match pairs.get(place.case.pair.as_str()) {
                    Some(pair) => *pair,
                    None => pair_id(&transaction, &place.case.pair)?,
                };
                pairs.insert(&place.case.pair, pair);
                let line = line_id(&transaction, pair, place)?;
                let Reading { value, low, high, mark } = found;
                insert.execute(params![pair, run, line, value, low, high, mark])?;
            }
        }
        transaction.commit()
    }

    /// Returns the ids of the pairs that have readings, sorted.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn pairs(&self) -> Result<Vec<String>, HistoryError> {
        let names = || -> rusqlite::Result<Vec<String>> {
            let mut query = self.connection.prepare("SELECT name FROM pair ORDER BY name")?;
            query.query_map([], |row| row.get(0))?.collect()
        };
        names().map_err(|error| explain(&self.path, error))
    }

    /// Returns the lines of a pair: levels in the order in which they were first recorded, points ascending, machine
    /// keys sorted.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn trend(&self, pair: &str) -> Result<Vec<TrendLine>, HistoryError> {
        self.lines_of(pair).map_err(|error| explain(&self.path, error))
    }

    fn lines_of(&self, name: &str) -> rusqlite::Result<Vec<TrendLine>> {
        // One transaction, so that all queries see the same snapshot.
        let snapshot = self.connection.unchecked_transaction()?;
        let id = "SELECT id FROM pair WHERE name = ?1";
        let Some(pair) = snapshot.query_row(id, [name], |row| row.get(0)).optional()? else {
            return Ok(Vec::new());
        };
        let origins: HashMap<i64, Arc<Origin>> = origins(&snapshot)?.into_iter().collect();
        let places = places(&snapshot, pair, name)?;
        let mut lines: BTreeMap<(i64, &str), TrendLine> = BTreeMap::new();
        let mut query = snapshot
            .prepare("SELECT run, line, value, low, high, mark FROM reading WHERE pair = ?1")?;
        let mut rows = query.query([pair])?;
        while let Some(row) = rows.next()? {
            let (run, id): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (Some(origin), Some(place)) = (origins.get(&run), places.get(&id)) else {
                continue;
            };
            let line = lines.entry((id, &origin.machine_key)).or_insert_with(|| TrendLine {
                machine_key: origin.machine_key.clone(),
                place: place.clone(),
                readings: Vec::new(),
            });
            let (value, low, high) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let reading = Reading { value, low, high, mark: row.get(5)? };
            line.readings.push((Arc::clone(origin), reading));
        }
        let mut levels: Vec<String> = Vec::new();
        for line in lines.values().filter(|line| !line.readings.is_empty()) {
            if !levels.contains(&line.place.case.level) {
                levels.push(line.place.case.level.clone());
            }
        }
        let mut lines: Vec<TrendLine> = lines.into_values().collect();
        let level =
            |line: &TrendLine| levels.iter().position(|level| *level == line.place.case.level);
        // A stable sort: it keeps the order of quantities and machine keys.
        lines.sort_by_key(|line| (level(line), line.place.case.point));
        for line in &mut lines {
            line.readings.sort_by(|(a, _), (b, _)| (a.started, &a.key).cmp(&(b.started, &b.key)));
        }
        Ok(lines)
    }

    /// Writes all readings as CSV, ordered by the start of their runs.
    ///
    /// # Errors
    /// If the file cannot be read, or the export cannot be written.
    pub fn export_csv(&self, into: impl io::Write) -> Result<(), HistoryError> {
        let explain = |error| explain(&self.path, error);
        let snapshot = self.connection.unchecked_transaction().map_err(explain)?;
        let mut origins = origins(&snapshot).map_err(explain)?;
        origins.sort_by(|(_, a), (_, b)| (a.started, &a.key).cmp(&(b.started, &b.key)));
        let mut csv = csv::Writer::from_writer(into);
        csv.write_record([
            "run",
            "started",
            "machine_key",
            "rustc",
            "rustflags",
            "commit",
            "dirty",
            "seed",
            "source",
            "pair",
            "level",
            "point",
            "side",
            "quantity",
            "value",
            "low",
            "high",
            "mark",
        ])?;
        let mut query = snapshot
            .prepare(
                "SELECT name, level, point, side, quantity, value, low, high, mark
                 FROM pair JOIN reading ON reading.pair = pair.id JOIN line ON line.id = reading.line
                 WHERE reading.run = ?1 ORDER BY name, line.id",
            )
            .map_err(explain)?;
        for (run, origin) in &origins {
            let mut rows = query.query([run]).map_err(explain)?;
            while let Some(row) = rows.next().map_err(explain)? {
                let record = csv_record(origin, row).map_err(explain)?;
                csv.write_record(&record)?;
            }
        }
        csv.flush().map_err(csv::Error::from)?;
        Ok(())
    }
}

/// One record of the CSV export.
fn csv_record(origin: &Origin, row: &rusqlite::Row<'_>) -> rusqlite::Result<Vec<String>> {
    let number = |column| row.get::<_, f64>(column).map(|number| number.to_string());
    let mut fields = vec![
        origin.key.clone(),
        origin.started.to_string(),
        origin.machine_key.clone(),
        origin.rustc.clone(),
        origin.rustflags.clone(),
        origin.commit.clone().unwrap_or_default(),
        origin.dirty.to_string(),
        origin.seed.to_string(),
        origin.source.clone(),
    ];
    fields.extend([row.get(0)?, row.get(1)?]);
    fields.push(row.get::<_, i64>(2)?.cast_unsigned().to_string());
    fields.extend([row.get(3)?, row.get(4)?, number(5)?, number(6)?, number(7)?]);
    fields.push(row.get::<_, Option<String>>(8)?.unwrap_or_default());
    Ok(fields)
}

/// Creates an empty history at `path`. It is built in a temporary file and then moved into place, so that no process
/// ever sees half a schema. If two processes create it at once, the second one uses the first one's file.
fn create(path: &Path) -> Result<(), HistoryError> {
    let failed = |error: io::Error| HistoryError::Unusable {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let temp = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let explain = |error| explain(path, error);
    let connection = Connection::open(temp.path()).map_err(explain)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(explain)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(explain)?;
    let marks =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};");
    connection.execute_batch(&format!("BEGIN; {SCHEMA} {marks} COMMIT;")).map_err(explain)?;
    // Closing the last connection also removes the log.
    connection.close().map_err(|(_, error)| explain(error))?;
    // Only its owner may read a temporary file; a history has the permissions of an ordinary file.
    fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .map_err(failed)?;
    match temp.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(error.error));
        }
        _ => {}
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn pair_id(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.execute("INSERT INTO pair (name) VALUES (?1) ON CONFLICT DO NOTHING", [name])?;
    connection.query_row("SELECT id FROM pair WHERE name = ?1", [name], |row| row.get(0))
}

fn line_id(connection: &Connection, pair: i64, place: &Place) -> rusqlite::Result<i64> {
    let Place { case: CaseKey { level, point, .. }, side, quantity } = place;
    let key = params![pair, level, point.cast_signed(), side, quantity];
    let find = "SELECT id FROM line
                WHERE pair = ?1 AND level = ?2 AND point = ?3 AND side = ?4 AND quantity = ?5";
    let mut find = connection.prepare_cached(find)?;
    if let Some(line) = find.query_row(key, |row| row.get(0)).optional()? {
        return Ok(line);
    }
    let insert =
        "INSERT INTO line (pair, level, point, side, quantity) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(insert)?.insert(key)
}

/// Returns all runs with their ids.
fn origins(connection: &Connection) -> rusqlite::Result<Vec<(i64, Arc<Origin>)>> {
    let mut query = connection.prepare(
        "SELECT id, key, started, machine_key, rustc, rustflags, \"commit\", dirty, seed, source FROM run",
    )?;
    let origin = |row: &rusqlite::Row<'_>| {
        let started: String = row.get(2)?;
        let started: Timestamp = started.parse().map_err(|error: jiff::Error| {
            let text = rusqlite::types::Type::Text;
            rusqlite::Error::FromSqlConversionFailure(2, text, Box::new(error))
        })?;
        let origin = Origin {
            key: row.get(1)?,
            started,
            machine_key: row.get(3)?,
            rustc: row.get(4)?,
            rustflags: row.get(5)?,
            commit: row.get(6)?,
            dirty: row.get(7)?,
            seed: row.get::<_, i64>(8)?.cast_unsigned(),
            source: row.get(9)?,
        };
        Ok((row.get(0)?, Arc::new(origin)))
    };
    query.query_map([], origin)?.collect()
}

/// Returns the places of a pair by the ids of their lines.
fn places(connection: &Connection, pair: i64, name: &str) -> rusqlite::Result<HashMap<i64, Place>> {
    let mut query =
        connection.prepare("SELECT id, level, point, side, quantity FROM line WHERE pair = ?1")?;
    let place = |row: &rusqlite::Row<'_>| {
        let place = Place {
            case: CaseKey {
                pair: name.to_owned(),
                level: row.get(1)?,
                point: row.get::<_, i64>(2)?.cast_unsigned(),
            },
            side: row.get(3)?,
            quantity: row.get(4)?,
        };
        Ok((row.get(0)?, place))
    };
    query.query_map([pair], place)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(key: &str, readings: u64) -> Recorded {
        let place = |point| Place {
            case: CaseKey { pair: "f/p".to_owned(), level: String::new(), point },
            side: "naive".to_owned(),
            quantity: super::super::GAIN.to_owned(),
        };
        let reading = Reading { value: 2.0, low: 1.0, high: 3.0, mark: None };
        let origin = Origin {
            key: key.to_owned(),
            started: Timestamp::UNIX_EPOCH,
            machine_key: "made".to_owned(),
            rustc: String::new(),
            rustflags: String::new(),
            commit: None,
            dirty: false,
            seed: 42,
            source: "run".to_owned(),
        };
        let readings = (0..readings).map(|point| (place(point), reading.clone())).collect();
        Recorded { origin, readings }
    }

    #[test]
    fn a_full_disk_keeps_what_was_recorded_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.sqlite");
        let mut history = History::open(&path).unwrap();
        history.append(&recorded("first", 10)).unwrap();
        let pages = "max_page_count";
        history.connection.pragma_update_and_check(None, pages, 14, |_| Ok(())).unwrap();
        let error = history.append(&recorded("second", 10_000)).unwrap_err();
        assert!(matches!(error, HistoryError::Full(_)), "{error}");
        assert!(error.to_string().contains("free some space and run again"), "{error}");
        history.append(&recorded("third", 10)).unwrap();
        let runs = |line: &TrendLine| {
            line.readings.iter().map(|(run, _)| run.key.clone()).collect::<Vec<_>>()
        };
        let lines = History::open(&path).unwrap().trend("f/p").unwrap();
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().all(|line| runs(line) == ["first", "third"]));
    }

    #[test]
    fn commits_are_flushed_to_the_device() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&folder.path().join("history.sqlite")).unwrap();
        let pragma = |name| {
            let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            history.connection.pragma_query_value(None, name, value).unwrap()
        };
        assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2), "FULL");
        assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".to_owned()));
    }

    #[test]
    fn errors_say_what_to_do() {
        let explained = |code| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            explain(Path::new("h.sqlite"), error).to_string()
        };
        for (code, what) in [
            (rusqlite::ffi::SQLITE_READONLY, "make the file and its folder writable"),
            (rusqlite::ffi::SQLITE_BUSY, "run again when they have ended"),
            (rusqlite::ffi::SQLITE_CORRUPT, "restore a backup"),
            (rusqlite::ffi::SQLITE_IOERR_WRITE, "earlier runs are intact"),
        ] {
            let message = explained(code);
            assert!(message.contains(what) && message.contains("h.sqlite"), "{message}");
        }
    }
}
