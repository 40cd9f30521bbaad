//! Spread the rows of tenants over several PostgreSQL servers.

use std::{
    collections::{BTreeMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use futures_util::future::try_join_all;
use rand::RngExt;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Error, Statement, types::Type};

use crate::fixtures::{
    postgres::{Cell, Database, answered, connect},
    shop,
    zipf::Zipf,
};
use worthit_pair::{case::fnv1a, prelude::*};

/// Rows of all tenants together.
const ROWS: u64 = 40_000;
/// Tenants, whose numbers of rows differ by the square root of their rank.
const TENANTS: usize = 200;
/// Kinds of events, which reports count.
const KINDS: i64 = 6;
/// Days of events; a report is about ninety of them.
const DAYS: i64 = 365;

const TABLE: &str =
    "(tenant bigint NOT NULL, day bigint NOT NULL, kind bigint NOT NULL, cents bigint NOT NULL,
     note text NOT NULL)";
const ONE: &str = "SELECT kind, count(*), sum(cents)::bigint FROM events
     WHERE tenant = $2 AND day >= $1 AND day < $1 + 90 GROUP BY kind";
const ALL: &str = "SELECT kind, count(*), sum(cents)::bigint FROM events
     WHERE day >= $1 AND day < $1 + 90 GROUP BY kind";

const ROWS_SCANNED: Cause = Cause::new("rows_on_the_busiest", "rows read on the busiest server")
    .counted("under each server's EXPLAIN (ANALYZE, BUFFERS)");

pub const PAIR: Pair = Pair {
    title: "Shard by tenant",
    review: Review {
        smell: "Queries scan the rows of all tenants for those of one, no index helps, and the table grows with each \
                tenant.",
        remedy: "`shard_of(tenant)` chooses one of several servers by a hash; a tenant's rows and queries are all there. A \
                 query over all tenants asks each server, and the program merges the answers. On one server, hash \
                 partitions of the table let a tenant's queries read as few rows: the alternative.",
        keep_naive_when: "An index finds the tenant's rows, or partitions do: one server is far simpler to run. Most \
                          queries are over all tenants.",
        costs: "Several servers to run, back up and migrate. No transaction, key, join or unique index across shards. A \
                query over all tenants is as slow as the slowest shard and costs a round trip to each: the level \
                `all-tenants`. A large tenant makes a large shard. Another number of shards moves rows: see \
                `scaleout/consistent_hash`.",
        lint: Lint::None,
    },
    naive: Side { summary: "one server has all rows", growth: Growth::Constant },
    optimized: Side {
        summary: "the tenant's hash chooses a server",
        growth: Growth::Other("the fewer rows a server has, the more is the round trip"),
    },
    input: "Reports, one after the other in a closed loop: a tenant's events of ninety days by kind, counted and summed. 40,000 events of \
            200 tenants of different size, with notes of 5 to 15 words; no index leads to a tenant's. Statements are \
            prepared. In `all-tenants`, a report is over the events of all. The naive side is the same at all points. All servers \
            are on one machine, and share its cores.",
    axis: Axis {
        name: "shards",
        unit: "shards",
        is_size: false,
        points: Points::Fixed { default: &[1, 2, 4], deep: &[] },
    },
    parameter: Some(Parameter {
        name: "a report",
        levels: Levels::Fixed(&[
            Level { label: "one-tenant", value: 0, origin: Origin::Measured },
            Level { label: "all-tenants", value: 1, origin: Origin::Measured },
        ]),
    }),
    unit: "report",
    headline: Headline::At { level: "one-tenant", point: 4 },
    alternatives: &[SideBeside {
        name: "partitioned",
        summary: "one server with as many hash partitions as there are shards",
    }],
    causes: &[Claim {
        cause: ROWS_SCANNED,
        naive: Count::Exactly(|_| ROWS),
        // Shards of tenants of different size are not quite alike.
        optimized: Count::AtMost(|case| match case.point {
            1 => ROWS,
            shards => ROWS * 13 / 10 / shards,
        }),
    }],
    explanation: Explanation {
        why: "A scan reads all rows of its table, and a shard's table has the rows of its own tenants only. Partitions \
              of one server have as few rows; choosing among them takes a part of each query. What more servers add is their \
              cores, memory and disks, once one machine's are too few. The round trip is the same on both sides. A report \
              over all tenants reads as many rows as before, at once where there are cores.",
        share_of_cause: ShareOfCause::Within(0.5, 1.15),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the same tenant again and again",
        reason: "its shard may be an uncommonly small one",
        check: |inputs: &[Report]| {
            let tenants: HashSet<_> = inputs.iter().map(|report| report.tenant).collect();
            ensure(tenants.contains(&None) || 2 * tenants.len() > inputs.len(), || {
                format!("{} tenants in {} reports", tenants.len(), inputs.len())
            })
        },
        sprung: || vec![Report { tenant: Some(7), first_day: 0, shards: 2 }; 16],
    }],
    limit: Limit::None("no machine number is the time in which PostgreSQL scans a row"),
    proof: Proof { resources: Resources::System, max_size: 12 },
    servers: &[Program::PostgresShards],
    prepare,
    ..Pair::DEFAULTS
};

