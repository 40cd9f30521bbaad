//! Ask whether any item matches: stop at the first one, do not count them all.

use std::collections::HashSet;

use rand::{Rng, RngExt, seq::SliceRandom};

use worthit_pair::prelude::*;

/// Lists that one iteration searches.
const LISTS: u64 = 64;

/// Readings in a list.
const READINGS: u64 = 1_000;

/// Readings above it are hits.
const LIMIT: i32 = 1_000;

const VISITED: Cause =
    Cause::new("items_visited", "items visited").counted("with a test that counts its calls");

pub const PAIR: Pair = Pair {
    title: "Stop at the first match",
    review: Review {
        smell: "`items.iter().filter(test).count() > 0`, or a `Vec` that is collected to ask whether it is empty.",
        remedy: "`list.iter().any(test)`. Other questions have methods of this kind, too, such as all, find and \
                 position: they stop at the item that settles the answer.",
        keep_naive_when: "Items are plain numbers, the test is a comparison, and a hit is rare or comes late. The \
                          compiler vectorises a count, but not a search that may end at any item. Then search block \
                          by block, as the alternative does, or keep the count.",
        costs: "The test no longer runs on each item. If it also does something else, such as collecting errors, that ends \
                at the first hit.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "count the matches, compare with 0",
        growth: Growth::Other("the same wherever the hit is"),
    },
    optimized: Side {
        summary: "any",
        growth: Growth::Other("as many items as come before the hit"),
    },
    input: "Lists of 1,000 sensor readings, 32-bit integers. The stated number of readings comes before the first one \
            above the limit, on average over the lists of an iteration. Its place varies as far as the list allows, \
            so that no predictor knows where a search ends. One in fifty readings after it is above the limit, too. \
            Two of the 64 lists of an iteration have no hit.",
    axis: Axis {
        name: "items before the hit",
        unit: "items",
        is_size: false,
        points: Points::Fixed { default: &[1, 10, 100, 500, 999], deep: &[] },
    },
    unit: "list",
    headline: Headline::At { level: "", point: 100 },
    alternatives: &[SideBeside {
        name: "in_blocks",
        summary: "count in blocks of 64, stop after the first block with a match",
    }],
    causes: &[Claim {
        cause: VISITED,
        naive: Count::Exactly(|_| LISTS * READINGS),
        // Two lists have no hit.
        optimized: Count::Exactly(|case| (LISTS - 2) * (case.point + 1) + 2 * READINGS),
    }],
    explanation: Explanation {
        why: "A count visits each item, a search those up to the first hit. The gain is below the ratio of items visited, \
              because a counted item is cheaper: the compiler vectorises a count, as it tests every item in any case. A \
              search may end at any item, so it tests one after another, and its end is a branch that is mispredicted. \
              Where the hit comes last, both visit all items and the count is ahead. Blocks have both advantages: each is \
              counted with vectors, and the search ends after the first that has a hit. `any` is far from its limit, \
              because it tests one item after another.",
        share_of_cause: ShareOfCause::Within(0.1, 1.1),
        far_end: FarEnd::Falls(
            "the count, which is vectorised and visits no more items than the search",
        ),
        keep_naive: KeepNaive::From(999),
    },
    traps: &[
        &Trap {
            name: "the hit is always first",
            reason: "the search would visit nothing, and the gain be the length of the list",
            check: |inputs: &[Vec<Vec<i32>>]| {
                let lists = inputs.iter().flatten();
                let (all, first) =
                    (lists.clone().count(), lists.filter(|list| hit(list) == Some(0)).count());
                ensure(first * 10 < all * 9, || format!("{first} of {all} lists begin with a hit"))
            },
            sprung: || vec![vec![vec![LIMIT + 1; 1_000]; 64]; 64],
        },
        &Trap {
            name: "the lists come again",
            reason: "a predictor would learn where each search ends",
            check: |inputs: &[Vec<Vec<i32>>]| {
                let distinct: HashSet<&Vec<i32>> = inputs.iter().flatten().collect();
                ensure(distinct.len() >= 4_000, || format!("{} distinct lists", distinct.len()))
            },
            sprung: || vec![input(&Case::realistic(100, 0, 1)); 64],
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| ((LISTS - 2) * (case.point + 1) + 2 * READINGS) * 4,
        within_bytes: |_| TURNS * LISTS * READINGS * 4,
    }]),
    proof: Proof { resources: Resources::Memory, max_size: LISTS },
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
const TURNS: u64 = 64;

