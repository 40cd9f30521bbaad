//! Search texts for a part of them: through a trigram index, not by reading every text.

use std::rc::Rc;

use rand::RngExt;
use rusqlite::Row;

use crate::fixtures::{
    shop::{RARE_WORDS, Shop, Size, rare_word},
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// An index of all runs of three characters, and triggers that keep it up to date.
const INDEX: &str =
    "CREATE VIRTUAL TABLE review_texts USING fts5 (body, content = 'reviews', content_rowid = 'id',
         tokenize = 'trigram');
     INSERT INTO review_texts (review_texts) VALUES ('rebuild');
     CREATE TRIGGER review_added AFTER INSERT ON reviews BEGIN
         INSERT INTO review_texts (rowid, body) VALUES (new.id, new.body);
     END;
     CREATE TRIGGER review_deleted AFTER DELETE ON reviews BEGIN
         INSERT INTO review_texts (review_texts, rowid, body) VALUES ('delete', old.id, old.body);
     END;
     CREATE TRIGGER review_changed AFTER UPDATE ON reviews BEGIN
         INSERT INTO review_texts (review_texts, rowid, body) VALUES ('delete', old.id, old.body);
         INSERT INTO review_texts (rowid, body) VALUES (new.id, new.body);
     END";
const BY_SCAN: &str =
    r"SELECT id, product_id, stars FROM reviews WHERE body LIKE ?1 ESCAPE '\' ORDER BY id";
const BY_INDEX: &str = r"SELECT r.id, r.product_id, r.stars
     FROM review_texts t JOIN reviews r ON r.id = t.rowid
     WHERE t.body MATCH ?2 AND r.body LIKE ?1 ESCAPE '\' ORDER BY t.rowid";
/// Shorter texts than this many characters are not in the index.
const SHORTEST: usize = 3;

