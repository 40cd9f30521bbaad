//! Look up keys of which many do not exist: ask a Bloom filter of all keys first, and the database only if it may have one.

use std::collections::HashSet;

use fastbloom::BloomFilter;
use foldhash::fast::FixedState;
use rand::{RngExt, seq::SliceRandom};
use rusqlite::{Connection, OptionalExtension};

use crate::fixtures::{
    recency::distinct,
    shop::{ShopFile, Size},
    sqlite,
};
use worthit_pair::prelude::*;

/// Lookups in one iteration; a multiple of 100, so that each share is exact.
const LOOKUPS: u64 = 400;
/// Customers that join meanwhile.
const JOINING: u64 = LOOKUPS / 100;
/// Customers in the shop.
const CUSTOMERS: u64 = 20_000;
/// Share of absent keys for which the filter may ask the database in vain.
const FALSE_POSITIVES: f64 = 0.01;

const SELECT: &str = "SELECT id FROM customers WHERE email = ?1";
const INSERT: &str = "INSERT INTO customers (email, name, city, joined_at) VALUES (?1, '', '', 0)";

pub const PAIR: Pair = Pair {
    title: "Ask a Bloom filter before the database",
    review: Review {
        smell: "A query by key, most of whose keys do not exist: is this address taken, is this file known, has this \
                event been seen.",
        remedy: "A `BloomFilter` of all keys, built when the program starts: `if !filter.contains(email)`, the key is \
                 absent for certain; else ask the database. Each insert tells the filter with `filter.insert`, before \
                 the database shows the row.",
        keep_naive_when: "Most keys exist, or rows come into being without passing through this process: the filter \
                          would deny them. Or the same absent keys come again and again: remembering these takes less \
                          room. Where all keys fit in memory, a `HashSet` of them, the alternative, is never wrong, and \
                          forgets a key that is deleted.",
        costs: "A pass over all keys at the start. Some bits for each key, fixed in advance: with more keys than it was \
                made for, the filter lets more and more absent ones through. Deleted keys stay in it until it is built \
                again. Both cost statements in vain, never a wrong answer. Across threads it takes a lock, or an \
                `AtomicBloomFilter`.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a SELECT for every key",
        growth: Growth::Other("a search for each key, whether it finds one or not"),
    },
    optimized: Side {
        summary: "a Bloom filter first (fastbloom)",
        growth: Growth::Other("falls with the keys that exist"),
    },
    input: "400 lookups of a customer by e-mail address, in a SQLite table of 20,000 customers, as when a list of \
            addresses is imported. Exactly the stated share of the addresses is of nobody; these lie all over the \
            index. The places are random, and addresses seldom repeat. Four customers join meanwhile, and some of them are \
            looked up after that. Streams alternate. The filter has room for 40,000 addresses, and may be wrong for one \
            absent one in a hundred when it is full.",
    axis: Axis {
        name: "share of absent keys",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 10, 50, 90, 99], deep: &[] },
    },
    unit: "lookup",
    headline: Headline::At { level: "", point: 90 },
    alternatives: &[SideBeside { name: "hash_set", summary: "a HashSet of all keys first" }],
    causes: &[Claim {
        cause: causes::STATEMENTS,
        naive: Count::Exactly(|_| LOOKUPS + JOINING),
        // Some statements are in vain: for one in a hundred absent keys, if the filter is full.
        optimized: Count::AtMost(|case| {
            let absent = LOOKUPS * case.point / 100;
            LOOKUPS - absent + absent / 50 + JOINING
        }),
    }],
    explanation: Explanation {
        why: "The filter answers for nearly all absent keys, with a hash and a few bits of a table that stays in a near \
              cache, so each of them saves a statement. Keys that exist cost a statement as before, and the look at the \
              filter on top, which is cheap beside it. So the gain follows the ratio of statements. Inserts are the same \
              on both sides and cost more than lookups, which keeps the gain below the ratio where few lookups are left.",
        share_of_cause: ShareOfCause::Within(0.35, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "nobody who joins is looked up",
            reason: "a filter that is never told of an insert would give the same answers",
            check: |inputs: &[Vec<Op>]| {
                let told = inputs.iter().filter(|ops| finds_who_joined(ops)).count();
                ensure(told == inputs.len(), || format!("{told} of {} streams", inputs.len()))
            },
            sprung: || vec![vec![Op::Find(stranger(1)), Op::Join(stranger(1))]],
        },
        &Trap {
            name: "the same addresses again and again",
            reason: "a cache of a few keys would do as well as a filter of all",
            check: |inputs: &[Vec<Op>]| {
                let asked = || inputs.iter().flatten().filter_map(|op| op.asks());
                let (asked, distinct) = (asked().count(), distinct(asked()));
                ensure(distinct * 5 > asked * 4, || format!("{distinct} keys in {asked} lookups"))
            },
            sprung: || vec![(0..400).map(|i| Op::Find(stranger(i % 100))).collect()],
        },
    ],
    // Lookups in a covering index cost less than the statements that this counts, and inserts cost more.
    limit: Limit::Work(&[
        Work::FileStatements(|case| LOOKUPS - LOOKUPS * case.point / 100),
        Work::Hashes(|_| LOOKUPS),
    ]),
    proof: Proof { resources: Resources::System, max_size: 8 },
    prepare,
    ..Pair::DEFAULTS
};

