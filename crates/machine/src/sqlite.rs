//! The cost of SQLite statements that do next to nothing: one in memory, a look-up in a file, a row that is returned.

use crate::{Effort, FILE_STATEMENT, ROW, Reading, STATEMENT, Unit};

pub(crate) fn numbers(effort: &Effort) -> [Reading; 3] {
    let number =
        |id, what, detail, readings| Reading::of((id, what, Unit::Nanoseconds), detail, readings);
    let [statement, file_statement, row] = readings(effort);
    [
        number(
            STATEMENT,
            "SQLite statement",
            "prepared SELECT 1, stepped to its end, in-memory database",
            statement,
        ),
        number(
            FILE_STATEMENT,
            "SQLite look-up",
            "prepared SELECT of an integer by its key, random rows of a file of 10,000, write-ahead log",
            file_statement,
        ),
        number(
            ROW,
            "SQLite row",
            "one of 1,000 rows of an integer that a prepared SELECT returns in key order",
            row,
        ),
    ]
}

#[cfg(not(feature = "sqlite"))]
fn readings(_: &Effort) -> [Result<Vec<f64>, worthit_pair::pair::Unavailable>; 3] {
    let why = "this build has no SQLite: build it with the feature `sqlite`";
    [(); 3].map(|()| Err(worthit_pair::pair::Unavailable(why.to_owned())))
}

#[cfg(feature = "sqlite")]
use database::readings;

#[cfg(feature = "sqlite")]
mod database {
    use std::path::Path;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rusqlite::{Connection, Result, Statement};

    use crate::Effort;
    use worthit_pair::{pair::Unavailable, paths};

    /// Rows of the file.
    const ROWS: u64 = 10_000;
    /// Rows that one statement returns.
    const RETURNED: u64 = 1_000;

    pub(super) fn readings(effort: &Effort) -> [std::result::Result<Vec<f64>, Unavailable>; 3] {
        let failed = |error: rusqlite::Error| Unavailable(format!("SQLite failed: {error}"));
        let on_file = |readings: fn(&Effort, &Connection) -> Result<Vec<f64>>| {
            let folder = paths::scratch()?;
            let database = filled(&folder.path().join("rows.db")).map_err(failed)?;
            readings(effort, &database).map_err(failed)
        };
        [statements(effort).map_err(failed), on_file(lookups), on_file(rows)]
    }

    fn statements(effort: &Effort) -> Result<Vec<f64>> {
        let database = Connection::open_in_memory()?;
        let mut select = database.prepare("SELECT 1")?;
        effort.try_ns_per_operation(|count| {
            (0..count).try_for_each(|_| sum_of_rows(&mut select, &[]).map(drop))
        })
    }

    fn lookups(effort: &Effort, database: &Connection) -> Result<Vec<f64>> {
        let mut select = database.prepare("SELECT value FROM rows WHERE id = ?1")?;
        let mut rng = ChaCha8Rng::seed_from_u64(ROWS);
        effort.try_ns_per_operation(|count| {
            (0..count).try_for_each(|_| {
                sum_of_rows(&mut select, &[rng.random_range(1..=ROWS as i64)]).map(drop)
            })
        })
    }

    fn rows(effort: &Effort, database: &Connection) -> Result<Vec<f64>> {
        let mut select = database.prepare("SELECT value FROM rows WHERE id <= ?1 ORDER BY id")?;
        let thousands = effort.try_ns_per_operation(|count| {
            (0..count).try_for_each(|_| sum_of_rows(&mut select, &[RETURNED as i64]).map(drop))
        })?;
        Ok(thousands.into_iter().map(|ns| ns / RETURNED as f64).collect())
    }

    fn filled(path: &Path) -> Result<Connection> {
        let mut database = Connection::open(path)?;
        database.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")?;
        let transaction = database.transaction()?;
        transaction.execute_batch("CREATE TABLE rows (id INTEGER PRIMARY KEY, value INTEGER)")?;
        {
            let mut insert = transaction.prepare("INSERT INTO rows VALUES (?1, 1)")?;
            (1..=ROWS as i64).try_for_each(|id| insert.execute([id]).map(drop))?;
        }
        transaction.commit()?;
        Ok(database)
    }

    /// Runs the statement. Returns the sum of the values that it selects.
    fn sum_of_rows(select: &mut Statement<'_>, parameters: &[i64]) -> Result<i64> {
        let mut rows = select.query(rusqlite::params_from_iter(parameters))?;
        let mut sum = 0;
        while let Some(row) = rows.next()? {
            sum += row.get::<_, i64>(0)?;
        }
        Ok(sum)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_statement_selects_its_rows() {
            let folder = paths::scratch().unwrap();
            let database = filled(&folder.path().join("rows.db")).unwrap();
            let mut select = database.prepare("SELECT value FROM rows WHERE id <= ?1").unwrap();
            assert_eq!(sum_of_rows(&mut select, &[RETURNED as i64]), Ok(RETURNED as i64));
            let mut select = database.prepare("SELECT value FROM rows WHERE id = ?1").unwrap();
            assert_eq!(sum_of_rows(&mut select, &[ROWS as i64]), Ok(1));
            assert_eq!(sum_of_rows(&mut select, &[ROWS as i64 + 1]), Ok(0));
            let mut broken = database.prepare("SELECT 'x'").unwrap();
            assert!(sum_of_rows(&mut broken, &[]).is_err());
        }
    }
}
