//! The file of a history: one SQLite database for all runs and machines.
//!
//! Its log is written ahead and flushed to the device with each commit, and a run is one
//! transaction. So several processes may add to it at once, and one that is killed loses at
//! most the run that it was adding.

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

use super::{Line, Origin, Place, Reading, Recorded};

const SCHEMA: &str = include_str!("schema.sql");
/// Its version: raised when a reader of the old one would misread the new one.
const VERSION: i64 = 1;
/// Tells a history from other databases: "wort".
const APPLICATION_ID: i64 = 0x776f_7274;
/// How long a writer waits for others.
const PATIENCE: Duration = Duration::from_secs(60);

/// A history in its file.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

/// A history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is none.
    #[error("there is no history in {} yet: add a run with `worthit history --history {} --import RESULT`", _0.display(), _0.display())]
    Missing(PathBuf),
    /// The file is something else.
    #[error("{} is no history of worthit: {what}; it was left as it is: name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// It was written by a newer version.
    #[error("the history {} has version {version} of its schema, this worthit reads up to {VERSION}: use the worthit that wrote it, or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
    /// The file is damaged.
    #[error("the history {} is damaged: {problem}; it was left as it is: put a copy in its place, or move it away and import the results anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is no room for more.
    #[error("no room to add to the history {}: free some space and run again; what was recorded before is still there", _0.display())]
    Full(PathBuf),
    /// It cannot be made, or its log cannot lie beside it.
    #[error("cannot open the history {}: {problem}; make the file and its folder writable (SQLite keeps its log beside the file), or name another file", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Others have been writing all the while.
    #[error("other processes have been writing to the history {} for {} s: run again when they have ended; what was recorded before is still there", _0.display(), PATIENCE.as_secs())]
    Busy(PathBuf),
    /// A reading is no number.
    #[error(
        "{pair} at {point}: the {quantity} of {side} is {value}, which is no number to keep; nothing of its run was recorded"
    )]
    NotFinite {
        /// Id of the pair.
        pair: String,
        /// Value on the axis.
        point: u64,
        /// The side.
        side: String,
        /// What was read.
        quantity: String,
        /// What it is.
        value: f64,
    },
    /// The export cannot be written.
    #[error("cannot write the export: {0}")]
    Export(#[from] csv::Error),
    /// Anything else that SQLite says.
    #[error("the history {}: {error}; what was recorded before is still there", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: rusqlite::Error,
    },
}

