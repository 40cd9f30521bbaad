//! The latest few rows of many: in the order of an index, not sorted for each query.

use std::{collections::HashSet, rc::Rc};

use rand::RngExt;
use rusqlite::{Connection, Row};

use crate::fixtures::shop::{Shop, Size};
use worthit_pair::prelude::*;

/// Visits that a query lists.
const LISTED: u64 = 20;
const INDEX: &str = "CREATE INDEX visits_by_path ON visits (path)";
/// An index in SQLite ends in the rowid, so that ties are in order.
const ORDERED: &str = "CREATE INDEX visits_by_path ON visits (path, visited_at)";
const LATEST: &str = "SELECT id, visited_at, customer_id, status FROM visits
     WHERE path = ?1 ORDER BY visited_at DESC, id DESC LIMIT ?2";
const VISITS: &str = "SELECT count(*) FROM visits";

pub const PAIR: Pair = Pair {
    title: "Let the index give the order",
    review: Review {
        smell: "`WHERE … ORDER BY … LIMIT 20`, where the index has the column of the WHERE alone: `EXPLAIN QUERY PLAN` \
                says `USE TEMP B-TREE FOR ORDER BY`. Every row that matches is read and compared with those \
                kept so far, and all but a few are thrown away.",
        remedy: "Put the columns of the `ORDER BY` behind those of the `WHERE`, in its order: `CREATE INDEX \
                 visits_by_path ON visits (path, visited_at)`. A query in the opposite order reads the same index \
                 backwards. Test that the query plan has no temporary B-tree.",
        keep_naive_when: "Few rows match, so that the limit is near their number: then all of them are read anyway, and \
                          sorting a few is cheap. Or the list is seldom asked for, and the table is written often.",
        costs: "A wider index, which every change of the column writes. One index gives one order: a list that users \
                sort by any column needs an index for each, or sorts.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "find the rows by an index, sort them, take the first",
        growth: Growth::Other("with the visits of a page, which grow slower than the table"),
    },
    optimized: Side {
        summary: "take the first rows of an index in the order asked for",
        growth: Growth::Other("with the visits of a page, up to the limit of the list"),
    },
    input: "Lists of the latest 20 visits of a page, each for the product page of a random visit, so that popular pages \
            are listed often. Most pages asked for have more visits than are listed, and the more the larger the table is. \
            Times are whole seconds, so some visits tie. The table with the smaller index has the same rows.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[100, 300, 3_000, 10_000, 50_000], deep: &[] },
    },
    unit: "list",
    headline: Headline::At { level: "", point: 10_000 },
    causes: &[
        Claim {
            cause: causes::VM_STEPS,
            naive: Count::AtLeast(|case| if case.point >= 3_000 { 1_000 } else { 50 }),
            optimized: Count::AtMost(|_| 30 * LISTED),
        },
        Claim {
            cause: causes::SORTS,
            naive: Count::Exactly(|_| 1),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "The naive side searches the table for every visit of the page, and a sorter keeps the latest. The \
              more visits a page has, the more of these steps are thrown away. An index in the order of time \
              begins at the latest visit and ends at the limit, so its steps do not depend on how many visits \
              there are. Setting up a sorter also costs something in each query. On both sides, a statement on a \
              file has a fixed cost, and the rows listed are read and returned, so the gain stays below the ratio \
              of steps. Once the table no longer fits SQLite's page cache, each row thrown away may have been a \
              read of the file.",
        share_of_cause: ShareOfCause::Within(0.2, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "pages have no more visits than are listed",
            reason: "both sides would read all of them, and only a sort of a few rows would differ",
            check: |inputs: &[Input]| {
                let visits: u64 = inputs.iter().map(visits_of_page).sum();
                let is_small = inputs[0].shop.number(VISITS, ()) < 3_000;
                ensure(is_small || visits > 3 * LISTED * inputs.len() as u64, || {
                    format!("{visits} visits of {} pages", inputs.len())
                })
            },
            sprung: || {
                let case = Case { proof_size: Some(3_000), ..Case::realistic(3_000, 0, 1) };
                let shop = shop(&case, ORDERED).expect("a shop of some visits");
                vec![Input { shop, path: "/nowhere".to_owned() }]
            },
        },
        &Trap {
            name: "the same page again and again",
            reason: "the rows of its visits would stay in the near caches, as those of random pages do not",
            check: |inputs: &[Input]| {
                let asked = inputs.iter().map(|input| &*input.path).collect::<HashSet<_>>().len();
                let sql = "SELECT count(DISTINCT path) FROM visits WHERE path LIKE '/products/%'";
                let pages = inputs[0].shop.number(sql, ()) as usize;
                let expected = pages.min(inputs.len()) / 4;
                ensure(asked > expected, || format!("{asked} of {pages} pages"))
            },
            sprung: || {
                let case = Case { proof_size: Some(2_000), ..Case::realistic(2_000, 0, 1) };
                let shop = shop(&case, ORDERED).expect("a shop of some visits");
                let path = "/products/1".to_owned();
                (0..64).map(|_| Input { shop: Rc::clone(&shop), path: path.clone() }).collect()
            },
        },
    ],
    // Some pages have fewer visits than are listed.
    limit: Limit::Work(&[
        Work::FileStatements(|_| 1),
        Work::RowsReturned(|case| if case.point >= 3_000 { LISTED * 3 / 4 } else { 0 }),
    ]),
    proof: Proof { resources: Resources::System, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// Lists in the rotation.
const TURNS: u64 = 128;

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// The page whose visits to list.
    path: String,
}

#[derive(Debug, PartialEq)]
struct Visit {
    id: i64,
    visited_at: i64,
    customer: Option<i64>,
    status: i64,
}

impl Found for Visit {
    fn found(&self) -> u64 {
        1
    }
}

/// The latest visits of a page, in a shop with an index of the pages.
fn naive(input: &Input) -> rusqlite::Result<Vec<Visit>> {
    latest_visits(&input.shop.connection, &input.path, LISTED)
}

/// The latest visits of a page, in a shop with an index of the pages in the order of time.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Visit>> {
    latest_visits(&input.shop.connection, &input.path, LISTED)
}

