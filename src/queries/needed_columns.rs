//! Select the columns that are used, not all of them.

use std::rc::Rc;

use rand::{RngExt, seq::SliceRandom};
use rusqlite::{Connection, Row};

use crate::fixtures::shop::{ShopFile, Size};
use worthit_pair::prelude::*;

/// Reviews in the shop.
const REVIEWS: u64 = 3_000;
/// Reviews that one iteration reads.
const PAGE: u64 = 100;
const ALL_COLUMNS: &str = "SELECT * FROM reviews WHERE id >= ?1 ORDER BY id LIMIT ?2";
const TWO_COLUMNS: &str =
    "SELECT written_at, stars FROM reviews WHERE id >= ?1 ORDER BY id LIMIT ?2";

pub const PAIR: Pair = Pair {
    title: "Select the columns that are used",
    review: Review {
        smell: "`SELECT *`, or an object-relational mapper that fills whole rows, where the caller uses few of the \
                columns and one of the others is a long text, a document or an image.",
        remedy: "Name the columns: `SELECT written_at, stars FROM reviews …`, and read them with `row.get(0)?` into a \
                 tuple or a small struct. Declare long columns last in the table: SQLite has to go through a long \
                 value to reach the columns behind it.",
        keep_naive_when: "All rows are short, and one function that returns whole rows serves many callers. Or the \
                          caller hands on the whole row.",
        costs: "Each use has a query and a type of its own. A caller that later needs another column changes both.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "SELECT *, whole rows",
        growth: Growth::Other("grows with the text, and steps up where it outgrows a page"),
    },
    optimized: Side {
        summary: "SELECT the two columns used",
        growth: Growth::Other("grows until each row has a page of its own"),
    },
    input: "Times and stars of 100 consecutive reviews, from a SQLite table of 3,000 with six columns, whose last is \
            a text of exactly the stated length. Each hundred is read once before any is read again, in shuffled \
            order. From 1,000 bytes on, the table outgrows SQLite's page cache; from 4,096 bytes on, a text goes on \
            in pages of its own.",
    axis: Axis {
        name: "length of the text",
        unit: "B",
        is_size: true,
        points: Points::Fixed { default: &[30, 100, 300, 1_000, 6_000], deep: &[12_000] },
    },
    unit: "row",
    headline: Headline::At { level: "", point: 6_000 },
    alternatives: &[SideBeside {
        name: "read_two_of_all",
        summary: "SELECT *, but read two columns of each row",
    }],
    causes: &[
        Claim {
            cause: causes::ALLOCATED_BYTES,
            naive: Count::AtLeast(|case| PAGE * (case.point + 100)),
            // The answer itself, with the growth of its Vec.
            optimized: Count::AtMost(|_| PAGE * 60),
        },
        Claim {
            cause: causes::BYTES_READ,
            // Each long text has a page of its own, or more.
            naive: Count::AtLeast(|case| if case.point > 4_096 { PAGE * 4_096 } else { 0 }),
            // Below, two long rows begin on a page.
            optimized: Count::AtMost(|case| {
                PAGE * 4_096 * if case.point > 10_000 { 11 } else { 7 } / 10
            }),
        },
    ],
    explanation: Explanation {
        why: "SQLite makes a value of every column that is selected, whether it is read or not: it copies the text, \
              and where a row is longer than a page, it reads the pages on which it goes on. Then the text is checked \
              to be UTF-8 and copied once more, into a `String`. None of this serves the two numbers. Both sides step \
              through the same rows, and read the page on which each begins. So the gain is far below the ratio of \
              bytes. The alternative selects all and reads two: it saves the last copy, and not the others.",
        share_of_cause: ShareOfCause::Within(0.005, 0.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "a page is not full",
            reason: "the time is reported for a hundred rows, and without rows there is nothing to leave out",
            check: |inputs: &[Input]| {
                let rows = |input: &Input| {
                    let found = optimized(&input.shop.connection, input.first);
                    found.expect("the shop answers").len() as u64
                };
                let short = inputs.iter().map(rows).find(|rows| *rows < PAGE);
                ensure(short.is_none(), || format!("a page has {short:?} rows"))
            },
            sprung: || vec![Input { first: i64::MAX, ..small_input() }],
        },
        &Trap {
            name: "the same page again and again",
            reason: "its rows would stay in SQLite's page cache, where a long text costs no read",
            check: |inputs: &[Input]| {
                let mut first: Vec<i64> = inputs.iter().map(|input| input.first).collect();
                first.sort_unstable();
                first.dedup();
                ensure(first.len() as u64 * PAGE >= REVIEWS, || format!("{} pages", first.len()))
            },
            sprung: || vec![small_input()],
        },
    ],
    limit: Limit::Work(&[Work::FileStatements(|_| 1), Work::RowsReturned(|_| PAGE - 1)]),
    proof: Proof { resources: Resources::System, max_size: 9_000 },
    prepare,
    ..Pair::DEFAULTS
};

