//! Walk through a sequence: keep its items side by side in memory, not each in a node of its own.

use std::{
    collections::{LinkedList, VecDeque},
    iter::Sum,
};

use rand::seq::SliceRandom;

use worthit_pair::prelude::*;

const JUMPS: Cause = Cause::new("jumps", "jumps in memory").counted(
    "with a sum that notes where each item lies, and whether it is next to the one before",
);

pub const PAIR: Pair = Pair {
    title: "Keep a sequence in a Vec, not in a linked list",
    review: Review {
        smell: "A `LinkedList` that is iterated over, or any chain of boxed nodes.",
        remedy: "Keep the items in a Vec, and take the same `items.iter().sum()`. If they come and go at both ends, \
                 keep them in a VecDeque, the alternative.",
        keep_naive_when: "Long lists are joined all the time and hardly ever walked through: `append` only changes \
                          pointers. `split_off` does, too, but walks to the place first.",
        costs: "An insertion or a removal in the middle of a `Vec` moves all items behind it. A `Vec` that is \
                full moves all its items to a larger block: that one push takes long, and no pointer to an item stays \
                valid.",
        lint: Lint::Switched("clippy::linkedlist", "clippy::pedantic"),
    },
    naive: Side {
        summary: "sum a LinkedList",
        growth: Growth::Until(&Growth::Linear, "the nodes outgrow a cache"),
    },
    optimized: Side {
        summary: "sum a Vec",
        growth: Growth::Until(&Growth::Linear, "the items outgrow a cache"),
    },
    input: "Amounts of eight bytes, once as a std `LinkedList`, which makes nodes of 24 bytes, and once as a `Vec`. \
            The nodes are chained in random order of their addresses, as they are after a long time of insertions and \
            removals; the lists alternate.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[10, 100, 1_000, 10_000, 60_000], deep: &[1_000_000] },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 10_000 },
    alternatives: &[
        SideBeside { name: "vec_deque", summary: "sum a VecDeque" },
        SideBeside { name: "fresh_list", summary: "sum a LinkedList whose nodes lie in order" },
    ],
    causes: &[Claim {
        cause: JUMPS,
        // By chance, about one item of a list lies right behind the one before.
        naive: Count::AtLeast(|case| case.point - case.point / 4),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: Explanation {
        why: "The address of a node is in the node before, so each jump waits until that has arrived: from the nearest \
              cache that holds all nodes, or from memory. The items of a `Vec` have known addresses. The processor \
              fetches them ahead, a line brings eight of them, and one instruction adds several. A node is also \
              larger than its item, so the list leaves each cache earlier. A list that was just built has its nodes \
              one behind the other. Walking through it is far quicker, as the alternative shows, but a list that changes does not stay so.",
        share_of_cause: ShareOfCause::NoRatio(
            "what a jump costs depends on the cache that it leads to, and an item that needs none still costs time",
        ),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the nodes lie in order",
            reason: "a list that was just built has them one behind the other, and the processor fetches them ahead",
            check: |inputs: &[Input]| {
                let jumps: u64 = inputs.iter().map(|input| naive::<Jumps>(&input.list).count).sum();
                let items: usize = inputs.iter().map(|input| input.list.len()).sum();
                ensure(jumps * 4 >= items as u64 * 3, || format!("{jumps} jumps, {items} items"))
            },
            sprung: || {
                let mut nodes = nodes(&(0..1_000).collect::<Vec<i64>>());
                nodes.sort_by_key(address);
                let (items, deque) = (vec![], VecDeque::new());
                vec![Input { list: chain(nodes), fresh: LinkedList::new(), items, deque }]
            },
        },
        &Trap {
            name: "one list stays in the nearest cache",
            reason: "a program does other things between two walks",
            check: |inputs: &[Input]| {
                let nodes: usize = inputs.iter().map(|input| input.list.len()).sum();
                ensure(inputs.len() > 1 && nodes >= 16_384, || {
                    format!("{nodes} nodes in {} lists", inputs.len())
                })
            },
            sprung: || vec![input(&Case::realistic(100, 0, 1))],
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.point * 8,
        within_bytes: |case| case.point * 8 * turns(case),
    }]),
    proof: Proof { resources: Resources::Memory, max_size: 1_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// The same amounts in each container.
struct Input {
    list: LinkedList<i64>,
    /// Its nodes lie in their order.
    fresh: LinkedList<i64>,
    items: Vec<i64>,
    deque: VecDeque<i64>,
}

/// The sum of the amounts; `S` is `i64` when timed.
#[expect(clippy::linkedlist, reason = "the smell itself")]
fn naive<'a, S: Sum<&'a i64>>(items: &'a LinkedList<i64>) -> S {
    items.iter().sum()
}

/// The sum of the amounts; `S` is `i64` when timed.
fn optimized<'a, S: Sum<&'a i64>>(items: &'a [i64]) -> S {
    items.iter().sum()
}

/// The sum of the amounts.
fn fresh_list(items: &LinkedList<i64>) -> i64 {
    naive(items)
}

/// The sum of the amounts.
fn vec_deque(items: &VecDeque<i64>) -> i64 {
    items.iter().sum()
}

/// A "sum" that counts items which are not the next one up in memory from the item before; the first is one.
struct Jumps {
    count: u64,
}

impl<'a> Sum<&'a i64> for Jumps {
    fn sum<I: Iterator<Item = &'a i64>>(items: I) -> Jumps {
        let walked: Vec<usize> = items.map(|item| std::ptr::from_ref(item).addr()).collect();
        // Gaps between nodes are the allocator's, and differ from run to run. The order of addresses does not.
        let mut ascending = walked.clone();
        ascending.sort_unstable();
        let rank = |address: &usize| ascending.binary_search(address).expect("it was walked");
        let ranks: Vec<usize> = walked.iter().map(rank).collect();
        let jumps = ranks.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
        Jumps { count: jumps as u64 + u64::from(!walked.is_empty()) }
    }
}

/// A list of one node for each item.
fn nodes(items: &[i64]) -> Vec<LinkedList<i64>> {
    items.iter().map(|item| LinkedList::from([*item])).collect()
}

/// Chains the nodes of all lists without moving them.
fn chain(lists: Vec<LinkedList<i64>>) -> LinkedList<i64> {
    let mut all = LinkedList::new();
    lists.into_iter().for_each(|mut list| all.append(&mut list));
    all
}

/// Where the first node lies.
fn address(list: &LinkedList<i64>) -> usize {
    list.front().map_or(0, |item| std::ptr::from_ref(item).addr())
}

/// Amounts have both signs, and no sum of them overflows.
fn amounts_cents(case: &Case) -> Vec<i64> {
    case.values(case.point as usize).into_iter().map(|value| (value as i64) >> 24).collect()
}

fn input(case: &Case) -> Input {
    let items = amounts_cents(case);
    let ordered = || {
        let mut nodes = nodes(&items);
        nodes.sort_by_key(address);
        nodes
    };
    let filled = |mut list: LinkedList<i64>| {
        list.iter_mut().zip(&items).for_each(|(place, item)| *place = *item);
        list
    };
    let mut shuffled = ordered();
    // Shuffled from the order of their addresses, so that the same seed gives the same jumps.
    shuffled.shuffle(&mut case.rng("order"));
    Input {
        list: filled(chain(shuffled)),
        fresh: filled(chain(ordered())),
        deque: items.iter().copied().collect(),
        items,
    }
}

/// Number of lists in the rotation.
fn turns(case: &Case) -> u64 {
    (32_768 / case.point.max(1)).clamp(4, 4_096)
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case), input);
    let (counted, also) = (inputs.clone(), inputs.clone());
    Ok(Trial::new(
        inputs.measured(|input| input.items.len() as u64),
        by_ref(&inputs, |input: &Input| naive::<i64>(&input.list))
            .counting(JUMPS, move |i| naive::<Jumps>(&counted[i].list).count),
        by_ref(&inputs, |input: &Input| optimized::<i64>(&input.items))
            .counting(JUMPS, move |i| optimized::<Jumps>(&also[i].items).count),
    )
    .alternative(by_ref(&inputs, |input: &Input| vec_deque(&input.deque)))
    .alternative(by_ref(&inputs, |input: &Input| fresh_list(&input.fresh)))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for (items, expected) in [
            (vec![], 0),
            (vec![7], 7),
            (vec![5, -20, 3], -12),
            ((1..=1_000).collect::<Vec<i64>>(), 500_500),
        ] {
            assert_eq!(naive::<i64>(&items.iter().copied().collect()), expected);
            assert_eq!(optimized::<i64>(&items), expected);
            assert_eq!(vec_deque(&items.iter().copied().collect()), expected);
        }
    }

    #[test]
    fn all_containers_hold_the_same_items_in_the_same_order() {
        let input = input(&Case::realistic(1_000, 0, 1));
        assert!(input.list.iter().eq(&input.items) && input.fresh.iter().eq(&input.items));
        assert!(input.deque.iter().eq(&input.items));
    }

    #[test]
    fn jumps_are_places_where_the_next_item_is_not_the_next_in_memory() {
        let ordered = || {
            let mut nodes = nodes(&[0; 100]);
            nodes.sort_by_key(address);
            nodes
        };
        assert_eq!(naive::<Jumps>(&chain(ordered())).count, 1);
        assert_eq!(naive::<Jumps>(&chain(ordered().into_iter().rev().collect())).count, 100);
        assert_eq!(optimized::<Jumps>(&[1, 2, 3]).count, 1);
        assert_eq!(optimized::<Jumps>(&[]).count, 0);
    }
}
