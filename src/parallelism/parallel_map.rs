//! Map over independent items on all cores, from the size on where that pays.

use std::sync::{Arc, Mutex};

use rand::RngExt;
use rayon::prelude::*;

use worthit_pair::prelude::*;

/// Items that the busiest of the workers has to do when all of them run and take turns.
const LONGEST_SHARE: Cause = Cause::new("longest_share", "items one after another");

pub const PAIR: Pair = Pair {
    title: "Map over independent items on all cores",
    review: Review {
        smell: "`items.iter().map(dear).collect()` where `dear` computes for half a microsecond or more an \
                item, depends on nothing but the item, and the other cores are idle.",
        remedy: "`items.par_iter().map(dear).collect()` with rayon: the order of the results is kept. \
                 The timed side cuts the items into four shares a worker by hand, so that the shares \
                 are known and can be counted; the peer is the plain `par_iter`.",
        keep_naive_when: "The whole loop lasts a few microseconds: handing out shares costs as much, and \
                          a pool that went to sleep must be woken first (here calls follow one another \
                          and find it awake, so put the break-even higher for a rare call). Or \
                          the cores are busy already, as in a server under load; or an item costs a few \
                          nanoseconds, and memory, not arithmetic, is what the loop waits for.",
        costs: "A dependency; `dear` must be `Sync` and what it returns `Send`; all the cores for one \
                caller; a panic or a lock in `dear` now concerns several threads.",
        lint: None,
    },
    naive: Side { summary: "one item after another", growth: Growth::Linear },
    optimized: Side { summary: "rayon, four shares a worker", growth: Growth::Linear },
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[1, 8, 64, 512, 4_096], deep: &[65_536] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "item",
    peer: Some("plain_par_iter"),
    causes: &[Claim {
        cause: LONGEST_SHARE,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| {
            let (items, threads) = (case.point, case.level);
            let share = share(items as usize, threads as usize) as u64;
            (items.div_ceil(share).div_ceil(threads) * share).min(items)
        }),
    }],
    explanation: "With t workers the longest of their shares is one t-th of the items, and the gain \
                  approaches that ratio as far as the cores are cores of their own. What it costs to \
                  enter the work and to hand out shares does not grow with the items, which is why \
                  small inputs lose. With one worker nothing is shared and nothing gained: those rows \
                  show what rayon itself costs.",
    limit: Limit::Cores,
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

const DIMENSIONS: usize = 16;
const CENTROIDS: usize = 64;

type Point = [f32; DIMENSIONS];

/// One step of k-means, or of a vector quantiser.
struct Input {
    points: Vec<Point>,
    centroids: Vec<Point>,
}

impl Input {
    /// The work of one item: which of the centroids is nearest, the first of equals. Never inlined,
    /// so that all sides run the same instructions for an item.
    #[inline(never)]
    fn nearest(&self, point: &Point) -> u32 {
        let mut best = (f32::INFINITY, 0);
        for (index, centroid) in self.centroids.iter().enumerate() {
            let differences = point.iter().zip(centroid).map(|(p, c)| p - c);
            let distance: f32 = differences.map(|difference| difference * difference).sum();
            if distance < best.0 {
                best = (distance, index as u32);
            }
        }
        best.1
    }
}

/// `map` of each point, in order.
fn naive<T>(points: &[Point], map: impl Fn(&Point) -> T) -> Vec<T> {
    points.iter().map(map).collect()
}

/// `map` of each point, in order; to be called on a worker of a rayon pool.
fn optimized<T: Default + Clone + Send>(
    points: &[Point],
    map: impl Fn(&Point) -> T + Sync,
) -> Vec<T> {
    in_shares(points, |points, results| {
        for (point, result) in points.iter().zip(results) {
            *result = map(point);
        }
    })
}

/// Calls `work` in parallel with each share of the points and the place of its results.
fn in_shares<T: Default + Clone + Send>(
    points: &[Point],
    work: impl Fn(&[Point], &mut [T]) + Sync,
) -> Vec<T> {
    let share = share(points.len(), rayon::current_num_threads());
    let mut results = vec![T::default(); points.len()];
    let shares = points.par_chunks(share).zip(results.par_chunks_mut(share));
    shares.for_each(|(points, results)| work(points, results));
    results
}

/// Items in a share: four shares a worker, so that one who is held up can be helped out.
fn share(items: usize, threads: usize) -> usize {
    items.div_ceil(4 * threads).max(1)
}

/// The idiom, with rayon's own way of splitting.
fn plain_par_iter<T: Send>(points: &[Point], map: impl Fn(&Point) -> T + Sync + Send) -> Vec<T> {
    points.par_iter().map(map).collect()
}

