//! Sort by a key that takes work to make: make each key once, not in every comparison.

use std::collections::HashSet;

use rand::{Rng, RngExt};

use worthit_pair::prelude::*;

const KEYS: Cause =
    Cause::new("keys", "keys computed").counted("with a key function that counts its calls");

pub const PAIR: Pair = Pair {
    title: "Compute each sort key once",
    review: Review {
        smell: "`sort_by_key` with a key that allocates, parses or looks something up: \
                `names.sort_by_key(|name| name.to_lowercase())`.",
        remedy: "Call `names.sort_by_cached_key(key)`. It is stable, too.",
        keep_naive_when: "The key is a field, a length or a few instructions: making it again costs less than storing \
                          it, as the level `length` shows. With few items there are few comparisons, so little is \
                          gained.",
        costs: "All keys are held at once, with the allocations that they own, and the items are put in order in a \
                second pass. If a key is borrowed from its item, neither `sort_by_key` nor this can return it: use \
                `sort_by`.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "sort_by_key: a key for each side of a comparison",
        growth: Growth::Other("O(n log n)"),
    },
    optimized: Side {
        summary: "sort_by_cached_key: a key for each item",
        growth: Growth::Other("O(n log n), of which the keys are O(n)"),
    },
    input: "Full names in random order, with inconsistent capitals and some letters beyond ASCII, sorted without regard \
            to case (level `lowercase`: a key that allocates) or by their length in bytes (level `length`: a \
            key that costs next to nothing, with many ties). Lists alternate.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[3, 20, 200, 1_000, 3_000], deep: &[20_000] },
    },
    parameter: Some(Parameter {
        name: "key",
        levels: Levels::Fixed(&[
            Level { label: "lowercase", value: LOWERCASE, origin: Origin::Measured },
            Level { label: "length", value: LENGTH, origin: Origin::Measured },
        ]),
    }),
    unit: "item",
    headline: Headline::At { level: "lowercase", point: 1_000 },
    causes: &[Claim {
        cause: KEYS,
        // Two for each comparison, of which there are at least n − 1.
        naive: Count::AtLeast(|case| 2 * (case.point - 1)),
        optimized: Count::Exactly(|case| case.point),
    }],
    explanation: Explanation {
        why: "A sort makes about n·log₂ n comparisons, and `sort_by_key` makes two keys for each. With cached keys \
              there is one key for each item. What is left is the sort itself, whose comparisons follow a pointer to \
              each key, so the gain stays below the ratio of keys. A key that is only read from its item is cheaper \
              than a slot in a table of keys, and then the cache loses.",
        share_of_cause: ShareOfCause::Within(0.08, 0.8),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "the names are sorted already",
            reason: "a sort notices that with n − 1 comparisons, so that few keys are made",
            check: |inputs: &[Vec<String>]| {
                let pairs = || inputs.iter().flat_map(|names| names.windows(2));
                let ascends = |pair: &&[String]| lowercase(&pair[0]) < lowercase(&pair[1]);
                let (all, ascents) = (pairs().count(), pairs().filter(ascends).count());
                ensure((all * 2 / 5..=all * 3 / 5).contains(&ascents), || {
                    format!("{ascents} of {all} names are followed by a greater one")
                })
            },
            sprung: || {
                let mut names = input(&Case::realistic(1_000, 0, 1));
                names.sort_by_cached_key(|name| lowercase(name));
                vec![names]
            },
        },
        &Trap {
            name: "few names are distinct",
            reason: "comparisons would run to the last letter, and their outcomes could be learnt",
            check: |inputs: &[Vec<String>]| {
                let (all, distinct) = (
                    inputs.iter().map(Vec::len).sum::<usize>(),
                    inputs.iter().flatten().collect::<HashSet<_>>().len(),
                );
                ensure(distinct >= 8_192 && distinct * 2 >= all, || {
                    format!("{distinct} distinct names of {all}")
                })
            },
            sprung: || vec![input(&Case::realistic(20, 0, 1)); 1_000],
        },
    ],
    limit: Limit::None(
        "making keys and comparing them where they lie takes the time, and no machine number bounds either",
    ),
    prepare,
    ..Pair::DEFAULTS
};

/// Level of a key that allocates.
const LOWERCASE: u64 = 0;
/// Level of a key that costs next to nothing.
const LENGTH: u64 = 1;