pub const PAIR: Pair = Pair {
    title: "Search texts by a trigram index",
    review: Review {
        smell: "`LIKE '%' || ?1 || '%'` on a column of texts. No ordinary index helps, since the text may begin \
                anywhere: the query plan is a `SCAN`.",
        remedy: "A table `USING fts5 (…, tokenize = 'trigram')` beside the texts, triggers that keep it up to date, and \
                 `FROM review_texts t JOIN reviews r ON r.id = t.rowid WHERE t.body MATCH ?2 AND r.body LIKE ?1`. The \
                 `LIKE` stays, for the few texts found: the index ignores the case of all letters, `LIKE` that of ASCII \
                 letters. Texts of fewer than three characters need the scan.",
        keep_naive_when: "There are few texts, or most searches are for fewer than three characters, or texts are \
                          written far more often than searched.",
        costs: "The index takes more space than the texts, and each new text adds an entry for each of its characters. \
                A quote in the text searched for must be doubled. FTS5 answers a `LIKE` on its own column from the index, \
                too, but not one with an `ESCAPE`, which a text with `%` or `_` needs. If users search for whole words, \
                the tokenizer `unicode61` makes a smaller index.",
        lint: Lint::None,
    },
    naive: Side { summary: "LIKE '%text%' on every review", growth: Growth::Linear },
    optimized: Side {
        summary: "MATCH in an FTS5 trigram index, then LIKE",
        growth: Growth::Linear,
    },
    input: "Searches of product reviews in a SQLite table for a word of six letters that occurs in one at least. \
            Reviews have 4 to 29 common words and up to 11 of 4,096 rarer ones, which follow Zipf's law. Popular words \
            are searched for more often than rare ones, so searches find from one review to many. Both sides use one \
            table.",
    axis: Axis {
        name: "reviews",
        unit: "reviews",
        is_size: true,
        points: Points::Fixed { default: &[30, 300, 1_000, 3_000, 10_000], deep: &[30_000] },
    },
    unit: "search",
    headline: Headline::At { level: "", point: 10_000 },
    causes: &[Claim {
        cause: causes::FULL_SCAN_STEPS,
        // Going to the first row is no step; each other row is one.
        naive: Count::Exactly(|case| case.point - 1),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "LIKE reads every review and compares the text at each place. The index knows for each run of three \
              characters which reviews have it, so a search reads the lists of a few runs, keeps what they have in \
              common, and looks only at these reviews. The lists grow with the table, too, and common runs have \
              long ones, so the gain settles. A search of the index reads and unpacks records of its own tables, a \
              fixed cost that exceeds a scan of few reviews. Its steps are inside FTS5, where the counter of full \
              scans does not see them.",
        share_of_cause: ShareOfCause::NoRatio("a search by the index makes no step of a full scan"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(30),
    },
    traps: &[
        &Trap {
            name: "no review has the word",
            reason: "the index would know so from the first three letters",
            check: |inputs: &[Input]| {
                let found = |input: &Input| optimized(input).expect("the shop answers").len();
                let empty = inputs.iter().filter(|input| found(input) == 0).count();
                ensure(empty == 0, || format!("{empty} searches find nothing"))
            },
            sprung: || vec![Input { text: "xyzzy!".to_owned(), ..small_input() }],
        },
        &Trap {
            name: "nearly every review has the word",
            reason: "both sides would read and return nearly all reviews",
            check: |inputs: &[Input]| {
                let found = |input: &Input| optimized(input).expect("the shop answers").len();
                let found: usize = inputs.iter().map(found).sum();
                let all = inputs.len() as u64 * reviews(&inputs[0]);
                ensure(4 * (found as u64) < all, || format!("{found} of {all} reviews are found"))
            },
            sprung: || vec![Input { text: "e".to_owned(), ..small_input() }],
        },
    ],
    limit: Limit::None(
        "a search unpacks the lists of its runs inside FTS5, and no machine number bounds that",
    ),
    proof: Proof { resources: Resources::System, max_size: 40 },
    prepare,
    ..Pair::DEFAULTS
};

/// Searches in the rotation.
fn turns(reviews: u64) -> u64 {
    if reviews <= 3_000 { 128 } else { 64 }
}

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    /// What the reviews are searched for.
    text: String,
}

/// A review that contains the text.
#[derive(Debug, PartialEq)]
struct Hit {
    id: i64,
    product: i64,
    stars: i64,
}

impl Found for Hit {
    fn found(&self) -> u64 {
        1
    }
}

/// The reviews that contain the text; ASCII letters are alike in both cases.
fn naive(input: &Input) -> rusqlite::Result<Vec<Hit>> {
    let mut query = input.shop.connection.prepare_cached(BY_SCAN)?;
    query.query_map([like(&input.text)], review)?.collect()
}

/// The reviews that contain the text; ASCII letters are alike in both cases.
fn optimized(input: &Input) -> rusqlite::Result<Vec<Hit>> {
    // A query of FTS5 ends at a NUL.
    if input.text.chars().count() < SHORTEST || input.text.contains('\0') {
        return naive(input);
    }
    // In a phrase, only a quote has a meaning.
    let phrase = format!("\"{}\"", input.text.replace('"', "\"\""));
    let mut query = input.shop.connection.prepare_cached(BY_INDEX)?;
    query.query_map([like(&input.text), phrase], review)?.collect()
}

/// The pattern of texts that contain `text`.
fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if ['%', '_', '\\'].contains(&character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn review(row: &Row<'_>) -> rusqlite::Result<Hit> {
    Ok(Hit { id: row.get(0)?, product: row.get(1)?, stars: row.get(2)? })
}

/// In proofs, some reviews have other texts than words.
const HOSTILE: &str = r#"
     UPDATE reviews SET body = body || '100 %_\ "quoted" it''s ÄÖÜ äöü İi ẞß 世界語 §7' WHERE id % 3 = 1;
     UPDATE reviews SET body = upper(body) WHERE id % 3 = 2; UPDATE reviews SET body = '' WHERE id % 8 = 0;"#;
/// What a proof searches for.
const TEXTS: [&str; 21] = [
    "",
    "e",
    "§7",
    "it's",
    "\"",
    "\"quoted\"",
    "100 %",
    "%_\\",
    "_",
    "äöü",
    "ÄÖÜ",
    "Äöü",
    "İi ",
    "ẞß ",
    "世界語",
    "世界",
    "OR ",
    " AND NOT ",
    "PLEASE",
    "lea* NEAR(",
    "a\0bcd",
];

fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let hostile = if case.shape == Shape::Realistic { "" } else { HOSTILE };
    let indexes = format!("{hostile}{INDEX}");
    Ok(Rc::new(Shop::new(case, Size::of_reviews(case.point), &indexes)?))
}

fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let mut rng = case.rng("search");
    let words = Zipf::new(RARE_WORDS, 2);
    let occurs = |word: &String| {
        let sql = "SELECT EXISTS (SELECT 1 FROM reviews WHERE instr(body, ?1))";
        shop.connection.query_row(sql, [word], |row| row.get(0)).expect("the shop answers")
    };
    let text = match case.shape {
        Shape::Realistic if case.point > 0 => {
            let mut drawn = std::iter::repeat_with(|| rare_word(words.sample(&mut rng)));
            drawn.find(occurs).expect("a review has a rare word at least")
        }
        _ => TEXTS[rng.random_range(0..TEXTS.len() as u32) as usize].to_owned(),
    };
    Input { shop: Rc::clone(shop), text }
}