/// A step of a stream, with the address that it is about.
#[derive(Debug)]
enum Op {
    Find(String),
    Join(String),
}

impl Op {
    /// The address that it asks for, if it does.
    fn asks(&self) -> Option<&str> {
        match self {
            Op::Find(email) => Some(email),
            Op::Join(_) => None,
        }
    }
}

/// The customer that each lookup finds.
fn naive(shop: &Connection, ops: &[Op]) -> rusqlite::Result<Vec<Option<i64>>> {
    let mut found = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Find(email) => found.push(select(shop, email)?),
            Op::Join(email) => insert(shop, email)?,
        }
    }
    Ok(found)
}

/// The customer that each lookup finds.
fn optimized(
    shop: &Connection,
    filter: &mut BloomFilter,
    ops: &[Op],
) -> rusqlite::Result<Vec<Option<i64>>> {
    let mut found = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Find(email) if !filter.contains(email) => found.push(None),
            Op::Find(email) => found.push(select(shop, email)?),
            Op::Join(email) => {
                filter.insert(email);
                insert(shop, email)?;
            }
        }
    }
    Ok(found)
}

/// The customer that each lookup finds.
fn hash_set(
    shop: &Connection,
    emails: &mut HashSet<String, FixedState>,
    ops: &[Op],
) -> rusqlite::Result<Vec<Option<i64>>> {
    let mut found = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Find(email) if !emails.contains(email) => found.push(None),
            Op::Find(email) => found.push(select(shop, email)?),
            Op::Join(email) => {
                emails.insert(email.clone());
                insert(shop, email)?;
            }
        }
    }
    Ok(found)
}

fn select(shop: &Connection, email: &str) -> rusqlite::Result<Option<i64>> {
    shop.prepare_cached(SELECT)?.query_row([email], |row| row.get(0)).optional()
}

fn insert(shop: &Connection, email: &str) -> rusqlite::Result<()> {
    shop.prepare_cached(INSERT)?.execute([email]).map(drop)
}

/// A shop, and what a side knows of its keys.
struct State<K> {
    shop: Connection,
    known: K,
    /// What it knows at the start of each stream.
    at_first: K,
    /// The last customer that the shop has at first.
    last: i64,
    _file: ShopFile,
}

