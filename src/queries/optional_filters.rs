//! A search form with optional filters: a statement of the filters used, not one that has them all.

use std::{collections::BTreeSet, rc::Rc};

use rand::{RngExt, seq::SliceRandom};
use rusqlite::{Row, ToSql, named_params};

use crate::fixtures::shop::{Shop, Size};
use worthit_pair::prelude::*;

/// Visits in the shop.
const VISITS: u64 = 5_000;
/// The back office searches by customer, page and time.
const INDEXES: &str = "CREATE INDEX visits_by_customer ON visits (customer_id);
     CREATE INDEX visits_by_path ON visits (path);
     CREATE INDEX visits_by_time ON visits (visited_at)";
const SUM_UP: &str = "SELECT count(*), coalesce(sum(took_us), 0) FROM visits";
const ALL_FILTERS: &str = "SELECT count(*), coalesce(sum(took_us), 0) FROM visits
     WHERE (:customer IS NULL OR customer_id = :customer)
         AND (:path IS NULL OR path = :path)
         AND (:hour IS NULL OR visited_at >= :hour AND visited_at < :hour + 3600)
         AND (:status IS NULL OR status = :status)";
/// Statements that the filters can make: each of four is used or not.
const STATEMENTS: usize = 16;

pub const PAIR: Pair = Pair {
    title: "Name only the filters in use",
    review: Review {
        smell: "`WHERE (?1 IS NULL OR c = ?1) AND …`: one statement for a search form whose fields may stay empty. Its \
                plan is a `SCAN`, whatever is asked for.",
        remedy: "Add a condition for each filter in use (`for (condition, name, value) in used(filters)`), join them with \
                 ` AND `, and bind their values. The text has a place for each value and never the value itself. Keep \
                 the statements with `prepare_cached`, in a cache that holds every combination in use.",
        keep_naive_when: "The table is small, or no column has an index, or one filter is always set and finds few \
                          rows: that condition stands outside of the `OR` and is searched by. Or the database \
                          plans a statement for the values at hand, as PostgreSQL may do (`plan_cache_mode`), and drops \
                          the other conditions.",
        costs: "A statement for each combination of filters, and a test for each. Text is put together on every call, \
                so a value could slip into it: review that only constants do. If the cache holds fewer statements than \
                are in use, each call prepares its own.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "one statement with every filter",
        growth: Growth::Other("a scan, which tests more conditions the more are in use"),
    },
    optimized: Side {
        summary: "a statement of the filters in use",
        growth: Growth::Other("a search, which finds fewer rows the more are in use"),
    },
    input: "Searches of 5,000 visits in a SQLite table with an index each of customer, page and time. Each search takes \
            the values of a random visit, so it finds that one at least, and uses a random choice of four filters: \
            customer, page, hour and status. The status alone, which nearly all visits share, is no choice.",
    axis: Axis {
        name: "filters in use",
        unit: "filters",
        is_size: false,
        points: Points::Fixed { default: &[1, 2, 3, 4], deep: &[] },
    },
    unit: "search",
    headline: Headline::At { level: "", point: 2 },
    causes: &[
        Claim {
            cause: causes::VM_STEPS,
            naive: Count::AtLeast(|_| 3 * VISITS),
            optimized: Count::AtMost(|_| VISITS),
        },
        Claim {
            cause: causes::FULL_SCAN_STEPS,
            // Going to the first row is no step; each other row is one.
            naive: Count::Exactly(|_| VISITS - 1),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "A statement is planned once for all values, so a plan for `path = :path` alone would be wrong where \
              the path is NULL. The statement with every filter therefore tests each row, condition after \
              condition. A condition that stands alone is one that an index can be searched by. A step of the scan \
              is cheap, because it goes on within its page, while each visit that a search finds is one more \
              search of the table, so the gain stays below the ratio of steps. With each further filter a search finds fewer visits and the gain rises, up to where the fixed cost \
              of a statement on a file is most of what is left. Putting the text together and finding its prepared statement costs little beside that.",
        share_of_cause: ShareOfCause::Within(0.1, 0.8),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "a search finds nothing",
            reason: "a search by an index for a value that is not there reads no row",
            check: |inputs: &[Input]| {
                let found = |input: &Input| optimized(input).expect("the shop answers").visits;
                let empty = inputs.iter().filter(|input| found(input) == 0).count();
                ensure(empty == 0, || format!("{empty} searches find nothing"))
            },
            sprung: || {
                let Input { shop, filters } = small_input();
                vec![Input { shop, filters: Filters { customer: Some(-1), ..filters } }]
            },
        },
        &Trap {
            name: "always the same filters",
            reason: "one statement would do, and no cache would have to hold several",
            check: |inputs: &[Input]| {
                let used = |input: &Input| input.filters.in_use();
                let mut combinations: Vec<[bool; 4]> = inputs.iter().map(used).collect();
                combinations.sort_unstable();
                combinations.dedup();
                // All of them are one combination.
                ensure(combinations[0] == [true; 4] || combinations.len() >= 3, || {
                    format!("{} combinations", combinations.len())
                })
            },
            sprung: || vec![small_input()],
        },
        &Trap {
            name: "always the same values",
            reason: "the rows that a search finds would stay in the near caches",
            check: |inputs: &[Input]| {
                let values = |input: &Input| {
                    let Filters { customer, path, hour, .. } = input.filters.clone();
                    (customer, path, hour)
                };
                let distinct = inputs.iter().map(values).collect::<BTreeSet<_>>().len();
                ensure(4 * distinct > inputs.len(), || format!("{distinct} choices of values"))
            },
            sprung: || {
                let Input { shop, filters } = small_input();
                let same = |_| Input { shop: Rc::clone(&shop), filters: filters.clone() };
                (0..16).map(same).collect()
            },
        },
    ],
    limit: Limit::Work(&[Work::FileStatements(|_| 1)]),
    proof: Proof { resources: Resources::System, max_size: 64 },
    prepare,
    ..Pair::DEFAULTS
};