/// Number of reviews that a search looks through.
fn reviews(input: &Input) -> u64 {
    input.shop.number("SELECT count(*) FROM reviews", ())
}

/// A search of a small shop.
fn small_input() -> Input {
    let case = Case { proof_size: Some(50), ..Case::realistic(50, 0, 42) };
    input(&case, &shop(&case).expect("a shop of fifty reviews"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let inputs = case.rotate(turns(case.point), |case| input(case, &shop));
    Ok(Trial::new(
        inputs.measured(reviews),
        by_ref(&inputs, |input| naive(input).expect("the shop answers")),
        by_ref(&inputs, |input| optimized(input).expect("the shop answers")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    /// The ids of the reviews that both sides find.
    fn found(shop: &Rc<Shop>, text: &str) -> Vec<i64> {
        let input = Input { shop: Rc::clone(shop), text: text.to_owned() };
        let sides = [naive, optimized].map(|side| -> Vec<i64> {
            side(&input).unwrap().iter().map(|review| review.id).collect()
        });
        assert_eq!(sides[0], sides[1], "{text}");
        sides[0].clone()
    }

    #[test]
    fn known_answers_also_after_writes() {
        let Input { shop, .. } = small_input();
        let run = |sql: &str| shop.connection.execute_batch(sql).unwrap();
        run("DELETE FROM reviews;
             INSERT INTO reviews VALUES (1, 1, 1, 0, 5, 'a lovely LAMP'), (2, 1, 1, 0, 1, '100 % broken'),
                 (3, 1, 1, 0, 1, '100 times \"great\"'), (4, 1, 1, 0, 3, 'Größe passt, lamps')");
        for (text, ids) in [
            ("lamp", &[1, 4][..]),
            ("LAMPS", &[4]),
            ("100 %", &[2]),
            ("100", &[2, 3]),
            ("\"great\"", &[3]),
            ("größe", &[4]),
            ("GRÖSSE", &[]),
            ("_", &[]),
            ("", &[1, 2, 3, 4]),
        ] {
            assert_eq!(found(&shop, text), ids, "{text}");
        }
        run("UPDATE reviews SET body = 'no light' WHERE id = 4; DELETE FROM reviews WHERE id = 2");
        assert_eq!(found(&shop, "lamp"), [1]);
        assert_eq!(found(&shop, "light"), [4]);
        assert_eq!(found(&shop, "100"), [3]);
    }

    #[test]
    fn trap_only_one_side_scans_the_reviews() {
        for point in [30, 10_000] {
            let shop = shop(&Case::realistic(point, 0, 42)).unwrap();
            assert_eq!(query_plan(&shop.connection, BY_SCAN), "SCAN reviews");
            let plan = query_plan(&shop.connection, BY_INDEX);
            let expected =
                "SCAN t VIRTUAL TABLE INDEX 64:M0; SEARCH r USING INTEGER PRIMARY KEY (rowid=?)";
            assert_eq!(plan, expected);
        }
    }

    #[test]
    fn the_index_is_larger_than_the_texts() {
        let shop = shop(&Case::realistic(3_000, 0, 42)).unwrap();
        let index = shop.number("SELECT sum(length(block)) FROM review_texts_data", ());
        let texts = shop.number("SELECT sum(length(CAST(body AS BLOB))) FROM reviews", ());
        assert!(index > texts, "{index} bytes of an index of {texts}");
    }
}