struct Shop {
    /// A connection beside those of the sides.
    connection: Connection,
    file: ShopFile,
}

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// Id of the first review to read.
    first: i64,
}

/// What the caller uses.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rating {
    written_at: i64,
    stars: i64,
}

impl Found for Rating {
    fn found(&self) -> u64 {
        1
    }
}

/// A whole row.
#[expect(dead_code, reason = "the caller uses two columns")]
struct Whole {
    id: i64,
    product_id: i64,
    customer_id: i64,
    written_at: i64,
    stars: i64,
    body: String,
}

/// When reviews were written, and how many stars they give.
fn naive(shop: &Connection, first: i64) -> rusqlite::Result<Vec<Rating>> {
    let mut query = shop.prepare_cached(ALL_COLUMNS)?;
    let reviews: Vec<Whole> =
        query.query_map((first, PAGE as i64), whole)?.collect::<rusqlite::Result<_>>()?;
    Ok(reviews
        .iter()
        .map(|review| Rating { written_at: review.written_at, stars: review.stars })
        .collect())
}

/// When reviews were written, and how many stars they give.
fn optimized(shop: &Connection, first: i64) -> rusqlite::Result<Vec<Rating>> {
    let mut query = shop.prepare_cached(TWO_COLUMNS)?;
    let used = |row: &Row<'_>| Ok(Rating { written_at: row.get(0)?, stars: row.get(1)? });
    query.query_map((first, PAGE as i64), used)?.collect()
}

/// When reviews were written, and how many stars they give.
fn read_two_of_all(shop: &Connection, first: i64) -> rusqlite::Result<Vec<Rating>> {
    let mut query = shop.prepare_cached(ALL_COLUMNS)?;
    let used = |row: &Row<'_>| Ok(Rating { written_at: row.get(3)?, stars: row.get(4)? });
    query.query_map((first, PAGE as i64), used)?.collect()
}

fn whole(row: &Row<'_>) -> rusqlite::Result<Whole> {
    Ok(Whole {
        id: row.get(0)?,
        product_id: row.get(1)?,
        customer_id: row.get(2)?,
        written_at: row.get(3)?,
        stars: row.get(4)?,
        body: row.get(5)?,
    })
}

/// SQL that gives each review a text of `bytes` bytes and writes the rows anew, in order.
fn widen(shape: Shape, bytes: u64) -> String {
    let text = match shape {
        // Its own words, over and over. The shortest has 19 bytes, and `§` is the only letter with two.
        Shape::Realistic => format!(
            "substr(replace(hex(zeroblob({})), '00', replace(body, '§', 's')), 1, {bytes})",
            bytes / 19 + 1
        ),
        _ => format!(
            "replace(hex(zeroblob({})), '00', 'é') || substr('%', 1, {})",
            bytes / 2,
            bytes % 2
        ),
    };
    format!(
        "CREATE TEMP TABLE short AS SELECT * FROM reviews;
         DELETE FROM reviews;
         INSERT INTO reviews SELECT id, product_id, customer_id, written_at, stars, {text} FROM short;
         DROP TABLE short"
    )
}

fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let reviews = match case.proof_size {
        None => REVIEWS,
        Some(_) => case.rng("reviews").random_range(1..6),
    };
    let (customers, products) = (reviews / 4 + 1, reviews / 20 + 1);
    let size = Size { customers, products, reviews, ..Size::default() };
    let file = ShopFile::new(paths::scratch()?, case, size, &widen(case.shape, case.point))?;
    Ok(Rc::new(Shop { connection: file.open()?, file }))
}

/// The length of the texts in bytes; `u64::MAX` if they differ.
fn text_bytes(input: &Input) -> u64 {
    let sql = "SELECT min(octet_length(body)), max(octet_length(body)) FROM reviews";
    let range = input.shop.connection.prepare_cached(sql).and_then(|mut query| {
        query.query_row((), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
    });
    let (shortest, longest) = range.expect("there are reviews");
    if shortest == longest { longest as u64 } else { u64::MAX }
}

/// An input of a small shop, for the traps.
fn small_input() -> Input {
    let case = Case { proof_size: Some(5), ..Case::realistic(5, 0, 1) };
    Input { shop: shop(&case).expect("a shop of some reviews"), first: 1 }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let mut pages: Vec<u64> = (0..REVIEWS / PAGE).collect();
    pages.shuffle(&mut case.rng("pages"));
    let inputs = case.rotate(pages.len() as u64, |case| {
        let first = match (case.proof_size, case.shape) {
            (None, _) => pages[case.turn as usize] * PAGE + 1,
            // In a proof, there may be few rows left, or none.
            (_, Shape::Adversarial) => [i64::MIN, i64::MAX][case.turn as usize % 2] as u64,
            _ => case.rng("first").random_range(0..6),
        };
        Input { shop: Rc::clone(&shop), first: first as i64 }
    });
    // Each side has a connection of its own, so that none finds in SQLite's page cache what another one read.
    let over = |side: fn(&Connection, i64) -> rusqlite::Result<Vec<Rating>>| {
        let shop_of_side = shop.file.open()?;
        let read = move |input: &Input| side(&shop_of_side, input.first).expect("the shop answers");
        Ok(by_ref(&inputs, read))
    };
    let trial = Trial::new(inputs.measured(text_bytes), over(naive)?, over(optimized)?);
    Ok(trial.alternative(over(read_two_of_all)?).units(PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let input = small_input();
        input
            .shop
            .connection
            .execute_batch(
                "DELETE FROM reviews;
                 INSERT INTO reviews VALUES (1, 1, 1, 10, 5, ''), (4, 1, 1, -20, 1, 'O''Brien''s § 100%')",
            )
            .unwrap();
        let (first, second) =
            (Rating { written_at: 10, stars: 5 }, Rating { written_at: -20, stars: 1 });
        for side in [naive, optimized, read_two_of_all] {
            let found = |from| side(&input.shop.connection, from).unwrap();
            assert_eq!(found(1), [first, second]);
            assert_eq!(found(2), [second]);
            assert_eq!(found(5), []);
        }
    }

    #[test]
    fn trap_both_sides_search_by_the_key_and_neither_sorts() {
        let shop = &shop(&Case::realistic(300, 0, 42)).unwrap().connection;
        for sql in [ALL_COLUMNS, TWO_COLUMNS] {
            let plan = query_plan(shop, sql);
            assert_eq!(plan, "SEARCH reviews USING INTEGER PRIMARY KEY (rowid>?)");
        }
    }

    #[test]
    fn trap_the_text_is_the_last_column() {
        let shop = &small_input().shop.connection;
        let query = shop.prepare(ALL_COLUMNS).unwrap();
        assert_eq!(query.column_names().last(), Some("body"));
    }
}