/// Searches in the rotation.
const TURNS: u64 = 256;

struct Input {
    /// The same one in each input of the rotation.
    shop: Rc<Shop>,
    filters: Filters,
}

/// What a visit must be like; `None` is a field left empty.
#[derive(Clone, Debug, Default)]
struct Filters {
    customer: Option<i64>,
    path: Option<String>,
    /// Beginning of an hour, in seconds since 1970.
    hour: Option<i64>,
    status: Option<i64>,
}

impl Filters {
    fn in_use(&self) -> [bool; 4] {
        let Filters { customer, path, hour, status } = self;
        [customer.is_some(), path.is_some(), hour.is_some(), status.is_some()]
    }
}

#[derive(Debug, PartialEq)]
struct Summary {
    visits: i64,
    took_us: i64,
}

impl Found for Summary {
    fn found(&self) -> u64 {
        self.visits as u64
    }
}

/// How many visits pass the filters, and how long they took.
fn naive(Input { shop, filters }: &Input) -> rusqlite::Result<Summary> {
    let mut query = shop.connection.prepare_cached(ALL_FILTERS)?;
    let values = named_params! {
        ":customer": filters.customer,
        ":path": filters.path,
        ":hour": filters.hour,
        ":status": filters.status,
    };
    query.query_row(values, summary)
}

/// How many visits pass the filters, and how long they took.
fn optimized(Input { shop, filters }: &Input) -> rusqlite::Result<Summary> {
    let (sql, values) = statement(filters);
    shop.connection.prepare_cached(&sql)?.query_row(&*values, summary)
}

/// The statement of the filters in use, and their values by name.
fn statement(filters: &Filters) -> (String, Vec<(&'static str, &dyn ToSql)>) {
    let mut sql = SUM_UP.to_owned();
    let mut values: Vec<(&'static str, &dyn ToSql)> = Vec::with_capacity(4);
    for (condition, name, value) in used(filters) {
        sql.push_str(if values.is_empty() { " WHERE " } else { " AND " });
        sql.push_str(condition);
        values.push((name, value));
    }
    (sql, values)
}

/// The filters in use: condition, name and value of each.
fn used(filters: &Filters) -> impl Iterator<Item = (&'static str, &'static str, &dyn ToSql)> {
    let Filters { customer, path, hour, status } = filters;
    let by_hour = "visited_at >= :hour AND visited_at < :hour + 3600";
    let all: [(&str, &str, Option<&dyn ToSql>); 4] = [
        ("customer_id = :customer", ":customer", customer.as_ref().map(|value| value as _)),
        ("path = :path", ":path", path.as_ref().map(|value| value as _)),
        (by_hour, ":hour", hour.as_ref().map(|value| value as _)),
        ("status = :status", ":status", status.as_ref().map(|value| value as _)),
    ];
    all.into_iter().filter_map(|(condition, name, value)| Some((condition, name, value?)))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    Ok(Summary { visits: row.get(0)?, took_us: row.get(1)? })
}

fn shop(case: &Case) -> Result<Rc<Shop>, Unavailable> {
    let size = Size::of_visits(case.items(VISITS) as u64);
    let shop = Shop::new(case, size, INDEXES)?;
    shop.connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(Rc::new(shop))
}

/// A search with `case.point` filters, by the values of a random visit.
fn input(case: &Case, shop: &Rc<Shop>) -> Input {
    let mut rng = case.rng("search");
    let sql = "SELECT coalesce(customer_id, -1), path, visited_at / 3600 * 3600, status FROM visits
               WHERE id >= ?1 AND customer_id IS NOT NULL ORDER BY id LIMIT 1";
    let visit = rng.random_range(1..=case.items(VISITS).max(1) as i64);
    let of_visit =
        |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?));
    let of_visit = shop.connection.query_row(sql, [visit], of_visit);
    // A proof may search for what is not there.
    let nowhere = || (-1, "/it's 100 %' OR '".to_owned(), i64::MAX - 3_600, 500);
    let (customer, path, hour, status) = of_visit.unwrap_or_else(|_| nowhere());
    let mut places = [0, 1, 2, 3];
    places.shuffle(&mut rng);
    if places[0] == 3 {
        places.swap(0, 3);
    }
    let is_used = |place| places[..case.point as usize].contains(&place);
    let filters = Filters {
        customer: is_used(0).then_some(customer),
        path: is_used(1).then_some(path),
        hour: is_used(2).then_some(hour),
        status: is_used(3).then_some(status),
    };
    Input { shop: Rc::clone(shop), filters }
}

