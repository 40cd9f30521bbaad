//! The cost of an SQLite statement that does next to nothing.

use crate::{Effort, Reading, STATEMENT, Unit};
use worthit_pair::pair::Unavailable;

pub(crate) fn number(effort: &Effort) -> Reading {
    let about = (STATEMENT, "SQLite statement", Unit::Nanoseconds);
    Reading::of(
        about,
        "prepared SELECT 1, stepped to its end, in-memory database",
        statements(effort),
    )
}

#[cfg(feature = "sqlite")]
fn statements(effort: &Effort) -> Result<Vec<f64>, Unavailable> {
    let failed = |error: rusqlite::Error| Unavailable(format!("SQLite failed: {error}"));
    let database = rusqlite::Connection::open_in_memory().map_err(failed)?;
    let mut select = database.prepare("SELECT 1").map_err(failed)?;
    effort.try_ns_per_operation(|count| sum_of_rows(&mut select, count).map(drop)).map_err(failed)
}

#[cfg(not(feature = "sqlite"))]
fn statements(_: &Effort) -> Result<Vec<f64>, Unavailable> {
    Err(Unavailable("this build has no SQLite: build it with the feature `sqlite`".to_owned()))
}

/// Runs the statement `count` times. Returns the sum of the values that it selects.
#[cfg(feature = "sqlite")]
fn sum_of_rows(select: &mut rusqlite::Statement<'_>, count: u64) -> rusqlite::Result<i64> {
    let mut sum = 0;
    for _ in 0..count {
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            sum += row.get::<_, i64>(0)?;
        }
    }
    Ok(sum)
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    #[test]
    fn every_statement_selects_its_row() {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        let mut select = database.prepare("SELECT 1").unwrap();
        assert_eq!(sum_of_rows(&mut select, 1_000), Ok(1_000));
        let mut broken = database.prepare("SELECT 'x'").unwrap();
        assert!(sum_of_rows(&mut broken, 1).is_err());
    }
}