/// What SQLite's errors mean for a history.
fn explain(path: &Path, error: rusqlite::Error) -> HistoryError {
    let path = path.to_owned();
    let problem = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            HistoryError::Foreign { path, what: "it is no SQLite database".to_owned() }
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
    /// Opens the history at `path`, and makes an empty one if there is none.
    ///
    /// # Errors
    /// If it cannot be made or used; whatever is there is left as it is.
    pub fn open(path: &Path) -> Result<History, HistoryError> {
        if !path.exists() {
            create(path)?;
        }
        History::open_existing(path)
    }

    /// Opens the history at `path`, which must be there.
    ///
    /// # Errors
    /// If there is none, or it cannot be used; whatever is there is left as it is.
    pub fn open_existing(path: &Path) -> Result<History, HistoryError> {
        if !path.exists() {
            return Err(HistoryError::Missing(path.to_owned()));
        }
        let explain = |error| explain(path, error);
        // Without the flag to create: a file that goes away meanwhile is not made anew.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
        connection.busy_timeout(PATIENCE).map_err(explain)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(explain)?;
        let number = |name| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(explain)
        };
        match (number("application_id")?, number("user_version")?) {
            (APPLICATION_ID, VERSION) => Ok(History { connection, path: path.to_owned() }),
            (APPLICATION_ID, version) if version > VERSION => {
                Err(HistoryError::Newer { path: path.to_owned(), version })
            }
            _ => {
                let is_empty = fs::metadata(path).is_ok_and(|file| file.len() == 0);
                let what = if is_empty { "it is empty" } else { "another program's database" };
                Err(HistoryError::Foreign { path: path.to_owned(), what: what.to_owned() })
            }
        }
    }

    /// Adds what a run found, whole or not at all; a run of the same key is replaced. When this
    /// returns it is on the device.
    ///
    /// # Errors
    /// If a reading is not finite, or the file cannot be written; what it held stays.
    pub fn append(&mut self, recorded: &Recorded) -> Result<(), HistoryError> {
        for (place, reading) in &recorded.readings {
            let numbers = [reading.value, reading.low, reading.high];
            if let Some(value) = numbers.into_iter().find(|number| !number.is_finite()) {
                let Place { pair, point, side, quantity, .. } = place.clone();
                return Err(HistoryError::NotFinite { pair, point, side, quantity, value });
            }
        }
        self.add(recorded).map_err(|error| explain(&self.path, error))
    }

    fn add(&mut self, recorded: &Recorded) -> rusqlite::Result<()> {
        // Immediate: a transaction that began by reading could not wait for another's end.
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
                let pair = match pairs.get(place.pair.as_str()) {
                    Some(pair) => *pair,
                    None => pair_id(&transaction, &place.pair)?,
                };
                pairs.insert(&place.pair, pair);
                let line = line_id(&transaction, pair, place)?;
                let Reading { value, low, high, mark } = found;
                insert.execute(params![pair, run, line, value, low, high, mark])?;
            }
        }
        transaction.commit()
    }

    /// Ids of the pairs that have readings, sorted.
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

    /// The lines of a pair: levels as they came, points ascending, machine keys sorted.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn trend(&self, pair: &str) -> Result<Vec<Line>, HistoryError> {
        self.lines_of(pair).map_err(|error| explain(&self.path, error))
    }

    fn lines_of(&self, name: &str) -> rusqlite::Result<Vec<Line>> {
        // One transaction, so that all of it is read of one moment.
        let moment = self.connection.unchecked_transaction()?;
        let id = "SELECT id FROM pair WHERE name = ?1";
        let Some(pair) = moment.query_row(id, [name], |row| row.get(0)).optional()? else {
            return Ok(Vec::new());
        };
        let origins: HashMap<i64, Arc<Origin>> = origins(&moment)?.into_iter().collect();
        let places = places(&moment, pair, name)?;
        let mut lines: BTreeMap<(i64, &str), Line> = BTreeMap::new();
        let mut query = moment
            .prepare("SELECT run, line, value, low, high, mark FROM reading WHERE pair = ?1")?;
        let mut rows = query.query([pair])?;
        while let Some(row) = rows.next()? {
            let (run, id): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (Some(origin), Some(place)) = (origins.get(&run), places.get(&id)) else {
                continue;
            };
            let line = lines.entry((id, &origin.machine_key)).or_insert_with(|| Line {
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
            if !levels.contains(&line.place.level) {
                levels.push(line.place.level.clone());
            }
        }
        let mut lines: Vec<Line> = lines.into_values().collect();
        let level = |line: &Line| levels.iter().position(|level| *level == line.place.level);
        // Stable, so that quantities stay as they came and machine keys sorted.
        lines.sort_by_key(|line| (level(line), line.place.point));
        for line in &mut lines {
            line.readings.sort_by(|(a, _), (b, _)| (a.started, &a.key).cmp(&(b.started, &b.key)));
        }
        Ok(lines)
    }

    /// Writes all readings as CSV, by the start of their runs.
    ///
    /// # Errors
    /// If the file cannot be read, or the export not be written.
    pub fn export_csv(&self, into: impl io::Write) -> Result<(), HistoryError> {
        let explain = |error| explain(&self.path, error);
        let moment = self.connection.unchecked_transaction().map_err(explain)?;
        let mut origins = origins(&moment).map_err(explain)?;
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
        let mut query = moment
            .prepare(
                "SELECT name, level, point, side, quantity, value, low, high, mark
                 FROM pair JOIN reading ON reading.pair = pair.id JOIN line ON line.id = reading.line
                 WHERE reading.run = ?1 ORDER BY name, line.id",
            )
            .map_err(explain)?;
        for (run, origin) in &origins {
            let mut rows = query.query([run]).map_err(explain)?;
            while let Some(row) = rows.next().map_err(explain)? {
                let fields = fields(origin, row).map_err(explain)?;
                csv.write_record(&fields)?;
            }
        }
        csv.flush().map_err(csv::Error::from)?;
        Ok(())
    }
}

/// One line of the export.
fn fields(origin: &Origin, row: &rusqlite::Row<'_>) -> rusqlite::Result<Vec<String>> {
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

/// Makes an empty history at `path`: whole, beside it, then in its place, so that no process ever
/// meets half a schema. Whoever comes second uses the first's.
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
    // The last connection takes its log along.
    connection.close().map_err(|(_, error)| explain(error))?;
    // A temp file is the owner's alone; a history is as any other file.
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
    let Place { level, point, side, quantity, .. } = place;
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

/// All runs by their ids.
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

/// The places of a pair by the ids of their lines.
fn places(connection: &Connection, pair: i64, name: &str) -> rusqlite::Result<HashMap<i64, Place>> {
    let mut query =
        connection.prepare("SELECT id, level, point, side, quantity FROM line WHERE pair = ?1")?;
    let place = |row: &rusqlite::Row<'_>| {
        let place = Place {
            pair: name.to_owned(),
            level: row.get(1)?,
            point: row.get::<_, i64>(2)?.cast_unsigned(),
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
            pair: "f/p".to_owned(),
            level: String::new(),
            point,
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
        let runs =
            |line: &Line| line.readings.iter().map(|(run, _)| run.key.clone()).collect::<Vec<_>>();
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
            (rusqlite::ffi::SQLITE_CORRUPT, "put a copy in its place"),
            (rusqlite::ffi::SQLITE_IOERR_WRITE, "what was recorded before is still there"),
        ] {
            let message = explained(code);
            assert!(message.contains(what) && message.contains("h.sqlite"), "{message}");
        }
    }
}
