//! Look up keys in a sorted slice: halve it, do not walk it.

use std::{hint::select_unpredictable, sync::Arc};

use rand::RngExt;

use worthit_pair::prelude::*;

/// Lookups in one iteration, each of its own key.
const LOOKUPS: u64 = 256;

/// Size of a cache line in bytes.
const LINE: u64 = 64;

pub const PAIR: Pair = Pair {
    title: "Search a sorted slice by halving",
    review: Review {
        smell: "`sorted.iter().position(|x| *x >= key)`, or `find` on a slice that is known to be sorted.",
        remedy: "`sorted.partition_point(|x| *x < key)` or `binary_search`. A copy in Eytzinger order (the peer \
                 here) is no better while it fits the second-level cache, and a little better beyond. With \
                 prefetches, which need `unsafe`, it is well ahead on slices far larger than the caches. Its \
                 larger gains in this sweep come from the sizes: at powers of two, the midpoints of a sorted slice \
                 crowd into a few sets of the cache.",
        keep_naive_when: "The slice has a few dozen elements: the scan is predictable, and the halving is not.",
        costs: "The slice must stay sorted; a forgotten sort gives wrong answers, not slow ones.",
        lint: None,
    },
    naive: Side { summary: "walk until an element is not less", growth: Growth::Linear },
    optimized: Side {
        summary: "partition_point",
        growth: Growth::Until(&Growth::Logarithmic, "the slice outgrows the first-level cache"),
    },
    input: "256 lookups in a sorted `Vec` of random 64-bit integers. Half of the keys are elements at random \
            places and the others are random, so the walk passes half of the slice on average.",
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
        // Keys are uniform, so the mean walk is half the slice; chance does not bring it down to an eighth.
        naive: Count::AtLeast(|case| LOOKUPS * case.point / 8),
        // ⌈log₂ n⌉ + 1
        optimized: Count::AtMost(|case| LOOKUPS * u64::from(case.point.ilog2() + 2)),
    }],
    explanation: "n/2 comparisons became log₂ n + 1. Each comparison of the halving depends on the one before and \
                  waits for memory. It costs as much as several comparisons of the walk, which the processor \
                  overlaps, so the gain is a tenth to a half of the ratio. Coming closer to the limit takes nodes \
                  of a whole cache line (a B-tree), vector comparisons, and several lookups side by side.",
    // Lookups do not wait for each other. All iterations look up the same keys, so the working set has no
    // more lines than these reads.
    limit: Limit::IndependentReads {
        reads: |case| LOOKUPS * lines_read(case.point),
        within_bytes: |case| (case.point * 8).min(LOOKUPS * lines_read(case.point) * LINE),
    },
    proof: Proof { resources: Resources::Memory, max_size: 500 },
    prepare,
    ..Pair::DEFAULTS
};

/// Fewest cache lines that a lookup among `keys` keys of eight bytes can read, ⌈log₉(n + 1)⌉: the eight keys
/// of a line split the search nine ways.
fn lines_read(keys: u64) -> u64 {
    u64::from(keys.ilog(9) + 1)
}

struct Input<T> {
    /// Ascending.
    sorted: Vec<T>,
    /// Unsorted; about half of them are in the slice.
    keys: Vec<T>,
}

/// For each key, the number of elements less than it.
fn naive<T: Ord>(input: &Input<T>) -> Vec<usize> {
    let rank = |key| input.sorted.iter().position(|x| x >= key).unwrap_or(input.sorted.len());
    input.keys.iter().map(rank).collect()
}

/// For each key, the number of elements less than it.
fn optimized<T: Ord>(input: &Input<T>) -> Vec<usize> {
    input.keys.iter().map(|key| input.sorted.partition_point(|x| x < key)).collect()
}

/// The same elements in the order of Eytzinger's *Thesaurus principum* (1590), and the same keys.
struct Layout<T> {
    /// The root is 1, the children of element `i` are `2i` and `2i + 1`. Element 0 stands in for missing ones.
    tree: Vec<T>,
    keys: Vec<T>,
}

/// For each key, the number of elements less than it (Khuong and Morin, "Array Layouts for Comparison-Based
/// Searching", 2017).
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
        // The last level is filled only on the left.
        let element = tree[select_unpredictable(at < tree.len(), at, 0)];
        let at = 2 * at + usize::from(element < *key);
        let leaf = at - 2 * last_level;
        leaf.min(in_last_level + leaf / 2)
    };
    layout.keys.iter().map(rank).collect()
}

impl<T: Copy> Layout<T> {
    /// Lays out the input. `greatest` must be no less than any key.
    fn new(input: &Input<T>, greatest: T) -> Layout<T> {
        let mut tree = vec![greatest; input.sorted.len() + 1];
        fill(&mut tree, 1, &mut input.sorted.iter().copied());
        Layout { tree, keys: input.keys.clone() }
    }
}

/// Fills the subtree of `root` with the next elements, which ascend.
fn fill<T>(tree: &mut [T], root: usize, sorted: &mut impl Iterator<Item = T>) {
    if root < tree.len() {
        fill(tree, 2 * root, sorted);
        tree[root] = sorted.next().expect("an element for each place");
        fill(tree, 2 * root + 1, sorted);
    }
}

fn input(case: &Case) -> Input<u64> {
    let mut sorted = case.values(case.point as usize);
    sorted.sort_unstable();
    let mut rng = case.rng("keys");
    let keys = (0..case.items(LOOKUPS))
        .map(|_| {
            // Half of the keys are present, unless there are no elements.
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
    let counted_layout = Layout::new(&counted, Counted(u64::MAX));
    let trial =
        Trial::new(input.sorted.len() as u64, by_ref(&input, naive), by_ref(&input, optimized));
    let trial = trial.peer(by_ref(&Arc::new(Layout::new(&input, u64::MAX)), eytzinger));
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
        [naive(&input), optimized(&input), eytzinger(&Layout::new(&input, u64::MAX))]
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
        let layout = Layout::new(&Input { sorted: vec![1, 2, 3, 4, 5, 6], keys: vec![] }, 7);
        assert_eq!(layout.tree[1..], [4, 2, 6, 1, 3, 5], "by level");
    }

    #[test]
    fn a_lookup_reads_enough_lines_to_tell_all_ranks_apart() {
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