fn input(case: &Case) -> Input {
    let mut rng = case.rng("coordinates");
    let centroids: Vec<Point> =
        (0..CENTROIDS).map(|_| std::array::from_fn(|_| rng.random())).collect();
    // Timed points lie around the centroids as real clusters do; the others have the shape's values,
    // ties included, as coordinates.
    let points = match case.shape {
        Shape::Realistic => (0..case.point)
            .map(|_| {
                let centre = centroids[rng.random_range(0..CENTROIDS)];
                centre.map(|coordinate| coordinate + (rng.random::<f32>() - 0.5) / 2.0)
            })
            .collect(),
        _ => {
            let values = case.values(case.point as usize * DIMENSIONS);
            let points = values.chunks_exact(DIMENSIONS);
            points.map(|values| std::array::from_fn(|i| (values[i] % 1_009) as f32)).collect()
        }
    };
    Input { points, centroids }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let threads = case.level as usize;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = Arc::new(pool.map_err(|error| {
        Unavailable(format!(
            "a pool of {threads} threads cannot be made: {error}; raise `ulimit -u`"
        ))
    })?);
    let input = Arc::new(input(case));
    let trial = Trial::new(
        input.points.len() as u64,
        by_ref(&input, |input: &Input| naive(&input.points, |point| input.nearest(point))),
        pooled(&pool, &input, |input| optimized(&input.points, |point| input.nearest(point))),
    )
    .peer(pooled(&pool, &input, |input| {
        plain_par_iter(&input.points, |point| input.nearest(point))
    }));
    Ok(trial.units(input.points.len() as u64).counting(move |role, counts| {
        let shares = match role {
            Role::Naive => vec![input.points.len()],
            _ => pool.install(|| shares(&input.points)),
        };
        counts.set(LONGEST_SHARE, longest(shares, threads));
    }))
}

/// The lengths of the shares that the points are really cut into, the longest first.
fn shares(points: &[Point]) -> Vec<usize> {
    let shares = Mutex::new(Vec::new());
    in_shares::<u32>(points, |points, _| shares.lock().unwrap().push(points.len()));
    let mut shares = shares.into_inner().unwrap();
    shares.sort_unstable_by(|a, b| b.cmp(a));
    shares
}

/// Items of the worker who gets the longest of `shares` when they are dealt to `threads` in turn.
fn longest(shares: Vec<usize>, threads: usize) -> u64 {
    shares.into_iter().step_by(threads).map(|share| share as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pool<T: Send>(threads: usize, side: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(side)
    }

    #[test]
    fn known_answers() {
        let at = |x: f32| [x; DIMENSIONS];
        let input = Input {
            points: vec![at(9.0), at(1.0), at(5.0), at(-3.0), at(6.0)],
            centroids: vec![at(0.0), at(10.0)],
        };
        // The third point is as far from both: the first centroid has it.
        let nearest = [1, 0, 0, 0, 1];
        let map = |point: &Point| input.nearest(point);
        assert_eq!(naive(&input.points, map), nearest);
        assert_eq!(in_pool(3, || optimized(&input.points, map)), nearest);
        assert_eq!(in_pool(3, || plain_par_iter(&input.points, map)), nearest);
        assert!(in_pool(3, || optimized::<u32>(&[], map)).is_empty());
    }

    #[test]
    fn the_longest_share_is_what_one_worker_gets_of_the_shares() {
        assert_eq!(longest(vec![5, 5, 5, 1], 2), 10);
        assert_eq!(longest(vec![5], 2), 5);
        assert_eq!(longest(vec![], 2), 0);
        for (items, threads) in [(1, 2), (7, 2), (4_096, 2), (4_096, 6), (100, 7)] {
            let points = vec![[0.0; DIMENSIONS]; items];
            let claim = PAIR.causes[0].optimized;
            let Count::Exactly(claimed) = claim else { panic!("{claim:?}") };
            let counted = longest(in_pool(threads, || shares(&points)), threads);
            assert_eq!(counted, claimed(&Case::realistic(items as u64, threads as u64, 1)));
        }
    }

    #[test]
    fn trap_there_is_a_share_for_every_worker() {
        for threads in [2, 3, 8] {
            let points = input(&Case::realistic(4_096, threads, 1)).points;
            let shares = in_pool(threads as usize, || shares(&points));
            assert_eq!(shares.iter().sum::<usize>(), points.len());
            assert_eq!(shares.len() as u64, 4 * threads);
        }
    }

    #[test]
    fn trap_the_loop_is_bound_by_arithmetic_not_by_memory() {
        let input = input(&Case::realistic(4_096, 1, 1));
        // What all items read stays in the smallest first-level caches…
        assert!(size_of_val(&input.centroids[..]) <= 16 << 10);
        // …and each byte that an item brings in costs many operations.
        let operations = 3 * input.centroids.len() * DIMENSIONS;
        assert!(operations >= 32 * size_of::<Point>());
        // The answer is not one that a compiler or a branch predictor could know.
        let answers: std::collections::HashSet<_> =
            naive(&input.points, |point| input.nearest(point)).into_iter().collect();
        assert!(answers.len() > CENTROIDS * 3 / 4, "{} of the centroids", answers.len());
    }
}
