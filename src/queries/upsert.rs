//! Count in a table: insert or update in one statement, do not look first.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rusqlite::Connection;

use crate::fixtures::{
    shop::{ShopFile, Size},
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Views in a batch; a multiple of 10, so that each share is exact.
const VIEWS: u64 = 200;
/// Paths that were viewed on each of some days before, and already today. Paths beyond this number are new.
const KNOWN: u64 = 1_000;
/// The day that is counted, in days since 1970; the days before it have rows, too.
const TODAY: i64 = 20_000;
const DAYS_BEFORE: i64 = 4;
const SELECT: &str = "SELECT 1 FROM daily_views WHERE path = ?1 AND day = ?2";
const INSERT: &str = "INSERT INTO daily_views (path, day, views) VALUES (?1, ?2, 1)";
const UPDATE: &str = "UPDATE daily_views SET views = views + 1 WHERE path = ?1 AND day = ?2";
const UPSERT: &str = "INSERT INTO daily_views (path, day, views) VALUES (?1, ?2, 1)
     ON CONFLICT (path, day) DO UPDATE SET views = views + 1";

pub const PAIR: Pair = Pair {
    title: "Upsert instead of looking first",
    review: Review {
        smell: "A SELECT that only decides between an INSERT and an UPDATE of the same row.",
        remedy: "`INSERT … ON CONFLICT (path, day) DO UPDATE SET views = views + 1`: the unique key decides. Inside the \
                 DO UPDATE, the row that was to be inserted is called excluded.",
        keep_naive_when: "The decision needs more of the old row than an expression can say, or one of the cases is \
                          an error. Or each write is committed by itself: beside a commit, nobody notices a SELECT.",
        costs: "It needs a unique key on just these columns. MySQL and older databases write it in another way. In \
                return, no other connection can write between the look and the change. A transaction around both does not \
                prevent that in every database: under READ COMMITTED, the default of PostgreSQL, two clients may both \
                find no row.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "SELECT, then INSERT or UPDATE",
        growth: Growth::Other("an insertion and an update cost about the same"),
    },
    optimized: Side {
        summary: "INSERT … ON CONFLICT DO UPDATE",
        growth: Growth::Other("an insertion and an update cost about the same"),
    },
    input: "Batches of 200 page views, counted per path and day in a SQLite table of five days with 1,000 paths each. \
            Views of paths that have a row today follow a Zipf distribution; each of the others is of a path that is new \
            today. Paths come in random order. The table fits SQLite's page cache. A batch runs in the caller's \
            transaction, whose commit is not timed.",
    axis: Axis {
        name: "views of known paths",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 50, 90, 100], deep: &[] },
    },
    unit: "view",
    headline: Headline::At { level: "", point: 90 },
    alternatives: &[SideBeside {
        name: "update_first",
        summary: "UPDATE, then INSERT where no row was changed",
    }],
    causes: &[Claim {
        cause: causes::STATEMENTS,
        naive: Count::Exactly(|_| 2 * VIEWS),
        optimized: Count::Exactly(|_| VIEWS),
    }],
    explanation: Explanation {
        why: "The naive side runs two statements for each view, and each is bound, started and goes down the tree \
              of the key. The upsert is one statement: on its way to insert the row it finds the one in its way, \
              and updates that. Changing the row is the larger part of a view and the same on all sides, so the \
              gain stays below the ratio of statements. The commit is not part of this. For a view of its own, or \
              a small batch, it writes pages, which takes so much longer that the gain is lost in it.",
        share_of_cause: ShareOfCause::Within(0.5, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "one path has most of the views",
            reason: "its row would be found on the page at hand, without a search",
            check: |inputs: &[Vec<String>]| {
                let mut views: BTreeMap<&str, usize> = BTreeMap::new();
                inputs.iter().flatten().for_each(|path| *views.entry(path).or_default() += 1);
                let (most, all) = (views.values().max(), views.values().sum::<usize>());
                ensure(most.is_some_and(|most| 5 * most < all), || {
                    format!("{most:?} of {all} views")
                })
            },
            sprung: || vec![vec![path(1); 100], vec![path(2), path(3)]],
        },
        &Trap {
            name: "paths come in the order of their key",
            reason: "each row would lie beside the one before, as it does in no log",
            check: |inputs: &[Vec<String>]| {
                let sorted = inputs.iter().filter(|paths| paths.is_sorted()).count();
                ensure(sorted == 0, || format!("{sorted} sorted batches"))
            },
            sprung: || vec![(1_000..1_200).map(path).collect()],
        },
    ],
    limit: Limit::Work(&[Work::Statements(|_| VIEWS)]),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

