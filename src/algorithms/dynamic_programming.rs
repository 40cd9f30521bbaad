//! Solve each subproblem once: fill a table of the best values, do not try every choice.

use std::collections::HashMap;

use rand::RngExt;

use worthit_pair::prelude::*;

const SUBPROBLEMS: Cause = Cause::new("subproblems", "subproblems solved")
    .counted("with a closure that is called for each");

pub const PAIR: Pair = Pair {
    title: "Fill a table of subproblems",
    review: Review {
        smell: "A function that calls itself twice for each item, once with and once without it, and meets the same \
                rest again and again: knapsacks, change, alignments, splits.",
        remedy: "Keep a row, `best`, with the best value for each capacity. For each item, fill the `next` row with \
                 the better of two values: without the item, or with it. As both are read from `best`, an item is \
                 packed once at most.",
        keep_naive_when: "There are few items: a handful of calls costs less than a table of every capacity. Or the \
                          capacity is huge, and so is the table, or it is not a whole number. Then branch and bound, \
                          or a map of the subproblems that occur, as in the alternative, is better.",
        costs: "The table takes memory and time for every capacity, whether it can be reached or not. It tells the \
                value and not the choice: for that, keep the rows of all items.",
        lint: Lint::None,
    },
    naive: Side { summary: "try each item with and without", growth: Growth::Other("2ⁿ") },
    optimized: Side {
        summary: "a table of the best value by capacity",
        growth: Growth::Other("items × capacity: n² here"),
    },
    input: "Parcels of 1 to 100 kg, each with a price for its transport, and a van that takes about two in three of the \
            kilograms that wait. The answer is the most that a load earns. Many vans take turns.",
    axis: Axis {
        name: "parcels",
        unit: "parcels",
        is_size: true,
        points: Points::Fixed { default: &[2, 5, 8, 12, 15, 18], deep: &[22] },
    },
    unit: "parcel",
    headline: Headline::At { level: "", point: 15 },
    alternatives: &[SideBeside {
        name: "memo",
        summary: "the recursion, which remembers its answers in a HashMap",
    }],
    causes: &[Claim {
        cause: SUBPROBLEMS,
        // Each set that fits ends in a call. Of a set and the set of all other parcels, the lighter one fits.
        naive: Count::AtLeast(|case| 1 << (case.point - 1)),
        optimized: Count::AtMost(|case| case.point * (case.point * MOST_KG + 1)),
    }],
    explanation: Explanation {
        why: "Each parcel doubles the calls, but adds only one row to the table. An entry of the table is a maximum of two \
              numbers, and costs less than a call. But the table has an entry for each kilogram, and where there are few \
              parcels, few of these entries are needed. The table stays below its limit, because each entry is an addition \
              and a comparison, not only a read and a write.",
        share_of_cause: ShareOfCause::Within(0.8, 10.0),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(8),
    },
    traps: &[
        &Trap {
            name: "the van takes all or nothing",
            reason: "there would be nothing to choose, or next to no calls",
            check: |inputs: &[Input]| {
                let extreme = |input: &&Input| {
                    let all: u64 = input.parcels.iter().map(|parcel| u64::from(parcel.kg)).sum();
                    let capacity = u64::from(input.capacity_kg);
                    capacity * 2 < all || capacity >= all
                };
                ensure(!inputs.iter().any(|input| extreme(&input)), || "all or nothing".to_owned())
            },
            sprung: || {
                let parcels = vec![Parcel { kg: 10, price: 5 }; 3];
                vec![Input { parcels, capacity_kg: 30 }]
            },
        },
        &Trap {
            name: "all parcels are alike",
            reason: "the number of parcels would be the only choice",
            check: |inputs: &[Input]| {
                let alike = |input: &Input| {
                    let pairs = input.parcels.windows(2);
                    pairs.filter(|pair| pair[0].kg == pair[1].kg).count()
                };
                let (alike, all): (usize, usize) =
                    (inputs.iter().map(alike).sum(), inputs.iter().map(|i| i.parcels.len()).sum());
                ensure(alike * 10 < all, || format!("{alike} of {all}"))
            },
            sprung: || {
                vec![Input { parcels: vec![Parcel { kg: 10, price: 5 }; 9], capacity_kg: 60 }]
            },
        },
    ],
    limit: Limit::Work(&[Work::BytesStreamed(|case| case.point * case.point * MOST_KG / 3 * 16)]),
    proof: Proof { resources: Resources::Memory, max_size: 14 },
    prepare,
    ..Pair::DEFAULTS
};

/// The heaviest parcel.
const MOST_KG: u64 = 100;

#[derive(Clone, Copy, Debug)]
struct Parcel {
    kg: u32,
    price: u64,
}

#[derive(Debug)]
struct Input {
    parcels: Vec<Parcel>,
    capacity_kg: u32,
}

/// The highest price of parcels that fit; `step` is called for each subproblem.
fn naive(input: &Input, step: &impl Fn()) -> u64 {
    most(&input.parcels, input.capacity_kg, step)
}

