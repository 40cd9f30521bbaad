//! Put many rows into PostgreSQL: stream them with COPY, not INSERT by INSERT.

use std::{cell::RefCell, pin::pin, rc::Rc, sync::Arc, time::Duration};

use rand::RngExt;
use tokio_postgres::{
    Client, Error, Statement,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use crate::fixtures::{
    postgres::{COMMITS, Database, SERVER_STATEMENTS, answered},
    shop,
};
use worthit_pair::prelude::*;

const TABLE: &str = "CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL,
    happened_at bigint NOT NULL,
    note text NOT NULL
)";
const INSERT: &str = "INSERT INTO events (customer_id, happened_at, note) VALUES ($1, $2, $3)";
const UNNEST: &str = "INSERT INTO events (customer_id, happened_at, note)
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])";
const COPY: &str = "COPY events (customer_id, happened_at, note) FROM STDIN (FORMAT binary)";

pub const PAIR: Pair = Pair {
    title: "Load rows into PostgreSQL with COPY",
    review: Review {
        smell: "`INSERT` in a loop: an import, a backfill, a batch of events from a queue.",
        remedy: "`copy_in` with a `BinaryCopyInWriter`. Where the rows must go through `ON CONFLICT`, an `INSERT` from \
                 `unnest` of one array a column does nearly as well: the alternative `unnest`.",
        keep_naive_when: "Each row must be acknowledged before the next one comes, or rows must succeed or fail one by \
                          one.",
        costs: "All rows are taken or none. `COPY` knows no `ON CONFLICT` and returns nothing; who needs either copies \
                into a temporary table first. Binary `COPY` needs the exact types of the columns.",
        lint: Lint::None,
    },
    naive: Side { summary: "an INSERT that commits for each row", growth: Growth::Linear },
    optimized: Side {
        summary: "one binary COPY of all rows",
        growth: Growth::Other("one flush, then some work for each row"),
    },
    input: "Events of customers with notes of 5 to 24 words, appended to a table whose key is generated. The `INSERT`s are \
            prepared. The server flushes its write-ahead log at each commit, as by default.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        // A row costs a flush, milliseconds on many disks: more rows only on request.
        points: Points::Fixed { default: &[1, 2, 4, 8, 16], deep: &[256, 4_096] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 16 },
    alternatives: &[
        SideBeside { name: "transaction", summary: "the same INSERTs in one transaction" },
        SideBeside { name: "unnest", summary: "one INSERT of arrays, one for each column" },
    ],
    causes: &[
        Claim {
            cause: COMMITS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|_| 1),
        },
        Claim {
            cause: SERVER_STATEMENTS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|_| 1),
        },
    ],
    explanation: Explanation {
        why: "A commit, a statement and a round trip for each row became one of each. The commit waits for the disk, \
              which takes longest: the alternative `transaction` shows what is left once only that is saved. So while \
              the rows are quickly sent, the gain is about the ratio of commits. With more rows, the flush is a smaller \
              part of the time, and the work for each row decides: for it, `COPY` needs no message of its own and no \
              statement to run.",
        share_of_cause: ShareOfCause::Within(0.4, 1.3),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the rows are empty",
        reason: "a commit would write less than a real row does, and a row would cost nothing beside it",
        check: |inputs: &[Vec<Happened>]| {
            let shortest = inputs.iter().flatten().map(|row| row.note.len()).min();
            ensure(shortest >= Some(10), || format!("a note of {shortest:?} bytes"))
        },
        sprung: || vec![vec![Happened { customer_id: 1, happened_at: 0, note: String::new() }]],
    }],
    limit: Limit::Work(&[Work::OverwritingFsyncs(|_| 1), Work::RoundTrips(|_| 3)]),
    proof: Proof { resources: Resources::System, max_size: 24 },
    servers: &[Program::Postgres],
    prepare,
    ..Pair::DEFAULTS
};

/// An event, as the rows of the table have it.
#[derive(Clone, Debug, PartialEq)]
struct Happened {
    customer_id: i64,
    happened_at: i64,
    note: String,
}

impl Found for Happened {
    fn found(&self) -> u64 {
        1
    }
}

/// A table with the connection of one side.
struct Table {
    database: Database,
    client: Client,
    insert: Statement,
    unnest: Statement,
    copy: String,
    /// The id of the last row that an iteration found.
    last: u64,
}

impl Table {
    fn new() -> Result<Table, Unavailable> {
        let database = Database::new(Duration::ZERO)?;
        database.execute(TABLE)?;
        let client = database.connect()?;
        let prepare = |sql| database.prepare(&client, sql);
        let (insert, unnest) = (prepare(INSERT)?, prepare(UNNEST)?);
        // The server counts only the first run of a COPY that is prepared.
        let copy = database.marked(COPY);
        Ok(Table { database, client, insert, unnest, copy, last: 0 })
    }

    /// Remembers which rows are there. They are not removed, so the table grows as a real one does.
    fn reset(&mut self) {
        self.last = self.database.number("SELECT coalesce(max(id), 0) FROM events");
    }

    /// The number of transactions that added rows since.
    fn transactions(&self) -> u64 {
        let sql = format!("SELECT count(DISTINCT xmin::text) FROM events WHERE id > {}", self.last);
        self.database.number(&sql)
    }

    /// The rows that were added since.
    fn added(&mut self) -> Vec<Happened> {
        let sql = format!(
            "SELECT customer_id, happened_at, note FROM events WHERE id > {} ORDER BY id",
            self.last
        );
        let rows = self.database.rows(&sql);
        let row = |row: &tokio_postgres::Row| Happened {
            customer_id: row.get(0),
            happened_at: row.get(1),
            note: row.get(2),
        };
        rows.iter().map(row).collect()
    }
}