/// A search of a small shop.
fn small_input() -> Input {
    let case = Case { proof_size: Some(50), ..Case::realistic(2, 0, 42) };
    input(&case, &shop(&case).expect("a shop of fifty visits"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let shop = shop(case)?;
    let inputs = case.rotate(TURNS, |case| input(case, &shop));
    let size = |input: &Input| input.filters.in_use().iter().filter(|used| **used).count() as u64;
    Ok(Trial::new(
        inputs.measured(size),
        by_ref(&inputs, |input| naive(input).expect("the shop answers")),
        by_ref(&inputs, |input| optimized(input).expect("the shop answers")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    #[test]
    fn known_answers() {
        let Input { shop, .. } = small_input();
        shop.connection
            .execute_batch(
                "DELETE FROM visits;
                 INSERT INTO visits (id, customer_id, visited_at, path, referrer, agent, status, took_us)
                 VALUES (1, 1, 3600, '/a', '', '', 200, 1), (2, NULL, 7199, '/a', '', '', 404, 10),
                     (3, 2, 7200, '/b', '', '', 200, 100)",
            )
            .unwrap();
        let (none, path) = (Filters::default(), Some("/a".to_owned()));
        for (filters, visits, took_us) in [
            (none.clone(), 3, 111),
            (Filters { customer: Some(1), ..none.clone() }, 1, 1),
            (Filters { customer: Some(9), ..none.clone() }, 0, 0),
            (Filters { path: path.clone(), ..none.clone() }, 2, 11),
            (Filters { hour: Some(3_600), ..none.clone() }, 2, 11),
            (Filters { hour: Some(3_600), status: Some(404), ..none.clone() }, 1, 10),
            (Filters { path: Some("/a' OR '1".to_owned()), ..none }, 0, 0),
            (Filters { customer: Some(1), path, hour: Some(3_600), status: Some(200) }, 1, 1),
        ] {
            let input = Input { shop: Rc::clone(&shop), filters };
            for side in [naive, optimized] {
                assert_eq!(side(&input).unwrap(), Summary { visits, took_us });
            }
        }
    }

    #[test]
    fn trap_every_filter_but_the_status_has_an_index_which_only_one_side_searches() {
        let case = Case::realistic(1, 0, 42);
        let shop = shop(&case).unwrap();
        assert_eq!(query_plan(&shop.connection, ALL_FILTERS), "SCAN visits");
        for (condition, search) in [
            ("", "SCAN visits"),
            (
                " WHERE customer_id = :customer",
                "SEARCH visits USING INDEX visits_by_customer (customer_id=?)",
            ),
            (" WHERE path = :path", "SEARCH visits USING INDEX visits_by_path (path=?)"),
            (
                " WHERE visited_at >= :hour AND visited_at < :hour + 3600",
                "SEARCH visits USING INDEX visits_by_time (visited_at>? AND visited_at<?)",
            ),
        ] {
            assert_eq!(query_plan(&shop.connection, &format!("{SUM_UP}{condition}")), search);
        }
    }

    #[test]
    fn trap_every_combination_is_searched_by_an_index_and_kept_in_the_statement_cache() {
        let mut statements = BTreeSet::new();
        for point in 1..=4 {
            let case = Case::realistic(point, 0, 42);
            let shop = shop(&case).unwrap();
            for Input { filters, .. } in case.rotate(TURNS, |case| input(case, &shop)).iter() {
                let (sql, _) = statement(filters);
                let plan = query_plan(&shop.connection, &sql);
                assert!(plan.starts_with("SEARCH visits USING INDEX "), "{sql}: {plan}");
                statements.insert(sql);
            }
        }
        assert!((12..=STATEMENTS).contains(&statements.len()), "{}", statements.len());
    }
}
