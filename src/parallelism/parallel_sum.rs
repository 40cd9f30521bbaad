//! Add up a long list on all cores, as fast as memory can feed them.

use std::iter::Sum;

use rayon::prelude::*;

use crate::fixtures::pool::pool;
use worthit_pair::prelude::*;

/// Prices that a worker adds up when all workers take equally many pieces.
const LONGEST_SHARE: Cause = Cause::new("longest_share", "prices one after another").modelled(
    "from the pieces that the side adds up and the workers of the pool, as if these took equally many",
);

/// Prices in a piece, 256 KiB: less is not worth handing over.
const PIECE: usize = 32_768;

pub const PAIR: Pair = Pair {
    title: "Add up a long list on all cores",
    review: Review {
        smell: "`prices.iter().sum::<u64>()`, or another loop with one addition for each item, over a list of \
                millions, while the other cores are idle.",
        remedy: "`prices.par_chunks(PIECE).map(|piece| piece.iter().copied().sum::<u64>()).sum()` with rayon, in \
                 pieces long enough to be worth handing over.",
        keep_naive_when: "The list is short: a single core adds up what its caches hold before another has woken. Or \
                          the cores are busy already. Or one core alone takes all that memory can deliver, as on \
                          many laptops. Reading fewer bytes (a `u32` in place of a `u64`, a column in place of \
                          whole rows, a sum kept up to date) gains on any machine, and together with this.",
        costs: "A dependency, and all the cores and all the bandwidth of memory for one caller: whatever else runs on \
                the machine waits longer for memory meanwhile. A sum of floats rounds differently in each run, unless \
                the pieces are added up in order.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "one core",
        growth: Growth::Until(&Growth::Linear, "the list outgrows a cache"),
    },
    optimized: Side {
        summary: "rayon's par_chunks, 256 KiB each",
        growth: Growth::Until(&Growth::Linear, "the list outgrows the caches"),
    },
    input: "Random prices, 8 bytes each, in one array. The loop is vectorised, so that an addition costs next to nothing \
            and the level that holds the list sets the pace. Lists up to 8 MB alternate with one other and stay in a \
            cache. Longer ones take turns with more than 256 MiB in all and come from memory, as after other work.",
    axis: Axis {
        name: "prices",
        unit: "prices",
        is_size: true,
        points: Points::Fixed {
            default: &[2_000, 30_000, 1_000_000, 4_000_000, 12_000_000],
            deep: &[],
        },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "price",
    headline: Headline::AllCoresOf(4_000_000),
    causes: &[Claim {
        cause: LONGEST_SHARE,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| longest_share(case.point, case.level)),
    }],
    explanation: Explanation {
        why: "With t workers each adds up a t-th of the prices. While the list is in caches that each core has for itself, \
              or in a shared one that is fast enough for all, the gain approaches t. Beyond the caches all cores draw \
              on the same memory, and one core alone can already use a good part of its bandwidth: the gain stops at \
              what all cores together get from memory over what one gets, however many workers there are. That \
              ratio is a property of the machine (its page of machine numbers has both). A list of one piece is never \
              handed over.",
        share_of_cause: ShareOfCause::Within(0.25, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(2_000),
    },
    traps: &[
        &Trap {
            name: "a cache holds what memory should feed",
            reason: "the cores would not share its bandwidth, and would gain more",
            check: |inputs: &[Vec<u64>]| {
                let all: u64 = inputs.iter().map(|prices| bytes(prices.len() as u64)).sum();
                let longest = inputs.iter().map(|prices| bytes(prices.len() as u64)).max();
                ensure(longest < Some(BEYOND_CACHES) || all >= IN_TURN, || {
                    format!("{all} bytes in {} lists", inputs.len())
                })
            },
            sprung: || vec![vec![1; 4_000_000]],
        },
        &Trap {
            name: "pages that nobody has written",
            reason: "the kernel has one page of zeros for all of them, which stays in the first cache",
            check: |inputs: &[Vec<u64>]| {
                let is_zero = |page: &[u64]| page.iter().all(|price| *price == 0);
                let zeros =
                    inputs.iter().flat_map(|prices| prices.chunks(512)).filter(|p| is_zero(p));
                let count = zeros.count();
                ensure(count == 0, || format!("{count} pages of zeros"))
            },
            sprung: || vec![vec![0; 100_000]],
        },
    ],
    limit: Limit::Work(&[Work::StreamedByAllCores(|case| bytes(case.point))]),
    proof: Proof { resources: Resources::System, max_size: 100_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Size of a list from which it comes from memory, bytes.
const BEYOND_CACHES: u64 = 16 << 20;
/// Size of all such lists together, bytes: more than the last-level cache of most processors.
const IN_TURN: u64 = 256 << 20;

const fn bytes(prices: u64) -> u64 {
    prices * size_of::<u64>() as u64
}

/// Lists in the rotation.
fn turns(prices: u64) -> u64 {
    if bytes(prices) < BEYOND_CACHES { 2 } else { IN_TURN.div_ceil(bytes(prices)).max(2) }
}

/// The sum of the prices; `N` is `u64` when timed.
fn naive<N: Copy + Sum>(prices: &[N]) -> N {
    prices.iter().copied().sum()
}

/// The sum of the prices; `N` is `u64` when timed. Call it on a worker of a rayon pool.
fn optimized<N: Copy + Send + Sync + Sum>(prices: &[N]) -> N {
    prices.par_chunks(PIECE).map(|piece| piece.iter().copied().sum::<N>()).sum()
}

/// Prices that the busiest of these workers adds up, if they take equally many pieces.
fn longest_share(prices: u64, workers: u64) -> u64 {
    let pieces = prices.div_ceil(PIECE as u64);
    (pieces.div_ceil(workers) * PIECE as u64).min(prices)
}

/// A price that knows in which pieces it was added up. A sum of such prices is one, too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pieces {
    /// 0 if this is a price.
    pieces: u32,
    /// Prices in the longest one.
    longest: u32,
}

/// A price that was not added up yet.
const PRICE: Pieces = Pieces { pieces: 0, longest: 1 };

impl Pieces {
    /// Prices that the busiest worker adds up.
    fn share(self, prices: usize, workers: usize) -> u64 {
        let pieces = u64::from(self.pieces).div_ceil(workers as u64);
        (pieces * u64::from(self.longest)).min(prices as u64)
    }
}

/// Prices that are added up make a piece. Sums that are added up keep theirs.
impl Sum for Pieces {
    fn sum<I: Iterator<Item = Pieces>>(terms: I) -> Pieces {
        let (mut sum, mut prices) = (Pieces::default(), 0);
        for term in terms {
            if term == PRICE {
                prices += 1;
            } else {
                sum.pieces += term.pieces;
                sum.longest = sum.longest.max(term.longest);
            }
        }
        sum.pieces += u32::from(prices > 0);
        sum.longest = sum.longest.max(prices);
        sum
    }
}

/// Timed prices are cents below ten thousand euros. The sum of those of the other shapes fits, too.
fn input(case: &Case) -> Vec<u64> {
    let mut prices = case.values(case.point as usize);
    for price in &mut prices {
        *price = match case.shape {
            Shape::Realistic => *price % 1_000_000,
            _ => *price >> 24,
        };
    }
    prices
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let pool = pool(case.level)?;
    let inputs = case.rotate(turns(case.point), input);
    let (one, many, workers) = (inputs.clone(), inputs.clone(), pool.clone());
    let alone = move |i: usize| {
        let prices = vec![PRICE; one[i].len()];
        naive(&prices).share(prices.len(), 1)
    };
    let shared = move |i: usize| {
        let prices = vec![PRICE; many[i].len()];
        let sum = workers.install(|| optimized(&prices));
        sum.share(prices.len(), workers.current_num_threads())
    };
    Ok(Trial::new(
        inputs.measured(|prices| prices.len() as u64),
        by_ref(&inputs, |prices: &Vec<u64>| naive(prices)).counting(LONGEST_SHARE, alone),
        pooled(&pool, &inputs, |prices: &Vec<u64>| optimized(prices))
            .counting(LONGEST_SHARE, shared),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let pool = pool(3).unwrap();
        let numbers: Vec<u64> = (1..=200_000).collect();
        for (prices, sum) in
            [(&[][..], 0), (&[7], 7), (&[1, 2, 39], 42), (&numbers, 20_000_100_000)]
        {
            assert_eq!(naive(prices), sum);
            assert_eq!(pool.install(|| optimized(prices)), sum);
        }
    }

    #[test]
    fn every_length_around_a_piece_is_summed() {
        let pool = pool(2).unwrap();
        for pieces in 1..4 {
            for count in pieces * PIECE - 2..pieces * PIECE + 3 {
                let prices = vec![3_u64; count];
                assert_eq!(pool.install(|| optimized(&prices)), naive(&prices), "{count}");
            }
        }
    }

    #[test]
    fn a_sum_knows_its_pieces() {
        let pool = pool(2).unwrap();
        let sum = |count| {
            let prices = vec![PRICE; count];
            (naive(&prices), pool.install(|| optimized(&prices)))
        };
        assert_eq!(sum(0), (Pieces::default(), Pieces::default()));
        assert_eq!(sum(5), (Pieces { pieces: 1, longest: 5 }, Pieces { pieces: 1, longest: 5 }));
        let (one, many) = sum(100_000);
        assert_eq!(one, Pieces { pieces: 1, longest: 100_000 });
        assert_eq!(many, Pieces { pieces: 4, longest: PIECE as u32 });
        assert_eq!(
            [1, 2, 4, 9].map(|workers| many.share(100_000, workers)),
            [100_000, 65_536, 32_768, 32_768]
        );
    }
}