/// The highest price of parcels that fit.
fn most(parcels: &[Parcel], capacity_kg: u32, step: &impl Fn()) -> u64 {
    step();
    let Some((parcel, rest)) = parcels.split_first() else { return 0 };
    let without = most(rest, capacity_kg, step);
    match capacity_kg.checked_sub(parcel.kg) {
        Some(left_kg) => without.max(parcel.price + most(rest, left_kg, step)),
        None => without,
    }
}

/// The highest price of parcels that fit; `step` is called for each subproblem.
fn optimized(input: &Input, step: &impl Fn()) -> u64 {
    // For each capacity up to the van's, the highest price of the parcels so far.
    let mut best = vec![0; input.capacity_kg as usize + 1];
    let mut next = best.clone();
    for Parcel { kg, price } in &input.parcels {
        let kg = best.len().min(*kg as usize);
        // Too small for this parcel.
        next[..kg].copy_from_slice(&best[..kg]);
        (0..kg).for_each(|_| step());
        for ((next, without), left) in next[kg..].iter_mut().zip(&best[kg..]).zip(&best) {
            step();
            *next = (*without).max(left + price);
        }
        std::mem::swap(&mut best, &mut next);
    }
    best[input.capacity_kg as usize]
}

/// The highest price of parcels that fit.
fn memo(input: &Input) -> u64 {
    most_remembered(&input.parcels, input.capacity_kg, &mut HashMap::new())
}

/// The highest price of parcels that fit, by how many parcels are left and the capacity.
fn most_remembered(
    parcels: &[Parcel],
    capacity_kg: u32,
    known: &mut HashMap<(usize, u32), u64>,
) -> u64 {
    let Some((parcel, rest)) = parcels.split_first() else { return 0 };
    if let Some(price) = known.get(&(parcels.len(), capacity_kg)) {
        return *price;
    }
    let without = most_remembered(rest, capacity_kg, known);
    let price = match capacity_kg.checked_sub(parcel.kg) {
        Some(left_kg) => without.max(parcel.price + most_remembered(rest, left_kg, known)),
        None => without,
    };
    known.insert((parcels.len(), capacity_kg), price);
    price
}

fn input(case: &Case) -> Input {
    let mut rng = case.rng("parcels");
    let mut parcel = |i: u64| {
        let most = MOST_KG as u32;
        let kg = match case.shape {
            Shape::Realistic | Shape::Random => rng.random_range(1..=most),
            Shape::DuplicateHeavy => 7,
            Shape::Sorted => i as u32,
            // Some weigh nothing, and some fit into no van.
            Shape::Adversarial => [0, 1, most, u32::MAX][rng.random_range(0..4)],
        };
        let price = match case.shape {
            // Heavier ones cost more, but not by a rule.
            Shape::Realistic => u64::from(kg) * rng.random_range(50..150) + 300,
            // No sum of them overflows.
            Shape::Adversarial => [0, 1, u64::MAX >> 8][rng.random_range(0..3)],
            _ => rng.random_range(0..1_000),
        };
        Parcel { kg, price }
    };
    let parcels: Vec<Parcel> = (0..case.point).map(&mut parcel).collect();
    let all: u64 = parcels.iter().map(|parcel| u64::from(parcel.kg)).sum();
    let capacity_kg = match case.shape {
        Shape::Realistic => (all * 2).div_ceil(3) as u32,
        _ => rng.random_range(0..=300),
    };
    Input { parcels, capacity_kg }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(4_096_u64.div_ceil(case.point.max(1)), input);
    Ok(Trial::new(
        inputs.measured(|input| input.parcels.len() as u64),
        by_ref(&inputs, |input| naive(input, &|| ()))
            .counting(SUBPROBLEMS, noting(&inputs, |input| naive(input, &note))),
        by_ref(&inputs, |input| optimized(input, &|| ()))
            .counting(SUBPROBLEMS, noting(&inputs, |input| optimized(input, &note))),
    )
    .alternative(by_ref(&inputs, memo))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for side in [|i: &Input| naive(i, &|| ()), |i: &Input| optimized(i, &|| ()), memo] {
            let price = |capacity_kg, parcels: &[(u32, u64)]| {
                let parcel = |(kg, price): &(u32, u64)| Parcel { kg: *kg, price: *price };
                side(&Input { parcels: parcels.iter().map(parcel).collect(), capacity_kg })
            };
            assert_eq!(price(10, &[]), 0);
            assert_eq!(price(0, &[(1, 9), (0, 4)]), 4);
            // The two that earn most together do not include the one with the best price per kilogram.
            assert_eq!(price(10, &[(6, 60), (5, 45), (5, 45)]), 90);
            assert_eq!(price(10, &[(10, 7), (3, 5), (u32::MAX, 99)]), 7);
            // A parcel is packed once, even where there is room for more.
            assert_eq!(price(9, &[(3, 5)]), 5);
        }
    }
}
