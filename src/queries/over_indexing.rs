//! Insert into a table: keep the indexes that queries use, and drop the others.

use std::collections::BTreeSet;

use rand::RngExt;
use rusqlite::{Connection, Row};

use crate::fixtures::{
    shop::{ShopFile, Size, number},
    sqlite,
};
use worthit_pair::prelude::*;

/// Visits in the table before each batch.
const VISITS: u64 = 20_000;
/// Visits in a batch.
const BATCH: u64 = 100;
/// The index that a query uses.
const USED: &str = "CREATE INDEX visits_by_path ON visits (path);";
/// Indexes that no query uses, in the order in which the axis adds them. The first is on a foreign key, which would use
/// it if a customer were deleted; none ever is.
const UNUSED: [&str; 6] = [
    "CREATE INDEX visits_by_customer ON visits (customer_id);",
    "CREATE INDEX visits_by_took ON visits (took_us);",
    "CREATE INDEX visits_by_time ON visits (visited_at);",
    "CREATE INDEX visits_by_status ON visits (status);",
    "CREATE INDEX visits_by_referrer ON visits (referrer);",
    "CREATE INDEX visits_by_agent ON visits (agent);",
];
const INSERT: &str =
    "INSERT INTO visits (customer_id, visited_at, path, referrer, agent, status, took_us)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub const PAIR: Pair = Pair {
    title: "Drop the indexes that nobody uses",
    review: Review {
        smell: "An index on every column, or a new index \"in case it is needed\", on a table that is written more than \
                it is read. PostgreSQL counts the uses of each index in `pg_stat_user_indexes`; in SQLite, compare the \
                indexes with the query plans of the program's statements.",
        remedy: "Keep the indexes that a query plan names, here `visits_by_path`, those of unique keys, and those of \
                 foreign keys to rows that may be deleted. `DROP INDEX` the others.",
        keep_naive_when: "A query that must be quick needs the index, even if it seldom runs. Or the table is hardly \
                          written.",
        costs: "The query that did use the index now scans: look for the one that runs once a month. Building an \
                index anew reads and sorts the whole table.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "an index on each of several columns",
        growth: Growth::Other(
            "with the pages that the entries change, more of them for columns in no order",
        ),
    },
    optimized: Side { summary: "the one index that a query uses", growth: Growth::Constant },
    input: "Batches of 100 visits of a web shop, each batch one transaction, added to a SQLite table with 20,000 and an \
            index of their paths. The axis is how many more indexes the table has: first of columns whose values come in \
            no order, then of the time, which only grows, then of columns with few values. Customers are never deleted, so \
            no foreign key needs one of them. The write-ahead log is not flushed at a commit (`synchronous = NORMAL`), \
            and no checkpoint is timed.",
    axis: Axis {
        name: "unused indexes",
        unit: "indexes",
        is_size: false,
        points: Points::Fixed { default: &[1, 2, 3, 4, 5, 6], deep: &[] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 4 },
    causes: &[Claim {
        cause: causes::BYTES_WRITTEN,
        // A hundred rows change most pages of an index in no order, and few of one that only grows.
        naive: Count::AtLeast(|case| if case.point == 1 { 280_000 } else { 400_000 }),
        optimized: Count::AtMost(|_| 260_000),
    }],
    explanation: Explanation {
        why: "Each row is an entry in each index, whose place must be found, and a commit writes every page that \
              the batch has changed, whole, into the log. Where the values come in no order, nearly every entry \
              changes a page of its own. Where they only grow, or are few, many entries share a page, so such an \
              index adds fewer pages, but the search for the place remains. The rows themselves and the index in \
              use are written on both sides. Checkpoints, which copy each changed page to the database once more, \
              are not timed.",
        share_of_cause: ShareOfCause::Within(0.5, 1.25),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "the columns hold one value each",
            reason: "an entry would go to the end of its index, on the page that the one before has changed",
            check: |inputs: &[Input]| {
                let distinct = |column: fn(&Visit) -> i64| {
                    let all = inputs.iter().flat_map(|input| &input.batch).map(column);
                    all.collect::<BTreeSet<i64>>().len()
                };
                let (customers, durations) = (
                    distinct(|visit| visit.customer.unwrap_or(-1)),
                    distinct(|visit| visit.took_us),
                );
                ensure(customers > 20 && durations > 50, || {
                    format!("{customers} customers and {durations} durations")
                })
            },
            sprung: || {
                let visit = Visit { customer: Some(1), took_us: 7, ..Visit::default() };
                vec![Input { batch: vec![visit; 200], unused: 1 }]
            },
        },
        &Trap {
            name: "every batch has the same rows",
            reason: "they would go to pages that the batch before left with room for them",
            check: |inputs: &[Input]| {
                let same = inputs.windows(2).filter(|two| two[0].batch == two[1].batch).count();
                ensure(same == 0, || format!("{same} batches are the same as the one before"))
            },
            sprung: || (0..2).map(|_| Input { batch: vec![Visit::default()], unused: 1 }).collect(),
        },
    ],
    // A row of a visit has a hundred bytes at least, and its entry in the index of the paths has ten.
    limit: Limit::Work(&[Work::Statements(|_| BATCH), Work::BytesWritten(|_| BATCH * 110)]),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

