//! Load many rows into a table: build its indexes after the load, do not maintain them row by row.

use rand::RngExt;
use rusqlite::{Connection, Row, config::DbConfig};
use uuid::Builder;

use crate::fixtures::{
    shop::{self, ShopFile, Size},
    sqlite,
};
use worthit_pair::prelude::*;

/// SQLite's page cache on both sides, KiB. Indexes outgrow the default of 2,000 at sixteen times as many rows, which take
/// too long for an iteration.
const CACHE_KIB: i64 = 128;
const CUSTOMERS: u32 = 2_000;
const TABLE: &str = "
    CREATE TABLE events (
        id          INTEGER PRIMARY KEY,
        event_id    TEXT NOT NULL,
        customer_id INTEGER NOT NULL,
        happened_at INTEGER NOT NULL,
        detail      TEXT NOT NULL
    );";
const DROP_INDEXES: &str = "DROP INDEX events_by_event_id; DROP INDEX events_by_customer;";
const CREATE_INDEXES: &str = "
    CREATE UNIQUE INDEX events_by_event_id ON events (event_id);
    CREATE INDEX events_by_customer ON events (customer_id, happened_at);";
const INSERT: &str =
    "INSERT INTO events (event_id, customer_id, happened_at, detail) VALUES (?1, ?2, ?3, ?4)";

pub const PAIR: Pair = Pair {
    title: "Load first, then build the indexes",
    review: Review {
        smell: "An import, a migration or a test fixture that fills a table whose indexes were created before the first \
                row.",
        remedy: "In one transaction: `DROP INDEX` for each index, the inserts, and `CREATE INDEX` as before. For a new \
                 table, create the indexes after the load. Keep an index that the load itself searches.",
        keep_naive_when: "The table already has many more rows than come: to build an index anew reads and sorts all of \
                          them, however few are new. Or all indexes fit the page cache: then little is gained.",
        costs: "Sorting takes memory beside the page cache, or temporary files if there are many rows. A duplicate is \
                refused when its unique index is built, after the whole load, and not at its own row. Without a \
                transaction, queries scan and duplicates enter until the indexes are back; within one, PostgreSQL lets \
                nobody read the table after its DROP INDEX. The statistics of a dropped index are gone until the next \
                ANALYZE. The list of indexes now stands in the import, too.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "insert into the table with its indexes",
        growth: Growth::Other(
            "O(n), with more for each row once the indexes outgrow the page cache",
        ),
    },
    optimized: Side {
        summary: "drop the indexes, insert, build them",
        growth: Growth::Other("with the rows loaded and those that were there before"),
    },
    input: "Events of a web shop loaded in one transaction, in the order of time, into a SQLite table with two indexes: \
            by the event's UUID and by its customer, whose values come in no order. The table is empty, or has 5,000 \
            events. SQLite's page cache is set to 128 KB on both sides, a sixteenth of its default, so the indexes outgrow \
            it at a sixteenth of the rows. The commit writes to the write-ahead log and does not flush; no checkpoint \
            is timed.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[100, 300, 1_000, 2_500], deep: &[10_000, 50_000] },
    },
    parameter: Some(Parameter {
        name: "rows before",
        levels: Levels::Fixed(&[
            Level { label: "empty", value: 0, origin: Origin::Measured },
            Level { label: "5000-rows", value: 5_000, origin: Origin::Measured },
        ]),
    }),
    unit: "row",
    headline: Headline::At { level: "5000-rows", point: 2_500 },
    causes: &[Claim {
        cause: causes::BYTES_WRITTEN,
        // Beside rows that were there before, nearly every entry changes a page that is written before its next entry comes.
        naive: Count::AtLeast(|case| case.point * if case.level > 0 { 5_000 } else { 100 }),
        optimized: Count::AtMost(|case| case.point * 250 + case.level * 160 + 20_000),
    }],
    explanation: Explanation {
        why: "Each row is an entry in each index. Where the values come in no order, the entry belongs to a page anywhere \
              in the index. Once the indexes outgrow the page cache, that page has to be read, and a changed page has to \
              make room for it: it is written, whole, and read again when its next entry comes. To build an index, \
              SQLite sorts all entries and writes each page once, full, one after another. While all pages fit the \
              cache, both sides write each of them once at the commit. Then the gain is the search of each entry's \
              place that sorting saves. Pages that leave the cache and come back are copied to the system's own \
              cache and from it, not to the device, so the gain is far below the ratio of bytes. The optimized side \
              also changes the schema, which costs more than the insertion of a few rows, and sorts the rows that were \
              there before.",
        share_of_cause: ShareOfCause::Within(0.05, 0.4),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(300),
    },
    traps: &[&Trap {
        name: "the events come in the order of an index",
        reason: "each entry would go to the last page of the index, which is in the cache",
        check: |inputs: &[Vec<Event>]| {
            let ascends = inputs.iter().any(|batch| {
                batch.is_sorted_by_key(|event| &event.event_id)
                    || batch.is_sorted_by_key(|event| event.customer_id)
            });
            ensure(!ascends, || "a batch ascends".to_owned())
        },
        sprung: || {
            let event = |id| Event { event_id: format!("{id:036}"), ..Event::default() };
            vec![(0..1_000).map(event).collect()]
        },
    }],
    // A row has a hundred bytes and more, and its two entries have fifty.
    limit: Limit::Work(&[
        Work::Statements(|case| case.point),
        Work::BytesWritten(|case| case.point * 150 + case.level * 50),
    ]),
    proof: Proof { resources: Resources::System, max_size: 30 },
    prepare,
    ..Pair::DEFAULTS
};

