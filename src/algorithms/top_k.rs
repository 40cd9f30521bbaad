//! Take the top k of many items: select them, do not sort the rest.

use std::collections::{BinaryHeap, HashSet};

use rand::RngExt;

use worthit_pair::prelude::*;

/// Number of items asked for: the first page.
const K: usize = 10;

pub const PAIR: Pair = Pair {
    title: "Select the top k",
    review: Review {
        smell: "`items.sort_unstable(); items.truncate(k);`, or a sort before `take(k)` or `[..k]`, where nobody \
                reads the rest.",
        remedy: "Call `items.select_nth_unstable(K)`, which moves the first ones to the front. Then `truncate(K)`, and \
                 sort only those with `sort_unstable`.",
        keep_naive_when: "There are hardly more items than are asked for. Or the next pages are read as well: then \
                          sort once. Or the items mostly come sorted: a sort notices that in one pass, in either \
                          direction.",
        costs: "Few items need a case of their own: `select_nth_unstable(k)` panics unless there are more than k. \
                Where k is small beside the number of items, or they arrive one by one, a heap of the best k, the \
                alternative, is quicker still. But it slows down with a larger k, and with items that come in the \
                worst order.",
        lint: Lint::None,
    },
    naive: Side { summary: "sort all, keep the first k", growth: Growth::Other("O(n log n)") },
    optimized: Side { summary: "select_nth_unstable, sort k", growth: Growth::Linear },
    input: "Offers with a price and an id in random order, of which the ten cheapest are asked for. Many have equal \
            prices, so that the id decides. Lists alternate, so that no predictor learns one.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[15, 100, 1_000, 10_000, 50_000], deep: &[1_000_000] },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 10_000 },
    alternatives: &[SideBeside { name: "heap", summary: "one pass with a heap of the best k" }],
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // A sort takes about n log₂ n.
        naive: Count::AtLeast(|case| case.point * u64::from(case.point.ilog2()) / 2),
        // A selection partitions ever shorter parts, and then k items are sorted.
        optimized: Count::AtMost(|case| case.point * 4 + (K * K) as u64),
    }],
    explanation: Explanation {
        why: "A sort splits the items again and again until all are in their places, which takes about n·log₂ n \
              comparisons. A selection goes on only with the part that the k-th item is in, so the number of its \
              comparisons grows with n alone, and the gain is near the ratio of comparisons. The logarithm grows slowly, \
              and so does the gain. Both partition without a branch on the outcome of a comparison, so random order costs \
              both of them few mispredictions. The selection is far from its limit, the pace of one pass, because it \
              compares and moves most items more than once.",
        share_of_cause: ShareOfCause::Within(0.4, 2.0),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(15),
    },
    traps: &[
        &Trap {
            name: "the items are sorted already",
            reason: "a sort notices that in one pass, in either direction",
            check: |inputs: &[Vec<Offer>]| {
                let pairs = || inputs.iter().flat_map(|items| items.windows(2));
                let (all, ascents) =
                    (pairs().count(), pairs().filter(|pair| pair[0] < pair[1]).count());
                ensure((all * 2 / 5..=all * 3 / 5).contains(&ascents), || {
                    format!("{ascents} of {all} items are followed by a greater one")
                })
            },
            sprung: || {
                let mut items = input(&Case::realistic(1_000, 0, 1));
                items.sort_unstable();
                vec![items]
            },
        },
        &Trap {
            name: "the branch predictor learns the items",
            reason: "comparisons whose outcomes are known cost next to nothing",
            check: |inputs: &[Vec<Offer>]| {
                let distinct: HashSet<&Vec<Offer>> = inputs.iter().collect();
                let items: usize = distinct.iter().map(|items| items.len()).sum();
                ensure(items >= 40_000, || format!("{items} items before they repeat"))
            },
            sprung: || vec![input(&Case::realistic(100, 0, 1)); 1_000],
        },
    ],
    limit: Limit::Work(&[Work::BytesStreamed(|case| case.point * size_of::<Offer>() as u64)]),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Ordered by price, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Offer {
    price_cents: u32,
    id: u32,
}

impl Found for Offer {
    fn found(&self) -> u64 {
        1
    }
}

/// The first [`K`] items in ascending order.
fn naive<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.truncate(K);
    items
}

/// The first [`K`] items in ascending order.
fn optimized<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    if items.len() > K {
        items.select_nth_unstable(K);
        items.truncate(K);
    }
    items.sort_unstable();
    items
}

/// The first [`K`] items in ascending order.
fn heap<T: Ord>(items: Vec<T>) -> Vec<T> {
    let mut items = items.into_iter();
    let mut best: BinaryHeap<T> = items.by_ref().take(K).collect();
    for item in items {
        // The greatest of the best is on top.
        if let Some(mut last) = best.peek_mut()
            && item < *last
        {
            *last = item;
        }
    }
    best.into_sorted_vec()
}

fn input(case: &Case) -> Vec<Offer> {
    let mut rng = case.rng("prices");
    let offer = |value: u64| match case.shape {
        // 9.95, 19.95, … up to 20,009.95; the cheaper, the more frequent.
        Shape::Realistic => {
            let (a, b) = (rng.random_range(1..=2_000_u32), rng.random_range(1..=2_000_u32));
            Offer { price_cents: a * b / 2_000 * 1_000 + 995, id: value as u32 }
        }
        _ => Offer { price_cents: (value >> 32) as u32, id: value as u32 },
    };
    case.values(case.point as usize).into_iter().map(offer).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((65_536 / case.point.max(1)).clamp(4, 4_096), input);
    let counted =
        inputs.map(|items| items.iter().copied().map(Counted).collect::<Vec<Counted<Offer>>>());
    Ok(Trial::new(
        inputs.measured(|items| items.len() as u64),
        by_value(&inputs, naive)
            .counting(causes::COMPARISONS, noting(&counted, |items| naive(items.clone()))),
        by_value(&inputs, optimized)
            .counting(causes::COMPARISONS, noting(&counted, |items| optimized(items.clone()))),
    )
    .alternative(
        by_value(&inputs, heap)
            .counting(causes::COMPARISONS, noting(&counted, |items| heap(items.clone()))),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for top in [naive, optimized, heap] {
            assert!(top(vec![]).is_empty());
            assert_eq!(top(vec![3, 1, 2]), [1, 2, 3]);
            assert_eq!(top((0..10).rev().collect()), (0..10).collect::<Vec<_>>());
            assert_eq!(top((0..11).rev().collect()), (0..10).collect::<Vec<_>>());
            // 37 is coprime to 1,000, so this visits all numbers once.
            let shuffled = (0..1_000).map(|i| i * 37 % 1_000).collect();
            assert_eq!(top(shuffled), (0..10).collect::<Vec<_>>());
            assert_eq!(top(vec![5; 100]), [5; 10]);
        }
    }

    #[test]
    fn ties_of_the_price_are_broken_by_the_id() {
        let offers: Vec<Offer> =
            (0..100).rev().map(|id| Offer { price_cents: 995 + id % 2, id }).collect();
        for top in [naive, optimized, heap] {
            let ids: Vec<u32> = top(offers.clone()).iter().map(|offer| offer.id).collect();
            assert_eq!(ids, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
        }
    }
}