/// A report for a tenant, or for all.
#[derive(Clone, Copy, Debug)]
struct Report {
    tenant: Option<i64>,
    first_day: i64,
    shards: u64,
}

/// Number and cents of each kind of event.
type Sums = BTreeMap<i64, (i64, i64)>;

/// A row of the table.
#[derive(Clone, Debug)]
struct Event {
    tenant: i64,
    day: i64,
    kind: i64,
    cents: i64,
    note: String,
}

/// A server's part of the table, and a connection to it.
struct Part {
    client: Client,
    one: Statement,
    all: Statement,
}

impl Part {
    async fn sums(&self, report: Report) -> Result<Sums, Error> {
        let rows = match &report.tenant {
            Some(tenant) => self.client.query(&self.one, &[&report.first_day, tenant]).await?,
            None => self.client.query(&self.all, &[&report.first_day]).await?,
        };
        Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
    }
}

async fn naive(server: &Part, report: Report) -> Result<Sums, Error> {
    server.sums(report).await
}

async fn optimized(shards: &[Part], report: Report) -> Result<Sums, Error> {
    if let Some(tenant) = report.tenant {
        return shards[shard_of(tenant, shards.len())].sums(report).await;
    }
    let parts = try_join_all(shards.iter().map(|shard| shard.sums(report))).await?;
    Ok(merged(parts))
}

async fn partitioned(server: &Part, report: Report) -> Result<Sums, Error> {
    server.sums(report).await
}

/// Returns the shard that has the rows of a tenant, of as many shards.
fn shard_of(tenant: i64, shards: usize) -> usize {
    (fnv1a(tenant.to_le_bytes().into_iter()) % shards as u64) as usize
}

/// Adds up the answers of the shards.
fn merged(parts: Vec<Sums>) -> Sums {
    let mut all = Sums::new();
    for (kind, (number, cents)) in parts.into_iter().flatten() {
        let sums = all.entry(kind).or_default();
        sums.0 += number;
        sums.1 += cents;
    }
    all
}

/// Tables with the same events, in parts.
struct Tables {
    databases: Vec<Database>,
    parts: Vec<Part>,
    runtime: Arc<Runtime>,
}

impl Tables {
    /// Spreads events over as many servers, in a table with as many partitions on each.
    fn new(events: &[Event], servers: usize, partitions: u64) -> Result<Tables, Unavailable> {
        let databases = (0..servers).map(|nth| Database::on(Program::PostgresShards, nth));
        let databases = databases.collect::<Result<Vec<_>, _>>()?;
        let runtime = Arc::clone(&databases[0].runtime);
        let mut parts = Vec::new();
        for (place, database) in databases.iter().enumerate() {
            database.execute(&table(partitions))?;
            let events = events.iter().filter(|event| shard_of(event.tenant, servers) == place);
            let types = [Type::INT8, Type::INT8, Type::INT8, Type::INT8, Type::TEXT];
            database.copy(
                "events",
                &types,
                events.map(|event| -> Vec<Cell> {
                    let Event { tenant, day, kind, cents, note } = event.clone();
                    vec![
                        Box::new(tenant),
                        Box::new(day),
                        Box::new(kind),
                        Box::new(cents),
                        Box::new(note),
                    ]
                }),
            )?;
            // What autovacuum would do after a while, when it may be timed.
            database.execute("VACUUM (ANALYZE) events")?;
            let part = runtime.block_on(async {
                let client = connect(&database.config).await?;
                let (one, all) = (client.prepare(ONE).await?, client.prepare(ALL).await?);
                Ok(Part { client, one, all })
            });
            parts.push(part.map_err(|error: Error| {
                Unavailable(format!("PostgreSQL does not prepare a report: {error}"))
            })?);
        }
        Ok(Tables { databases, parts, runtime })
    }

    /// The rows that the server reads for a report, or the one that reads the most.
    fn rows_read(&self, report: Report) -> u64 {
        let (sql, asked) = match report.tenant {
            Some(tenant) => {
                let place = shard_of(tenant, self.databases.len());
                (ONE.replace("$2", &tenant.to_string()), &self.databases[place..=place])
            }
            None => (ALL.to_owned(), &self.databases[..]),
        };
        let sql = sql.replace("$1", &report.first_day.to_string());
        let rows = asked.iter().map(|database| database.explained(&sql).rows_read);
        rows.max().expect("there is a server")
    }
}