/// Whether each list has a hit.
fn naive(lists: &[Vec<i32>], is_hit: impl Fn(i32) -> bool) -> Vec<bool> {
    let has_hit = |list: &Vec<i32>| list.iter().filter(|reading| is_hit(**reading)).count() > 0;
    lists.iter().map(has_hit).collect()
}

/// Whether each list has a hit.
fn optimized(lists: &[Vec<i32>], is_hit: impl Fn(i32) -> bool) -> Vec<bool> {
    let has_hit = |list: &Vec<i32>| list.iter().any(|reading| is_hit(*reading));
    lists.iter().map(has_hit).collect()
}

/// Whether each list has a hit.
fn in_blocks(lists: &[Vec<i32>], is_hit: impl Fn(i32) -> bool) -> Vec<bool> {
    let count = |block: &[i32]| block.iter().filter(|reading| is_hit(**reading)).count();
    let has_hit = |list: &Vec<i32>| list.chunks(64).any(|block| count(block) > 0);
    lists.iter().map(has_hit).collect()
}

fn is_hit(reading: i32) -> bool {
    reading > LIMIT
}

/// The test, and that a reading is tested is noted.
fn noted(reading: i32) -> bool {
    note();
    is_hit(reading)
}

/// The number of readings before the first hit.
fn hit(list: &[i32]) -> Option<usize> {
    list.iter().position(|reading| is_hit(*reading))
}

/// The mean number of readings before the hit, over the lists that have one.
fn before_the_hit(lists: &[Vec<i32>]) -> u64 {
    let hits: Vec<usize> = lists.iter().filter_map(|list| hit(list)).collect();
    hits.iter().sum::<usize>() as u64 / hits.len() as u64
}

/// A reading of a list of this shape, above the limit or not.
fn reading(shape: Shape, is_hit: bool, place: i32, rng: &mut impl Rng) -> i32 {
    match (shape, is_hit) {
        (Shape::DuplicateHeavy, _) => LIMIT + i32::from(is_hit),
        (Shape::Sorted, true) => LIMIT + 1 + place,
        (Shape::Sorted, false) => place,
        (Shape::Adversarial, true) => [i32::MAX, LIMIT + 1][rng.random_range(0..2)],
        (Shape::Adversarial, false) => [i32::MIN, LIMIT, -1, 0][rng.random_range(0..4)],
        (_, true) => rng.random_range(LIMIT + 1..2 * LIMIT),
        (_, false) => rng.random_range(0..=LIMIT),
    }
}

/// Lists in pairs, one of which has its hit as much earlier as the other has it later.
fn input(case: &Case) -> Vec<Vec<i32>> {
    let mut rng = case.rng("lists");
    let mut lists = Vec::new();
    // The last pair has none.
    let pairs = case.items(LISTS).div_ceil(2).max(2);
    for pair in 0..pairs {
        let distance = rng.random_range(0..=case.point.min(READINGS - 1 - case.point));
        for place in [case.point - distance, case.point + distance] {
            let place = if pair + 1 == pairs { READINGS } else { place };
            let list = (0..READINGS).map(|i| {
                let is_hit = i == place || i > place && rng.random_range(0..50) == 0;
                reading(case.shape, is_hit, i as i32, &mut rng)
            });
            lists.push(list.collect());
        }
    }
    if case.shape == Shape::Adversarial {
        // No hit, at every length around that of a block.
        lists.extend((0..200).map(|length| vec![LIMIT; length]));
    }
    lists.shuffle(&mut rng);
    lists
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, input);
    let units = inputs[0].len() as u64;
    Ok(Trial::new(
        inputs.measured(|lists| before_the_hit(lists)),
        by_ref(&inputs, |lists: &Vec<Vec<i32>>| naive(lists, is_hit))
            .counting(VISITED, noting(&inputs, |lists| naive(lists, noted))),
        by_ref(&inputs, |lists: &Vec<Vec<i32>>| optimized(lists, is_hit))
            .counting(VISITED, noting(&inputs, |lists| optimized(lists, noted))),
    )
    .alternative(
        by_ref(&inputs, |lists: &Vec<Vec<i32>>| in_blocks(lists, is_hit))
            .counting(VISITED, noting(&inputs, |lists| in_blocks(lists, noted))),
    )
    .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let lists = [
            vec![],
            vec![LIMIT],
            vec![LIMIT + 1],
            vec![i32::MIN, 0, LIMIT, i32::MAX],
            [vec![0; 64], vec![LIMIT + 1]].concat(),
            vec![LIMIT; 65],
        ];
        let expected = [false, false, true, true, true, false];
        assert_eq!(naive(&lists, is_hit), expected);
        assert_eq!(optimized(&lists, is_hit), expected);
        assert_eq!(in_blocks(&lists, is_hit), expected);
    }
}
