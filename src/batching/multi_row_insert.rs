//! Insert many rows: several with each statement, not one.

use rand::{RngExt, seq::SliceRandom};
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use crate::fixtures::{
    shop::{ShopFile, Size},
    sqlite,
};
use worthit_pair::prelude::*;

/// Rows that one iteration inserts, a multiple of every point of the axis.
const ROWS: u64 = 400;
const STORED: &str = "SELECT path, day, views FROM daily_views ORDER BY path, day";

pub const PAIR: Pair = Pair {
    title: "Insert several rows with each statement",
    review: Review {
        smell: "A prepared `INSERT … VALUES (?, ?, ?)` that a loop executes for each of many rows that are all at hand.",
        remedy: "Prepare one `INSERT` with the placeholders of several rows, execute it for each of \
                 `rows.chunks_exact(rows_at_once)`, and a shorter one for the `remainder()`.",
        keep_naive_when: "The rows are few, or wide, or have indexes and foreign keys: then the work for a row outweighs \
                          that for its statement. In process, a prepared statement in a loop is nearly as good for \
                          most tables, as long as there is one transaction around it.",
        costs: "A text for each number of rows. A long one takes time to build, to prepare and to find among the prepared \
                statements, so that more rows at once soon gain nothing more. SQLite accepts at most 32,766 \
                placeholders. An error does not say which row it is about.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a row with each statement",
        growth: Growth::Other("a statement for each row"),
    },
    optimized: Side {
        summary: "several rows with each statement",
        growth: Growth::Other("falls until the rows themselves take the time"),
    },
    input: "A day's page views of 400 paths, three narrow columns, inserted in the order of a hash map into an empty \
            SQLite table that is kept in the order of its paths. One transaction is around them on both sides. Its \
            commit writes to the write-ahead log and does not flush.",
    axis: Axis {
        name: "rows per statement",
        unit: "rows",
        is_size: false,
        points: Points::Fixed { default: &[2, 5, 20, 100, 200], deep: &[] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 100 },
    causes: &[Claim {
        cause: causes::STATEMENTS,
        // Two of them begin and end the transaction.
        naive: Count::Exactly(|_| ROWS + 2),
        optimized: Count::Exactly(|case| ROWS / case.point + 2),
    }],
    explanation: Explanation {
        why: "A statement for each row became one for many. Both sides bind the same values, search the same places in \
              the table and write the same pages, and within a transaction a statement takes no lock. What is saved is \
              to start and reset a prepared statement, which is a small part of an insert. A statement of several rows \
              costs something of its own: it must fail as a whole, so SQLite copies each page before the statement \
              changes it for the first time, and a coroutine hands over its rows. So two rows at once cost more than \
              one after the other. A server adds a round trip to each statement, and there the gain follows the ratio.",
        share_of_cause: ShareOfCause::Within(0.008, 0.03),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(5),
    },
    traps: &[&Trap {
        name: "the rows come in the order of the table",
        reason: "each would be appended to the last page without a search, and its statement would be a larger part",
        check: |inputs: &[Input]| {
            let sorted = inputs.iter().find(|input| input.rows.is_sorted_by_key(|row| &row.path));
            ensure(sorted.is_none(), || "the paths ascend".to_owned())
        },
        sprung: || {
            let views = |i: i64| Views { path: format!("/products/{i:04}"), day: 1, views: 1 };
            vec![Input { rows: (0..1_000).map(views).collect(), rows_at_once: 10 }]
        },
    }],
    limit: Limit::None(
        "finding the place of each row in the table is what remains, and no machine number bounds that",
    ),
    proof: Proof { resources: Resources::System, max_size: 20 },
    prepare,
    ..Pair::DEFAULTS
};

/// Batches of rows in the rotation.
const TURNS: u64 = 16;

struct Input {
    rows: Vec<Views>,
    rows_at_once: usize,
}

/// How often a path was asked for in a day.
#[derive(Clone, Debug, PartialEq)]
struct Views {
    path: String,
    day: i64,
    views: i64,
}

impl Found for Views {
    fn found(&self) -> u64 {
        1
    }
}

impl Views {
    /// The values in the order of the columns.
    fn values(&self) -> [&dyn ToSql; 3] {
        [&self.path, &self.day, &self.views]
    }
}

/// Adds the rows, all or none.
fn naive(shop: &mut Connection, rows: &[Views]) -> rusqlite::Result<()> {
    let transaction = shop.transaction()?;
    let mut insert = transaction.prepare_cached(&insert_of(1))?;
    for row in rows {
        insert.execute(row.values())?;
    }
    drop(insert);
    transaction.commit()
}

/// Adds the rows, all or none.
fn optimized(shop: &mut Connection, rows: &[Views], rows_at_once: usize) -> rusqlite::Result<()> {
    let transaction = shop.transaction()?;
    let chunks = rows.chunks_exact(rows_at_once);
    let rest = chunks.remainder();
    let mut insert = transaction.prepare_cached(&insert_of(rows_at_once))?;
    for chunk in chunks {
        insert.execute(params_from_iter(chunk.iter().flat_map(Views::values)))?;
    }
    drop(insert);
    if !rest.is_empty() {
        let mut insert = transaction.prepare_cached(&insert_of(rest.len()))?;
        insert.execute(params_from_iter(rest.iter().flat_map(Views::values)))?;
    }
    transaction.commit()
}

/// The statement that inserts this many rows.
fn insert_of(rows: usize) -> String {
    let values = vec!["(?, ?, ?)"; rows].join(", ");
    format!("INSERT INTO daily_views (path, day, views) VALUES {values}")
}

/// The rows in the shop.
fn stored(shop: &Connection) -> rusqlite::Result<Vec<Views>> {
    let views =
        |row: &Row<'_>| Ok(Views { path: row.get(0)?, day: row.get(1)?, views: row.get(2)? });
    shop.prepare_cached(STORED)?.query_map((), views)?.collect()
}

struct State {
    shop: Connection,
    _file: ShopFile,
}

impl State {
    fn new(case: &Case) -> Result<State, Unavailable> {
        let size = Size { customers: 1, ..Size::default() };
        let file = ShopFile::new(paths::scratch()?, case, size, "")?;
        let shop = file.open()?;
        Ok(State { shop, _file: file })
    }

    /// Deletes the rows.
    fn reset(&mut self) {
        let deleted = self.shop.execute("DELETE FROM daily_views", ());
        deleted.and_then(|_| sqlite::restart_log(&self.shop)).expect("the table can be emptied");
    }
}

/// Views of distinct paths, in no order.
fn rows(case: &Case) -> Vec<Views> {
    let (count, mut rng) = (case.items(ROWS), case.rng("views"));
    let hostile = ["", "'; DROP TABLE daily_views; --", "/§7?q=%_\"", "?1", "\u{0}"];
    let path = |id: usize| match case.shape {
        Shape::Realistic => format!("/products/{id}"),
        // Every other one is empty but for its number, which keeps them distinct.
        Shape::Adversarial => format!("{}{id}", hostile[id % hostile.len()]),
        _ => format!("{id}/{}", "x".repeat(id % 300)),
    };
    let mut ids: Vec<usize> = (1..=4 * count).collect();
    ids.shuffle(&mut rng);
    let day = 19_700 + case.turn as i64;
    let views = |(id, value)| {
        let views =
            if case.shape == Shape::Realistic { rng.random_range(1..5_000) } else { value as i64 };
        Views { path: path(id), day, views }
    };
    ids.into_iter().zip(case.values(count)).map(views).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs =
        case.rotate(TURNS, |case| Input { rows: rows(case), rows_at_once: case.point as usize });
    let over = |state, side: fn(&mut Connection, &Input) -> rusqlite::Result<()>| {
        let add = move |state: &mut State, input: &Input| {
            side(&mut state.shop, input).expect("the shop takes the rows");
        };
        let summary = |state: &mut State| stored(&state.shop).expect("the shop is readable");
        changing(&inputs, state, State::reset, add, summary)
    };
    let trial = Trial::new(
        inputs.measured(|input| input.rows_at_once as u64),
        over(State::new(case)?, |shop, input| naive(shop, &input.rows)),
        over(State::new(case)?, |shop, input| optimized(shop, &input.rows, input.rows_at_once)),
    );
    Ok(trial.units(inputs[0].rows.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE daily_views (path, day, views, PRIMARY KEY (path, day))";

    fn views(path: &str, views: i64) -> Views {
        Views { path: path.to_owned(), day: 1, views }
    }

    #[test]
    fn known_answers() {
        let rows =
            [views("c", 3), views("it's §7", i64::MIN), views("", 0), views("b", 2), views("a", 1)];
        let by_path = [2, 4, 3, 0, 1].map(|i: usize| rows[i].clone());
        for rows_at_once in [1, 2, 5, 6] {
            for is_naive in [false, true] {
                let mut shop = Connection::open_in_memory().unwrap();
                shop.execute_batch(TABLE).unwrap();
                for rows in [&rows[..3], &[], &rows[3..]] {
                    let added = match is_naive {
                        true => naive(&mut shop, rows),
                        false => optimized(&mut shop, rows, rows_at_once),
                    };
                    added.unwrap();
                }
                assert_eq!(stored(&shop).unwrap(), by_path);
                assert!(shop.is_autocommit(), "everything is committed");
            }
        }
    }

    #[test]
    fn a_row_that_is_refused_takes_all_with_it() {
        let mut shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(TABLE).unwrap();
        let rows = ["a", "b", "c", "d", "b", "e"].map(|path| views(path, 1));
        assert!(naive(&mut shop, &rows).is_err());
        assert!(optimized(&mut shop, &rows, 3).is_err());
        assert!(stored(&shop).unwrap().is_empty());
    }

    #[test]
    fn trap_every_iteration_finds_an_empty_table_and_the_same_log() {
        let case = Case { proof_size: Some(100), ..Case::realistic(20, 0, 42) };
        let (mut state, rows) = (State::new(&case).unwrap(), rows(&case));
        let log = format!("{}-wal", state.shop.path().unwrap());
        let mut lengths = Vec::new();
        for _ in 0..4 {
            state.reset();
            assert!(stored(&state.shop).unwrap().is_empty());
            optimized(&mut state.shop, &rows, 20).unwrap();
            lengths.push(std::fs::metadata(&log).unwrap().len());
        }
        assert!(lengths.windows(2).skip(1).all(|pair| pair[0] == pair[1]), "{lengths:?}");
    }
}