/// Batches in the rotation.
const TURNS: u64 = 8;

#[derive(Clone, Debug, Default, PartialEq)]
struct Event {
    /// A random UUID as text, by which the sender's repetitions are recognised.
    event_id: String,
    customer_id: i64,
    happened_at: i64,
    detail: String,
}

impl Found for Event {
    fn found(&self) -> u64 {
        1
    }
}

/// A side.
type Load = fn(&mut Connection, &[Event]) -> rusqlite::Result<()>;

/// Adds the events, all or none.
fn naive(shop: &mut Connection, events: &[Event]) -> rusqlite::Result<()> {
    let transaction = shop.transaction()?;
    insert(&transaction, events)?;
    transaction.commit()
}

/// Adds the events, all or none.
fn optimized(shop: &mut Connection, events: &[Event]) -> rusqlite::Result<()> {
    let transaction = shop.transaction()?;
    transaction.execute_batch(DROP_INDEXES)?;
    insert(&transaction, events)?;
    transaction.execute_batch(CREATE_INDEXES)?;
    transaction.commit()
}

fn insert(shop: &Connection, events: &[Event]) -> rusqlite::Result<()> {
    let mut insert = shop.prepare_cached(INSERT)?;
    for Event { event_id, customer_id, happened_at, detail } in events {
        insert.execute((event_id, customer_id, happened_at, detail))?;
    }
    Ok(())
}

/// The whole table as each index shows it: the events by their ids, and the rows by their customers.
fn loaded(shop: &Connection) -> rusqlite::Result<(Vec<Event>, Vec<i64>)> {
    let event = |row: &Row<'_>| {
        Ok(Event {
            event_id: row.get(0)?,
            customer_id: row.get(1)?,
            happened_at: row.get(2)?,
            detail: row.get(3)?,
        })
    };
    let mut by_event_id = shop.prepare(
        "SELECT event_id, customer_id, happened_at, detail FROM events INDEXED BY events_by_event_id
         ORDER BY event_id",
    )?;
    let mut by_customer = shop.prepare(
        "SELECT id FROM events INDEXED BY events_by_customer ORDER BY customer_id, happened_at, id",
    )?;
    let events = by_event_id.query_map((), event)?.collect::<rusqlite::Result<_>>()?;
    let rows = by_customer.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok((events, rows))
}

struct State {
    file: ShopFile,
    /// `None` only while the file is restored.
    shop: Option<Connection>,
}

impl State {
    /// A shop whose table has its indexes, and the events that were there before.
    fn new(case: &Case) -> Result<State, Unavailable> {
        let tables = [TABLE, CREATE_INDEXES].concat();
        let file = ShopFile::new(paths::scratch()?, case, Size::default(), &tables)?;
        let before = case.proof_size.map_or(case.level, |_| case.level.min(20));
        let mut shop = file.open()?;
        shop.execute_batch("PRAGMA synchronous = OFF").expect("SQLite knows it");
        // They came one by one, so they are inserted into the indexes. Closing the file makes a checkpoint.
        naive(&mut shop, &events(case, "events before", before as usize)).expect("they are new");
        drop(shop);
        let mut state = State { file, shop: None };
        state.reset();
        Ok(state)
    }

    fn shop(&mut self) -> &mut Connection {
        self.shop.as_mut().expect("it is open except in a reset")
    }

    /// Takes back what was loaded. All of it is in the write-ahead log, as no checkpoint is made, so that is deleted,
    /// and the file is opened anew.
    fn reset(&mut self) {
        if let Some(shop) = self.shop.take() {
            let path = shop.path().expect("it is a file").to_owned();
            shop.close().expect("no statement runs");
            for suffix in ["-wal", "-shm"] {
                std::fs::remove_file(path.clone() + suffix).expect("SQLite left it");
            }
        }
        let shop = self.file.open().expect("it was open before");
        let begin = || -> rusqlite::Result<()> {
            shop.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            shop.pragma_update(None, "cache_size", -CACHE_KIB)?;
            sqlite::restart_log(&shop)?;
            shop.prepare_cached(INSERT).map(drop)
        };
        begin().expect("the shop can be reset");
        self.shop = Some(shop);
    }
}