impl<K: Clone> State<K> {
    fn new(case: &Case, learn: impl FnOnce(&[String]) -> K) -> Result<State<K>, Unavailable> {
        let size = Size { customers: customers(case), ..Size::default() };
        let file = ShopFile::new(paths::scratch()?, case, size, "")?;
        let shop = file.open()?;
        let last = shop.query_row("SELECT max(id) FROM customers", (), |row| row.get(0));
        let last = last.expect("there is a customer");
        let known = learn(&emails(&shop).expect("the shop answers"));
        Ok(State { shop, at_first: known.clone(), known, last, _file: file })
    }

    /// Takes those who joined away, from the shop and from what is known.
    fn reset(&mut self) {
        let reset = self.shop.execute("DELETE FROM customers WHERE id > ?1", [self.last]);
        reset.and_then(|_| sqlite::restart_log(&self.shop)).expect("who joined goes away");
        self.known.clone_from(&self.at_first);
    }
}

fn emails(shop: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = shop.prepare("SELECT email FROM customers")?;
    query.query_map((), |row| row.get(0))?.collect()
}

fn filter(emails: &[String]) -> BloomFilter {
    // Seeded, so that counts repeat. A server whose clients choose the keys leaves the seed to chance.
    let filter = BloomFilter::with_false_pos(FALSE_POSITIVES).seed(&42);
    let mut filter = filter.expected_items(2 * emails.len().max(50));
    filter.insert_all(emails);
    filter
}

fn customers(case: &Case) -> u64 {
    case.items(CUSTOMERS).max(1) as u64
}

/// An address that the shop does not have. They lie all over the index.
fn stranger(key: u64) -> String {
    format!("c{}.{key}@example.org", key.wrapping_mul(7_919) % CUSTOMERS + 1)
}

fn is_stranger(email: &str) -> bool {
    email.split('@').next().is_some_and(|name| name.contains('.'))
}

/// A stream of lookups, of which exactly the stated share is in vain, and of customers who join.
fn stream(case: &Case) -> Vec<Op> {
    // In a multiple of 100, every point of the axis is a whole number of lookups.
    let count = case.items(LOOKUPS).max(1).next_multiple_of(100);
    let mut rng = case.rng("stream");
    let mut is_absent = vec![false; count];
    is_absent[..count * case.point as usize / 100].fill(true);
    is_absent.shuffle(&mut rng);
    let keys = case.values(count);
    let (mut ops, mut joined) = (Vec::new(), Vec::new());
    for (i, (absent, key)) in is_absent.into_iter().zip(keys).enumerate() {
        if i % 100 == 0 {
            let email = format!("new{i}@example.org");
            ops.push(Op::Join(email.clone()));
            joined.push(email);
        }
        ops.push(Op::Find(match joined.pop_if(|_| !absent) {
            Some(email) => email,
            None if absent => stranger(key),
            None => format!("c{}@example.org", rng.random_range(1..=customers(case))),
        }));
    }
    ops
}

/// The percentage of lookups that are in vain.
fn share_of_absent(ops: &[Op]) -> u64 {
    let asked: Vec<&str> = ops.iter().filter_map(Op::asks).collect();
    let absent = asked.iter().filter(|email| is_stranger(email)).count();
    (absent * 100 / asked.len()) as u64
}

