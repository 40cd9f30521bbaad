//! Look up keys in a sorted slice: halve it, do not walk it.

use std::{collections::HashSet, hint::select_unpredictable, sync::Arc};

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
        remedy: "`sorted.partition_point(|x| x < key)`, or std's binary search, which also says whether the key is \
                 there.",
        keep_naive_when: "The keys come in order: then walk on from the last place, and both are wrong.",
        costs: "The slice must stay sorted; a forgotten sort gives wrong answers, not slow ones.",
        lint: Lint::None,
    },
    naive: Side { summary: "walk until an element is not less", growth: Growth::Linear },
    optimized: Side {
        summary: "partition_point",
        growth: Growth::Until(&Growth::Logarithmic, "the slice outgrows the first-level cache"),
    },
    input: "Lookups in a sorted `Vec` of random 64-bit integers, whose length is not a power of two: at those, the \
            midpoints crowd into a few sets of the cache. Half of the keys are elements at random places and the \
            others are random, so the walk passes half of the slice on average. There are tens of thousands of keys, \
            more than a branch predictor remembers.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[4, 15, 100, 2_000, 65_000], deep: &[1_000_000] },
    },
    unit: "lookup",
    headline: Headline::At { level: "", point: 2_000 },
    alternatives: &[SideBeside {
        name: "eytzinger",
        summary: "a copy in Eytzinger order, the first midpoints side by side",
    }],
    causes: &[Claim {
        cause: causes::COMPARISONS,
        // Keys are uniform, so the mean walk is half the slice; chance does not bring it down to an eighth.
        naive: Count::AtLeast(|case| LOOKUPS * case.point / 8),
        // ⌈log₂ n⌉ + 1
        optimized: Count::AtMost(|case| LOOKUPS * u64::from(case.point.ilog2() + 2)),
    }],
    explanation: Explanation {
        why: "Each lookup walks to the middle of the slice on average, and halving it takes its logarithm. A \
              comparison of the halving costs more: it waits for the one before, and for memory once the slice has \
              left the nearest cache, while the processor overlaps the comparisons of a walk. But the walk ends at a \
              place that no predictor knows, and that misprediction is what halving saves where the slice is short.",
        share_of_cause: ShareOfCause::Within(0.1, 1.5),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the branch predictor learns the keys",
            reason: "it then knows where each walk ends, which is most of a short one's time",
            check: |inputs: &[Input<u64>]| {
                let distinct: HashSet<u64> = inputs.iter().flat_map(|i| &i.keys).copied().collect();
                let lookups = inputs.len() as u64 * LOOKUPS;
                ensure(lookups >= 4_096 && distinct.len() as u64 > lookups / 4, || {
                    format!("{} distinct keys in {lookups} lookups", distinct.len())
                })
            },
            sprung: || {
                vec![input(&Case::realistic(2_000, 0, 1), &sorted(&Case::realistic(2_000, 0, 1)))]
            },
        },
        &Trap {
            name: "the length is a power of two",
            reason: "all midpoints then fall into a few sets of the cache, which is the worst case of halving",
            check: |inputs: &[Input<u64>]| {
                let length = inputs[0].sorted.len();
                ensure(length < 64 || !length.is_power_of_two(), || format!("{length} items"))
            },
            sprung: || vec![Input { sorted: Arc::new(vec![0; 1_024]), keys: vec![] }],
        },
    ],
    // Lookups do not wait for each other. The working set has no more lines than all lookups of the rotation read.
    limit: Limit::Work(&[Work::IndependentReads {
        reads: |case| LOOKUPS * lines_read(case.point),
        within_bytes: |case| {
            (case.point * 8).min(turns(case.point) * LOOKUPS * lines_read(case.point) * LINE)
        },
    }]),
    proof: Proof { resources: Resources::Memory, max_size: 500 },
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation: 65,536 keys where a walk is short, fewer where a branch predictor matters less.
fn turns(items: u64) -> u64 {
    if items <= 4_096 { 256 } else { 64 }
}

/// Fewest cache lines that a lookup among `keys` keys of eight bytes can read, ⌈log₉(n + 1)⌉: the eight keys
/// of a line split the search nine ways.
fn lines_read(keys: u64) -> u64 {
    u64::from(keys.ilog(9) + 1)
}

#[derive(Debug)]
struct Input<T> {
    /// Ascending; the same slice in each input of the rotation.
    sorted: Arc<Vec<T>>,
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
    tree: Arc<Vec<T>>,
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

/// Lays out a sorted slice. `greatest` must be no less than any key.
fn eytzinger_order<T: Copy>(sorted: &[T], greatest: T) -> Vec<T> {
    let mut tree = vec![greatest; sorted.len() + 1];
    fill(&mut tree, 1, &mut sorted.iter().copied());
    tree
}

/// Fills the subtree of `root` with the next elements, which ascend.
fn fill<T>(tree: &mut [T], root: usize, sorted: &mut impl Iterator<Item = T>) {
    if root < tree.len() {
        fill(tree, 2 * root, sorted);
        tree[root] = sorted.next().expect("an element for each place");
        fill(tree, 2 * root + 1, sorted);
    }
}

fn sorted(case: &Case) -> Arc<Vec<u64>> {
    let mut sorted = case.values(case.point as usize);
    sorted.sort_unstable();
    Arc::new(sorted)
}

fn input(case: &Case, sorted: &Arc<Vec<u64>>) -> Input<u64> {
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
    Input { sorted: Arc::clone(sorted), keys }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let slice = sorted(case);
    let inputs = case.rotate(turns(case.point), |case| input(case, &slice));
    let layout = Arc::new(eytzinger_order(&slice, u64::MAX));
    let layouts =
        inputs.map(|input| Layout { tree: Arc::clone(&layout), keys: input.keys.clone() });

    let counted_slice = Arc::new(slice.iter().copied().map(Counted).collect::<Vec<_>>());
    let counted_layout = Arc::new(eytzinger_order(&counted_slice, Counted(u64::MAX)));
    let counted = inputs.map(|input| Input {
        sorted: Arc::clone(&counted_slice),
        keys: input.keys.iter().copied().map(Counted).collect(),
    });
    let counted_layouts =
        counted.map(|input| Layout { tree: Arc::clone(&counted_layout), keys: input.keys.clone() });
    Ok(Trial::new(
        inputs.measured(|input| input.sorted.len() as u64),
        by_ref(&inputs, naive).counting(causes::COMPARISONS, noting(&counted, naive)),
        by_ref(&inputs, optimized).counting(causes::COMPARISONS, noting(&counted, optimized)),
    )
    .alternative(
        by_ref(&layouts, eytzinger)
            .counting(causes::COMPARISONS, noting(&counted_layouts, eytzinger)),
    )
    .units(inputs[0].keys.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(sorted: &[u64], keys: &[u64]) -> [Vec<usize>; 3] {
        let input = Input { sorted: Arc::new(sorted.to_vec()), keys: keys.to_vec() };
        let tree = Arc::new(eytzinger_order(sorted, u64::MAX));
        [naive(&input), optimized(&input), eytzinger(&Layout { tree, keys: keys.to_vec() })]
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
        assert_eq!(eytzinger_order(&[1, 2, 3, 4, 5, 6], 7)[1..], [4, 2, 6, 1, 3, 5], "by level");
    }

    #[test]
    fn a_lookup_reads_enough_lines_to_tell_all_ranks_apart() {
        assert_eq!([1, 8, 9, 80, 81, 728, 729].map(lines_read), [1, 1, 2, 2, 3, 3, 4]);
    }
}