/// Events in the order in which they happened, of any customer.
fn events(case: &Case, purpose: &str, count: usize) -> Vec<Event> {
    let mut rng = case.rng(purpose);
    let mut happened_at = shop::OPENED_AT + 1_000_000 * case.turn as i64;
    let mut text = String::new();
    let event = |value: u64| {
        happened_at += rng.random_range(0..10);
        shop::words(&mut rng, 3..15, &mut text);
        let event_id = Builder::from_random_bytes(rng.random()).into_uuid().to_string();
        let detail = text.clone();
        match case.shape {
            Shape::Realistic => {
                let customer_id = i64::from(rng.random_range(1..=CUSTOMERS));
                Event { event_id, customer_id, happened_at, detail }
            }
            // Ties, extremes, and ids that are no UUIDs, but distinct.
            Shape::Adversarial => Event {
                event_id: ["", "'§7%_", "\u{0}"][value as usize % 3].to_owned() + &event_id,
                customer_id: value as i64,
                happened_at: -(value as i64 % 3),
                detail: String::new(),
            },
            _ => {
                Event { event_id, customer_id: value as i64, happened_at: value as i64 % 7, detail }
            }
        }
    };
    case.values(count).into_iter().map(event).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let batches = case.rotate(TURNS, |case| events(case, "events", case.point as usize));
    let over = |state, side: Load| {
        let load = move |state: &mut State, events: &Vec<Event>| {
            side(state.shop(), events).expect("the shop takes events");
        };
        let summary = |state: &mut State| loaded(state.shop()).expect("the shop is readable");
        changing(&batches, state, State::reset, load, summary)
    };
    let trial = Trial::new(
        batches.measured(|events| events.len() as u64),
        over(State::new(case)?, naive),
        over(State::new(case)?, optimized),
    );
    Ok(trial.units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    const SIDES: [Load; 2] = [naive, optimized];

    fn event(event_id: &str, customer_id: i64) -> Event {
        Event { event_id: event_id.to_owned(), customer_id, ..Event::default() }
    }

    fn shop() -> Connection {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(&[TABLE, CREATE_INDEXES].concat()).unwrap();
        shop
    }

    #[test]
    fn known_answers() {
        for side in SIDES {
            let mut shop = shop();
            side(&mut shop, &[event("c", 7), event("it's §7", -1)]).unwrap();
            side(&mut shop, &[]).unwrap();
            side(&mut shop, &[event("b", 7), event("", 3)]).unwrap();
            let (by_event_id, by_customer) = loaded(&shop).unwrap();
            assert_eq!(
                by_event_id,
                [event("", 3), event("b", 7), event("c", 7), event("it's §7", -1)]
            );
            assert_eq!(by_customer, [2, 4, 1, 3]);
            assert!(shop.is_autocommit(), "everything is committed");
        }
    }

    #[test]
    fn a_duplicate_takes_the_load_with_it_and_leaves_the_indexes() {
        for side in SIDES {
            let mut shop = shop();
            side(&mut shop, &[event("a", 1)]).unwrap();
            assert!(side(&mut shop, &[event("b", 1), event("a", 2), event("c", 1)]).is_err());
            assert_eq!(loaded(&shop).unwrap().0, [event("a", 1)]);
        }
    }

    #[test]
    fn trap_both_sides_leave_the_same_schema_and_whole_indexes_that_queries_use() {
        for (point, before) in [(100, 0), (2_500, 5_000)] {
            let case = Case::realistic(point, before, 42);
            let left = SIDES.map(|side| {
                let mut state = State::new(&case).unwrap();
                side(state.shop(), &events(&case, "events", point as usize)).unwrap();
                let shop = state.shop();
                assert_eq!(shop::number(shop, "SELECT count(*) FROM events", ()), point + before);
                for (column, index) in [("event_id", "event_id"), ("customer_id", "customer")] {
                    let plan =
                        query_plan(shop, &format!("SELECT * FROM events WHERE {column} = ?1"));
                    assert_eq!(
                        plan,
                        format!("SEARCH events USING INDEX events_by_{index} ({column}=?)")
                    );
                }
                let text = |sql| shop.query_row(sql, (), |row| row.get::<_, String>(0)).unwrap();
                assert_eq!(text("SELECT integrity_check FROM pragma_integrity_check"), "ok");
                text("SELECT group_concat(sql) FROM (SELECT sql FROM sqlite_schema ORDER BY name)")
            });
            assert_eq!(left[0], left[1]);
        }
    }

    #[test]
    fn trap_every_load_finds_the_same_file_and_makes_no_checkpoint() {
        let case = Case::realistic(1_000, 5_000, 42);
        for side in SIDES {
            let mut state = State::new(&case).unwrap();
            let before = loaded(state.shop()).unwrap();
            let path = state.shop().path().unwrap().to_owned();
            let file = std::fs::read(&path).unwrap();
            for turn in 0..2 {
                let case = Case { turn, ..case.clone() };
                side(state.shop(), &events(&case, "events", 1_000)).unwrap();
                assert_eq!(loaded(state.shop()).unwrap().0.len(), 6_000);
                state.reset();
                assert!(std::fs::read(&path).unwrap() == file);
                assert_eq!(loaded(state.shop()).unwrap(), before);
            }
        }
    }
}
