//! Map over independent items on all cores, once there are enough of them to pay.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rand::RngExt;
use rayon::prelude::*;

use worthit_pair::prelude::*;

/// Items that a worker has to do when all workers have equal shares.
const LONGEST_SHARE: Cause = Cause::new("longest_share", "items one after another").modelled(
    "from the items that the side maps and the workers of the pool it maps them on, as if all shares were equal",
);

pub const PAIR: Pair = Pair {
    title: "Map over independent items on all cores",
    review: Review {
        smell: "`items.iter().map(expensive).collect()` where `expensive` computes for half a microsecond or more \
                per item, depends on nothing but the item, and the other cores are idle.",
        remedy: "`par_iter().map(map).collect()` with rayon, which keeps the order of the results.",
        keep_naive_when: "The whole loop lasts a few microseconds: handing out shares costs as much, and a \
                          sleeping pool must be woken first. (Here calls follow one another and find it awake, so \
                          expect a higher break-even for a rare call.) Or the cores are busy already, as in a \
                          server under load. Or an item costs a few nanoseconds, and the loop waits for memory, \
                          not for arithmetic.",
        costs: "A dependency; `expensive` must be `Sync` and its result `Send`; all the cores for one caller; a \
                panic or a lock in `expensive` now concerns several threads.",
        lint: Lint::None,
    },
    naive: Side { summary: "one item after another", growth: Growth::Linear },
    optimized: Side { summary: "rayon's par_iter", growth: Growth::Linear },
    input: "Points of 16 `f32` coordinates, scattered around 64 centroids. An item is the search for the nearest \
            centroid: it computes the distance to all of them and depends on no other item, so all items take \
            about the same time. Sets of points alternate.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[1, 10, 100, 10_000, 50_000], deep: &[] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "item",
    headline: Headline::AllCoresOf(50_000),
    causes: &[Claim {
        cause: LONGEST_SHARE,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.div_ceil(case.level)),
    }],
    explanation: Explanation {
        why: "With t workers each has a t-th of the items, and the gain approaches t as far as the workers have cores \
              of their own. The cost of entering the pool and of handing out shares does not grow with the items, \
              which is why small inputs lose. With one worker nothing is shared and nothing gained: those rows show \
              what rayon itself costs.",
        share_of_cause: ShareOfCause::Within(0.5, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the branch predictor knows the answers",
        reason: "an item would cost less than it does in use, and more threads would gain less",
        check: |inputs: &[Input]| {
            let points: usize = inputs.iter().map(|input| input.points.len()).sum();
            let all = inputs.iter().flat_map(|i| naive(&i.points, |point| i.nearest(point)));
            let answers = all.collect::<HashSet<u32>>().len();
            ensure(points >= 2_000 && answers * 4 > CENTROIDS * 3, || {
                format!("{points} points are nearest to {answers} of the centroids")
            })
        },
        sprung: || {
            let mut input =
                input(&Case::realistic(10_000, 1, 1), &centroids(&Case::realistic(1, 1, 1)));
            input.points = vec![input.points[0]; 10_000];
            vec![input]
        },
    }],
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
    centroids: Arc<[Point]>,
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
fn optimized<T: Send>(points: &[Point], map: impl Fn(&Point) -> T + Sync + Send) -> Vec<T> {
    points.par_iter().map(map).collect()
}

fn centroids(case: &Case) -> Arc<[Point]> {
    let mut rng = case.rng("centroids");
    (0..CENTROIDS).map(|_| std::array::from_fn(|_| rng.random())).collect()
}

/// Timed points lie around the centroids, as real clusters do. The others have the shape's values, ties included, as
/// coordinates.
fn input(case: &Case, centroids: &Arc<[Point]>) -> Input {
    let mut rng = case.rng("coordinates");
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
    Input { points, centroids: Arc::clone(centroids) }
}

/// Counts, while a side maps items, how many there are and how many workers there are for them.
#[derive(Default)]
struct Shares {
    items: AtomicU64,
    workers: AtomicU64,
}

impl Shares {
    fn map(&self) {
        let in_pool = rayon::current_thread_index().is_some();
        let workers = if in_pool { rayon::current_num_threads() as u64 } else { 1 };
        self.items.fetch_add(1, Relaxed);
        self.workers.store(workers, Relaxed);
    }

    fn longest(self) -> u64 {
        self.items.into_inner().div_ceil(self.workers.into_inner().max(1))
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let threads = case.level as usize;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = Arc::new(pool.map_err(|error| {
        Unavailable(format!("cannot start a pool of {threads} threads: {error}; raise `ulimit -u`"))
    })?);
    let centroids = centroids(case);
    let turns = (4_096 / case.point.max(1)).clamp(2, 2_048);
    let inputs = case.rotate(turns, |case| input(case, &centroids));
    let (counted, also, workers) = (inputs.clone(), inputs.clone(), Arc::clone(&pool));
    let alone = move |i: usize| {
        let shares = Shares::default();
        naive(&counted[i].points, |_| shares.map());
        shares.longest()
    };
    let shared = move |i: usize| {
        let shares = Shares::default();
        workers.install(|| optimized(&also[i].points, |_| shares.map()));
        shares.longest()
    };
    Ok(Trial::new(
        inputs.measured(|input| input.points.len() as u64),
        by_ref(&inputs, |input: &Input| naive(&input.points, |point| input.nearest(point)))
            .counting(LONGEST_SHARE, alone),
        pooled(&pool, &inputs, |input| optimized(&input.points, |point| input.nearest(point)))
            .counting(LONGEST_SHARE, shared),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let point_at = |x: f32| [x; DIMENSIONS];
        let input = Input {
            points: [9.0, 1.0, 5.0, -3.0, 6.0].map(point_at).to_vec(),
            centroids: [point_at(0.0), point_at(10.0)].into(),
        };
        // The third point is equally far from both: the first centroid gets it.
        let nearest = [1, 0, 0, 0, 1];
        let map = |point: &Point| input.nearest(point);
        assert_eq!(naive(&input.points, map), nearest);
        assert_eq!(pool.install(|| optimized(&input.points, map)), nearest);
        assert!(pool.install(|| optimized::<u32>(&[], map)).is_empty());
    }

    #[test]
    fn trap_the_loop_is_bound_by_arithmetic_not_by_memory() {
        // The data that all items read stays in the smallest first-level caches…
        assert!(CENTROIDS * size_of::<Point>() <= 16 << 10);
        // …and each byte that an item brings in costs many operations.
        const { assert!(3 * CENTROIDS * DIMENSIONS >= 32 * size_of::<Point>()) };
    }
}