/// The items in the order of their keys; items of equal keys stay in order.
fn naive<T, K: Ord>(mut items: Vec<T>, key: impl FnMut(&T) -> K) -> Vec<T> {
    items.sort_by_key(key);
    items
}

/// The items in the order of their keys; items of equal keys stay in order.
fn optimized<T, K: Ord>(mut items: Vec<T>, key: impl FnMut(&T) -> K) -> Vec<T> {
    items.sort_by_cached_key(key);
    items
}

fn lowercase(name: &str) -> String {
    name.to_lowercase()
}

const SYLLABLES: [&str; 32] = [
    "an", "be", "cor", "da", "el", "fi", "gun", "ha", "il", "jo", "ka", "lu", "mar", "ni", "ö",
    "pe", "qui", "ro", "sa", "té", "ul", "vi", "wen", "xa", "ya", "ze", "li", "na", "ster", "son",
    "ma", "rø",
];

/// A first name and a last name of some syllables each.
fn full_name(rng: &mut impl Rng) -> String {
    let mut name = String::new();
    for part in 0..2 {
        if part > 0 {
            name.push(' ');
        }
        let start = name.len();
        for _ in 0..rng.random_range(2..5) {
            name.push_str(SYLLABLES[rng.random_range(0..SYLLABLES.len())]);
        }
        // Most are typed in properly; the others all in capitals, or without any.
        let capitals = match rng.random_range(0..10) {
            0 => name[start..].to_uppercase(),
            1 => continue,
            _ => {
                let first = name[start..].chars().next().map_or(0, char::len_utf8);
                name[start..start + first].to_uppercase() + &name[start + first..]
            }
        };
        name.replace_range(start.., &capitals);
    }
    name
}

fn input(case: &Case) -> Vec<String> {
    let mut rng = case.rng("names");
    // Some lowercase letters have another length, one becomes two, sigma depends on its place, and some names tie.
    let tricky =
        ["", "ΑΣ", "ασ", "ας", "ẞ", "ß", "İ", "i̇", "K", "k", "A", "a", "aa", "Ａ", "\u{10ffff}"];
    let name = |value: u64| match case.shape {
        Shape::Realistic => full_name(&mut rng),
        Shape::Adversarial => {
            let pieces = [value, value >> 20, value >> 40]
                .map(|piece| tricky[piece as usize % tricky.len()]);
            pieces.concat()
        }
        _ if value.is_multiple_of(2) => format!("N{value:020}"),
        _ => format!("n{value:020}"),
    };
    case.values(case.point as usize).into_iter().map(name).collect()
}

/// Both sides with this key.
fn sorting<K: Ord + 'static>(inputs: &Inputs<Vec<String>>, key: fn(&String) -> K) -> Trial {
    let noted = move |name: &String| {
        note();
        key(name)
    };
    Trial::new(
        inputs.measured(|names| names.len() as u64),
        by_value(inputs, move |names| naive(names, key))
            .counting(KEYS, noting(inputs, move |names| naive(names.clone(), noted))),
        by_value(inputs, move |names| optimized(names, key))
            .counting(KEYS, noting(inputs, move |names| optimized(names.clone(), noted))),
    )
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((32_768 / case.point.max(1)).clamp(4, 4_096), input);
    let trial = match case.level {
        LENGTH => sorting(&inputs, String::len),
        _ => sorting(&inputs, |name| lowercase(name)),
    };
    Ok(trial.units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(names: &[&str]) -> [Vec<String>; 2] {
        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        let key = |name: &String| lowercase(name);
        [naive(names.clone(), key), optimized(names, key)]
    }

    #[test]
    fn known_answers() {
        for sorted in both(&["béa", "Zoe", "adam", "Béa", "Adam", "bea", ""]) {
            assert_eq!(sorted, ["", "adam", "Adam", "bea", "béa", "Béa", "Zoe"]);
        }
        for sorted in both(&["one"]) {
            assert_eq!(sorted, ["one"]);
        }
        assert_eq!(both(&[]), [[""; 0]; 2]);
    }

    #[test]
    fn names_vary_in_their_capitals() {
        let names = input(&Case::realistic(1_000, 0, 1));
        let changed = names.iter().filter(|name| lowercase(name) != **name).count();
        assert!((900..1_000).contains(&changed), "{changed}");
    }
}