/// Adds the rows.
async fn naive(table: &mut Table, rows: &[Happened]) -> Result<(), Error> {
    for row in rows {
        let values: [&(dyn ToSql + Sync); 3] = [&row.customer_id, &row.happened_at, &row.note];
        table.client.execute(&table.insert, &values).await?;
    }
    Ok(())
}

/// Adds the rows, all or none.
async fn optimized(table: &mut Table, rows: &[Happened]) -> Result<(), Error> {
    let sink = table.client.copy_in(&table.copy).await?;
    let types = [Type::INT8, Type::INT8, Type::TEXT];
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    for row in rows {
        writer.as_mut().write(&[&row.customer_id, &row.happened_at, &row.note]).await?;
    }
    writer.finish().await.map(drop)
}

async fn transaction(table: &mut Table, rows: &[Happened]) -> Result<(), Error> {
    let transaction = table.client.transaction().await?;
    for row in rows {
        let values: [&(dyn ToSql + Sync); 3] = [&row.customer_id, &row.happened_at, &row.note];
        transaction.execute(&table.insert, &values).await?;
    }
    transaction.commit().await
}

async fn unnest(table: &mut Table, rows: &[Happened]) -> Result<(), Error> {
    let customers: Vec<i64> = rows.iter().map(|row| row.customer_id).collect();
    let times: Vec<i64> = rows.iter().map(|row| row.happened_at).collect();
    let notes: Vec<&str> = rows.iter().map(|row| row.note.as_str()).collect();
    table.client.execute(&table.unnest, &[&customers, &times, &notes]).await.map(drop)
}

fn batch(case: &Case) -> Vec<Happened> {
    let mut rng = case.rng("notes");
    let row = |value: u64| {
        let mut note = String::new();
        shop::words(&mut rng, 5..25, &mut note);
        let customer_id = rng.random_range(1..=1_000);
        Happened { customer_id, happened_at: value as i64, note }
    };
    case.values(case.point as usize).into_iter().map(row).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let batches = case.rotate(8, batch);
    let trial = Trial::new(
        batches.measured(|rows| rows.len() as u64),
        over(&batches, async |table: &mut Table, rows: &[Happened]| naive(table, rows).await)?,
        over(&batches, async |table: &mut Table, rows: &[Happened]| optimized(table, rows).await)?,
    );
    let in_one = over(&batches, async |table: &mut Table, rows: &[Happened]| {
        transaction(table, rows).await
    })?;
    let unnest =
        over(&batches, async |table: &mut Table, rows: &[Happened]| unnest(table, rows).await)?;
    Ok(trial.alternative(in_one).alternative(unnest).units(case.point))
}

/// The side with each batch, and the server's counts of its commits and statements.
fn over(
    batches: &Inputs<Vec<Happened>>,
    side: impl AsyncFn(&mut Table, &[Happened]) -> Result<(), Error> + 'static,
) -> Result<impl Runner + 'static, Unavailable> {
    let table = Rc::new(RefCell::new(Table::new()?));
    let runtime = Arc::clone(&table.borrow().database.runtime);
    let add = Rc::new(move |table: &RefCell<Table>, rows: &[Happened]| {
        answered(runtime.block_on(side(&mut table.borrow_mut(), rows)));
    });
    let again = {
        let (table, add, batches) = (Rc::clone(&table), Rc::clone(&add), batches.clone());
        move |input: usize| {
            table.borrow_mut().reset();
            add(&table, &batches[input]);
        }
    };
    let (committed, counted, also) = (Rc::clone(&table), Rc::clone(&table), again.clone());
    let runner = changing(
        batches,
        table,
        |table| table.borrow_mut().reset(),
        move |table, rows| add(table, rows),
        |table| table.borrow_mut().added(),
    )
    .counting(COMMITS, move |input| {
        again(input);
        committed.borrow().transactions()
    })
    .counting(SERVER_STATEMENTS, move |input| {
        let before = counted.borrow().database.statements();
        also(input);
        counted.borrow().database.statements() - before
    });
    Ok(runner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "pg_copy") {
            return;
        }
        let row = |happened_at| Happened { customer_id: 7, happened_at, note: "§\t\\".to_owned() };
        let mut table = Table::new().unwrap();
        let runtime = Arc::clone(&table.database.runtime);
        let rows = [row(2), row(-1)];
        runtime.block_on(naive(&mut table, &rows)).unwrap();
        assert_eq!(table.added(), rows);
        assert_eq!(table.transactions(), 2);
        for place in 0..3 {
            table.reset();
            assert_eq!(table.added(), []);
            let table = &mut table;
            runtime
                .block_on(async {
                    match place {
                        0 => optimized(table, &rows).await,
                        1 => transaction(table, &rows).await,
                        _ => unnest(table, &rows).await,
                    }
                })
                .unwrap();
            assert_eq!(table.added(), rows);
            assert_eq!(table.transactions(), 1);
        }
    }

    /// A toy benchmark commits to memory, or to a server that flushes nothing.
    #[test]
    fn trap_the_server_flushes_at_each_commit() {
        if !has_servers(PAIR.servers, "pg_copy") {
            return;
        }
        let table = Table::new().unwrap();
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let sql = format!("SELECT (current_setting('{setting}') = 'on')::int::bigint");
            assert_eq!(table.database.number(&sql), 1, "{setting}");
        }
    }
}