fn table(partitions: u64) -> String {
    if partitions <= 1 {
        return format!("CREATE TABLE events {TABLE}");
    }
    let partition = |nth| {
        format!(
            ";CREATE TABLE events_{nth} PARTITION OF events
             FOR VALUES WITH (MODULUS {partitions}, REMAINDER {nth})"
        )
    };
    let all: String = (0..partitions).map(partition).collect();
    format!("CREATE TABLE events {TABLE} PARTITION BY HASH (tenant){all}")
}

fn events(case: &Case) -> Vec<Event> {
    let mut rng = case.rng("events");
    let zipf = Zipf::new(TENANTS, 2);
    let event = |value: u64| {
        let mut note = String::new();
        shop::words(&mut rng, 5..15, &mut note);
        let tenant = match case.shape {
            Shape::Realistic => zipf.sample(&mut rng) as u64,
            _ => value % TENANTS as u64,
        };
        let (day, kind) = (rng.random_range(0..DAYS), rng.random_range(0..KINDS));
        Event { tenant: tenant as i64, day, kind, cents: rng.random_range(1..=9_999), note }
    };
    case.values(case.items(ROWS)).into_iter().map(event).collect()
}

/// A report that anybody may ask for: most are for those who have many events.
fn report(case: &Case, events: &[Event]) -> Report {
    let mut rng = case.rng("report");
    let any = if events.is_empty() { 0 } else { events[rng.random_range(0..events.len())].tenant };
    let first_day = rng.random_range(0..=DAYS - 90);
    Report { tenant: (case.level == 0).then_some(any), first_day, shards: case.point }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let events = events(case);
    let reports = case.rotate(10, |case| report(case, &events));
    let (one, sharded) =
        (Tables::new(&events, 1, 1)?, Tables::new(&events, case.point as usize, 1)?);
    let in_partitions = Tables::new(&events, 1, case.point)?;
    let trial = Trial::new(
        reports.measured(|report| report.shards),
        over(&reports, one, async |parts: &[Part], report| naive(&parts[0], report).await),
        over(&reports, sharded, async |parts: &[Part], report| optimized(parts, report).await),
    );
    let side = async |parts: &[Part], report| partitioned(&parts[0], report).await;
    Ok(trial.alternative(over(&reports, in_partitions, side)))
}

/// The side with each report, and the servers' count of the rows that it reads.
fn over(
    reports: &Inputs<Report>,
    tables: Tables,
    side: impl AsyncFn(&[Part], Report) -> Result<Sums, Error> + 'static,
) -> impl Runner + 'static {
    let tables = Rc::new(tables);
    let (counted, counted_reports) = (Rc::clone(&tables), reports.clone());
    let runtime = Arc::clone(&tables.runtime);
    let runner = asynchronous(&runtime, reports, async move |report: &Report| {
        Answer(answered(side(&tables.parts, *report).await))
    });
    runner.counting(ROWS_SCANNED, move |input| counted.rows_read(counted_reports[input]))
}

/// The answer to a report.
#[derive(Debug, PartialEq)]
struct Answer(Sums);

impl Found for Answer {
    fn found(&self) -> u64 {
        self.0.values().map(|(number, _)| *number as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "sharding") {
            return;
        }
        let event = |tenant, day, cents| Event { tenant, day, kind: 2, cents, note: String::new() };
        let mut events: Vec<Event> =
            (0..40).map(|tenant| event(tenant, 10, 100 + tenant)).collect();
        events.extend([event(7, 99, 3), event(7, 9, 1), event(7, 100, 1)]);
        events.push(Event { kind: 5, ..event(7, 50, -3) });
        for (servers, partitions) in [(1, 1), (2, 1), (4, 1), (1, 2), (1, 4)] {
            let tables = Tables::new(&events, servers, partitions).unwrap();
            let report = |tenant| Report { tenant, first_day: 10, shards: 0 };
            let ask =
                |tenant| tables.runtime.block_on(optimized(&tables.parts, report(tenant))).unwrap();
            assert_eq!(ask(Some(7)), Sums::from([(2, (2, 110)), (5, (1, -3))]));
            assert_eq!(ask(Some(40)), Sums::new());
            let cents = (0..40).map(|tenant| 100 + tenant).sum::<i64>() + 3;
            assert_eq!(ask(None), Sums::from([(2, (41, cents)), (5, (1, -3))]));
            // All rows of the tenant are on its shard, and no shard has all.
            let sql = "SELECT count(*) FROM events WHERE tenant = 7";
            let rows: Vec<u64> =
                tables.databases.iter().map(|database| database.number(sql)).collect();
            let is_its = |place| place == shard_of(7, servers);
            let expected: Vec<u64> =
                (0..servers).map(|place| 5 * u64::from(is_its(place))).collect();
            assert_eq!(rows, expected);
            let is_split = servers > 1 || partitions > 1;
            assert_eq!(tables.rows_read(report(Some(7))) < 44, is_split);
        }
    }
}