/// Batches in the rotation.
const TURNS: u64 = 32;

/// A visit, as it is inserted.
#[derive(Clone, Debug, Default, PartialEq)]
struct Visit {
    customer: Option<i64>,
    visited_at: i64,
    path: String,
    referrer: String,
    agent: String,
    status: i64,
    took_us: i64,
}

impl Found for Visit {
    fn found(&self) -> u64 {
        1
    }
}

struct Input {
    batch: Vec<Visit>,
    /// Number of indexes that only the naive side's table has.
    unused: u64,
}

struct State {
    shop: Connection,
    /// Id of the last visit before each batch.
    last: i64,
    _file: ShopFile,
}

/// Adds the visits to a table with indexes of most columns.
fn naive(shop: &mut Connection, visits: &[Visit]) -> rusqlite::Result<()> {
    insert(shop, visits)
}

/// Adds the visits to a table with the index `visits_by_path` alone.
fn optimized(shop: &mut Connection, visits: &[Visit]) -> rusqlite::Result<()> {
    insert(shop, visits)
}

/// The same code for both sides; their tables differ.
fn insert(shop: &mut Connection, visits: &[Visit]) -> rusqlite::Result<()> {
    let transaction = shop.transaction()?;
    {
        let mut insert = transaction.prepare_cached(INSERT)?;
        for Visit { customer, visited_at, path, referrer, agent, status, took_us } in visits {
            insert.execute((customer, visited_at, path, referrer, agent, status, took_us))?;
        }
    }
    transaction.commit()
}

/// The visits after the one with the id `last`.
fn visits_after(shop: &Connection, last: i64) -> rusqlite::Result<Vec<Visit>> {
    let sql = "SELECT customer_id, visited_at, path, referrer, agent, status, took_us FROM visits
               WHERE id > ?1 ORDER BY id";
    shop.prepare_cached(sql)?.query_map([last], visit)?.collect()
}

fn visit(row: &Row<'_>) -> rusqlite::Result<Visit> {
    Ok(Visit {
        customer: row.get(0)?,
        visited_at: row.get(1)?,
        path: row.get(2)?,
        referrer: row.get(3)?,
        agent: row.get(4)?,
        status: row.get(5)?,
        took_us: row.get(6)?,
    })
}

impl State {
    /// A shop with the index that is used and this many others.
    fn new(case: &Case, unused: u64) -> Result<State, Unavailable> {
        let size = Size::of_visits(case.items(VISITS) as u64);
        let indexes = USED.to_owned() + &UNUSED[..unused as usize].concat();
        let file = ShopFile::new(paths::scratch()?, case, size, &indexes)?;
        let shop = file.open()?;
        let sql = "SELECT coalesce(max(id), 0) FROM visits";
        let last = number(&shop, sql, ()) as i64;
        Ok(State { shop, last, _file: file })
    }

    /// Number of indexes of the visits.
    fn indexes(&self) -> u64 {
        let sql = "SELECT count(*) FROM pragma_index_list('visits')";
        number(&self.shop, sql, ())
    }

    /// Deletes the batch.
    fn reset(&mut self) {
        let deleted = self.shop.execute("DELETE FROM visits WHERE id > ?1", [self.last]);
        deleted.and_then(|_| sqlite::restart_log(&self.shop)).expect("the batch can be deleted");
    }
}