/// The same query for both sides; the database chooses the plan.
fn latest_visits(shop: &Connection, path: &str, most: u64) -> rusqlite::Result<Vec<Visit>> {
    let mut query = shop.prepare_cached(LATEST)?;
    let visit = |row: &Row<'_>| {
        Ok(Visit {
            id: row.get(0)?,
            visited_at: row.get(1)?,
            customer: row.get(2)?,
            status: row.get(3)?,
        })
    };
    query.query_map((path, most as i64), visit)?.collect()
}

/// The same shop for any `indexes`.
fn shop(case: &Case, indexes: &str) -> Result<Rc<Shop>, Unavailable> {
    Ok(Rc::new(Shop::new(case, Size::of_visits(case.point), indexes)?))
}

fn visits_of_page(input: &Input) -> u64 {
    let sql = "SELECT count(*) FROM visits WHERE path = ?1";
    input.shop.number(sql, [&input.path])
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let mut rng = case.rng("page");
    let visit = rng.random_range(1..=case.point.max(1)) as i64;
    // The next visit of a product. In a proof, it may be any page, or one that nobody visited.
    let sql = match case.shape {
        Shape::Realistic => {
            "SELECT path FROM visits WHERE id >= ?1 AND path LIKE '/products/%' ORDER BY id LIMIT 1"
        }
        _ => "SELECT path FROM visits WHERE id = ?1 AND id % 8 <> 0",
    };
    let path_from = |visit: i64| shop.connection.query_row(sql, [visit], |row| row.get(0));
    let path = path_from(visit).or_else(|_| path_from(1));
    Input { shop: Rc::clone(shop), path: path.unwrap_or_else(|_| "/it's 100 %".to_owned()) }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let ordered = shop(case, ORDERED)?;
    let inputs = case.rotate(TURNS, |case| input(case, &ordered));
    let pages = inputs.map(|input| input.path.clone());
    let (case, size) = (case.clone(), ordered.number(VISITS, ()));
    let naive_side = on_first_use(1, move || {
        let plain = shop(&case, INDEX)?;
        assert_eq!(size, plain.number(VISITS, ()), "both sides query the same table");
        let inputs = pages.map(|path| Input { shop: Rc::clone(&plain), path: path.clone() });
        Ok(by_ref(&inputs, |input| naive(input).expect("the shop answers")))
    });
    let optimized_side = by_ref(&inputs, |input| optimized(input).expect("the shop answers"));
    Ok(Trial::new(
        inputs.measured(|input| input.shop.number(VISITS, ())),
        naive_side,
        optimized_side,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers_with_ties_at_the_limit() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE visits (id INTEGER PRIMARY KEY, path TEXT, visited_at, customer_id, status);
             INSERT INTO visits VALUES (1, '/a', 30, NULL, 200), (2, '/b', 10, 7, 200),
                 (3, '/a', 20, 7, 404), (4, '/a', 20, 8, 200), (5, '/a', 20, NULL, 200), (6, '/A', 99, 7, 200)",
        )
        .unwrap();
        for index in [INDEX, ORDERED] {
            shop.execute_batch(index).unwrap();
            for (path, most, ids) in [
                ("/a", 9, &[1, 5, 4, 3][..]),
                ("/a", 2, &[1, 5]),
                ("/a", 0, &[]),
                ("/b", 1, &[2]),
                ("/it's", 9, &[]),
            ] {
                let found = latest_visits(&shop, path, most).unwrap();
                assert_eq!(found.iter().map(|visit| visit.id).collect::<Vec<_>>(), ids);
            }
            shop.execute_batch("DROP INDEX visits_by_path").unwrap();
        }
    }

    #[test]
    fn trap_both_sides_search_an_index_and_only_one_sorts() {
        for point in [100, 10_000] {
            let case = Case::realistic(point, 0, 42);
            for (index, sort) in [(INDEX, "; USE TEMP B-TREE FOR ORDER BY"), (ORDERED, "")] {
                let plan = query_plan(&shop(&case, index).unwrap().connection, LATEST);
                let search = "SEARCH visits USING INDEX visits_by_path (path=?)";
                assert_eq!(plan, format!("{search}{sort}"));
            }
        }
    }

    #[test]
    fn a_list_has_at_least_the_rows_of_the_limit() {
        for point in [3_000, 10_000] {
            let case = Case::realistic(point, 0, 42);
            let ordered = shop(&case, ORDERED).unwrap();
            let inputs = case.rotate(TURNS, |case| input(case, &ordered));
            let listed: usize = inputs.iter().map(|input| optimized(input).unwrap().len()).sum();
            assert!(listed >= inputs.len() * (1 + LISTED as usize * 3 / 4), "{listed} visits");
        }
    }
}
