//! Map over independent items on all cores, once there are enough of them to pay.

use std::sync::{Arc, Mutex};

use rand::RngExt;
use rayon::prelude::*;

use worthit_pair::prelude::*;

/// Items that the busiest worker has to do when all workers run and take shares in turn.
const LONGEST_SHARE: Cause = Cause::new("longest_share", "items one after another")
    .modelled("from the shares that are really cut, as if the workers took them in turn");

pub const PAIR: Pair = Pair {
    title: "Map over independent items on all cores",
    review: Review {
        smell: "`items.iter().map(expensive).collect()` where `expensive` computes for half a microsecond or more \
                per item, depends on nothing but the item, and the other cores are idle.",
        remedy: "`items.par_iter().map(expensive).collect()` with rayon, which keeps the order of the results. The \
                 timed side cuts the items into four shares per worker by hand, so that the shares are known and \
                 can be counted; the peer is the plain `par_iter`.",
        keep_naive_when: "The whole loop lasts a few microseconds: handing out shares costs as much, and a \
                          sleeping pool must be woken first. (Here calls follow one another and find it awake, so \
                          expect a higher break-even for a rare call.) Or the cores are busy already, as in a \
                          server under load. Or an item costs a few nanoseconds, and the loop waits for memory, \
                          not for arithmetic.",
        costs: "A dependency; `expensive` must be `Sync` and its result `Send`; all the cores for one caller; a \
                panic or a lock in `expensive` now concerns several threads.",
        lint: None,
    },
    naive: Side { summary: "one item after another", growth: Growth::Linear },
    optimized: Side { summary: "rayon, four shares a worker", growth: Growth::Linear },
    input: "Points of 16 `f32` coordinates, scattered around 64 centroids. An item is the search for the nearest \
            centroid: it computes the distance to all of them and depends on no other item, so all items take \
            about the same time.",
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
    explanation: "With t workers the busiest has a t-th of the items, and the gain approaches t as far as the \
                  workers have cores of their own. The cost of entering the pool and of handing out shares does \
                  not grow with the items, which is why small inputs lose. With one worker nothing is shared and \
                  nothing gained: those rows show what rayon itself costs.",
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
    /// The work for one item: finds the nearest centroid, the first among equals. Never inlined, so that all
    /// sides run the same instructions for an item.
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

/// Applies `map` to each point, in order.
fn naive<T>(points: &[Point], map: impl Fn(&Point) -> T) -> Vec<T> {
    points.iter().map(map).collect()
}

/// Applies `map` to each point, in order. Call it on a worker of a rayon pool.
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

/// Calls `work` in parallel on each share of the points, with the place for its results.
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

/// Items in a share. With four shares per worker, the others can help one that is delayed.
fn share(items: usize, threads: usize) -> usize {
    items.div_ceil(4 * threads).max(1)
}

/// The idiom, split by rayon itself.
fn plain_par_iter<T: Send>(points: &[Point], map: impl Fn(&Point) -> T + Sync + Send) -> Vec<T> {
    points.par_iter().map(map).collect()
}

fn input(case: &Case) -> Input {
    let mut rng = case.rng("coordinates");
    let centroids: Vec<Point> =
        (0..CENTROIDS).map(|_| std::array::from_fn(|_| rng.random())).collect();
    // Timed points lie around the centroids, as real clusters do. The others have the shape's
    // values, ties included, as coordinates.
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
        Unavailable(format!("cannot start a pool of {threads} threads: {error}; raise `ulimit -u`"))
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
            // Rayon splits as workers ask for work, so its shares differ from run to run.
            Role::Peer => return,
            Role::Optimized => pool.install(|| shares(&input.points)),
        };
        counts.set(LONGEST_SHARE, longest(shares, threads));
    }))
}

/// Lengths of the shares into which the points are really cut, longest first.
fn shares(points: &[Point]) -> Vec<usize> {
    let shares = Mutex::new(Vec::new());
    in_shares::<u32>(points, |points, _| shares.lock().unwrap().push(points.len()));
    let mut shares = shares.into_inner().unwrap();
    shares.sort_unstable_by(|a, b| b.cmp(a));
    shares
}

/// Items of the worker that gets the longest of `shares` when they are dealt to `threads` in turn.
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
        let point_at = |x: f32| [x; DIMENSIONS];
        let input = Input {
            points: vec![
                point_at(9.0),
                point_at(1.0),
                point_at(5.0),
                point_at(-3.0),
                point_at(6.0),
            ],
            centroids: vec![point_at(0.0), point_at(10.0)],
        };
        // The third point is equally far from both: the first centroid gets it.
        let nearest = [1, 0, 0, 0, 1];
        let map = |point: &Point| input.nearest(point);
        assert_eq!(naive(&input.points, map), nearest);
        assert_eq!(in_pool(3, || optimized(&input.points, map)), nearest);
        assert_eq!(in_pool(3, || plain_par_iter(&input.points, map)), nearest);
        assert!(in_pool(3, || optimized::<u32>(&[], map)).is_empty());
    }

    #[test]
    fn the_longest_share_is_that_of_the_busiest_worker() {
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
        // The data that all items read stays in the smallest first-level caches…
        assert!(size_of_val(&input.centroids[..]) <= 16 << 10);
        // …and each byte that an item brings in costs many operations.
        let operations = 3 * input.centroids.len() * DIMENSIONS;
        assert!(operations >= 32 * size_of::<Point>());
        // The answers are not ones that a compiler or a branch predictor could know.
        let answers: std::collections::HashSet<_> =
            naive(&input.points, |point| input.nearest(point)).into_iter().collect();
        assert!(answers.len() > CENTROIDS * 3 / 4, "{} of the centroids", answers.len());
    }
}