/// Visits after the last one, each with the values of a random one before: so each column has them in the shares that
/// it has in the table.
fn batch(case: &Case, shop: &Connection, last: i64) -> Vec<Visit> {
    let mut rng = case.rng("batch");
    let count = if last == 0 { 0 } else { case.items(BATCH) as i64 };
    let latest = "SELECT coalesce(max(visited_at), 0) FROM visits";
    let latest: i64 = shop.query_row(latest, (), |row| row.get(0)).expect("a time");
    let sql = "SELECT customer_id, visited_at, path, referrer, agent, status, took_us FROM visits WHERE id = ?1";
    let mut of_visit = shop.prepare(sql).expect("a query");
    let mut batch: Vec<Visit> = (0..count)
        .map(|_| {
            of_visit.query_row([rng.random_range(1..=last)], visit).expect("ids are from 1 on")
        })
        .collect();
    for (nth, visit) in batch.iter_mut().enumerate() {
        visit.visited_at = latest.saturating_add(7 * nth as i64);
        visit.took_us += rng.random_range(0..100);
    }
    batch
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let (plain, indexed) = (State::new(case, 0)?, State::new(case, case.point)?);
    let unused = indexed.indexes() - plain.indexes();
    let inputs =
        case.rotate(TURNS, |case| Input { batch: batch(case, &plain.shop, plain.last), unused });
    let over = |state, side: fn(&mut Connection, &[Visit]) -> rusqlite::Result<()>| {
        let add = move |state: &mut State, input: &Input| {
            side(&mut state.shop, &input.batch).expect("the shop takes visits");
        };
        let summary = |state: &mut State| {
            visits_after(&state.shop, state.last).expect("the shop is readable")
        };
        changing(&inputs, state, State::reset, add, summary)
    };
    let trial = Trial::new(
        inputs.measured(|input| input.unused),
        over(indexed, naive),
        over(plain, optimized),
    );
    Ok(trial.units(inputs[0].batch.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let case = Case { proof_size: Some(3), ..Case::realistic(1, 0, 42) };
        for (unused, side) in [(6, naive as fn(&mut _, &_) -> _), (0, optimized)] {
            let mut state = State::new(&case, unused).unwrap();
            assert_eq!((state.last, state.indexes()), (3, 1 + unused));
            let path = "/it's 100 %".to_owned();
            let visits = [Visit { customer: None, path, took_us: -1, ..Visit::default() }];
            side(&mut state.shop, &visits).unwrap();
            side(&mut state.shop, &[]).unwrap();
            assert_eq!(visits_after(&state.shop, 3).unwrap(), visits);
            let check = "SELECT integrity_check FROM pragma_integrity_check";
            assert_eq!(state.shop.query_row(check, (), |row| row.get(0)), Ok("ok".to_owned()));
            state.reset();
            assert_eq!(visits_after(&state.shop, 0).unwrap().len(), 3);
        }
    }

    #[test]
    fn trap_the_query_uses_the_same_index_on_both_sides_and_none_of_the_others() {
        let case = Case::realistic(4, 0, 42);
        for unused in [0, 4, 6] {
            let visits_of_page = "SELECT count(*) FROM visits WHERE path = ?1";
            let plan = query_plan(&State::new(&case, unused).unwrap().shop, visits_of_page);
            assert_eq!(plan, "SEARCH visits USING COVERING INDEX visits_by_path (path=?)");
        }
    }

    #[test]
    fn trap_every_batch_finds_the_same_rows_and_the_log_neither_grows_nor_shrinks() {
        let case = Case::realistic(6, 0, 42);
        let mut state = State::new(&case, 6).unwrap();
        let log = format!("{}-wal", state.shop.path().unwrap());
        let visits = batch(&case, &state.shop, state.last);
        let mut lengths = Vec::new();
        for _ in 0..4 {
            state.reset();
            assert_eq!(visits_after(&state.shop, state.last).unwrap(), []);
            naive(&mut state.shop, &visits).unwrap();
            assert_eq!(visits_after(&state.shop, state.last).unwrap(), visits);
            lengths.push(std::fs::metadata(&log).unwrap().len());
        }
        assert!(lengths.windows(2).skip(1).all(|two| two[0] == two[1]), "{lengths:?}");
    }
}
