//! Look up in a sorted slice: halve, do not walk.

use std::{hint::select_unpredictable, sync::Arc};

use rand::RngExt;

use worthit_pair::prelude::*;

/// Lookups in one iteration, each of another key.
const LOOKUPS: u64 = 256;

/// Bytes of a cache line.
const LINE: u64 = 64;

pub const PAIR: Pair = Pair {
    title: "Search a sorted slice by halving",
    review: Review {
        smell: "`sorted.iter().position(|x| *x >= key)`, or `find` on a slice that is known to be sorted.",
        remedy: "`sorted.partition_point(|x| *x < key)` or `binary_search`. A copy in Eytzinger's order (the \
                 peer here) is no better while it fits the second-level cache and a little \
                 better beyond; with prefetches, which need `unsafe`, it is well ahead on slices far \
                 larger than the caches. Its larger gains in this sweep it owes to the sizes, powers of \
                 two, at which the middles of a sorted slice crowd into a few sets of the cache.",
        keep_naive_when: "The slice has a few dozen elements: the scan is predictable, and the halving is not.",
        costs: "The slice must stay sorted; a forgotten sort gives wrong answers, not slow ones.",
        lint: None,
    },
    naive: Side { summary: "walk until an element is not less", growth: Growth::Linear },
    optimized: Side {
        summary: "partition_point",
        growth: Growth::Until(&Growth::Logarithmic, "the slice leaves the first cache"),
    },
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[4, 16, 128, 2_048, 65_536], deep: &[4_194_304] },
    },
    unit: "lookup",
    peer: Some("eytzinger"),
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // Keys are uniform, so a walk ends half way; an eighth is far below chance.
        naive: Count::AtLeast(|case| LOOKUPS * case.point / 8),
        // ⌈log₂ n⌉ + 1
        optimized: Count::AtMost(|case| LOOKUPS * u64::from(case.point.ilog2() + 2)),
    }],
    explanation: "n/2 comparisons became log₂ n + 1. A halving's comparison depends on the one \
                  before and waits for memory, so it costs several of a walk's, which the processor \
                  overlaps: the gain is a tenth to a half of the ratio. \
                  What is left up to the limit takes nodes of a whole cache line (a B-tree), compared by \
                  vectors, and several lookups side by side.",
    // One lookup does not wait for another. All iterations look up the same keys, so that no more
    // lines than these reads are in use.
    limit: Limit::IndependentReads {
        reads: |case| LOOKUPS * lines_read(case.point),
        within_bytes: |case| (case.point * 8).min(LOOKUPS * lines_read(case.point) * LINE),
    },
    proof: Proof { resources: Resources::Memory, max_size: 500 },
    prepare,
    ..Pair::DEFAULTS
};

/// Cache lines that a lookup among so many keys of eight bytes reads at least, ⌈log₉(n + 1)⌉: the
/// eight keys of a line tell nine ways apart.
fn lines_read(keys: u64) -> u64 {
    u64::from(keys.ilog(9) + 1)
}

struct Input<T> {
    /// Ascending.
    sorted: Vec<T>,
    /// In no order, about half of them present.
    keys: Vec<T>,
}

/// For each key the number of elements less than it.
fn naive<T: Ord>(input: &Input<T>) -> Vec<usize> {
    let rank = |key| input.sorted.iter().position(|x| x >= key).unwrap_or(input.sorted.len());
    input.keys.iter().map(rank).collect()
}

/// For each key the number of elements less than it.
fn optimized<T: Ord>(input: &Input<T>) -> Vec<usize> {
    input.keys.iter().map(|key| input.sorted.partition_point(|x| x < key)).collect()
}

/// The same elements in the order of Eytzinger's *Thesaurus principum* (1590), and the same keys.
struct Layout<T> {
    /// Those below element `i` are `2i` and `2i + 1`, the root is 1; 0 stands for what is not there.
    tree: Vec<T>,
    keys: Vec<T>,
}

/// For each key the number of elements less than it (Khuong and Morin, "Array Layouts for
/// Comparison-Based Searching", 2017).
fn eytzinger<T: Copy + Ord>(layout: &Layout<T>) -> Vec<usize> {
    let tree = &layout.tree[..];
    let levels = tree.len().ilog2();
    let last_level = 1 << levels;
    let in_last_level = tree.len() - last_level;
    let rank = |key: &T| {
        let mut at = 1;
        for _ in 0..levels {
            at = 2 * at + usize::from(tree[at] < *key);
        }
        // The last level is full on the left only.
        let element = tree[select_unpredictable(at < tree.len(), at, 0)];
        let at = 2 * at + usize::from(element < *key);
        let leaf = at - 2 * last_level;
        leaf.min(in_last_level + leaf / 2)
    };
    layout.keys.iter().map(rank).collect()
}

