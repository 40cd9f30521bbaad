//! Read a few columns of many rows: from an index that holds them, not from the table behind it.

use std::{collections::HashSet, rc::Rc};

use rand::RngExt;
use rusqlite::Connection;

use crate::fixtures::shop::{Shop, Size};
use worthit_pair::prelude::*;

const INDEX: &str = "CREATE INDEX visits_by_path ON visits (path)";
const COVERING: &str = "CREATE INDEX visits_by_path ON visits (path, took_us)";
const TIMES_OF_PAGE: &str =
    "SELECT count(*), coalesce(sum(took_us), 0), coalesce(max(took_us), 0) FROM visits
     WHERE path = ?1";
const VISITS: &str = "SELECT count(*) FROM visits";

pub const PAIR: Pair = Pair {
    title: "Answer from a covering index",
    review: Review {
        smell: "A query that finds many rows by an index and reads one or two columns of each: `EXPLAIN QUERY PLAN` \
                says `USING INDEX`, and each row found is one more search of the table.",
        remedy: "Put the columns that the query reads behind those that it searches by: `CREATE INDEX visits_by_path \
                 ON visits (path, took_us)`. PostgreSQL has INCLUDE for it. Test that the query plan says `COVERING \
                 INDEX`.",
        keep_naive_when: "Each lookup finds a row or two, or the query needs most of the columns: then the index \
                          becomes a second table.",
        costs: "Space for a copy of the column. Every change of the column now writes the index, too. As soon as the \
                query reads one more column, the gain is gone, and only the query plan says so.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "search of an index, then of the table for each row",
        growth: Growth::Other("grows with the visits of a path, which grow slower than the table"),
    },
    optimized: Side {
        summary: "search of an index that holds the column",
        growth: Growth::Other("grows with the visits of a path, which grow slower than the table"),
    },
    input: "Statistics of how long the shop took to answer, each for the product page of a random visit, so that \
            popular pages are asked for often. The visits of a page lie scattered over the table, whose rows have two \
            hundred bytes; a large table does not fit SQLite's page cache of 2 MB. The table with the smaller index \
            has the same rows.",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[100, 1_000, 10_000, 30_000], deep: &[100_000] },
    },
    unit: "query",
    headline: Headline::At { level: "", point: 30_000 },
    causes: &[Claim {
        cause: causes::READ_CALLS,
        // A page that is not in SQLite's page cache is a read. Up to some thousand rows, all pages are in it.
        naive: Count::AtLeast(|case| if case.point >= 30_000 { 50 } else { 0 }),
        optimized: Count::AtMost(|_| 10),
    }],
    explanation: Explanation {
        why: "The naive side searches the table for each visit that its index finds, and the rows of these visits \
              lie on about as many pages of the file. In the covering index, the entries of a path lie side by side, \
              and the time is in them. While the table fits SQLite's page cache, each search saved is a few steps down a \
              tree in memory. Beyond that, most of them are a read of the file, which is a system call, and the \
              smaller covering index still fits. On both sides, a statement on a file has a fixed cost, which a \
              few visits hardly exceed.",
        share_of_cause: ShareOfCause::NoRatio(
            "the covering index stays in SQLite's page cache, so its side reads nothing",
        ),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the page has few visits",
            reason: "a search of the table for one row is cheap; what costs is that for each of many",
            check: |inputs: &[Input]| {
                let visits = |input: &Input| optimized(input).expect("the shop answers").visits;
                let found: i64 = inputs.iter().map(visits).sum();
                ensure(found >= 10 * inputs.len() as i64, || {
                    format!("{found} visits in {} queries", inputs.len())
                })
            },
            sprung: || vec![Input { path: "/nowhere".to_owned(), ..small_input() }],
        },
        &Trap {
            name: "the same page again and again",
            reason: "the rows of its visits would stay in SQLite's page cache, as those of random pages do not",
            check: |inputs: &[Input]| {
                let pages = inputs.iter().map(|input| &*input.path).collect::<HashSet<_>>().len();
                let products = inputs[0].shop.number("SELECT count(*) FROM products", ()) as usize;
                let expected = products.min(inputs.len()) / 4;
                ensure(pages > expected.max(1), || format!("{pages} pages"))
            },
            sprung: || {
                let Input { shop, path } = small_input();
                (0..64).map(|_| Input { shop: Rc::clone(&shop), path: path.clone() }).collect()
            },
        },
    ],
    limit: Limit::Work(&[Work::FileStatements(|_| 1)]),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