/// Batches in the rotation.
const TURNS: u64 = 32;

/// Number of paths with a row today before each batch: in proofs a few, as these build many tables.
fn known(case: &Case) -> u64 {
    if case.proof_size.is_some() { 20 } else { KNOWN }
}

/// A path of the shop. Those up to [`KNOWN`] have a row today before each batch.
fn path(product: u64) -> String {
    format!("/products/{product}")
}

/// How often a path was viewed today.
#[derive(Debug, PartialEq)]
struct Views {
    path: String,
    views: i64,
}

impl Found for Views {
    fn found(&self) -> u64 {
        1
    }
}

struct State {
    shop: Connection,
    _file: ShopFile,
}

/// Counts each view, in the caller's transaction.
fn naive(shop: &Connection, day: i64, paths: &[String]) -> rusqlite::Result<()> {
    let mut select = shop.prepare_cached(SELECT)?;
    let mut insert = shop.prepare_cached(INSERT)?;
    let mut update = shop.prepare_cached(UPDATE)?;
    for path in paths {
        let write = if select.exists((path, day))? { &mut update } else { &mut insert };
        write.execute((path, day))?;
    }
    Ok(())
}

/// Counts each view, in the caller's transaction.
fn optimized(shop: &Connection, day: i64, paths: &[String]) -> rusqlite::Result<()> {
    let mut upsert = shop.prepare_cached(UPSERT)?;
    for path in paths {
        upsert.execute((path, day))?;
    }
    Ok(())
}

/// Counts each view, in the caller's transaction.
fn update_first(shop: &Connection, day: i64, paths: &[String]) -> rusqlite::Result<()> {
    let mut update = shop.prepare_cached(UPDATE)?;
    let mut insert = shop.prepare_cached(INSERT)?;
    for path in paths {
        if update.execute((path, day))? == 0 {
            insert.execute((path, day))?;
        }
    }
    Ok(())
}

/// The views of a day, in the order of the paths.
fn views(shop: &Connection, day: i64) -> rusqlite::Result<Vec<Views>> {
    let sql = "SELECT path, views FROM daily_views WHERE day = ?1 ORDER BY path";
    let mut query = shop.prepare_cached(sql)?;
    query.query_map([day], |row| Ok(Views { path: row.get(0)?, views: row.get(1)? }))?.collect()
}

impl State {
    fn new(case: &Case) -> Result<State, Unavailable> {
        let fill = format!(
            "WITH RECURSIVE product (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM product WHERE id < {}),
                 day (d) AS (SELECT {TODAY} - {DAYS_BEFORE} UNION ALL SELECT d + 1 FROM day WHERE d < {TODAY})
             INSERT INTO daily_views SELECT '/products/' || id, d, id % 7 + 1 FROM product, day",
            known(case)
        );
        let file = ShopFile::new(paths::scratch()?, case, Size::default(), &fill)?;
        let shop = file.open()?;
        Ok(State { shop, _file: file })
    }

    /// Takes back the batch before, opens the transaction of the next one, and reads the table, as SQLite forgets the
    /// pages of a transaction that is taken back.
    fn reset(&mut self) {
        let reset = || -> rusqlite::Result<()> {
            let shop = &self.shop;
            if !shop.is_autocommit() {
                shop.execute_batch("ROLLBACK")?;
            }
            shop.execute_batch("BEGIN IMMEDIATE")?;
            shop.query_row("SELECT sum(views) FROM daily_views", (), |_| Ok(()))
        };
        reset().expect("the shop can be reset");
    }
}

