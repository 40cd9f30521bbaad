//! Sum many ranges of one table: subtract two prefix sums, do not add up each range.

use std::{
    collections::HashSet,
    iter::Sum,
    ops::{Add, Range, Sub},
    sync::Arc,
};

use rand::RngExt;

use worthit_pair::prelude::*;

/// Values in a table: the minutes of a week.
const MINUTES: u64 = 7 * 24 * 60;

/// Tables in the rotation.
const TABLES: u64 = 8;

const ADDITIONS: Cause = Cause::new("additions", "additions and subtractions")
    .counted("on sums that count their additions and subtractions");

pub const PAIR: Pair = Pair {
    title: "Answer range sums from prefix sums",
    review: Review {
        smell: "`values[range].iter().sum()` in a loop over ranges of one table that does not change meanwhile.",
        remedy: "Store `before`, the sum of all values before each place, once. A range is then \
                 `before[range.end] - before[range.start]`.",
        keep_naive_when: "There are only a few queries before the table changes: storing the prefix sums costs as much \
                          as some scans. Or the ranges are short. If values change between queries, a Fenwick tree \
                          updates and answers in logarithmic time.",
        costs: "The prefix sums need room for a wide integer for each value. The integers must be wide enough for the \
                sum of the whole table, or wrap. Do not do it with floats: the difference of two large sums loses \
                the digits of a small range.",
        lint: Lint::None,
    },
    naive: Side { summary: "add up each range", growth: Growth::Linear },
    optimized: Side {
        summary: "prefix sums once, two reads a range",
        growth: Growth::Other("the sums once, and then O(n)"),
    },
    input: "Tables of 10,080 counts, such as requests in each minute of a week, and queries for ranges between two \
            random minutes, which cover a third of the table on average. Each iteration gets a table that it has no \
            prefix sums of, so storing them is on the clock. Tables and queries alternate.",
    axis: Axis {
        name: "queries",
        unit: "queries",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 20, 100, 1_000, 4_000], deep: &[50_000] },
    },
    unit: "query",
    headline: Headline::At { level: "", point: 100 },
    causes: &[Claim {
        cause: ADDITIONS,
        naive: Count::AtLeast(|case| case.point * MINUTES / 4),
        // One for each value, and one for each query.
        optimized: Count::Exactly(|case| MINUTES + case.point),
    }],
    explanation: Explanation {
        why: "The naive side adds up a part of the table for each query. The optimized side adds up the table once, \
              and each query is one subtraction. The additions of the naive side are cheaper: they are vectorised, while \
              each prefix waits for the one before and has to be stored. So it takes a handful of queries to pay for \
              the prefix sums, and the gain stays below the ratio of additions. With more queries it grows until \
              storing the prefix sums no longer matters.",
        share_of_cause: ShareOfCause::Within(0.08, 1.0),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(4),
    },
    traps: &[
        &Trap {
            name: "the ranges are short",
            reason: "there would be little to add up, whatever the table",
            check: |inputs: &[Input]| {
                let ranges = || inputs.iter().flat_map(|input| &input.queries);
                let (all, values) = (ranges().count(), ranges().map(Range::len).sum::<usize>());
                ensure(values as u64 * 4 >= all as u64 * MINUTES, || {
                    format!("{values} values in {all} ranges")
                })
            },
            sprung: || {
                let mut input =
                    input(&Case::realistic(100, 0, 1), &tables(&Case::realistic(100, 0, 1)));
                input.queries.iter_mut().for_each(|range| range.end = range.start);
                vec![input]
            },
        },
        &Trap {
            name: "the same ranges come again",
            reason: "a map from range to sum would do as well, and a predictor would know where each scan ends",
            check: |inputs: &[Input]| {
                let ranges = || inputs.iter().flat_map(|input| &input.queries);
                let (all, distinct) = (ranges().count(), ranges().collect::<HashSet<_>>().len());
                ensure(distinct >= 4_000 && distinct * 10 >= all * 9, || {
                    format!("{distinct} ranges in {all} queries")
                })
            },
            sprung: || {
                let case = Case::realistic(20, 0, 1);
                vec![input(&case, &tables(&case)); 1_000]
            },
        },
    ],
    // Each value is read and its prefix written, each query read and its answer written.
    limit: Limit::Work(&[
        Work::BytesStreamed(|case| MINUTES * (4 + 8) + case.point * (16 + 8)),
        Work::IndependentReads { reads: |case| 2 * case.point, within_bytes: |_| MINUTES * 8 },
    ]),
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Clone)]
struct Input {
    table: Arc<Vec<u32>>,
    /// Ranges of places in the table.
    queries: Vec<Range<usize>>,
}