/// Queries in the rotation.
const TURNS: u64 = 256;

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// The page whose visits to sum up.
    path: String,
}

/// How long visits took.
#[derive(Debug, PartialEq)]
struct Times {
    visits: i64,
    sum_us: i64,
    longest_us: i64,
}

impl Found for Times {
    fn found(&self) -> u64 {
        self.visits as u64
    }
}

/// How long the visits of a page took, in a shop with an index of the pages.
fn naive(input: &Input) -> rusqlite::Result<Times> {
    times_of_page(&input.shop.connection, &input.path)
}

/// How long the visits of a page took, in a shop with an index of the pages and these times.
fn optimized(input: &Input) -> rusqlite::Result<Times> {
    times_of_page(&input.shop.connection, &input.path)
}

/// The same query for both sides; the database chooses the plan.
fn times_of_page(shop: &Connection, path: &str) -> rusqlite::Result<Times> {
    let mut query = shop.prepare_cached(TIMES_OF_PAGE)?;
    query.query_row([path], |row| {
        Ok(Times { visits: row.get(0)?, sum_us: row.get(1)?, longest_us: row.get(2)? })
    })
}

/// The same shop for any `indexes`.
fn shop(case: &Case, indexes: &str) -> Result<Rc<Shop>, Unavailable> {
    Ok(Rc::new(Shop::new(case, Size::of_visits(case.point), indexes)?))
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let mut rng = case.rng("page");
    let visit = rng.random_range(1..=case.point.max(1)) as i64;
    // The next visit of a product. In a proof, it may be any page, or one that nobody visited.
    let sql = match case.shape {
        Shape::Realistic => {
            "SELECT path FROM visits WHERE id >= ?1 AND path LIKE '/products/%' LIMIT 1"
        }
        _ => "SELECT path FROM visits WHERE id = ?1 AND id % 4 <> 0",
    };
    let path_from = |visit: i64| shop.connection.query_row(sql, [visit], |row| row.get(0));
    let path = match case.shape {
        Shape::Realistic => path_from(visit).or_else(|_| path_from(1)),
        _ => path_from(visit),
    };
    Input { shop: Rc::clone(shop), path: path.unwrap_or_else(|_| "/it's 100 %".to_owned()) }
}

/// An input of a small shop with a covering index.
fn small_input() -> Input {
    let case = Case { proof_size: Some(100), ..Case::realistic(100, 0, 1) };
    input(&case, &shop(&case, COVERING).expect("a shop of a hundred visits"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let covered = shop(case, COVERING)?;
    let inputs = case.rotate(TURNS, |case| input(case, &covered));
    let pages = inputs.map(|input| input.path.clone());
    let (case, size) = (case.clone(), covered.number(VISITS, ()));
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
    fn known_answers() {
        let shop = Connection::open_in_memory().unwrap();
        shop.execute_batch(
            "CREATE TABLE visits (id INTEGER PRIMARY KEY, path TEXT, took_us INTEGER);
             INSERT INTO visits VALUES (1, '/a', 30), (2, '/it''s', 5), (3, '/a', 12), (4, '/A', 9),
                 (5, '/a', 30)",
        )
        .unwrap();
        let times = |visits, sum_us, longest_us| Times { visits, sum_us, longest_us };
        for index in [INDEX, COVERING] {
            shop.execute_batch(index).unwrap();
            let found = ["/a", "/it's", "/%", ""].map(|path| times_of_page(&shop, path).unwrap());
            assert_eq!(found, [times(3, 72, 30), times(1, 5, 5), times(0, 0, 0), times(0, 0, 0)]);
            shop.execute_batch("DROP INDEX visits_by_path").unwrap();
        }
    }

    #[test]
    fn trap_both_sides_search_an_index_and_only_one_reads_the_table() {
        for point in [100, 30_000] {
            let case = Case::realistic(point, 0, 42);
            for (index, using) in [(INDEX, "INDEX"), (COVERING, "COVERING INDEX")] {
                let shop = shop(&case, index).unwrap();
                let plan = query_plan(&shop.connection, TIMES_OF_PAGE);
                assert_eq!(plan, format!("SEARCH visits USING {using} visits_by_path (path=?)"));
            }
        }
    }

    #[test]
    fn both_shops_have_the_same_rows() {
        let case = Case::realistic(1_000, 0, 42);
        let sum = |index| -> (i64, i64) {
            let sql = "SELECT sum(id * took_us), sum(length(path) * id) FROM visits";
            let shop = shop(&case, index).unwrap();
            shop.connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        assert_eq!(sum(INDEX), sum(COVERING));
    }
}