/// The paths of a batch of views.
fn batch(case: &Case) -> Vec<String> {
    let mut rng = case.rng("views");
    let views = (case.items(VIEWS) as u64).max(1).next_multiple_of(10);
    let known_views = views * case.point / 100;
    let popularity =
        Zipf::new(known(case) as usize, if case.shape == Shape::DuplicateHeavy { 8 } else { 3 });
    let of_known = (0..known_views).map(|_| popularity.sample(&mut rng) as u64 + 1);
    let mut paths: Vec<String> = of_known.map(path).collect();
    // Each occurs once, so that its view is an insertion.
    let new = (known_views..views).map(|nth| KNOWN + 1 + nth * 97 + case.turn * 10_007);
    paths.extend(new.map(|product| match case.shape {
        Shape::Adversarial => format!("/search?q=it's {product} % \"ü\""),
        _ => path(product),
    }));
    paths.shuffle(&mut rng);
    paths
}

/// The percentage of views whose path has a row before.
fn known_share(paths: &[String]) -> u64 {
    let number = |path: &String| path.strip_prefix("/products/").and_then(|id| id.parse().ok());
    let is_known = |path: &&String| number(path).is_some_and(|product: u64| product <= KNOWN);
    100 * paths.iter().filter(is_known).count() as u64 / paths.len() as u64
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let batches = case.rotate(TURNS, batch);
    let over = |state, side: fn(&Connection, i64, &[String]) -> rusqlite::Result<()>| {
        let count = move |state: &mut State, paths: &Vec<String>| {
            side(&state.shop, TODAY, paths).expect("the shop counts");
        };
        let summary = |state: &mut State| views(&state.shop, TODAY).expect("the shop is readable");
        changing(&batches, state, State::reset, count, summary)
    };
    let trial = Trial::new(
        batches.measured(|paths| known_share(paths)),
        over(State::new(case)?, naive),
        over(State::new(case)?, optimized),
    );
    let alternative = over(State::new(case)?, update_first);
    Ok(trial.alternative(alternative).units(batches[0].len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        for side in [naive, optimized, update_first] {
            let shop = Connection::open_in_memory().unwrap();
            shop.execute_batch(
                "CREATE TABLE daily_views (path TEXT, day INTEGER, views INTEGER NOT NULL,
                                           PRIMARY KEY (path, day)) WITHOUT ROWID;
                 INSERT INTO daily_views VALUES ('/a', 7, 41), ('/b', 6, 5)",
            )
            .unwrap();
            side(&shop, 7, &[]).unwrap();
            side(&shop, 7, &["/it's", "/a", "/b", "/it's", "/A"].map(str::to_owned)).unwrap();
            let row = |path: &str, views| Views { path: path.to_owned(), views };
            let expected = [row("/A", 1), row("/a", 42), row("/b", 1), row("/it's", 2)];
            assert_eq!(views(&shop, 7).unwrap(), expected);
            assert_eq!(views(&shop, 6).unwrap(), [row("/b", 5)]);
        }
    }

    #[test]
    fn trap_the_row_is_found_by_its_key() {
        let State { shop, _file } = State::new(&Case::realistic(90, 0, 42)).unwrap();
        for sql in [SELECT, UPDATE] {
            let plan = query_plan(&shop, sql);
            assert_eq!(plan, "SEARCH daily_views USING PRIMARY KEY (path=? AND day=?)");
        }
        // An insertion finds its place in the same tree, and has no plan.
        assert_eq!([INSERT, UPSERT].map(|sql| query_plan(&shop, sql)), ["", ""]);
    }

    #[test]
    fn trap_every_batch_finds_the_same_rows() {
        let case = Case::realistic(50, 0, 42);
        let (mut state, paths) = (State::new(&case).unwrap(), batch(&case));
        for _ in 0..3 {
            state.reset();
            assert_eq!(views(&state.shop, TODAY).unwrap().len() as u64, KNOWN);
            optimized(&state.shop, TODAY, &paths).unwrap();
            assert_eq!(views(&state.shop, TODAY).unwrap().len() as u64, KNOWN + VIEWS / 2);
        }
    }
}