/// The sum of each range. `S` is `u64` when timed, which no table of `u32` overflows.
fn naive<S: From<u32> + Sum>(input: &Input) -> Vec<S> {
    let sum = |range: &Range<usize>| input.table[range.clone()].iter().copied().map(S::from).sum();
    input.queries.iter().map(sum).collect()
}

/// The sum of each range. `S` is `u64` when timed, which no table of `u32` overflows.
fn optimized<S: Copy + From<u32> + Add<Output = S> + Sub<Output = S>>(input: &Input) -> Vec<S> {
    let mut before = vec![S::from(0); input.table.len() + 1];
    let mut total = S::from(0);
    for (sum, value) in before[1..].iter_mut().zip(&*input.table) {
        total = total + S::from(*value);
        *sum = total;
    }
    input.queries.iter().map(|range| before[range.end] - before[range.start]).collect()
}

/// A sum that notes additions and subtractions.
#[derive(Clone, Copy)]
struct Noted;

impl From<u32> for Noted {
    fn from(_: u32) -> Noted {
        Noted
    }
}

impl Add for Noted {
    type Output = Noted;
    fn add(self, _: Noted) -> Noted {
        note();
        Noted
    }
}

impl Sub for Noted {
    type Output = Noted;
    fn sub(self, _: Noted) -> Noted {
        note();
        Noted
    }
}

impl Sum for Noted {
    fn sum<I: Iterator<Item = Noted>>(items: I) -> Noted {
        items.fold(Noted, Add::add)
    }
}

/// The counts of some weeks: more by day than by night.
fn tables(case: &Case) -> Vec<Arc<Vec<u32>>> {
    let table = |turn| {
        let case = Case { turn, ..case.clone() };
        let mut rng = case.rng("counts");
        let count = |(minute, value): (usize, u64)| match case.shape {
            Shape::Realistic => {
                let from_noon = (minute % 1_440).abs_diff(720) as u32;
                rng.random_range(0..2_000 - 2 * from_noon)
            }
            _ => value as u32,
        };
        let values = case.values(case.items(MINUTES));
        Arc::new(values.into_iter().enumerate().map(count).collect())
    };
    (0..TABLES).map(table).collect()
}

fn input(case: &Case, tables: &[Arc<Vec<u32>>]) -> Input {
    let table = Arc::clone(&tables[case.turn as usize % tables.len()]);
    let (last, mut rng) = (table.len(), case.rng("queries"));
    let range = |query: u64| {
        let (a, b) = (rng.random_range(0..=last), rng.random_range(0..=last));
        match case.shape {
            Shape::Adversarial if query.is_multiple_of(3) => 0..last,
            Shape::Adversarial if query % 3 == 1 => a..a,
            _ => a.min(b)..a.max(b),
        }
    };
    Input { queries: (0..case.point).map(range).collect(), table }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let tables = tables(case);
    let turns = (16_384 / case.point.max(1)).clamp(TABLES, 8_192);
    let inputs = case.rotate(turns, |case| input(case, &tables));
    Ok(Trial::new(
        inputs.measured(|input| input.queries.len() as u64),
        by_ref(&inputs, naive::<u64>).counting(ADDITIONS, noting(&inputs, naive::<Noted>)),
        by_ref(&inputs, optimized::<u64>).counting(ADDITIONS, noting(&inputs, optimized::<Noted>)),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let sums = |table: &[u32], queries: &[Range<usize>]| {
            let input = Input { table: Arc::new(table.to_vec()), queries: queries.to_vec() };
            let both: [Vec<u64>; 2] = [naive(&input), optimized(&input)];
            assert_eq!(both[0], both[1]);
            both[0].clone()
        };
        assert_eq!(sums(&[3, 1, 4, 1, 5], &[0..5, 1..3, 4..5, 2..2, 0..1]), [14, 5, 5, 0, 3]);
        assert_eq!(sums(&[], &[0..0, 0..0]), [0, 0]);
        assert_eq!(sums(&[u32::MAX; 4], &[0..4, 1..4]), [17_179_869_180, 12_884_901_885]);
        assert!(sums(&[1, 2], &[]).is_empty());
    }
}