/// Whether somebody is looked up after they joined.
fn finds_who_joined(ops: &[Op]) -> bool {
    ops.iter().enumerate().any(|(place, op)| match op {
        Op::Join(email) => ops[place..].iter().any(|op| op.asks() == Some(email)),
        Op::Find(_) => false,
    })
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(16, stream);
    let naive = resetting(&inputs, State::new(case, |_| ())?, State::reset, |state, ops| {
        naive(&state.shop, ops).expect("the shop answers")
    });
    let optimized = resetting(&inputs, State::new(case, filter)?, State::reset, |state, ops| {
        optimized(&state.shop, &mut state.known, ops).expect("the shop answers")
    });
    let set = |emails: &[String]| emails.iter().cloned().collect();
    let hash_set = resetting(&inputs, State::new(case, set)?, State::reset, |state, ops| {
        hash_set(&state.shop, &mut state.known, ops).expect("the shop answers")
    });
    let lookups = inputs[0].iter().filter_map(Op::asks).count() as u64;
    let measured = inputs.measured(|ops| share_of_absent(ops));
    Ok(Trial::new(measured, naive, optimized).alternative(hash_set).units(lookups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::shop::query_plan;

    fn state<K: Clone>(learn: impl FnOnce(&[String]) -> K) -> State<K> {
        let case = Case { proof_size: Some(CUSTOMERS), ..Case::realistic(50, 0, 42) };
        State::new(&case, learn).unwrap()
    }

    /// The answers of each side, which all begin with the same shop.
    fn all(ops: &[Op]) -> [Vec<Option<i64>>; 3] {
        let mut filtered = state(filter);
        let mut listed = state(|emails| emails.iter().cloned().collect());
        [
            naive(&state(|_| ()).shop, ops).unwrap(),
            optimized(&filtered.shop, &mut filtered.known, ops).unwrap(),
            hash_set(&listed.shop, &mut listed.known, ops).unwrap(),
        ]
    }

    #[test]
    fn known_answers() {
        let find = |email: &str| Op::Find(email.to_owned());
        let new = "o'neill %_ß@example.org";
        let ops =
            [find("c7@example.org"), find(new), Op::Join(new.to_owned()), find(new), find("")];
        assert!(all(&ops).iter().all(|found| *found == [Some(7), None, Some(20_001), None]));
    }

    #[test]
    fn no_customer_is_denied_and_few_strangers_pass() {
        let State { shop, known: filter, .. } = state(filter);
        let emails = emails(&shop).unwrap();
        assert!(emails.iter().all(|email| filter.contains(email)));
        let passed = (0..100_000).filter(|key| filter.contains(&stranger(*key))).count();
        assert!(passed < 1_000, "{passed}");
        let (bytes, of_keys) = (filter.num_bits() / 8, emails.iter().map(String::len).sum());
        assert!(bytes * 5 < of_keys, "{bytes} bytes for keys of {of_keys}");
    }

    #[test]
    fn a_filter_that_lets_everybody_pass_answers_right() {
        let ops = stream(&Case::realistic(50, 0, 42));
        let mut all_ones = BloomFilter::from_vec(vec![u64::MAX]).hashes(4);
        let found = optimized(&state(|_| ()).shop, &mut all_ones, &ops).unwrap();
        assert_eq!(found, naive(&state(|_| ()).shop, &ops).unwrap());
    }

    #[test]
    fn who_leaves_is_no_longer_found_though_the_filter_still_knows_them() {
        let State { shop, known: mut filter, .. } = state(filter);
        let find = [Op::Join("x@example.org".to_owned()), Op::Find("x@example.org".to_owned())];
        assert!(optimized(&shop, &mut filter, &find).unwrap()[0].is_some());
        shop.execute("DELETE FROM customers WHERE email = 'x@example.org'", ()).unwrap();
        assert!(filter.contains("x@example.org"));
        assert_eq!(optimized(&shop, &mut filter, &find[1..]).unwrap(), [None]);
    }

    #[test]
    fn an_insert_that_fails_denies_nobody() {
        let State { shop, known: mut filter, .. } = state(filter);
        let taken = "c7@example.org".to_owned();
        optimized(&shop, &mut filter, &[Op::Join(taken.clone())]).unwrap_err();
        assert_eq!(optimized(&shop, &mut filter, &[Op::Find(taken)]).unwrap(), [Some(7)]);
    }

    #[test]
    fn trap_a_lookup_searches_an_index_on_both_sides() {
        let plan = "SEARCH customers USING COVERING INDEX sqlite_autoindex_customers_1 (email=?)";
        assert_eq!(query_plan(&state(|_| ()).shop, SELECT), plan);
    }
}