impl<T: Copy> Layout<T> {
    /// `greatest` is less than no key.
    fn of(input: &Input<T>, greatest: T) -> Layout<T> {
        let mut tree = vec![greatest; input.sorted.len() + 1];
        fill(&mut tree, 1, &mut input.sorted.iter().copied());
        Layout { tree, keys: input.keys.clone() }
    }
}

/// Takes what lies in the subtree of `at` from ascending elements.
fn fill<T>(tree: &mut [T], at: usize, sorted: &mut impl Iterator<Item = T>) {
    if at < tree.len() {
        fill(tree, 2 * at, sorted);
        tree[at] = sorted.next().expect("one for each place");
        fill(tree, 2 * at + 1, sorted);
    }
}

fn input(case: &Case) -> Input<u64> {
    let mut sorted = case.values(case.point as usize);
    sorted.sort_unstable();
    let mut rng = case.rng("keys");
    let keys = (0..case.items(LOOKUPS))
        .map(|_| {
            // One in two is present; without elements none can be.
            if sorted.is_empty() || rng.random() {
                rng.random()
            } else {
                sorted[rng.random_range(0..sorted.len())]
            }
        })
        .collect();
    Input { sorted, keys }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let input = Arc::new(input(case));
    let counted = Input {
        sorted: input.sorted.iter().copied().map(Counted).collect(),
        keys: input.keys.iter().copied().map(Counted).collect(),
    };
    let counted_layout = Layout::of(&counted, Counted(u64::MAX));
    let trial =
        Trial::new(input.sorted.len() as u64, by_ref(&input, naive), by_ref(&input, optimized));
    let trial = trial.peer(by_ref(&Arc::new(Layout::of(&input, u64::MAX)), eytzinger));
    Ok(trial.units(input.keys.len() as u64).counting(move |role, counts| {
        let comparisons = causes::comparisons_during(|| match role {
            Role::Naive => naive(&counted),
            Role::Optimized => optimized(&counted),
            Role::Peer => eytzinger(&counted_layout),
        });
        counts.set(causes::COMPARISONS, comparisons);
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ranks(sorted: &[u64], keys: &[u64]) -> [Vec<usize>; 3] {
        let input = Input { sorted: sorted.to_vec(), keys: keys.to_vec() };
        [naive(&input), optimized(&input), eytzinger(&Layout::of(&input, u64::MAX))]
    }

    #[test]
    fn known_answers() {
        for ranks in ranks(&[10, 20, 20, 30], &[5, 10, 20, 25, 30, 31, u64::MAX]) {
            assert_eq!(ranks, [0, 0, 1, 3, 3, 4, 4]);
        }
        assert_eq!(ranks(&[], &[0, 1, u64::MAX]), [[0; 3]; 3]);
        assert_eq!(ranks(&[7], &[0, 7, 8]), [[0, 0, 1]; 3]);
        assert_eq!(ranks(&[3; 9], &[2, 3, 4]), [[0, 0, 9]; 3]);
        assert_eq!(ranks(&[u64::MAX; 5], &[0, u64::MAX]), [[0, 0]; 3]);
    }

    #[test]
    fn a_tree_of_any_size_ranks_every_key() {
        for count in 0..200_u64 {
            let sorted: Vec<u64> = (0..count).map(|i| 2 * i + 1).collect();
            let keys: Vec<u64> = (0..=2 * count).collect();
            let expected: Vec<usize> = keys.iter().map(|key| (*key / 2) as usize).collect();
            assert_eq!(ranks(&sorted, &keys)[2], expected, "{count} elements");
        }
        let layout = Layout::of(&Input { sorted: vec![1, 2, 3, 4, 5, 6], keys: vec![] }, 7);
        assert_eq!(layout.tree[1..], [4, 2, 6, 1, 3, 5], "by level");
    }

    #[test]
    fn a_lookup_reads_as_many_lines_as_tell_all_ranks_apart() {
        assert_eq!([1, 8, 9, 80, 81, 728, 729].map(lines_read), [1, 1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn trap_the_branch_predictor_cannot_learn_one_key() {
        let input = input(&Case::realistic(2_048, 0, 1));
        let distinct: HashSet<_> = input.keys.iter().collect();
        assert!(distinct.len() as u64 > LOOKUPS * 3 / 4, "{} distinct keys", distinct.len());
        assert!(!input.keys.is_sorted());
    }
}
